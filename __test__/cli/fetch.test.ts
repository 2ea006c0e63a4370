import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fileNameOf } from '../../src/cli/results.js'
import { PolicyFile } from '../../src/index.js'
import { type Endpoint, startGenuine, startInterceptor } from '../testkit.js'
import { Command } from './command.js'

const command = new Command()

/** A line of results. */
interface Result {
  readonly index: number
  readonly url: string
  readonly finalUrl?: string
  readonly status?: number
  readonly httpVersion?: string
  readonly headers?: readonly (readonly [string, string])[]
  readonly body?: string
  readonly bodyEncoding?: string
  readonly file?: string
  readonly bytes?: number
  readonly ms: number
  readonly error?: { readonly code: string; readonly [fact: string]: unknown }
}

/** The results in a text, each line of which is whole; in the order of the inputs. */
function resultsOf(text: string): Result[] {
  expect(text === '' || text.endsWith('\n')).toBe(true)
  const results: Result[] = text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
  return results.sort((one, other) => one.index - other.index)
}

function resultsIn(path: string): Result[] {
  return resultsOf(readFileSync(path, 'utf8'))
}

/** A new folder for one test. */
let folders = 0
function newFolder(): string {
  folders += 1
  const path = command.path(`folder-${folders}`)
  mkdirSync(path)
  return path
}

async function startLocal(options: Parameters<typeof startGenuine>[0] = {}): Promise<Endpoint> {
  return startGenuine({ hostname: '127.0.0.1', ...options })
}

/** The options with which a server is trusted and pinned by its own port. */
function pinned(server: Endpoint, pin = server.leafPin): string[] {
  const ca = command.file(`fetch-${server.port}.pem`, server.ca)
  return ['--ca', ca, '--pin', `127.0.0.1:${server.port}=${pin}`]
}

