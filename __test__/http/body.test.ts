import { execFileSync } from 'node:child_process'
import { lstatSync, statSync } from 'node:fs'
import {
  chmod,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Client, type Response } from '../../src/index.js'
import { clientOf } from '../clients.js'
import { startEcho, startRaw } from '../raw.js'
import { startGenuine } from '../testkit.js'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pinfetch-body-'))
})

afterAll(() => rm(folder, { recursive: true }))

/** What the genuine server sends as `/bytes/N`. */
function letters(length: number): string {
  return 'abcdefghijklmnopqrstuvwxyz'.repeat(Math.ceil(length / 26)).slice(0, length)
}

async function piecesOf(response: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of response.body ?? []) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

describe.each([
  ['HTTP/1.1', ['http/1.1'] as const],
  ['HTTP/2', ['h2'] as const],
])('over %s', (_name, alpn) => {
  test.each([
    ['/bytes/70000', 70_000],
    ['/bytes/5000000', 5_000_000],
    ['/chunked/500', 500],
    ['/chunked/3000000', 3_000_000],
  ])('%s is the same by every way of reading', async (path, length) => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server)
    const expected = letters(length)
    const get = () => client.get(server.at(path))

    expect((await (await get()).text()) === expected).toBe(true)
    expect(Buffer.from(await (await get()).bytes()).equals(Buffer.from(expected))).toBe(true)
    expect((await (await get()).arrayBuffer()).byteLength).toBe(length)
    expect((await (await get()).blob()).size).toBe(length)
    expect((await piecesOf(await get())) === expected).toBe(true)
    expect((await (await get()).toWeb().text()) === expected).toBe(true)
    const file = join(folder, 'saved')
    expect(await (await get()).saveTo(file)).toBe(length)
    expect((await readFile(file, 'utf8')) === expected).toBe(true)
    const stats = await server.stats()
    if (alpn[0] === 'h2') expect(stats.accepted).toBe(1) // every body was read to its end
  })

  test('a clone has the same body', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server)
    for (const path of ['/bytes/100', '/bytes/100000', '/bytes/1000000']) {
      const response = await client.get(server.at(path))
      const copy = response.clone()
      const texts = await Promise.all([response.text(), copy.text()])
      expect(texts.map((text) => text === letters(Number(path.slice(7))))).toEqual([true, true])
      expect(() => response.clone()).toThrow(TypeError)
    }
  })

  test('a reader that gives up ends the stream, and the client goes on', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server)
    const response = await client.get(server.at('/bytes/100000000'))
    for await (const piece of response.body ?? []) {
      expect(piece.length).toBeGreaterThan(0)
      break
    }
    expect(response.bodyUsed).toBe(true)
    expect(await (await client.get(server.at('/bytes/3'))).text()).toBe('abc')
  })

  test('a signal ends a body under way with its reason', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server)
    const controller = new AbortController()
    const response = await client.get(server.at('/bytes/100000000'), { signal: controller.signal })
    const reason = new Error('enough')
    const reading = response.bytes()
    controller.abort(reason)
    await expect(reading).rejects.toBe(reason)
    expect(await (await client.get(server.at('/bytes/3'))).text()).toBe('abc')
  })

  test('the time limit counts for the body too', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server, { timeout: 300 })
    const response = await client.get(server.at('/bytes/500000000'))
    const reader = response.body?.getReader()
    await reader?.read() // and then nobody reads for longer than the request may take
    await new Promise((resolve) => setTimeout(resolve, 350))
    const rest = async () => {
      while (!(await reader?.read())?.done);
    }
    await expect(rest()).rejects.toMatchObject({ code: 'ERR_TIMEOUT', phase: 'body', limit: 300 })
  })

  test('a status above 599 has no global Response, and its body is still there', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server)
    expect((await client.get(server.at('/status/599'))).toWeb().status).toBe(599)
    const response = await client.get(server.at('/status/700'))
    expect(response.status).toBe(700)
    expect(() => response.toWeb()).toThrow(/status 700 has no global Response/)
    expect(response.bodyUsed).toBe(false)
    await response.text()
  })

  test('a body of a gibibyte passes through in little memory', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server, { timeout: 0 })
    await (await client.get(server.at('/bytes/20000000'))).bytes() // what is needed once
    const response = await client.get(server.at(`/bytes/${1 << 30}`))
    const before = process.memoryUsage.rss()
    let [length, most] = [0, 0]
    for await (const piece of response.body ?? []) {
      length += piece.length
      most = Math.max(most, process.memoryUsage.rss() - before)
    }
    expect(length).toBe(1 << 30)
    expect(most).toBeLessThan(128 << 20) // that of the test runner, whose garbage comes and goes, included
  }, 120_000)

  test('pins that change end a body that nobody reads', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server, { onBadPin: null })
    const response = await client.get(server.at('/bytes/100000000'))
    const pins = { [server.hostname]: [`sha256/${Buffer.alloc(32, 7).toString('base64')}`] }
    expect(await client.setPins(pins)).toEqual({ closedConnections: 1 })
    await expect(response.text()).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  })

  test('pins that change end a body under way, and the handler is told', async () => {
    await using server = await startGenuine({ alpn })
    const told: string[] = []
    await using client = clientOf(server, {
      onBadPin: (event) => void told.push(event.request.url),
    })
    const url = server.at('/bytes/100000000')
    const response = await client.get(url)
    const reading = response.bytes()
    await client.setPins({
      [server.hostname]: [`sha256/${Buffer.alloc(32, 7).toString('base64')}`],
    })
    await expect(reading).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    expect(told).toEqual([url])
  })
})

