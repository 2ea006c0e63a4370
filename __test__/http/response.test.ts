import { expect, test } from 'vitest'
import { Connection } from '../../src/connection.js'
import { detach, Response } from '../../src/response.js'
import { u32At } from '../../src/wire.js'

const connection = new Connection(connectionRecord())

function connectionRecord(): Buffer {
  const text = (value: string) => Buffer.concat([u32(value.length), Buffer.from(value)])
  return Buffer.concat([
    Buffer.from([13, 0x01, 0x13, 1]), // TLS 1.3, 0x1301, resumed
    text('h2'),
    text('127.0.0.1:8443'),
    Buffer.alloc(12), // times
    Buffer.from([1]),
    Buffer.alloc(32, 0xaa),
    Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]), // no path
    u32(0), // no pattern in report mode
  ])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** A response as the engine hands it over, in the middle of a chunk. */
function respond(
  body: string | Uint8Array,
  {
    status = 200,
    version = 1,
    reason = '',
    url = '',
    headers = [['content-type', 'text/plain']],
    isHead = false,
    apart = false,
  } = {},
): Response {
  const bytes = Buffer.from(body as Uint8Array) // Buffer.from takes either
  const fields = Buffer.concat(
    headers.map(([name = '', value = '']) => {
      const head = Buffer.alloc(2)
      head.writeUInt16LE(name.length)
      return Buffer.concat([
        head,
        Buffer.from(name),
        u32(value.length),
        Buffer.from(value, 'latin1'),
      ])
    }),
  )
  const record = Buffer.concat([
    Buffer.from([1, 7, 0, 0, 0, status & 0xff, status >> 8, version]),
    Buffer.from([(apart ? 1 : 0) | (url ? 2 : 0) | (reason ? 4 : 0)]),
    u32(21),
    ...[u32(1500), u32(2500), u32(3500)], // times
    ...(url ? [u32(url.length), Buffer.from(url)] : []),
    ...(reason ? [u32(reason.length), Buffer.from(reason)] : []),
    u32(headers.length),
    u32(fields.length),
    fields,
    ...(apart ? [u32(77), u32(bytes.length)] : [u32(bytes.length), bytes]),
  ])
  const chunk = Buffer.concat([Buffer.alloc(100, 0xee), record, Buffer.alloc(100, 0xee)])
  return new Response(
    chunk,
    100,
    'https://api.example.test/',
    isHead,
    connection,
    apart ? bytes : null,
    null,
  )
}

test('times are told in milliseconds', () => {
  expect(respond('').timings).toEqual({
    ...{ queue: 1.5, firstByte: 2.5, total: 3.5 },
    ...{ dns: 0, connect: 0, tls: 0 },
  })
})

test('status, reason, URL, version and fields are told', () => {
  const response = respond('', {
    status: 404,
    url: 'https://api.example.test/x',
    headers: [['x-a', 'é']],
  })
  expect(response).toMatchObject({
    status: 404,
    statusText: 'Not Found',
    ok: false,
    url: 'https://api.example.test/x',
    redirected: false,
    httpVersion: '1.1',
    remoteAddress: '127.0.0.1:8443',
    bodyUsed: false,
  })
  expect(response.headers.get('X-A')).toBe('é')
  expect(response.headers).toBe(response.headers)
  expect(respond('', { status: 200, reason: 'Fine', version: 0 })).toMatchObject({
    ok: true,
    statusText: 'Fine',
    httpVersion: '1.0',
    url: 'https://api.example.test/',
  })
  expect(respond('', { version: 2 })).toMatchObject({ statusText: '', httpVersion: '2' })
})

test('what TLS proved is told', () => {
  expect(respond('').tls).toMatchObject({
    protocol: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    alpn: 'h2',
    resumed: true,
    matchedPin: `sha256/${Buffer.alloc(32, 0xaa).toString('base64')}`,
  })
})

const places = [
  ['in the chunk', (response: Response) => response, false],
  [
    'in a copy of its own',
    (response: Response) => {
      detach(response)
      return response
    },
    false,
  ],
  ['apart', (response: Response) => response, true],
] as const

