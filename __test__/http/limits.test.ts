import { expect, test } from 'vitest'
import { Client, type ClientOptions } from '../../src/index.js'
import { startRaw } from '../raw.js'
import * as h2 from '../raw-http2.js'
import {
  END_STREAM,
  field,
  frame,
  headers,
  OK,
  type RawHttp2,
  startRawHttp2,
} from '../raw-http2.js'

function clientOf({ pki }: RawHttp2, options: ClientOptions = {}): Client {
  const { hostname, ca } = pki
  return new Client({ ca, lookup: { [hostname]: '127.0.0.1' }, ...options })
}

/** What a GET of the whole body comes to: its status, or the code and message of an error. */
async function outcome(client: Client, url: string): Promise<unknown> {
  try {
    const response = await client.get(url)
    await response.text()
    return response.status
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    return `${code} ${message}`
  }
}

const STATUS_LINE = 'HTTP/1.1 200 OK\r\n'
const lines = (count: number): string => 'x-a: 12345\r\n'.repeat(count)

/** Answers the path with a response whose header section, or trailer section, has so many fields. */
const ofHttp1 = () =>
  startRaw((socket, head) => {
    const [, part, count] = /^GET \/(head|trailers)\/(\d+)/.exec(head) ?? []
    const fields = lines(Number(count))
    if (part === 'head') socket.write(`${STATUS_LINE}content-length: 0\r\n${fields}\r\n`)
    else socket.write(`${STATUS_LINE}transfer-encoding: chunked\r\n\r\n0\r\n${fields}\r\n`)
  })

test.each(['head', 'trailers'])(
  'maxHeaderCount bounds the fields of the %s over HTTP/1.1',
  async (part) => {
    await using server = await ofHttp1()
    const extra = part === 'head' ? 1 : 0
    for (const most of [3, 100, 512]) {
      await using client = new Client(most === 512 ? {} : { maxHeaderCount: most })
      expect(await outcome(client, `${server.url}${part}/${most - extra}`)).toBe(200)
      const refused = await outcome(client, `${server.url}${part}/${most - extra + 1}`)
      expect(refused).toMatch(/^ERR_HTTP_PROTOCOL /)
      expect(refused).toContain(`more than ${most} field lines (maxHeaderCount)`)
    }
  },
)

test.each(['head', 'trailers'])(
  'maxHeaderBytes bounds the size of the %s over HTTP/1.1',
  async (part) => {
    await using server = await ofHttp1()
    const rest = part === 'head' ? `${STATUS_LINE}content-length: 0\r\n\r\n` : '\r\n'
    for (const count of [10, 1000]) {
      const maxHeaderBytes = rest.length + lines(count).length
      await using client = new Client({ maxHeaderBytes, maxHeaderCount: 5000 })
      expect(await outcome(client, `${server.url}${part}/${count}`)).toBe(200)
      const refused = await outcome(client, `${server.url}${part}/${count + 1}`)
      expect(refused).toMatch(/^ERR_HTTP_PROTOCOL /)
      expect(refused).toContain(`larger than ${maxHeaderBytes} bytes (maxHeaderBytes)`)
    }
  },
)

/** 42 octets each as RFC 9113 §6.5.2 counts. */
const fields = (count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => field('x-a', '1234567')))

test('maxHeaderCount bounds the fields of header and trailer sections over HTTP/2', async () => {
  let [inHead, inTrailers] = [3, 3]
  await using server = await startRawHttp2((peer, stream) =>
    peer.write(
      headers(stream, 0, OK, fields(inHead)),
      frame(h2.DATA, 0, stream, Buffer.from('fine')),
      headers(stream, END_STREAM, fields(inTrailers)),
    ),
  )
  await using client = clientOf(server, { maxHeaderCount: 3 })
  expect(await outcome(client, server.url)).toBe(200)
  inHead = 4
  const refusedHead = await outcome(client, server.url)
  inHead = 3
  inTrailers = 4
  const refusedTrailers = await outcome(client, server.url)
  for (const refused of [refusedHead, refusedTrailers]) {
    expect(refused).toMatch(/^ERR_HTTP2 .*more than 3 field lines \(maxHeaderCount\)/)
  }
  inTrailers = 1
  expect(await outcome(client, server.url)).toBe(200)
  expect(server.requests).toEqual([[1, 3, 5, 7]]) // one stream's trouble is not its connection's
})

test('maxHeaderBytes bounds the size of a header section over HTTP/2, 256 KiB by default', async () => {
  let count = 0
  await using server = await startRawHttp2((peer, stream) => {
    const block = Buffer.concat([OK, fields(count)])
    const frames = []
    for (let from = 0; from < block.length; from += 16384) {
      const isLast = from + 16384 >= block.length
      const type = from === 0 ? h2.HEADERS : h2.CONTINUATION
      const flags = (from === 0 ? END_STREAM : 0) | (isLast ? h2.END_HEADERS : 0)
      frames.push(frame(type, flags, stream, block.subarray(from, from + 16384)))
    }
    peer.write(...frames)
  })
  for (const [options, most] of [
    [{ maxHeaderCount: 10_000 }, 256 * 1024],
    [{ maxHeaderBytes: 1000 }, 1000],
    [{ maxHeaderBytes: 24 * 42 }, 24 * 42], // as many octets as 23 fields and :status have
  ] as const) {
    await using client = clientOf(server, options)
    count = Math.floor(most / 42) - 1 // and :status, which has as many octets as a field here
    expect(await outcome(client, server.url)).toBe(200)
    count += 1
    const refused = await outcome(client, server.url)
    expect(refused).toMatch(/^ERR_HTTP2 /)
    expect(refused).toContain(`larger than ${most} bytes (maxHeaderBytes)`)
  }
})

test('maxHeaderBytes bounds the size of a trailer section over HTTP/2, and cuts none off', async () => {
  let count = 23
  await using server = await startRawHttp2((peer, stream) =>
    peer.write(
      headers(stream, 0, OK),
      frame(h2.DATA, 0, stream, Buffer.from('fine')),
      headers(stream, END_STREAM, fields(count)),
    ),
  )
  await using client = clientOf(server, { maxHeaderBytes: 23 * 42 })
  expect(await outcome(client, server.url)).toBe(200)
  for (count of [24, 3 * 23]) {
    const refused = await outcome(client, server.url)
    expect(refused).toMatch(/^ERR_HTTP2 /)
    expect(refused).toContain(`larger than ${23 * 42} bytes (maxHeaderBytes)`)
  }
  expect(server.requests).toEqual([[1, 3, 5]])
})

test.each([
  [{ maxHeaderBytes: 0 }, 'maxHeaderBytes is 0: give a whole number from 1 to 4294967295'],
  [{ maxHeaderCount: 1.5 }, 'maxHeaderCount is 1.5: give a whole number'],
  [{ maxHeaderSize: 1 }, 'did you mean "maxHeaderBytes"?'],
])('%j is refused', (options, message) => {
  expect(() => new Client(options as ClientOptions)).toThrow(message)
})
