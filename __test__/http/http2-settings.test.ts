import { describe, expect, test, vi } from 'vitest'
import { Client, type ClientOptions, type Http2Options } from '../../src/index.js'
import * as h2 from '../raw-http2.js'
import { type Peer, type RawHttp2, startRawHttp2 } from '../raw-http2.js'

const { ACK, END_STREAM, OK, frame, headers, setting, word } = h2

const HEADER_TABLE_SIZE = 1
const ENABLE_PUSH = 2
const MAX_CONCURRENT_STREAMS = 3
const INITIAL_WINDOW_SIZE = 4
const MAX_FRAME_SIZE = 5
const MAX_HEADER_LIST_SIZE = 6

function clientOf({ pki }: RawHttp2, options: ClientOptions = {}): Client {
  const { hostname, ca, certificates } = pki
  return new Client({
    ca,
    lookup: { [hostname]: '127.0.0.1' },
    pins: { [hostname]: [certificates.leaf.pin] },
    ...options,
  })
}

const fine = (stream: number): Buffer =>
  Buffer.concat([headers(stream, 0, OK), frame(h2.DATA, END_STREAM, stream, Buffer.from('fine'))])

const get = async (client: Client, url: string): Promise<string> => (await client.get(url)).text()

/** What a client says of itself at first: its settings by number, and how far it opens the connection's window. */
async function opening(http2: Http2Options): Promise<Record<number | string, number>> {
  const said: Record<number | string, number> = {}
  await using server = await startRawHttp2((peer, stream) => peer.write(fine(stream)), {
    heard(_peer, type, flags, stream, payload) {
      if (type === h2.WINDOW_UPDATE && stream === 0)
        said.connectionWindow = 65_535 + payload.readUInt32BE(0)
      if (type !== h2.SETTINGS || flags & ACK) return
      for (let at = 0; at < payload.length; at += 6)
        said[payload.readUInt16BE(at)] = payload.readUInt32BE(at + 2)
    },
  })
  await using client = clientOf(server, { http2, maxHeaderBytes: 1000 })
  expect(await get(client, server.url)).toBe('fine')
  await vi.waitUntil(() => said.connectionWindow !== undefined)
  return said
}

test('a client says what it was told to say', async () => {
  const always = { [ENABLE_PUSH]: 0, [MAX_HEADER_LIST_SIZE]: 4000 }
  expect(await opening({})).toEqual({
    ...always,
    [INITIAL_WINDOW_SIZE]: 4 << 20,
    connectionWindow: 16 << 20,
  })
  const http2 = {
    initialWindowSize: 100_000,
    connectionWindowSize: 1 << 20,
    maxFrameSize: 32_768,
    headerTableSize: 0,
  }
  expect(await opening(http2)).toEqual({
    ...always,
    [HEADER_TABLE_SIZE]: 0,
    [INITIAL_WINDOW_SIZE]: 100_000,
    [MAX_FRAME_SIZE]: 32_768,
    connectionWindow: 1 << 20,
  })
})

test('a frame may be as large as it was allowed', async () => {
  await using server = await startRawHttp2((peer, stream) =>
    peer.write(headers(stream, 0, OK), frame(h2.DATA, END_STREAM, stream, Buffer.alloc(32_768))),
  )
  await using large = clientOf(server, { http2: { maxFrameSize: 32_768 } })
  expect(await get(large, server.url)).toHaveLength(32_768)
  await using usual = clientOf(server)
  await expect(get(usual, server.url)).rejects.toMatchObject({ code: 'ERR_HTTP2' })
})

