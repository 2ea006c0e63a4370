import { Client, type ClientOptions } from 'pinfetch'
import { expect, test } from 'vitest'
import { startGenuine, startInterceptor } from '../testkit.ts'

test.each<{ what: string; options: object; code: string }>([
  { what: 'an unknown option', options: { pinz: {} }, code: 'ERR_POLICY_INVALID_OPTION' },
  {
    what: 'an option of other programs',
    options: { rejectUnauthorized: false },
    code: 'ERR_POLICY_INVALID_OPTION',
  },
  { what: 'undefined pins', options: { pins: undefined }, code: 'ERR_POLICY_INVALID_OPTION' },
  {
    what: 'a bad pin',
    options: { pins: { 'a.example.test': ['sha256/AAA'] } },
    code: 'ERR_POLICY_INVALID_PIN',
  },
  {
    what: 'an empty pin list',
    options: { pins: { 'a.example.test': [] } },
    code: 'ERR_POLICY_EMPTY_PIN_SET',
  },
  {
    what: 'pins beside insecureSkipVerify',
    options: {
      pins: { 'a.example.test': [`sha256/${'A'.repeat(43)}=`] },
      insecureSkipVerify: true,
    },
    code: 'ERR_POLICY_INSECURE',
  },
])('a client is not made with $what', ({ options, code }) => {
  expect(() => new Client(options as ClientOptions)).toThrow(expect.objectContaining({ code })) // wrong on purpose
  expect(new Client()).toBeInstanceOf(Client)
})

test.each(['an object', 'a Map'])(
  'pins in %s that change afterwards stay in force as they were',
  async (kind) => {
    await using genuine = await startGenuine()
    await using interceptor = await startInterceptor({ of: genuine })
    const list = [genuine.leafPin]
    const pins =
      kind === 'a Map' ? new Map([[genuine.hostname, list]]) : { [genuine.hostname]: list }
    await using client = new Client({ ca: genuine.ca, lookup: genuine.lookup, pins })
    list.push(...interceptor.pathPins)
    if (pins instanceof Map) pins.clear()
    else delete pins[genuine.hostname]

    await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    expect(await interceptor.applicationBytes()).toBe(0)
    expect((await client.get(genuine.url)).status).toBe(200)
  },
)

test('a host without pins is refused before anything is sent when it has to have some', async () => {
  await using genuine = await startGenuine()
  const { ca, lookup, hostname, leafPin } = genuine
  await using client = new Client({ ca, lookup, unpinned: 'refuse' })

  await expect(client.get(genuine.url)).rejects.toMatchObject({ code: 'ERR_POLICY_UNPINNED' })
  expect((await genuine.stats()).accepted).toBe(0)
  await client.setPins({ [hostname]: [leafPin] })
  expect((await client.get(genuine.url)).status).toBe(200)
})

test.each(['ca', 'extraCa'] as const)(
  'pins hold under anchors of the option %s',
  async (option) => {
    await using genuine = await startGenuine()
    await using interceptor = await startInterceptor({ of: genuine })
    const pins = { [genuine.hostname]: [genuine.leafPin] }
    await using client = new Client({ [option]: genuine.ca, lookup: genuine.lookup, pins })

    await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    expect(await interceptor.applicationBytes()).toBe(0)
    expect((await client.get(genuine.url)).status).toBe(200)
  },
)
