import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Evidence } from '../../src/cli/lint/evidence.js'
import { lintText } from '../../src/cli/lint/lint.js'
import { RULES } from '../../src/cli/lint/rules.js'
import type { SurveyedHost } from '../../src/cli/survey/record.js'
import { startGenuine } from '../testkit.js'
import { Command } from './command.js'

const command = new Command()
const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [A, B, C, D] = [pinOf(1), pinOf(2), pinOf(3), pinOf(4)]
const now = new Date('2027-03-01')

const current = { pin: A, role: 'current' }
const backup = { pin: B, role: 'backup' }
const root = { pin: C, role: 'root' }
/** Nothing to find. */
const good = [current, backup, root]

/** What is found in a file with `hosts`: `rule pointer`. */
function found(hosts: object, more: object = {}, days = 30): string[] {
  const text = JSON.stringify({ version: 1, hosts, ...more })
  return lintText(text, { now, days }).map(({ rule, pointer }) => `${rule} ${pointer}`)
}

describe.each(Object.keys(RULES))('the rule %s', (rule) => {
  const cases: [name: string, hosts: object, expected: string[], more?: object][] = {
    'invalid-file': [
      [
        'what cannot be read, and nothing else',
        { 'a.test': ['x'], 'b.test': [A] },
        ['/hosts/a.test/0'],
      ],
      ['unknown members', { 'a.test': { pin: [A] } }, ['/hosts/a.test/pin']],
      ['each place', { 'a.test': ['x'], 'b.test': ['y'] }, ['/hosts/a.test/0', '/hosts/b.test/0']],
    ],
    'expired-set': [
      [
        'sets that have ended',
        { 'a.test': { pins: good, expires: { at: '2027-03-01' } } },
        ['/hosts/a.test/expires'],
      ],
      ['no set that ends later', { 'a.test': { pins: good, expires: { at: '2027-03-02' } } }, []],
    ],
    'blocked-pin': [
      [
        'pins that are blocked',
        { 'a.test': good },
        ['/hosts/a.test/1'],
        { blocked: [`sha256//${B.slice(7)}`] },
      ],
      ['no other pins', { 'a.test': good }, [], { blocked: [D] }],
    ],
    'few-pins': [
      ['one pin', { 'a.test': [A] }, ['/hosts/a.test']],
      ['two pins', { 'a.test': [A, B] }, ['/hosts/a.test']],
      ['three pins of two keys', { 'a.test': [A, B, B.slice(7)] }, ['/hosts/a.test']],
      [
        'three pins of which one is retired',
        { 'a.test': [A, B, { pin: C, role: 'retired' }] },
        ['/hosts/a.test'],
      ],
      ['not three', { 'a.test': [A, B, C] }, []],
      ['not three with those of a wider pattern', { '**.a.test': [A, B, C], 'b.a.test': [D] }, []],
      [
        'one beside an exclusion of the wider pattern',
        { '**.a.test': good, '*.b.a.test': { exclude: true }, 'c.b.a.test': [A] },
        ['/hosts/c.b.a.test'],
      ],
      ['no exclusion', { '**.a.test': [A, B, C], 'b.a.test': { exclude: true } }, []],
      [
        'one for a port of its own, when the others are for another',
        { 'a.test:443': good, 'a.test:8443': [A] },
        ['/hosts/a.test:8443'],
      ],
    ],
    'no-backup': [
      ['one pin', { 'a.test': [A] }, ['/hosts/a.test']],
      ['roles of which none is a backup', { 'a.test': [current, root, D] }, ['/hosts/a.test']],
      ['no set with a backup', { 'a.test': good }, []],
      ['no set that says nothing of roles', { 'a.test': [A, B, C] }, []],
    ],
    'leaf-only': [
      [
        'leaves only',
        { 'a.test': [A, B, C].map((pin) => ({ pin, at: 'leaf' })) },
        ['/hosts/a.test'],
      ],
      ['no set with a root', { 'a.test': [{ pin: A, at: 'leaf' }, { pin: B, at: 'leaf' }, C] }, []],
    ],
    'wildcard-apex': [
      ['an apex that nothing speaks of', { '*.a.test': good }, ['/hosts/*.a.test']],
      ['no apex with pins', { '*.a.test': good, 'a.test': good }, []],
      ['no apex that is excluded', { '*.a.test': good, 'a.test': { exclude: true } }, []],
      ['no apex of a wider pattern', { '*.a.test': good, '**.a.test': good }, []],
      [
        'an apex that is pinned for another port',
        { '*.a.test': good, 'a.test:8443': good },
        ['/hosts/*.a.test'],
      ],
      [
        'none when hosts without pins are refused',
        { '*.a.test': good },
        [],
        { unpinned: 'refuse' },
      ],
    ],
    'wildcard-nested': [
      ['names further below', { '*.a.test': good, 'a.test': good }, ['/hosts/*.a.test']],
      ['none of all depths', { '**.a.test': good }, []],
      ['none beside all depths', { '*.a.test': good, '**.a.test': { exclude: true } }, []],
    ],
    'expiring-set': [
      [
        'sets that end soon',
        { 'a.test': { pins: good, expires: { at: '2027-03-31' } } },
        ['/hosts/a.test/expires'],
      ],
      ['no set that ends later', { 'a.test': { pins: good, expires: { at: '2027-04-01' } } }, []],
      ['no set that has ended', { 'a.test': { pins: good, expires: { at: '2027-02-01' } } }, []],
    ],
    'retired-pin': [
      [
        'retired pins past their date',
        { 'a.test': [...good, { pin: D, role: 'retired', expires: '2027-02-01' }] },
        ['/hosts/a.test/3'],
      ],
      [
        'no retired pin before it',
        { 'a.test': [...good, { pin: D, role: 'retired', expires: '2027-03-02' }] },
        [],
      ],
    ],
    'outdated-pin': [
      [
        'other pins past their date',
        { 'a.test': { pins: [...good, { pin: D, expires: '2027-03-01' }] } },
        ['/hosts/a.test/pins/3'],
      ],
      ['no pin before it', { 'a.test': [...good, { pin: D, expires: '2027-03-02' }] }, []],
    ],
    'duplicate-pin': [
      ['a pin twice, in any spelling', { 'a.test': [...good, A.slice(7)] }, ['/hosts/a.test/3']],
      ['a blocked pin twice', { 'a.test': good }, ['/blocked/1'], { blocked: [D, { pin: D }] }],
      ['no pin of two patterns', { 'a.test': good, 'b.test': good }, []],
    ],
    'idle-exclusion': [
      [
        'exclusions from nothing',
        { 'a.test': good, 'b.test': { exclude: true } },
        ['/hosts/b.test'],
      ],
      [
        'exclusions from an exclusion',
        { '**.a.test': { exclude: true }, 'b.a.test': { exclude: true } },
        ['/hosts/**.a.test', '/hosts/b.a.test'],
      ],
      [
        'no exclusion from a wider pattern',
        { '**.a.test': good, '**.b.a.test': { exclude: true } },
        [],
      ],
    ],
    'no-spare-pin': [], // by what was seen: below
    'expired-authority': [], // likewise
    'ca-set-changed': [], // its lock lies beside the file: lock.test.ts
  }[rule] as never

  test.each(cases)('finds %s', (_name, hosts, expected, more) => {
    const findings = found(hosts, more)
    expect(findings.filter((finding) => finding.startsWith(`${rule} `))).toEqual(
      expected.map((pointer) => `${rule} ${pointer}`),
    )
  })

  test('has a section in the manual that tells its severity', () => {
    const manual = readFileSync(new URL('../../docs/lint.md', import.meta.url), 'utf8')
    const [, section = ''] = manual.split(`\n## ${rule}\n\n`)
    expect(
      section.startsWith(
        `${RULES[rule as keyof typeof RULES] === 'error' ? 'Error' : 'Warning'}. `,
      ),
    ).toBe(true)
  })
})

