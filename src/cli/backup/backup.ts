// `pinfetch backup`: a key for the day on which the other one is lost, and its pin before any certificate has it.

import { generateKeyPairSync } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { describeInputs } from '../../index.js'
import { readPattern } from '../../policy/patterns.js'
import { EXIT, FileError, messageOf, UsageError } from '../exit.js'
import { print, remark } from '../output.js'
import { dayOf } from '../wording.js'
import { readPassphrase } from './passphrase.js'
import { certificateRequest, type KeyPair, type KeyType } from './request.js'

export const BACKUP_HELP = `Usage: pinfetch backup [options] --out KEY --name NAME

Makes a private key and a certificate request, and prints the pin that a certificate of
that key will have, with what to put into a policy file. The key is not printed, and no
file is overwritten.

  --out FILE            the private key (PEM, readable by its owner only)
  --csr FILE            the certificate request (default FILE of --out, ending in .csr)
  --name NAME           a name or address that the certificate shall be for; repeatable
  --type TYPE           p256 (the default), p384, ed25519 or rsa (3072 bits)
  --passphrase-file FILE
                        encrypt the key with the first line of FILE
  --passphrase-env NAME
                        encrypt it with the environment variable NAME
  --unencrypted         don't encrypt it; by default, a terminal is asked for a passphrase
  --label TEXT          a name for the pin
  --json                a line of JSON
  --help                show this
`

/** By type: what to call it, and how to make one. */
const KEYS: Readonly<Record<KeyType, readonly [name: string, make: () => KeyPair]>> = {
  p256: ['P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  p384: ['P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ed25519: ['Ed25519', () => generateKeyPairSync('ed25519')],
  rsa: ['RSA 3072', () => generateKeyPairSync('rsa', { modulusLength: 3072 })],
}

/** Runs `pinfetch backup` with what follows on the command line; resolves to the exit code. */
export async function backup(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      out: { type: 'string' },
      csr: { type: 'string' },
      name: { type: 'string', multiple: true, default: [] },
      type: { type: 'string', default: 'p256' },
      'passphrase-file': { type: 'string' },
      'passphrase-env': { type: 'string' },
      unencrypted: { type: 'boolean', default: false },
      label: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(BACKUP_HELP)
    return EXIT.ok
  }
  const { out } = values
  if (out === undefined) throw new UsageError('give a file for the key with --out')
  const csr = values.csr ?? `${out.replace(/\.(?:pem|key)$/, '')}.csr`
  if (csr === out) throw new UsageError('--csr and --out are one file')
  const type = readType(values.type)
  if (values.name.length === 0)
    throw new UsageError('give a name that the certificate shall be for with --name')
  const names = [...new Set(values.name.map(readName))]
  const passphrase = await readPassphrase(values)

  const [what, make] = KEYS[type]
  const pair = make()
  const request = certificateRequest(pair, type, names)
  const pin = pinOf(pair, request)
  await writeNew(out, pem(pair, passphrase), 0o600)
  try {
    await writeNew(csr, request, 0o644)
  } catch (error) {
    await rm(out, { force: true }) // made just now
    throw error
  }
  const label = values.label === undefined ? {} : { label: values.label }
  const entry = { pin, ...label, role: 'backup', added: dayOf(new Date()) }
  const isEncrypted = passphrase !== null
  if (values.json) {
    await print(
      `${JSON.stringify({ key: out, csr, type, encrypted: isEncrypted, names, pin, entry })}\n`,
    )
    return EXIT.ok
  }
  remark(
    `${out}: the private key, ${what}, ${isEncrypted ? 'encrypted' : 'not encrypted'}: keep it offline`,
  )
  remark(`${csr}: the certificate request for ${names.join(', ')}`)
  await print(`${pin}\n${JSON.stringify(entry)}\n`)
  return EXIT.ok
}

/** The pin, read by the engine from the request and from the key alike. */
function pinOf({ publicKey }: KeyPair, request: string): string {
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const [[ofKey], [ofRequest]] = [
    describeInputs(spki, 'the key'),
    describeInputs(Buffer.from(request), 'the request'),
  ]
  if (ofKey === undefined || ofKey.pin !== ofRequest?.pin)
    throw new Error('the certificate request does not hold the key')
  return ofKey.pin
}

function pem({ privateKey }: KeyPair, passphrase: string | null): string {
  const form = { type: 'pkcs8', format: 'pem' } as const
  const text =
    passphrase === null
      ? privateKey.export(form)
      : privateKey.export({ ...form, cipher: 'aes-256-cbc', passphrase })
  return text.toString()
}

/** Writes a file that is not there yet. */
async function writeNew(name: string, content: string, mode: number): Promise<void> {
  try {
    const file = await open(name, 'wx', mode)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (cause) {
    throw FileError.of(name, cause)
  }
}

function readType(text: string): KeyType {
  if (!Object.hasOwn(KEYS, text))
    throw new UsageError(`--type is ${JSON.stringify(text)}: give ${Object.keys(KEYS).join(', ')}`)
  return text as KeyType // just seen to be one
}

/** A name in the form that certificates have: A-labels, no trailing dot; a wildcard may stand in front. */
function readName(text: string): string {
  const wrong = (why: string): UsageError =>
    new UsageError(`--name is ${JSON.stringify(text)}: ${why}`)
  try {
    const { scope, base, port } = readPattern(text)
    if (port !== null) throw wrong('certificates are for names, whatever the port')
    if (scope === '**.') throw wrong('certificates have wildcards of one label, *.example.com')
    return scope + base
  } catch (cause) {
    if (cause instanceof UsageError) throw cause
    throw wrong(messageOf(cause))
  }
}