test('a body that ends early is an error, and never a short body', async () => {
  const cases: [fields: string, body: string][] = [
    ['Content-Length: 100', 'x'.repeat(99)],
    ['Content-Length: 100000', 'x'.repeat(99_999)],
    ['Transfer-Encoding: chunked', '5\r\nhello\r\n'],
    ['Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\n'],
    ['Transfer-Encoding: chunked', '5\r\nhel'],
  ]
  for (const [fields, body] of cases) {
    await using server = await startRaw((socket) =>
      socket.end(`HTTP/1.1 200 OK\r\n${fields}\r\n\r\n${body}`),
    )
    await using client = new Client()
    const reading = client.get(server.url).then((response) => response.text())
    await expect(reading, body.slice(-20)).rejects.toMatchObject({ code: 'ERR_CONNECTION_CLOSED' })
  }
})

test.each([['http/1.1'], ['h2']] as const)(
  'a client over %s closes when a body has come, though nobody has read it',
  async (alpn) => {
    await using server = await startGenuine({ alpn: [alpn] })
    const client = clientOf(server, { timeout: 0 })
    const response = await client.get(server.at('/chunked/300000'))
    await client.close()
    expect((await response.text()) === letters(300_000)).toBe(true)
  },
)

test('a response that breaks the rules of HTTP/1.1 is refused, and its connection closed', async () => {
  const cases: string[] = [
    'Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello',
    'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
    'Content-Length: 5, 5\r\n\r\nhello',
    'Content-Length: -5\r\n\r\nhello',
    'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'Transfer-Encoding: chunked\r\n\r\n5 \x01\r\nhello\r\n0\r\n\r\n',
    'Transfer-Encoding: chunked\r\n\r\nxyz\r\n',
    'Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n',
    'Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n',
    'A: b\r\n folded\r\nContent-Length: 0\r\n\r\n',
    'A: b\rc\r\nContent-Length: 0\r\n\r\n',
    'A: b\0c\r\nContent-Length: 0\r\n\r\n',
    'A : b\r\nContent-Length: 0\r\n\r\n',
    `${'A: b\r\n'.repeat(513)}\r\n`,
    `A: ${'b'.repeat(300_000)}\r\n\r\n`,
  ]
  for (const rest of cases) {
    await using server = await startRaw((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\n${rest}`, 'latin1'),
    )
    await using client = new Client()
    const reading = client.get(server.url).then((response) => response.text())
    await expect(reading, rest.slice(0, 60)).rejects.toMatchObject({ code: 'ERR_HTTP_PROTOCOL' })
    await expect.poll(() => server.open.size, { message: rest.slice(0, 60) }).toBe(0)
  }
})

test('what comes after a response is no answer to the next request', async () => {
  await using server = await startRaw((socket, head) =>
    socket.write(
      head.startsWith('GET /first')
        ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
        : 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood',
    ),
  )
  await using client = new Client()
  expect(await (await client.get(`${server.url}first`)).text()).toBe('ok')
  expect(await (await client.get(`${server.url}second`)).text()).toBe('good')
})

test('what comes on an idle connection ends it', async () => {
  await using server = await startRaw((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'), 20)
  })
  await using client = new Client()
  for (let round = 0; round < 3; round += 1) {
    expect(await (await client.get(server.url)).text()).toBe('ok')
    await new Promise((resolve) => setTimeout(resolve, 60))
  }
  expect(server.heads.length).toBe(3)
})

test('a body of which more is promised than there is memory ends where it ends', async () => {
  await using server = await startRaw((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${2 ** 53 - 2}\r\n\r\n`)
    socket.end(Buffer.alloc(3 << 20))
  })
  await using client = new Client({ maxResponseBytes: Number.MAX_SAFE_INTEGER })
  const response = await client.get(server.url)
  await expect(response.bytes()).rejects.toMatchObject({ code: 'ERR_CONNECTION_CLOSED' })
})

