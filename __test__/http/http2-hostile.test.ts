import { expect, test } from 'vitest'
import { Client, type ClientOptions } from '../../src/index.js'
import * as h2 from '../raw-http2.js'
import { type Peer, type RawHttp2, startRawHttp2 } from '../raw-http2.js'
import { startGenuine } from '../testkit.js'

const MEBIBYTE = 1 << 20
/** The peers live in this process, and the sockets of Bun and Deno keep what a client is slow to take. */
const LITTLE = ('Bun' in globalThis || 'Deno' in globalThis ? 512 : 64) * MEBIBYTE

function clientOf({ pki }: RawHttp2, options: ClientOptions = {}): Client {
  const { hostname, ca, certificates } = pki
  return new Client({
    ca,
    lookup: { [hostname]: '127.0.0.1' },
    pins: { [hostname]: [certificates.leaf.pin] },
    timeout: 2000,
    ...options,
  })
}

/** What hostile servers take down is their own request only. */
async function reachesGenuine(client: Client, { pki }: RawHttp2): Promise<void> {
  await using genuine = await startGenuine({ pki, alpn: ['h2'] })
  expect(await (await client.get(genuine.at('/bytes/7'))).bytes()).toHaveLength(7)
}

/** The code of the error that a GET of the whole body ends with, or the body's text. */
async function outcome(client: Client, url: string): Promise<unknown> {
  return client.get(url).then((response) => response.text().catch(codeOf), codeOf)
}

function codeOf(error: unknown): unknown {
  return { code: (error as { code?: unknown }).code }
}

type Answer = (peer: Peer, stream: number) => void

const { ACK, END_STREAM, OK, field, frame, headers, setting, word } = h2

/** 64 KiB or so of one frame. */
const many = (one: Uint8Array): Buffer =>
  Buffer.concat(Array.from({ length: Math.ceil(65536 / one.length) }, () => one))

/** `200` with the body `fine`. */
const fine = (stream: number): Buffer =>
  Buffer.concat([headers(stream, 0, OK), frame(h2.DATA, END_STREAM, stream, Buffer.from('fine'))])

const floods: readonly [name: string, answer: Answer][] = [
  [
    'CONTINUATION',
    (peer, stream) => {
      peer.write(frame(h2.HEADERS, 0, stream, OK))
      const more = many(frame(h2.CONTINUATION, 0, stream, field('x', 'y'.repeat(100))))
      peer.flood(more)
    },
  ],
  [
    'empty CONTINUATION',
    (peer, stream) => {
      peer.write(frame(h2.HEADERS, 0, stream, OK))
      const more = many(frame(h2.CONTINUATION, 0, stream))
      peer.flood(more)
    },
  ],
  ['SETTINGS', (peer) => peer.flood(many(frame(h2.SETTINGS, 0, 0, setting(4, 65535))))],
  ['PING', (peer) => peer.flood(many(frame(h2.PING, 0, 0, Buffer.alloc(8))))],
  [
    'PING without reading the answers',
    (peer) => {
      peer.socket.pause()
      peer.flood(many(frame(h2.PING, 0, 0, Buffer.alloc(8))))
    },
  ],
  [
    'SETTINGS without reading the answers',
    (peer) => {
      peer.socket.pause()
      peer.flood(many(frame(h2.SETTINGS, 0, 0)))
    },
  ],
  ['RST_STREAM', (peer, stream) => peer.flood(many(frame(h2.RST_STREAM, 0, stream, word(8))))],
  [
    'empty DATA',
    (peer, stream) => {
      peer.write(headers(stream, 0, OK))
      const more = many(frame(h2.DATA, 0, stream))
      peer.flood(more)
    },
  ],
  [
    'padding-only DATA',
    (peer, stream) => {
      peer.write(headers(stream, 0, OK))
      const more = many(
        frame(h2.DATA, 8, stream, Buffer.concat([Buffer.of(255), Buffer.alloc(255)])),
      )
      peer.flood(more)
    },
  ],
  ['PRIORITY', (peer) => peer.flood(many(frame(h2.PRIORITY, 0, 7, Buffer.alloc(5))))],
  ['GOAWAY', (peer) => peer.flood(many(frame(h2.GOAWAY, 0, 0, word(0x7fffffff, 0))))],
  ['unknown frame', (peer) => peer.flood(many(frame(0xbb, 0xff, 0, Buffer.alloc(64))))],
  ['103', (peer, stream) => peer.flood(many(headers(stream, 0, field(':status', '103'))))],
  [
    'WINDOW_UPDATE of the connection',
    (peer) => peer.flood(many(frame(h2.WINDOW_UPDATE, 0, 0, word(1)))),
  ],
]

