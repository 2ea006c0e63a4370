import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import formats from 'ajv-formats'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { Client, Policy, PolicyError, PolicyFile, parsePolicy } from '../../src/index.js'
import { readPolicyText } from '../../src/native.js'
import { compiledPolicy } from '../../src/policy.js'
import { CHOICES, FIELDS } from '../../src/policy-file/check.js'
import { codeBlocks } from '../examples.js'
import { startGenuine } from '../testkit.js'

const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [A, B, C] = [pinOf(1), pinOf(2), pinOf(3)]

const folder = mkdtempSync(join(tmpdir(), 'pinfetch-policy-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const schema = JSON.parse(
  readFileSync(new URL('../../schema/policy.schema.json', import.meta.url), 'utf8'),
)
const ajv = new Ajv({ strict: true, strictRequired: false, allErrors: true })
formats.default(ajv)
const isValid = ajv.compile(schema)

/** A file that says `more` beside pins for one host. */
const file = (more: object = {}) => ({ version: 1, hosts: { 'a.test': [A] }, ...more })
/** A file whose one pin set is `set`. */
const set = (more: unknown) => ({ version: 1, hosts: { 'a.test': more } })
/** A file whose one pin is `pin`. */
const pin = (more: unknown) => set([more])

const everything = {
  $schema: 'https://unpkg.com/pinfetch/schema/policy.schema.json',
  version: 1,
  unpinned: 'refuse',
  blocked: [C, { pin: C, label: 'leaked', note: 'lost in a train', added: '2026-04-01' }],
  hosts: {
    'API.example.com': {
      pins: [
        {
          pin: A,
          label: 'leaf of 2026',
          note: 'in the HSM',
          role: 'current',
          added: '2026-01-31T08:00:00+01:00',
          expires: '2027-01-31',
          at: 'leaf',
        },
        { pin: B, role: 'root', at: 'root' },
      ],
      mode: 'report',
      expires: { at: '2028-02-29', then: 'refuse' },
      require: ['leaf', 'root'],
      trust: { ca: 'roots/own.pem' },
      note: 'the API',
    },
    '*.example.com': [A, B],
    '**.example.com:8443': { pins: [A] },
    '[::1]:8443': { pins: [A], trust: 'pinned-key', require: 1 },
    'open.example.com': { exclude: true, note: 'not ours' },
  },
  environments: { staging: { unpinned: 'warn', hosts: { 'a.test': [A] } }, production: {} },
}

const accepted: [name: string, file: unknown][] = [
  ['all there is', everything],
  ['little', file()],
  [
    'every spelling of a pin',
    set([A, A.slice(7), `sha256//${A.slice(7)}`, `pin-sha256="${A.slice(7)}"`, 'Ab'.repeat(32)]),
  ],
  ['environments only', { version: 1, environments: { one: { hosts: { 'a.test': [A] } } } }],
  ['as many as there are', set({ pins: [A, B], require: 2 })],
  ['an intermediate or the root', set({ pins: [{ pin: A, at: 'root' }], require: ['ca'] })],
  ['no blocked pins', file({ blocked: [] })],
  ['the name of a set', file({ blocked: ['ca:amazon'], hosts: { 'a.test': ['ca:letsencrypt'] } })],
]

const refused: [name: string, file: unknown, pointer: string, message: string][] = [
  ['a list', [], '', 'it is an array: give a JSON object'],
  ['a text', 'pins', '', 'it is a string'],
  ['no version', { hosts: { 'a.test': [A] } }, '', 'it has no "version": give 1'],
  ['a newer version', file({ version: 2 }), '/version', 'version 2 is newer than this pinfetch'],
  ['a version in quotes', file({ version: '1' }), '/version', 'is 1'],
  ['neither hosts nor environments', { version: 1 }, '', 'neither "hosts" nor "environments"'],
  ['a misspelt member', file({ unpined: 'refuse' }), '/unpined', 'did you mean "unpinned"?'],
  [
    'another word for unpinned',
    file({ unpinned: 'refused' }),
    '/unpinned',
    'did you mean "refuse"?',
  ],
  [
    'unpinned that is no word',
    file({ unpinned: null }),
    '/unpinned',
    'it is null: give "allow", "warn" or "refuse"',
  ],
  ['a schema that is no text', file({ $schema: 1 }), '/$schema', 'it is a number'],
  [
    'hosts that are a list',
    { version: 1, hosts: [] },
    '/hosts',
    'it is an array: give an object of host patterns',
  ],
  ['no hosts', { version: 1, hosts: {} }, '/hosts', 'it has no host patterns'],
  ['no environments', file({ environments: {} }), '/environments', 'it has no environments'],
  [
    'an environment without a name',
    file({ environments: { ' ': {} } }),
    '/environments/ ',
    'has a name',
  ],
  [
    'a misspelt member of an environment',
    file({ environments: { one: { host: {} } } }),
    '/environments/one/host',
    'did you mean "hosts"?',
  ],
  ['pins of null', set(null), '/hosts/a.test', 'it is null: give a list of pins'],
  ['a pin without its list', set(A), '/hosts/a.test', 'it is a string: give a list of pins'],
  ['an empty list', set([]), '/hosts/a.test', 'the pin list is empty'],
  ['an empty list of a set', set({ pins: [] }), '/hosts/a.test/pins', 'the pin list is empty'],
  [
    'a set without pins',
    set({ mode: 'report' }),
    '/hosts/a.test',
    'neither "pins" nor "exclude": true',
  ],
  ['a misspelt member of a set', set({ pin: [A] }), '/hosts/a.test/pin', 'did you mean "pins"?'],
  [
    'pins of a member that is no list',
    set({ pins: { 0: A } }),
    '/hosts/a.test/pins',
    'it is an object: give a list',
  ],
  [
    'an exclusion of nothing',
    set({ exclude: false }),
    '/hosts/a.test/exclude',
    'give true, or leave it out',
  ],
  [
    'an exclusion of nothing, with pins',
    set({ exclude: 'yes', pins: [A] }),
    '/hosts/a.test/exclude',
    'give true, or leave it out',
  ],
  [
    'an exclusion with a mode',
    set({ exclude: true, mode: 'report' }),
    '/hosts/a.test/mode',
    'an exclusion without "pins" has no member "mode"',
  ],
  [
    'another word for a mode',
    set({ pins: [A], mode: 'reprt' }),
    '/hosts/a.test/mode',
    'did you mean "report"?',
  ],
  [
    'an expiry that is a date',
    set({ pins: [A], expires: '2027-01-01' }),
    '/hosts/a.test/expires',
    'it is a string: give an object',
  ],
  [
    'an expiry without a date',
    set({ pins: [A], expires: { then: 'report' } }),
    '/hosts/a.test/expires',
    'it has no "at"',
  ],
  [
    'another word for what comes then',
    set({ pins: [A], expires: { at: '2027-01-01', then: 'allow' } }),
    '/hosts/a.test/expires/then',
    'give "enforce", "report" or "refuse"',
  ],
  [
    'a day that is none',
    set({ pins: [A], expires: { at: '2027-02-29' } }),
    '/hosts/a.test/expires/at',
    '"2027-02-29" is no date',
  ],
  [
    'a month that is none',
    set({ pins: [A], expires: { at: '2027-13-01' } }),
    '/hosts/a.test/expires/at',
    'is no date',
  ],
  [
    'a moment without its zone',
    set({ pins: [A], expires: { at: '2027-01-01T00:00:00' } }),
    '/hosts/a.test/expires/at',
    'is no date',
  ],
  [
    'a date of another form',
    set({ pins: [A], expires: { at: '1 March 2027' } }),
    '/hosts/a.test/expires/at',
    'is no date',
  ],
  [
    'a requirement of none',
    set({ pins: [A], require: 0 }),
    '/hosts/a.test/require',
    'a whole number from 1',
  ],
  [
    'a requirement of a half',
    set({ pins: [A], require: 0.5 }),
    '/hosts/a.test/require',
    'a whole number from 1',
  ],
  [
    'a requirement that is a word',
    set({ pins: [A], require: 'leaf' }),
    '/hosts/a.test/require',
    'give a number of pins, or a list',
  ],
  [
    'a requirement of no place',
    set({ pins: [A], require: [] }),
    '/hosts/a.test/require',
    'the list is empty',
  ],
  [
    'a requirement twice',
    set({ pins: [A], require: ['leaf', 'leaf'] }),
    '/hosts/a.test/require/1',
    'twice',
  ],
  [
    'another word for a place',
    set({ pins: [A], require: ['laef'] }),
    '/hosts/a.test/require/0',
    'did you mean "leaf"?',
  ],
  [
    'another word for trust',
    set({ pins: [A], trust: 'pinned' }),
    '/hosts/a.test/trust',
    'is none of its words',
  ],
  ['trust in nothing', set({ pins: [A], trust: {} }), '/hosts/a.test/trust', 'it has no "ca"'],
  [
    'trust in a file without a name',
    set({ pins: [A], trust: { ca: '' } }),
    '/hosts/a.test/trust/ca',
    'it is empty',
  ],
  [
    'a note that is none',
    set({ pins: [A], note: 1 }),
    '/hosts/a.test/note',
    'it is a number: give a text',
  ],
  [
    'a pin that is too short',
    pin('sha256/AAAA'),
    '/hosts/a.test/0',
    '"sha256/AAAA" is 3 bytes long',
  ],
  ['a pin of SHA-1', pin('sha1/2jmj7l5rSw0yVb/vlWAYkK/YBwk='), '/hosts/a.test/0', 'SHA-1'],
  [
    'a pin whose last bits are set',
    pin(`sha256/${'A'.repeat(42)}B=`),
    '/hosts/a.test/0',
    'not canonical',
  ],
  ['a pin with a space', pin(`${A} `), '/hosts/a.test/0', 'white space'],
  ['a pin that is a number', pin(1), '/hosts/a.test/0', 'it is a number: give "sha256/…"'],
  ['a pin of an object without one', pin({ label: 'x' }), '/hosts/a.test/0', 'it has no "pin"'],
  [
    'a pin of an object that cannot be read',
    pin({ pin: 'sha256/AAAA' }),
    '/hosts/a.test/0',
    'is 3 bytes long',
  ],
  [
    'a pin’s misspelt member',
    pin({ pin: A, lable: 'x' }),
    '/hosts/a.test/0/lable',
    'did you mean "label"?',
  ],
  [
    'another word for a role',
    pin({ pin: A, role: 'spare' }),
    '/hosts/a.test/0/role',
    'give "current", "backup", "root" or "retired"',
  ],
  [
    'another word for where it is',
    pin({ pin: A, at: 'end entity' }),
    '/hosts/a.test/0/at',
    'give "leaf", "intermediate" or "root"',
  ],
  [
    'a date of a pin that is none',
    pin({ pin: A, added: 20260101 }),
    '/hosts/a.test/0/added',
    'it is a number',
  ],
  [
    'a label that is none',
    pin({ pin: A, label: null }),
    '/hosts/a.test/0/label',
    'it is null: give a text',
  ],
  ['blocked pins that are no list', file({ blocked: A }), '/blocked', 'give a list of pins'],
  ['a blocked pin that is none', file({ blocked: [A, 'nonsense'] }), '/blocked/1', '"nonsense"'],
  [
    'a blocked pin with a role',
    file({ blocked: [{ pin: A, role: 'root' }] }),
    '/blocked/0/role',
    'a pin has no member "role"',
  ],
  [
    'a pattern with a star within',
    { version: 1, hosts: { 'a.*.test': [A] } },
    '/hosts/a.*.test',
    '* stands only in front',
  ],
  [
    'a pattern that is a URL',
    { version: 1, hosts: { 'https://a.test/': [A] } },
    '/hosts/https:~1~1a.test~1',
    'not a URL',
  ],
]

// what one place alone does not show, and what takes the public suffix list or a name's canonical form to know
const beyondTheSchema: [name: string, file: unknown, pointer: string, message: string][] = [
  [
    'a pattern over a public suffix',
    { version: 1, hosts: { '*.co.uk': [A] } },
    '/hosts/*.co.uk',
    'public suffix',
  ],
  [
    'a star over an address',
    { version: 1, hosts: { '*.127.0.0.1': [A] } },
    '/hosts/*.127.0.0.1',
    'leave the * out',
  ],
  [
    'one host in two spellings',
    { version: 1, hosts: { 'b.test': [A], 'B.test.': [B] } },
    '/hosts/B.test.',
    'the same pattern as "b.test"',
  ],
  [
    'a common host again in an environment',
    file({ environments: { one: { hosts: { 'a.test': [B] } } } }),
    '/environments/one/hosts/a.test',
    'the same pattern',
  ],
  [
    'more pins required than there are',
    set({ pins: [A], require: 2 }),
    '/hosts/a.test/require',
    'asks for 2 pins of 1',
  ],
  [
    'a place required that no pin has',
    set({ pins: [{ pin: A, at: 'leaf' }], require: ['leaf', 'root'] }),
    '/hosts/a.test/require/1',
    'no path could hold one',
  ],
]

describe('the published schema and the checks of pinfetch agree', () => {
  test.each(accepted)('both accept %s', (_name, value) => {
    expect(isValid(value), JSON.stringify(isValid.errors)).toBe(true)
    expect(PolicyFile.check(JSON.stringify(value), { caSets: 'current' })).toEqual([])
  })

  test.each(refused)('both refuse %s', (_name, value, pointer, message) => {
    expect(isValid(value)).toBe(false)
    const [problem] = PolicyFile.check(JSON.stringify(value))
    expect(problem).toMatchObject({ pointer, message: expect.stringContaining(message) })
  })

  test.each(beyondTheSchema)('pinfetch alone refuses %s', (_name, value, pointer, message) => {
    expect(isValid(value)).toBe(true)
    const problems = PolicyFile.check(JSON.stringify(value))
    expect(problems).toEqual([
      expect.objectContaining({ pointer, message: expect.stringContaining(message) }),
    ])
  })

  test('both know the same members and words', () => {
    const { definitions: of, properties } = schema
    const expiry = of.pinSet.properties.expires.properties
    for (const [known, described] of [
      [FIELDS.file, properties],
      [FIELDS.environment, properties.environments.additionalProperties.properties],
      [FIELDS.set, of.pinSet.properties],
      [FIELDS.exclusion, of.exclusion.properties],
      [FIELDS.pin, of.pin.properties],
      [FIELDS.blocked, of.blockedPin.properties],
      [FIELDS.expiry, expiry],
    ] as const)
      expect([...known].sort()).toEqual(Object.keys(described).sort())
    expect({
      unpinned: of.unpinned.enum,
      mode: of.pinSet.properties.mode.enum,
      role: of.pin.properties.role.enum,
      at: of.pin.properties.at.enum,
      afterwards: expiry.then.enum,
      trust: of.pinSet.properties.trust.anyOf[0].enum,
      require: of.pinSet.properties.require.anyOf[1].items.enum,
    }).toEqual(CHOICES)
  })
})

describe('what the engine reads of a large file says the same', () => {
  const noSets = new Uint8Array(4) // a count of none

  /** Whether the engine reads `text`; what it reads is compared with what is read of a small file. */
  async function isReadAlike(text: string): Promise<boolean> {
    const read = await readPolicyText(Buffer.from(text), noSets)
    if (read === null) return false
    expect(read.equals(compiledPolicy(parsePolicy(text))), text).toBe(true) // throws where it is refused
    return true
  }

  /** Without what the engine leaves to others: files of certificates, environments. */
  const usual = structuredClone(everything)
  Reflect.deleteProperty(usual, 'environments')
  Reflect.deleteProperty(usual.hosts['API.example.com'], 'trust')

  test.each([
    ['all that is usual', usual],
    ['little', file()],
    ['a map', { 'a.test': [A, B], 'b.test': C }],
    ['an intermediate or the root', set({ pins: [{ pin: A, at: 'root' }], require: ['ca'] })],
  ])('of %s', async (_name, value) => {
    expect(await isReadAlike(JSON.stringify(value))).toBe(true)
  })

  test.each([...refused, ...beyondTheSchema])('it does not read %s', async (_name, value) => {
    expect(await readPolicyText(Buffer.from(JSON.stringify(value)), noSets)).toBeNull()
  })

  test('of named sets', async () => {
    const lock = { version: 1, roots: 'test', caSets: { ours: { [A]: 'A', [B]: 'B' } } }
    const text = JSON.stringify(set([{ pin: 'ca:ours', at: 'root' }, C]))
    const path = join(folder, 'sets.json')
    writeFileSync(path, text + ' '.repeat(1024 * 1024))
    writeFileSync(join(folder, 'sets.lock.json'), JSON.stringify(lock))
    const large = await Policy.fromFile(path)
    const small = parsePolicy(text, { caSets: lock })
    expect(compiledPolicy(large).equals(compiledPolicy(small))).toBe(true)
    expect(await readPolicyText(Buffer.from(text), noSets)).toBeNull()
  })

  test('of anything like a policy file', async () => {
    const word = fc.constantFrom(
      ...[
        A,
        B,
        'a.test',
        '*.a.test',
        'b.test:8443',
        'x y',
        '',
        'ca:x',
        'report',
        'leaf',
        'ca',
        'refuse',
        'root',
      ],
      ...[
        'backup',
        'pinned-key',
        '2027-02-28',
        '2027-02-29',
        '2027-02-28T24:00:00Z',
        '2027-02-28T01:00:00.5+01:00',
      ],
    )
    const scalar = fc.oneof(word, fc.constantFrom(null, true, false, 0, 1, 2, 1.5, -1, 1e300))
    const entry = fc.oneof(
      scalar,
      fc.array(scalar, { maxLength: 2 }),
      fc.dictionary(word, scalar, { maxKeys: 2 }),
    )
    const names = fc.constantFrom(...Object.values(FIELDS).flat(), 'A.test', 'c.test')
    /** Puts `given` under `name` somewhere in a file, or takes away what is there. */
    const mutate = (value: unknown, steps: number[], name: string, given: unknown): unknown => {
      const [step, ...rest] = steps
      if (step === undefined || typeof value !== 'object' || value === null) return given
      const copy = structuredClone(value) as Record<string, unknown>
      const keys = Object.keys(copy)
      const key = keys[step % (keys.length + 2)]
      if (key !== undefined) copy[key] = mutate(copy[key], rest, name, given)
      else if (Array.isArray(copy)) copy.push(given)
      else if (step % 2 === 0) copy[name] = given
      else Reflect.deleteProperty(copy, name)
      return copy
    }
    const base = fc.constantFrom<unknown>(usual, { 'a.test': [A, B], 'b.test': C })
    let alike = 0
    const steps = fc.array(fc.nat(12), { minLength: 1, maxLength: 5 })
    const change = fc.tuple(steps, names, entry)
    await fc.assert(
      fc.asyncProperty(
        base,
        fc.array(change, { minLength: 1, maxLength: 3 }),
        async (base, changes) => {
          const value = changes.reduce<unknown>(
            (value, [steps, name, given]) => mutate(value, steps, name, given),
            base,
          )
          if (await isReadAlike(JSON.stringify(value) ?? '')) alike += 1
        },
      ),
      { numRuns: 2000 },
    )
    expect(alike).toBeGreaterThan(100)
  })
})

test('every example of the manual is a policy file that both accept', () => {
  const manual = readFileSync(new URL('../../docs/policy-file.md', import.meta.url), 'utf8')
  const examples = codeBlocks(manual, 'json')
  expect(examples.length).toBe(5)
  for (const example of examples) {
    expect(PolicyFile.check(example, { caSets: 'current' })).toEqual([])
    expect(isValid(JSON.parse(example))).toBe(example.includes('version'))
  }
  const [printed = ''] = /^policy\.json:.*$/m.exec(manual) ?? []
  const misspelt = (examples[0] ?? '').replace('label', 'lable')
  expect(() => parsePolicy(misspelt, { file: 'policy.json' })).toThrow(printed)
})

describe('an error', () => {
  test('names file, line, column and JSON pointer, and has what the engine says of the pin', () => {
    const text = `{\n  "version": 1,\n  "hosts": {\n    "a.test": { "pins": ["${A}",\n      "sha256/AAAA"] }\n  }\n}\n`
    const place = { line: 5, column: 7, pointer: '/hosts/a.test/pins/1' }
    expect(() => parsePolicy(text, { file: 'policy.json' })).toThrow(
      expect.objectContaining({
        name: 'PolicyError',
        code: 'ERR_POLICY_INVALID_PIN',
        message: expect.stringMatching(
          /^policy\.json:5:7: \/hosts\/a\.test\/pins\/1: "sha256\/AAAA" is 3 bytes/,
        ),
        file: 'policy.json',
        pattern: 'a.test',
        index: 1,
        input: 'sha256/AAAA',
        ...place,
      }),
    )
    expect(() => parsePolicy(text)).toThrow(/^line 5, column 7: \/hosts/)
    expect(PolicyFile.check(text)).toEqual([expect.objectContaining(place)])
  })

  test.each([
    ['a comma that is missing', '{\n  "version": 1\n  "hosts": {}\n}', 3, 3, 'comma expected'],
    ['a comma too many', '{"version": 1,}', 1, 15, 'no JSON: '],
    ['a comment', '{\n// pins\n}', 2, 1, 'invalid comment token'],
    ['nothing', ' \n', 1, 1, 'the file is empty'],
    ['an end that is missing', '{"version": 1', 1, 14, 'close brace expected'],
    ['lists without end', '['.repeat(200_000), 1, 1, 'no JSON'],
    ['lists in lists', '['.repeat(200_000) + ']'.repeat(200_000), 1, 1, 'it is an array'],
  ])('of what is no policy (%s) has its place', (_name, text, line, column, message) => {
    expect(PolicyFile.check(text)[0]).toMatchObject({
      line,
      column,
      message: expect.stringContaining(message),
    })
  })

  test.each([
    [
      'a host',
      `{"version": 1, "hosts": {"a.test": ["${A}"], "a.test": ["${B}"]}}`,
      'ERR_POLICY_DUPLICATE_HOST',
      '/hosts/a.test',
    ],
    [
      'a host whose name is escaped',
      `{"version": 1, "hosts": {"a.test": ["${A}"], "\\u0061.test": ["${B}"]}}`,
      'ERR_POLICY_DUPLICATE_HOST',
      '/hosts/a.test',
    ],
    [
      'a host of a file without a version',
      `{"a.test": ["${A}"], "a.test": ["${B}"]}`,
      'ERR_POLICY_DUPLICATE_HOST',
      '/a.test',
    ],
    [
      'a member of a pin',
      `{"version": 1, "hosts": {"a.test": [{"pin": "${A}", "note": "\\":", "note": "b"}]}}`,
      'ERR_POLICY_INVALID_OPTION',
      '/hosts/a.test/0/note',
    ],
  ])('is made of %s that stands there twice', (_name, text, code, pointer) => {
    const [problem, ...more] = PolicyFile.check(text)
    expect(more).toEqual([])
    expect(problem).toMatchObject({ code, pointer, line: 1 })
    expect(problem?.message).toContain('stands there twice')
    const name = text.slice((problem?.column ?? 0) - 1).split(':')[0] ?? ''
    expect(JSON.parse(name)).toBe(pointer.split('/').at(-1))
    expect(problem?.column).toBe(text.lastIndexOf(name) + 1)
  })

  test('is told for each place that is wrong, in the order of the file', () => {
    const text = JSON.stringify(
      {
        version: 1,
        blocked: ['x'],
        hosts: { 'a.test': ['y', A], '*.com': [A], 'b.test': [A, 'z'] },
        environments: { one: {}, two: { hosts: { 'c.test': ['w'] } } },
      },
      null,
      2,
    )
    expect(PolicyFile.check(text).map(({ pointer }) => pointer)).toEqual([
      '/blocked/0',
      '/hosts/a.test/0',
      '/hosts/*.com',
      '/hosts/b.test/1',
      '/environments/two/hosts/c.test/0',
    ])
  })

  test('of a file that is not there is the system’s', async () => {
    await expect(Policy.fromFile(join(folder, 'none.json'))).rejects.toMatchObject({
      code: 'ENOENT',
    })
  })

  test('of a file that is no UTF-8 names the file', async () => {
    const path = join(folder, 'latin1.json')
    writeFileSync(path, Buffer.from([0x7b, 0xe9, 0x7d]))
    await expect(Policy.fromFile(path)).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID_OPTION',
      message: `${path}: no JSON: it is no UTF-8`,
      file: path,
    })
  })
})

