import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Client, type RetryOptions } from '../../src/index.js'
import { type Http2Server, startHttp2Server } from '../http2.js'
import { startGenuine, startInterceptor } from '../testkit.js'

/** Statuses still to be answered with, `cut` for a closed connection; then 200. */
let script: (number | 'cut' | 'late')[] = []
let retryAfter: string | undefined
let arrived: string[] = []
const plain = createServer(answer)
let here: string
let secure: Http2Server

async function answer(
  request: Pick<IncomingMessage, 'url' | 'method' | 'on' | 'resume'>,
  response: ServerResponse,
): Promise<void> {
  request.resume()
  arrived.push(`${request.method} ${request.url}`)
  if (request.url === '/silent') return
  if (request.url === '/pause') {
    response.write('some')
    await sleep(1500)
    response.end('more')
    return
  }
  if (request.url === '/drip') {
    for (let left = 8; left > 0; left--) {
      response.write('drop ')
      await sleep(40)
    }
    response.end()
    return
  }
  const next = script.shift() ?? 200
  if (next === 'cut') {
    response.destroy()
    return
  }
  if (next === 'late') await sleep(500)
  const status = typeof next === 'number' ? next : 200
  response.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter })
  response.end(`status ${status}`)
}

beforeAll(async () => {
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve))
  here = `http://127.0.0.1:${(plain.address() as AddressInfo).port}`
  secure = await startHttp2Server((request, response) =>
    answer(request as never, response as unknown as ServerResponse),
  )
})

beforeEach(() => {
  script = []
  retryAfter = undefined
  arrived = []
})

afterAll(() => {
  plain.closeAllConnections()
  plain.close()
  secure.close()
})

describe.each(['1.1', '2'])('over HTTP/%s', (version) => {
  function target(): [string, ConstructorParameters<typeof Client>[0]] {
    return version === '2' ? [secure.url, { ca: secure.ca, lookup: secure.lookup }] : [here, {}]
  }

  test('the header section and each pause of the body have limits of their own', async () => {
    const [url, options] = target()
    await using client = new Client({ ...options, headersTimeout: 300, bodyTimeout: 300 })
    await expect(client.get(`${url}/silent`)).rejects.toMatchObject({
      name: 'TimeoutError',
      phase: 'headers',
      limit: 300,
    })
    const read = async (init = {}) => (await client.get(`${url}/pause`, init)).text()
    await expect(read()).rejects.toMatchObject({ name: 'TimeoutError', phase: 'body', limit: 300 })
    expect(await read({ bodyTimeout: 0 })).toBe('somemore')
    // a body may take longer in all
    expect((await (await client.get(`${url}/drip`)).text()).length).toBe(40)
    expect((await client.get(url)).status).toBe(200)
    await expect(client.get(`${url}/silent`, { headersTimeout: 50 })).rejects.toMatchObject({
      limit: 50,
    })
    await expect(
      client.get(`${url}/silent`, { headersTimeout: 0, timeout: 200 }),
    ).rejects.toMatchObject({ limit: 200 })
  })

  test('what may pass is asked again, as often as is allowed', async () => {
    const [url, options] = target()
    await using client = new Client({ ...options, retry: { attempts: 2, backoff: 1 } })
    for (const [given, expected, count] of [
      [[503, 200], 200, 2],
      [[503, 429, 200], 200, 3],
      [[503, 503, 503, 200], 503, 3],
      [[404], 404, 1],
    ] as const) {
      script = [...given]
      arrived = []
      const response = await client.get(url)
      expect([response.status, await response.text()]).toEqual([expected, `status ${expected}`])
      expect(arrived.length).toBe(count)
    }
    script = ['cut', 'cut']
    expect((await client.get(url)).status).toBe(200)
    script = ['late', 200]
    expect((await client.get(url, { headersTimeout: 100 })).status).toBe(200)
  })

  test('a POST or a stream is not asked again, unless the caller names it', async () => {
    const [url, options] = target()
    await using client = new Client({ ...options, retry: { backoff: 1 } })
    script = [503, 200]
    expect((await client.post(url, { body: 'x' })).status).toBe(503)
    script = [503, 200]
    const retry = { methods: ['post', 'PUT'], backoff: 1 }
    expect((await client.post(url, { body: 'x', retry })).status).toBe(200)
    async function* once(): AsyncGenerator<string> {
      yield 'x'
    }
    script = [503, 200]
    expect((await client.put(url, { body: once() })).status).toBe(503)
    script = [503, 200]
    expect((await client.get(url, { retry: 0 })).status).toBe(503)
  })
})

