import { once } from 'node:events'
import { expect, test, vi } from 'vitest'
import { Client, type ClientOptions } from '../../src/index.js'
import * as h2 from '../raw-http2.js'
import { type RawHttp2, startRawHttp2 } from '../raw-http2.js'

const { END_STREAM, OK, frame, headers, setting, word } = h2
const REFUSED_STREAM = word(7)

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

test('a request whose stream is refused is sent again, whatever its method, on the same connection', async () => {
  await using server = await startRawHttp2((peer, stream) => {
    if (stream < 7) peer.write(frame(h2.RST_STREAM, 0, stream, REFUSED_STREAM))
    else peer.write(fine(stream))
  })
  await using client = clientOf(server)
  const response = await client.fetch(server.url, { method: 'POST', body: 'once' })
  expect(await response.text()).toBe('fine')
  expect(server.requests).toEqual([[1, 3, 5, 7]])
})

test('an upload of which nothing was taken is sent again where its stream is refused', async () => {
  const pieces: string[] = []
  await using server = await startRawHttp2(
    (peer, stream) => {
      if (stream === 1) peer.write(fine(stream))
      else if (stream === 3) peer.write(frame(h2.RST_STREAM, 0, stream, REFUSED_STREAM))
      else peer.write(frame(h2.WINDOW_UPDATE, 0, stream, word(1000)))
    },
    {
      settings: setting(4, 0), // no byte of a body may be sent before the server says so
      heard(peer, type, flags, stream, payload) {
        if (type !== h2.DATA) return
        pieces.push(payload.toString())
        if (flags & END_STREAM) peer.write(fine(stream))
      },
    },
  )
  await using client = clientOf(server)
  expect(await (await client.get(server.url)).text()).toBe('fine') // the settings are known from here on
  async function* body() {
    yield 'once'
  }
  expect(await (await client.post(server.url, { body: body() })).text()).toBe('fine')
  expect([server.requests, pieces.join('')]).toEqual([[[1, 3, 5]], 'once'])
})

test('a server that refuses every stream is not asked without end', async () => {
  await using server = await startRawHttp2((peer, stream) => {
    peer.write(frame(h2.RST_STREAM, 0, stream, REFUSED_STREAM))
  })
  await using client = clientOf(server)
  await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_HTTP2' })
  expect(server.requests.flat()).toHaveLength(7)
})

test('a connection that falls silent serves no further request once one has given up', async () => {
  await using server = await startRawHttp2((peer, stream) => {
    if (peer.index > 0 || stream === 1) peer.write(fine(stream))
  })
  await using client = clientOf(server)
  expect(await (await client.get(server.url)).text()).toBe('fine')
  const [socket] = server.open
  if (socket === undefined) throw new Error('the first request made a connection')
  const closed = once(socket, 'close')
  await expect(client.get(server.url, { timeout: 1500 })).rejects.toMatchObject({
    code: 'ERR_TIMEOUT',
    phase: 'headers',
  })
  await closed
  expect(await (await client.get(server.url)).text()).toBe('fine')
  expect(server.requests).toEqual([[1, 3], [1]])
})

test('a connection that only keeps busy is taken for silent', async () => {
  await using server = await startRawHttp2((peer, stream) => {
    if (peer.index > 0) return peer.write(fine(stream))
    const ping = frame(h2.PING, 0, 0, Buffer.alloc(8))
    const timer = setInterval(() => peer.write(ping), 20)
    peer.socket.once('close', () => clearInterval(timer))
  })
  await using client = clientOf(server)
  const given = client.get(server.url, { timeout: 1500 })
  await expect(given).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
  expect(await (await client.get(server.url)).text()).toBe('fine')
  expect(server.requests).toEqual([[1], [1]])
})

test('one slow resource costs nobody the connection', async () => {
  await using server = await startRawHttp2((peer, stream) => {
    if (stream > 1) peer.write(fine(stream)) // the first is never answered
  })
  await using client = clientOf(server)
  const slow = client.get(server.url, { timeout: 1500 })
  await vi.waitUntil(() => server.requests.flat().length === 1)
  expect(await (await client.get(server.url)).text()).toBe('fine')
  await expect(slow).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
  expect(await (await client.get(server.url)).text()).toBe('fine')
  expect(server.requests).toEqual([[1, 3, 5]])
})
