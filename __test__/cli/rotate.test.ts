import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { applyPatch } from 'diff'
import fc from 'fast-check'
import { PolicyFile } from 'pinfetch'
import { describe, expect, test } from 'vitest'
import { PolicyText } from '../../src/cli/rotate/edit.js'
import { replaceFile, rotate } from '../../src/cli/rotate/rotate.js'
import { type Endpoint, startGenuine } from '../testkit.js'
import { Command, refusalOf } from './command.js'

const command = new Command()
const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [A, B, C, N] = [pinOf(1), pinOf(2), pinOf(3), pinOf(9)]
const DATES = ['--from', '2026-03-01', '--until', '2026-04-01']

/** Writes a file that belongs to one test. */
function write(name: string, text: string): string {
  return command.file(name, text)
}

async function apply(
  text: string,
  ...args: string[]
): Promise<{ code: number | null; text: string; stderr: string }> {
  const file = write('policy.json', text)
  const { code, stderr } = await command.run(['rotate', 'apply', file, ...DATES, ...args])
  return { code, text: readFileSync(file, 'utf8'), stderr }
}

const versioned = `{
  "version": 1,
  "hosts": {
    "b.test": ["${C}"],

    "a.test": {
      "note": "ours",   "pins": [
        {
          "pin": "${A}",
          "role": "current"
        },
        { "pin": "${B}", "role": "backup", "label": "in the safe" }
      ]
    }
  }
}
`

test('a new key comes in beside the old one, which retires, and nothing else is touched', async () => {
  const ended = await apply(versioned, '--pattern', 'a.test', '--pin', N, '--label', 'a 2027')

  expect(ended).toMatchObject({ code: 0, stderr: '' })
  expect(ended.text).toBe(
    versioned
      .replace('"role": "current"', '"role": "retired",\n          "expires": "2026-04-01"')
      .replace(
        '"label": "in the safe" }',
        `"label": "in the safe" },\n        { "pin": "${N}", "label": "a 2027", "role": "current", "added": "2026-03-01" }`,
      ),
  )
})

test('a backup that comes into use is promoted, and that none is left is told', async () => {
  const ended = await apply(versioned, '--pattern', 'a.test', '--pin', B)

  expect(ended.code).toBe(0)
  expect(ended.text).toBe(
    versioned
      .replace('"role": "current"', '"role": "retired",\n          "expires": "2026-04-01"')
      .replace('"role": "backup"', '"role": "current"'),
  )
  expect(ended.stderr).toContain('a.test has no backup')
  expect(ended.stderr).toContain('pinfetch backup makes one')
})

test('a rotation that is taken back restores roles', async () => {
  const file = write('back.json', versioned)
  const run = (pin: string) =>
    command.run(['rotate', 'apply', file, ...DATES, '--pattern', 'a.test', '--pin', pin])
  await run(B)
  await run(A)
  const pins = new PolicyFile(readFileSync(file, 'utf8')).in().sets.get('a.test')?.pins
  expect(pins).toMatchObject([
    { pin: A, role: 'current', expires: null },
    { pin: B, role: 'retired', label: 'in the safe' },
  ])
})

test('plan shows the changes and a diff that can be applied, and writes nothing', async () => {
  const file = write('plan.json', versioned)
  const args = [file, ...DATES, '--pattern', 'a.test', '--pin', N]

  const planned = await command.run(['rotate', 'plan', ...args])

  expect(planned).toMatchObject({ code: 0, stderr: '' })
  expect(readFileSync(file, 'utf8')).toBe(versioned)
  const [changes = '', diff = ''] = planned.stdout.split('\n\n')
  expect(changes).toBe(
    `a.test\n  +  ${N}  current from 2026-03-01\n  ~  ${A}  retired until 2026-04-01`,
  )
  const dry = await command.run(['rotate', 'apply', '--dry-run', ...args])
  expect(dry).toEqual(planned)
  const applied = await command.run(['rotate', 'apply', ...args])
  expect(applied.stdout).toBe(planned.stdout)
  expect(applyPatch(versioned, diff)).toBe(readFileSync(file, 'utf8'))
})

