import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeBlocks, type ExampleServer, Examples, startExampleServer } from './examples.js'
import {
  type Endpoint,
  type ForwardProxy,
  sharedKit,
  startGenuine,
  startInterceptor,
  startProxy,
} from './testkit.js'

const page = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../docs/${name}.md`, import.meta.url)), 'utf8')
const manual = page('http') + page('profiles')
const sources = codeBlocks(manual, 'js')
const leafPin = 'sha256/NQvyvzK2bRMPWDVfXSN5s3ZQ4hlSqB5Cmbz7Y2dIuLM='

let genuine: Endpoint
let interceptor: Endpoint
let honest: ForwardProxy
let lying: ForwardProxy
let examples: Examples
let server: ExampleServer
const folder = mkdtempSync(join(tmpdir(), 'pinfetch-docs-'))
beforeAll(async () => {
  genuine = await startGenuine({ hostname: 'api.example.com' })
  server = await startExampleServer(genuine.pki)
  interceptor = await startInterceptor({ of: genuine })
  honest = await startProxy({ kind: 'connect', port: server.port })
  lying = await startProxy({ kind: 'connect', to: interceptor })
  const { nameOf } = genuine.pki
  const revoked = await sharedKit().revoke({ issuer: nameOf('a1'), certificates: [nameOf('leaf')] })
  writeFileSync(join(folder, 'authority.crl'), revoked.der)
  examples = new Examples(genuine.ca, server.port, [
    [leafPin, genuine.leafPin],
    ["'authority.crl'", JSON.stringify(join(folder, 'authority.crl'))],
    ['proxy-1.example.net:3128', `127.0.0.1:${honest.port}`],
    ['proxy-2.example.net:3128', `127.0.0.1:${lying.port}`],
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
