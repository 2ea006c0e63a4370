import { channel } from 'node:diagnostics_channel'
import { describe, expect, test, vi } from 'vitest'
import type { Connection } from '../../src/connection.js'
import {
  BadPinError,
  type BadPinEvent,
  type BadPinReport,
  Client,
  type Diagnosis,
  type PathCertificate,
} from '../../src/index.js'
import { Memory } from '../../src/policy/diagnosis.js'
import { startGenuine, startInterceptor, startProxy } from '../testkit.js'

const pinOf = (name: string) => `sha256/${Buffer.from(name.padEnd(32)).toString('base64')}`

/** A path of keys by their names, each with its subject. */
function path(...keys: [name: string, subject: string][]): PathCertificate[] {
  return keys.map(([name, subject], index) => ({
    pin: pinOf(name),
    role: index === 0 ? 'end entity' : index === keys.length - 1 ? 'trust anchor' : 'intermediate',
    subject,
    notAfter: null,
    der: null,
  }))
}

const connection = (remoteAddress: string, verifiedPath: PathCertificate[], matchedPin = '') =>
  ({
    remoteAddress,
    pathPins: verifiedPath.map(({ pin }) => pin),
    tls: { verifiedPath, matchedPin: matchedPin === '' ? (verifiedPath[0]?.pin ?? '') : null },
  }) as unknown as Connection

const report = (
  verifiedPath: PathCertificate[],
  more: Partial<BadPinReport> = {},
): BadPinReport => ({
  hostname: 'a.test',
  port: 443,
  patterns: ['a.test'],
  expectedPins: [pinOf('leaf')],
  foundPins: verifiedPath.map(({ pin }) => pin),
  verifiedPath,
  presentedChain: [],
  remoteAddress: '192.0.2.1:443',
  blockedPin: null,
  expires: null,
  hint: '',
  diagnosis: { verdict: 'unknown', reasons: [] },
  ...more,
})

describe('a bad pin', () => {
  const leaf: [string, string] = ['leaf', 'CN=a.test']
  const next: [string, string] = ['next', 'CN=a.test']
  const ca: [string, string] = ['ca', 'CN=CA 1,O=Good CA']
  const root: [string, string] = ['root', 'CN=Root 1,O=Good CA,C=US']
  const root2: [string, string] = ['root 2', 'CN=Root 2,O=Good CA,C=US']
  const other: [string, string] = ['other', 'CN=Other Root,O=Another CA']
  const imitation: [string, string] = ['imitation', 'CN=CA 1,O=Good CA']
  const good = path(leaf, ca, root)

  const cases: [
    name: string,
    seen: [url: string, connection: Connection][],
    found: PathCertificate[],
    verdict: Diagnosis['verdict'],
    reasons: Diagnosis['reasons'],
  ][] = [
    ['of which nothing is known is unknown', [], path(next, ca, root), 'unknown', []],
    [
      'of a new key under the same CA is a rotation',
      [['https://a.test/', connection('192.0.2.1:443', good)]],
      path(next, ca, root),
      'looks-like-rotation',
      ['same-subject', 'same-issuer-key', 'same-issuer-organisation'],
    ],
    [
      'of a new key under another root of the same organisation is a rotation',
      [['https://a.test/x', connection('192.0.2.1:443', good)]],
      path(next, ['ca 2', 'CN=CA 2'], root2),
      'looks-like-rotation',
      ['same-subject', 'same-issuer-organisation'],
    ],
    [
      'of another subject under another root of that organisation is unknown',
      [['https://a.test/', connection('192.0.2.1:443', good)]],
      path(['next', 'CN=b.test'], root2),
      'unknown',
      ['same-issuer-organisation'],
    ],
    [
      'under an intermediate that only says that it is of that organisation is no rotation',
      [['https://a.test/', connection('192.0.2.1:443', good)]],
      path(next, imitation, other),
      'unknown',
      ['same-subject'],
    ],
    [
      'is an interception when the host answers elsewhere as ever',
      [['https://a.test/', connection('192.0.2.9:3128', good)]],
      path(next, other),
      'looks-like-interception',
      ['same-subject', 'other-ways-match'],
    ],
    [
      'is an interception when the host answers elsewhere as ever, however its URL was written',
      [
        ['HTTPS://A.test:443', connection('192.0.2.9:3128', good)],
        ['https://a.test?query', connection('192.0.2.1:443', good)],
        ['http://a.test/', connection('192.0.2.8:80', [])],
      ],
      path(next, other),
      'looks-like-interception',
      ['same-subject', 'other-ways-match'],
    ],
    [
      'is a rotation under way when the issuer is the same, elsewhere as ever or not',
      [['https://a.test/', connection('192.0.2.9:443', good)]],
      path(next, ca, root),
      'looks-like-rotation',
      ['same-subject', 'same-issuer-key', 'same-issuer-organisation', 'other-ways-match'],
    ],
    [
      'is an interception when its issuer has issued for no other host',
      [
        ['https://a.test/', connection('192.0.2.1:443', good)],
        ['https://b.test/', connection('192.0.2.2:443', path(['b', 'CN=b.test'], ca, root))],
      ],
      path(next, other),
      'looks-like-interception',
      ['same-subject', 'issuer-of-no-other-host'],
    ],
    [
      'is unknown when its issuer has issued for another host',
      [
        ['https://a.test/', connection('192.0.2.9:443', good)],
        ['https://b.test/', connection('192.0.2.2:443', path(['b', 'CN=b.test'], other))],
      ],
      path(next, other),
      'unknown',
      ['same-subject', 'other-ways-match', 'issuer-of-other-hosts'],
    ],
    [
      'of a host never seen says little beside one other host',
      [['https://b.test/', connection('192.0.2.2:443', path(['b', 'CN=b.test'], ca, root))]],
      path(next, other),
      'unknown',
      [],
    ],
    [
      'of a host never seen is an interception beside three others with other issuers',
      ['b', 'c', 'd'].map((name, index) => [
        `https://${name}.test/`,
        connection(`192.0.2.${index}:443`, path([name, ''], ca, root)),
      ]),
      path(next, other),
      'looks-like-interception',
      ['issuer-of-no-other-host'],
    ],
    [
      'is not compared with another port, or with what was accepted without a pin',
      [
        ['https://a.test:8443/', connection('192.0.2.1:8443', good)],
        ['https://a.test/', connection('192.0.2.1:443', good, 'none')],
        ['http://a.test/', connection('192.0.2.1:80', good)],
      ],
      path(next, other),
      'unknown',
      [],
    ],
  ]

  test.each(cases)('%s', (_name, seen, found, verdict, reasons) => {
    const memory = new Memory()
    for (const [url, connection] of seen) memory.remember(url, connection)
    const diagnosis = memory.diagnose(report(found))
    expect(diagnosis.verdict).toBe(verdict)
    expect(new Set(diagnosis.reasons)).toEqual(new Set(reasons))
  })

  test('is compared for ten minutes with what other ways have shown', () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    try {
      const memory = new Memory()
      memory.remember('https://a.test/', connection('192.0.2.9:3128', good))
      vi.setSystemTime(Date.now() + 9 * 60_000)
      expect(memory.diagnose(report(path(next, other))).reasons).toContain('other-ways-match')
      vi.setSystemTime(Date.now() + 2 * 60_000)
      expect(memory.diagnose(report(path(next, other))).reasons).not.toContain('other-ways-match')
    } finally {
      vi.useRealTimers()
    }
  })

  test('is compared with no more than 256 hosts, those asked last', () => {
    const memory = new Memory()
    memory.remember('https://a.test/', connection('192.0.2.9:3128', good))
    const forget = (count: number) => {
      for (let index = 0; index < count; index++)
        memory.remember(
          `https://${index}.test/`,
          connection('192.0.2.2:443', path(['x', ''], other)),
        )
    }
    forget(255)
    expect(memory.diagnose(report(path(next, ca, root))).reasons).toContain('same-issuer-key')
    forget(257)
    expect(memory.diagnose(report(path(next, ca, root))).reasons).not.toContain('same-issuer-key')
  })
})

