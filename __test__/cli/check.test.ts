import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { check } from '../../src/cli/check/check.js'
import { CHECK_RULES, findingsOf } from '../../src/cli/check/rules.js'
import type { SurveyedHost } from '../../src/cli/survey/record.js'
import { readSurvey } from '../../src/cli/survey/saved.js'
import { type Endpoint, startGenuine, startInterceptor, startProxy } from '../testkit.js'
import { Command, refusalOf } from './command.js'

const command = new Command()
const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [A, B, C, D] = [pinOf(1), pinOf(2), pinOf(3), pinOf(4)]
const spare = pinOf(9)

/** A policy file for `hosts`, and the arguments with which its hosts are asked at `server`. */
function arrange(server: Endpoint, name: string, content: object): string[] {
  const file = command.file(name, JSON.stringify(content, null, 2))
  const ca = command.file(`${server.port}.pem`, server.ca)
  return ['check', file, '--connect', `127.0.0.1:${server.port}`, '--ca', ca]
}

const day = (text: string) =>
  text.replace(/\d{4}-\d{2}-\d{2}/g, 'DATE').replace(/\d+ days/g, 'N days')

test('a host in order is a line, and exit code 0', async () => {
  await using server = await startGenuine()
  const hosts = { 'api.example.test': [server.leafPin, spare, server.rootPin] }

  const ended = await command.run(arrange(server, 'good.json', { version: 1, hosts }))

  expect(ended).toEqual({
    code: 0,
    stdout: 'api.example.test:443: pinned by end entity and trust anchor, 89 days left\n',
    stderr: 'pinfetch: 1 host asked: 1 pinned\n',
  })
  expect(await server.applicationBytes()).toBe(0)
})

test('a policy may pin loopback itself, whose hosts are asked through --connect', async () => {
  await using server = await startGenuine({ names: ['127.0.0.1'] })
  const hosts = { '127.0.0.1': [server.leafPin, spare], localhost: [spare] }
  const args = arrange(server, 'loopback.json', { version: 1, hosts })

  const ended = await command.run([...args, '--json'])

  const [first] = ended.stdout.split('\n')
  expect(JSON.parse(first ?? '')).toMatchObject({
    authority: '127.0.0.1:443',
    sights: [{ verdict: 'pinned' }],
  })
})

test('a host with findings is shown with its path, where each pin stands, and what is wrong', async () => {
  await using server = await startGenuine()
  const { leaf, a1, rootA } = server.pki.certificates
  const args = arrange(server, 'weak.json', {
    version: 1,
    hosts: {
      'api.example.test': [
        { pin: leaf.pin, role: 'current', label: 'api 2026' },
        { pin: spare, role: 'current', label: 'api 2025' },
      ],
    },
  })

  const ended = await command.run([...args, '--quiet'])

  expect(ended).toMatchObject({ code: 7, stderr: '' })
  expect(day(ended.stdout)).toBe(
    `api.example.test:443: pinned by end entity, N days left
  api.example.test (${command.path('weak.json')}:4:25)
  =  ${leaf.pin}  end entity    CN=api.example.test      ends DATE (N days)    current api 2026
  -  ${a1.pin}  intermediate  CN=Test Intermediate A1  ends DATE (N days)
  -  ${rootA.pin}  trust anchor  CN=Test Root A           ends DATE (N days)
  not served: api 2025 (${spare})  current
  warning: api 2025 (${spare}) is noted as current and is not served (current-unserved)
`,
  )
})

test('bad pins, hosts that cannot be reached, and those in order are told apart', async () => {
  await using server = await startGenuine({ names: ['a.test', 'b.test', 'c.test'] })
  await using silent = await startGenuine({ behaviour: 'close-handshake' })
  const args = arrange(server, 'mixed.json', {
    'a.test': [spare],
    'b.test': [server.leafPin, spare],
    'c.test': [spare],
  })

  const run = (...more: string[]) => command.run([...args, ...more])
  const ended = await run('--connect', `c.test=127.0.0.1:${silent.port}`, '--json')

  expect(ended.code).toBe(5)
  expect(ended.stderr).toBe('pinfetch: 3 hosts asked: 1 bad-pin, 1 pinned, 1 failed\n')
  const told = ended.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(told).toMatchObject([
    { authority: 'a.test:443', findings: [{ rule: 'bad-pin', code: 'ERR_BAD_PIN' }] },
    { authority: 'b.test:443', findings: [] },
    { authority: 'c.test:443', findings: [{ rule: 'failed', severity: 'error' }] },
  ])
  expect(readSurvey(ended.stdout, 'saved').map(({ authority }) => authority)).toHaveLength(3)
})

