import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { diffPolicies, isSame } from '../../src/cli/explain/diff.js'
import { PolicyFile } from '../../src/index.js'
import { codeBlocks } from '../examples.js'
import { Command } from './command.js'

const command = new Command()
const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [A, B, C] = [pinOf(1), pinOf(2), pinOf(3)]

const policy = {
  version: 1,
  blocked: [C],
  hosts: {
    'api.example.com': {
      pins: [
        { pin: A, role: 'current', label: 'api 2026', added: '2026-01-01', at: 'leaf' },
        { pin: C, role: 'retired', expires: '2026-07-01', note: 'leaked' },
      ],
      mode: 'report',
      require: ['leaf', 'ca'],
      trust: { ca: 'own.pem' },
      expires: { at: '2027-03-01', then: 'refuse' },
      note: 'the API',
    },
    '**.example.com': [B],
    'open.example.com': { exclude: true },
    '[::1]:8443': { pins: [A, B], trust: 'pinned-key' },
  },
}

async function run(value: object, ...args: string[]) {
  const path = command.file('policy.json', JSON.stringify(value, null, 2))
  const ended = await command.run(['explain', '--policy', path, ...args])
  return { ...ended, path }
}

describe('pinfetch explain', () => {
  test('tells the patterns of a host, the most specific one first, with all that is known', async () => {
    const { path, ...ended } = await run(
      policy,
      'https://user:secret@api.example.com/data?key=secret',
    )
    expect(ended).toEqual({
      code: 0,
      stdout: `https://api.example.com/data
  pinned: by 3 pins of 2 patterns
  api.example.com (${path}:7:24): 2 pins, reported only, all of leaf, ca, trust in own.pem, until 2027-03-01, then refuse
    the API
    ${A}  current, at the leaf, api 2026
    ${C}  blocked, retired, until 2026-07-01, leaked
  **.example.com (${path}:37:23): 1 pin
    ${B}
`,
      stderr: '',
    })
  })

  test('tells who takes a host out, and what becomes of it', async () => {
    const { path, ...ended } = await run(policy, 'OPEN.example.com.')
    expect(ended).toEqual({
      code: 7,
      stdout: `https://open.example.com./
  unpinned: open.example.com excludes it, and hosts without pins are allowed
  open.example.com (${path}:40:25): takes its hosts out of less specific patterns
  **.example.com (${path}:37:23): taken out by open.example.com
    (${B})
`,
      stderr: '',
    })
  })

  test.each([
    ['http://api.example.com/', {}, 'refused', 'the host is pinned, and http: proves nothing'],
    [
      'https://a.test/',
      {},
      'unpinned',
      'no pattern speaks of it, and hosts without pins are allowed',
    ],
    [
      'https://a.test/',
      { unpinned: 'warn' },
      'unpinned',
      'no pattern speaks of it, and hosts without pins are warned of',
    ],
    [
      'https://a.test/',
      { unpinned: 'refuse' },
      'refused',
      'no pattern speaks of it, and hosts without pins are refused',
    ],
    [
      'https://[::1]/',
      {},
      'unpinned',
      'no pattern speaks of it, and hosts without pins are allowed',
    ],
    ['https://[0::1]:8443/', {}, 'pinned', 'by 2 pins of 1 pattern'],
  ])('%s with %j is %s', async (url, more, verdict, reason) => {
    const { code, stdout } = await run({ ...policy, ...more }, '--json', url)
    expect(JSON.parse(stdout)).toMatchObject({ verdict, reason })
    expect(code).toBe(verdict === 'pinned' ? 0 : 7)
  })

  test('prints a line of JSON for each URL', async () => {
    const { stdout } = await run(
      policy,
      '--json',
      'api.example.com:8443',
      'https://open.example.com/',
    )
    const [first, second] = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(first).toMatchObject({
      url: 'https://api.example.com:8443/',
      host: 'api.example.com',
      port: 8443,
      pins: [A, B, C],
      patterns: [
        {
          pattern: 'api.example.com',
          line: 7,
          column: 24,
          status: 'contributes',
          mode: 'report',
          require: ['leaf', 'ca'],
          trust: { ca: 'own.pem' },
          expires: { at: '2027-03-01T00:00:00.000Z', then: 'refuse' },
          note: 'the API',
          pins: [
            {
              pin: A,
              at: 'leaf',
              role: 'current',
              label: 'api 2026',
              added: '2026-01-01T00:00:00.000Z',
            },
            { pin: C, blocked: true, role: 'retired', note: 'leaked' },
          ],
        },
        { pattern: '**.example.com', status: 'contributes', pins: [{ pin: B }] },
      ],
    })
    expect(second.patterns).toMatchObject([
      { pattern: 'open.example.com', status: 'excludes', pins: [] },
      { pattern: '**.example.com', status: 'excluded', excludedBy: 'open.example.com' },
    ])
  })

  test('says what the manual shows', async () => {
    const manual = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
    const [, section = ''] = manual.split('\n## pinfetch explain\n')
    const [shown = ''] = codeBlocks(section, 'console')
    const api = 'sha256/NQvyvzK2bRMPWDVfXSN5s3ZQ4hlSqB5Cmbz7Y2dIuLM='
    const next = 'sha256/UHVBuyGR+swDmd+yZysar+O9C9ONhjTaNetVQ0z78oE='
    const hosts = {
      'api.example.com': {
        pins: [
          { pin: api, label: 'api 2026', role: 'current' },
          { pin: next, label: 'api 2027', note: 'key in the safe', role: 'backup' },
        ],
        expires: { at: '2027-03-01' },
      },
      '**.example.com': ['sha256/x4QzPSC810K5/cMjb05Qm4k3Bw5zBn4lTdO/nEW/Td4='],
      'vault.example.com': { exclude: true },
    }
    const { stdout } = await run(
      { version: 1, hosts },
      'https://api.example.com/data',
      'vault.example.com',
    )
    const places = (text: string) => text.replace(/\([^()]*policy\.json:\d+:\d+\)/g, '(place)')
    expect(places(stdout)).toBe(places(shown.slice(shown.indexOf('\n') + 1)))
  })

  test.each([
    [[], 'give --policy'],
    [['--policy', 'a.json'], 'give a URL'],
    [['--policy', 'a.json', 'ftp://a.test/'], 'is no URL of https: or http:'],
    [['--policy', 'a.json', 'a b'], '"a b" is no URL'],
    [['--diff', 'a.json'], 'give two policy files'],
    [['--diff', 'a.json', 'b.json', '--policy', 'c.json'], 'give two policy files'],
  ])('refuses the command line %j', async (args, message) => {
    const told = await command.run(['explain', ...args])
    expect(told).toMatchObject({ code: 2, stdout: '' })
    expect(told.stderr).toContain(message)
  })

  test('names the file that cannot be used', async () => {
    const path = command.file('none.json', '{"version": 1, "environments": {"one": {}}}')
    const told = await command.run(['explain', '--policy', path, 'https://a.test/'])
    expect(told).toMatchObject({ code: 6, stdout: '' })
    expect(told.stderr).toContain(`${path}: it has environments: give one of "one"`)
  })
})

