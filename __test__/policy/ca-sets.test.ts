import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import {
  type CaSetLock,
  Client,
  caSets,
  lockCaSets,
  Policy,
  PolicyFile,
  parsePolicy,
  policyLookup,
  versions,
} from '../../src/index.js'
import { builtInAnchors } from '../../src/native.js'
import { codeBlocks, Examples, root } from '../examples.js'
import { sharedKit, standardPki } from '../testkit.js'

const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [A, B, C] = [pinOf(1), pinOf(2), pinOf(3)]
const ISRG_X1 = 'sha256/C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M='
const setOf = (name: string) => caSets().sets.find((set) => set.name === name)?.pins ?? []
const subjectsOf = (name: string) => setOf(name).map(({ subject }) => subject.split(',')[0])
const pinsOf = (name: string) => setOf(name).map(({ pin }) => pin)

const folder = mkdtempSync(join(tmpdir(), 'pinfetch-ca-sets-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
/** Writes a policy file, and its lock if there is one; returns its path. */
function write(file: unknown, lock?: unknown): string {
  const path = join(folder, `policy-${files++}.json`)
  writeFileSync(path, JSON.stringify(file))
  if (lock !== undefined) writeFileSync(PolicyFile.lockNameOf(path), JSON.stringify(lock))
  return path
}

const lock: CaSetLock = {
  version: 1,
  roots: 'webpki-roots 1.0.0',
  caSets: { letsencrypt: { [A]: 'CN=Old Root', [ISRG_X1]: 'CN=ISRG Root X1' } },
}

describe('the sets', () => {
  const { version, anchors } = builtInAnchors()
  const known = new Map(anchors.map(({ pin, subject }) => [pin, subject]))

  test.each(caSets().sets)('$name has roots, all of them built in', ({ name, title, pins }) => {
    expect(name).toMatch(/^[a-z0-9-]+$/)
    expect(title).not.toBe('')
    expect(pins.length).toBeGreaterThan(0)
    for (const { pin, subject } of pins) expect(known.get(pin)).toBe(subject)
  })

  test('say what they are made of', () => {
    expect(caSets().roots).toBe(version)
    expect(versions().roots).toBe(version)
    expect(version).toMatch(/^webpki-roots \d+\.\d+\.\d+$/)
  })

  test('have no root in common', () => {
    const all = caSets().sets.flatMap(({ pins }) => pins.map(({ pin }) => pin))
    expect(new Set(all).size).toBe(all.length)
  })

  test.each([
    ['letsencrypt', ['CN=ISRG Root X1', 'CN=ISRG Root X2']],
    ['google', ['CN=GTS Root R1', 'CN=GTS Root R4', 'CN=GlobalSign']],
    ['amazon', ['CN=Amazon Root CA 1', 'CN=Starfield Services Root Certificate Authority - G2']],
    ['digicert', ['CN=DigiCert Global Root G2', 'CN=DigiCert TLS ECC P384 Root G5']],
    ['sectigo', ['CN=USERTrust RSA Certification Authority']],
    ['globalsign', ['CN=GlobalSign Root R46', 'CN=GlobalSign']],
    ['godaddy', ['CN=Go Daddy Root Certificate Authority - G2']],
  ])('%s has its best known roots', (name, subjects) => {
    expect(subjectsOf(name)).toEqual(expect.arrayContaining(subjects))
  })

  test("a root goes to whom it belongs, whatever it's called", () => {
    const [r4] = setOf('google').filter(({ subject }) => subject.startsWith('CN=GlobalSign,'))
    expect(r4?.subject).toContain('OU=GlobalSign ECC Root CA - R4')
    expect(pinsOf('globalsign')).not.toContain(r4?.pin)
    expect(subjectsOf('godaddy')).not.toContain(
      'CN=Starfield Services Root Certificate Authority - G2',
    )
  })
})

describe('in a program', () => {
  test('a set stands for its pins, wherever a pin may stand', () => {
    const { sets } = caSets()
    for (const pins of ['ca:letsencrypt', ['ca:letsencrypt'], { pins: ['ca:letsencrypt'] }]) {
      const policy = new Policy({ 'a.test': pins }, { caSets: 'current' })
      expect(policy.lookup('a.test').pins.toSorted()).toEqual(pinsOf('letsencrypt').toSorted())
    }
    const policy = new Policy({ 'a.test': [A, 'ca:amazon', B, 'ca:google'] }, { caSets: 'current' })
    const all = [A, B, ...pinsOf('amazon'), ...pinsOf('google')]
    expect(new Set(policy.lookup('a.test').pins)).toEqual(new Set(all))
    expect(sets.length).toBeGreaterThan(10)
  })

  test('a set may stand among blocked pins, and have a place on the path', () => {
    const blocked = (caSet: string) =>
      new Policy({ 'a.test': [ISRG_X1] }, { caSets: 'current', blocked: [A, caSet] })
    blocked('ca:amazon')
    expect(() => blocked('ca:amzon')).toThrow('did you mean "ca:amazon"?')
    const pins = [{ pin: 'ca:letsencrypt', at: 'root' } as const, B]
    const policy = new Policy({ 'a.test': pins }, { caSets: 'current' })
    expect(new Set(policy.lookup('a.test').pins)).toEqual(new Set([...pinsOf('letsencrypt'), B]))
  })

  test('a lock stands for what it says', () => {
    const policy = new Policy({ 'a.test': ['ca:letsencrypt'] }, { caSets: lock })
    expect(new Set(policy.lookup('a.test').pins)).toEqual(new Set([A, ISRG_X1]))
  })

  test('a lock is read once', () => {
    const own = structuredClone(lock) as { caSets: Record<string, Record<string, string>> }
    const policy = new Policy({ 'a.test': ['ca:letsencrypt'] }, { caSets: own as never })
    own.caSets.letsencrypt = { [B]: 'CN=Another' }
    expect(policy.lookup('a.test').pins).not.toContain(B)
  })

  test('nobody gets a set without saying as of when', () => {
    const pins = { 'a.test': [A, 'ca:letsencrypt'] }
    const refused = expect.objectContaining({
      code: 'ERR_POLICY_CA_SET',
      pattern: 'a.test',
      index: 1,
      message: expect.stringMatching(/^pins\["a\.test"\]\[1\] "ca:letsencrypt" is a set .*caSets/),
    })
    expect(() => new Client({ pins })).toThrow(refused)
    expect(() => new Policy(pins)).toThrow(refused)
    expect(() => policyLookup(pins, 'a.test')).toThrow(refused)
    expect(new Policy(pins, { caSets: 'current' }).lookup('a.test').pins).toContain(A)
  })

  test.each([
    ['ca:letsencript', 'did you mean "ca:letsencrypt"?'],
    ['ca:amzon', 'did you mean "ca:amazon"?'],
    ['ca:', 'there are actalis, amazon'],
    ['ca:nobody-at-all', 'there are actalis, amazon'],
    ['ca:constructor', 'there are actalis, amazon'],
  ])('%s is no set', (name, mend) => {
    for (const caSets of ['current', lock, undefined] as const)
      expect(() => new Policy({ 'a.test': [name] }, { caSets })).toThrow(
        expect.objectContaining({
          code: 'ERR_POLICY_CA_SET',
          message: expect.stringContaining(mend),
        }),
      )
  })

  test('a pin after a set keeps its index', () => {
    expect(
      () => new Policy({ 'a.test': ['ca:amazon', A, 'sha256/x'] }, { caSets: 'current' }),
    ).toThrow(expect.objectContaining({ code: 'ERR_POLICY_INVALID_PIN', index: 2 }))
  })

  test.each([
    [{ caSet: 'current' }, 'did you mean caSets?'],
    [{ caSets: 'latest' }, 'it is a string'],
    [{ caSets: { ...lock, version: 2 } }, 'the version of a lock is 1'],
    [{ caSets: { ...lock, more: 1 } }, 'no member "more"'],
    [{ caSets: { ...lock, caSets: { amazon: {} } } }, 'caSets.amazon has no pin'],
    [{ caSets: { ...lock, caSets: { amazon: { x: 'CN=A' } } } }, '"x", which is no pin'],
    [{ caSets: { ...lock, caSets: { amazon: [A] } } }, 'caSets.amazon is an array'],
    [{ caSets: { ...lock, caSets: { amazon: { [A]: 1 } } } }, 'is a number: give a text'],
  ])('refuses the options %j', (options, message) => {
    expect(() => new Policy({ 'a.test': [A] }, options as never)).toThrow(
      expect.objectContaining({
        code: 'ERR_POLICY_INVALID_OPTION',
        message: expect.stringContaining(message),
      }),
    )
  })
})

describe('in a policy file', () => {
  const file = {
    version: 1,
    blocked: ['ca:sectigo'],
    hosts: {
      'a.test': { pins: [{ pin: 'ca:letsencrypt', label: 'any of theirs', role: 'root' }, B] },
    },
    environments: { one: { hosts: { 'b.test': [C, 'ca:amazon'] } }, two: {} },
  }

  test('a set is refused without a lock, at its place, and the message says what to do', async () => {
    const path = write({ version: 1, hosts: { 'a.test': [B, 'ca:letsencrypt'] } })
    await expect(Policy.fromFile(path)).rejects.toMatchObject({
      code: 'ERR_POLICY_CA_SET',
      pointer: '/hosts/a.test/1',
      line: 1,
      message: expect.stringContaining(`pinfetch lock ${path}`),
    })
    expect(PolicyFile.check(JSON.stringify(file))).toMatchObject([
      { code: 'ERR_POLICY_CA_SET', pointer: '/blocked/0' },
      { code: 'ERR_POLICY_CA_SET', pointer: '/hosts/a.test/pins/0' },
      { code: 'ERR_POLICY_CA_SET', pointer: '/environments/one/hosts/b.test/1' },
    ])
  })

  test('with a lock, its pins hold, whatever this version has', async () => {
    const policy = await Policy.fromFile(write({ 'a.test': ['ca:letsencrypt', B] }, lock))
    expect(new Set(policy.lookup('a.test').pins)).toEqual(new Set([A, ISRG_X1, B]))
  })

  test('a set that the lock does not have is refused', async () => {
    const path = write({ 'a.test': ['ca:letsencrypt', 'ca:amazon'] }, lock)
    await expect(Policy.fromFile(path)).rejects.toMatchObject({
      code: 'ERR_POLICY_CA_SET',
      pointer: '/a.test/1',
      message: expect.stringContaining('is not in the lock: pinfetch lock'),
    })
  })

  test.each([
    ['{', 'no JSON'],
    ['[]', 'it is an array'],
    ['{"version": 1, "roots": "x", "caSets": {"amazon": {}}}', 'caSets.amazon has no pin'],
  ])('the lock %s is refused by its name', async (text, message) => {
    const path = write({ 'a.test': ['ca:letsencrypt'] })
    const name = PolicyFile.lockNameOf(path)
    writeFileSync(name, text)
    await expect(Policy.fromFile(path)).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID_OPTION',
      file: name,
      message: expect.stringMatching(new RegExp(`${name}: .*${message}`)),
    })
    // the control: a file without sets has no need of its lock
    writeFileSync(path, JSON.stringify({ 'a.test': [A] }))
    expect((await Policy.fromFile(path)).lookup('a.test').pins).toEqual([A])
  })

  test('its sets are told with their pins, and where they stand', async () => {
    const all = lockCaSets(['letsencrypt', 'amazon', 'sectigo'], lock)
    const read = await PolicyFile.read(write(file, all))
    expect(read.caSets).toEqual(new Set(['letsencrypt', 'amazon', 'sectigo']))
    const policy = read.in('one')
    const facts = { caSet: 'letsencrypt', label: 'any of theirs', role: 'root' }
    expect(policy.sets.get('a.test')?.pins).toMatchObject([
      { pin: A, ...facts, pointer: '/hosts/a.test/pins/0' },
      { pin: ISRG_X1, ...facts, pointer: '/hosts/a.test/pins/0' },
      { pin: B, caSet: null, pointer: '/hosts/a.test/pins/1' },
    ])
    expect(policy.blocked.map(({ pin }) => pin)).toEqual(pinsOf('sectigo'))
    expect(new Set(policy.lookup('b.test').pins)).toEqual(new Set([C, ...pinsOf('amazon')]))
  })

  test('where a lock and this version differ is told', async () => {
    const read = await PolicyFile.read(write({ 'a.test': ['ca:letsencrypt'] }, lock))
    expect(read.caSetChanges).toMatchObject([
      { name: 'letsencrypt', added: [{ subject: expect.stringContaining('CN=ISRG Root X2') }] },
    ])
    expect(read.caSetChanges[0]?.removed).toEqual([{ pin: A, subject: 'CN=Old Root' }])
    const now = await PolicyFile.read(
      write({ 'a.test': ['ca:letsencrypt'] }, lockCaSets(['letsencrypt'])),
    )
    expect(now.caSetChanges).toEqual([])
  })

  test('a text takes the lock as an option', () => {
    const text = JSON.stringify({ 'a.test': ['ca:letsencrypt'] })
    expect(() => parsePolicy(text)).toThrow('pinfetch lock')
    expect(parsePolicy(text, { caSets: lock }).lookup('a.test').pins).toContain(A)
    expect(parsePolicy(text, { caSets: 'current' }).lookup('a.test').pins).toContain(ISRG_X1)
  })

  test('as many pins may be demanded as a set may have', () => {
    const text = JSON.stringify({
      version: 1,
      hosts: { 'a.test': { pins: ['ca:letsencrypt'], require: 2 } },
    })
    expect(PolicyFile.check(text, { caSets: 'current' })).toEqual([])
    expect(PolicyFile.check(text.replace('ca:letsencrypt', A))).toMatchObject([
      { pointer: '/hosts/a.test/require' },
    ])
  })
})

test('the example of the manual makes a policy of current sets, and of a lock', async () => {
  const manual = readFileSync(join(root, 'docs', 'policy.md'), 'utf8')
  const [source = '', ...others] = codeBlocks(manual, 'js').filter((block) =>
    block.includes('caSets'),
  )
  expect(others).toEqual([])
  const path = join(folder, 'manual.lock.json')
  writeFileSync(path, JSON.stringify(lock))
  const { ca } = await standardPki(sharedKit())
  const examples = new Examples(ca, 443, [["'policy.lock.json'", JSON.stringify(path)]])
  try {
    const asked = "console.log(locked.lookup('api.example.com:443').pins.length)"
    expect(await examples.run(`${source}${asked}\n`)).toBe('2\n')
  } finally {
    examples.remove()
  }
})
