import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Client, type ClientOptions, type LookupFunction } from '../../src/index.js'

/** One server of each family, at the same port; what it answers is who asked. */
const servers: Server[] = []
let port: number

beforeAll(async () => {
  for (const host of ['127.0.0.1', '::1']) {
    const server = createServer((request, response) => {
      response.setHeader('connection', 'close')
      response.end(request.socket.remoteAddress)
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port ?? 0, host, resolve)
    })
    port = (server.address() as AddressInfo).port
    servers.push(server)
  }
})

afterAll(() => {
  for (const server of servers) server.close()
})

async function ask(options: ClientOptions, host = 'both.example.test'): Promise<string> {
  await using client = new Client({
    lookup: { 'both.example.test': ['127.0.0.1', '::1'] },
    ...options,
  })
  return (await client.get(`http://${host}:${port}/`)).text()
}

test('addresses of one family are tried where it is asked for', async () => {
  expect(await ask({ family: 4 })).toBe('127.0.0.1')
  expect(await ask({ family: 6 })).toBe('::1')
  expect(await ask({})).toBe('127.0.0.1')
  await expect(
    ask({ family: 6, lookup: { 'both.example.test': '127.0.0.1' } }),
  ).rejects.toMatchObject({
    name: 'DnsError',
    code: 'ERR_DNS',
    systemCode: 'ENODATA',
    message: expect.stringContaining('no address of the family that is asked for'),
  })
  await expect(ask({ family: 4 }, '[::1]')).rejects.toMatchObject({ code: 'ERR_DNS' })
})

test('an address that does not answer is passed over', async () => {
  // nothing listens there; both families are tried by turns
  const lookup = { 'both.example.test': ['127.0.0.2', '127.0.0.3', '::1'] }
  expect(await ask({ lookup })).toBe('::1')
})

test('connections are made from the address that is named', async () => {
  expect(await ask({ localAddress: '127.0.0.9' })).toBe('127.0.0.9')
  // the other family cannot be reached from there
  expect(await ask({ localAddress: '::1' })).toBe('::1')
  await expect(ask({ localAddress: '192.0.2.1' })).rejects.toMatchObject({
    code: 'ERR_CONNECT',
    systemCode: 'EADDRNOTAVAIL',
  })
})

test('addresses are remembered for as long as is said, and failures are not', async () => {
  for (const [dnsTtl, expected] of [
    [60_000, 2],
    [0, 9],
  ] as const) {
    let asked = 0
    const lookup: LookupFunction = (_hostname, _options, callback) => {
      asked += 1
      if (asked === 1) callback(Object.assign(new Error('not now'), { code: 'EAI_AGAIN' }), [])
      else callback(null, [{ address: '127.0.0.1', family: 4 }])
    }
    await using client = new Client({ lookup, dnsTtl, reuse: false })
    const get = () => client.get(`http://both.example.test:${port}/`)
    await expect(get()).rejects.toMatchObject({ code: 'ERR_DNS', systemCode: 'EAI_AGAIN' })
    await Promise.all([get(), get(), get(), get()])
    for (let round = 0; round < 4; round++) await get()
    expect(asked).toBe(expected)
  }
})

test.each([
  [{ family: 5 }, 'family', /family is a number: give 4, 6 or 0/],
  [{ localAddress: 'eth0' }, undefined, /localAddress "eth0" is no IP address/],
  [{ localAddress: 1 }, 'localAddress', /localAddress is a number/],
  [{ dnsTtl: -1 }, 'dnsTtl', /dnsTtl is -1/],
])('%j is refused', (options, option, message) => {
  expect(() => new Client(options as ClientOptions)).toThrow(
    expect.objectContaining({
      code: 'ERR_POLICY_INVALID_OPTION',
      ...(option && { option }),
      message: expect.stringMatching(message),
    }),
  )
})

test.each([[[null]], [[{}]], [['127.0.0.1']]])(
  'a look-up that gives %j is an error',
  async (given) => {
    const lookup: LookupFunction = (_hostname, _options, callback) => callback(null, given as never)
    await using client = new Client({ lookup, timeout: 5_000 })
    await expect(client.get('http://a.example.test/')).rejects.toMatchObject({ code: 'ERR_DNS' })
  },
)