describe('pinfetch explain --diff', () => {
  const of = (hosts: object, more: object = {}) =>
    new PolicyFile(JSON.stringify({ version: 1, hosts, ...more })).in()

  test('prints patterns that came and went, pins gained and lost, and settings that changed', async () => {
    const older = command.file(
      'old.json',
      JSON.stringify({ version: 1, hosts: { 'a.test': [A], 'b.test': [A, B], '**.c.test': [A] } }),
    )
    const newer = command.file(
      'new.json',
      JSON.stringify({
        version: 1,
        unpinned: 'refuse',
        hosts: {
          'B.test': { pins: [B, C], mode: 'report' },
          '**.C.test.': [A],
          'd.c.test': { exclude: true },
          'e.test': [A],
        },
      }),
    )
    expect(await command.run(['explain', '--diff', older, newer])).toEqual({
      code: 7,
      stdout: `unpinned: "allow" → "refuse"
- a.test
    - ${A}
+ d.c.test (excluded)
+ e.test
    + ${A}
~ b.test
    - ${A}
    + ${C}
    mode: "enforce" → "report"
`,
      stderr: '',
    })
    const { stdout } = await command.run(['explain', '--json', '--diff', older, newer])
    expect(JSON.parse(stdout)).toEqual({
      old: older,
      new: newer,
      added: [
        { pattern: 'd.c.test', pins: [] },
        { pattern: 'e.test', pins: [A] },
      ],
      removed: [{ pattern: 'a.test', pins: [A] }],
      changed: [
        { pattern: 'b.test', gained: [C], lost: [A], settings: { mode: ['enforce', 'report'] } },
      ],
      settings: { unpinned: ['allow', 'refuse'] },
    })
    expect(await command.run(['explain', '--diff', older, older])).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    })
  })

  test.each([
    [
      'an expiry',
      { pins: [A], expires: { at: '2027-01-01' } },
      { expires: [null, '2027-01-01T00:00:00.000Z enforce'] },
    ],
    ['a requirement', { pins: [A], require: ['leaf'] }, { require: [1, ['leaf']] }],
    ['trust', { pins: [A], trust: 'pinned-key' }, { trust: ['ca', 'pinned-key'] }],
    ['the place of a pin', [{ pin: A, at: 'leaf' }], { at: [[], [`${A} leaf`]] }],
  ])('tells of %s', (_name, set, settings) => {
    const { changed } = diffPolicies(of({ 'a.test': [A] }), of({ 'a.test': set }))
    expect(changed).toEqual([{ pattern: 'a.test', gained: [], lost: [], settings }])
  })

  test('tells of blocked pins, and not of notes, spellings and order', () => {
    const plain = of({ 'a.test': [A, B], 'b.test': [C] })
    const noted = of({
      'B.test': [{ pin: C.slice(7), note: 'x', role: 'root' }],
      'a.test': { pins: [B, A], note: 'y' },
    })
    expect(isSame(diffPolicies(plain, noted))).toBe(true)
    expect(
      diffPolicies(plain, of({ 'a.test': [A, B], 'b.test': [C] }, { blocked: [C] })).settings,
    ).toEqual({ blocked: [[], [C]] })
  })
})
