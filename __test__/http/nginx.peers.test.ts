import { BadPinError, Client } from 'pinfetch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Nginx, startNginx } from '../nginx.ts'
import { type Kit, type Pki, standardPki, startKit } from '../testkit.ts'

const NAMES = ['api.example.test', 'other.example.test']
type Listener = 'both' | 'http1' | 'tls12' | 'rogue' | 'shortLived' | 'plain' | 'few'

let kit: Kit
let pki: Pki
let nginx: Nginx<Listener>
let lookup: Record<string, string>

beforeAll(async () => {
  kit = await startKit()
  pki = await standardPki(kit, { names: NAMES })
  lookup = Object.fromEntries(NAMES.map((name) => [name, '127.0.0.1']))
  const { leaf, a1, rogueLeaf, b1 } = pki.certificates
  nginx = await startNginx({
    files: {
      'genuine.pem': leaf.pem + a1.pem,
      'genuine.key': leaf.keyPem,
      // the genuine certificates stand behind the interceptor's own, where they prove nothing
      'rogue.pem': rogueLeaf.pem + b1.pem + leaf.pem + a1.pem,
      'rogue.key': rogueLeaf.keyPem,
      'index.html': 'hello from nginx',
      'large.bin': Buffer.alloc(3 << 20, 'nginx'),
    },
    http: `ssl_certificate genuine.pem;
  ssl_certificate_key genuine.key;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:sessions:1m;
  ssl_session_tickets on;`,
    servers: {
      both: (port) => `server { listen 127.0.0.1:${port} ssl http2; }`,
      http1: (port) => `server { listen 127.0.0.1:${port} ssl; }`,
      tls12: (port) =>
        `server { listen 127.0.0.1:${port} ssl; ssl_protocols TLSv1.2; keepalive_timeout 0; }`,
      rogue: (port) =>
        `server { listen 127.0.0.1:${port} ssl http2; ssl_certificate rogue.pem; ssl_certificate_key rogue.key; }`,
      shortLived: (port) => `server { listen 127.0.0.1:${port} ssl http2; keepalive_requests 7; }`,
      few: (port) =>
        `server { listen 127.0.0.1:${port} ssl http2; http2_max_concurrent_streams 3; add_header x-connection $connection; }`,
      plain: (port) => `server { listen 127.0.0.1:${port}; }`,
    },
  })
})

afterAll(async () => {
  await nginx?.close()
  await kit?.close()
})

const at = (listener: Listener, path = '/', name = 'api.example.test') =>
  `https://${name}:${nginx.ports[listener]}${path}`

function pinned(options: object = {}): Client {
  return new Client({
    ca: pki.ca,
    lookup,
    pins: { '**.example.test': [pki.certificates.leaf.pin] },
    ...options,
  })
}

describe.each([
  ['HTTP/2', 'both', {}, '2'],
  ['HTTP/1.1', 'both', { http2: false }, '1.1'],
  ['HTTP/1.1 only', 'http1', {}, '1.1'],
  ['TLS 1.2', 'tls12', {}, '1.1'],
] as const)('over %s', (_name, listener, options, httpVersion) => {
  test('a pinned request reaches nginx', async () => {
    await using client = pinned(options)
    const response = await client.get(at(listener))
    expect(response).toMatchObject({ status: 200, httpVersion })
    expect(response.tls.matchedPin).toBe(pki.certificates.leaf.pin)
    expect(response.tls.verifiedPath.map(({ pin }) => pin)).toEqual(pki.pathPins('leaf'))
    expect(await response.text()).toBe('hello from nginx')
  })

  test('a large body arrives whole', async () => {
    await using client = pinned(options)
    const bytes = await (await client.get(at(listener, '/large.bin'))).bytes()
    expect(Buffer.compare(Buffer.from(bytes), Buffer.alloc(3 << 20, 'nginx'))).toBe(0)
  })

  test('64 requests at once are answered', async () => {
    await using client = pinned({ ...options, connections: 8 })
    const texts = Array.from({ length: 64 }, async () => (await client.get(at(listener))).text())
    expect(new Set(await Promise.all(texts))).toEqual(new Set(['hello from nginx']))
  })
})