test('what was applied is not applied again', async () => {
  const file = write('again.json', versioned)
  const args = ['rotate', 'apply', file, ...DATES, '--pattern', 'a.test', '--pin', N]
  await command.run(args)
  const text = readFileSync(file, 'utf8')

  const again = await command.run(args)

  expect(again).toEqual({ code: 0, stdout: '', stderr: `pinfetch: ${file}: nothing to do\n` })
  expect(readFileSync(file, 'utf8')).toBe(text)
})

test('that a signature is of the old file is told', async () => {
  const file = write('signed.json', versioned)
  write('signed.json.sig', '{}')
  const run = (step: string) =>
    command.run(['rotate', step, file, ...DATES, '--pattern', 'a.test', '--pin', N])

  expect(await run('plan')).toMatchObject({ code: 0, stderr: '' })
  expect(await run('apply')).toMatchObject({
    code: 0,
    stderr: `pinfetch: ${file}.sig is of what the file was: sign it again (pinfetch sign)\n`,
  })
})

test('--json tells the changes, the diff, and whether they were written', async () => {
  const file = write('json.json', versioned)
  const args = [file, ...DATES, '--pattern', 'a.test', '--pin', N, '--json']

  const planned = JSON.parse((await command.run(['rotate', 'plan', ...args])).stdout)
  const applied = JSON.parse((await command.run(['rotate', 'apply', ...args])).stdout)

  expect(planned).toMatchObject({
    file,
    written: false,
    changes: [
      { pattern: 'a.test', change: 'add', pin: N, role: 'current', date: '2026-03-01' },
      { pattern: 'a.test', change: 'retire', pin: A, role: 'retired', date: '2026-04-01' },
    ],
    diff: expect.stringContaining('@@'),
  })
  expect(applied).toEqual({ ...planned, written: true })
})

test('--replace names the pin that goes, in each set that has it', async () => {
  const text = JSON.stringify(
    {
      version: 1,
      hosts: { 'a.test': [A, B], 'b.test': [{ pin: A, label: 'old' }], 'c.test': [B] },
    },
    null,
    '\t',
  )
  const ended = await apply(text, '--replace', 'old', '--pin', N)

  expect(ended.code).toBe(0)
  const sets = new PolicyFile(ended.text).in().sets
  const told = [...sets].map(([pattern, { pins }]) => [
    pattern,
    pins.map(({ pin, role }) => [pin, role]),
  ])
  expect(told).toEqual([
    [
      'a.test',
      [
        [A, 'retired'],
        [B, null],
        [N, 'current'],
      ],
    ],
    [
      'b.test',
      [
        [A, 'retired'],
        [N, 'current'],
      ],
    ],
    ['c.test', [[B, null]]],
  ])
  expect(ended.text).not.toMatch(/^ /m)
})

test('byte order mark, tabs and line ends of a file stay', async () => {
  const text = `\ufeff${JSON.stringify({ version: 1, hosts: { 'a.test': [{ pin: A, role: 'current' }] } }, null, '\t')}\n`
  const ended = await apply(text.replaceAll('\n', '\r\n'), '--pattern', 'a.test', '--pin', N)

  const pins = [
    { pin: A, role: 'retired', expires: '2026-04-01' },
    { pin: N, role: 'current', added: '2026-03-01' },
  ]
  const after = `\ufeff${JSON.stringify({ version: 1, hosts: { 'a.test': pins } }, null, '\t')}\n`
  expect(ended).toMatchObject({ code: 0, text: after.replaceAll('\n', '\r\n') })
})

test('a set without roles says so, since nobody can tell which pin goes', async () => {
  const ended = await apply(
    `{"version":1,"hosts":{"a.test":["${A}","${B}"]}}`,
    '--pattern',
    'a.test',
    '--pin',
    N,
  )

  expect(ended.code).toBe(0)
  expect(ended.text).toBe(
    `{"version":1,"hosts":{"a.test":["${A}","${B}",{"pin":"${N}","role":"current","added":"2026-03-01"}]}}`,
  )
  expect(ended.stderr).toContain('name it with --replace')
})

