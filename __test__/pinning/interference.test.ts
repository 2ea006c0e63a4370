import { Client } from 'pinfetch'
import { describe, expect, test } from 'vitest'
import {
  type Behaviour,
  type EndpointOptions,
  startGenuine,
  startInterceptor,
  startKit,
} from '../testkit.ts'

describe.each([
  { protocol: 'h2', version: '1.2' },
  { protocol: 'h2', version: '1.3' },
  { protocol: 'http/1.1', version: '1.2' },
  { protocol: 'http/1.1', version: '1.3' },
] as const)('over $protocol and TLS $version', ({ protocol, version }) => {
  const spoken: EndpointOptions = { alpn: [protocol], versions: [version] }

  test('sessions resume under the same pins and never under others', async () => {
    await using genuine = await startGenuine(spoken)
    const { hostname, ca, lookup, leafPin, intermediatePin, backupPin } = genuine
    await using client = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
    const reconnect = async () => {
      await genuine.kick()
      const response = await client.get(genuine.url)
      await response.text()
      return response.tls
    }
    await reconnect()
    expect(await reconnect()).toMatchObject({ resumed: true, matchedPin: leafPin })
    expect((await genuine.stats()).resumed).toBeGreaterThan(0)

    await client.setPins({ [hostname]: [intermediatePin] })
    expect(await reconnect()).toMatchObject({ resumed: false, matchedPin: intermediatePin })

    await client.setPins({ [hostname]: [backupPin] })
    await expect(client.get(genuine.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })

    await using other = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
    expect((await other.get(genuine.url)).tls.resumed).toBe(false)
  })

  test('an interceptor that knows the ticket keys is refused all the same', async () => {
    await using genuine = await startGenuine(spoken)
    await using interceptor = await startInterceptor({ of: genuine, ticketKeyOf: genuine })
    const { hostname, ca, lookup, leafPin } = genuine
    await using client = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
    expect((await client.get(genuine.url)).status).toBe(200)
    await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    expect(await interceptor.applicationBytes()).toBe(0)
  })

  test('a certificate that changes under 64 waiting requests fails each of them once', async () => {
    // without sessions: one that is resumed proves the key that it was made with
    await using genuine = await startGenuine({ ...spoken, tickets: false })
    const { hostname, ca, lookup, leafPin } = genuine
    let handled = 0
    await using client = new Client({
      ca,
      lookup,
      connections: 8,
      pins: { [hostname]: [leafPin] },
      onBadPin: () => {
        handled += 1
      },
    })
    expect((await client.get(genuine.url)).status).toBe(200)
    await genuine.present(['rogueLeaf', 'b1'])
    await genuine.kick()
    const { requests } = await genuine.stats()
    const results = await Promise.allSettled(
      Array.from({ length: 64 }, () => client.get(genuine.url)),
    )
    for (const result of results) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ERR_BAD_PIN' } })
    }
    expect(handled).toBe(64)
    expect((await genuine.stats()).requests).toBe(requests)
  })

  test('what is written out of turn answers no request', async () => {
    await using writer = await startGenuine({ ...spoken, behaviour: 'early-writer', delay: 5 })
    const { hostname, ca, lookup, leafPin } = writer
    await using client = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
    for (let round = 0; round < 4; round += 1) {
      const { unsolicited } = await writer.stats()
      const response = await client.get(writer.url)
      expect(await response.text()).toBe('hello from genuine')
      // the next request comes after the server has spoken out of turn on the idle connection
      while ((await writer.stats()).unsolicited === unsolicited) {
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
  })

  test('advertised alternatives are never used', async () => {
    await using genuine = await startGenuine({
      ...spoken,
      behaviour: 'origin-frame',
      origins: ['https://other.example.test'],
      udp: true,
      names: ['api.example.test', 'other.example.test'],
    })
    const { hostname, ca, leafPin, backupPin } = genuine
    const lookup = { [hostname]: '127.0.0.1', 'other.example.test': '127.0.0.1' }
    await using client = new Client({
      ca,
      lookup,
      pins: { [hostname]: [leafPin], 'other.example.test': [backupPin] },
    })
    await (await client.get(genuine.url)).text()
    // the same certificate, address and port, and claimed by the live connection: it opens its own, and is refused
    await expect(client.get(`https://other.example.test:${genuine.port}/`)).rejects.toMatchObject({
      code: 'ERR_BAD_PIN',
      hostname: 'other.example.test',
    })
    await (await client.get(genuine.url)).text()
    expect(await genuine.stats()).toMatchObject({ datagrams: 0, requests: 2 })
  })
})

test.each<[Behaviour, string]>([
  ['garbage', 'ERR_'],
  ['garbage-handshake', 'ERR_TLS_'],
  ['close-handshake', 'ERR_CONNECTION_CLOSED'],
  ['cut-response', 'ERR_CONNECTION_CLOSED'],
  ['stall-handshake', 'ERR_TIMEOUT'],
  ['stall-response', 'ERR_TIMEOUT'],
  ['stall-body', 'ERR_TIMEOUT'],
])('a server whose behaviour is %s ends the request with %s', async (behaviour, code) => {
  await using kit = await startKit()
  await using server = await startGenuine({ kit, behaviour, alpn: ['http/1.1'] })
  const { hostname, ca, lookup, leafPin } = server
  await using client = new Client({ ca, lookup, timeout: 400, pins: { [hostname]: [leafPin] } })
  await expect(client.get(server.url)).rejects.toMatchObject({
    code: expect.stringContaining(code),
  })
})

test('an IPv6 address is pinned in every spelling', async () => {
  await using genuine = await startGenuine({ host: '::1', hostname: '::1' })
  await using interceptor = await startInterceptor({ of: genuine, host: '::1' })
  await using client = new Client({ ca: genuine.ca, pins: { '[0:0::0:1]': [genuine.leafPin] } })
  expect((await client.get(genuine.url)).tls.matchedPin).toBe(genuine.leafPin)
  for (const spelling of ['[::1]', '[0:0:0:0:0:0:0:1]', '[0::1]']) {
    await expect(client.get(`https://${spelling}:${interceptor.port}/`)).rejects.toMatchObject({
      code: 'ERR_BAD_PIN',
    })
  }
  expect(await interceptor.applicationBytes()).toBe(0)
})

test('pins are read from own properties only, each once', async () => {
  const pin = 'sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
  let read = 0
  const pins = Object.create({ 'inherited.example.com': 'no pin at all' }) as Record<
    string,
    unknown
  >
  Object.defineProperty(pins, 'api.example.com', {
    enumerable: true,
    get() {
      read += 1
      return [pin]
    },
  })
  Object.defineProperty(pins, '__proto__', { enumerable: true, value: [pin] })
  Object.defineProperty(pins, 'constructor', { enumerable: true, value: [pin] })
  await using client = new Client({ pins: pins as Record<string, string[]> })
  expect(read).toBe(1)
  await expect(client.get('http://__proto__/')).rejects.toMatchObject({
    code: 'ERR_POLICY_PLAINTEXT',
  })
  await expect(client.get('http://constructor/')).rejects.toMatchObject({
    code: 'ERR_POLICY_PLAINTEXT',
  })
  await expect(client.get('http://api.example.com/')).rejects.toMatchObject({
    code: 'ERR_POLICY_PLAINTEXT',
  })
})