test.each(floods)(
  'a flood of %s frames ends with the request, in little memory',
  async (_name, answer) => {
    await using server = await startRawHttp2(answer)
    await using client = clientOf(server)
    const before = process.memoryUsage().rss
    const result = await outcome(client, server.url)
    const growth = process.memoryUsage().rss - before
    expect(result).toEqual({
      code: expect.stringMatching(/^ERR_(HTTP2|CONNECTION_CLOSED|TIMEOUT)$/),
    })
    expect(growth).toBeLessThan(LITTLE)
    await reachesGenuine(client, server)
  },
)

/** A header section that takes a few KiB on the wire and tens of MiB when it is decompressed (RFC 7541 §2.3.2). */
function bomb(stream: number): Buffer {
  const value = 'v'.repeat(3900)
  // a value of 3900 octets: 127 in the prefix, then 3773 in groups of seven bits
  const entry = Buffer.concat([
    Buffer.of(0x40, 1, 0x78, 0x7f, 0x80 | (3773 & 0x7f), 3773 >> 7),
    Buffer.from(value),
  ])
  return headers(stream, END_STREAM, OK, entry, Buffer.alloc(12_000, 0xbe))
}

/** Each with what the request comes to: the answer's text, or an error's code. */
const cases: readonly [name: string, result: string, answer: Answer][] = [
  [
    'unknown frames before, between and after, which are ignored (RFC 9113 §5.5)',
    'fine',
    (peer, stream) => {
      const odd = Buffer.concat([frame(0xbb, 0xff, 0, word(1)), frame(0xfe, 0xff, stream)])
      peer.write(
        odd,
        headers(stream, 0, OK),
        odd,
        frame(h2.DATA, 1, stream, Buffer.from('fine')),
        odd,
      )
    },
  ],
  [
    'unknown settings, which are ignored (RFC 9113 §6.5.2)',
    'fine',
    (peer, stream) => peer.write(frame(h2.SETTINGS, 0, 0, setting(0xbaba, 7)), fine(stream)),
  ],
  [
    'windows that grow, shrink to nothing and grow again',
    'fine',
    (peer, stream) => {
      for (const size of [1 << 20, 0, 0x7fff_ffff, 1]) {
        peer.write(frame(h2.SETTINGS, 0, 0, setting(4, size)))
      }
      peer.write(fine(stream))
    },
  ],
  [
    'an initial window past 2^31 - 1 (RFC 9113 §6.5.2)',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.SETTINGS, 0, 0, setting(4, 0x8000_0000)), fine(stream)),
  ],
  [
    'an increment of nothing to the stream (RFC 9113 §6.9)',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.WINDOW_UPDATE, 0, stream, word(0)), fine(stream)),
  ],
  [
    'an increment of nothing to the connection (RFC 9113 §6.9)',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.WINDOW_UPDATE, 0, 0, word(0)), fine(stream)),
  ],
  [
    'a window of the connection that overflows (RFC 9113 §6.9.1)',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.WINDOW_UPDATE, 0, 0, word(0x7fff_ffff)), fine(stream)),
  ],
  [
    'a pushed response, which was not allowed (RFC 9113 §8.4)',
    'ERR_HTTP2',
    (peer, stream) => {
      // GET https /: the static table's 2, 7 and 4
      const promised = Buffer.concat([
        word(2),
        Buffer.of(0x82, 0x87, 0x84),
        field(':authority', 'a'),
      ])
      peer.write(frame(h2.PUSH_PROMISE, h2.END_HEADERS, stream, promised), fine(stream))
    },
  ],
  [
    'DATA on stream 0',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.DATA, 0, 0, word(1)), fine(stream)),
  ],
  [
    'HEADERS on stream 0',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(0, 0, OK), fine(stream)),
  ],
  [
    'RST_STREAM on stream 0',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.RST_STREAM, 0, 0, word(0)), fine(stream)),
  ],
  [
    'SETTINGS on a stream',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.SETTINGS, 0, stream), fine(stream)),
  ],
  [
    'PING on a stream',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.PING, 0, stream, word(0, 0)), fine(stream)),
  ],
  [
    'GOAWAY on a stream',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.GOAWAY, 0, stream, word(0, 0)), fine(stream)),
  ],
  [
    'PING of a wrong length',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.PING, 0, 0, word(0)), fine(stream)),
  ],
  [
    'SETTINGS acknowledged with a payload',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.SETTINGS, ACK, 0, setting(4, 1)), fine(stream)),
  ],
  [
    'CONTINUATION without a beginning',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.CONTINUATION, 4, stream, OK), fine(stream)),
  ],
  [
    'another frame in the middle of a header section (RFC 9113 §4.3)',
    'ERR_HTTP2',
    (peer, stream) =>
      peer.write(frame(h2.HEADERS, 0, stream, OK), frame(h2.PING, 0, 0, word(0, 0)), fine(stream)),
  ],
  [
    'a frame larger than the maximum (RFC 9113 §4.2)',
    'ERR_HTTP2',
    (peer, stream) =>
      peer.write(headers(stream, 0, OK), frame(h2.DATA, 1, stream, Buffer.alloc(MEBIBYTE))),
  ],
  [
    'a header section that is no HPACK',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream, 1, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff))),
  ],
  [
    'a header section of an index that is nowhere',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream, 1, OK, Buffer.of(0xfe))),
  ],
  [
    'a header section that decompresses to 45 MiB',
    'ERR_HTTP2',
    (peer, stream) => peer.write(bomb(stream)),
  ],
  [
    'frames on a stream that nobody opened',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream + 2, 1, OK), fine(stream)),
  ],
  [
    'a second header section in the place of trailers that does not end the stream (RFC 9113 §8.1)',
    'ERR_HTTP2',
    (peer, stream) =>
      peer.write(
        headers(stream, 0, OK),
        headers(stream, 0, OK),
        frame(h2.DATA, 1, stream, word(1)),
      ),
  ],
  [
    'DATA before HEADERS',
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.DATA, 0, stream, word(1)), fine(stream)),
  ],
  [
    'more DATA than its Content-Length (RFC 9113 §8.1.1)',
    'ERR_HTTP2',
    (peer, stream) =>
      peer.write(
        headers(stream, 0, OK, field('content-length', '3')),
        frame(h2.DATA, 1, stream, word(1)),
      ),
  ],
  [
    'less DATA than its Content-Length (RFC 9113 §8.1.1)',
    'ERR_HTTP2',
    (peer, stream) =>
      peer.write(
        headers(stream, 0, OK, field('content-length', '5')),
        frame(h2.DATA, 1, stream, word(1)),
      ),
  ],
  [
    'no DATA where a Content-Length promises some (RFC 9113 §8.1.1)',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream, 1, OK, field('content-length', '5'))),
  ],
  [
    'a field name in upper case (RFC 9113 §8.2.1)',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream, 1, OK, field('X-A', '1'))),
  ],
  [
    'a field value with a line end (RFC 9113 §8.2.1)',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream, 1, OK, field('x-a', '1\r\nb: 2'))),
  ],
  [
    'a Connection field (RFC 9113 §8.2.2)',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream, 1, OK, field('connection', 'close'))),
  ],
  [
    'a Transfer-Encoding field (RFC 9113 §8.2.2)',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream, 1, OK, field('transfer-encoding', 'chunked'))),
  ],
  ['no :status', 'ERR_HTTP2', (peer, stream) => peer.write(headers(stream, 1, field('x-a', '1')))],
  [
    ':status after a field',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream, 1, field('x-a', '1'), OK)),
  ],
  ['two :status', 'ERR_HTTP2', (peer, stream) => peer.write(headers(stream, 1, OK, OK))],
  [
    'a pseudo-field of requests, which nobody gets to see',
    'fine',
    (peer, stream) =>
      peer.write(
        headers(stream, 0, OK, field(':path', '/')),
        frame(h2.DATA, 1, stream, Buffer.from('fine')),
      ),
  ],
  [
    ':status that is no number',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream, 1, field(':status', 'abc'))),
  ],
  [
    ':status 101, which switches nothing (RFC 9113 §8.6)',
    'fine',
    (peer, stream) => peer.write(headers(stream, 0, field(':status', '101')), fine(stream)),
  ],
  [
    'an interim response that ends the stream (RFC 9113 §8.1)',
    'ERR_HTTP2',
    (peer, stream) => peer.write(headers(stream, 1, field(':status', '103'))),
  ],
  [
    'trailers with a pseudo-field, which changes no status',
    'fine',
    (peer, stream) =>
      peer.write(
        headers(stream, 0, OK),
        frame(h2.DATA, 0, stream, Buffer.from('fine')),
        headers(stream, 1, OK),
      ),
  ],
  [
    'half a frame and then silence',
    'ERR_TIMEOUT',
    (peer, stream) =>
      peer.write(headers(stream, 0, OK), frame(h2.DATA, 1, stream, word(1)).subarray(0, 11)),
  ],
  [
    'half a header section and then silence',
    'ERR_TIMEOUT',
    (peer, stream) => peer.write(frame(h2.HEADERS, 0, stream, OK)),
  ],
  [
    'half a DATA frame and then the end',
    'ERR_SOCKET',
    (peer, stream) =>
      peer.socket.end(
        Buffer.concat([headers(stream, 0, OK), frame(h2.DATA, 1, stream, word(1)).subarray(0, 11)]),
      ),
  ],
  [
    'the connection’s end between two DATA frames',
    'ERR_CONNECTION_CLOSED',
    (peer, stream) =>
      peer.socket.end(Buffer.concat([headers(stream, 0, OK), frame(h2.DATA, 0, stream, word(1))])),
  ],
  [
    'the connection’s end after the header section',
    'ERR_CONNECTION_CLOSED',
    (peer, stream) => peer.socket.end(headers(stream, 0, OK)),
  ],
  ...[0, 1, 2, 5, 7, 8, 11, 13].map((code): [string, string, Answer] => [
    `RST_STREAM of code ${code} before a response`,
    'ERR_HTTP2',
    (peer, stream) => peer.write(frame(h2.RST_STREAM, 0, stream, word(code))),
  ]),
  ...[0, 2, 7, 8].map((code): [string, string, Answer] => [
    `RST_STREAM of code ${code} in the middle of a body`,
    'ERR_HTTP2',
    (peer, stream) =>
      peer.write(
        headers(stream, 0, OK),
        frame(h2.DATA, 0, stream, word(1)),
        frame(h2.RST_STREAM, 0, stream, word(code)),
      ),
  ]),
]