test('interim responses are passed over, up to a limit', async () => {
  let count = 3
  await using server = await startRaw((socket) =>
    socket.write(
      `${'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(count)}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`,
    ),
  )
  await using client = new Client()
  expect(await (await client.get(server.url)).text()).toBe('ok')
  count = 33
  await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_HTTP_PROTOCOL' })
})

test('a server may answer while the request is still on its way', async () => {
  await using server = await startEcho()
  await using client = new Client()
  const body = Buffer.alloc(20_000_000, 'abcdefghij')
  const response = await client.post(server.url, { body })
  expect(Buffer.from(await response.bytes()).equals(body)).toBe(true)
})

test('trailers are there when the body was read', async () => {
  for (const length of [5, 200_000]) {
    await using server = await startRaw((socket) =>
      socket.write(
        `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${length.toString(16)}\r\n${'x'.repeat(length)}\r\n0\r\nDigest: abc\r\n\r\n`,
      ),
    )
    await using client = new Client()
    const response = await client.get(server.url)
    expect((await response.text()).length).toBe(length)
    expect(response.trailers.get('digest')).toBe('abc')
  }
})

test('fields keep their order, spelling and repeats over HTTP/1.1', async () => {
  await using server = await startRaw((socket) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'),
  )
  await using client = new Client({ headers: { 'User-Agent': 'me' } })
  const headers: [string, string][] = [
    ['X-Zed', '1'],
    ['accept', 'text/html'],
    ['X-aBc', '2'],
    ['x-zed', '3'],
  ]
  await client.get(server.url, { headers })
  const lines = server.heads[0]?.split('\r\n').slice(2)
  expect(lines).toEqual([
    'X-Zed: 1',
    'accept: text/html',
    'X-aBc: 2',
    'x-zed: 3',
    'User-Agent: me',
    'accept-encoding: gzip, deflate, br, zstd',
  ])
})

test('a form is read by its content type', async () => {
  await using server = await startRaw((socket) =>
    socket.write(
      'HTTP/1.1 200 OK\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\na=1&b=2',
    ),
  )
  await using client = new Client()
  const form = await (await client.get(server.url)).formData()
  expect([...form]).toEqual([
    ['a', '1'],
    ['b', '2'],
  ])
})

