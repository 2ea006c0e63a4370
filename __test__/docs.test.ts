import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeBlocks, type ExampleServer, Examples, root, startExampleServer } from './examples.js'
import { type Endpoint, sharedKit, startGenuine } from './testkit.js'

const page = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../docs/${name}.md`, import.meta.url)), 'utf8')
const manual = page('http') + page('profiles')
const sources = codeBlocks(manual, 'js')

let genuine: Endpoint
let examples: Examples
let server: ExampleServer
const folder = mkdtempSync(join(tmpdir(), 'pinfetch-docs-'))
beforeAll(async () => {
  genuine = await startGenuine({ hostname: 'api.example.com' })
  server = await startExampleServer(genuine.pki)
  const { nameOf } = genuine.pki
  const revoked = await sharedKit().revoke({ issuer: nameOf('a1'), certificates: [nameOf('leaf')] })
  writeFileSync(join(folder, 'authority.crl'), revoked.der)
  examples = new Examples(genuine.ca, server.port, [
    ["'authority.crl'", JSON.stringify(join(folder, 'authority.crl'))],
  ])
})

afterAll(() => {
  examples.remove()
  rmSync(folder, { recursive: true })
  server.close()
})

test.each(
  [
    ['a request with a query and JSON', "200 { tags: [ 'a', 'b' ], name: 'a new one' }\n"],
    ['a response', '200 true 2 [] 3\n/data true\n'],
    ['an early hint', '103 </style.css>; rel=preload\n200\n'],
    ['many requests', '100\n'],
    ['limits of HTTP/2', '200 2\n'],
    ['a list that revokes', 'CertificateError ERR_CERT_REVOKED\n'],
    ['a request that is sent again', '200\n'],
    ['limits of a header section', '200\n'],
    ['a profile', '200\n'],
  ].map(([name, output], index) => [name, output, index] as const),
)('the example of %s prints what it should', async (_name, output, index) => {
  expect(await examples.run(sources[index] ?? '')).toBe(output)
})

test('every example of the manual is run here', () => {
  expect(sources.length).toBe(9)
  expect(manual.match(/^```\w+/gm)).toHaveLength(9)
})

test('every link to a part of a page leads to one of its headings, on the site and in the repository', () => {
  const pages = ['.', 'docs', 'docs/guides', 'docs/decisions'].flatMap((folder) =>
    readdirSync(join(root, folder)).flatMap((name) =>
      name.endsWith('.md') ? [join(folder, name)] : [],
    ),
  )
  const prose = (page: string) =>
    readFileSync(join(root, page), 'utf8').replace(/^```.*?^```/gms, '')
  const dead: string[] = []
  let count = 0
  for (const from of pages) {
    for (const [link, file = '', anchor = ''] of prose(from).matchAll(/\]\(([^):#]*)#([^)]+)\)/g)) {
      const page = file === '' ? from : relative(root, resolve(root, dirname(from), file))
      const headings = prose(page).matchAll(/^#+ (.+)$/gm)
      const anchors = Array.from(headings, ([, text = '']) => anchorsOf(text))
      if (!anchors.some((of) => of.every((one) => one === anchor))) dead.push(`${from}: ${link}`)
      count += 1
    }
  }
  expect(dead).toEqual([])
  expect(count).toBeGreaterThan(50)
})

/** The anchors of a heading: VitePress's, and that of the repository's host. */
function anchorsOf(heading: string): string[] {
  const text = heading
    .replace(/[`*]/g, '')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
  return [
    text.replace(/[\s~`!@#$%^&*()\-+=[\]{}|\\;:"'“”‘’<>,.?/]+/g, '-').replace(/^-|-$/g, ''),
    text.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-'),
  ]
}

test('every option of a client is documented, and its default is told', () => {
  const options = readFileSync(join(import.meta.dirname, '..', 'src', 'options.ts'), 'utf8')
  const [, face = ''] = /export interface ClientOptions \{(.*?)^\}/ms.exec(options) ?? []
  const documented = [...face.matchAll(/\/\*\*((?:(?!\*\/).)*)\*\/\s+readonly (\w+)\?:/gs)]
  expect(documented.length).toBe([...face.matchAll(/^ {2}readonly \w+\?:/gm)].length)
  for (const [, comment = '', name] of documented) {
    if (name === 'serverName') continue // none by default: said by its text
    expect(comment, name).toContain('@default')
  }
})