test.each(cases)('%s: %s', async (_name, result, answer) => {
  await using server = await startRawHttp2(answer)
  await using client = clientOf(server, { timeout: 1000 })
  const before = process.memoryUsage().rss
  const got = await outcome(client, server.url)
  const growth = process.memoryUsage().rss - before
  expect(got).toEqual(result === 'fine' ? 'fine' : { code: result })
  expect(growth).toBeLessThan(LITTLE)
  await reachesGenuine(client, server)
})

test('32 interim responses may precede a response, and 10,000 end the request, in little memory', async () => {
  let count = 32
  await using server = await startRawHttp2((peer, stream) => {
    const interim = headers(stream, 0, field(':status', '103'))
    peer.write(...Array.from({ length: count }, () => interim), fine(stream))
  })
  await using client = clientOf(server)
  expect(await outcome(client, server.url)).toBe('fine')
  count = 10_000
  const before = process.memoryUsage().rss
  await expect(client.get(server.url)).rejects.toMatchObject({
    code: 'ERR_HTTP2',
    message: expect.stringContaining('more than 32 interim responses'),
  })
  expect(process.memoryUsage().rss - before).toBeLessThan(LITTLE)
  count = 33
  await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_HTTP2' })
  expect(server.requests).toEqual([[1, 3, 5]]) // one stream's trouble is not its connection's
  await reachesGenuine(client, server)
})

