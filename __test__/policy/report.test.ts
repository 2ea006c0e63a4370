import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { createServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  type BadPinReport,
  Client,
  type ClientOptions,
  LivePolicy,
  type Logger,
  type PinReport,
  pinReport,
  Reporter,
} from '../../src/index.js'
import { codeBlocks, Examples, root, runNode } from '../examples.js'
import { type Endpoint, sharedKit, startGenuine, startInterceptor } from '../testkit.js'

const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const wrong = pinOf(7)
const COLLECTOR = 'reports.example.test'

afterEach(() => {
  vi.useRealTimers()
})

interface Post {
  path: string | undefined
  headers: IncomingHttpHeaders
  body: string
}

/** An HTTPS server that takes reports, with the key of `of`. */
class Collector implements AsyncDisposable {
  readonly posts: Post[] = []
  /** What the next posts are answered with; 204 after them. Null closes the connection, 'endless' has a body that does not end. */
  readonly answers: (number | 'endless' | null)[] = []
  /** Resolves when an endless answer is not taken any more. */
  readonly hungUp: Promise<void>
  #hangUp: () => void = () => {}
  #told: (() => void)[] = []
  readonly #server

  constructor(of: Endpoint, role: 'leaf' | 'rogueLeaf' = 'leaf') {
    this.hungUp = new Promise((resolve) => {
      this.#hangUp = resolve
    })
    const { certificates } = of.pki
    const issuer = role === 'leaf' ? certificates.a1 : certificates.b1
    const cert = certificates[role].pem + issuer.pem
    this.#server = createServer(
      { cert, key: certificates[role].keyPem },
      async (request, reply) => {
        const body = await text(request)
        const answer = this.answers.shift()
        this.posts.push({
          path: `${request.method} ${request.url}`,
          headers: request.headers,
          body,
        })
        if (answer === null) request.socket.destroy()
        else if (answer === 'endless') {
          reply.once('close', this.#hangUp)
          reply.writeHead(200).write('a')
        } else reply.writeHead(answer ?? 204).end()
        for (const told of this.#told.splice(0)) told()
      },
    )
  }

  static async start(of: Endpoint, role?: 'leaf' | 'rogueLeaf'): Promise<Collector> {
    const collector = new Collector(of, role)
    await new Promise<void>((resolve) => collector.#server.listen(0, '127.0.0.1', resolve))
    return collector
  }

  get url(): string {
    return `https://${COLLECTOR}:${(this.#server.address() as AddressInfo).port}/pins`
  }

  get reports(): PinReport[] {
    return this.posts.map(({ body }) => JSON.parse(body) as PinReport)
  }

  /** Resolves when so many posts have come. */
  async arrived(count: number): Promise<void> {
    while (this.posts.length < count) await new Promise<void>((resolve) => this.#told.push(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

const start = () => startGenuine({ names: ['api.example.test', COLLECTOR] })

/** What a client of `server` has, whose policy knows another key. */
function refusing(server: Endpoint, more: ClientOptions): ClientOptions {
  return {
    ca: server.ca,
    lookup: { ...server.lookup, [COLLECTOR]: '127.0.0.1' },
    pins: { [server.hostname]: [wrong] },
    ...more,
  }
}

const badPin = expect.objectContaining({ code: 'ERR_BAD_PIN' })

/** A logger, and what it was warned of. */
function warnings(): { logger: Logger; told: string[]; next: (message: string) => Promise<void> } {
  const told: string[] = []
  const waiting: [string, () => void][] = []
  const warn = (message: string, facts: object) => {
    told.push(`${message} ${JSON.stringify(facts)}`)
    for (const [wanted, resolve] of waiting) if (wanted === message) resolve()
  }
  const next = (message: string) => new Promise<void>((resolve) => waiting.push([message, resolve]))
  return { logger: { warn }, told, next }
}

describe('a report', () => {
  const found: BadPinReport = {
    hostname: 'www.api.example.com',
    port: 8443,
    blockedPin: null,
    patterns: ['**.example.com', '*.api.example.com:8443'],
    expectedPins: [pinOf(1), pinOf(2)],
    foundPins: [pinOf(3)],
    verifiedPath: [
      {
        pin: pinOf(3),
        role: 'end entity',
        subject: 'CN=a',
        notAfter: null,
        der: Buffer.alloc(50, 1),
      },
      { pin: pinOf(4), role: 'trust anchor', subject: 'CN=b', notAfter: null, der: null },
    ],
    presentedChain: [Buffer.alloc(50, 1), Buffer.from('no certificate')],
    remoteAddress: '127.0.0.1:8443',
    expires: null,
    hint: 'none',
    diagnosis: { verdict: 'unknown', reasons: [] },
  }
  const pem =
    '-----BEGIN CERTIFICATE-----\n' +
    'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\nAQE=\n' +
    '-----END CERTIFICATE-----'

  test('is that of RFC 7469 §3, byte for byte', () => {
    expect(JSON.stringify(pinReport(found, new Date('2026-04-06T13:00:50.999Z')), null, 2)).toBe(`{
  "date-time": "2026-04-06T13:00:50Z",
  "hostname": "www.api.example.com",
  "port": 8443,
  "effective-expiration-date": "9999-12-31T23:59:59Z",
  "include-subdomains": true,
  "noted-hostname": "api.example.com",
  "served-certificate-chain": [
    ${JSON.stringify(pem)},
    "-----BEGIN CERTIFICATE-----\\nbm8gY2VydGlmaWNhdGU=\\n-----END CERTIFICATE-----"
  ],
  "validated-certificate-chain": [
    ${JSON.stringify(pem)}
  ],
  "known-pins": [
    "pin-sha256=\\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\\"",
    "pin-sha256=\\"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\\""
  ]
}`)
  })

  test.each([
    [['api.example.com'], 'api.example.com', false],
    [['api.example.com:8443'], 'api.example.com', false],
    [['*.example.com', 'api.example.com'], 'api.example.com', false],
    [['**.example.com'], 'example.com', true],
    [['**.example.com', '*.example.com:8443'], 'example.com', true],
    [['**.api.example.com', '**.example.com'], 'api.example.com', true],
    [['[::1]:8443'], '::1', false],
    [['::1'], '::1', false],
    [[], 'www.api.example.com', false],
  ])('of the patterns %j notes %s', (patterns, hostname, includesSubdomains) => {
    expect(pinReport({ ...found, patterns }, new Date(0))).toMatchObject({
      'noted-hostname': hostname,
      'include-subdomains': includesSubdomains,
    })
  })

  test('tells when the pins end', () => {
    expect(pinReport({ ...found, expires: new Date('2027-01-01') }, new Date(0))).toMatchObject({
      'date-time': '1970-01-01T00:00:00Z',
      'effective-expiration-date': '2027-01-01T00:00:00Z',
    })
  })
})

describe('reportTo', () => {
  test('a bad pin is posted as JSON, after its request has been refused', async () => {
    await using server = await start()
    await using interceptor = await startInterceptor({ of: server })
    await using collector = await Collector.start(server)
    await using client = new Client(
      refusing(server, {
        pins: { [server.hostname]: [server.leafPin] },
        reportTo: { url: collector.url, headers: { authorization: 'Bearer hunter2' } },
      }),
    )
    const before = Math.floor(Date.now() / 1000) * 1000
    expect((await client.get(server.url)).status).toBe(200) // the control: nothing is wrong, nothing is reported
    await expect(client.get(interceptor.url)).rejects.toThrow(badPin)
    await collector.arrived(1)

    const [post] = collector.posts
    expect(post?.path).toBe('POST /pins')
    expect(post?.headers).toMatchObject({
      'content-type': 'application/json',
      authorization: 'Bearer hunter2',
    })
    expect(post?.headers.cookie).toBeUndefined()
    const { certificates } = server.pki
    const [report] = collector.reports
    expect(report).toEqual({
      'date-time': expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      hostname: server.hostname,
      port: interceptor.port,
      'effective-expiration-date': '9999-12-31T23:59:59Z',
      'include-subdomains': false,
      'noted-hostname': server.hostname,
      'served-certificate-chain': [certificates.rogueLeaf.pem, certificates.b1.pem].map(trimmed),
      'validated-certificate-chain': [
        certificates.rogueLeaf.pem,
        certificates.b1.pem,
        certificates.rootB.pem,
      ].map(trimmed),
      'known-pins': [`pin-sha256="${server.leafPin.slice(7)}"`],
    })
    expect(Date.parse(report?.['date-time'] ?? '')).toBeGreaterThanOrEqual(before)
    expect(collector.posts).toHaveLength(1)
  })

  test('what pins in report mode would refuse is reported, and goes through', async () => {
    await using server = await start()
    await using collector = await Collector.start(server)
    const pins = { [server.hostname]: { pins: [wrong], mode: 'report' as const } }
    await using client = new Client(refusing(server, { pins, reportTo: collector.url }))
    expect((await client.get(server.url)).status).toBe(200)
    expect((await client.get(server.url)).status).toBe(200)
    await client.close()
    expect(collector.reports).toMatchObject([
      { hostname: server.hostname, 'known-pins': [`pin-sha256="${wrong.slice(7)}"`] },
    ])
  })

  test('a report tells when the first of the pin sets ends', async () => {
    await using server = await start()
    await using collector = await Collector.start(server)
    const pins = {
      [server.hostname]: { pins: [wrong], expires: { at: '2099-06-01' } },
      '**.example.test': {
        pins: [pinOf(8)],
        expires: { at: '2099-01-01', then: 'refuse' as const },
      },
    }
    const own = { ...pins, [COLLECTOR]: [server.leafPin] }
    await using client = new Client(refusing(server, { pins: own, reportTo: collector.url }))
    await expect(client.get(server.url)).rejects.toMatchObject({ expires: new Date('2099-01-01') })
    await collector.arrived(1)
    expect(collector.reports).toMatchObject([
      { 'effective-expiration-date': '2099-01-01T00:00:00Z', 'include-subdomains': false },
    ])
  })

  test('the same is reported once an hour, and something else at once', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    await using server = await start()
    await using interceptor = await startInterceptor({ of: server })
    await using collector = await Collector.start(server)
    await using client = new Client(refusing(server, { reportTo: collector.url }))
    for (let times = 0; times < 3; times++)
      await expect(client.get(server.url)).rejects.toThrow(badPin)
    await expect(client.get(interceptor.url)).rejects.toThrow(badPin)
    await collector.arrived(2)
    expect(collector.reports.map(({ port }) => port)).toEqual([server.port, interceptor.port])

    vi.setSystemTime(Date.now() + 59 * 60_000)
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    vi.setSystemTime(Date.now() + 2 * 60_000)
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    await collector.arrived(3)
    await client.close()
    expect(collector.reports.map(({ port }) => port)).toEqual([
      server.port,
      interceptor.port,
      server.port,
    ])
  })

  test('no more are sent in an hour than may be, and the logger is told', async () => {
    await using server = await start()
    await using interceptor = await startInterceptor({ of: server })
    await using collector = await Collector.start(server)
    const { logger, told } = warnings()
    await using client = new Client(
      refusing(server, { reportTo: { url: collector.url, maxPerHour: 1 }, logger }),
    )
    for (const url of [server.url, interceptor.url])
      await expect(client.get(url)).rejects.toThrow(badPin)
    await client.close()
    expect(collector.reports.map(({ port }) => port)).toEqual([server.port])
    expect(told).toContainEqual(expect.stringMatching(/^reports dropped /))
  })

  test('a fresh key for each connection takes no other host from what may be sent', async () => {
    await using server = await start()
    await using interceptor = await startInterceptor({ of: server })
    await using collector = await Collector.start(server)
    const { pki } = server
    const names = Array.from({ length: 7 }, (_, index) => pki.nameOf('b1') + index)
    await sharedKit().issue(
      names.map((name) => ({ name, names: [server.hostname], issuer: pki.nameOf('b1') })),
    )
    const reportTo = { url: collector.url, maxPerHour: 6 }
    await using client = new Client(refusing(server, { reportTo }))
    for (const name of names) {
      await interceptor.swap({ chain: [name, pki.nameOf('b1')], key: name })
      await expect(client.get(interceptor.url)).rejects.toThrow(badPin)
    }
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    await client.close()
    const ports = collector.reports.map(({ port }) => port)
    expect(ports).toEqual([...Array(5).fill(interceptor.port), server.port])
  })

  test('what a collector answers is not waited for', async () => {
    await using server = await start()
    await using collector = await Collector.start(server)
    const reportTo = { url: collector.url, timeout: 600_000 }
    await using client = new Client(refusing(server, { reportTo }))
    collector.answers.push('endless')
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    await collector.hungUp
  })

  test('what does not arrive is sent again, and given up in the end', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], shouldAdvanceTime: false })
    await using server = await start()
    await using interceptor = await startInterceptor({ of: server })
    await using collector = await Collector.start(server)
    const { logger, told, next } = warnings()
    await using client = new Client(refusing(server, { reportTo: collector.url, logger }))

    collector.answers.push(503, null, 429)
    let failed = next('report not sent yet')
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    for (let times = 0; times < 3; times++) {
      await failed
      failed = next('report not sent yet')
      await vi.runAllTimersAsync()
    }
    await collector.arrived(4)
    expect(new Set(collector.posts.map(({ body }) => body)).size).toBe(1)
    expect(told).toHaveLength(3)
    expect(told[0]).toContain('"reason":"status 503"')

    const over = next('report not sent')
    collector.answers.push(400) // what is refused for good is not sent again
    await expect(client.get(interceptor.url)).rejects.toThrow(badPin)
    await over
    expect(collector.posts).toHaveLength(5)
  })

  test('a collector that never answers delays nothing, and a client that closes waits for it a while', async () => {
    const silent = createTcpServer()
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    await using server = await start()
    const { port } = silent.address() as AddressInfo
    const client = new Client(refusing(server, { reportTo: `https://${COLLECTOR}:${port}/` }))
    const connected = new Promise<void>((resolve) => silent.once('connection', () => resolve()))
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    await connected
    const began = performance.now()
    await client.close()
    expect(performance.now() - began).toBeLessThan(8_000)
    silent.close()
  })

  test('a collector that never answers keeps no process alive', async () => {
    const silent = createTcpServer()
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    await using server = await start()
    const { port } = silent.address() as AddressInfo
    const options = refusing(server, {
      reportTo: { url: `https://${COLLECTOR}:${port}/`, timeout: 200 },
    })
    const script = `
const { Client } = require(${JSON.stringify(join(root, 'dist/cjs/index.js'))})
new Client(${JSON.stringify(options)}).get(${JSON.stringify(server.url)}).catch(({ code }) => console.log(code))
`
    expect(await runNode(['-e', script])).toBe('ERR_BAD_PIN\n')
    silent.close()
  })

  test('a client that closes sends what it has', async () => {
    await using server = await start()
    await using collector = await Collector.start(server)
    const client = new Client(refusing(server, { reportTo: collector.url }))
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    await client.close()
    expect(collector.reports).toMatchObject([{ hostname: server.hostname }])
  })

  test('nothing is reported of the host that collects reports', async () => {
    await using server = await start()
    await using collector = await Collector.start(server)
    const { logger, told } = warnings()
    const pins = { [COLLECTOR]: [wrong], [server.hostname]: [wrong] }
    await using client = new Client(refusing(server, { pins, reportTo: collector.url, logger }))
    await expect(client.get(collector.url)).rejects.toThrow(badPin)
    await client.close()
    expect(collector.posts).toEqual([])
    expect(told).toEqual([])
  })

  test('pins hold for the host that collects reports, also when they change', async () => {
    await using server = await start()
    await using collector = await Collector.start(server)
    await using rogue = await Collector.start(server, 'rogueLeaf')
    const refused = { [server.hostname]: [wrong] }
    for (const [to, pin, arrives] of [
      [collector, server.leafPin, 1],
      [collector, wrong, 0],
      [rogue, server.leafPin, 0],
    ] as const) {
      const { logger, told } = warnings()
      const pins = { ...refused, [COLLECTOR]: [pin] }
      to.posts.length = 0
      await using client = new Client(refusing(server, { pins, reportTo: to.url, logger }))
      await expect(client.get(server.url)).rejects.toThrow(badPin)
      await client.close()
      expect(to.posts).toHaveLength(arrives)
      expect(told.join()).toContain(arrives === 0 ? 'ERR_BAD_PIN' : '')
    }
    await using client = new Client(refusing(server, { pins: refused, reportTo: collector.url }))
    await client.setPins({ ...refused, [COLLECTOR]: [wrong] })
    collector.posts.length = 0
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    await client.close()
    expect(collector.posts).toEqual([])
  })

  test('a live policy is obeyed by what sends reports, too', async () => {
    await using server = await start()
    await using collector = await Collector.start(server)
    const refused = { [server.hostname]: [wrong] }
    const live = new LivePolicy({ ...refused, [COLLECTOR]: [server.leafPin] })
    await using client = new Client(refusing(server, { pins: live, reportTo: collector.url }))
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    await collector.arrived(1)
    await live.set({ ...refused, [COLLECTOR]: [wrong, pinOf(8)] }, { force: true })
    await using interceptor = await startInterceptor({ of: server })
    await expect(client.get(interceptor.url)).rejects.toThrow(badPin)
    await client.close()
    expect(collector.posts).toHaveLength(1)
    await using another = new Client(refusing(server, { reportTo: collector.url }))
    await expect(another.get(interceptor.url)).rejects.toThrow(badPin)
    await collector.arrived(2) // the control: the same is reported where the collector's key is not refused
  })

  test('many clients share a reporter, what it remembers and its limit; it outlives them', async () => {
    await using server = await start()
    await using interceptor = await startInterceptor({ of: server })
    await using collector = await Collector.start(server)
    const own = refusing(server, { pins: {} })
    await using reporter = new Reporter({ url: collector.url, maxPerHour: 2 }, own)
    for (let times = 0; times < 3; times++) {
      await using client = new Client(refusing(server, { reportTo: reporter }))
      await expect(client.get(server.url)).rejects.toThrow(badPin)
    }
    await using client = new Client(refusing(server, { reportTo: reporter }))
    await expect(client.get(interceptor.url)).rejects.toThrow(badPin)
    await interceptor.present(['twinLeaf', 'a1Twin'])
    await expect(client.get(interceptor.url)).rejects.toThrow(badPin) // more than there may be
    await reporter.close()
    expect(collector.reports.map(({ port }) => port)).toEqual([server.port, interceptor.port])
    await expect(client.get(server.url)).rejects.toThrow(badPin)
  })

  test('a reporter that is being closed may still be closed by force', async () => {
    await using server = await start()
    const silent = createTcpServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const slow = { url: `https://${COLLECTOR}:${port}/`, timeout: 600_000 }
    const reporter = new Reporter(slow, refusing(server, { pins: {} }))
    await using client = new Client(refusing(server, { reportTo: reporter }))
    const connected = once(silent, 'connection')
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    await connected
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      void reporter.close()
      await reporter.close({ force: true }) // and not when the first one's time is up
    } finally {
      vi.useRealTimers()
      silent.close()
    }
  })

