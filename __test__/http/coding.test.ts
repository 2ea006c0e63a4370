import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Client } from '../../src/index.js'

const small = 'text that is worth compressing, and again: text that is worth compressing'
const large = Array.from({ length: 300_000 }, (_, index) => String((index * 7919) % 10_007)).join(
  ' ',
)

const answers = new Map<string, { readonly encoding: string; readonly body: Uint8Array }>()
const asked: (string | undefined)[] = []
const server = createServer((request, response) => {
  asked.push(request.headers['accept-encoding'])
  const { encoding, body } = answers.get(request.url ?? '') ?? {
    encoding: 'identity',
    body: Buffer.from(small),
  }
  response.setHeader('content-encoding', encoding)
  if (request.headers['x-chunked'] === undefined) response.setHeader('content-length', body.length)
  response.end(request.method === 'HEAD' ? undefined : body)
})
let url: string

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** Has the server answer `path` with `body` as `encoding`. */
function offer(path: string, encoding: string, body: Uint8Array): string {
  answers.set(path, { encoding, body })
  return url + path
}

const codings: [encoding: string, encode: (text: string) => Buffer][] = [
  ['gzip', (text: string) => gzipSync(text)],
  ['X-GZIP', (text: string) => gzipSync(text)],
  ['deflate', (text: string) => deflateSync(text)],
  ['deflate', (text: string) => deflateRawSync(text)],
  ['br', (text: string) => brotliCompressSync(text)],
  ['gzip, br', (text: string) => brotliCompressSync(gzipSync(text))],
]

describe.each([
  ...codings,
  ['identity', (text: string) => Buffer.from(text)],
] satisfies typeof codings)('%s', (encoding, encode) => {
  test.each([
    ['small', small],
    ['large', large],
    ['empty', ''],
  ])('a %s body is decoded by every way of reading', async (_name, text) => {
    await using client = new Client()
    const at = offer('/body', encoding, encode(text))
    for (const headers of [{}, { 'x-chunked': '1' }]) {
      expect((await (await client.get(at, { headers })).text()) === text).toBe(true)
      const pieces: Uint8Array[] = []
      for await (const piece of (await client.get(at, { headers })).body ?? []) pieces.push(piece)
      expect(Buffer.concat(pieces).toString() === text).toBe(true)
    }
    const raw = await client.get(at, { decompress: false })
    expect(Buffer.from(await raw.bytes()).equals(Buffer.from(encode(text)))).toBe(true)
    expect((await client.head(at)).status).toBe(200)
  })
})

describe.each(codings)('%s', (encoding, encode) => {
  test('a body that is cut or corrupt is an error', async () => {
    await using client = new Client()
    for (const text of [small, large]) {
      const whole = encode(text)
      const cut = offer('/cut', encoding, whole.subarray(0, whole.length - 5))
      const read = (at: string) => client.get(at).then((response) => response.text())
      await expect(read(cut)).rejects.toMatchObject({ code: 'ERR_HTTP_CONTENT_CODING' })
      const more = offer('/more', encoding, Buffer.concat([whole, Buffer.from('trailing')]))
      await expect(read(more)).rejects.toMatchObject({ code: 'ERR_HTTP_CONTENT_CODING' })
    }
  })
})

test('zstd is undone, alone and over another coding', async () => {
  await using client = new Client()
  // of `small`, by zstd 1.5: Node 20 has no encoder
  const zstd = Buffer.from(
    'KLUv/QRojQEAsgIKEcC3AWCTmNqOLG/z7y1v1zwBDpp15aFlcJq7dgwpwvhTkDf9wvvJHgEAc6IqAzd1LWg=',
    'base64',
  )
  for (const [encoding, body] of [
    ['zstd', zstd],
    ['zstd, gzip', gzipSync(zstd)],
  ] as const) {
    const response = await client.get(offer('/zstd', encoding, body))
    expect(await response.text()).toBe(small)
  }
  const cut = offer('/zstd', 'zstd', zstd.subarray(0, zstd.length - 5))
  await expect(client.get(cut).then((response) => response.text())).rejects.toMatchObject({
    code: 'ERR_HTTP_CONTENT_CODING',
  })
})

test('an unknown coding is left as it is', async () => {
  await using client = new Client()
  expect(await (await client.get(offer('/x', 'x-own', Buffer.from('as is')))).text()).toBe('as is')
})

test('a bomb is refused long before it is large', async () => {
  await using client = new Client()
  const zeros = Buffer.alloc(200 << 20)
  for (const [encoding, body] of [
    ['gzip', gzipSync(zeros)],
    ['br', brotliCompressSync(zeros, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })],
    ['gzip, gzip', gzipSync(gzipSync(zeros))],
  ] as const) {
    const at = offer('/bomb', encoding, body)
    await expect(client.get(at).then((response) => response.bytes())).rejects.toMatchObject({
      name: 'ProtocolError',
      code: 'ERR_HTTP_EXPANSION',
      limit: 200,
    })
  }
  await using trusting = new Client({ maxExpansion: 2000, maxResponseBytes: 300 << 20 })
  const at = offer('/bomb', 'gzip', gzipSync(zeros))
  expect((await (await trusting.get(at)).bytes()).length).toBe(zeros.length)
  await using narrow = new Client({ maxExpansion: 2000, maxResponseBytes: 10 << 20 })
  await expect(narrow.get(at).then((response) => response.bytes())).rejects.toMatchObject({
    code: 'ERR_HTTP_BODY_TOO_LARGE',
  })
})

test('codings are asked for where they are undone, unless the caller asks otherwise', async () => {
  await using client = new Client()
  await using raw = new Client({ decompress: false })
  asked.length = 0
  await client.get(url)
  await client.get(url, { decompress: false })
  await client.get(url, { headers: { 'accept-encoding': 'br' } })
  await raw.get(url)
  await raw.get(url, { decompress: true })
  const all = 'gzip, deflate, br, zstd'
  expect(asked).toEqual([all, undefined, 'br', undefined, all])
})