test.each(places)(
  'a body %s is read as text, JSON, bytes, a buffer, a Blob',
  async (_place, move, apart) => {
    const make = () => move(respond('{"a":"ü"}', { apart }))
    const bytes = new TextEncoder().encode('{"a":"ü"}')
    expect(await make().text()).toBe('{"a":"ü"}')
    expect(await make().json()).toEqual({ a: 'ü' })
    expect(await make().bytes()).toEqual(bytes)
    expect(new Uint8Array(await make().arrayBuffer())).toEqual(bytes)
    const blob = await make().blob()
    expect([blob.type, await blob.text()]).toEqual(['text/plain', '{"a":"ü"}'])
    expect(await new globalThis.Response(make().body as never).text()).toBe('{"a":"ü"}')
  },
)

test('bytes are the reader’s own', async () => {
  const chunk = respond('abc')
  const bytes = await chunk.bytes()
  expect(bytes.buffer.byteLength).toBe(3)
  bytes.fill(0)
  expect(chunk.status).toBe(200)
})

test('a body can be read once', async () => {
  for (const method of ['text', 'json', 'bytes', 'arrayBuffer', 'blob'] as const) {
    const response = respond('"x"')
    await response[method]()
    expect(response.bodyUsed).toBe(true)
    await expect(response.text(), method).rejects.toThrow(TypeError)
    expect(response.body?.locked).toBe(true)
  }
})

test('a body that is read as a stream is not read otherwise', async () => {
  const response = respond('x'.repeat(200_000))
  expect(response.bodyUsed).toBe(false)
  const reader = response.body?.getReader()
  expect(response.bodyUsed).toBe(false)
  await expect(response.text()).rejects.toThrow(/being read as a stream/)
  let length = 0
  for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read())
    length += piece.value.length
  expect(length).toBe(200_000)
  expect(response.bodyUsed).toBe(true)
})

test('a stream that nobody read leaves the body to other readers, and is locked by them', async () => {
  const response = respond('abc')
  const stream = response.body
  expect(await response.text()).toBe('abc')
  expect(stream?.locked).toBe(true)
  const cancelled = respond('abc')
  await cancelled.body?.cancel()
  expect(cancelled.bodyUsed).toBe(true)
  await expect(cancelled.text()).rejects.toThrow(TypeError)
})

test('a reader with a buffer of its own gets the bytes and the end', async () => {
  const reader = respond('abcdef').body?.getReader({
    mode: 'byob',
  } as never) as ReadableStreamBYOBReader
  const text: string[] = []
  for (;;) {
    const { done, value } = await reader.read(new Uint8Array(4))
    if (value) text.push(Buffer.from(value).toString())
    if (done) break
  }
  expect(text.join('')).toBe('abcdef')
})

test.each([
  ['HEAD', { isHead: true }],
  ['204', { status: 204 }],
  ['205', { status: 205 }],
  ['304', { status: 304 }],
])('a response to or of %s has no body, however often it is read', async (_name, how) => {
  const response = respond('', how)
  expect(response.body).toBeNull()
  expect(await response.text()).toBe('')
  expect(await response.bytes()).toEqual(new Uint8Array(0))
  expect(response.bodyUsed).toBe(false)
})

test.each([
  ['a byte order mark is no text', [0xef, 0xbb, 0xbf, 0x61], 'a'],
  ['a byte order mark alone is empty', [0xef, 0xbb, 0xbf], ''],
  ['half a byte order mark is malformed', [0xef, 0xbb], '\ufffd'],
  ['a second one is text', [0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf], '\ufeff'],
  ['malformed bytes are replaced', [0x61, 0xff, 0x62], 'a\ufffdb'],
])('%s', async (_rule, bytes, text) => {
  expect(await respond(Uint8Array.from(bytes)).text()).toBe(text)
  expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(text)
})

test('JSON that is none rejects', async () => {
  await expect(respond('{').json()).rejects.toThrow(SyntaxError)
})

test('a response that outlives its batch holds its own part only', async () => {
  const response = respond('abc', { headers: [['x-a', '1']] })
  const { headers } = response
  detach(response)
  expect(response.headers).toBe(headers)
  expect(headers.get('x-a')).toBe('1')
  const read = respond('abc')
  await read.text()
  detach(read)
  expect([read.status, read.headers.get('content-type')]).toEqual([200, 'text/plain'])
})

test('u32At reads all 32 bits', () => {
  expect(u32At(Buffer.from('ffffffff', 'hex'), 0)).toBe(0xffff_ffff)
})