test('the length that an answer to HEAD tells is not that of its body', async () => {
  const length = field('content-length', '999999999999')
  await using server = await startRawHttp2((peer, stream) =>
    peer.write(headers(stream, 0, OK, length), frame(h2.DATA, END_STREAM, stream)),
  )
  await using client = clientOf(server)
  const response = await client.head(server.url)
  expect(response.headers.get('content-length')).toBe('999999999999')
  expect(await response.bytes()).toHaveLength(0)
})

test('an upload that the whole response does not wait for is given up', async () => {
  let reset: () => void = () => {}
  const wasReset = new Promise<void>((resolve) => {
    reset = resolve
  })
  await using server = await startRawHttp2((peer, stream) => peer.write(fine(stream)), {
    heard(_peer, type) {
      if (type === h2.RST_STREAM) reset()
    },
  })
  await using client = clientOf(server)
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(Buffer.from('begun')) // and never ended
    },
  })
  const response = await client.post(server.url, { body, duplex: 'half' })
  expect(await response.text()).toBe('fine')
  await wasReset
  expect(response.bodyUsed).toBe(true) // still held: what it came over is not waited for
})

test('a whole response is kept when the server gives up the rest of the upload (RFC 9113 §8.1)', async () => {
  await using server = await startRawHttp2((peer, stream) =>
    peer.write(fine(stream), frame(h2.RST_STREAM, 0, stream, word(0))),
  )
  await using client = clientOf(server)
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(Buffer.from('begun')) // and never ended
    },
  })
  const response = await client.post(server.url, { body, duplex: 'half' })
  expect(await response.text()).toBe('fine')
  await reachesGenuine(client, server)
})