test('a server says when, up to the longest wait', async () => {
  await using client = new Client({ retry: { attempts: 1, backoff: 1 } })
  retryAfter = '0'
  script = [503]
  expect((await client.get(here)).status).toBe(200)
  retryAfter = '31'
  script = [503]
  expect((await client.get(here)).status).toBe(503)
  retryAfter = '20'
  script = [503]
  const waiting = client.get(here, { timeout: 100 })
  await expect(waiting).rejects.toMatchObject({ code: 'ERR_TIMEOUT', limit: 100 })
})

test('a bad pin is never tried again', async () => {
  await using genuine = await startGenuine()
  await using interceptor = await startInterceptor({ of: genuine })
  let told = 0
  await using client = new Client({
    ca: genuine.ca,
    lookup: interceptor.lookup,
    pins: { [genuine.hostname]: [genuine.leafPin] },
    retry: { attempts: 5, backoff: 1 },
    onBadPin: () => {
      told += 1
    },
  })
  await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  expect([told, (await interceptor.stats()).accepted]).toEqual([1, 1])
})

test('making a connection has a limit of its own', async () => {
  const silent = createTcpServer(() => {}) // takes connections, and says nothing
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  try {
    await using client = new Client({ connectTimeout: 150 })
    const url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}/`
    await expect(client.get(url)).rejects.toMatchObject({
      name: 'TimeoutError',
      phase: 'tls',
      limit: 150,
    })
  } finally {
    silent.close()
  }
})

test('a request has a limit of its own for the wait for a connection, which the others wait for still', async () => {
  const held: (() => void)[] = []
  const slow = createServer((request, response) => {
    if (request.url === '/first') held.push(() => response.end('fine'))
    else response.end('fine')
  })
  await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve))
  try {
    await using client = new Client({ connections: 1 })
    const url = `http://127.0.0.1:${(slow.address() as AddressInfo).port}`
    const first = client.get(`${url}/first`, { connectTimeout: 5000 })
    await expect.poll(() => held.length).toBe(1)
    const patient = client.get(url)
    await expect(client.get(url, { connectTimeout: 60 })).rejects.toMatchObject({
      name: 'TimeoutError',
      phase: 'queue',
      limit: 60,
    })
    held[0]?.()
    expect(await (await first).text()).toBe('fine')
    expect(await (await patient).text()).toBe('fine')
  } finally {
    slow.close()
  }
})

test('a response tells how long its request took', async () => {
  await using client = new Client({ ca: secure.ca, lookup: secure.lookup })
  const first = await client.get(secure.url)
  const { queue, dns, connect, tls, firstByte } = first.timings
  expect(tls).toBeGreaterThan(0)
  expect(queue).toBeGreaterThanOrEqual(dns + connect + tls)
  expect(firstByte).toBeGreaterThanOrEqual(queue)
  await first.text()
  const second = await client.get(`${secure.url}/drip`)
  expect(second.timings).toMatchObject({ dns: 0, connect: 0, tls: 0, total: null })
  await second.text()
  expect(second.timings.total).toBeGreaterThan(second.timings.firstByte)
  const plain = await new Client().get(here)
  expect(plain.timings.tls).toBe(0)
  expect(plain.timings.total).toBeGreaterThanOrEqual(plain.timings.firstByte)
})

test('members of retry that are undefined have their defaults', () => {
  const retry = { attempts: undefined, methods: undefined, statuses: undefined, backoff: undefined }
  expect(() => new Client({ retry: { ...retry, maxDelay: undefined } })).not.toThrow()
})

test.each([
  [-1, /retry\.attempts is -1: give a whole number from 0 to 100/],
  ['2', /retry is a string: give a number of attempts or an object/],
  [{ attempt: 1 }, /unknown option "attempt" of retry/],
  [{ methods: 'GET' }, /retry\.methods is a string: give a list/],
  [{ methods: ['GET '] }, /the method "GET " is not a token/],
  [{ statuses: [200] }, /retry\.statuses is 200: give a whole number from 400 to 599/],
  [{ backoff: -1 }, /retry\.backoff is -1/],
])('the retry %j is refused', async (retry, message) => {
  expect(() => new Client({ retry: retry as RetryOptions })).toThrow(
    expect.objectContaining({
      name: 'PolicyError',
      option: 'retry',
      message: expect.stringMatching(message),
    }),
  )
  await using client = new Client()
  await expect(client.get(here, { retry: retry as RetryOptions })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
    message: expect.stringMatching(message),
  })
})
