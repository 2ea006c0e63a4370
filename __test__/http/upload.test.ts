import { createHash } from 'node:crypto'
import { mkdtempSync, openAsBlob, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BodyInit, Client } from '../../src/index.js'
import { startHttp2Server } from '../http2.js'

interface Arrival {
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

const plain = createServer(answer)
let here: string
let arrived: Arrival[] = []
const folder = mkdtempSync(join(tmpdir(), 'pinfetch-upload-'))
const file = join(folder, 'large "file".bin')
const large = Buffer.alloc(3 << 20, 'a file on the disk, ')

/** Reads a request whole, unless its path says otherwise; `/STATUS` answers with that and `/`'s place. */
async function answer(
  request: Readable & Pick<IncomingMessage, 'headers' | 'url'>,
  response: ServerResponse,
): Promise<void> {
  const { headers, url = '' } = request
  if (url === '/early') {
    response.writeHead(413, { connection: 'close' }).end('too large')
    return
  }
  if (url === '/stall') {
    request.on('error', () => {})
    return
  }
  try {
    arrived.push({ headers, body: await buffer(request) })
  } catch {
    return // the client gave up: nothing whole has arrived
  }
  const status = Number(url.slice(1)) || 200
  response.writeHead(status, status === 200 ? {} : { location: '/' }).end('done')
}

let http2: Awaited<ReturnType<typeof startHttp2Server>>

beforeAll(async () => {
  writeFileSync(file, large)
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve))
  here = `http://127.0.0.1:${(plain.address() as AddressInfo).port}`
  http2 = await startHttp2Server((request, response) =>
    answer(request as never, response as unknown as ServerResponse),
  )
})

afterAll(() => {
  rmSync(folder, { recursive: true })
  plain.closeAllConnections()
  plain.close()
  http2.close()
})

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function* pieces(
  count: number,
  piece: Uint8Array | string,
): AsyncGenerator<Uint8Array | string> {
  for (let left = count; left > 0; left--) {
    await sleep(left % 16 === 0 ? 1 : 0)
    yield piece
  }
}

const piece = Buffer.alloc(100_000, 'x')

/** A source without an end, which knows whether it was let go of. */
function endless(): { isLetGo: boolean; chunks(): AsyncGenerator<Uint8Array> } {
  return {
    isLetGo: false,
    async *chunks() {
      try {
        for (;;) yield piece
      } finally {
        this.isLetGo = true
      }
    },
  }
}

const kinds: [
  kind: string,
  make: () => BodyInit | Promise<BodyInit>,
  bytes: Buffer,
  length: boolean,
][] = [
  ['text', () => 'grüße', Buffer.from('grüße'), true],
  ['a small Blob', () => new Blob(['a', 'b']), Buffer.from('ab'), true],
  ['an empty Blob', () => new Blob([]), Buffer.alloc(0), true],
  ['a large file', () => openAsBlob(file), large, true],
  [
    'a web stream',
    () => Readable.toWeb(Readable.from(pieces(40, piece))) as never,
    Buffer.alloc(4_000_000, 'x'),
    false,
  ],
  ['a Node stream', () => Readable.from(pieces(3, 'text ')), Buffer.from('text text text '), false],
  ['an async generator', () => pieces(40, piece), Buffer.alloc(4_000_000, 'x'), false],
  ['a stream of nothing', () => pieces(0, ''), Buffer.alloc(0), false],
  ['a stream with empty pieces', () => pieces(5, ''), Buffer.alloc(0), false],
]