/** Node's own HTTP server, whose answers a test decides. */
async function startHttp(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ readonly url: string } & AsyncDisposable> {
  const server = createServer(answer)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo // a TCP server's
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Resolves when `condition` holds; looked at whenever there is time. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

function linesIn(path: string): number {
  return existsSync(path) ? readFileSync(path, 'latin1').split('\n').length - 1 : 0
}

/** How a child ends. */
function endOf(child: ChildProcess): Promise<[code: number | null, signal: string | null]> {
  return once(child, 'close') as Promise<[number | null, string | null]> // what Node documents
}

test('the body of a single URL goes to stdout, and nothing else', async () => {
  await using server = await startLocal()

  const ended = await command.run(['fetch', server.at('/bytes/3'), ...pinned(server)])

  expect(ended).toEqual({ code: 0, stdout: 'abc', stderr: '' })
})

test('a bad pin is told with the pins that were found, and nothing is sent', async () => {
  await using server = await startLocal()
  await using interceptor = await startInterceptor({ of: server })
  const found = interceptor.pathPins.map((pin) => pin.slice('sha256/'.length)).join(' ')

  const refused = await command.run([
    'fetch',
    interceptor.url,
    ...pinned(server).slice(0, 2),
    '--pin',
    `127.0.0.1=${server.leafPin}`,
  ])

  expect(refused).toEqual({
    code: 5,
    stdout: '',
    stderr: `pinfetch: bad ssl pin detected, found pins: [${found}] (ERR_BAD_PIN)\n`,
  })
  expect(await interceptor.applicationBytes()).toBe(0)
})

test('several results are lines of JSON, a bad pin among them, and the gravest gives the exit code', async () => {
  await using server = await startLocal()
  await using interceptor = await startInterceptor({ of: server })
  const policy = command.file(
    'mixed.json',
    JSON.stringify({ '127.0.0.1': [server.leafPin, server.backupPin] }),
  )
  const urls = [
    server.at('/bytes/3'),
    interceptor.url,
    'http://127.0.0.1:9/',
    'https://127.0.0.1:1/',
    'no URL',
  ]

  const ended = await command.run([
    'fetch',
    ...urls,
    '--policy',
    policy,
    ...pinned(server).slice(0, 2),
  ])

  const [got, refused, plain, unreachable, wrong, ...more] = resultsOf(ended.stdout)
  expect(more).toEqual([])
  expect(got).toMatchObject({
    index: 0,
    url: urls[0],
    finalUrl: urls[0],
    status: 200,
    httpVersion: '2',
    headers: expect.arrayContaining([['server-name', 'genuine']]),
    body: 'abc',
    bodyEncoding: 'utf-8',
    bytes: 3,
    ms: expect.any(Number),
  })
  expect(refused).toMatchObject({
    index: 1,
    url: interceptor.url,
    error: {
      code: 'ERR_BAD_PIN',
      foundPins: interceptor.pathPins,
      expectedPins: expect.arrayContaining([server.leafPin, server.backupPin]),
      hostname: '127.0.0.1',
      port: interceptor.port,
    },
  })
  expect(refused).not.toHaveProperty('status')
  expect(plain).toMatchObject({ index: 2, error: { code: 'ERR_POLICY_PLAINTEXT' } })
  expect(unreachable).toMatchObject({ index: 3, error: { code: 'ERR_CONNECT' } })
  expect(wrong).toMatchObject({ index: 4, url: 'no URL', error: { code: 'ERR_INVALID_URL' } })
  expect(await interceptor.applicationBytes()).toBe(0)
  expect(ended.code).toBe(5)
  expect(ended.stderr.trimEnd().split('\n')).toEqual([
    expect.stringMatching(/^pinfetch: 5 requested, 3 B in [\d.]+ s, [\d.]+\/s$/),
    'pinfetch: statuses: 2xx 1',
    'pinfetch: bad pins: 1',
    'pinfetch: errors: ERR_BAD_PIN 1, ERR_CONNECT 1, ERR_INVALID_URL 1, ERR_POLICY_PLAINTEXT 1',
  ])
})

test('bodies that are no text come in base64, text with its byte order mark', async () => {
  await using server = await startHttp((request, response) => {
    response.end(request.url === '/text' ? '\ufeffé\u2028' : Buffer.from([0xff, 0, 1]))
  })

  const ended = await command.run(['fetch', `${server.url}/text`, `${server.url}/bytes`, '--quiet'])

  const [text, bytes] = resultsOf(ended.stdout)
  expect(text).toMatchObject({ body: '\ufeffé\u2028', bodyEncoding: 'utf-8', bytes: 8 })
  expect(bytes).toMatchObject({ body: '/wAB', bodyEncoding: 'base64', bytes: 3 })
  expect(ended).toMatchObject({ code: 0, stderr: '' })
})

test('inputs are read a line each from a file or stdin, and one that is no URL stops nothing', async () => {
  await using server = await startHttp((request, response) => response.end(request.url))
  const list = Buffer.concat([
    Buffer.from(`\ufeff${server.url}/a\r\n\n  # comment\n\thttp://[\n`),
    Buffer.from([0xff, 0x0a]),
    Buffer.from(`${'x'.repeat(200_000)}\n  ${server.url}/b  \n${server.url}/end`),
  ])
  const file = command.file('list.txt', list)

  const ofFile = await command.run(['fetch', '--input', file, '--quiet', `${server.url}/first`])
  const ofStdin = await command.run(['fetch', '-', '--quiet', `${server.url}/first`], list)
  const named = await command.run(['fetch', '--input', '-', '--quiet'], list)

  const bodies = ['/first', '/a', undefined, undefined, undefined, '/b', '/end']
  for (const [ended, expected] of [
    [ofFile, bodies],
    [ofStdin, bodies],
    [named, bodies.slice(1)],
  ] as const) {
    const results = resultsOf(ended.stdout)
    expect(results.map(({ body }) => body)).toEqual(expected)
    expect(results.map(({ index }) => index)).toEqual(expected.map((_, index) => index))
    const wrong = results.filter(({ error }) => error !== undefined)
    expect(wrong.map(({ error }) => error?.code)).toEqual(Array(3).fill('ERR_INVALID_URL'))
    expect(wrong.map(({ url }) => url)).toEqual(['http://[', '\ufffd', 'x'.repeat(200)])
    expect(ended).toMatchObject({ code: 2, stderr: '' })
  }
})

test('method, headers, body, redirects and time limit are what the options say', async () => {
  await using server = await startHttp((request, response) => {
    if (request.url === '/moved') {
      response.writeHead(302, { location: '/there' }).end()
      return
    }
    if (request.url === '/stalled') return
    let body = ''
    request.setEncoding('utf8').on('data', (text) => {
      body += text
    })
    request.on('end', () => {
      const { method, url, headers } = request
      response.end(JSON.stringify({ method, url, a: headers['x-a'], b: headers['x-b'], body }))
    })
  })
  const file = command.file('data.bin', 'of a file')
  const asked = async (...args: string[]) => {
    const { stdout } = await command.run(['fetch', ...args])
    return JSON.parse(stdout)
  }

  const headers = ['--header', 'X-A: one: two', '--header', 'x-b:3']
  expect(await asked(`${server.url}/`, ...headers)).toEqual({
    method: 'GET',
    url: '/',
    a: 'one: two',
    b: '3',
    body: '',
  })
  expect(await asked(`${server.url}/`, '--data', 'a=b')).toMatchObject({
    method: 'POST',
    body: 'a=b',
  })
  expect(await asked(`${server.url}/`, '--data', `@${file}`, '--method', 'put')).toMatchObject({
    method: 'PUT',
    body: 'of a file',
  })
  expect(await asked(`${server.url}/moved`)).toMatchObject({ url: '/there' })

  const urls = [`${server.url}/moved`, `${server.url}/there`, '--quiet']
  const manual = await command.run(['fetch', ...urls, '--redirect', 'manual'])
  expect(resultsOf(manual.stdout).map(({ status }) => status)).toEqual([302, 200])
  const refused = await command.run(['fetch', ...urls, '--redirect', 'error'])
  expect(resultsOf(refused.stdout).map(({ error }) => error?.code)).toEqual([
    'ERR_HTTP_REDIRECT',
    undefined,
  ])
  expect(refused.code).toBe(3)

  const stalled = await command.run(['fetch', `${server.url}/stalled`, '--timeout', '0.2'])
  expect(stalled).toMatchObject({ code: 3, stdout: '' })
  expect(stalled.stderr).toContain('200 ms (ERR_TIMEOUT)')
})

test('--unpinned refuse requests nothing of hosts without pins', async () => {
  await using server = await startLocal()
  await using other = await startLocal({ pki: server.pki })
  const args = ['fetch', server.at('/bytes/3'), other.at('/bytes/3'), ...pinned(server), '--quiet']

  const refused = await command.run([...args, '--unpinned', 'refuse'])
  const codes = resultsOf(refused.stdout).map(({ error }) => error?.code)
  expect(codes).toEqual([undefined, 'ERR_POLICY_UNPINNED'])
  expect(refused.code).toBe(2)
  expect(await other.applicationBytes()).toBe(0)

  const allowed = await command.run(args)
  expect(resultsOf(allowed.stdout).map(({ status }) => status)).toEqual([200, 200])
})

test('what was killed is resumed: each URL has one result without error, as if nothing had happened', async () => {
  const COUNT = 400
  let answered = 0
  let isOpen = false
  const waiting: (() => void)[] = []
  await using server = await startHttp((request, response) => {
    answered += 1
    const answer = () => response.end(`body of ${request.url}`)
    // what comes after this is never answered before the kill
    if (answered > 150 && !isOpen) waiting.push(answer)
    else answer()
  })
  const urls = Array.from({ length: COUNT }, (_, index) => `${server.url}/${index}`)
  const list = command.file('resume.txt', `${urls.join('\n')}\nhttp://127.0.0.1:1/\n`)
  const output = join(newFolder(), 'results.ndjson')
  const args = ['fetch', '--input', list, '--output', output, '--concurrency', '16', '--quiet']

  const killed = command.start(...args)
  const end = endOf(killed)
  await until(() => linesIn(output) === 150 && waiting.length === 16)
  killed.kill('SIGKILL')
  expect(await end).toEqual([null, 'SIGKILL'])
  expect(resultsIn(output)).toHaveLength(150)
  isOpen = true
  // as if the kill had come between two writes: the last result is torn
  truncateSync(output, readFileSync(output).length - 20)

  const again = await command.run(args)
  expect(again).toMatchObject({ code: 6, stdout: '' })
  expect(again.stderr).toContain('--resume')

  const before = answered
  const resumed = await command.run([...args, '--resume'])
  expect(resumed).toEqual({ code: 3, stdout: '', stderr: '' })
  expect(answered - before).toBe(COUNT - 149)

  const uninterrupted = join(newFolder(), 'results.ndjson')
  await command.run(args.with(4, uninterrupted))
  const kept = ({ index, url, status, body, error }: Result) => ({
    index,
    url,
    status,
    body,
    code: error?.code,
  })
  const results = resultsIn(output)
  expect(results.map(kept)).toEqual(resultsIn(uninterrupted).map(kept))
  expect(results.filter(({ error }) => error === undefined).map(({ url }) => url)).toEqual(urls)

  // the one error is tried again, and nothing else
  const third = await command.run([...args.slice(0, -1), '--resume'])
  expect(third.code).toBe(3)
  expect(third.stderr).toMatch(/^pinfetch: 1 requested, 400 done before, /)
  expect(resultsIn(output)).toHaveLength(COUNT + 2)
})

test('--resume requests what the list has in another place or spelling', async () => {
  await using server = await startHttp((request, response) => response.end(request.url))
  const output = join(newFolder(), 'results.ndjson')
  const run = async (paths: string, ...more: string[]) => {
    const urls = paths.split('').map((path) => `${server.url}/${path}`)
    const ended = await command.run(['fetch', ...urls, '--output', output, ...more])
    expect(ended.code).toBe(0)
    return /(\d+) requested/.exec(ended.stderr)?.[1]
  }

  expect(await run('abc')).toBe('3')
  expect(await run('abc', '--resume')).toBe('0')
  expect(await run('axcd', '--resume')).toBe('2')
})

test('--resume refuses a file that is not of results', async () => {
  const output = join(newFolder(), 'other.ndjson')
  const text = '{"index":0,"url":"https://a.test/","status":200}\n{"a":1}\n'
  writeFileSync(output, text)

  const ended = await command.run(['fetch', 'https://a.test/', '--output', output, '--resume'])

  expect(ended).toMatchObject({ code: 6, stdout: '' })
  expect(ended.stderr).toContain(`${output}: line 2 is no result`)
  expect(readFileSync(output, 'utf8')).toBe(text)
})

test('SIGINT takes no more, waits for what is in flight, writes it and sums up', async () => {
  const held: ServerResponse[] = []
  let asked = 0
  await using server = await startHttp((request, response) => {
    asked += 1
    if (asked > 20) held.push(response)
    else response.end(request.url)
  })
  const output = join(newFolder(), 'results.ndjson')
  const child = command.start(
    ...['fetch', '-', '--output', output, '--concurrency', '4', '--timeout', '20'],
  )
  const end = endOf(child)
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  // stdin stays open: more may come
  child.stdin.write(Array.from({ length: 1000 }, (_, i) => `${server.url}/${i}\n`).join(''))
  await until(() => held.length === 4 && linesIn(output) === 20)

  child.kill('SIGINT')
  await until(() => stderr.startsWith('pinfetch: interrupted: '))
  for (const response of held) response.end('late')

  expect(await end).toEqual([130, null])
  expect(asked).toBe(24)
  const results = resultsIn(output)
  expect(results.map(({ index }) => index)).toEqual(Array.from({ length: 24 }, (_, i) => i))
  expect(results.filter(({ body }) => body === 'late')).toHaveLength(4)
  expect(stderr).toMatch(/\npinfetch: 24 requested, /)
})

test('a second SIGINT ends it at once, and what was written is whole', async () => {
  let asked = 0
  await using server = await startHttp((request, response) => {
    asked += 1
    if (asked <= 20) response.end(request.url)
  })
  const output = join(newFolder(), 'results.ndjson')
  const list = command.file(
    'second.txt',
    Array.from({ length: 100 }, (_, i) => `${server.url}/${i}`).join('\n'),
  )
  const child = command.start('fetch', '--input', list, '--output', output, '--timeout', '0')
  const end = endOf(child)
  await until(() => asked === 84 && linesIn(output) === 20)

  const interrupt = setInterval(() => child.kill('SIGINT'), 50) // two in a moment may arrive as one
  const [code] = await end
  clearInterval(interrupt)

  expect(code).toBe(130)
  expect(resultsIn(output)).toHaveLength(20)
})

test('bodies are saved in a folder under names that no URL can lead astray', async () => {
  await using server = await startHttp((request, response) => response.end(`at ${request.url}`))
  const parent = newFolder()
  const folder = join(parent, 'bodies')
  const urls = [
    `${server.url}/../../../../etc/passwd`,
    `${server.url}/..%2F..%2Fescape`,
    `${server.url}/%2e%2e/%00/con`,
    `${server.url}/${'long'.repeat(1000)}`,
    `${server.url}/?a=/b\\c:d*e|f"g<h>`,
    `${server.url}/same`,
    `${server.url}/same`,
    'http://../',
    'file:///etc/passwd',
  ]
  const ended = await command.run(['fetch', ...urls, '--output', `${folder}/`, '--quiet'])

  expect(readdirSync(parent)).toEqual(['bodies'])
  const results = resultsIn(join(folder, 'index.ndjson'))
  expect(results.map(({ url }) => url)).toEqual(urls)
  const files = results.flatMap(({ file }) => file ?? [])
  expect(readdirSync(folder).sort()).toEqual([...files, 'index.ndjson'].sort())
  expect(files).toHaveLength(7)
  for (const { file, finalUrl = '', bytes } of results.slice(0, 7)) {
    expect(file).toMatch(/^\d{9}-127\.0\.0\.1-[0-9a-f]{16}$/)
    const body = readFileSync(join(folder, file ?? ''), 'utf8')
    expect(body).toBe(`at ${finalUrl.slice(server.url.length)}`)
    expect(bytes).toBe(body.length)
  }
  expect(results.slice(7).every(({ error }) => error?.code === 'ERR_INVALID_URL')).toBe(true)
  expect(ended).toEqual({ code: 2, stdout: '', stderr: '' })
})

test.each([
  ['https://Example.COM/a', 'example.com'],
  ['https://[::1]:8443/', '___1_'],
  [`https://${'a.'.repeat(100)}test/`, 'a.'.repeat(50)],
  ['no URL', ''],
])('the file of %s is named by place, host and digest', (url, host) => {
  const [, named] = /^000000007-(.*)-[0-9a-f]{16}$/.exec(fileNameOf({ index: 7, url })) ?? []
  expect(named).toBe(host)
  expect(fileNameOf({ index: 7, url: `${url}#` })).not.toBe(fileNameOf({ index: 7, url }))
})

test('--resume in a folder saves what is missing and clears away what was begun', async () => {
  await using server = await startHttp((request, response) => response.end(request.url))
  const folder = newFolder() // one that is there needs no slash
  const urls = ['a', 'b', 'c'].map((path) => `${server.url}/${path}`)
  await command.run(['fetch', ...urls.slice(0, 2), '--output', folder])
  const index = join(folder, 'index.ndjson')
  appendFileSync(index, '{"index":2,"url":"htt')
  writeFileSync(join(folder, '000000002-127.0.0.1-0123456789abcdef.77-0.part'), 'begun')

  const ended = await command.run(['fetch', ...urls, '--output', folder, '--resume'])

  expect(ended.code).toBe(0)
  expect(ended.stderr).toMatch(/^pinfetch: 1 requested, 2 done before, /)
  const files = resultsIn(index).map(({ file }) => file ?? '')
  expect(files.map((file) => readFileSync(join(folder, file), 'utf8'))).toEqual(['/a', '/b', '/c'])
  expect(readdirSync(folder).sort()).toEqual([...files, 'index.ndjson'].sort())
})

test('a huge body goes to a folder without going through memory', async () => {
  const MEBIBYTE = 1024 * 1024
  const LARGE = 256
  await using server = await startHttp((request, response) => {
    const piece = Buffer.alloc(MEBIBYTE, 'x')
    let left = request.url === '/large' ? LARGE : 1
    const write = () => {
      while (left > 0) {
        left -= 1
        if (!response.write(piece)) {
          response.once('drain', write)
          return
        }
      }
      response.end()
    }
    write()
  })
  // told by the process itself, in KiB
  const probe = command.file(
    'probe.mjs',
    `import { writeFileSync } from 'node:fs'
process.on('exit', () => writeFileSync(process.env.PROBE, String(process.resourceUsage().maxRSS)))`,
  )
  const peakOf = async (path: string): Promise<number> => {
    const folder = newFolder()
    const PROBE = join(newFolder(), 'rss')
    const child = spawn(
      process.execPath,
      ['--import', probe, command.script, 'fetch', `${server.url}${path}`, '--output', folder],
      { env: { ...process.env, PROBE }, stdio: 'ignore' },
    )
    expect(await endOf(child)).toEqual([0, null])
    const [result] = resultsIn(join(folder, 'index.ndjson'))
    expect(result?.bytes).toBe((path === '/large' ? LARGE : 1) * MEBIBYTE)
    return Number(readFileSync(PROBE, 'utf8')) / 1024
  }

  const [small, large] = [await peakOf('/small'), await peakOf('/large')]

  expect(large - small).toBeLessThan(LARGE / 4)
})

test('a reader of stdout that goes away ends it without a word', async () => {
  await using server = await startHttp((_request, response) => response.end('x'.repeat(10_000)))
  const list = command.file('closed.txt', `${server.url}/\n`.repeat(2000))
  const child = command.start('fetch', '--input', list)
  const end = endOf(child)
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })

  await once(child.stdout, 'data')
  child.stdout.destroy()

  expect(await end).toEqual([141, null])
  expect(stderr).toBe('')
})

