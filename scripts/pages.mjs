// An esbuild plugin for pages that the command line writes: `import script from './page.ts?page'` gives a browser's program,
// bundled with what it imports, as text; `import style from './page.css'` a style sheet's.
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { build, transform } from 'esbuild'

const target = ['chrome120', 'firefox121', 'safari17']

export const pages = {
  name: 'pages',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /\?page$/ }, ({ path, importer }) => ({
      path: join(dirname(importer), path.slice(0, -'?page'.length)),
      namespace: 'page',
    }))
    onLoad({ filter: /./, namespace: 'page' }, async ({ path }) => {
      const { outputFiles } = await build({
        entryPoints: [path],
        bundle: true,
        write: false,
        format: 'iife',
        platform: 'browser',
        target,
        minify: true,
        charset: 'ascii', // whatever the page is read as
        tsconfigRaw: {},
      })
      const text = outputFiles[0].text
      if (/<\/script|<!--/i.test(text)) throw new Error(`${path}: HTML would end it early`)
      return { contents: text, loader: 'text' }
    })
    onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, 'utf8'), {
        loader: 'css',
        minify: true,
        target,
        charset: 'ascii',
      })
      return { contents: code, loader: 'text' }
    })
  },
}
