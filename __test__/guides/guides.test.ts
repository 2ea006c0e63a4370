import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeBlocks, type ExampleServer, Examples, root, startExampleServer } from '../examples.ts'
import {
  type Endpoint,
  type ForwardProxy,
  startGenuine,
  startInterceptor,
  startProxy,
} from '../testkit.ts'

const guide = (name: string) => readFileSync(join(root, 'docs', 'guides', `${name}.md`), 'utf8')
const start = codeBlocks(guide('start'), 'js')
const scraping = codeBlocks(guide('scraping'), 'js')
const pinning = codeBlocks(guide('pinning'), 'js')
const proxies = codeBlocks(guide('proxies'), 'js')
const cookies = codeBlocks(guide('cookies'), 'js')
const streaming = codeBlocks(guide('streaming'), 'js')
const errors = codeBlocks(guide('errors'), 'js')
const leafPin = 'sha256/NQvyvzK2bRMPWDVfXSN5s3ZQ4hlSqB5Cmbz7Y2dIuLM='

let genuine: Endpoint
let interceptor: Endpoint
let honest: ForwardProxy
let lying: ForwardProxy
let examples: Examples
let strict: ForwardProxy
let server: ExampleServer
const folder = mkdtempSync(join(tmpdir(), 'pinfetch-guides-'))

beforeAll(async () => {
  genuine = await startGenuine({ hostname: 'api.example.com' })
  server = await startExampleServer(genuine.pki)
  const { port } = server
  interceptor = await startInterceptor({ of: genuine })
  honest = await startProxy({ kind: 'connect', port })
  lying = await startProxy({ kind: 'connect', to: interceptor })
  strict = await startProxy({ kind: 'connect', port, credentials: 'user:password' })
  writeFileSync(join(folder, 'photo.jpg'), 'a photo')
  examples = new Examples(genuine.ca, port, [
    [leafPin, genuine.leafPin],
    ['proxy-1.example.net:3128', `127.0.0.1:${honest.port}`],
    ['proxy-2.example.net:3128', `127.0.0.1:${lying.port}`],
    ['proxy-3.example.net:3128', `127.0.0.1:${strict.port}`],
    ["'large.bin'", JSON.stringify(join(folder, 'large.bin'))],
    ["'photo.jpg', {", `${JSON.stringify(join(folder, 'photo.jpg'))}, {`],
  ])
})

afterAll(() => {
  examples.remove()
  rmSync(folder, { recursive: true })
  server.close()
})

test('the first request is pinned, and the wrong pin is refused', async () => {
  expect(await examples.run(start[0] ?? '')).toBe(`200 ${genuine.leafPin}\n`)
  expect(await examples.run(start[1] ?? '')).toBe('ERR_BAD_PIN api.example.com 3\n')
})

test('a crawl counts its bytes and failures', async () => {
  const paths = Array.from({ length: 200 }, (_, page) => `/items/${page + 1}`)
  expect(await examples.run(scraping[0] ?? '')).toBe(`${paths.join('').length} 0\n`)
})

test('a proxy that reads is told of, and counted', async () => {
  expect(await examples.run(scraping[1] ?? '')).toBe(
    [
      '200',
      'somebody reads api.example.com 3',
      'ERR_BAD_PIN',
      '127.0.0.1 0 false',
      '127.0.0.1 1 true',
      '',
    ].join('\n'),
  )
})

test.each([
  [
    'pinning',
    pinning,
    [`200 ${'$LEAF'}\n`, "api.example.com false 3\n200 [ 'api.example.com' ]\n"],
  ],
  [
    'proxies',
    proxies,
    ['fit\nERR_BAD_PIN\n200 1\n', 'ERR_PROXY 407 Proxy Authentication Required\n', '200\n'],
  ],
  ['cookies', cookies, ['session=4711 1\n', 'session=4711\n', 'theme=dark\ntheme=light\n']],
  [
    'streaming',
    streaming,
    [
      '1000000 2 true\n',
      '1000000 1000000\n',
      '5050\n',
      'line 1\nline 2\nline 3\n\n',
      'title file photo.jpg\n',
      'AbortError true\n',
    ],
  ],
  [
    'errors',
    errors,
    [
      '/data\nstatus 404\ntoo slow: headers\n',
      "handler api.example.com [ 'api.example.com' ]\nERR_BAD_PIN 3 1 unknown\ntrue\n",
    ],
  ],
] as const)('the examples of %s print what they should', async (_guide, sources, outputs) => {
  expect(sources).toHaveLength(outputs.length)
  for (const [index, output] of outputs.entries())
    expect(await examples.run(sources[index] ?? '')).toBe(output.replace('$LEAF', genuine.leafPin))
})

test('clients on several threads', async () => {
  expect(await examples.run(scraping[2] ?? '')).toBe('true\n')
})

test('every example of these guides is run here', () => {
  expect([start.length, scraping.length]).toEqual([2, 3]) // and those of the others above
})