test('an output that cannot be written ends it with what the system says', async () => {
  const folder = newFolder()
  for (const output of [join(folder, 'none', 'a.ndjson'), `${command.file('plain', '')}/`]) {
    const ended = await command.run(['fetch', 'http://127.0.0.1:1/', '--output', output])
    expect(ended).toMatchObject({ code: 6, stdout: '' })
    expect(ended.stderr).toMatch(/^pinfetch: [^\n]+: [a-z ]+ \(E[A-Z]+\)\n$/)
    expect(ended.stderr).toContain(output)
  }
})

test.each([
  ['no JSON', '{"a.test": [}', 'no JSON: '],
  ['a list', '[]', ':1:1: it is an array: give a JSON object'],
  ['no pins', '{}', 'it has no hosts'],
  ['an empty pin set', '{"a.test": []}', ':1:2: /a.test: the pin list is empty'],
  ['a pin that is none', '{"a.test": ["sha256/short"]}', ':1:13: /a.test/0: "sha256/short"'],
  ['a misspelt property', '{"a.test": {"pinz": "x"}}', ':1:2: /a.test: it has an unknown'],
  ['a pattern that is none', '{"a*.test": ["sha256/short"]}', ':1:2: /a*.test: '],
  ['a misspelt member', '{"version": 1, "host": {}}', ':1:16: /host: a policy file has no member'],
  ['environments', '{"version": 1, "environments": {"one": {}}}', 'give one of "one"'],
  [
    'trust anchors that are not there',
    `{"version": 1, "hosts": {"a.test": {"pins": ["sha256/${'A'.repeat(43)}="], "trust": {"ca": "none.pem"}}}}`,
    '/hosts/a.test/trust/ca: the trust anchors cannot be read: ENOENT',
  ],
])('a policy file with %s is refused by its name and the place', async (_name, text, place) => {
  const path = command.file('policy.json', text)

  const ended = await command.run(['fetch', 'https://a.test/', '--policy', path])

  expect(ended).toMatchObject({ code: 6, stdout: '' })
  expect(ended.stderr).toMatch(/^pinfetch: [^\n]*policy\.json:[^\n]+ \(ERR_[A-Z_]+\)\n$/)
  expect(ended.stderr).toContain(place)
})

