import { X509Certificate } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import parsePrometheus from 'parse-prometheus-text-format'
import {
  Client,
  type HandshakeMessage,
  LivePolicy,
  type Metrics,
  PROMETHEUS_TYPE,
  prometheusText,
} from 'pinfetch'
import { afterEach, expect, test } from 'vitest'
import { startGenuine, startInterceptor, startProxy } from '../testkit.ts'

const stack: AsyncDisposable[] = []

afterEach(async () => {
  for (const used of stack.splice(0).reverse()) await used[Symbol.asyncDispose]()
})

async function start() {
  const server = await startGenuine({ alpn: ['http/1.1'] })
  stack.push(server)
  const { hostname, ca, lookup, leafPin, backupPin, rootPin } = server
  const pins = { [hostname]: [leafPin, backupPin], '**.example.test': [rootPin] }
  return { server, options: { ca, lookup, pins } }
}

test('each pattern tells its handshakes, which pins they met and when, and the first end of a certificate', async () => {
  const { server, options } = await start()
  const client = new Client(options)
  stack.push(client)
  expect(client.metrics()).toEqual({ patterns: [] })
  const before = Date.now()
  for (let round = 0; round < 3; round++) await (await client.get(server.url)).text()
  const { hostname, leafPin, backupPin, rootPin, pki } = server
  const one = { full: 1, resumed: 0 } // a request on a connection that is there is no handshake
  const none = { enforced: 0, reported: 0 }
  const soonestExpiry = {
    notAfter: new Date(
      Math.min(
        ...(['leaf', 'a1', 'rootA'] as const).map((role) =>
          Date.parse(new X509Certificate(pki.certificates[role].der).validTo),
        ),
      ),
    ),
    subject: expect.stringContaining('CN='),
    pin: expect.stringMatching(/^sha256\//),
  }
  const date = expect.any(Date)
  expect(client.metrics().patterns).toEqual([
    {
      pattern: '**.example.test',
      handshakes: one,
      mismatches: none,
      pins: [{ pin: rootPin, matches: 1, lastMatch: date }],
      soonestExpiry,
    },
    {
      pattern: hostname,
      handshakes: one,
      mismatches: none,
      pins: [
        { pin: leafPin, matches: 1, lastMatch: date },
        { pin: backupPin, matches: 0, lastMatch: null },
      ],
      soonestExpiry,
    },
  ])
  const [, own] = client.metrics().patterns
  const last = own?.pins[0]?.lastMatch?.getTime() ?? 0
  expect(last).toBeGreaterThanOrEqual(before - 1)
  expect(last).toBeLessThanOrEqual(Date.now() + 1)
})

test('a resumed handshake is one, and a refused one is a mismatch', async () => {
  const { server, options } = await start()
  const interceptor = await startInterceptor({ of: server })
  const client = new Client(options)
  stack.push(interceptor, client)
  const own = () => client.metrics().patterns.find(({ pattern }) => pattern === server.hostname)
  const resumed = async () => {
    await server.kick()
    return (await client.get(server.url)).tls.resumed
  }
  await client.get(server.url)
  await expect.poll(resumed).toBe(true)
  expect(own()?.handshakes.resumed).toBe(1)
  expect(own()?.pins[0]?.matches).toBe((own()?.handshakes.full ?? 0) + 1)
  await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  expect(own()?.mismatches).toEqual({ enforced: 1, reported: 0 })
})

test('a path that lacks pins which only report is a mismatch that was let through', async () => {
  const { server, options } = await start()
  const client = new Client({
    ...options,
    pins: { [server.hostname]: { pins: [server.backupPin], mode: 'report' } },
  })
  stack.push(client)
  for (const reuse of [true, true, false]) await client.get(server.url, { reuse })
  expect(client.metrics().patterns).toMatchObject([
    {
      pattern: server.hostname,
      mismatches: { enforced: 0, reported: 2 },
      pins: [{ pin: server.backupPin, matches: 0, lastMatch: null }],
    },
  ])
})

test("a pinned proxy's handshakes are counted by its own pattern", async () => {
  const { server, options } = await start()
  const proxy = await startProxy({ kind: 'connect', port: server.port, pki: server.pki })
  stack.push(proxy)
  const pins = { ...options.pins, [`${server.hostname}:${proxy.port}`]: [server.leafPin] }
  const client = new Client({
    ...options,
    pins,
    proxy: `https://${server.hostname}:${proxy.port}`,
  })
  stack.push(client)
  await client.get(server.url)
  const counts = client
    .metrics()
    .patterns.map(({ pattern, handshakes }) => [pattern, handshakes.full])
  expect(Object.fromEntries(counts)).toEqual({
    '**.example.test': 2,
    [server.hostname]: 2,
    [`${server.hostname}:${proxy.port}`]: 1,
  })
})

test('what a swap takes out of the policy is not told any more, and what stays keeps its numbers', async () => {
  const { server, options } = await start()
  const client = new Client(options)
  stack.push(client)
  await client.get(server.url)
  await client.setPins({ [server.hostname]: [server.backupPin, server.leafPin] })
  const { hostname, backupPin, leafPin } = server
  expect(client.metrics().patterns).toMatchObject([
    {
      pattern: hostname,
      handshakes: { full: 1 },
      pins: [
        { pin: backupPin, matches: 0 },
        { pin: leafPin, matches: 1 },
      ],
    },
  ])
})

test('a live policy counts for all of its clients, those that are closed included', async () => {
  const { server, options } = await start()
  const live = new LivePolicy(options.pins)
  for (let index = 0; index < 3; index++) {
    const client = new Client({ ...options, pins: live })
    await client.get(server.url)
    if (index < 2) await client.close()
    else stack.push(client)
  }
  for (const { handshakes, pins } of live.metrics().patterns)
    expect([handshakes.full, pins[0]?.matches]).toEqual([3, 3])
})

test('a channel tells of each handshake', async () => {
  const { server, options } = await start()
  const interceptor = await startInterceptor({ of: server })
  const client = new Client(options)
  stack.push(interceptor, client)
  const told: HandshakeMessage[] = []
  // the channel's message, as its documentation has it
  const listener = (message: unknown) => told.push(message as HandshakeMessage)
  await client.get(server.url, { reuse: false }) // nobody listens yet
  subscribe('pinfetch:handshake', listener)
  await client.get(server.url)
  await client.get(server.url)
  await expect(client.get(interceptor.url)).rejects.toThrow()
  unsubscribe('pinfetch:handshake', listener)
  await client.get(server.url, { reuse: false })
  const { hostname, leafPin, pathPins } = server
  const common = {
    hostname,
    patterns: expect.arrayContaining([hostname]),
    resumed: expect.any(Boolean),
  }
  expect(told).toMatchObject([
    {
      ...common,
      port: server.port,
      remoteAddress: `127.0.0.1:${server.port}`,
      connection: expect.any(Number),
      matchedPin: leafPin,
      foundPins: pathPins,
    },
    {
      ...common,
      port: interceptor.port,
      connection: null,
      matchedPin: null,
      foundPins: interceptor.pathPins,
    },
  ])
})

test('the text for Prometheus is read back by a parser as it was', () => {
  const pin = `sha256/${'A'.repeat(43)}=`
  const odd = 'CN=a "quoted"\\, name\nof two lines,O=Ä'
  const metrics: Metrics = {
    patterns: [
      {
        pattern: '**.example.test:8443',
        handshakes: { full: 3, resumed: 2 ** 40 },
        mismatches: { enforced: 1, reported: 0 },
        pins: [
          { pin, matches: 4, lastMatch: new Date(1_700_000_000_250) },
          { pin: `sha256/${'B'.repeat(43)}=`, matches: 0, lastMatch: null },
        ],
        soonestExpiry: { notAfter: new Date(1_800_000_000_000), subject: odd, pin },
      },
    ],
  }
  const text = prometheusText(metrics)
  const families = parsePrometheus(text)
  const samples = Object.fromEntries(families.map(({ name, metrics }) => [name, metrics]))
  const pattern = '**.example.test:8443'
  expect(samples).toEqual({
    pinfetch_handshakes_total: [
      { labels: { pattern, kind: 'full' }, value: '3' },
      { labels: { pattern, kind: 'resumed' }, value: String(2 ** 40) },
    ],
    pinfetch_pin_mismatches_total: [
      { labels: { pattern, mode: 'enforced' }, value: '1' },
      { labels: { pattern, mode: 'reported' }, value: '0' },
    ],
    pinfetch_pin_matches_total: [
      { labels: { pattern, pin }, value: '4' },
      { labels: { pattern, pin: `sha256/${'B'.repeat(43)}=` }, value: '0' },
    ],
    pinfetch_pin_last_match_timestamp_seconds: [
      { labels: { pattern, pin }, value: '1700000000.25' },
    ],
    pinfetch_path_expiry_timestamp_seconds: [
      { labels: { pattern, subject: odd, pin }, value: '1800000000' },
    ],
  })
  expect(families.map(({ type }) => type)).toEqual([
    ...['COUNTER', 'COUNTER', 'COUNTER', 'GAUGE', 'GAUGE'],
  ])
  expect(families.every(({ help }) => help.length > 0)).toBe(true)
  expect(text.endsWith('\n')).toBe(true)
  expect(PROMETHEUS_TYPE).toContain('version=0.0.4')
  expect(prometheusText({ patterns: [] })).toMatch(/^(# (HELP|TYPE) .+\n)+$/)
})