test('--via compares what vantage points see', async () => {
  await using server = await startGenuine()
  await using interceptor = await startInterceptor({ of: server })
  await using proxy = await startProxy({
    kind: 'connect',
    to: interceptor,
    credentials: 'u:hunter2',
  })
  const args = arrange(server, 'via.json', { 'api.example.test': [server.leafPin, spare] })

  const ended = await command.run([...args, '--via', 'direct', '--via', proxy.url])

  expect(ended.code).toBe(5)
  expect(ended.stdout).toContain('pinned (direct), bad-pin (http://127.0.0.1:')
  expect(ended.stdout).toContain(interceptor.pki.certificates.rogueLeaf.pin)
  expect(ended.stdout).toContain('see keys that differ')
  expect(ended.stdout + ended.stderr).not.toContain('hunter2')
  const same = await command.run([...args, '--via', 'direct'])
  expect(same).toMatchObject({ code: 0 })
})

test('each machine behind a name is asked, and what they show is compared', async () => {
  await using server = await startGenuine()
  await using other = await startGenuine({ pki: server.pki, chain: ['nextLeaf', 'a1'] })
  const { leafPin, backupPin } = server
  const args = arrange(server, 'machines.json', { 'api.example.test': [leafPin, backupPin, spare] })

  const ended = await command.run([...args, '--connect', `127.0.0.1:${other.port}`, '--json'])

  expect(ended.code).toBe(7)
  expect(JSON.parse(ended.stdout)).toMatchObject({
    pins: [
      { pin: leafPin, seen: [{ via: `127.0.0.1:${server.port}` }] },
      { pin: backupPin, seen: [{ via: `127.0.0.1:${other.port}` }] },
      { pin: spare, seen: [] },
    ],
    sights: [
      { via: `127.0.0.1:${server.port}`, verdict: 'pinned' },
      { via: `127.0.0.1:${other.port}`, verdict: 'pinned' },
    ],
    findings: [{ rule: 'vantage-points' }],
  })
})

test('an environment is chosen, wildcards have their hosts named, and those without are told', async () => {
  await using server = await startGenuine({ names: ['a.x.test', 'b.x.test'] })
  const args = arrange(server, 'environments.json', {
    version: 1,
    environments: {
      staging: { hosts: { 'none.test': [spare] } },
      production: { hosts: { '*.x.test': [server.leafPin, spare], '**.y.test': [spare, A] } },
    },
  })
  const names = command.file('names.txt', '# ours\n\na.x.test\r\nb.x.test\n')

  const ended = await command.run([...args, '--environment', 'production', '--hosts', names])

  expect(ended).toMatchObject({ code: 7 })
  expect(ended.stdout.split('\n')).toEqual([
    'a.x.test:443: pinned by end entity, 89 days left',
    'b.x.test:443: pinned by end entity, 89 days left',
    '**.y.test: not asked',
    expect.stringContaining('(unnamed)'),
    '',
  ])
  const unnamed = await command.run([...args, '--environment', 'production'])
  expect(unnamed).toMatchObject({ code: 2, stdout: '' })
  expect(unnamed.stderr).toContain('wildcards only')
})