const PIN = `sha256/${'A'.repeat(43)}=`

test.each([
  ['nothing to do', [], 'give a URL, --input or -'],
  ['stdin twice', ['-', '--input', '-'], 'give one of - and --input'],
  ['a pin without a host', ['u', '--pin', PIN], 'give HOST=sha256/'],
  ['a pin that is none', ['u', '--pin', 'a.test=sha256/x'], 'a.test'],
  ['a pattern twice', ['u', '--pin', `a.test=${PIN}`, '--pin', `A.test=${PIN}`], 'a.test'],
  ['an environment of no file', ['u', '--environment', 'a'], 'give --policy'],
  ['a key of no file', ['u', '--verify-key', 'k', '--verify-name', 'a'], 'give --policy'],
  ['a key without a name', ['u', '--policy', 'p', '--verify-key', 'k'], 'go together'],
  ['a name without a key', ['u', '--policy', 'p', '--verify-name', 'a'], 'go together'],
  ['another word for unpinned', ['u', '--unpinned', 'maybe'], 'give "allow" or "warn" or "refuse"'],
  ['another word for redirect', ['u', '--redirect', 'never'], 'give "follow" or'],
  ['a proxy that is none', ['u', '--proxy', 'ftp://user:secret@a.test'], 'proxy'],
  ['a header without name', ['u', '--header', ': secret'], 'name: value'],
  ['a header name that is none', ['u', '--header', 'a b: secret'], 'a b'],
  ['a header of the client itself', ['u', '--header', 'host: a'], 'host'],
  ['a method that is none', ['u', '--method', 'a b'], 'a b'],
  ['a body of GET', ['u', '--method', 'get', '--data', 'x'], 'GET'],
  ['no requests at a time', ['u', '--concurrency', '0'], '--concurrency is "0"'],
  ['a time limit that is none', ['u', '--timeout', '1m'], '--timeout is "1m"'],
  ['an output of no known kind', ['u', '--output', 'page.html'], '.ndjson'],
  ['nothing to resume', ['u', '--resume'], 'give --output'],
  ['an unknown option', ['u', '--ouput', 'a/'], '--ouput'],
] as const)(
  'the command line is refused before anything is done: %s',
  async (_name, args, told) => {
    const ended = await command.run(['fetch', ...args])

    expect(ended).toMatchObject({ code: 2, stdout: '' })
    expect(ended.stderr).toMatch(/^pinfetch: [^\n]+ \(see pinfetch fetch --help\)\n$/)
    expect(ended.stderr).toContain(told)
    expect(ended.stderr).not.toContain('secret')
  },
)