  test('a reporter obeys the pins that it is given, and does not report of itself', async () => {
    await using server = await start()
    await using collector = await Collector.start(server)
    const { logger, told } = warnings()
    const own = refusing(server, { logger, pins: { [COLLECTOR]: [wrong] } })
    await using reporter = new Reporter(collector.url, own)
    await using client = new Client(refusing(server, { reportTo: reporter }))
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    await reporter.close()
    expect(collector.posts).toEqual([])
    expect(told.join()).toContain('ERR_BAD_PIN')
    const reportTo = collector.url
    expect(() => new Reporter(reportTo, { reportTo })).toThrow('it would report of itself')
    expect(() => new Reporter(null as never)).toThrow('reportTo is null: give a URL')
    expect(() => new Reporter(reportTo, { pin: {} } as never)).toThrow('pin')
  })

  test('pins that can be read once are read for both', async () => {
    await using server = await start()
    await using collector = await Collector.start(server)
    const pins = new Map([[server.hostname, [wrong]]]).entries()
    await using client = new Client(refusing(server, { pins, reportTo: collector.url }))
    await expect(client.get(server.url)).rejects.toThrow(badPin)
    await collector.arrived(1)
  })

  test.each([
    [1, 'reportTo is a number: give a URL or'],
    ['reports', 'reportTo.url is no absolute URL'],
    ['ftp://a.test/', 'reportTo.url begins with ftp:: give an https: URL'],
    ['https://user:hunter2@a.test/', 'reportTo.url has credentials'],
    [{}, 'reportTo.url is undefined: give a URL'],
    [{ url: 'https://a.test/', maxPerHours: 1 }, 'did you mean maxPerHour?'],
    [{ url: 'https://a.test/', maxPerHour: 0 }, 'reportTo.maxPerHour is 0: give a whole number'],
    [{ url: 'https://a.test/', timeout: '1s' }, 'reportTo.timeout is a string'],
    [{ url: 'https://a.test/', headers: 'x' }, 'reportTo.headers: the headers are a string'],
    [{ url: 'https://a.test/', headers: { 'a b': 'x' } }, 'reportTo.headers: '],
  ])('refuses %j', (reportTo, message) => {
    expect(() => new Client({ reportTo: reportTo as never })).toThrow(
      expect.objectContaining({
        code: 'ERR_POLICY_INVALID_OPTION',
        option: 'reportTo',
        message: expect.stringContaining(message),
      }),
    )
  })

