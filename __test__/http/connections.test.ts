import { createSecureServer } from 'node:http2'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Client, type ClientOptions, type RequestInit } from '../../src/index.js'
import { type Certificate, type Pki, sharedKit, standardPki, startGenuine } from '../testkit.js'

/** Hosts of one server, all named by its certificate. */
const HOSTS = Array.from({ length: 12 }, (_, index) => `host${index}.pool.example.test`)

interface Pool {
  /** The URL of one of the hosts. */
  url(host: number): string
  /** The hosts that were asked, in order. */
  readonly asked: string[]
  readonly accepted: number
  /** The largest number of connections that were open at once. */
  readonly most: number
  /** Resolves once `/held` is asked for, which is answered after `release`. */
  readonly isHolding: Promise<void>
  release(): void
  close(): void
}

let pki: Pki
let leaf: Certificate
const pools: Pool[] = []

beforeAll(async () => {
  const kit = sharedKit()
  pki = await standardPki(kit)
  const name = `${pki.nameOf('leaf')}-pool`
  const issued = await kit.issue([{ name, names: HOSTS, issuer: pki.nameOf('a1') }])
  leaf = issued[name] as Certificate // just issued
})

afterAll(() => {
  for (const pool of pools) pool.close()
})

function deferred(): { promise: Promise<void>; resolve(): void } {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

async function startPool(alpn: 'h2' | 'http/1.1'): Promise<Pool> {
  const options = { cert: leaf.pem + pki.certificates.a1.pem, key: leaf.keyPem }
  const sockets = new Set<TLSSocket>()
  const asked: string[] = []
  let [accepted, most] = [0, 0]
  const holding = deferred()
  const released = deferred()
  const answer = async (
    { url, host }: { url: string | undefined; host: string | undefined },
    response: { end(text: string): unknown },
  ) => {
    asked.push(host?.split('.')[0] ?? '')
    if (url === '/held') {
      holding.resolve()
      await released.promise
    }
    setImmediate(() => response.end('hello'))
  }
  const server =
    alpn === 'h2'
      ? createSecureServer(options, (request, response) =>
          answer(
            { url: request.url, host: request.authority },
            { end: (text) => response.end(text) },
          ),
        )
      : createServer(options, (request, response) =>
          answer({ url: request.url, host: request.headers.host }, response),
        )
  server.on('secureConnection', (socket: TLSSocket) => {
    accepted++
    sockets.add(socket)
    most = Math.max(most, sockets.size)
    socket.on('error', () => {})
    // Bun tells of the end well before it closes
    for (const event of ['end', 'close']) socket.on(event, () => sockets.delete(socket))
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const pool = {
    url: (host: number) => `https://${HOSTS[host]}:${port}/`,
    asked,
    get accepted() {
      return accepted
    },
    get most() {
      return most
    },
    isHolding: holding.promise,
    release: released.resolve,
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
  pools.push(pool)
  return pool
}

function clientWith(options: ClientOptions): Client {
  return new Client({
    ca: pki.ca,
    lookup: Object.fromEntries(HOSTS.map((host) => [host, '127.0.0.1'])),
    pins: { '*.pool.example.test': [leaf.pin] },
    ...options,
  })
}

describe('the versions of HTTP that are offered', () => {
  test.each([
    ['h2', true, 'h2'],
    ['h2', 'only', 'h2'],
    ['h2', false, 'ERR_TLS_ALPN'],
    ['http/1.1', true, 'http/1.1'],
    ['http/1.1', false, 'http/1.1'],
    ['http/1.1', 'only', 'ERR_TLS_ALPN'],
  ] as const)('a server of %s and http2: %s: %s', async (alpn, http2, outcome) => {
    const pool = await startPool(alpn)
    await using client = clientWith({ http2, retry: 2 })
    const request = client.get(pool.url(0))
    if (outcome === 'ERR_TLS_ALPN') {
      await expect(request).rejects.toMatchObject({ name: 'TlsError', code: outcome })
      expect(pool.asked).toEqual([])
    } else {
      expect((await request).tls?.alpn).toBe(outcome)
    }
  })

  test('a request chooses for itself, and goes over no connection of another choice', async () => {
    await using genuine = await startGenuine()
    const { ca, lookup, url } = genuine
    for (const ofClient of [true, false] as const) {
      await using client = new Client({ ca, lookup, http2: ofClient })
      const version = async (init?: RequestInit) => (await client.get(url, init)).httpVersion
      const usual = ofClient ? '2' : '1.1'
      expect(await version()).toBe(usual)
      expect(await version({ http2: false })).toBe('1.1')
      expect(await version({ http2: true })).toBe('2')
      expect(await version({ http2: 'only' })).toBe('2')
      expect(await version()).toBe(usual)
    }
    await using client = new Client()
    await expect(client.get('http://127.0.0.1:1/', { http2: 'only' })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
  })

  test('a burst to an origin of HTTP/2 alone makes one connection', async () => {
    const pool = await startPool('h2')
    await using client = clientWith({ http2: 'only' })
    await Promise.all(Array.from({ length: 50 }, () => client.get(pool.url(0))))
    expect(pool.accepted).toBe(1)
  })

  test('there is no HTTP/2 without TLS', async () => {
    await using client = new Client({ http2: 'only' })
    await expect(client.get('http://127.0.0.1:1/')).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining("http2 is 'only'"),
    })
  })
})

describe.each(['http/1.1', 'h2'] as const)('a limit to all connections, over %s', (alpn) => {
  test('holds, and every host is served', async () => {
    const pool = await startPool(alpn)
    await using client = clientWith({ totalConnections: 3 })
    const urls = HOSTS.flatMap((_, host) => Array.from({ length: 10 }, () => pool.url(host)))
    const bodies = await Promise.all(urls.map(async (url) => (await client.get(url)).text()))
    expect(new Set(bodies)).toEqual(new Set(['hello']))
    expect(pool.asked).toHaveLength(120)
    expect(pool.most).toBeLessThanOrEqual(3)
    expect(pool.accepted).toBeGreaterThanOrEqual(HOSTS.length)
  })

  test('an idle connection makes room for another host', async () => {
    const pool = await startPool(alpn)
    await using client = clientWith({ totalConnections: 1 })
    for (const host of [0, 1, 1, 0, 2]) await (await client.get(pool.url(host))).text()
    expect(pool.accepted).toBe(4) // the second request to host 1 found its connection
    expect(pool.most).toBe(1)
  })

  test('a busy host gives way after a turn', async () => {
    const pool = await startPool(alpn)
    await using client = clientWith({ totalConnections: 1 })
    let running = true
    await (await client.get(pool.url(0))).text()
    const keepBusy = async () => {
      while (running) await (await client.get(pool.url(0))).text()
    }
    const busy = Array.from({ length: 8 }, keepBusy)
    await Promise.all([1, 2, 3].map(async (host) => (await client.get(pool.url(host))).text()))
    running = false
    await Promise.all(busy)
    const last = Math.max(...['host1', 'host2', 'host3'].map((host) => pool.asked.indexOf(host)))
    // three hosts in their turn: each waits for a turn of 32 at most, and for what was under way
    expect(pool.asked.slice(0, last).filter((host) => host === 'host0').length).toBeLessThan(200)
    expect(pool.most).toBe(1)
  })

  test('who gives up while waiting leaves the queue', async () => {
    const pool = await startPool(alpn)
    await using client = clientWith({ totalConnections: 1 })
    const held = client.get(`${pool.url(0)}held`)
    const controller = new AbortController()
    const { signal } = controller
    const impatient = [1, 2, 3, 4, 5].map((host) => client.get(pool.url(host), { signal }))
    const refused = Promise.allSettled(impatient)
    const patient = client.get(pool.url(7))
    await pool.isHolding
    controller.abort()
    for (const { status } of await refused) expect(status).toBe('rejected')
    pool.release()
    expect(await (await held).text()).toBe('hello')
    expect(await (await patient).text()).toBe('hello')
    expect(pool.asked).toEqual(['host0', 'host7'])
    expect(await (await client.get(pool.url(8))).text()).toBe('hello')
  })
})

test('without a limit each host has its connection', async () => {
  const pool = await startPool('h2')
  await using client = clientWith({})
  await Promise.all(HOSTS.map((_, host) => client.get(pool.url(host))))
  expect(pool.accepted).toBe(HOSTS.length)
  expect(pool.most).toBe(HOSTS.length)
})