test('what a policy says besides pins is what the verdicts go by', async () => {
  const names = ['report', 'place', 'both', 'ended', 'self', 'other'].map((name) => `${name}.test`)
  await using server = await startGenuine({ names })
  await using self = await startGenuine({ pki: server.pki, chain: ['selfSigned'] })
  const { leafPin, rootPin } = server
  const args = arrange(server, 'whole.json', {
    version: 1,
    unpinned: 'refuse',
    hosts: {
      'report.test': { pins: [spare, A], mode: 'report' },
      'place.test': [{ pin: leafPin, at: 'root' }, spare],
      'both.test': { pins: [leafPin, rootPin, spare], require: ['leaf', 'root'] },
      'ended.test': { pins: [leafPin, spare], expires: { at: '2020-01-01', then: 'refuse' } },
      'self.test': { pins: [leafPin, spare], trust: 'pinned-key' },
    },
  })

  const machine = ['--connect', `self.test=127.0.0.1:${self.port}`]
  const ended = await command.run([...args, ...machine, '--host', 'other.test', '--json'])

  expect(ended.code).toBe(5)
  const told = ended.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(told).toMatchObject([
    { sights: [{ verdict: 'reported' }], findings: [{ rule: 'reported' }] },
    { sights: [{ verdict: 'bad-pin', path: [{ pin: leafPin, pinned: false }, {}, {}] }] },
    {
      sights: [{ verdict: 'pinned' }],
      forecast: { newKey: 'with-backup', newIntermediate: 'yes' },
    },
    {
      sights: [{ error: { code: 'ERR_POLICY_EXPIRED' } }],
      findings: [{}, { rule: 'expired-set' }],
    },
    { sights: [{ verdict: 'pinned', path: [{ pin: leafPin, pinned: true }] }] },
    { sights: [{ error: { code: 'ERR_POLICY_UNPINNED' } }] },
  ])

  const hosts = { 'other.test': [leafPin, spare] }
  const blocked = arrange(server, 'blocked.json', { version: 1, blocked: [rootPin], hosts })
  const refused = await command.run([...blocked, '--json'])
  expect(refused.code).toBe(5)
  expect(JSON.parse(refused.stdout)).toMatchObject({ findings: [{ rule: 'bad-pin' }] })
})

test('a thousand hosts are asked, and told in the order of the file', async () => {
  const names = Array.from({ length: 1000 }, (_, index) => `h${index}.x.test`)
  await using server = await startGenuine({ names: ['*.x.test'] })
  const pins = [server.leafPin, spare]
  const args = arrange(server, 'many.json', Object.fromEntries(names.map((name) => [name, pins])))

  const ended = await command.run(args)

  expect(ended.stderr).toEqual(expect.stringMatching(/pinfetch: 1000 hosts asked: 1000 pinned\n$/))
  expect(ended.code).toBe(0)
  const told = ended.stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(':')[0])
  expect(told).toEqual(names)
})

test('SIGINT ends it with what is known', async () => {
  await using server = await startGenuine({ names: ['a.test', 'b.test'] })
  await using stalled = await startGenuine({ behaviour: 'stall-handshake' })
  const args = arrange(server, 'interrupted.json', {
    'a.test': [server.leafPin, spare],
    'b.test': [server.leafPin, spare],
  })
  const connect = ['--connect', `b.test=127.0.0.1:${stalled.port}`]
  const child = command.start(...args, ...connect, '--concurrency', '1')
  const closed = once(child, 'close')
  let stdout = ''
  child.stdout.on('data', (text) => {
    stdout += text
  })
  while ((await stalled.stats()).accepted === 0) await new Promise(setImmediate)
  child.kill('SIGINT')

  expect(await closed).toEqual([130, null])
  expect(stdout).toBe('a.test:443: pinned by end entity, 89 days left\n')
})

test.each([
  ['no file', [], 'give a policy file'],
  ['two files', ['a.json', 'b.json'], 'give one policy file'],
  ['a name that is none', ['a.json', '--host', 'x y'], 'is no server'],
  ['a proxy that is none', ['a.json', '--via', 'ftp://u:secret@x'], '--via'],
  ['a machine without a port', ['a.json', '--connect', 'x'], 'has no port'],
  ['a machine, and proxies only', ['a.json', '--connect', 'a:1', '--via', 'http://p:1'], 'direct'],
  ['days that are none', ['a.json', '--days', 'x'], '--days'],
  ['no hosts at a time', ['a.json', '--concurrency', '0'], '--concurrency'],
])('the command line is refused before anybody is asked: %s', async (_name, args, told) => {
  const refusal = await refusalOf(() => check(args))
  expect(refusal).toContain(told)
  expect(refusal).not.toContain('secret')
})

test('an unknown option is refused as other commands do', async () => {
  const ended = await command.run(['check', 'a.json', '--hsot', 'x'])

  expect(ended).toMatchObject({ code: 2, stdout: '' })
  expect(ended.stderr).toMatch(/^pinfetch: [^\n]+--hsot[^\n]+ \(see pinfetch check --help\)\n$/)
})

test('a host that says nothing is given up after --timeout', async () => {
  await using stalled = await startGenuine({ behaviour: 'stall-handshake' })
  const args = arrange(stalled, 'stalled.json', { 'api.example.test': [spare] })

  const ended = await command.run([...args, '--timeout', '0.1', '--json'])

  expect(ended).toMatchObject({ code: 3 })
  expect(JSON.parse(ended.stdout)).toMatchObject({
    findings: [{ rule: 'failed', code: 'ERR_TIMEOUT', about: 'direct' }],
  })
})