test.each([
  ['a list', `{ "a.test": ["${A}"] }`, `{ "a.test": ["${A}", "${N}"] }`],
  ['a pin alone', `{ "a.test": "${A}" }`, `{ "a.test": ["${A}", "${N}"] }`],
  [
    'a set',
    `{ "a.test": { "pins": [\n"${A}"] } }`,
    `{ "a.test": { "pins": [\n"${A}",\n"${N}"] } }`,
  ],
])('a file without a version gets the pin alone: %s', async (_name, before, after) => {
  expect(await apply(before, '--pattern', 'a.test', '--pin', N)).toMatchObject({
    code: 0,
    text: after,
  })
})

test('the set of an environment changes, and no other', async () => {
  const hosts = (pin: string) => ({ 'a.test': [{ pin, role: 'current' }] })
  const text = JSON.stringify({
    version: 1,
    environments: { staging: { hosts: hosts(A) }, production: { hosts: hosts(B) } },
  })
  const ended = await apply(text, '--environment', 'production', '--pattern', 'A.test', '--pin', N)

  const file = new PolicyFile(ended.text)
  expect(file.in('staging').lookup('a.test').pins).toEqual([A])
  expect(file.in('production').lookup('a.test').pins.toSorted()).toEqual([B, N].toSorted())
})

/** A server, a policy file for it, and what is needed to reach it. */
async function arrange(name: string, server: Endpoint, pins: readonly object[]) {
  const file = write(
    name,
    `${JSON.stringify({ version: 1, hosts: { 'api.example.test': pins } }, null, 2)}\n`,
  )
  const ca = write(`${server.port}.pem`, server.ca)
  return { file, reach: ['--connect', `127.0.0.1:${server.port}`, '--ca', ca] }
}

const rolesIn = (file: string) =>
  new PolicyFile(readFileSync(file, 'utf8'))
    .in()
    .sets.get('api.example.test')
    ?.pins.map(({ pin, role }) => [pin, role])

test.each([
  ['leaf', 'leaf'],
  ['intermediate', 'a1'],
  ['root', 'rootA'],
] as const)('the new key is that of a server: its %s', async (place, role) => {
  await using server = await startGenuine()
  const { file, reach } = await arrange(`from-${place}.json`, server, [{ pin: A, role: 'current' }])

  const args = ['--pattern', 'api.example.test', '--server', 'api.example.test', '--take', place]
  const ended = await command.run(['rotate', 'apply', file, ...args, ...reach])

  expect(ended).toMatchObject({ code: 0 })
  expect(rolesIn(file)).toEqual([
    [A, 'retired'],
    [server.pki.certificates[role].pin, 'current'],
  ])
})

test('the new key is that of a file, and a file of several is refused', async () => {
  await using server = await startGenuine()
  const { leaf, nextLeaf, a1 } = server.pki.certificates
  const { file } = await arrange('from-file.json', server, [{ pin: A, role: 'current' }])
  const run = (name: string, content: string) =>
    command.run([
      'rotate',
      'apply',
      file,
      '--pattern',
      'api.example.test',
      '--file',
      write(name, content),
    ])

  const several = await run('chain.pem', leaf.pem + a1.pem)
  expect(several).toMatchObject({ code: 6, stdout: '' })
  expect(several.stderr).toContain('holds 2 keys: choose with --pin')
  const known = await run('both.pem', nextLeaf.pem + nextLeaf.spkiPem)
  expect(known).toMatchObject({ code: 0 })
  expect(known.stderr).toMatch(
    / is that of the certificate in .*both\.pem \(CN=api\.example\.test\)\n/,
  )
  expect(rolesIn(file)).toEqual([
    [A, 'retired'],
    [nextLeaf.pin, 'current'],
  ])
})