describe('a client', () => {
  test('tells a rotation', async () => {
    await using server = await startGenuine()
    const { ca, lookup, hostname } = server
    const events: BadPinEvent[] = []
    await using client = new Client({
      ca,
      lookup,
      reuse: false,
      pins: { [hostname]: [server.leafPin] },
      onBadPin: (event) => void events.push(event),
    })
    expect((await client.get(server.url)).status).toBe(200)
    await server.present(['nextLeaf', 'a1'])
    const told: unknown[] = []
    const keep = (message: unknown) => void told.push(message)
    channel('pinfetch:bad-pin').subscribe(keep)
    const error = await client.get(server.url).catch((error: unknown) => error)
    channel('pinfetch:bad-pin').unsubscribe(keep)
    expect(error).toBeInstanceOf(BadPinError)
    expect((error as BadPinError).diagnosis).toEqual({
      verdict: 'looks-like-rotation',
      reasons: expect.arrayContaining(['same-subject', 'same-issuer-key']),
    })
    expect(events[0]?.diagnosis).toBe((error as BadPinError).diagnosis)
    expect(told[0]).toBe(events[0])
  })

  test('tells a proxy that intercepts from the others', async () => {
    await using server = await startGenuine()
    await using interceptor = await startInterceptor({ of: server })
    await using honest = await startProxy({ kind: 'connect', port: server.port })
    await using lying = await startProxy({ kind: 'connect', to: interceptor })
    const { ca, lookup, hostname } = server
    const pins = { [hostname]: [server.leafPin] }
    await using client = new Client({ ca, lookup, pins })
    const through = (port: number) =>
      client.get(server.url, { proxy: `http://127.0.0.1:${port}` }).catch((error: unknown) => error)
    expect(await through(honest.port)).toMatchObject({ status: 200 })
    expect(await through(lying.port)).toMatchObject({
      code: 'ERR_BAD_PIN',
      diagnosis: {
        verdict: 'looks-like-interception',
        reasons: expect.arrayContaining(['same-subject', 'other-ways-match']),
      },
    })
  })

  test('tells an interceptor by the genuine certificates that it appends', async () => {
    await using server = await startGenuine()
    await using interceptor = await startInterceptor({ of: server, append: ['leaf', 'a1'] })
    const { ca, lookup, hostname } = server
    await using client = new Client({ ca, lookup, pins: { [hostname]: [server.leafPin] } })
    await expect(client.get(interceptor.url)).rejects.toMatchObject({
      diagnosis: { verdict: 'looks-like-interception', reasons: ['genuine-extras'] },
    })
  })

  test('says nothing of what it knows nothing of', async () => {
    await using server = await startGenuine({ append: [{ der: Buffer.from('no certificate') }] })
    const { ca, lookup, hostname } = server
    await using client = new Client({ ca, lookup, pins: { [hostname]: [pinOf('x')] } })
    await expect(client.get(server.url)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_/),
    })
    await server.present(['leaf', 'a1'])
    await expect(client.get(server.url)).rejects.toMatchObject({
      diagnosis: { verdict: 'unknown', reasons: [] },
    })
  })
})