test('a file that cannot be read, and one that is none, are named', async () => {
  expect(await command.run(['check', 'none.json'])).toEqual({
    code: 6,
    stdout: '',
    stderr: 'pinfetch: none.json: no such file or directory (ENOENT)\n',
  })
  const file = command.file('bad.json', '{ "a.test": ["x"] }')
  const ended = await command.run(['check', file])
  expect(ended).toMatchObject({ code: 6, stdout: '' })
  expect(ended.stderr).toContain('bad.json:1:14')
})

const now = '2027-03-01T00:00:00.000Z'

/** A host whose path has the keys A (leaf), B (intermediate) and C (root), of which those of `pins` are pinned. */
function host(more: Partial<SurveyedHost> = {}): SurveyedHost {
  const path = ([A, B, C] as const).map((pin, index) => ({
    pin,
    role: (['end entity', 'intermediate', 'trust anchor'] as const)[index] ?? 'trust anchor',
    subject: `CN=${index}`,
    notAfter: '2028-03-01T00:00:00.000Z',
    daysLeft: 365,
    pinned: index === 0,
  }))
  return {
    authority: 'a.test:443',
    host: 'a.test',
    port: 443,
    checked: now,
    environment: null,
    patterns: [{ pattern: 'a.test', mode: 'enforce', require: 1, expires: null, pointer: '/p' }],
    pins: [pin(A, 'end entity'), pin(D)],
    sights: [{ via: 'direct', verdict: 'pinned', remoteAddress: '127.0.0.1:443', path }],
    forecast: {
      by: '2028-03-01T00:00:00.000Z',
      newKey: 'with-backup',
      newIntermediate: 'yes',
      newAuthority: 'with-backup',
    },
    ...more,
  }
}

function pin(
  key: string,
  seen?: 'end entity' | 'intermediate' | 'trust anchor',
  more: Partial<SurveyedHost['pins'][number]> = {},
): SurveyedHost['pins'][number] {
  return {
    pin: key,
    pattern: 'a.test',
    role: null,
    label: null,
    at: null,
    added: null,
    expires: null,
    pointer: `/p/${key.slice(7, 9)}`,
    seen: seen === undefined ? [] : [{ via: 'direct', role: seen }],
    ...more,
  }
}

/** The sights of {@link host}, with `change` made to each certificate. */
function sights(
  change: (certificate: SurveyedHost['sights'][number]['path'][number], index: number) => object,
): SurveyedHost['sights'] {
  return host().sights.map((sight) => ({
    ...sight,
    path: sight.path.map((certificate, index) => ({
      ...certificate,
      ...change(certificate, index),
    })),
  }))
}

const sight = (verdict: SurveyedHost['sights'][number]['verdict'], more: object = {}) => ({
  via: 'direct',
  verdict,
  remoteAddress: null,
  path: [],
  ...more,
})
const ends = (at: string, then: 'enforce' | 'refuse' = 'enforce') => ({
  patterns: [
    {
      pattern: 'a.test',
      mode: 'enforce',
      require: 1,
      expires: { at, then },
      pointer: '/p',
    } as const,
  ],
})
const forecast = (newKey: 'yes' | 'with-backup' | 'no', newIntermediate: 'yes' | 'no') => ({
  forecast: { by: null, newKey, newIntermediate, newAuthority: 'no' } as const,
})

