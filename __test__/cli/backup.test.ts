import { createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { describeInputs, parsePolicy } from 'pinfetch'
import { expect, test } from 'vitest'
import { backup } from '../../src/cli/backup/backup.js'
import { Command, refusalOf } from './command.js'

const command = new Command()

function pinOf(key: ReturnType<typeof createPublicKey>): string {
  const spki = key.export({ type: 'spki', format: 'der' })
  return `sha256/${createHash('sha256').update(spki).digest('base64')}`
}

test.each([
  ['p256', 'ec'],
  ['p384', 'ec'],
  ['ed25519', 'ed25519'],
  ['rsa', 'rsa'],
])('a key, its request and its pin belong together: %s', async (type, kind) => {
  const out = command.path(`${type}.key`)
  const passphrase = command.file(`${type}.txt`, 'correct horse\nbattery staple\n')

  const args = ['--out', out, '--name', 'api.example.test', '--type', type]
  const ended = await command.run(['backup', ...args, '--passphrase-file', passphrase, '--json'])

  expect(ended).toMatchObject({ code: 0, stderr: '' })
  const told = JSON.parse(ended.stdout)
  expect(told).toMatchObject({ key: out, csr: command.path(`${type}.csr`), type, encrypted: true })
  const pem = readFileSync(out, 'utf8')
  expect(pem).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/)
  const key = createPrivateKey({ key: pem, passphrase: 'correct horse' })
  expect(key.asymmetricKeyType).toBe(kind)
  expect(pinOf(createPublicKey(key))).toBe(told.pin)
  expect(describeInputs(readFileSync(told.csr), 'csr')).toMatchObject([
    { pin: told.pin, what: 'certificate request', subject: 'CN=api.example.test' },
  ])
  expect(ended.stdout).not.toContain('horse')
})

test('what is printed can be put into a policy file, and the key is nowhere in it', async () => {
  const out = command.path('paste.pem')

  const ended = await command.run([
    'backup',
    '--out',
    out,
    '--name',
    'a.test',
    '--label',
    'a 2027',
    '--unencrypted',
  ])

  expect(ended.code).toBe(0)
  expect(ended.stderr).toContain('not encrypted')
  expect(ended.stderr).toContain(command.path('paste.csr'))
  const [pin = '', entry = ''] = ended.stdout.split('\n')
  expect(JSON.parse(entry)).toMatchObject({ pin, label: 'a 2027', role: 'backup' })
  const policy = parsePolicy(`{ "version": 1, "hosts": { "a.test": [${entry}] } }`)
  expect(policy.lookup('a.test').pins).toEqual([pin])
  const [, secret = ''] = readFileSync(out, 'utf8').split('\n')
  expect(secret.length).toBe(64)
  expect(ended.stdout + ended.stderr).not.toContain(secret)
  if (process.platform !== 'win32') expect(statSync(out).mode & 0o777).toBe(0o600)
})

test('no file is overwritten, and nothing is left half done', async () => {
  const out = command.file('there.key', 'the one key that we have')
  const run = (...more: string[]) =>
    command.run(['backup', '--name', 'a.test', '--unencrypted', ...more])

  const refused = await run('--out', out)
  expect(refused).toMatchObject({ code: 6, stdout: '' })
  expect(refused.stderr).toBe(`pinfetch: ${out}: file already exists (EEXIST)\n`)
  expect(readFileSync(out, 'utf8')).toBe('the one key that we have')

  const csr = command.file('there.csr', 'a request')
  const other = command.path('new.key')
  expect(await run('--out', other, '--csr', csr)).toMatchObject({ code: 6, stdout: '' })
  expect(readFileSync(csr, 'utf8')).toBe('a request')
  expect(existsSync(other)).toBe(false)
  writeFileSync(csr, '')
})

test('the passphrase may come from the environment', async () => {
  const out = command.path('environment.key')
  process.env.PINFETCH_TEST_PASSPHRASE = 'xyzzy'

  const args = ['backup', '--out', out, '--name', 'a.test', '--passphrase-env']
  expect(await command.run([...args, 'PINFETCH_TEST_PASSPHRASE'])).toMatchObject({ code: 0 })
  delete process.env.PINFETCH_TEST_PASSPHRASE

  const key = readFileSync(out, 'utf8')
  expect(() => createPrivateKey({ key, passphrase: 'xyzzy' })).not.toThrow()
  expect(() => createPrivateKey({ key, passphrase: 'plugh' })).toThrow()
})

test.each([
  ['no file', ['--name', 'a.test'], '--out'],
  ['no name', ['--out', 'x.key'], '--name'],
  ['one file for both', ['--out', 'x.key', '--csr', 'x.key', '--name', 'a.test'], 'one file'],
  ['an unknown type', ['--out', 'x.key', '--name', 'a.test', '--type', 'dsa'], 'give p256'],
  ['a name that is none', ['--out', 'x.key', '--name', 'a b'], '--name is "a b"'],
  ['a port', ['--out', 'x.key', '--name', 'a.test:443'], 'whatever the port'],
  ['a wildcard of all depths', ['--out', 'x.key', '--name', '**.a.test'], '*.example.com'],
  ['nobody to ask for a passphrase', ['--out', 'x.key', '--name', 'a.test'], '--unencrypted'],
  [
    'an empty variable',
    ['--out', 'x.key', '--name', 'a.test', '--passphrase-env', 'PINFETCH_NOT_SET'],
    'PINFETCH_NOT_SET',
  ],
  [
    'two ways to encrypt',
    ['--out', 'x.key', '--name', 'a.test', '--passphrase-env', 'A', '--unencrypted'],
    'give one of',
  ],
])('the command line is refused, and nothing made: %s', async (_name, args, told) => {
  expect(await refusalOf(() => backup(args))).toContain(told)
  expect(existsSync('x.key')).toBe(false)
})