test('an interceptor that appends the genuine certificates is refused', async () => {
  const seen: string[] = []
  await using client = pinned({ onBadPin: () => void seen.push('handler') })
  await expect(client.get(at('rogue')).finally(() => seen.push('error'))).rejects.toThrow(
    BadPinError,
  )
  expect(seen).toEqual(['handler', 'error'])
  expect((await client.get(at('both'))).status).toBe(200) // the control
})

test('a session resumes under the same pins, keeps its path, and dies with them', async () => {
  await using client = pinned()
  const get = async () => {
    const response = await client.get(at('tls12')) // nginx closes after each response
    await response.text()
    return response.tls
  }
  expect((await get()).resumed).toBe(false)
  const resumed = await get()
  expect(resumed.resumed).toBe(true)
  expect(resumed.matchedPin).toBe(pki.certificates.leaf.pin)
  expect(resumed.verifiedPath.map(({ pin }) => pin)).toEqual(pki.pathPins('leaf'))
  await client.setPins({ '**.example.test': [pki.certificates.a1.pin] })
  const renewed = await get()
  expect(renewed.resumed).toBe(false)
  expect(renewed.matchedPin).toBe(pki.certificates.a1.pin)
  await client.setPins({ '**.example.test': [pki.certificates.nextLeaf.pin] })
  await expect(client.get(at('tls12'))).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
})

test('no session is carried to another name of the same server', async () => {
  await using client = pinned({
    pins: {
      'api.example.test': [pki.certificates.leaf.pin],
      'other.example.test': [pki.certificates.nextLeaf.pin],
    },
  })
  await (await client.get(at('tls12'))).text()
  await expect(client.get(at('tls12', '/', 'other.example.test'))).rejects.toMatchObject({
    code: 'ERR_BAD_PIN',
    hostname: 'other.example.test',
  })
})

test('no request is lost when nginx ends its connections with GOAWAY', async () => {
  await using client = pinned()
  const results = await Promise.all(
    Array.from({ length: 200 }, async () => (await client.get(at('shortLived'))).status),
  )
  expect(results.every((status) => status === 200)).toBe(true)
})

test('plain http: is for hosts without pins', async () => {
  await using client = pinned()
  const url = `http://api.example.test:${nginx.ports.plain}/`
  await expect(client.get(url)).rejects.toMatchObject({ code: 'ERR_POLICY_PLAINTEXT' })
  await using open = pinned({ pins: {} })
  expect(await (await open.get(url)).text()).toBe('hello from nginx')
})

describe('a server that allows three streams a connection', () => {
  test.each([
    ['one connection by default', undefined, 1],
    ['as many as are allowed', { connections: 4 }, 4],
  ])('serves a burst over %s', async (_how, http2, connections) => {
    await using client = pinned({ http2 })
    expect((await client.get(at('few'))).status).toBe(200) // the server's limit is known from here on
    const used = new Set<string | null>()
    const lengths = await Promise.all(
      Array.from({ length: 60 }, async () => {
        const response = await client.get(at('few', '/large.bin'))
        used.add(response.headers.get('x-connection'))
        return (await response.bytes()).length
      }),
    )
    expect(lengths).toEqual(new Array(60).fill(3 << 20))
    expect(used.size).toBe(connections)
  })

  test.each(['chrome_156', 'firefox_153', 'safari_18'] as const)(
    'serves a client like %s',
    async (profile) => {
      await using client = pinned({ profile })
      const response = await client.get(at('both', '/large.bin'))
      expect((await response.bytes()).length).toBe(3 << 20)
      expect([response.httpVersion, response.tls?.matchedPin]).toEqual([
        '2',
        pki.certificates.leaf.pin,
      ])
      await expect(client.get(at('rogue'))).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    },
  )
})