describe('concurrent streams', () => {
  /** Answers when told to; counts how many requests wait on each connection, and how many did at most. */
  async function startSlow(settings?: Uint8Array) {
    const waiting: { peer: Peer; stream: number }[] = []
    const most: number[] = []
    const server = await startRawHttp2(
      (peer, stream) => {
        waiting.push({ peer, stream })
        const here = waiting.filter((one) => one.peer === peer).length
        most[peer.index] = Math.max(most[peer.index] ?? 0, here)
      },
      settings ? { settings } : {},
    )
    /** Answers the request that has waited longest. */
    const answer = () => {
      const first = waiting.shift()
      first?.peer.write(fine(first.stream))
    }
    return {
      server,
      waiting,
      most,
      answer,
      /** Answers so many requests, each when it has come. */
      async answerAll(count: number) {
        for (let answered = 0; answered < count; answered++) {
          await vi.waitUntil(() => waiting.length > 0)
          answer()
        }
      },
      /** Has a first request answered: the server's settings are known then. */
      async greet(client: Client) {
        const first = get(client, server.url)
        await vi.waitUntil(() => waiting.length === 1)
        answer()
        await first
      },
    }
  }

  test.each([
    ['the server', setting(MAX_CONCURRENT_STREAMS, 3), {}],
    ['the client', undefined, { maxConcurrentStreams: 3 }],
    ['the client, where the server allows more', setting(3, 9), { maxConcurrentStreams: 3 }],
    ['the server, where the client would have more', setting(3, 3), { maxConcurrentStreams: 9 }],
  ] as const)(
    'a limit of %s is kept, and requests come in their order',
    async (_whose, settings, http2) => {
      const { server, waiting, most, answer, greet } = await startSlow(settings)
      await using _ = server
      await using client = clientOf(server, { http2 })
      await greet(client)
      const finished: number[] = []
      const all = Array.from({ length: 12 }, async (_none, index) => {
        await get(client, server.url)
        finished.push(index)
      })
      for (let answered = 0; answered < 12; answered++) {
        await vi.waitUntil(() => waiting.length === Math.min(3, 12 - answered))
        answer()
      }
      await Promise.all(all)
      expect(finished).toEqual(Array.from({ length: 12 }, (_none, index) => index))
      expect(most).toEqual([3])
      expect(server.requests).toHaveLength(1)
    },
  )

  test('further connections are made where requests wait, up to the limit', async () => {
    const { server, waiting, most, answerAll } = await startSlow()
    await using _ = server
    await using client = clientOf(server, { http2: { maxConcurrentStreams: 2, connections: 3 } })
    const all = Array.from({ length: 10 }, () => get(client, server.url))
    await vi.waitUntil(() => waiting.length === 6)
    expect(server.open.size).toBe(3)
    await answerAll(10)
    expect(await Promise.all(all)).toEqual(new Array(10).fill('fine'))
    expect(most).toEqual([2, 2, 2])
    expect(server.requests).toHaveLength(3)
  })

  test('a further connection is given no more than the server is known to allow', async () => {
    const { server, waiting, most, answerAll, greet } = await startSlow(
      setting(MAX_CONCURRENT_STREAMS, 3),
    )
    await using _ = server
    await using client = clientOf(server, { http2: { connections: 3 } })
    await greet(client)
    const all = Array.from({ length: 12 }, () => get(client, server.url))
    await vi.waitUntil(() => waiting.length === 9)
    expect(server.open.size).toBe(3)
    await answerAll(12)
    expect(await Promise.all(all)).toEqual(new Array(12).fill('fine'))
    expect(most).toEqual([3, 3, 3])
  })

  test('who gives up in the queue leaves it, and the others have their turn', async () => {
    const { server, waiting, answer } = await startSlow()
    await using _ = server
    await using client = clientOf(server, { http2: { maxConcurrentStreams: 1 } })
    const first = get(client, server.url)
    await vi.waitUntil(() => waiting.length === 1)
    const controller = new AbortController()
    const given = client.get(server.url, { signal: controller.signal })
    const late = client.get(server.url, { timeout: 50 })
    const last = get(client, server.url)
    controller.abort()
    await expect(given).rejects.toMatchObject({ name: 'AbortError' })
    await expect(late).rejects.toMatchObject({ code: 'ERR_TIMEOUT', phase: 'queue' })
    answer()
    await vi.waitUntil(() => waiting.length === 1)
    answer()
    expect(await Promise.all([first, last])).toEqual(['fine', 'fine'])
    expect(server.requests).toEqual([[1, 3]])
  })

  test('a limit that the server raises frees those who wait', async () => {
    const { server, waiting, answer, greet } = await startSlow(setting(MAX_CONCURRENT_STREAMS, 1))
    await using _ = server
    await using client = clientOf(server)
    await greet(client)
    const all = Array.from({ length: 3 }, () => get(client, server.url))
    await vi.waitUntil(() => waiting.length === 1)
    waiting[0]?.peer.write(frame(h2.SETTINGS, 0, 0, setting(MAX_CONCURRENT_STREAMS, 3)))
    await vi.waitUntil(() => waiting.length === 3)
    for (const _each of all) answer()
    expect(await Promise.all(all)).toEqual(['fine', 'fine', 'fine'])
  })

  test('a goodbye of the connection whose streams are all taken makes another for those who wait', async () => {
    const { server, waiting, answer } = await startSlow()
    await using _ = server
    await using client = clientOf(server, { http2: { maxConcurrentStreams: 1 } })
    const first = get(client, server.url)
    await vi.waitUntil(() => waiting.length === 1)
    const second = get(client, server.url)
    const [held] = waiting
    held?.peer.write(frame(h2.GOAWAY, 0, 0, word(held.stream, 0)))
    await vi.waitUntil(() => waiting.length === 2)
    answer()
    answer()
    expect(await Promise.all([first, second])).toEqual(['fine', 'fine'])
    expect(server.requests).toEqual([[1], [1]])
  })
})

