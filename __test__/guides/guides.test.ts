import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeBlocks, Examples, root } from '../examples.ts'
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
const leafPin = 'sha256/NQvyvzK2bRMPWDVfXSN5s3ZQ4hlSqB5Cmbz7Y2dIuLM='

let genuine: Endpoint
let interceptor: Endpoint
let honest: ForwardProxy
let lying: ForwardProxy
let examples: Examples
let close: () => void

beforeAll(async () => {
  genuine = await startGenuine({ hostname: 'api.example.com' })
  const { certificates } = genuine.pki
  const cert = certificates.leaf.pem + certificates.a1.pem
  const server = createServer({ cert, key: certificates.leaf.keyPem }, (request, response) =>
    response.end(request.url),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  close = () => {
    server.closeAllConnections()
    server.close()
  }
  const { port } = server.address() as AddressInfo // it listens on TCP
  interceptor = await startInterceptor({ of: genuine })
  honest = await startProxy({ kind: 'connect', port })
  lying = await startProxy({ kind: 'connect', to: interceptor })
  examples = new Examples(genuine.ca, port, [
    [leafPin, genuine.leafPin],
    ['proxy-1.example.net:3128', `127.0.0.1:${honest.port}`],
    ['proxy-2.example.net:3128', `127.0.0.1:${lying.port}`],
  ])
})

afterAll(() => {
  examples.remove()
  close()
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

test('every example of these guides is run here', () => {
  expect([start.length, scraping.length]).toEqual([2, 2])
})
