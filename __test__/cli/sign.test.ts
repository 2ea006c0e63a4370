import { generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { lockCaSets, Policy } from '../../src/index.js'
import { Command } from './command.js'

const command = new Command()
const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const policy = (...pins: string[]) => JSON.stringify({ version: 1, hosts: { 'a.test': pins } })
const named = ['--name', 'orders/production']
const name = 'orders/production'
const [A, B] = [pinOf(1), pinOf(2)]

const [ours, theirs] = [0, 1].map(() => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return {
    pub: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    locked: privateKey
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'hunter2' })
      .toString(),
  }
}) as [Keys, Keys]
interface Keys {
  pub: string
  key: string
  locked: string
}

let key = ''
let pub = ''
let otherKey = ''
let otherPub = ''
beforeAll(() => {
  key = command.file('ours.pem', ours.key)
  pub = command.file('ours.pub.pem', ours.pub)
  otherKey = command.file('theirs.pem', theirs.key)
  otherPub = command.file('theirs.pub.pem', theirs.pub)
})
const signatureOf = (path: string) => JSON.parse(readFileSync(`${path}.sig`, 'utf8'))

test('signs a file, each time with a higher version, and checks it', async () => {
  const path = command.file('one.json', policy(A))
  const made = await command.run(['sign', ...named, '--key', key, path])
  expect(made).toMatchObject({ code: 0, stderr: '' })
  expect(made.stdout).toMatch(
    /one\.json\.sig: orders\/production, version 1, until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n {2}sha256\/\S{44}\n$/,
  )
  const { expires } = signatureOf(path)
  const days = (Date.parse(expires) - Date.now()) / 86_400_000
  expect(days).toBeGreaterThan(89.9)
  expect(days).toBeLessThan(90.1)
  await Policy.fromFile(path, { verify: { keys: ours.pub, name } })

  command.file('one.json', policy(A, B))
  const checked = ['sign', ...named, '--check', '--public-key', pub, path]
  expect(await command.run(checked)).toMatchObject({
    code: 6,
    stdout: '',
    stderr: expect.stringContaining('(ERR_POLICY_SIGNATURE)'),
  })
  const json = await command.run([
    'sign',
    ...named,
    '--json',
    '--key',
    key,
    '--expires',
    '2099-01-01',
    path,
  ])
  expect(JSON.parse(json.stdout)).toEqual({
    file: `${path}.sig`,
    name,
    version: 2,
    expires: '2099-01-01',
    keys: [expect.stringMatching(/^sha256\//)],
  })
  expect(await command.run(checked)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('orders/production, version 2, until 2099-01-01T00:00:00.000Z'),
  })
})

test('several sign one after the other', async () => {
  const path = command.file('both.json', policy(A))
  const both = ['--public-key', pub, '--public-key', otherPub, '--threshold', '2']
  await command.run(['sign', ...named, '--key', key, '--version', '7', path])
  expect((await command.run(['sign', ...named, '--check', ...both, path])).code).toBe(6)
  const add = ['sign', ...named, '--add', '--key', otherKey, path]
  const before = readFileSync(`${path}.sig`, 'utf8')
  const { expires } = signatureOf(path)
  // anybody may have written what is there
  for (const [more, message] of [
    [[], `says version 7, until ${expires}, and no key at hand has signed that`],
    [['--public-key', otherPub], 'no key at hand has signed that'],
    [['--version', '7'], 'no key at hand has signed that'],
    [['--version', '8', '--expires', expires], 'is of the version 7, and --version is 8'],
    [['--public-key', pub, '--expires', '2099-01-01'], 'and --expires is 2099-01-01'],
    [['--public-key', pub, '--days', '9'], '--add keeps the end'],
  ] as const)
    expect(await command.run([...add, ...more])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining(message),
    })
  expect(await command.run([...add, '--public-key', key])).toMatchObject({
    code: 6,
    stderr: expect.stringContaining(`${key}: keys[0] is no public key`),
  })
  command.file('both.json', policy(A, B))
  expect(await command.run([...add, '--public-key', pub])).toMatchObject({
    code: 6,
    stderr: expect.stringContaining('sign it anew, without --add'),
  })
  command.file('both.json', policy(A))
  expect(readFileSync(`${path}.sig`, 'utf8')).toBe(before)
  expect((await command.run([...add, '--version', '7', '--expires', expires])).code).toBe(0)
  writeFileSync(`${path}.sig`, before)
  expect((await command.run([...add, '--public-key', pub])).code).toBe(0)
  expect(signatureOf(path)).toMatchObject({ version: 7, signatures: [{}, {}] })
  expect((await command.run(['sign', ...named, '--check', ...both, path])).code).toBe(0)
  await command.run(['sign', ...named, '--add', '--key', otherKey, path])
  expect(signatureOf(path).signatures).toHaveLength(2)
})

