import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type BadPinError,
  type BadPinEvent,
  CertificateError,
  Client,
  type ClientOptions,
  LivePolicy,
  type PinSetInput,
  type PinsInput,
  Policy,
  PolicyError,
} from 'pinfetch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGenuine, startInterceptor, startKit } from '../testkit.ts'

const folder = mkdtempSync(join(tmpdir(), 'pinfetch-rules-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let genuine: Awaited<ReturnType<typeof startGenuine>>
beforeAll(async () => {
  genuine = await startGenuine()
  return () => genuine[Symbol.asyncDispose]()
})

/** A client that reaches the server, trusts its root, and has `pins`. */
function clientOf(pins: PinsInput | Policy, options: ClientOptions = {}): Client {
  return new Client({ ca: genuine.ca, lookup: genuine.lookup, pins, ...options })
}

/** What becomes of a request under a pin set for the server's host. */
async function outcome(set: PinSetInput): Promise<string> {
  await using client = clientOf({ [genuine.hostname]: set })
  return client.get(genuine.url).then(
    ({ status }) => String(status),
    (error: { code: string }) => error.code,
  )
}

const OTHER = `sha256/${Buffer.alloc(32, 9).toString('base64')}`

/** The messages of a diagnostics channel while `use` runs. */
async function heard(name: string, use: () => Promise<unknown>): Promise<unknown[]> {
  const messages: unknown[] = []
  const hear = (message: unknown) => void messages.push(message)
  subscribe(name, hear)
  try {
    await use()
  } finally {
    unsubscribe(name, hear)
  }
  return messages
}

describe('a pin counts at its place', () => {
  test.each(['leaf', 'intermediate', 'root'] as const)('%s', async (at) => {
    const [leaf, intermediate, root] = genuine.pathPins
    const pins = { leaf, intermediate, root }
    for (const [place, pin] of Object.entries(pins)) {
      const expected = place === at ? '200' : 'ERR_BAD_PIN'
      expect(await outcome([{ pin: pin ?? '', at }]), place).toBe(expected)
    }
  })

  test.each<{ what: string; require: number | ('leaf' | 'root' | 'ca')[]; isMet: boolean }>([
    { what: 'one key', require: 1, isMet: true },
    { what: 'two keys', require: 2, isMet: true },
    { what: 'three keys', require: 3, isMet: false },
    { what: 'leaf and root', require: ['leaf', 'root'], isMet: true },
    { what: 'leaf and an authority', require: ['leaf', 'ca'], isMet: true },
  ])('and $what may be demanded', async ({ require, isMet }) => {
    const [leaf = '', , root = ''] = genuine.pathPins
    const pins = [leaf, { pin: root, at: 'root' }, OTHER] as const
    expect(await outcome({ pins, require })).toBe(isMet ? '200' : 'ERR_BAD_PIN')
    expect(await outcome({ pins: [OTHER, leaf, `sha256/${'A'.repeat(43)}=`], require })).toBe(
      require === 1 ? '200' : 'ERR_BAD_PIN',
    )
  })
})

describe('pins in report mode', () => {
  test('let a request pass, and tell of it', async () => {
    const events: BadPinEvent[] = []
    const logged: [string, unknown][] = []
    await using client = clientOf(
      { [genuine.hostname]: { pins: [OTHER], mode: 'report' } },
      {
        onBadPin: (event) => void events.push(event),
        logger: { warn: (message, facts) => void logged.push([message, facts.foundPins]) },
      },
    )
    for (let request = 1; request <= 2; request++) {
      const response = await client.get(genuine.url, { headers: { authorization: 'secret' } })
      expect(response.status).toBe(200)
      expect(response.tls).toMatchObject({
        matchedPin: null,
        reportedPatterns: [genuine.hostname],
      })
      expect(events).toHaveLength(request)
    }
    expect(events[0]).toMatchObject({
      enforced: false,
      patterns: [genuine.hostname],
      expectedPins: [OTHER],
      foundPins: genuine.pathPins,
      error: { code: 'ERR_BAD_PIN' },
      request: { method: 'GET', url: genuine.url },
    })
    expect(events[0]?.request.headers.get('authorization')).toBe('[redacted]')
    expect(logged[0]).toEqual(['bad pin in report mode', genuine.pathPins])
  })

  test('say nothing where they hold', async () => {
    const events: BadPinEvent[] = []
    await using client = clientOf(
      { [genuine.hostname]: { pins: [genuine.leafPin], mode: 'report' } },
      { onBadPin: (event) => void events.push(event) },
    )
    const { tls } = await client.get(genuine.url)
    expect(tls).toMatchObject({ matchedPin: genuine.leafPin, reportedPatterns: [] })
    expect(events).toEqual([])
  })

  test('widen nothing that is enforced', async () => {
    await using interceptor = await startInterceptor({ of: genuine })
    const [stranger = ''] = interceptor.pathPins
    const events: BadPinEvent[] = []
    await using client = clientOf(
      {
        [genuine.hostname]: [genuine.leafPin],
        [`**.${genuine.hostname}`]: { pins: [stranger], mode: 'report' },
      },
      { onBadPin: (event) => void events.push(event) },
    )
    await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    expect(await interceptor.applicationBytes()).toBe(0)
    expect(events).toEqual([expect.objectContaining({ enforced: true })])
    expect((await client.get(genuine.url)).status).toBe(200)
  })

  test('let http: pass, and tell of it', async () => {
    await using plain = await startGenuine({ behaviour: 'plain' })
    const url = plain.url.replace('https:', 'http:')
    const events: BadPinEvent[] = []
    await using client = new Client({
      lookup: plain.lookup,
      pins: { [plain.hostname]: { pins: [OTHER], mode: 'report' } },
      unpinned: 'refuse', // it has pins
      onBadPin: (event) => void events.push(event),
    })
    expect((await client.get(url)).status).toBe(200)
    expect(events).toEqual([expect.objectContaining({ enforced: false, foundPins: [] })])
    await client.setPins({ [plain.hostname]: [OTHER] })
    await expect(client.get(url)).rejects.toMatchObject({ code: 'ERR_POLICY_PLAINTEXT' })
  })

  test('are judged again at a swap', async () => {
    const events: BadPinEvent[] = []
    const { hostname } = genuine
    await using client = clientOf(
      { [hostname]: [genuine.leafPin] },
      { onBadPin: (event) => void events.push(event) },
    )
    const first = await client.get(genuine.url)
    await client.setPins({ [hostname]: { pins: [OTHER], mode: 'report' } })
    const second = await client.get(genuine.url)
    expect(second.tls.reportedPatterns).toEqual([hostname])
    expect(events).toHaveLength(1)
    await client.setPins({ [hostname]: [genuine.leafPin] })
    const third = await client.get(genuine.url)
    expect([first, third].map(({ tls }) => tls.reportedPatterns)).toEqual([[], []])
    expect(events).toHaveLength(1)
    await client.setPins({ [hostname]: [OTHER] })
    await expect(client.get(genuine.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  })
})

describe('a pin set that has ended', () => {
  const past = new Date(Date.now() - 86_400_000)
  const set = (then: 'enforce' | 'report' | 'refuse', pins = [OTHER]) => ({
    pins,
    expires: { at: past, then },
  })

  test('is enforced on, reported or refused, as it says', async () => {
    expect(await outcome(set('enforce'))).toBe('ERR_BAD_PIN')
    expect(await outcome(set('enforce', [genuine.leafPin]))).toBe('200')
    expect(await outcome(set('report'))).toBe('200')
    expect(await outcome(set('refuse', [genuine.leafPin]))).toBe('ERR_POLICY_EXPIRED')
  })

  test('names its pattern and its date where it refuses', async () => {
    await using server = await startGenuine()
    await using client = new Client({
      ca: server.ca,
      lookup: server.lookup,
      pins: { [`**.${server.hostname}`]: set('refuse', [server.leafPin]) },
    })
    await expect(client.get(server.url)).rejects.toMatchObject({
      code: 'ERR_POLICY_EXPIRED',
      name: 'PolicyError',
      hostname: server.hostname,
      pattern: `**.${server.hostname}`,
      notAfter: new Date(Math.floor(past.getTime() / 1000) * 1000),
    })
    expect((await server.stats()).accepted).toBe(0)
  })

  test('ends at its moment, for connections that are open, too', async () => {
    await using server = await startGenuine({ behaviour: 'stall-body' })
    const at = new Date((Math.floor(Date.now() / 1000) + 2) * 1000)
    await using client = new Client({
      ca: server.ca,
      lookup: server.lookup,
      pins: { [server.hostname]: { pins: [server.leafPin], expires: { at, then: 'refuse' } } },
    })
    // its body never ends
    await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_POLICY_EXPIRED' })
    expect(Date.now()).toBeGreaterThanOrEqual(at.getTime())
    await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_POLICY_EXPIRED' })
  })

  test.each(['is swapped in', 'is swapped in before another', 'is that of a client that closes'])(
    'ends at its moment, for connections that are open, when it %s',
    async (when) => {
      await using server = await startGenuine({ behaviour: 'stall-body' })
      const { hostname, ca, lookup, leafPin } = server
      const of = (at?: number) => {
        const expires = { at: new Date(at ?? 0), then: 'refuse' } as const
        return new Policy({ [hostname]: { pins: [leafPin], ...(at !== undefined && { expires }) } })
      }
      const first = when === 'is swapped in' ? undefined : Date.now() + 86_400_000
      const policy = new LivePolicy(of(first))
      const client = new Client({ ca, lookup, pins: policy })
      const response = client.get(server.url) // its body never ends
      response.catch(() => {}) // looked at later
      while ((await server.stats()).requests < 1);
      const closing = when === 'is that of a client that closes' ? client.close() : undefined
      const at = (Math.floor(Date.now() / 1000) + 2) * 1000
      expect(await policy.set(of(at))).toMatchObject({ closedConnections: 0 })
      await expect(response).rejects.toMatchObject({ code: 'ERR_POLICY_EXPIRED' })
      expect(Date.now()).toBeGreaterThanOrEqual(at)
      await (closing ?? client.close())
    },
    10_000,
  )

  test('is told of, and so is one that ends soon, once each', async () => {
    const logged: string[] = []
    const soon = new Date((Math.floor(Date.now() / 1000) + 86_400) * 1000)
    const far = new Date(Date.now() + 40 * 86_400_000)
    const { hostname, leafPin } = genuine
    const of = (at: Date) => ({ pins: [leafPin], expires: { at } })
    await using client = clientOf(
      {
        [hostname]: of(soon),
        [`**.${hostname}`]: of(past),
        [`${hostname}:${new URL(genuine.url).port}`]: of(far),
      },
      { logger: { warn: (message) => void logged.push(message) } },
    )
    const messages = await heard('pinfetch:policy:expiry', async () => {
      await client.get(genuine.url)
      await client.get(genuine.url)
    })
    expect(messages).toHaveLength(2)
    expect(messages).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ hostname, pattern: hostname, at: soon, hasEnded: false }),
        expect.objectContaining({
          pattern: `**.${hostname}`,
          hasEnded: true,
          afterwards: 'enforce',
        }),
      ]),
    )
    expect(logged.sort()).toEqual(['a pin set ends soon', 'a pin set has ended'].sort())
  })
})

