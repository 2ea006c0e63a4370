import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { Client } from '../../src/index.js'
import { clientOf } from '../clients.js'
import { startGenuine, startInterceptor, startProxy } from '../testkit.js'

test('what goes through each proxy is counted, by its credentials', async () => {
  await using server = await startGenuine()
  await using interceptor = await startInterceptor({ of: server })
  await using good = await startProxy({ kind: 'connect', to: server })
  await using bad = await startProxy({ kind: 'socks5', to: interceptor })
  await using client = clientOf(server, { proxy: good.url })
  for (let round = 0; round < 3; round++) await (await client.get(server.at('/bytes/5000'))).text()
  await client.get(server.url, { proxy: good.at('127.0.0.1', 'user:secret') })
  await expect(client.get(server.url, { proxy: bad.url })).rejects.toMatchObject({
    code: 'ERR_BAD_PIN',
  })
  await expect(client.get(server.url, { proxy: 'http://127.0.0.1:9' })).rejects.toMatchObject({
    code: 'ERR_PROXY',
  })
  const stats = client.proxyStats()
  expect(JSON.stringify(stats)).not.toContain('secret')
  const of = (proxy: string, user: string | null = null) =>
    stats.find((entry) => entry.proxy === proxy && entry.user === user)
  const counts = { badPins: 0, errors: 0, quarantined: false }
  expect(stats.length).toBe(4)
  expect(of(good.url)).toMatchObject({ requests: 3, ...counts })
  expect(of(good.url)?.bytesReceived).toBeGreaterThan(15_000)
  expect(of(good.url)?.bytesSent).toBeGreaterThan(500)
  expect(of(good.url, 'user')).toMatchObject({ requests: 1, ...counts })
  expect(of(bad.url)).toMatchObject({ requests: 1, ...counts, badPins: 1 })
  expect(of('http://127.0.0.1:9')).toMatchObject({ requests: 1, ...counts, errors: 1 })
  const { bytesToServers, bytesToClients } = await good.stats()
  const total = (name: 'bytesSent' | 'bytesReceived') =>
    (of(good.url)?.[name] ?? 0) + (of(good.url, 'user')?.[name] ?? 0)
  expect(total('bytesSent')).toBeGreaterThanOrEqual(bytesToServers)
  expect(total('bytesReceived')).toBeGreaterThanOrEqual(bytesToClients)
})

