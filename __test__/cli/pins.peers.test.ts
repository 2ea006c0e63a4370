import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Command } from './command.js'

const command = new Command()

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pinfetch-openssl-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const RSA = ['rsa', 'rsa_keygen_bits:2048']
const P256 = ['ec', 'ec_paramgen_curve:P-256']
const P384 = ['ec', 'ec_paramgen_curve:P-384']

test.each([
  ['RSA', RSA],
  ['P-256', P256],
  ['P-384', P384],
  ['Ed25519', ['ed25519']],
])('all that openssl makes of one private key has one pin: %s', async (name, kind) => {
  const key = makeKey(name, kind)
  const files = {
    ...publicFiles(name, key),
    'private key, PEM': key,
    'private key, DER': der(name, key),
  }

  await expectPins(files, pinOf(key))
})

test.each([
  ['RSA', RSA],
  ['P-256', P256],
])('the traditional encodings of a private key have its pin: %s', async (name, kind) => {
  const key = makeKey(name, kind)
  const pem = openssl('pkey', '-in', key, '-traditional')
  const path = write(`${name}-traditional.pem`, pem)
  expect(pem.toString()).toMatch(/^-----BEGIN (EC|RSA) PRIVATE KEY-----\n/)

  await expectPins({ 'traditional PEM': path }, pinOf(key))
})

test.each([
  ['P-521', ['ec', 'ec_paramgen_curve:P-521']],
  ['Ed448', ['ed448']],
  ['RSA-PSS', ['rsa-pss', 'rsa_keygen_bits:2048']],
])('the public half of a key has its pin, whatever its kind: %s', async (name, kind) => {
  const key = makeKey(name, kind)

  await expectPins(publicFiles(name, key), pinOf(key))
})

test.each([
  ['RSA', RSA],
  ['P-256', P256],
  ['P-384', P384],
])(
  'the verified path of `openssl s_server` is printed, and refused without its root: %s',
  async (name, kind) => {
    const root = makeKey(`${name}-root`, kind)
    const ca = write(`${name}-root.pem`, openssl('req', '-x509', ...subject('Root'), '-key', root))
    const leaf = makeKey(`${name}-leaf`, kind)
    const request = write(
      `${name}-leaf.csr`,
      openssl('req', '-new', ...subject('Leaf'), '-key', leaf),
    )
    const names = write(`${name}-names`, Buffer.from('subjectAltName=DNS:api.example.test\n'))
    const issued = ['-req', '-in', request, '-CA', ca, '-CAkey', root, '-set_serial', '2']
    const chain = write(`${name}-leaf.pem`, openssl('x509', ...issued, '-extfile', names))
    const server = await serve(chain, leaf)
    try {
      const asked = ['pins', 'api.example.test', '--connect', `127.0.0.1:${server.port}`]

      const shown = await command.run([...asked, '--ca', ca])
      expect(shown).toEqual({
        code: 0,
        stdout: `api.example.test:443\n  ${pinOf(leaf)}\n  ${pinOf(root)}\n`,
        stderr: '',
      })

      const refused = await command.run(asked) // Mozilla's roots know nothing of it
      expect(refused).toMatchObject({ code: 4, stdout: '' })
      expect(refused.stderr).toContain('(ERR_CERT_UNKNOWN_ISSUER)')

      const presented = await command.run([...asked, '--presented'])
      expect(presented).toMatchObject({
        code: 0,
        stdout: `api.example.test:443\n  ${pinOf(leaf)}\n`,
      })
    } finally {
      server.process.kill()
      await once(server.process, 'close')
    }
  },
)

/** Each file, by what it is, has `pin` and no other. */
async function expectPins(files: Record<string, string>, pin: string): Promise<void> {
  for (const [what, path] of Object.entries(files)) {
    const ended = await command.run(['pins', '--file', path])
    expect(ended, what).toEqual({ code: 0, stdout: `${path}\n  ${pin}\n`, stderr: '' })
  }
}

/** What openssl makes of `key` for others to see. */
function publicFiles(name: string, key: string): Record<string, string> {
  const made: [what: string, bytes: Buffer][] = []
  for (const form of ['PEM', 'DER']) {
    const named = [...subject(name), '-key', key, '-outform', form]
    made.push(
      [`public key, ${form}`, openssl('pkey', '-in', key, '-pubout', '-outform', form)],
      [`certificate request, ${form}`, openssl('req', '-new', ...named)],
      [`certificate, ${form}`, openssl('req', '-x509', ...named)],
    )
  }
  return Object.fromEntries(made.map(([what, bytes]) => [what, write(`${name} ${what}`, bytes)]))
}

function makeKey(name: string, [algorithm = '', option]: readonly string[]): string {
  const options = option === undefined ? [] : ['-pkeyopt', option]
  return write(`${name}.key`, openssl('genpkey', '-algorithm', algorithm, ...options))
}

function der(name: string, key: string): string {
  return write(`${name}.key.der`, openssl('pkey', '-in', key, '-outform', 'DER'))
}

/** The pin by its definition: of the SubjectPublicKeyInfo that openssl writes. */
function pinOf(key: string): string {
  const spki = openssl('pkey', '-in', key, '-pubout', '-outform', 'DER')
  return `sha256/${createHash('sha256').update(spki).digest('base64')}`
}

function subject(name: string): string[] {
  return ['-subj', `/CN=${name}`]
}

function write(name: string, content: Buffer): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

function openssl(...args: string[]): Buffer {
  const { status, stdout, stderr, error } = spawnSync('openssl', args)
  if (error) throw error
  expect(status, `openssl ${args.join(' ')}:\n${stderr}`).toBe(0)
  return stdout
}

/** Starts `openssl s_server` on a free port of loopback. */
async function serve(
  certificate: string,
  key: string,
): Promise<{ process: ChildProcess; port: number }> {
  const files = ['-cert', certificate, '-key', key]
  const server = spawn('openssl', ['s_server', '-accept', '127.0.0.1:0', ...files, '-www'])
  for await (const line of createInterface(server.stdout)) {
    const [, port] = /^ACCEPT .*:(\d+)$/.exec(line) ?? []
    if (port === undefined) continue
    server.stdout.resume() // its pipe must not fill
    server.stderr.resume()
    return { process: server, port: Number(port) }
  }
  throw new Error('openssl s_server ended before it listened')
}
