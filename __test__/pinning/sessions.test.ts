import { Client } from 'pinfetch'
import { describe, expect, test } from 'vitest'
import { startGenuine, startInterceptor } from '../testkit.ts'

const NAMES = ['a.example.test', 'b.example.test'] as const

describe.each([
  { protocol: 'h2', version: '1.2' },
  { protocol: 'h2', version: '1.3' },
  { protocol: 'http/1.1', version: '1.2' },
  { protocol: 'http/1.1', version: '1.3' },
] as const)('over $protocol and TLS $version', ({ protocol, version }) => {
  const spoken = { alpn: [protocol], versions: [version] } as const

  test('a session is resumed by its own client for its own port, and by nobody else', async () => {
    await using one = await startGenuine(spoken)
    await using other = await startGenuine({ ...spoken, pki: one.pki, ticketKeyOf: one })
    const options = { ca: one.ca, lookup: one.lookup, pins: { [one.hostname]: [one.leafPin] } }
    await using client = new Client(options)
    await using stranger = new Client(options)
    const resumed = async (of: Client, url: string) => (await of.get(url)).tls.resumed

    expect(await resumed(client, one.url)).toBe(false)
    await one.kick()
    await expect.poll(() => resumed(client, one.url)).toBe(true) // the control
    expect(await resumed(client, other.url)).toBe(false)
    expect(await resumed(stranger, one.url)).toBe(false)
  })

  test('a session of one name is not resumed for another at the same address', async () => {
    await using server = await startGenuine({ ...spoken, hostname: NAMES[0], names: NAMES })
    await using client = new Client({
      ca: server.ca,
      lookup: { [NAMES[0]]: '127.0.0.1', [NAMES[1]]: '127.0.0.1' },
    })
    await client.get(`https://${NAMES[0]}:${server.port}/`)
    const response = await client.get(`https://${NAMES[1]}:${server.port}/`)
    expect(response.tls.resumed).toBe(false)
    expect((await server.stats()).accepted).toBe(2) // and no connection is shared between names
  })

  test('a certificate for two names passes for each by its own pins alone', async () => {
    await using server = await startGenuine({ ...spoken, hostname: NAMES[0], names: NAMES })
    await using client = new Client({
      ca: server.ca,
      lookup: { [NAMES[0]]: '127.0.0.1', [NAMES[1]]: '127.0.0.1' },
      pins: { [NAMES[1]]: [server.backupPin] },
    })
    const [first, second] = NAMES.map((name) => `https://${name}:${server.port}/`)
    expect((await client.get(first ?? '')).status).toBe(200)
    await expect(client.get(second ?? '')).rejects.toMatchObject({
      code: 'ERR_BAD_PIN',
      hostname: NAMES[1],
    })
    expect((await server.stats()).requests).toBe(1)
    await client.setPins({ [NAMES[1]]: [server.leafPin] })
    expect((await client.get(second ?? '')).status).toBe(200)
  })

  test('one who holds the ticket key resumes nothing for whom the pins refuse', async () => {
    await using genuine = await startGenuine(spoken)
    await using thief = await startInterceptor({ of: genuine, ticketKeyOf: genuine })
    const { hostname, ca, lookup, leafPin, backupPin } = genuine
    await using client = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
    await client.get(genuine.url)
    await expect(client.get(thief.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    await client.setPins({ [hostname]: [backupPin] })
    await expect(client.get(genuine.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    expect(await thief.applicationBytes()).toBe(0)
    await client.setPins({ [hostname]: [leafPin] })
    expect((await client.get(genuine.url)).status).toBe(200)
  })
})