describe.each(['1.1', '2'])('over HTTP/%s', (version) => {
  function target(): [string, ConstructorParameters<typeof Client>[0]] {
    return version === '2' ? [http2.url, { ca: http2.ca, lookup: http2.lookup }] : [here, {}]
  }

  test.each(kinds)('%s arrives whole', async (_kind, make, bytes, hasLength) => {
    const [url, options] = target()
    await using client = new Client(options)
    for (let round = 0; round < 2; round++) {
      arrived = []
      const response = await client.post(url, { body: await make(), duplex: 'half' })
      expect([response.httpVersion, await response.text()]).toEqual([version, 'done'])
      expect(arrived.length).toBe(1)
      expect(digest(arrived[0]?.body ?? Buffer.of())).toBe(digest(bytes))
      const { 'content-length': length, 'transfer-encoding': coding } = arrived[0]?.headers ?? {}
      expect(length).toBe(hasLength ? String(bytes.length) : undefined)
      if (version === '1.1') expect(coding).toBe(hasLength ? undefined : 'chunked')
    }
  })

  test('a source that fails ends the request with its own error', async () => {
    const [url, options] = target()
    await using client = new Client(options)
    arrived = []
    const mistake = new Error('the disk is gone')
    async function* failing(): AsyncGenerator<string> {
      yield 'some'
      await sleep(20)
      throw mistake
    }
    await expect(client.post(url, { body: failing() })).rejects.toBe(mistake)
    const odd = Readable.toWeb(Readable.from([7])) as never
    await expect(client.post(url, { body: odd })).rejects.toMatchObject({
      name: 'TypeError',
      message: "the body's source gave a number: give bytes or text",
    })
    expect(await (await client.post(url, { body: 'after' })).text()).toBe('done')
    expect(arrived.map(({ body }) => body.toString())).toEqual(['after'])
  })

  test('a source is let go of when the request is given up', async () => {
    const [url, options] = target()
    await using client = new Client(options)
    const controller = new AbortController()
    const source = endless()
    const sending = client.post(`${url}/stall`, {
      body: source.chunks(),
      signal: controller.signal,
    })
    setTimeout(() => controller.abort(), 50)
    await expect(sending).rejects.toMatchObject({ name: 'AbortError' })
    await expect.poll(() => source.isLetGo).toBe(true)
  })

  test('what a server does not read is not read ahead', async () => {
    const [url, options] = target()
    await using client = new Client(options)
    let given = 0
    async function* counted(): AsyncGenerator<Uint8Array> {
      for (;;) {
        given += piece.length
        yield piece
      }
    }
    await expect(
      client.post(`${url}/stall`, { body: counted(), timeout: 400 }),
    ).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    expect(given).toBeGreaterThan(0)
    expect(given).toBeLessThan(32 << 20) // the window, and what two sockets hold
  })

  test('a stream cannot follow a redirect, what is at hand can', async () => {
    const [url, options] = target()
    await using client = new Client(options)
    await expect(client.post(`${url}/307`, { body: pieces(1, 'once') })).rejects.toMatchObject({
      code: 'ERR_HTTP_REDIRECT',
      message: expect.stringContaining('the body is a stream, which cannot be sent again'),
    })
    arrived = []
    for (const body of ['twice', new Blob(['twice'])]) {
      expect((await client.post(`${url}/307`, { body })).redirected).toBe(true)
    }
    // a page to look at takes no body along
    expect((await client.post(`${url}/303`, { body: pieces(1, 'once') })).redirected).toBe(true)
    expect(arrived.map(({ body }) => body.toString())).toEqual([
      ...['twice', 'twice', 'twice', 'twice'],
      ...['once', ''],
    ])
  })
})

test('a server that answers early is heard, and the source let go of', async () => {
  await using client = new Client()
  const source = endless()
  const response = await client.post(`${here}/early`, { body: source.chunks() })
  expect([response.status, await response.text()]).toEqual([413, 'too large'])
  await expect.poll(() => source.isLetGo).toBe(true)
})

test('a form arrives as it was, odd names and files from the disk included', async () => {
  await using client = new Client()
  const form = new FormData()
  form.append('a "name"\r\n', 'a\nvalue')
  form.append('two', '1')
  form.append('two', '2')
  form.append('file', await openAsBlob(file, { type: 'x/y' }), 'large "file".bin')
  form.append('none', new Blob([]))
  arrived = []
  await client.post(here, { body: form })
  const { headers, body } = arrived[0] ?? { headers: {}, body: Buffer.of() }
  expect(headers['content-length']).toBe(String(body.length))
  const type = headers['content-type'] ?? ''
  const read = await new Response(new Uint8Array(body), {
    headers: { 'content-type': type },
  }).formData()
  expect(read.get('a "name"\r\n')).toBe('a\r\nvalue')
  expect(read.getAll('two')).toEqual(['1', '2'])
  const sent = read.get('file') as File
  expect([sent.name, sent.type, sent.size]).toEqual(['large "file".bin', 'x/y', large.length])
  expect((read.get('none') as File).size).toBe(0)
})

