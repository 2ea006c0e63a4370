import { createServer } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Client } from '../../src/index.js'
import { clientOf } from '../clients.js'
import {
  type Endpoint,
  type ForwardProxy,
  startGenuine,
  startInterceptor,
  startProxy,
} from '../testkit.js'

afterEach(() => {
  vi.unstubAllEnvs()
})

/** Every kind of proxy in front of `to`, with credentials and without. */
const kinds = [
  ['HTTP', { kind: 'connect' }],
  ['HTTP with credentials', { kind: 'connect', credentials: 'user:pass%:word' }],
  ['HTTP with a user name only', { kind: 'connect', credentials: 'user:' }],
  ['HTTPS with credentials', { kind: 'connect', credentials: 'user:secret' }],
  ['SOCKS5', { kind: 'socks5' }],
  ['SOCKS5 with credentials', { kind: 'socks5', credentials: 'user:secret' }],
] as const

type Kind = readonly [name: string, options: (typeof kinds)[number][1]]

async function proxyTo(to: Endpoint, [name, options]: Kind): Promise<ForwardProxy> {
  return startProxy({ ...options, to, ...(name.startsWith('HTTPS') && { pki: to.pki }) })
}

/** The proxy's URL; one with TLS is called by a name that its certificate is for. */
function urlOf(proxy: ForwardProxy, to: Endpoint, [name]: Kind): string {
  return name.startsWith('HTTPS') ? proxy.at(to.hostname) : proxy.url
}

describe.each(kinds)('through a proxy: %s', (...kind) => {
  test.each([['http/1.1'], ['h2']] as const)('a pinned request passes over %s', async (alpn) => {
    await using server = await startGenuine({ alpn: [alpn] })
    await using proxy = await proxyTo(server, kind)
    await using client = clientOf(server, { proxy: urlOf(proxy, server, kind) })
    for (let round = 0; round < 3; round += 1) {
      const response = await client.get(server.at('/bytes/3'))
      expect(await response.text()).toBe('abc')
      expect(response.tls.matchedPin).toBe(server.leafPin)
    }
    expect(await proxy.stats()).toMatchObject({
      accepted: 1,
      tunnels: 1,
      unauthorised: 0,
      authorities: [`${server.hostname}:${server.port}`],
    })
  })

  test('one that reads what it carries gets nothing to read', async () => {
    await using server = await startGenuine()
    await using interceptor = await startInterceptor({ of: server })
    await using proxy = await proxyTo(interceptor, kind)
    await using genuine = await proxyTo(server, kind)
    const told: string[] = []
    await using client = clientOf(server, {
      proxy: urlOf(proxy, server, kind),
      onBadPin: (event) => void told.push(event.request.url),
    })
    await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    expect(await interceptor.applicationBytes()).toBe(0)
    expect(told).toEqual([server.url])
    const control = await client.get(server.url, { proxy: urlOf(genuine, server, kind) })
    expect(control.status).toBe(200)
  })
})

test.each([
  ['connect', 502, { status: 502 }],
  ['connect', 403, { status: 403 }],
  ['connect', 407, { status: 407 }],
  ['socks5', 2, { socksCode: 2 }],
  ['socks5', 5, { socksCode: 5 }],
] as const)(
  'a %s proxy that refuses with %i is told of, and not gone round',
  async (kind, refuse, facts) => {
    await using server = await startGenuine()
    await using proxy = await startProxy({ kind, credentials: 'user:hunter2', to: server, refuse })
    await using client = clientOf(server, { proxy: proxy.url })
    const failure: unknown = await client.get(server.url).catch((error: unknown) => error)
    expect(failure).toMatchObject({ name: 'ProxyError', code: 'ERR_PROXY', ...facts })
    expect(`${String(failure)} ${JSON.stringify(failure)}`).not.toContain('hunter2')
    expect(await server.stats()).toMatchObject({ accepted: 0 })
    await proxy.refuse(null)
    expect((await client.get(server.url)).status).toBe(200)
  },
)

test.each(['connect', 'socks5'] as const)(
  'a %s proxy that wants other credentials is told of',
  async (kind) => {
    await using server = await startGenuine()
    await using proxy = await startProxy({ kind, credentials: 'user:right', to: server })
    await using client = clientOf(server)
    for (const credentials of ['', 'user:hunter2', 'user:']) {
      const failure: unknown = await client
        .get(server.url, { proxy: proxy.at('127.0.0.1', credentials) })
        .catch((error: unknown) => error)
      expect(failure, credentials).toMatchObject({ code: 'ERR_PROXY' })
      expect(`${String(failure)} ${JSON.stringify(failure)}`).not.toContain('hunter2')
    }
    expect(await server.stats()).toMatchObject({ accepted: 0 })
    expect((await client.get(server.url, { proxy: proxy.url })).status).toBe(200)
  },
)