test('finish refuses while the old key is served, and takes it out afterwards', async () => {
  await using server = await startGenuine()
  const { leaf, nextLeaf } = server.pki.certificates
  const { file, reach } = await arrange('finish.json', server, [
    { pin: leaf.pin, role: 'retired', label: 'old' },
    { pin: nextLeaf.pin, role: 'current' },
    { pin: B, role: 'backup' },
  ])
  const before = readFileSync(file, 'utf8')

  const refused = await command.run(['rotate', 'finish', file, ...reach])

  expect(refused).toMatchObject({ code: 7 })
  expect(refused.stdout).toBe(
    'api.example.test:443: still served: the end entity CN=api.example.test has old\n',
  )
  expect(refused.stderr).toContain('nothing was written')
  expect(readFileSync(file, 'utf8')).toBe(before)

  await using missed = await startGenuine({ pki: server.pki }) // a machine with the old certificate still
  await server.present(['nextLeaf', 'a1'])
  const partly = await command.run([
    ...['rotate', 'finish', file, ...reach],
    ...['--connect', `127.0.0.1:${missed.port}`],
  ])
  expect(partly).toMatchObject({ code: 7 })
  expect(partly.stdout).toMatch(
    new RegExp(`^api.example.test:443 \\(127.0.0.1:${missed.port}\\): still served: .*\n$`),
  )
  expect(readFileSync(file, 'utf8')).toBe(before)
  const dry = await command.run(['rotate', 'finish', '--dry-run', file, ...reach])
  expect(dry).toMatchObject({ code: 0 })
  expect(readFileSync(file, 'utf8')).toBe(before)
  const done = await command.run(['rotate', 'finish', file, ...reach])
  expect(done).toMatchObject({
    code: 0,
    stderr: 'pinfetch: 1 host asked: nothing is served with the old pins\n',
  })
  expect(done.stdout).toMatch(
    new RegExp(
      `^api.example.test\n  -  ${leaf.pin.replace(/\+/g, '\\+')}  retired goes  old\n\n---`,
    ),
  )
  expect(rolesIn(file)).toEqual([
    [nextLeaf.pin, 'current'],
    [B, 'backup'],
  ])
  expect(await command.run(['rotate', 'finish', file, ...reach])).toMatchObject({
    code: 0,
    stderr: `pinfetch: ${file}: nothing to do\n`,
  })
})

test('finish refuses what would cut a host off, and what it cannot see', async () => {
  await using server = await startGenuine({ names: ['api.example.test', 'b.test'] })
  const text = JSON.stringify({
    version: 1,
    hosts: {
      'api.example.test': [A, B],
      'b.test': [A, server.leafPin],
      'c.test': [server.leafPin],
    },
  })
  const file = write('objections.json', text)
  const reach = [
    '--connect',
    `127.0.0.1:${server.port}`,
    '--ca',
    write('objections.pem', server.ca),
  ]
  const finish = (...more: string[]) =>
    command.run(['rotate', 'finish', file, '--pin', A, ...reach, ...more])

  const cut = await finish()
  expect(cut).toMatchObject({ code: 5 })
  expect(cut.stdout).toMatch(/^api\.example\.test:443: would have a bad pin: .*\n$/)
  const unseen = await finish('--pattern', 'b.test', '--connect', 'b.test=127.0.0.1:1', '--json')
  expect(unseen).toMatchObject({ code: 3 })
  expect(JSON.parse(unseen.stdout)).toMatchObject({
    written: false,
    objections: [{ authority: 'b.test:443', via: 'direct', reason: 'unseen' }],
  })
  expect(readFileSync(file, 'utf8')).toBe(text)
  expect(await finish('--pattern', 'b.test')).toMatchObject({ code: 0 })
  expect(readFileSync(file, 'utf8')).toBe(text.replace(`"b.test":["${A}",`, '"b.test":['))
})

test('a pin that another set has may go while it is served', async () => {
  await using server = await startGenuine()
  const hosts = { 'api.example.test': [server.leafPin, A], '**.example.test': [server.leafPin] }
  const file = write('twice.json', JSON.stringify(hosts))
  const reach = ['--connect', `127.0.0.1:${server.port}`, '--ca', write('twice.pem', server.ca)]

  const args = ['--pin', server.leafPin, '--pattern', 'api.example.test', ...reach]
  expect(await command.run(['rotate', 'finish', file, ...args])).toMatchObject({ code: 0 })
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ ...hosts, 'api.example.test': [A] })
})

test('finish asks the hosts of a wildcard that are named, and refuses without any', async () => {
  await using server = await startGenuine({ names: ['a.x.test'] })
  const file = write('wildcard.json', JSON.stringify({ '*.x.test': [server.leafPin, A] }))
  const reach = ['--connect', `127.0.0.1:${server.port}`, '--ca', write('wildcard.pem', server.ca)]
  const finish = (...more: string[]) =>
    command.run(['rotate', 'finish', file, '--pin', A, ...reach, ...more])

  const unnamed = await finish()
  expect(unnamed).toMatchObject({ code: 2, stdout: '' })
  expect(unnamed.stderr).toContain('*.x.test is a wildcard')
  expect(await finish('--host', 'a.x.test')).toMatchObject({ code: 0 })
  expect(readFileSync(file, 'utf8')).toBe(JSON.stringify({ '*.x.test': [server.leafPin] }))
})