  test('null and undefined are no collector', async () => {
    for (const reportTo of [null, undefined]) await new Client({ reportTo }).close()
  })
})

test('the examples of the manual report what they are refused for', async () => {
  const manual = readFileSync(join(root, 'docs', 'reports.md'), 'utf8')
  const [alone = '', shared = '', ...others] = codeBlocks(manual, 'js')
  expect(others).toEqual([])
  await using server = await startGenuine({
    hostname: 'api.example.com',
    names: ['api.example.com', '127.0.0.1'],
  })
  await using collector = await Collector.start(server)
  const url = collector.url.replace(COLLECTOR, '127.0.0.1')
  const examples = new Examples(server.ca, server.port, [
    ['https://reports.example.com/pins', url],
    ['100 }, { pins }', `100 }, { pins, ca: ${JSON.stringify(server.ca)} }`], // to trust this collector
  ])
  try {
    expect(await examples.run(alone)).toBe('ERR_BAD_PIN\n')
    expect(collector.reports).toHaveLength(1)
    expect(await examples.run(shared)).toBe('ERR_BAD_PIN\n'.repeat(3))
    expect(collector.reports).toHaveLength(2)
  } finally {
    examples.remove()
  }
  const [printed = ''] = codeBlocks(manual, 'json')
  for (const told of collector.reports) {
    expect(told).toMatchObject({ hostname: 'api.example.com', port: server.port })
    expect(Object.keys(told ?? {})).toEqual(Object.keys(JSON.parse(printed)))
  }
})

function trimmed(pem: string): string {
  return pem.trim().replace(/\r/g, '')
}