test('a policy file must be signed where a key is given', async () => {
  await using server = await startLocal()
  const policy = { version: 1, hosts: { [`127.0.0.1:${server.port}`]: [server.leafPin] } }
  const path = command.file('signed.json', JSON.stringify(policy))
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const key = command.file('signing.pub.pem', pem)
  const trust = pinned(server).slice(0, 2)
  const run = (name: string) => {
    const verify = ['--verify-key', key, '--verify-name', name]
    const asked = [...verify, ...trust]
    return Promise.all([
      command.run(['fetch', server.at('/bytes/3'), '--policy', path, ...asked]),
      command.run(['check', path, '--json', ...asked]),
      command.run(['watch', '--once', '--json', path, ...asked]),
      command.run(['report', '--html', '--quiet', path, ...asked]),
      command.run(['explain', '--json', '--policy', path, ...verify, server.at('/')]),
      command.run(['explain', '--json', '--diff', path, path, ...verify]),
    ])
  }
  const unsigned = expect.stringContaining('(ERR_POLICY_UNSIGNED)')
  for (const told of await run('orders'))
    expect(told).toMatchObject({ code: 6, stdout: '', stderr: unsigned })
  expect((await server.stats()).accepted).toBe(0)

  const file = await PolicyFile.read(path)
  const as = { name: 'orders', version: 1, expires: '2099-01-01' }
  writeFileSync(`${path}.sig`, JSON.stringify(file.sign(as, privateKey)))
  for (const told of await run('payments'))
    expect(told).toMatchObject({
      code: 6,
      stdout: '',
      stderr: expect.stringContaining('is of the policy "orders"'),
    })
  expect((await server.stats()).accepted).toBe(0)
  const [fetched, checked, watched, reported, explained, compared] = await run('orders')
  expect(fetched).toMatchObject({ code: 0, stderr: '' })
  expect(fetched.stdout).toHaveLength(3)
  expect(JSON.parse(checked.stdout).sights).toMatchObject([{ verdict: 'pinned' }])
  expect(watched.stdout).toContain('"event":"found"')
  expect(reported.stdout).toContain('<!doctype html>')
  expect(JSON.parse(explained.stdout)).toMatchObject({ verdict: 'pinned' })
  expect(JSON.parse(compared.stdout)).toMatchObject({ added: [], removed: [], changed: [] })
})