test.each([
  ['no step', [], 'give plan, apply or finish'],
  ['an unknown step', ['undo', 'F'], '"undo" is no step'],
  ['no file', ['plan'], 'give a policy file'],
  ['no pattern', ['plan', 'F', '--pin', N], 'give the host patterns'],
  [
    'a pattern that the file has not',
    ['plan', 'F', '--pin', N, '--pattern', 'x.test'],
    'no host pattern x.test',
  ],
  ['an exclusion', ['plan', 'F', '--pin', N, '--pattern', 'c.test'], 'is an exclusion'],
  ['a pin that no set has', ['plan', 'F', '--pin', N, '--replace', N], 'no set of the file'],
  ['a pin to replace that is none', ['plan', 'F', '--pin', N, '--replace', 'lost'], '--replace'],
  ['no new key', ['plan', 'F', '--pattern', 'a.test'], 'give the new key'],
  ['a pin that is none', ['plan', 'F', '--pattern', 'a.test', '--pin', 'x'], '--pin'],
  [
    'a role that is none',
    ['plan', 'F', '--pattern', 'a.test', '--pin', N, '--role', 'retired'],
    '--role',
  ],
  ['a place without a server', ['plan', 'F', '--pattern', 'a.test', '--take', 'root'], '--take'],
  [
    'a place that is none',
    ['plan', 'F', '--pattern', 'a.test', '--server', 'a.test', '--take', 'top'],
    '--take',
  ],
  [
    'dates that run backwards',
    [
      'plan',
      'F',
      '--pattern',
      'a.test',
      '--pin',
      N,
      '--from',
      '2027-01-02',
      '--until',
      '2027-01-01',
    ],
    '--until',
  ],
  [
    'a date that is none',
    ['plan', 'F', '--pattern', 'a.test', '--pin', N, '--from', 'soon'],
    '--from',
  ],
  ['hosts to ask before the end', ['apply', 'F', '--host', 'a.test'], 'it has no --host'],
  ['a new key at the end', ['finish', 'F', '--server', 'a.test'], 'it has no --server'],
  ['the last pin', ['finish', 'F', '--pin', C], 'would have no pin left'],
])('the command line is refused, and the file left alone: %s', async (_name, args, told) => {
  const text = JSON.stringify({
    version: 1,
    hosts: { 'a.test': [A, B], 'b.test': [C], 'c.test': { exclude: true } },
  })
  const file = write('refused.json', text)

  const given = args.map((arg) => (arg === 'F' ? file : arg))
  expect(await refusalOf(() => rotate(given))).toContain(told)
  expect(readFileSync(file, 'utf8')).toBe(text)
})

test('a named set of roots retires and goes as one', async () => {
  const text = JSON.stringify({
    version: 1,
    hosts: { 'a.test': [{ pin: 'ca:letsencrypt', role: 'root' }, A] },
  })
  const file = write('named.json', text)
  expect(await command.run(['lock', file])).toMatchObject({ code: 0 })
  const [root = ''] =
    (await PolicyFile.read(file))
      .in()
      .sets.get('a.test')
      ?.pins.map(({ pin }) => pin) ?? []
  const run = (step: string, ...more: string[]) => command.run(['rotate', step, file, ...more])

  const partly = await run('finish', '--pin', root)
  expect(partly).toMatchObject({ code: 2, stdout: '' })
  expect(partly.stderr).toContain('is one of ca:letsencrypt')
  const applied = await run('apply', ...DATES, '--pin', N, '--pattern', 'a.test', '--replace', root)
  expect(applied).toMatchObject({ code: 0 })
  expect(JSON.parse(readFileSync(file, 'utf8')).hosts['a.test']).toEqual([
    { pin: 'ca:letsencrypt', role: 'retired', expires: '2026-04-01' },
    A,
    { pin: N, role: 'current', added: '2026-03-01' },
  ])
})

