import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { Client, type ClientOptions } from '../../src/index.js'
import { clientOf } from '../clients.js'
import { startGenuine, startInterceptor } from '../testkit.js'

const X25519MLKEM768 = 0x11ec
const X25519 = 0x001d
const SUPPORTED_GROUPS = 10
const KEY_SHARE = 51

/** What a client's first message says of key exchange: the groups, and its shares with their lengths. */
interface Offer {
  readonly groups: readonly number[]
  readonly shares: readonly (readonly [group: number, length: number])[]
}

/** The ClientHello (RFC 8446 §4.1.2) of a client with these options. */
async function offerOf(options: ClientOptions): Promise<Offer> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  try {
    await using client = new Client({ lookup: { 'api.example.test': '127.0.0.1' }, ...options })
    const { port } = server.address() as AddressInfo
    const connected = once(server, 'connection')
    const failed = client.get(`https://api.example.test:${port}/`).catch((error: unknown) => error)
    const [socket] = await connected
    let record = Buffer.alloc(0)
    for await (const data of socket) {
      record = Buffer.concat([record, data])
      if (record.length >= 5 && record.length >= 5 + record.readUInt16BE(3)) break
    }
    socket.destroy()
    expect(await failed).toBeInstanceOf(Error)
    return readOffer(record.subarray(5))
  } finally {
    server.close()
  }
}

function readOffer(hello: Buffer): Offer {
  let at = 4 + 2 + 32 // type and length, version, random
  at += 1 + hello.readUInt8(at) // session
  at += 2 + hello.readUInt16BE(at) // cipher suites
  at += 1 + hello.readUInt8(at) // compression methods
  const end = at + 2 + hello.readUInt16BE(at)
  const groups: number[] = []
  const shares: [number, number][] = []
  for (at += 2; at < end; at += 4 + hello.readUInt16BE(at + 2)) {
    const body = hello.subarray(at + 4, at + 4 + hello.readUInt16BE(at + 2))
    if (hello.readUInt16BE(at) === SUPPORTED_GROUPS)
      for (let index = 2; index < body.length; index += 2) groups.push(body.readUInt16BE(index))
    if (hello.readUInt16BE(at) === KEY_SHARE)
      for (let index = 2; index < body.length; index += 4 + body.readUInt16BE(index + 2))
        shares.push([body.readUInt16BE(index), body.readUInt16BE(index + 2)])
  }
  return { groups, shares }
}

test('the hybrid key exchange is offered first where it is asked for, with a share of X25519 beside it', async () => {
  const plain = await offerOf({})
  expect(plain.groups[0]).toBe(X25519)
  expect(plain.groups).not.toContain(X25519MLKEM768)
  expect(plain.shares).toEqual([[X25519, 32]])
  const hybrid = await offerOf({ postQuantum: true })
  expect(hybrid.groups).toEqual([X25519MLKEM768, ...plain.groups])
  expect(hybrid.shares).toEqual([
    [X25519MLKEM768, 1184 + 32],
    [X25519, 32],
  ])
  expect(await offerOf({ postQuantum: false })).toEqual(plain)
})

describe.each(['1.2', '1.3'] as const)('a server of TLS %s without it', (version) => {
  test('is reached as ever', async () => {
    await using server = await startGenuine({ versions: [version] })
    await using client = clientOf(server, { postQuantum: true })
    for (let round = 0; round < 3; round++) {
      const response = await client.get(server.url, { reuse: false })
      expect(await response.text()).toBe('hello from genuine')
      expect(response.tls?.matchedPin).toBe(server.leafPin)
    }
  })

  test('is refused without its pin', async () => {
    await using server = await startGenuine({ versions: [version] })
    await using interceptor = await startInterceptor({ of: server, versions: [version] })
    await using client = clientOf(server, { postQuantum: true })
    await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  })
})

test.each([
  [1, 'a number'],
  ['yes', 'a string'],
])('%j is refused', (postQuantum, kind) => {
  expect(() => new Client({ postQuantum: postQuantum as unknown as boolean })).toThrow(
    `postQuantum is ${kind}: give true or false`,
  )
})