describe('a policy of a file', () => {
  const text = JSON.stringify({
    version: 1,
    hosts: { '**.example.com': [A], 'open.example.com': { exclude: true } },
    environments: {
      staging: { hosts: { 'api.staging.test': [B] } },
      production: {
        unpinned: 'allow',
        hosts: { 'api.example.com': { pins: [{ pin: B, role: 'backup' }] } },
      },
    },
  })

  test('has the common pins and those of its environment, and no other’s', async () => {
    const path = join(folder, 'policy.json')
    writeFileSync(path, `\ufeff${text}`)
    for (const policy of [
      await Policy.fromFile(path, { environment: 'production' }),
      parsePolicy(text, { environment: 'production' }),
    ]) {
      expect(policy).toBeInstanceOf(Policy)
      expect(policy.lookup('api.example.com')).toEqual({
        patterns: expect.arrayContaining(['**.example.com', 'api.example.com']),
        pins: [A, B],
      })
      expect(policy.lookup('open.example.com').pins).toEqual([])
      expect(policy.lookup('api.staging.test').pins).toEqual([])
    }
  })

  test.each([
    [undefined, 'policy.json: it has environments: give one of "staging", "production"'],
    ['prodution', 'policy.json: it has no environment "prodution": did you mean "production"?'],
    ['elsewhere', 'policy.json: it has no environment "elsewhere": it has "staging", "production"'],
    ['__proto__', 'policy.json: it has no environment "__proto__"'],
  ])('is not guessed: environment %s', (environment, message) => {
    expect(() => parsePolicy(text, { file: 'policy.json', environment })).toThrow(
      expect.objectContaining({ option: 'environment', message: expect.stringContaining(message) }),
    )
  })

  test('needs hosts', () => {
    const empty = '{"version": 1, "environments": {"one": {}}}'
    const problem = { code: 'ERR_POLICY_EMPTY_PIN_SET', pointer: '/environments/one' }
    expect(() => parsePolicy(empty, { environment: 'one' })).toThrow(
      expect.objectContaining(problem),
    )
    expect(PolicyFile.check(empty)).toEqual([expect.objectContaining(problem)])
  })

  test('of a map of hosts and their pins is what Policy makes of the map', () => {
    const plain = {
      'a.test': A,
      'b.test': { pins: [B, C] },
      '**.c.test': [A],
      'd.c.test': { exclude: true },
    }
    const policy = parsePolicy(JSON.stringify(plain))
    for (const host of ['a.test', 'b.test', 'e.c.test', 'd.c.test'])
      expect(policy.lookup(host)).toEqual(new Policy(plain as never).lookup(host))
    const sets = new PolicyFile(JSON.stringify(plain)).in().sets
    expect([...sets.values()].map((of) => of.pins.map((pin) => pin.pointer))).toEqual([
      ['/a.test'],
      ['/b.test/pins/0', '/b.test/pins/1'],
      ['/**.c.test/0'],
      [],
    ])
  })

  test.each([
    [{ 'a.test': 1 }, '/a.test', 'it is a number'],
    [{ 'a.test': { pinz: A } }, '/a.test', 'unknown property "pinz": did you mean "pins"?'],
    [{ 'a.test': { pin: 'x' } }, '/a.test/0', '"x"'],
    [{ 'a.test': [A, 'x'] }, '/a.test/1', '"x"'],
    [{ 'a.test': { pins: ['x'] } }, '/a.test/pins/0', '"x"'],
    [{}, '', 'it has no hosts'],
  ])('of a map %j has its errors placed', (map, pointer, message) => {
    expect(() => parsePolicy(JSON.stringify(map))).toThrow(
      expect.objectContaining({ pointer, message: expect.stringContaining(message) }),
    )
  })

  test('holds: a pinned request goes through, one to another key does not', async () => {
    await using server = await startGenuine()
    const policyOf = (pin: string) =>
      parsePolicy(JSON.stringify({ version: 1, hosts: { [server.hostname]: [pin] } }))
    const options = { ca: server.ca, lookup: server.lookup }
    await using right = new Client({ ...options, pins: policyOf(server.leafPin) })
    expect((await right.get(server.url)).tls.matchedPin).toBe(server.leafPin)
    await using wrong = new Client({ ...options, pins: policyOf(A) })
    await expect(wrong.get(server.url)).rejects.toMatchObject({
      code: 'ERR_BAD_PIN',
      expectedPins: [A],
    })
  })
})