describe('a blocked pin', () => {
  const blocking = (pins: PinsInput, pin: string | undefined) =>
    new Policy(pins, { blocked: [pin ?? '', OTHER] })

  test.each(['pinned', 'unpinned'])('refuses a %s host', async (kind) => {
    const pins = kind === 'pinned' ? { [genuine.hostname]: [genuine.leafPin] } : {}
    for (const pin of genuine.pathPins) {
      await using client = clientOf(blocking(pins, pin))
      const error: { message: string } = await client.get(genuine.url).catch((error) => error)
      expect(error).toMatchObject({
        code: 'ERR_BAD_PIN',
        blockedPin: pin,
        hostname: genuine.hostname,
        port: Number(new URL(genuine.url).port),
      })
      const found = genuine.pathPins.map((pin) => pin.slice(7)).join(' ')
      expect(error.message).toMatch(/^bad ssl pin detected, found pins: \[/)
      expect(error.message).toContain(`[${found}], blocked pin: ${pin.slice(7)}`)
    }
    await using client = clientOf(blocking(pins, OTHER))
    expect((await client.get(genuine.url)).status).toBe(200)
  })

  test('closes live connections at a swap', async () => {
    await using client = clientOf({})
    expect((await client.get(genuine.url)).status).toBe(200)
    const { closedConnections } = await client.setPins(blocking({}, genuine.pathPins[1]))
    expect(closedConnections).toBe(1)
    await expect(client.get(genuine.url)).rejects.toMatchObject({
      code: 'ERR_BAD_PIN',
      blockedPin: genuine.pathPins[1],
    })
    await client.setPins({})
    expect((await client.get(genuine.url)).status).toBe(200)
  })

  test('contradicts skipped verification', () => {
    const pins = blocking({}, OTHER)
    expect(() => new Client({ pins, insecureSkipVerify: true })).toThrow(
      expect.objectContaining({ code: 'ERR_POLICY_INSECURE' }),
    )
  })
})

describe('trust', () => {
  test('in a CA of the host’s own stands in place of the client’s', async () => {
    const trust = { ca: genuine.ca }
    await using other = await startGenuine()
    const set = { pins: [genuine.leafPin], trust }
    await using client = clientOf({ [genuine.hostname]: set }, { ca: other.ca })
    expect((await client.get(genuine.url)).status).toBe(200)
    // only for that host, and only that CA
    await client.setPins({ [genuine.hostname]: [genuine.leafPin] })
    await expect(client.get(genuine.url)).rejects.toBeInstanceOf(CertificateError)
    await client.setPins({ [genuine.hostname]: { ...set, trust: { ca: [other.ca] } } })
    await expect(client.get(genuine.url)).rejects.toBeInstanceOf(CertificateError)
  })

  test('of a policy file is read from its folder', async () => {
    writeFileSync(join(folder, 'own.pem'), genuine.ca)
    const path = join(folder, 'policy.json')
    const set = { pins: [genuine.leafPin], trust: { ca: 'own.pem' } }
    writeFileSync(path, JSON.stringify({ version: 1, hosts: { [genuine.hostname]: set } }))
    await using client = new Client({
      lookup: genuine.lookup,
      pins: await Policy.fromFile(path),
    })
    expect((await client.get(genuine.url)).status).toBe(200)
  })

  test('in a pinned key takes a self-signed server, and no other key or name', async () => {
    await using kit = await startKit()
    const names = ['self.example.test']
    const issued = await kit.issue([
      { name: 'own', names },
      { name: 'other', names },
      { name: 'misnamed', names: ['another.example.test'] },
    ])
    const { own, other, misnamed } = issued
    const pins = (pin: string) => ({
      'self.example.test': { pins: [pin], trust: 'pinned-key' as const },
    })
    for (const [name, pin, expected] of [
      ['own', own.pin, '200'],
      ['other', own.pin, 'ERR_BAD_PIN'],
      ['misnamed', misnamed.pin, 'ERR_CERT_NAME_MISMATCH'],
      ['other', other.pin, '200'],
    ] as const) {
      const server = await kit.serve({ chain: [name], key: name })
      await using client = new Client({
        lookup: { 'self.example.test': '127.0.0.1' },
        pins: pins(pin),
      })
      const url = `https://self.example.test:${server.port}/`
      const came = await client.get(url).then(
        ({ status }) => String(status),
        (error: { code: string }) => error.code,
      )
      expect(came, name).toBe(expected)
    }
  })

  test('that patterns of one host differ in is refused when the policy is made', () => {
    const pins = {
      '**.example.test': { pins: [OTHER], trust: 'pinned-key' as const },
      'a.example.test': [OTHER],
    }
    expect(() => new Policy(pins)).toThrow(
      expect.objectContaining({
        code: 'ERR_POLICY_INVALID_OPTION',
        message: expect.stringContaining('differs in its trust'),
      }),
    )
    expect(new Policy({ ...pins, 'a.example.test': { exclude: true } })).toBeInstanceOf(Policy)
  })

  test('that they differ in where nobody looked for it refuses the host', async () => {
    const name = `w.x.y.${genuine.hostname}`
    const of = (trust: 'ca' | 'pinned-key'): PinsInput => ({
      [`**.${genuine.hostname}`]: { pins: [genuine.leafPin], trust },
      [`**.y.${genuine.hostname}`]: [genuine.leafPin],
      [`y.${genuine.hostname}`]: { exclude: true },
      [`*.y.${genuine.hostname}`]: { exclude: true },
    })
    await using client = clientOf(of('pinned-key'), { lookup: { [name]: '127.0.0.1' } })
    const url = `https://${name}:${genuine.port}/`
    const { accepted } = await genuine.stats()
    await expect(client.get(url)).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID_OPTION',
      message: expect.stringContaining(`patterns that match ${name} differ in their trust`),
    })
    expect((await genuine.stats()).accepted).toBe(accepted)
    await client.setPins(of('ca')) // the control
    await expect(client.get(url)).rejects.toMatchObject({ code: 'ERR_CERT_NAME_MISMATCH' })
  })

  test('that has changed closes connections made under the other', async () => {
    const of = (trust: 'ca' | 'pinned-key') => ({
      [genuine.hostname]: { pins: [genuine.leafPin], trust },
    })
    await using client = clientOf(of('ca'))
    expect((await client.get(genuine.url)).tls.verifiedPath).toHaveLength(3)
    expect(await client.setPins(of('pinned-key'))).toMatchObject({ closedConnections: 1 })
    expect((await client.get(genuine.url)).tls.verifiedPath).toHaveLength(1)
    expect(await client.setPins(of('pinned-key'))).toMatchObject({ closedConnections: 0 })
  })
})

