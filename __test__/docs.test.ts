import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeBlocks, Examples } from './examples.js'
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
const folder = mkdtempSync(join(tmpdir(), 'pinfetch-docs-'))
const server = { port: 0, failures: 0, close: () => {} }

async function answer(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url, 'https://api.example.com')
  const body = await text(request)
  switch (pathname) {
    case '/v1/items':
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ tags: searchParams.getAll('tag'), ...JSON.parse(body) }))
      break
    case '/echo':
      response.end(body)
      break
    case '/large':
      response.end(Buffer.alloc(1_000_000))
      break
    case '/login':
      response.setHeader('set-cookie', 'session=4711; Path=/; Secure; HttpOnly')
      response.end()
      break
    case '/whoami':
      response.end(request.headers.cookie ?? 'nobody')
      break
    case '/page':
      response.writeEarlyHints({ link: '</style.css>; rel=preload' })
      response.end()
      break
    case '/flaky':
      server.failures += 1
      response.statusCode = server.failures < 3 ? 503 : 200
      response.end()
      break
    default:
      response.end(pathname)
  }
}

beforeAll(async () => {
  genuine = await startGenuine({ hostname: 'api.example.com' })
  const { certificates } = genuine.pki
  const tls = createSecureServer(
    {
      cert: certificates.leaf.pem + certificates.a1.pem,
      key: certificates.leaf.keyPem,
      allowHTTP1: true,
    },
    answer,
  )
  const sessions = new Set<{ destroy(): void }>()
  tls.on('session', (session) => sessions.add(session))
  await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve))
  server.port = (tls.address() as AddressInfo).port
  server.close = () => {
    for (const session of sessions) session.destroy()
    tls.close()
  }
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
    ['a body that is read while it is sent', 'line 1\nline 2\nline 3\n\n'],
    ['a body that is read as it comes', '1000000 2 true\n'],
    ['an early hint', '103 </style.css>; rel=preload\n200\n'],
    ['many requests', '100\n'],
    ['a jar that is saved', 'session=4711\n'],
    ['proxies that are probed', 'fit\nERR_BAD_PIN\n200 1\n'],
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
  expect(sources.length).toBe(12)
  expect(manual.match(/^```\w+/gm)).toHaveLength(12)
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
