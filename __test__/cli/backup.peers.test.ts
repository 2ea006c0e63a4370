import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Command } from './command.js'

const command = new Command()

function openssl(...args: string[]): { stdout: Buffer; stderr: string } {
  const { status, stdout, stderr } = spawnSync('openssl', args)
  expect(status, String(stderr)).toBe(0)
  return { stdout, stderr: String(stderr) }
}

test.each([
  ['p256', 'ecdsa-with-SHA256'],
  ['p384', 'ecdsa-with-SHA384'],
  ['ed25519', 'ED25519'],
  ['rsa', 'sha256WithRSAEncryption'],
])(
  'openssl finds the request in order, and the key and the pin to be its own: %s',
  async (type, signature) => {
    const [out, csr] = [command.path(`${type}.key`), command.path(`${type}.csr`)]
    const passphrase = command.file(`${type}.txt`, 'correct horse\n')
    const long = `${'a'.repeat(60)}.example.test`
    const names = [
      'api.example.test',
      '*.example.test',
      'bücher.test',
      '192.0.2.7',
      '2001:db8::1',
      long,
    ]

    const ended = await command.run([
      'backup',
      ...['--out', out, '--type', type, '--passphrase-file', passphrase],
      ...names.flatMap((name) => ['--name', name]),
    ])

    expect(ended).toMatchObject({ code: 0 })
    const [pin] = ended.stdout.split('\n')
    const { stdout, stderr } = openssl('req', '-in', csr, '-verify', '-noout', '-text')
    expect(stderr + stdout).toContain('verify OK')
    expect(String(stdout)).toContain(`Signature Algorithm: ${signature}`)
    expect(String(stdout)).toMatch(/Subject: CN ?= ?api\.example\.test\n/)
    expect(String(stdout)).toContain(
      `DNS:api.example.test, DNS:*.example.test, DNS:xn--bcher-kva.test, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:1, DNS:${long}`,
    )
    const spki = openssl(
      'pkey',
      '-in',
      out,
      '-passin',
      `file:${passphrase}`,
      '-pubout',
      '-outform',
      'DER',
    )
    expect(`sha256/${createHash('sha256').update(spki.stdout).digest('base64')}`).toBe(pin)
    const shown = await command.run(['pins', '--file', csr])
    expect(shown.stdout).toBe(`${csr}\n  ${pin}\n`)
  },
)

test('a name too long for a common name stands among the alternative names alone', async () => {
  const [out, csr] = [command.path('long.key'), command.path('long.csr')]
  const long = `${'a'.repeat(60)}.example.test`
  await command.run(['backup', '--out', out, '--name', long, '--unencrypted'])

  const { stdout, stderr } = openssl('req', '-in', csr, '-verify', '-noout', '-text')
  expect(stderr + stdout).toContain('verify OK')
  expect(String(stdout)).toMatch(/Subject: *\n/)
  expect(String(stdout)).toContain(`DNS:${long}`)
})

/** Runs `pinfetch backup` at a terminal, where each question gets the next of `answers`; gives what the terminal shows. */
async function atTerminal(
  out: string,
  answers: readonly string[],
): Promise<{ code: number; shown: string }> {
  const line = `'${process.execPath}' '${command.script}' backup --out '${out}' --name a.test`
  const child = spawn('script', ['--quiet', '--return', '--command', line, '/dev/null'])
  const closed = once(child, 'close')
  let shown = ''
  let answered = 0
  child.stdout.on('data', (text) => {
    shown += text
    const asked = shown.match(/(?:Passphrase|Once more): /g)?.length ?? 0
    for (; answered < asked; answered++) child.stdin.write(`${answers[answered]}\r`)
  })
  const [code] = await closed
  return { code, shown }
}

test('a terminal is asked for the passphrase twice, and shows nothing of it', async () => {
  const out = command.path('asked.key')

  const ended = await atTerminal(out, ['correct horse', 'correct horse'])

  expect(ended.code, ended.shown).toBe(0)
  expect(ended.shown).toContain('encrypted: keep it offline')
  expect(ended.shown).not.toContain('horse')
  openssl('pkey', '-in', out, '-passin', 'pass:correct horse', '-noout')

  const other = command.path('differ.key')
  const refused = await atTerminal(other, ['correct horse', 'correct hose'])
  expect(refused.code).toBe(2)
  expect(refused.shown).toContain('the two passphrases differ')
  expect(existsSync(other)).toBe(false)
})