describe('keep-alive', () => {
  const keepAlive = { interval: 40, timeout: 40 }

  test('a silent connection is closed, and what can be sent again is', async () => {
    await using server = await startRawHttp2((peer, stream) => {
      if (peer.index > 0) peer.write(fine(stream))
    })
    await using client = clientOf(server, { http2: { keepAlive } })
    expect(await get(client, server.url)).toBe('fine')
    expect(server.requests).toEqual([[1], [1]])
  })

  test('what may have been acted on is not sent again', async () => {
    await using server = await startRawHttp2(() => {})
    await using client = clientOf(server, { http2: { keepAlive } })
    await expect(client.post(server.url, { body: 'once' })).rejects.toMatchObject({
      code: 'ERR_CONNECTION_CLOSED',
    })
    expect(server.requests).toEqual([[1]])
  })

  test('a connection that answers is kept for as long as a request takes', async () => {
    let pings = 0
    const held: (() => void)[] = []
    await using server = await startRawHttp2(
      (peer, stream) => held.push(() => peer.write(fine(stream))),
      {
        heard(peer, type, flags, _stream, payload) {
          if (type !== h2.PING || flags & ACK) return
          peer.write(frame(h2.PING, ACK, 0, payload))
          pings += 1
          if (pings === 3) held[0]?.()
        },
      },
    )
    await using client = clientOf(server, {
      http2: { keepAlive: { interval: 20, timeout: 10_000 } },
    })
    expect(await (await client.post(server.url, { body: 'once' })).text()).toBe('fine')
    expect(pings).toBeGreaterThanOrEqual(3)
    expect(server.requests).toEqual([[1]])
  })
})

test.each([
  [{ onlly: true }, 'http2 has an unknown option "onlly": did you mean "only"?'],
  [{ only: 1 }, 'http2.only is a number: give true or false'],
  [
    { initialWindowSize: 0 },
    'http2.initialWindowSize is 0: give a whole number from 1 to 2147483647',
  ],
  [{ connectionWindowSize: 65_534 }, 'http2.connectionWindowSize is 65534: give a whole number'],
  [{ connectionWindowSize: 2 ** 31 }, 'http2.connectionWindowSize is 2147483648'],
  [{ maxFrameSize: 16_383 }, 'http2.maxFrameSize is 16383'],
  [{ maxFrameSize: 2 ** 24 }, 'http2.maxFrameSize is 16777216'],
  [{ headerTableSize: -1 }, 'http2.headerTableSize is -1'],
  [{ maxConcurrentStreams: '5' }, 'http2.maxConcurrentStreams is a string: give a whole number'],
  [{ connections: 0 }, 'http2.connections is 0'],
  [{ keepAlive: 5 }, 'http2.keepAlive is a number: give an object, true or false'],
  [
    { keepAlive: { intervall: 5 } },
    'http2.keepAlive has an unknown option "intervall": did you mean',
  ],
  [{ keepAlive: { interval: 0 } }, 'http2.keepAlive.interval is 0: give a whole number'],
  [[], "http2 is an array: give true, false, 'only' or an object"],
])('%j is refused', (http2, message) => {
  expect(() => new Client({ http2: http2 as Http2Options })).toThrow(
    expect.objectContaining({
      code: 'ERR_POLICY_INVALID_OPTION',
      option: 'http2',
      message: expect.stringContaining(message),
    }),
  )
})