describe('a swap of a CA of the host’s own', () => {
  const swapped = async (
    from: (own: string, other: string) => string[] | undefined,
    to: (own: string, other: string) => string[],
  ) => {
    await using server = await startGenuine()
    await using other = await startGenuine()
    const told: BadPinEvent[] = []
    const of = (ca: string[] | undefined) => ({
      [server.hostname]: { pins: [server.leafPin], ...(ca && { trust: { ca } }) },
    })
    await using client = new Client({
      ca: from(server.ca, other.ca) ? other.ca : server.ca,
      lookup: server.lookup,
      pins: of(from(server.ca, other.ca)),
      onBadPin: (event) => void told.push(event),
    })
    await client.get(server.url)
    const requests = (await server.stats()).requests
    const pending = client.request(new URL('/slow/200', server.url), { method: 'POST' })
    const outcome = pending.then(
      ({ status }) => String(status),
      (error: { code: string }) => error.code,
    )
    while ((await server.stats()).requests <= requests);
    const { closedConnections } = await client.setPins(of(to(server.ca, other.ca)))
    return {
      closedConnections,
      pending: await outcome,
      next: await client.get(server.url).then(
        ({ status }) => String(status),
        (error: { code: string }) => error.code,
      ),
      accepted: (await server.stats()).accepted,
      told: told.length,
    }
  }
  const left = { closedConnections: 0, pending: '200', next: '200', accepted: 1, told: 0 }

  test.each([
    ['grows', (own: string) => [own], (own: string, other: string) => [own, other]],
    ['shrinks', (own: string, other: string) => [other, own], (own: string) => [own]],
    [
      'is reordered',
      (own: string, other: string) => [own, other],
      (own: string, other: string) => [other, own],
    ],
    ['begins', () => undefined, (own: string) => [own]],
  ] as const)('that %s leaves connections alone, whose CA is still in it', async (_, from, to) => {
    expect(await swapped(from, to)).toEqual(left)
  })

  test('that takes it out closes them, which is no bad pin', async () => {
    const came = await swapped(
      (own) => [own],
      (_, other) => [other],
    )
    expect(came).toEqual({
      closedConnections: 1,
      pending: 'ERR_CONNECTION_CLOSED',
      next: expect.stringMatching(/^ERR_CERT_/),
      accepted: 2,
      told: 0,
    })
  })
})