test('signs a policy under its name, and checks that it is that one', async () => {
  const path = command.file('named.json', policy(A))
  const staging = ['--name', 'orders/staging']
  await command.run(['sign', ...staging, '--key', key, path])
  const check = ['--check', '--public-key', pub, path]
  expect(await command.run(['sign', ...named, ...check])).toMatchObject({
    code: 6,
    stderr: expect.stringContaining('is of the policy "orders/staging"'),
  })
  expect((await command.run(['sign', ...staging, ...check])).code).toBe(0)
  expect(
    await command.run(['sign', ...staging, '--check', '--public-key', key, path]),
  ).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('a public key: verify.keys[0] is no public key'),
  })
  expect(await command.run(['sign', ...named, '--add', '--key', otherKey, path])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('is of the name orders/staging, and --name is'),
  })
  const anew = ['sign', ...named, '--key', key, path]
  expect(await command.run(anew)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(
      'is of the policy orders/staging, and --name is orders/production: give --version',
    ),
  })
  expect(await command.run([...anew, '--version', '1'])).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('was of the policy orders/staging'),
  })
  expect((await command.run(['sign', ...named, ...check])).code).toBe(0)
})

test('a version is one more than what a key at hand has signed, or is stated', async () => {
  const path = command.file('counted.json', policy(A))
  await command.run(['sign', ...named, '--version', '7', '--key', key, path])
  command.file('counted.json', policy(B))
  const anew = ['sign', ...named, '--key', otherKey, path]
  expect(await command.run(anew)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('says version 7, and no key at hand has signed that'),
  })
  expect(signatureOf(path).version).toBe(7)
  expect((await command.run([...anew, '--public-key', pub])).code).toBe(0)
  expect(signatureOf(path).version).toBe(8)
  writeFileSync(`${path}.sig`, JSON.stringify({ ...signatureOf(path), version: 9_000_000 }))
  expect((await command.run(anew)).code).toBe(2)
  expect((await command.run([...anew, '--version', '9'])).code).toBe(0)
  expect(signatureOf(path).version).toBe(9)
})

test('signs no policy that needs files which are not signed with it', async () => {
  const trusting = (trust: unknown) =>
    JSON.stringify({ version: 1, hosts: { 'a.test': { pins: [A], trust } } })
  const path = command.file('anchored.json', trusting({ ca: 'own.pem' }))
  const args = ['sign', ...named, '--key', key, path]
  expect(await command.run(args)).toMatchObject({
    code: 6,
    stdout: '',
    stderr: expect.stringContaining('the certificates of another file are not signed'),
  })
  expect(existsSync(`${path}.sig`)).toBe(false)
  command.file('anchored.json', trusting('ca'))
  expect((await command.run(args)).code).toBe(0)
})

test('signs the lock with the file', async () => {
  const path = command.file('locked.json', policy('ca:letsencrypt'))
  expect(await command.run(['sign', ...named, '--key', key, path])).toMatchObject({
    code: 6,
    stderr: expect.stringContaining('pinfetch lock'),
  })
  command.file('locked.lock.json', JSON.stringify(lockCaSets(['letsencrypt'])))
  expect((await command.run(['sign', ...named, '--key', key, path])).code).toBe(0)
  await Policy.fromFile(path, { verify: { keys: ours.pub, name } })
  command.file('locked.lock.json', JSON.stringify(lockCaSets(['letsencrypt', 'amazon'])))
  expect((await command.run(['sign', ...named, '--check', '--public-key', pub, path])).code).toBe(6)
})