describe('what a file says', () => {
  test('is typed, with defaults for what it leaves out', () => {
    const policy = new PolicyFile(JSON.stringify(everything), { file: 'policy.json' }).in('staging')
    expect(policy).toMatchObject({ environment: 'staging', unpinned: 'warn' })
    expect(policy.blocked).toMatchObject([
      { pin: C, label: null, note: null, added: null, pointer: '/blocked/0' },
      {
        pin: C,
        label: 'leaked',
        note: 'lost in a train',
        added: new Date('2026-04-01'),
        pointer: '/blocked/1',
      },
    ])
    expect([...policy.sets.keys()]).toEqual([...Object.keys(everything.hosts), 'a.test'])
    expect(policy.sets.get('API.example.com')).toEqual({
      pattern: 'API.example.com',
      exclude: false,
      pins: [
        {
          pin: A,
          label: 'leaf of 2026',
          note: 'in the HSM',
          role: 'current',
          added: new Date('2026-01-31T07:00:00Z'),
          expires: new Date('2027-01-31'),
          at: 'leaf',
          caSet: null,
          pointer: '/hosts/API.example.com/pins/0',
        },
        expect.objectContaining({ pin: B, role: 'root', at: 'root', label: null, added: null }),
      ],
      mode: 'report',
      expires: { at: new Date('2028-02-29'), afterwards: 'refuse' },
      require: ['leaf', 'root'],
      trust: { ca: 'roots/own.pem' },
      note: 'the API',
      pointer: '/hosts/API.example.com',
    })
    expect(policy.sets.get('*.example.com')).toEqual({
      pattern: '*.example.com',
      exclude: false,
      pins: [expect.objectContaining({ pin: A, at: null }), expect.objectContaining({ pin: B })],
      mode: 'enforce',
      expires: null,
      require: 1,
      trust: 'ca',
      note: null,
      pointer: '/hosts/*.example.com',
    })
    expect(policy.sets.get('open.example.com')).toMatchObject({ exclude: true, pins: [] })
    expect(policy.sets.get('a.test')?.pointer).toBe('/environments/staging/hosts/a.test')
  })

  test('has each pin in its one form', () => {
    const spellings = [
      A,
      A.slice(7),
      `sha256//${A.slice(7)}`,
      `pin-sha256="${A.slice(7)}"`,
      '01'.repeat(32),
    ]
    const pins = new PolicyFile(JSON.stringify(set(spellings))).in().sets.get('a.test')?.pins
    expect(pins?.map((read) => read.pin)).toEqual(spellings.map(() => A))
  })

  test('can be found again in the file', () => {
    const written = new PolicyFile(
      JSON.stringify({ version: 1, hosts: { 'a.test': [A, { pin: B }] } }, null, 2),
    )
    expect(written.positionOf('/hosts/a.test/1/pin')).toEqual({ line: 7, column: 16 })
    expect(written.positionOf('/hosts/a.test')).toEqual({ line: 4, column: 15 })
    expect(written.positionOf('')).toEqual({ line: 1, column: 1 })
  })

  test('is all given to the engine', () => {
    const words = {
      mode: 'report',
      require: 1,
      trust: 'ca',
      expires: { at: '2027-01-01', then: 'refuse' },
    }
    const pins = [{ pin: A, at: 'leaf' }, B]
    const policy = new PolicyFile(
      JSON.stringify({ version: 1, hosts: { 'a.test': { pins, ...words, note: 'n' } } }),
    ).in()
    expect(policy.toPins()).toEqual([['a.test', { pins, ...words }]])
    expect(policy.toPolicy().lookup('a.test').pins).toEqual([A, B])
  })

  test('of hosts without pins is for the client to be told, or the policy’s', () => {
    const policy = new PolicyFile(JSON.stringify(file({ unpinned: 'refuse' }))).in()
    expect(policy.unpinned).toBe('refuse')
    expect(policy.toPins()).toEqual([['a.test', [A]]])
    expect(policy.toPolicy()).toBeInstanceOf(Policy)
  })

  test('of blocked pins is the policy’s alone', () => {
    const policy = new PolicyFile(JSON.stringify(file({ blocked: [B] })), { file: 'p.json' }).in()
    expect(() => policy.toPins()).toThrow(/^p\.json:1:\d+: \/blocked: .*use toPolicy\(\)/)
    expect(policy.toPolicy()).toBeInstanceOf(Policy)
  })

  test('of trust anchors is read from the policy file’s folder', () => {
    const value = { pins: [A], trust: { ca: 'none.pem' } }
    const name = join(folder, 'p.json')
    const text = JSON.stringify({ version: 1, hosts: { 'a.test': value } })
    const policy = new PolicyFile(text, { file: name }).in()
    expect(policy.lookup('a.test').pins).toEqual([A]) // what the file says can be looked at without them
    for (const use of [() => policy.toPins(), () => policy.toPolicy()])
      expect(use).toThrow(
        expect.objectContaining({
          code: 'ERR_POLICY_INVALID_CA',
          pointer: '/hosts/a.test/trust/ca',
          message: expect.stringContaining(join(folder, 'none.pem')),
        }),
      )
  })

  test('is text: anything else is the caller’s mistake', () => {
    expect(() => new PolicyFile(Buffer.from('{}') as never)).toThrow(TypeError)
    expect(() => parsePolicy(undefined as never)).toThrow(TypeError)
    expect(() => parsePolicy('{')).toThrow(PolicyError)
  })
})