describe('a host without pins', () => {
  test('is told of once where the client or the policy warns', async () => {
    for (const options of [
      { pins: {}, unpinned: 'warn' as const },
      { pins: new Policy({}, { unpinned: 'warn' }) },
    ]) {
      const logged: unknown[] = []
      await using client = new Client({
        ca: genuine.ca,
        lookup: genuine.lookup,
        logger: { warn: (message, facts) => void logged.push([message, facts.hostname]) },
        ...options,
      })
      const messages = await heard('pinfetch:unpinned', async () => {
        await client.get(genuine.url)
        await client.get(genuine.url, { reuse: false })
      })
      const port = Number(new URL(genuine.url).port)
      expect(messages).toEqual([{ hostname: genuine.hostname, port }])
      expect(logged).toEqual([['host without pins', genuine.hostname]])
    }
  })

  test.each([
    ['allow', 'refuse'],
    ['refuse', 'allow'],
    ['warn', 'refuse'],
  ] as const)('is treated by the stricter of %s and %s', async (ofClient, ofPolicy) => {
    const pins = new Policy({}, { unpinned: ofPolicy })
    await using client = clientOf(pins, { unpinned: ofClient })
    await expect(client.get(genuine.url)).rejects.toMatchObject({ code: 'ERR_POLICY_UNPINNED' })
    await client.setPins(new Policy({}, { unpinned: 'allow' }))
    const outcome = client.get(genuine.url)
    if (ofClient === 'refuse')
      await expect(outcome).rejects.toMatchObject({ code: 'ERR_POLICY_UNPINNED' })
    else expect((await outcome).status).toBe(200)
  })
})