test('a global Request is sent with its body, once', async () => {
  await using client = new Client()
  arrived = []
  const request = new Request(here, {
    method: 'PUT',
    body: 'from a Request',
    duplex: 'half',
  } as never)
  expect(await (await client.fetch(request as never)).text()).toBe('done')
  expect(arrived[0]?.body.toString()).toBe('from a Request')
  await expect(client.fetch(request as never)).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
  })
})

test('fetchAll sends bodies of every kind', async () => {
  await using client = new Client({ baseUrl: here })
  arrived = []
  const requests = [new Blob(['a']), pieces(1, 'b'), 'c'].map((body) => ({
    url: '/',
    method: 'POST',
    body,
  }))
  for await (const { response, error } of client.fetchAll(requests)) {
    expect(error).toBeUndefined()
    expect(response?.status).toBe(200)
  }
  expect(arrived.map(({ body }) => body.toString()).sort()).toEqual(['a', 'b', 'c'])
})

test('a body that cannot be sent again is not sent again', async () => {
  // takes a request, answers; closes in the middle of the next
  let connections = 0
  const flaky = createServer((request, response) => {
    request.resume()
    request.on('end', () => response.end('ok'))
  })
  flaky.on('connection', (socket) => {
    connections += 1
    let received = 0
    socket.on('data', () => {
      received += 1
      if (received > 1) socket.destroy()
    })
  })
  await new Promise<void>((resolve) => flaky.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(flaky.address() as AddressInfo).port}/`
  try {
    await using client = new Client()
    expect(await (await client.get(url)).text()).toBe('ok')
    await expect(client.put(url, { body: pieces(1, 'once') })).rejects.toMatchObject({
      code: 'ERR_CONNECTION_CLOSED',
    })
    expect(connections).toBe(1)
    expect(await (await client.get(url)).text()).toBe('ok')
    expect((await client.put(url, { body: 'again' })).status).toBe(200)
    expect(connections).toBe(3)
  } finally {
    flaky.closeAllConnections()
    flaky.close()
  }
})

describe('a body that cannot be sent', () => {
  const failing = (error: unknown) => ({
    [Symbol.asyncIterator]: () => {
      throw error
    },
  })

  test('rejects its request before anything is sent, and leaves nothing behind', async () => {
    arrived = []
    const client = new Client()
    const reason = new Error('no iterator today')
    await expect(client.post(here, { body: failing(reason) as never })).rejects.toBe(reason)
    const nothing = { [Symbol.asyncIterator]: () => null }
    await expect(client.post(here, { body: nothing as never })).rejects.toMatchObject({
      name: 'TypeError',
      code: 'ERR_INVALID_ARGUMENT',
    })
    await client.close() // would wait for a request that was left open
    expect(arrived).toEqual([])
  })

  test.each<[string, () => Promise<BodyInit>]>([
    [
      'a stream of Node.js that was read',
      async () => {
        const body = Readable.from([Buffer.from('once')])
        await buffer(body)
        return body
      },
    ],
    ['a stream of Node.js that was destroyed', async () => Readable.from(['never']).destroy()],
    [
      'a stream of the web of which a piece was read',
      async () => {
        const body = new Blob(['a', 'b']).stream()
        const reader = body.getReader()
        await reader.read()
        reader.releaseLock()
        return body
      },
    ],
  ])('is refused: %s', async (_what, make) => {
    arrived = []
    await using client = new Client()
    await expect(client.put(here, { body: await make() })).rejects.toMatchObject({
      name: 'TypeError',
      code: 'ERR_INVALID_ARGUMENT',
    })
    expect(arrived).toEqual([])
  })

  test('and whose return throws ends no other request', async () => {
    await using client = new Client()
    const body = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<never>(() => {}),
        return: () => {
          throw new Error('no end either')
        },
      }),
    }
    const aborting = new AbortController()
    const given = client.post(`${here}/stall`, { body: body as never, signal: aborting.signal })
    await sleep(50)
    aborting.abort()
    await expect(given).rejects.toMatchObject({ name: 'AbortError' })
    await sleep(50)
    expect((await client.get(here)).status).toBe(200)
  })
})

test('a signal that cannot be let go of is no signal', async () => {
  await using client = new Client()
  const signal = { aborted: false, addEventListener() {} }
  await expect(client.get(here, { signal: signal as never })).rejects.toMatchObject({
    name: 'TypeError',
    code: 'ERR_INVALID_ARGUMENT',
  })
})