describe.each(Object.keys(CHECK_RULES))('the rule %s', (rule) => {
  const cases: [name: string, more: Partial<SurveyedHost>, isFound: boolean][] = {
    'bad-pin': [
      [
        'tells',
        {
          sights: [sight('bad-pin', { error: { code: 'ERR_BAD_PIN', message: 'x' } })],
          forecast: null,
        },
        true,
      ],
    ],
    failed: [
      [
        'tells',
        { sights: [sight('failed', { error: { code: 'ERR_DNS', message: 'x' } })], forecast: null },
        true,
      ],
    ],
    reported: [['tells', { sights: [sight('reported')], forecast: null }, true]],
    unpinned: [['tells', { sights: [sight('unpinned')], pins: [], forecast: null }, true]],
    'vantage-points': [
      [
        'tells of another key',
        { sights: [...host().sights, ...sights((_of, index) => (index === 0 ? { pin: D } : {}))] },
        true,
      ],
      [
        'tells of another authority',
        { sights: [...host().sights, ...sights((_of, index) => (index === 1 ? { pin: D } : {}))] },
        true,
      ],
      ['passes over the same', { sights: [...host().sights, ...host().sights] }, false],
      ['passes over what was not seen', { sights: [...host().sights, sight('failed')] }, false],
    ],
    'expired-set': [
      ['tells at the date', ends('2027-03-01T00:00:00.000Z'), true],
      ['passes over later ones', ends('2027-03-02T00:00:00.000Z'), false],
    ],
    'expiring-set': [
      ['tells within 30 days', ends('2027-03-31T00:00:00.000Z', 'refuse'), true],
      ['passes over later ones', ends('2027-04-01T00:00:00.000Z'), false],
    ],
    'expiring-certificate': [
      [
        'tells of leaves',
        { sights: sights((_of, index) => (index === 0 ? { daysLeft: 30 } : {})) },
        true,
      ],
      [
        'tells of intermediates',
        { sights: sights((_of, index) => (index === 1 ? { daysLeft: 0 } : {})) },
        true,
      ],
      ['passes over later ones', { sights: sights(() => ({ daysLeft: 31 })) }, false],
    ],
    'expired-authority': [
      ['tells', { sights: sights((_of, index) => (index === 2 ? { daysLeft: -1 } : {})) }, true],
      ['passes over those of today', { sights: sights(() => ({ daysLeft: 0 })) }, false],
    ],
    rotation: [
      ['tells', forecast('no', 'yes'), true],
      ['passes over hosts with a backup', {}, false],
    ],
    'intermediate-change': [
      ['tells', forecast('yes', 'no'), true],
      ['passes over hosts that keep their pins', forecast('yes', 'yes'), false],
    ],
    'no-spare-pin': [
      ['tells', { pins: [pin(A, 'end entity'), pin(C, 'trust anchor')] }, true],
      [
        'does not count retired pins',
        { pins: [pin(A, 'end entity'), pin(D, undefined, { role: 'retired' })] },
        true,
      ],
      ['passes over hosts with a pin that is not served', {}, false],
    ],
    'current-unserved': [
      ['tells', { pins: [pin(A, 'end entity'), pin(D, undefined, { role: 'current' })] }, true],
      [
        'passes over backups',
        { pins: [pin(A, 'end entity'), pin(D, undefined, { role: 'backup' })] },
        false,
      ],
      [
        'passes over hosts that were not seen',
        {
          pins: [pin(D, undefined, { role: 'current' })],
          sights: [sight('failed')],
          forecast: null,
        },
        false,
      ],
    ],
    'backup-served': [
      ['tells', { pins: [pin(A, 'end entity', { role: 'backup' }), pin(D)] }, true],
      [
        'passes over authorities that are backups',
        { pins: [pin(A), pin(C, 'trust anchor', { role: 'backup' }), pin(D)] },
        false,
      ],
    ],
    'retired-served': [
      ['tells', { pins: [pin(A, 'end entity', { role: 'retired' }), pin(D)] }, true],
      [
        'passes over those that are gone',
        { pins: [pin(A, 'end entity'), pin(D, undefined, { role: 'retired' }), pin(spare)] },
        false,
      ],
    ],
    unnamed: [],
  }[rule as keyof typeof CHECK_RULES] as never

  test('has a case, or one above', () => {
    expect(cases.some(([, , isFound]) => isFound) || rule === 'unnamed').toBe(true)
  })
  for (const [name, more, isFound] of cases)
    test(name, () => {
      const found = findingsOf(host(more), 30).map((finding) => finding.rule)
      expect(found.includes(rule as keyof typeof CHECK_RULES)).toBe(isFound)
    })
})

test('the host that is in order has no findings', () => {
  expect(findingsOf(host(), 30)).toEqual([])
})

test('the manual has a row for each rule, with its severity', () => {
  const manual = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
  const [, section = ''] = /^## pinfetch check$(.*?)^## /ms.exec(manual) ?? []
  const rows = [...section.matchAll(/^\| `([a-z-]+)` \| (error|warning) \|/gm)]
  expect(Object.fromEntries(rows.map(([, rule, severity]) => [rule, severity]))).toEqual(
    CHECK_RULES,
  )
})