test('a key may be encrypted, or in the environment, and is never printed', async () => {
  const path = command.file('secret.json', policy(A))
  const locked = command.file('locked.pem', ours.locked)
  const passphrase = command.file('passphrase', 'hunter2\n')
  const wrong = command.file('wrong', 'hunter3\n')
  process.env.PINFETCH_TEST_KEY = ours.key
  const secrets = [ours.key, ours.locked].map((pem) => pem.split('\n')[1] ?? '')
  const runs: [args: string[], code: number, message: string][] = [
    [['--key', locked, '--passphrase-file', passphrase], 0, ''],
    [['--key-env', 'PINFETCH_TEST_KEY'], 0, ''],
    [['--key', locked], 6, 'is encrypted: give --passphrase-file'],
    [['--key', locked, '--passphrase-file', wrong], 6, 'another passphrase'],
    [['--key-env', 'PINFETCH_TEST_NONE'], 2, 'is not set, or empty'],
  ]
  for (const [args, code, message] of runs) {
    const told = await command.run(['sign', ...named, ...args, path])
    expect(told.code, told.stderr).toBe(code)
    expect(told.stderr).toContain(message)
    for (const secret of [...secrets, 'hunter'])
      expect(told.stdout + told.stderr).not.toContain(secret)
  }
  delete process.env.PINFETCH_TEST_KEY
})

describe('refuses', () => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  test.each<[name: string, content: string, message: string]>([
    ['a policy that is none', policy('sha256/AAAA'), 'is 3 bytes'],
    ['a file that is none', '{', 'no JSON'],
  ])('%s', async (_name, content, message) => {
    const path = command.file('bad.json', content)
    const told = await command.run(['sign', ...named, '--key', key, path])
    expect(told).toMatchObject({ code: 6, stdout: '' })
    expect(told.stderr).toContain(message)
    expect(existsSync(`${path}.sig`)).toBe(false)
  })

  test('keys of another kind, and files that hold none', async () => {
    const path = command.file('fine.json', policy(A))
    const pem = ec.export({ type: 'pkcs8', format: 'pem' })
    for (const [content, message] of [
      [pem, 'is a key of ec: give one of Ed25519'],
      ['nothing', 'is no private key'],
      [ours.pub, 'is no private key'],
    ] as const) {
      const told = await command.run([
        'sign',
        ...named,
        '--key',
        command.file('bad.pem', content),
        path,
      ])
      expect(told).toMatchObject({ code: 6, stderr: expect.stringContaining(message) })
    }
  })

  test.each([
    [[], 'give one policy file'],
    [['a.json'], 'give the name of the policy with --name'],
    [['--name', 'a b', 'a.json'], '--name is "a b": give 1 to 100 visible characters'],
    [[...named, 'a.json'], 'give a private key with --key or --key-env'],
    [[...named, '--check', 'a.json'], 'give a key that may have signed'],
    [[...named, '--threshold', '1', 'a.json'], '--threshold is for --check'],
  ])('the command line %j', async (args, message) => {
    const told = await command.run(['sign', ...args])
    expect(told).toMatchObject({ code: 2, stdout: '' })
    expect(told.stderr).toContain(message)
  })

  test('to add to nothing, and what adding would change', async () => {
    const path = command.file('alone.json', policy(A))
    const args = ['sign', ...named, '--key', key, '--add', path]
    expect(await command.run(args)).toMatchObject({ code: 2 })
    await command.run(['sign', ...named, '--key', key, path])
    expect(await command.run([...args, '--version', '2'])).toMatchObject({ code: 2 })
    expect(await command.run(args)).toMatchObject({ code: 0 })
    const past = await command.run([
      'sign',
      ...named,
      '--key',
      key,
      '--expires',
      '2020-01-01',
      path,
    ])
    expect(past).toMatchObject({ code: 2, stderr: expect.stringContaining('not in the future') })
    const lower = await command.run(['sign', ...named, '--key', key, '--version', '1', path])
    expect(lower).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('is not higher than 1'),
    })
  })
})