test('the manual has a section for each rule and no other', () => {
  const manual = readFileSync(new URL('../../docs/lint.md', import.meta.url), 'utf8')
  const headings = Array.from(manual.matchAll(/^## (.+)$/gm), ([, heading]) => heading)
  expect(headings).toEqual(Object.keys(RULES))
})

test('a file with nothing to find has no findings', () => {
  expect(found({ '**.a.test': good, 'b.a.test': { exclude: true } })).toEqual([])
})

test('a common host is told once, and one that an environment weakens there', () => {
  expect(found({ 'a.test': [A, B] }, { environments: { one: {}, two: {} } })).toEqual([
    'few-pins /hosts/a.test',
  ])
  const more = { environments: { one: { hosts: { '*.b.test': good } }, two: {} } }
  expect(found({ 'a.test': good }, more)).toEqual([
    'wildcard-apex /environments/one/hosts/*.b.test',
    'wildcard-nested /environments/one/hosts/*.b.test',
  ])
})

describe('what was seen', () => {
  const path = [
    {
      pin: A,
      role: 'end entity',
      subject: 'CN=a.test',
      notAfter: '2027-02-01T00:00:00.000Z',
      daysLeft: -28,
      pinned: true,
    },
    {
      pin: B,
      role: 'intermediate',
      subject: 'CN=CA',
      notAfter: '2027-02-01T00:00:00.000Z',
      daysLeft: -28,
      pinned: true,
    },
    {
      pin: C,
      role: 'trust anchor',
      subject: 'CN=Root',
      notAfter: null,
      daysLeft: null,
      pinned: false,
    },
  ] as const
  const seen = (more: Partial<SurveyedHost> = {}): SurveyedHost => ({
    authority: 'a.test:443',
    host: 'a.test',
    port: 443,
    checked: '2027-01-01T00:00:00.000Z',
    environment: null,
    patterns: [],
    pins: [],
    sights: [{ via: 'direct', verdict: 'pinned', remoteAddress: null, path }],
    forecast: null,
    ...more,
  })
  const told = (hosts: object, evidence: Partial<Evidence>, rule: string) =>
    lintText(
      JSON.stringify({ version: 1, hosts }),
      { now, days: 30 },
      {},
      { hosts: [], certificates: [], ...evidence },
    )
      .filter((finding) => finding.rule === rule)
      .map(({ pointer }) => pointer)

  test.each<[string, object, Partial<SurveyedHost>, string[]]>([
    ['a host that serves every pin', { 'a.test': [A, C] }, {}, ['/hosts/a.test']],
    ['also by a wider pattern', { '**.a.test': [C], 'a.test': [A] }, {}, ['/hosts/a.test']],
    [
      'retired pins not counted',
      { 'a.test': [A, { pin: D, role: 'retired' }] },
      {},
      ['/hosts/a.test'],
    ],
    ['no host with a spare', { 'a.test': [A, D] }, {}, []],
    ['no host that was not seen', { 'a.test': [A] }, { sights: [] }, []],
    ['no host of another environment', { 'a.test': [A] }, { environment: 'staging' }, []],
    ['no host that the file has not', { 'b.test': [A] }, {}, []],
  ])('tells of spare pins: %s', (_name, hosts, more, expected) => {
    expect(told(hosts, { hosts: [seen(more)] }, 'no-spare-pin')).toEqual(expected)
  })

  test('tells of authorities that have ended, unless another certificate of the key goes on', () => {
    const certificate = (pin: string, end: string) => ({
      pin,
      what: 'certificate',
      subject: 'CN=X',
      notAfter: new Date(end),
    })
    const hosts = { 'a.test': [A, B, C, D] }
    const rule = 'expired-authority'
    expect(told(hosts, { hosts: [seen()] }, rule)).toEqual(['/hosts/a.test/1'])
    expect(told(hosts, { certificates: [certificate(D, '2027-03-01')] }, rule)).toEqual([
      '/hosts/a.test/3',
    ])
    const both = [certificate(D, '2027-02-01'), certificate(D, '2028-02-01')]
    expect(told(hosts, { certificates: both }, rule)).toEqual([])
    const renewed = [certificate(B, '2028-01-01')]
    expect(told(hosts, { hosts: [seen()], certificates: renewed }, rule)).toEqual([])
  })

  test('is read from what check printed, and from certificates', async () => {
    await using server = await startGenuine()
    const { leaf, a1, a1Expired } = server.pki.certificates
    const policy = { version: 1, hosts: { 'api.example.test': [leaf.pin, a1.pin] } }
    const file = command.file('evidence.json', JSON.stringify(policy))
    const ca = command.file('evidence.pem', server.ca)
    const connect = ['--connect', `127.0.0.1:${server.port}`, '--ca', ca]
    const checked = await command.run(['check', file, '--json', ...connect])
    const saved = command.file('seen.ndjson', checked.stdout)
    const expired = command.file('expired.pem', a1Expired.pem)

    const run = (...args: string[]) => command.run(['lint', file, '--ignore', 'few-pins', ...args])
    expect(await run()).toMatchObject({ code: 0, stdout: '' })
    const bySight = await run('--seen', saved)
    expect(bySight).toMatchObject({ code: 7 })
    expect(bySight.stdout).toMatch(
      /evidence\.json:1:42: warning: api\.example\.test:443 has served .* \(no-spare-pin\)\n$/,
    )
    const byFile = await run('--certificates', expired)
    expect(byFile).toMatchObject({ code: 7 })
    expect(byFile.stdout).toContain('(expired-authority)')
    const none = await run('--seen', file)
    expect(none).toMatchObject({ code: 6, stdout: '' })
    expect(none.stderr).toContain(
      'evidence.json: line 1 is nothing that pinfetch check --json prints',
    )
  })
})

describe('pinfetch lint', () => {
  const ended = {
    version: 1,
    hosts: { 'a.test': { pins: good, expires: { at: '2027-01-15', then: 'report' } } },
  }
  const ending = `{
  "version": 1,
  "hosts": {
    "a.test": {
      "pins": ${JSON.stringify(good)},
      "expires": { "at": "2027-01-15", "then": "refuse" }
    },
    "b.test": ["${A}", "${B}"]
  }
}`

  test('prints each finding with its place, severity and rule', async () => {
    const path = command.file('ending.json', ending)
    expect(await command.run(['lint', path, '--at', '2027-01-01'])).toEqual({
      code: 7,
      stdout: `${path}:6:18: warning: a.test ends on 2027-01-15, in 14 days: then its hosts are refused (expiring-set)
${path}:8:15: warning: b.test has 2 pins: pin the key in use, a backup that is not in use, and a root (few-pins)
`,
      stderr: '',
    })
  })

  test('tells files without findings, with warnings and with errors apart', async () => {
    const path = command.file('ending.json', ending)
    const expired = command.file('ended.json', JSON.stringify(ended))
    const fine = command.file(
      'fine.json',
      JSON.stringify({ version: 1, hosts: { 'a.test': good } }),
    )
    const run = (...args: string[]) => command.run(['lint', ...args])

    expect(await run(fine)).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(await run(path, '--at', '2027-01-01', '--days', '13', '--ignore', 'few-pins')).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    })
    expect(await run(fine, path, '--at', '2027-01-01')).toMatchObject({ code: 7 })
    const both = await run(path, expired, '--at', '2027-01-15')
    expect(both.code).toBe(6)
    expect(both.stdout).toContain(`${expired}:1:`)
    expect(both.stdout).toContain(
      'error: a.test has ended on 2027-01-15: bad pins are reported only (expired-set)\n',
    )
  })

  test('prints lines of JSON', async () => {
    const path = command.file(
      'wrong.json',
      '{"version": 1,\n"hosts": {"a.test": ["x"], "*.com": 1}}',
    )
    const { code, stdout } = await command.run(['lint', '--json', path])
    expect(code).toBe(6)
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      {
        file: path,
        line: 2,
        column: 37,
        pointer: '/hosts/*.com',
        severity: 'error',
        rule: 'invalid-file',
        code: 'ERR_POLICY_INVALID_OPTION',
        message: 'it is a number: give a list of pins, { "pins": […] } or { "exclude": true }',
      },
    ])
  })

  test('goes on after a file that is not there', async () => {
    const path = command.file('short.json', '{"a.test": []}')
    expect(await command.run(['lint', 'none.json', path])).toEqual({
      code: 6,
      stdout: `${path}:1:2: error: /a.test: the pin list is empty; leave the host out, or take it out of its parents with { exclude: true } (invalid-file)\n`,
      stderr: 'pinfetch: none.json: no such file or directory (ENOENT)\n',
    })
  })

  test.each([
    [[], 'give a policy file'],
    [['a.json', '--days', 'x'], '--days is "x"'],
    [['a.json', '--at', 'soon'], '--at is "soon"'],
    [['a.json', '--ignore', 'all'], '--ignore "all": there are invalid-file, '],
  ])('refuses the command line %j', async (args, message) => {
    const told = await command.run(['lint', ...args])
    expect(told).toMatchObject({ code: 2, stdout: '' })
    expect(told.stderr).toContain(message)
  })
})
