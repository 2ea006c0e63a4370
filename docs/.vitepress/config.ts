import { existsSync, readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'

const checkout = fileURLToPath(new URL('../..', import.meta.url))
const docs = resolve(checkout, 'docs')
const { repository } = JSON.parse(readFileSync(resolve(checkout, 'package.json'), 'utf8')) as {
  repository: { url: string }
}
const source = repository.url.replace(/^git\+/, '').replace(/\.git$/, '')

export default defineConfig({
  title: 'pinfetch',
  description: 'An HTTPS client for Node.js that proves who it is talking to',
  srcExclude: ['node_modules/**'],
  cleanUrls: true,
  markdown: {
    theme: { light: 'github-light', dark: 'github-dark' },
    config(markdown) {
      // Pages are read in the repository too, where they link to files beside docs/: here those are in the repository.
      // A link to nothing fails the build, as VitePress does for links between pages.
      markdown.core.ruler.push('files-of-the-repository', (state) => {
        const page: unknown = Reflect.get(state.env ?? {}, 'path')
        if (typeof page !== 'string') return
        for (const token of state.tokens.flatMap(({ children }) => children ?? [])) {
          const href = token.type === 'link_open' ? token.attrGet('href') : null
          if (href === null || /^([a-z]+:|#|\/)/i.test(href)) continue
          const file = resolve(dirname(page), decodeURI(href.replace(/#.*$/, '')))
          const isPage = href.endsWith('/')
            ? existsSync(resolve(file, 'index.md'))
            : /\.md(#|$)/.test(href)
          if (isPage && !relative(docs, file).startsWith('..')) continue
          if (!existsSync(file)) throw new Error(`${relative(checkout, page)}: no file at ${href}`)
          token.attrSet('href', `${source}/blob/main/${relative(checkout, file)}`)
        }
      })
    },
  },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    socialLinks: [{ icon: 'github', link: source }],
    nav: [
      { text: 'Start', link: '/guides/start' },
      { text: 'Guides', link: '/policy' },
      { text: 'Reference', link: '/reference/' },
      { text: 'Command line', link: '/cli' },
    ],
    sidebar: { '/reference/': reference(), '/': sidebar() },
  },
})

/** What TypeDoc has written. */
function reference() {
  const list = resolve(docs, 'reference', 'typedoc-sidebar.json')
  if (!existsSync(list)) throw new Error('docs/reference is missing: npm run reference')
  return JSON.parse(readFileSync(list, 'utf8')) as { text: string; link?: string }[]
}

/** Pages by what a reader wants; those that the checkout doesn't have would be dead links. */
function sidebar() {
  const page = (text: string, link: string) => ({ text, link })
  const group = (text: string, items: ReturnType<typeof page>[]) => ({
    text,
    items: items.filter(({ link }) => {
      const file = resolve(docs, `.${link}`)
      return existsSync(`${file}.md`) || existsSync(resolve(file, 'index.md'))
    }),
  })
  return [
    group('Begin', [
      page('Five minutes', '/guides/start'),
      page('Requests and responses', '/http'),
      page('Streaming', '/guides/streaming'),
      page('Cookies', '/guides/cookies'),
      page('Proxies', '/guides/proxies'),
      page('Handling errors', '/guides/errors'),
      page('Migrating', '/migrating'),
    ]),
    group('Pins', [
      page('Choosing pins', '/guides/pinning'),
      page('Policies', '/policy'),
      page('Policy files', '/policy-file'),
      page('Rotating keys', '/rotation'),
      page('Reports', '/reports'),
      page('Lint', '/lint'),
      page('Other formats', '/formats'),
    ]),
    group('At work', [
      page('Scraping at scale', '/guides/scraping'),
      page('Browser profiles', '/profiles'),
      page('Testing pinned code', '/guides/testing'),
      page('The command line', '/cli'),
    ]),
    group('Reference', [page('The package', '/reference/'), page('Error codes', '/errors')]),
    group('Inside', [
      page('Architecture', '/architecture'),
      page('Threat model', '/threat-model'),
      page('Performance', '/performance'),
    ]),
  ]
}