test('a GET that the server refused to act on is sent again', async () => {
  await using server = await startRawHttp2((peer, stream) => {
    peer.write(stream === 1 ? frame(h2.RST_STREAM, 0, stream, word(7)) : fine(stream))
  })
  await using client = clientOf(server)
  expect(await outcome(client, server.url)).toBe('fine')
  expect(server.requests).toEqual([[1, 3]])
  await reachesGenuine(client, server)
})

/** Refuses the first connection's requests in an orderly way: no stream past `last` was or will be acted on. */
const goAway =
  (last: number, code: number): Answer =>
  (peer, stream) => {
    if (peer.index > 0) return peer.write(fine(stream))
    peer.write(frame(h2.GOAWAY, 0, 0, word(last, code)))
  }

test.each(['GET', 'POST'])(
  'a %s past the last stream of a GOAWAY was not acted on, and is sent again (RFC 9113 §6.8)',
  async (method) => {
    await using server = await startRawHttp2(goAway(0, 0))
    await using client = clientOf(server)
    const body = method === 'POST' ? 'once' : undefined
    const response = await client.request(server.url, { method, ...(body && { body }) })
    expect(await response.text()).toBe('fine')
    expect(server.requests).toEqual([[1], [1]])
    await reachesGenuine(client, server)
  },
)

test.each([
  ['without an error', 0],
  ['with one', 2],
])('a POST up to the last stream of a GOAWAY %s is never sent again', async (_name, code) => {
  await using server = await startRawHttp2((peer, stream) => {
    goAway(stream, code)(peer, stream)
    if (peer.index === 0) peer.socket.end()
  })
  await using client = clientOf(server)
  const failure = client.post(server.url, { body: 'once' }).catch(codeOf)
  expect(await failure).toEqual({
    code: expect.stringMatching(/^ERR_(HTTP2|CONNECTION_CLOSED)$/),
  })
  expect(server.requests).toEqual([[1]])
  await reachesGenuine(client, server)
})

test('a response up to the last stream of a GOAWAY is read to its end', async () => {
  await using server = await startRawHttp2((peer, stream) => {
    peer.write(frame(h2.GOAWAY, 0, 0, word(stream, 0)), fine(stream))
  })
  await using client = clientOf(server)
  expect(await outcome(client, server.url)).toBe('fine')
  expect(await outcome(client, server.url)).toBe('fine')
  expect(server.requests).toEqual([[1], [1]])
  await reachesGenuine(client, server)
})

test('a GOAWAY in the middle of a body that it disowns gives no short body', async () => {
  await using server = await startRawHttp2((peer, stream) => {
    peer.write(headers(stream, 0, OK), frame(h2.DATA, 0, stream, Buffer.from('half')))
    peer.write(frame(h2.GOAWAY, 0, 0, word(0, 0)))
  })
  await using client = clientOf(server)
  expect(await outcome(client, server.url)).toEqual({
    code: expect.stringMatching(/^ERR_(HTTP2|CONNECTION_CLOSED)$/),
  })
  await reachesGenuine(client, server)
})

test('new pins close a connection that said goodbye with a request under way, and the one after it', async () => {
  let said: (answerLate: () => void) => void = () => {}
  const first = new Promise<() => void>((resolve) => {
    said = resolve
  })
  await using server = await startRawHttp2((peer, stream) => {
    if (peer.index > 0) return peer.write(fine(stream))
    if (stream > 1) return // sent before the goodbye was read: the client sends it again
    peer.write(frame(h2.GOAWAY, 0, 0, word(stream, 0)))
    said(() => peer.write(fine(stream)))
  })
  await using client = clientOf(server, { timeout: 10_000 })
  const waiting = outcome(client, server.url)
  const answerLate = await first
  while (server.requests.length < 2) expect(await outcome(client, server.url)).toBe('fine')
  expect(server.open.size).toBe(2)

  const { hostname, certificates } = server.pki
  const pins = { [hostname]: [certificates.rootB.pin] }
  expect(await client.setPins(pins)).toEqual({ closedConnections: 2 })
  answerLate()

  expect(await waiting).toEqual({ code: 'ERR_BAD_PIN' })
  await expect.poll(() => server.open.size).toBe(0)
  await client.setPins({ [hostname]: [certificates.leaf.pin] })
  await reachesGenuine(client, server)
})