test.each<[set: unknown, message: RegExp]>([
  [{ pins: [{ pin: OTHER, at: 'leef' }] }, /\["a\.test"\]\[0\]: at is "leef": did you mean "leaf"/],
  [{ pins: [{ pin: OTHER, at: 7 }] }, /at is a number/],
  [{ pins: [OTHER], mode: 'reprot' }, /mode is "reprot": did you mean "report"/],
  [{ pins: [OTHER], require: 0 }, /require is 0: give a whole number from 1/],
  [{ pins: [OTHER], require: 2 }, /asks for 2 pins of 1/],
  [{ pins: [OTHER], require: [] }, /require is an empty list/],
  [{ pins: [OTHER], require: ['rot'] }, /require is "rot": did you mean "root"/],
  [{ pins: [{ pin: OTHER, at: 'leaf' }], require: ['ca'] }, /none of the pins may stand at/],
  [{ pins: [OTHER], expires: '2027-01-01' }, /expires is a string: give an object of at and then/],
  [{ pins: [OTHER], expires: { at: '2027-02-30' } }, /expires\.at is "2027-02-30": give a Date/],
  [{ pins: [OTHER], expires: { at: new Date(Number.NaN) } }, /expires\.at is a Date/],
  [{ pins: [OTHER], expires: { at: new Date(), den: 1 } }, /unknown property "den"/],
  [{ pins: [OTHER], trust: 'key' }, /trust is "key": give "ca" or "pinned-key"/],
  [{ pins: [OTHER], trust: {} }, /trust\.ca is undefined/],
  [{ pins: [OTHER], trust: 'pinned-key', mode: 'report' }, /has to be enforced/],
  [{ exclude: true, mode: 'report' }, /an exclusion without pins has no mode/],
])('what a pin set says wrongly is told with its place: %j', (set, message) => {
  const make = () => new Policy({ 'a.test': set } as PinsInput)
  expect(make).toThrow(PolicyError)
  expect(make).toThrow(message)
  expect(make).toThrow(expect.objectContaining({ pattern: 'a.test' }))
})