test('a policy file says what becomes of hosts without pins, in the environment that is asked for', async () => {
  await using server = await startLocal()
  const path = command.file(
    'environments.json',
    JSON.stringify({
      version: 1,
      environments: {
        strict: { unpinned: 'refuse', hosts: { 'a.test': [server.leafPin] } },
        lax: { hosts: { '127.0.0.1': [{ pin: server.leafPin, role: 'current' }] } },
      },
    }),
  )
  const trust = pinned(server).slice(0, 2)
  const run = (...more: string[]) =>
    command.run(['fetch', server.at('/bytes/3'), '--policy', path, ...trust, ...more])

  expect(await run('--environment', 'lax')).toMatchObject({ code: 0, stderr: '' })
  const refused = await run('--environment', 'strict')
  expect(refused).toMatchObject({ code: 2, stdout: '' })
  expect(refused.stderr).toContain('ERR_POLICY_UNPINNED')
  // the stricter of both holds
  expect(await run('--environment', 'strict', '--unpinned', 'allow')).toMatchObject({ code: 2 })
  const misspelt = await run('--environment', 'strct')
  expect(misspelt).toMatchObject({ code: 6, stdout: '' })
  expect(misspelt.stderr).toContain(
    'environments.json: it has no environment "strct": did you mean',
  )
})

test('a folder is no list of URLs', async () => {
  const folder = newFolder()
  const ended = await command.run(['fetch', '--input', folder])

  expect(ended).toMatchObject({ code: 6, stdout: '' })
  expect(ended.stderr).toContain(`pinfetch: ${folder}: is a folder`)
})

test.each([
  ['--input', 'ENOENT'],
  ['--policy', 'ENOENT'],
  ['--ca', 'ENOENT'],
] as const)('a file of %s that is not there is named', async (option, code) => {
  const ended = await command.run(['fetch', 'https://a.test/', option, 'none.file'])

  expect(ended).toEqual({
    code: 6,
    stdout: '',
    stderr: `pinfetch: none.file: no such file or directory (${code})\n`,
  })
})