test('a file is replaced when the body is whole, and not before', async () => {
  let isWhole = false
  await using server = await startRaw((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${'x'.repeat(150_000)}`)
    if (isWhole) socket.write('x'.repeat(50_000))
    else socket.end()
  })
  await using client = new Client()
  const file = join(folder, 'kept')
  await writeFile(file, 'as it was')
  const saved = client.get(server.url).then((response) => response.saveTo(file))
  await expect(saved).rejects.toMatchObject({ code: 'ERR_CONNECTION_CLOSED' })
  expect(await readFile(file, 'utf8')).toBe('as it was')
  expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([])
  isWhole = true
  const response = await client.get(server.url)
  expect(await response.saveTo(pathToFileURL(file))).toBe(200_000)
  expect((await readFile(file)).length).toBe(200_000)
  await expect(response.text()).rejects.toThrow(TypeError)
  const nowhere = join(folder, 'none', 'x')
  await expect((await client.get(server.url)).saveTo(nowhere)).rejects.toMatchObject({
    code: 'ERR_FILE',
    message: expect.stringContaining(nowhere),
  })
})

test.each([['/bytes/100'], ['/bytes/1000000']])(
  '%s is saved whole, or not at all',
  async (path) => {
    await using server = await startGenuine()
    await using client = clientOf(server)
    const nowhere = join(folder, 'none', 'x')
    await expect((await client.get(server.at(path))).saveTo(nowhere)).rejects.toMatchObject({
      name: 'PinfetchError',
      code: 'ERR_FILE',
      message: expect.stringContaining(nowhere),
    })
    // a folder cannot be replaced by a file: what was written beside it goes
    const taken = join(folder, 'taken')
    await mkdir(taken, { recursive: true })
    await expect((await client.get(server.at(path))).saveTo(taken)).rejects.toMatchObject({
      code: 'ERR_FILE',
    })
    expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([])
    // a new file in the place of the old one, and not the old one written over
    const file = join(folder, 'replaced')
    await writeFile(file, 'as it was')
    await using old = await open(file)
    const length = await (await client.get(server.at(path))).saveTo(file)
    expect((await readFile(file)).length).toBe(length)
    expect((await old.readFile('utf8')) === 'as it was').toBe(true)
  },
)

test.each([['/bytes/100'], ['/bytes/1000000']])(
  '%s is saved where a symbolic link leads, with the mode that the file has, and into a pipe',
  async (path) => {
    await using server = await startGenuine()
    await using client = clientOf(server)
    const place = await mkdtemp(join(folder, 'places-'))
    const save = async (name: string) =>
      (await client.get(server.at(path))).saveTo(join(place, name))
    const mode = (name: string) => statSync(join(place, name)).mode & 0o777

    await writeFile(join(place, 'secret'), 'old')
    await chmod(join(place, 'secret'), 0o620) // what no usual umask gives
    await symlink('secret', join(place, 'link'))
    await symlink('link', join(place, 'linked'))
    const length = await save('linked')
    expect(statSync(join(place, 'secret')).size).toBe(length)
    expect(mode('secret')).toBe(0o620)
    expect(await readlink(join(place, 'linked'))).toBe('link')
    expect(await readlink(join(place, 'link'))).toBe('secret')

    await symlink(`../${basename(place)}/later`, join(place, 'dangling'))
    await save('dangling')
    expect(statSync(join(place, 'later')).size).toBe(length)
    expect(mode('later')).toBe(0o666 & ~process.umask())
    expect(lstatSync(join(place, 'dangling')).isSymbolicLink()).toBe(true)

    await symlink('circle', join(place, 'circle'))
    await expect(save('circle')).rejects.toMatchObject({ code: 'ERR_FILE' })

    execFileSync('mkfifo', [join(place, 'pipe')])
    const [saved, read] = await Promise.all([save('pipe'), readFile(join(place, 'pipe'))])
    expect([saved, read.length]).toEqual([length, length])
    expect(lstatSync(join(place, 'pipe')).isFIFO()).toBe(true)

    expect((await readdir(place)).filter((name) => name.endsWith('.part'))).toEqual([])
  },
)

test.each([['/bytes/100'], ['/bytes/1000000']])(
  'a body of %s that was looked at as a stream is read by other means, within the limit',
  async (path) => {
    await using server = await startGenuine()
    await using client = clientOf(server)
    const url = server.at(path)
    const length = Number(path.slice('/bytes/'.length))
    const get = async (maxResponseBytes = length) => {
      const response = await client.get(url, { maxResponseBytes })
      expect(response.body?.locked).toBe(false)
      return response
    }
    expect((await (await get()).text()) === letters(length)).toBe(true)
    const file = join(folder, 'looked-at')
    const saved = await get()
    expect(await saved.saveTo(file)).toBe(length)
    expect((await readFile(file, 'utf8')) === letters(length)).toBe(true)
    expect(saved.body?.locked).toBe(true)
    await expect(saved.text()).rejects.toThrow(TypeError)
    await expect(get(length - 1).then((response) => response.bytes())).rejects.toMatchObject({
      code: 'ERR_HTTP_BODY_TOO_LARGE',
      limit: length - 1,
    })
  },
)

test('a clone holds no more in memory than its limit', async () => {
  await using server = await startGenuine()
  await using strict = clientOf(server, { maxResponseBytes: 300_000 })
  for (const [maxResponseBytes, limit] of [
    [undefined, 300_000],
    [400_000, 400_000],
  ]) {
    const init = maxResponseBytes === undefined ? {} : { maxResponseBytes }
    const response = await strict.get(server.at('/bytes/1000000'), init)
    const copy = response.clone()
    const tooLarge = { name: 'ProtocolError', code: 'ERR_HTTP_BODY_TOO_LARGE', limit }
    await Promise.all([
      expect(response.blob()).rejects.toMatchObject(tooLarge),
      expect(copy.blob()).rejects.toMatchObject(tooLarge),
    ])
    const whole = await strict.get(server.at('/bytes/300000'), init)
    const twin = whole.clone()
    const texts = await Promise.all([whole.text(), twin.text()])
    expect(texts.map((text) => text === letters(300_000))).toEqual([true, true])
  }
})

describe.each([
  ['comes with its header section', 10],
  ['travels apart', 50_000],
  ['is received as it is read', 3_000_000],
])('a clone of a response whose body %s', (_what, length) => {
  const text = (response: Response) => response.text()
  const reader = async ({ body }: Response) => {
    const pieces: Uint8Array[] = []
    for await (const piece of body ?? []) pieces.push(piece)
    return Buffer.concat(pieces).toString()
  }
  test.each<[string, (response: Response) => Promise<string>, boolean, boolean]>(
    [
      ['text()', text],
      ['a reader', reader],
    ].flatMap(([how, read]) =>
      [true, false].flatMap((isCopyFirst) =>
        [true, false].map((isTouched) => [how, read, isCopyFirst, isTouched] as never),
      ),
    ),
  )('is read by %s, each once and in any order', async (_how, read, isCopyFirst, isTouched) => {
    const whole = 'x'.repeat(length)
    await using server = await startRaw((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${whole}`),
    )
    await using client = new Client()
    const original = await client.get(server.url)
    if (isTouched) void original.body
    const copy = original.clone()
    const [first, second] = isCopyFirst ? [copy, original] : [original, copy]
    expect(await read(first)).toBe(whole)
    expect([first.bodyUsed, second.bodyUsed]).toEqual([true, false])
    await expect(first.text()).rejects.toThrow(TypeError)
    expect(await read(second)).toBe(whole)
    expect(second.bodyUsed).toBe(true)
    await expect(second.text()).rejects.toThrow(TypeError)
  })
})