test.each<[options: object, message: RegExp]>([
  [{ unpinned: 'deny' }, /unpinned is "deny"/],
  [{ blocked: ['x'] }, /^blocked\[0\]: "x" is not standard base64|^blocked\[0\]: "x"/],
  [{ blocked: [{ pin: OTHER, at: 'leaf' }] }, /blocked\[0\] has "at"/],
  [{ block: [] }, /did you mean blocked/],
])('what a policy’s options say wrongly is told: %j', (options, message) => {
  expect(() => new Policy({}, options)).toThrow(message)
})

test('a bad pin names the line of the policy file, whatever the pattern is spelt like', async () => {
  await using interceptor = await startInterceptor({ of: genuine })
  const { hostname, leafPin } = genuine
  const refused = (client: Client) =>
    client.get(interceptor.url).then(
      () => [],
      (error: BadPinError) => error.policyLocations,
    )
  for (const pattern of [hostname, `**.${hostname}`, `${hostname.toUpperCase()}.`]) {
    const file = join(folder, `${pattern.length}.json`)
    const hosts = { 'a.test': [OTHER], [pattern]: [leafPin] }
    writeFileSync(file, JSON.stringify({ version: 1, hosts }, null, 2))
    const events: BadPinEvent[] = []
    await using client = clientOf(await Policy.fromFile(file), {
      onBadPin: (event) => void events.push(event),
    })
    const canonical = pattern.startsWith('*') ? pattern : hostname
    const expected = [
      { pattern: canonical, file, line: 7, column: 5, pointer: `/hosts/${pattern}` },
    ]
    expect(await refused(client)).toEqual(expected)
    expect(events[0]?.policyLocations).toEqual(expected)
    // of pins without a file, of a swap, of many clients' policy
    await client.setPins({ [hostname]: [leafPin] })
    expect(await refused(client)).toEqual([])
    await client.setPins(await Policy.fromFile(file))
    expect(await refused(client)).toEqual(expected)
    await using live = new LivePolicy(await Policy.fromFile(file))
    await using follower = new Client({ ca: genuine.ca, lookup: genuine.lookup, pins: live })
    expect(await refused(follower)).toEqual(expected)
  }
})