test('a proxy that is down is an error, and never a direct connection', async () => {
  await using server = await startGenuine()
  const gone = createServer()
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve))
  const { port } = gone.address() as AddressInfo
  await new Promise((resolve) => gone.close(resolve))
  for (const scheme of ['http', 'https', 'socks5', 'socks5h']) {
    await using client = clientOf(server, { proxy: `${scheme}://127.0.0.1:${port}` })
    await expect(client.get(server.url)).rejects.toMatchObject({
      code: 'ERR_PROXY',
      systemCode: 'ECONNREFUSED',
    })
  }
  expect(await server.stats()).toMatchObject({ accepted: 0 })
})

test('connections belong to a proxy and its credentials', async () => {
  await using server = await startGenuine()
  await using one = await startProxy({ kind: 'connect', to: server })
  await using other = await startProxy({ kind: 'connect', to: server })
  await using client = clientOf(server)
  const names = [one.url, other.url, one.at('127.0.0.1', 'a:1'), one.at('127.0.0.1', 'a:2'), null]
  const connections = new Set<string | null>()
  for (const proxy of [...names, ...names]) {
    const response = await client.get(server.url, { proxy })
    connections.add(response.headers.get('server-connection'))
  }
  expect(connections.size).toBe(5)
  expect(await one.stats()).toMatchObject({ tunnels: 3 })
  expect(await other.stats()).toMatchObject({ tunnels: 1 })
})

test('the environment names proxies when it is asked', async () => {
  await using server = await startGenuine()
  await using proxy = await startProxy({ kind: 'connect', to: server })
  vi.stubEnv('HTTPS_PROXY', proxy.url)
  vi.stubEnv('NO_PROXY', undefined)
  await using direct = clientOf(server)
  await direct.get(server.url)
  expect(await proxy.stats()).toMatchObject({ tunnels: 0 })
  await using client = clientOf(server, { proxy: 'environment' })
  await client.get(server.url)
  expect(await proxy.stats()).toMatchObject({ tunnels: 1 })
  vi.stubEnv('NO_PROXY', server.hostname)
  await using spared = clientOf(server, { proxy: 'environment' })
  await spared.get(server.url)
  expect(await proxy.stats()).toMatchObject({ tunnels: 1 })
  vi.stubEnv('HTTPS_PROXY', 'http://user:hunter2@')
  expect(() => clientOf(server, { proxy: 'environment' })).toThrow(/HTTPS_PROXY/)
  expect(() => clientOf(server, { proxy: 'environment' })).not.toThrow(/hunter2/)
})

test('an HTTPS proxy is verified, and its pins hold', async () => {
  await using server = await startGenuine()
  await using proxy = await startProxy({ kind: 'connect', pki: server.pki, to: server })
  const url = proxy.at(server.hostname)
  const wrong = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
  const place = `${server.hostname}:${proxy.port}`
  const host = `${server.hostname}:${server.port}`

  await using client = clientOf(server, {
    proxy: url,
    pins: { [host]: [server.leafPin], [place]: [server.leafPin] },
  })
  expect((await client.get(server.url)).status).toBe(200)
  const swap = await client.setPins({ [host]: [server.leafPin], [place]: [wrong] })
  expect(swap).toEqual({ closedConnections: 1 })
  const before = await proxy.stats()
  await expect(client.get(server.url)).rejects.toMatchObject({
    code: 'ERR_BAD_PIN',
    port: proxy.port,
  })
  expect((await proxy.stats()).authorities).toEqual(before.authorities) // it was asked for nothing

  await using untrusting = clientOf(server, { proxy: url, ca: server.pki.certificates.rootB.pem })
  await expect(untrusting.get(server.url)).rejects.toMatchObject({
    code: 'ERR_CERT_UNKNOWN_ISSUER',
  })
  await using misnamed = clientOf(server, { proxy: proxy.at('127.0.0.1') })
  await expect(misnamed.get(server.url)).rejects.toMatchObject({ code: 'ERR_CERT_NAME_MISMATCH' })
  await using plain = clientOf(server, {
    proxy: url.replace('https:', 'http:'),
    pins: { [place]: [server.leafPin] },
  })
  await expect(plain.get(server.url)).rejects.toMatchObject({ code: 'ERR_POLICY_PLAINTEXT' })
})