describe('a file is replaced', () => {
  test('whole, with its mode, through a link that stays one, and nothing is left beside it', async () => {
    const folder = command.path('replaced')
    mkdirSync(folder)
    const [real, link] = [join(folder, 'real.json'), join(folder, 'link.json')]
    writeFileSync(real, 'old')
    chmodSync(real, 0o640)
    symlinkSync(real, link)

    await replaceFile(link, Buffer.from('old'), 'new')

    expect(readFileSync(real, 'utf8')).toBe('new')
    expect(statSync(real).mode & 0o777).toBe(0o640)
    expect(lstatSync(link).isSymbolicLink()).toBe(true)
    expect(readdirSync(folder)).toEqual(['link.json', 'real.json'])
  })

  test('only while it is what it was', async () => {
    const folder = command.path('changed')
    mkdirSync(folder)
    const file = join(folder, 'policy.json')
    writeFileSync(file, "somebody else's")

    await expect(replaceFile(file, Buffer.from('old'), 'new')).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: `${file}: has changed meanwhile: nothing was written`,
    })
    expect(readFileSync(file, 'utf8')).toBe("somebody else's")
    expect(readdirSync(folder)).toEqual(['policy.json'])
  })
})

describe('edits', () => {
  const style = fc.record({
    indent: fc.constantFrom(0, 2, 4, '\t'),
    lineEnd: fc.constantFrom('\n', '\r\n'),
    mark: fc.constantFrom('', '\ufeff'),
    end: fc.constantFrom('', '\n'),
  })
  const pin = fc.oneof(
    fc.constantFrom(A, B, C),
    fc.record({ pin: fc.constantFrom(A, B, C), label: fc.string() }),
    fc.record({ pin: fc.constantFrom(A, B, C), role: fc.constant('current'), note: fc.string() }),
  )
  const list = fc.array(pin, { minLength: 1, maxLength: 4 })

  /** `value` in a style. */
  const textOf = (
    value: unknown,
    {
      indent,
      lineEnd,
      mark,
      end,
    }: { indent: number | string; lineEnd: string; mark: string; end: string },
  ) => mark + (JSON.stringify(value, null, indent) + end).replaceAll('\n', lineEnd)
  const read = (text: PolicyText) => JSON.parse(String(text).replace('\ufeff', ''))

  test('say what they shall, in the style of the file, and undo to the byte', () => {
    fc.assert(
      fc.property(list, style, fc.boolean(), (pins, how, isObject) => {
        const before = textOf({ version: 1, hosts: { 'a.test': { pins, note: 'x' } } }, how)
        const text = new PolicyText(before)
        const path = ['hosts', 'a.test', 'pins']
        const item = isObject ? { pin: N, role: 'backup' } : N
        text.append(path, item)
        expect(read(text).hosts['a.test']).toEqual({ pins: [...pins, item], note: 'x' })
        if (how.indent === 0) expect(String(text)).toBe(textOf(read(text), how))
        if (how.lineEnd === '\r\n') expect(String(text)).not.toMatch(/[^\r]\n/)
        text.remove([...path, pins.length])
        expect(String(text)).toBe(before)
      }),
    )
  })

  test('give a pin its members and keep its others', () => {
    fc.assert(
      fc.property(list, style, (pins, how) => {
        const text = new PolicyText(textOf({ version: 1, hosts: { 'a.test': pins } }, how))
        for (const index of pins.keys())
          text.set(['hosts', 'a.test', index], { role: 'retired', expires: '2026-01-01' })
        const expected = pins.map((of) => ({
          ...(typeof of === 'string' ? { pin: of } : of),
          role: 'retired',
          expires: '2026-01-01',
        }))
        expect(read(text).hosts['a.test']).toEqual(expected)
      }),
    )
  })

  test('take any item but the last one out', () => {
    fc.assert(
      fc.property(list, style, fc.nat(), (pins, how, at) => {
        const text = new PolicyText(textOf({ version: 1, hosts: { 'a.test': pins } }, how))
        const index = at % pins.length
        const remove = () => text.remove(['hosts', 'a.test', index])
        if (pins.length === 1) {
          expect(remove).toThrow('the last item')
          return
        }
        remove()
        expect(String(text)).toBe(
          textOf({ version: 1, hosts: { 'a.test': pins.toSpliced(index, 1) } }, how),
        )
      }),
    )
  })
})
