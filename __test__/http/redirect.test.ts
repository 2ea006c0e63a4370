import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Client, type RequestInit } from '../../src/index.js'
import { startGenuine, startInterceptor } from '../testkit.js'

/** What arrived at either of two origins. */
interface Arrival {
  readonly origin: string
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

let arrivals: Arrival[] = []
const servers = [createServer(answer), createServer(answer)] as const
let here: string
let there: string

/** `/STATUS?LOCATION` redirects, `/loop` to itself; anything else is an answer. */
function answer(request: IncomingMessage, response: import('node:http').ServerResponse): void {
  let body = ''
  request.setEncoding('utf8').on('data', (text) => {
    body += text
  })
  request.on('end', () => {
    const { method, url = '', headers } = request
    arrivals.push({ origin: `http://${headers.host}`, method, url, headers, body })
    const [, status, location] = /^\/(3\d\d)\?(.*)$/.exec(url) ?? []
    if (url === '/loop') response.writeHead(302, { location: '/loop' }).end()
    else if (status !== undefined) {
      const to = decodeURIComponent(location ?? '')
      response.writeHead(Number(status), to === '' ? {} : { location: to }).end('moved')
    } else response.end('arrived')
  })
}

beforeAll(async () => {
  const urls = await Promise.all(
    servers.map(
      (server) =>
        new Promise<string>((resolve) => {
          server.listen(0, '127.0.0.1', () => {
            resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
          })
        }),
    ),
  )
  here = urls[0] ?? ''
  there = urls[1] ?? ''
})

afterAll(() => {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
})

beforeEach(() => {
  arrivals = []
})

function redirecting(status: number, location: string): string {
  return `${here}/${status}?${encodeURIComponent(location)}`
}

test.each([
  [301, 'GET', 'GET'],
  [301, 'POST', 'GET'],
  [301, 'PUT', 'PUT'],
  [302, 'POST', 'GET'],
  [302, 'HEAD', 'HEAD'],
  [303, 'POST', 'GET'],
  [303, 'PUT', 'GET'],
  [303, 'HEAD', 'HEAD'],
  [307, 'POST', 'POST'],
  [308, 'PUT', 'PUT'],
])('%i after %s is followed with %s', async (status, method, then) => {
  await using client = new Client()
  const hasBody = method === 'POST' || method === 'PUT'
  const init: RequestInit = hasBody
    ? { method, body: 'text', headers: { 'content-type': 'a/b' } }
    : { method }
  const response = await client.request(redirecting(status, '/next?x#part'), init)
  expect(response).toMatchObject({ status: 200, redirected: true, url: `${here}/next?x` })
  const keepsBody = hasBody && then !== 'GET'
  expect(arrivals.at(-1)).toMatchObject({
    method: then,
    url: '/next?x',
    body: keepsBody ? 'text' : '',
  })
  expect(arrivals.at(-1)?.headers['content-type']).toBe(keepsBody ? 'a/b' : undefined)
})

test('credentials stay with their origin, those of the client too', async () => {
  await using client = new Client({
    headers: { authorization: 'Basic b3duZXI6c2VjcmV0', 'x-kept': '1' },
  })
  await client.get(redirecting(302, '/same'))
  expect(arrivals.at(-1)?.headers).toMatchObject({
    authorization: 'Basic b3duZXI6c2VjcmV0',
    'x-kept': '1',
  })
  await client.get(redirecting(302, `${there}/other`), {
    headers: { cookie: 'a=secret', 'x-own': '2' },
  })
  expect(arrivals.at(-1)).toMatchObject({ origin: there, url: '/other' })
  const { headers } = arrivals.at(-1) ?? {}
  expect(headers).toMatchObject({ 'x-kept': '1', 'x-own': '2' })
  expect(headers).not.toHaveProperty('authorization')
  expect(headers).not.toHaveProperty('cookie')
})

test('manual hands the redirect over, and error refuses it', async () => {
  await using client = new Client()
  const url = redirecting(302, '/next')
  const response = await client.get(url, { redirect: 'manual' })
  expect(response).toMatchObject({ status: 302, redirected: false })
  expect(response.headers.get('location')).toBe('/next')
  expect(await response.text()).toBe('moved')
  await expect(client.get(url, { redirect: 'error' })).rejects.toMatchObject({
    name: 'ProtocolError',
    code: 'ERR_HTTP_REDIRECT',
    url: '/next',
  })
  expect(arrivals.length).toBe(2)
  await using strict = new Client({ redirect: 'error' })
  await expect(strict.get(url)).rejects.toMatchObject({ code: 'ERR_HTTP_REDIRECT' })
  expect((await strict.get(url, { redirect: 'follow' })).status).toBe(200)
})

test('a redirect without Location is a response like any other', async () => {
  await using client = new Client()
  expect(await client.get(`${here}/302?`)).toMatchObject({ status: 302, redirected: false })
})

test('a loop ends at the limit', async () => {
  await using client = new Client()
  await expect(client.get(`${here}/loop`)).rejects.toMatchObject({
    code: 'ERR_HTTP_TOO_MANY_REDIRECTS',
    limit: 20,
  })
  expect(arrivals.length).toBe(21)
  await expect(client.get(`${here}/loop`, { maxRedirects: 2 })).rejects.toMatchObject({ limit: 2 })
  await expect(client.get(`${here}/loop`, { maxRedirects: 0 })).rejects.toMatchObject({ limit: 0 })
})

test.each([
  'ftp://example.test/',
  'https://user:secret@example.test/',
  'http://[::g]/',
  'javascript:x',
])('a redirect to %s is refused, and credentials are not repeated', async (location) => {
  await using client = new Client()
  const failure = await client.get(redirecting(302, location)).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'ERR_HTTP_REDIRECT' })
  expect(JSON.stringify(failure) + String(failure)).not.toContain('secret')
})

test('each hop is pinned by its own host', async () => {
  await using genuine = await startGenuine()
  await using interceptor = await startInterceptor({ of: genuine })
  const told: string[] = []
  await using client = new Client({
    ca: genuine.ca,
    lookup: { ...genuine.lookup },
    pins: { [genuine.hostname]: [genuine.leafPin] },
    onBadPin: (event) => void told.push(event.request.url),
  })
  const bad = redirecting(302, interceptor.url)
  await expect(client.get(bad)).rejects.toMatchObject({
    code: 'ERR_BAD_PIN',
    hostname: genuine.hostname,
  })
  expect(await interceptor.applicationBytes()).toBe(0)
  expect(told.length).toBe(1)
  const response = await client.get(redirecting(302, genuine.url)) // the control
  expect(response.tls.matchedPin).toBe(genuine.leafPin)

  const plain = genuine.url.replace('https:', 'http:')
  await expect(client.get(redirecting(302, plain))).rejects.toMatchObject({
    code: 'ERR_POLICY_PLAINTEXT',
  })
})

test('misuse is refused', async () => {
  await using client = new Client()
  for (const init of [
    { redirect: 'maybe' },
    { maxRedirects: -1 },
    { maxRedirects: 1.5 },
    { decompress: 1 },
  ]) {
    await expect(client.get(here, init as never)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
  }
  expect(() => new Client({ redirect: 'maybe' as never })).toThrow(/redirect is "maybe"/)
  expect(arrivals).toEqual([])
})