test.each([
  ['changes nothing', 1],
  ['takes the pin of an HTTPS proxy out', 0],
  ['trusts something else of an HTTPS proxy', 1],
])('a swap during the handshake with a proxy that %s', async (swap, tunnels) => {
  await using server = await startGenuine()
  const credentials = 'user:secret'
  await using proxy = await startProxy({
    kind: 'connect',
    pki: server.pki,
    to: server,
    credentials,
  })
  // in front of the proxy stands one that holds back what the proxy says first, until it is told
  let hold = () => {}
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    hold = resolve
  })
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const sockets: Socket[] = []
  const relay = createTcpServer((near) => {
    const far = connect(proxy.port, '127.0.0.1')
    for (const socket of [near, far]) sockets.push(socket.on('error', () => {})) // its end shows
    near.pipe(far)
    near.once('data', () => hold())
    void released.then(() => far.pipe(near))
  })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  const { port } = relay.address() as AddressInfo
  const place = `${server.hostname}:${port}`
  const pinned = (pin: string, trust: 'ca' | { ca: string }) => ({
    [`${server.hostname}:${server.port}`]: [server.leafPin],
    [place]: { pins: [pin], trust },
  })
  const own = { ca: server.ca }
  await using client = clientOf(server, {
    proxy: `https://${credentials}@${place}`,
    pins: pinned(server.leafPin, own),
  })
  try {
    const response = client.get(server.url)
    response.catch(() => {}) // looked at later
    await held
    const stranger = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
    await client.setPins(
      pinned(
        tunnels === 0 ? stranger : server.leafPin,
        swap.startsWith('trusts') ? 'ca' : own, // the client's own, among which the same is
      ),
    )
    release()
    // a trust that changed is nobody's fault: another handshake is made under the new one
    if (tunnels > 0) expect((await response).status).toBe(200)
    else await expect(response).rejects.toMatchObject({ code: 'ERR_BAD_PIN', port })
    const stats = await proxy.stats()
    expect(stats.authorities).toHaveLength(tunnels)
    expect(stats.handshakes).toBe(swap.startsWith('trusts') ? 2 : 1)
  } finally {
    for (const socket of sockets) socket.destroy()
    relay.close()
  }
})

test.each(['https', 'http'])('the pin set of an %s: proxy ends as any other', async (scheme) => {
  await using server = await startGenuine()
  const pki = scheme === 'https' && { pki: server.pki }
  await using proxy = await startProxy({ kind: 'connect', ...pki, to: server })
  const place = `${server.hostname}:${proxy.port}`
  const of = (at: Date, then: 'enforce' | 'report' | 'refuse') => {
    // plain TCP has no path to enforce pins on
    const mode = scheme === 'https' ? 'enforce' : 'report'
    return { [place]: { pins: [server.leafPin], mode, expires: { at, then } } } as const
  }
  const past = new Date(Date.now() - 86_400_000)
  const soon = new Date((Math.floor(Date.now() / 1000) + 86_400) * 1000)
  const logged: unknown[] = []
  await using client = clientOf(server, {
    proxy: proxy.at(server.hostname),
    pins: of(soon, 'refuse'),
    logger: { warn: (message, facts) => void logged.push([message, facts.pattern]) },
  })
  expect((await client.get(server.url)).status).toBe(200)
  expect(logged).toContainEqual(['a pin set ends soon', place])

  const before = await proxy.stats()
  expect(await client.setPins(of(past, 'refuse'))).toMatchObject({ closedConnections: 1 })
  const refused = { code: 'ERR_POLICY_EXPIRED', port: proxy.port, pattern: place }
  await expect(client.get(server.url)).rejects.toMatchObject(refused)
  await using fresh = clientOf(server, {
    proxy: proxy.at(server.hostname),
    pins: of(past, 'refuse'),
  })
  await expect(fresh.get(server.url)).rejects.toMatchObject(refused)
  expect((await proxy.stats()).accepted).toBe(before.accepted)

  await client.setPins(of(past, 'enforce'))
  expect((await client.get(server.url)).status).toBe(200)
  expect(logged).toContainEqual(['a pin set has ended', place])
})

test('http: goes through an HTTP proxy in absolute form, with credentials for the proxy alone', async () => {
  const heads: Record<string, unknown>[] = []
  const server = createServer((request, response) => {
    heads.push({ url: request.url, ...request.headers })
    response.end('plain')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  try {
    await using proxy = await startProxy({ kind: 'connect', credentials: 'user:secret' })
    await using client = new Client({ proxy: proxy.url })
    const response = await client.get(`http://127.0.0.1:${port}/path?query`)
    expect(await response.text()).toBe('plain')
    expect(await proxy.stats()).toMatchObject({ forwarded: 1, tunnels: 0 })
    expect(heads).toMatchObject([{ url: '/path?query', host: `127.0.0.1:${port}` }])
    expect(heads[0]).not.toHaveProperty('proxy-authorization')
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test.each([
  ['', /empty/],
  ['127.0.0.1:3128', /begins with http/],
  ['ftp://user:hunter2@proxy.test', /begins with http/],
  ['http://user:hunter2@proxy.test/path', /ends after the port/],
  ['http://user:hunter2@proxy.test:0', /port/],
  ['http://user:hunter2@', /host/],
  ['http://@proxy.test', /both empty/],
])(
  'the proxy %j is refused, in a client and in a request, and not quoted',
  async (proxy, message) => {
    const failures: unknown[] = []
    try {
      new Client({ proxy })
    } catch (error) {
      failures.push(error)
    }
    await using client = new Client()
    await client
      .get('https://api.example.test/', { proxy })
      .catch((error: unknown) => failures.push(error))
    expect(failures).toMatchObject([
      {
        name: 'PolicyError',
        code: 'ERR_POLICY_INVALID_OPTION',
        message: expect.stringMatching(message),
      },
      { name: 'TypeError', code: 'ERR_INVALID_ARGUMENT', message: expect.stringMatching(message) },
    ])
    expect(failures.map(String).join()).not.toContain('hunter2')
  },
)