test('after a bad pin nothing goes through a proxy that is quarantined, until it is released', async () => {
  await using server = await startGenuine()
  await using interceptor = await startInterceptor({ of: server })
  await using bad = await startProxy({ kind: 'connect', to: interceptor })
  await using good = await startProxy({ kind: 'connect', to: server })
  const told: string[] = []
  await using client = clientOf(server, {
    quarantine: true,
    proxy: bad.url,
    pins: { [server.hostname]: [server.leafPin] },
    onBadPin: ({ error }) => void told.push(error.code),
  })
  await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  const before = await bad.stats()
  for (const host of [server.hostname, 'other.example.test']) {
    await expect(client.get(`https://${host}:${server.port}/`)).rejects.toMatchObject({
      name: 'ProxyError',
      code: 'ERR_PROXY_QUARANTINED',
      proxy: bad.url,
    })
  }
  expect((await bad.stats()).accepted).toBe(before.accepted)
  expect(told).toEqual(['ERR_BAD_PIN'])
  expect((await client.get(server.url, { proxy: good.url })).status).toBe(200)
  // the same proxy with credentials is another
  await expect(client.get(server.url, { proxy: bad.at('127.0.0.1', 'a:b') })).rejects.toMatchObject(
    { code: 'ERR_BAD_PIN' },
  )

  expect(client.releaseProxy(good.url)).toBe(false)
  expect(client.releaseProxy(bad.url)).toBe(true)
  expect(client.releaseProxy(bad.url)).toBe(false)
  await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  expect(() => client.releaseProxy('ftp://x')).toThrow(
    expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
  )
  await using lenient = clientOf(server, { proxy: bad.url })
  for (let round = 0; round < 2; round++) {
    await expect(lenient.get(server.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  }
})

test('proxies are probed by one handshake each, of which the server gets nothing', async () => {
  await using server = await startGenuine()
  await using interceptor = await startInterceptor({ of: server })
  await using good = await startProxy({ kind: 'connect', to: server })
  await using socks = await startProxy({ kind: 'socks5', to: server })
  await using bad = await startProxy({ kind: 'connect', to: interceptor })
  await using refusing = await startProxy({ kind: 'connect', to: server, credentials: 'user:pass' })
  await using client = clientOf(server, { quarantine: true })
  const proxies = [
    good.url,
    bad.url,
    new URL(socks.url),
    refusing.at('127.0.0.1', 'user:wrong'),
    'http://127.0.0.1:9',
    'nonsense',
  ]
  const verdicts = await client.probe(proxies, `${server.hostname}:${server.port}`, {
    concurrency: 2,
  })
  expect(verdicts.map(({ proxy }) => proxy)).toEqual(proxies)
  expect(verdicts.map(({ error }) => (error as { code?: string } | null)?.code ?? null)).toEqual([
    null,
    'ERR_BAD_PIN',
    null,
    'ERR_PROXY',
    'ERR_PROXY',
    'ERR_INVALID_ARGUMENT',
  ])
  expect(verdicts[0]?.pins?.path[0]?.pin).toBe(server.leafPin)
  expect((await server.stats()).applicationBytes).toBe(0)
  expect((await interceptor.stats()).applicationBytes).toBe(0)
  await expect(client.probe([], 'x', { concurrency: 0 })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
  })
  const most = Number.MAX_SAFE_INTEGER // as for fetchAll: no limit to speak of
  await expect(client.probe([], 'x', { concurrency: most })).resolves.toEqual([])
  await expect(client.probe([], 'x', { concurency: 1 } as never)).rejects.toThrow(/of probe$/)
})

describe.each([['http/1.1'], ['h2']] as const)('without reuse, over %s', (alpn) => {
  test('each request has a connection of its own, which is closed after it', async () => {
    await using server = await startGenuine({ alpn: [alpn] })
    await using proxy = await startProxy({ kind: 'connect', to: server })
    await using client = clientOf(server, { proxy: proxy.url, reuse: false })
    const seen = new Set<string | null>()
    const get = async () => {
      const response = await client.get(server.at('/bytes/100000'))
      expect((await response.text()).length).toBe(100_000)
      expect(response.tls.resumed).toBe(false)
      seen.add(response.headers.get('server-connection'))
    }
    await Promise.all(Array.from({ length: 8 }, get))
    for (let round = 0; round < 4; round++) await get()
    expect(seen.size).toBe(12)
    expect(await proxy.stats()).toMatchObject({ tunnels: 12 })
    await expect.poll(async () => (await server.stats()).open).toBe(0)
    await client.get(server.url, { reuse: true })
    await client.get(server.url, { reuse: true })
    expect(await proxy.stats()).toMatchObject({ tunnels: 13 })
  })

  test('a bad pin is a bad pin, and a redirect another connection', async () => {
    await using server = await startGenuine({ alpn: [alpn] })
    await using interceptor = await startInterceptor({ of: server, alpn: [alpn] })
    await using client = clientOf(server, { reuse: false })
    await using caught = clientOf(server, { reuse: false, lookup: interceptor.lookup })
    for (let round = 0; round < 3; round++) {
      await expect(caught.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    }
    expect((await interceptor.stats()).applicationBytes).toBe(0)
    expect((await client.get(server.url)).status).toBe(200)
  })
})

test('a request that shares nothing says so to an HTTP/1.1 server', async () => {
  const said: (string | undefined)[] = []
  const server = createServer((request, response) => {
    said.push(request.headers.connection)
    response.end('ok')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  try {
    await using client = new Client()
    await client.get(url, { reuse: false })
    await client.get(url)
    expect(said).toEqual(['close', undefined])
    await expect(client.get(url, { reuse: 1 as never })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
