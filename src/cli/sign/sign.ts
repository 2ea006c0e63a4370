// `pinfetch sign`: signs a policy file, for clients that take no other.

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import {
  type PolicySignatures,
  parsePolicySignatures,
  verifyPolicySignatures,
} from '../../index.js'
import { putFile } from '../../replace-file.js'
import {
  readDate,
  readDays,
  readNamed,
  readNamedText,
  readPolicyFile,
  readPolicyName,
} from '../arguments.js'
import { codeOf, EXIT, FileError, UsageError } from '../exit.js'
import { print, remark } from '../output.js'

export const SIGN_HELP = `Usage: pinfetch sign [options] --name NAME --key KEY FILE
       pinfetch sign --check --name NAME --public-key KEY FILE

Signs a policy file, and its lock if it has named sets, with Ed25519 keys: FILE.sig. Or
says whether the signature holds. No key is printed.

  --name NAME           which policy it is, such as orders/production: clients ask for it
  --key FILE            the private key (PEM, or DER); repeatable
  --key-env NAME        the private key is in the environment variable NAME (PEM)
  --passphrase-file FILE
                        what opens an encrypted key: the first line of FILE
  --passphrase-env NAME or the environment variable NAME
  --version N           the version (default one more than FILE.sig has, which must be signed
                        by a key at hand, or 1)
  --days N              the signature ends after N days (default 90)
  --expires DATE        or at DATE, such as 2027-03-01
  --add                 add signatures to those in FILE.sig, whose version and end stay: a key
                        at hand must have signed them, or state --version and --expires
  --check               verify FILE.sig instead
  --public-key FILE     a key that may have signed FILE.sig; repeatable
  --threshold N         with --check: how many of them must have (default 1)
  --json                a line of JSON
  --help                show this
`

const DAYS = 90
const DAY = 24 * 60 * 60 * 1000

/** Runs `pinfetch sign` with what follows on the command line; resolves to the exit code. */
export async function sign(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      name: { type: 'string' },
      key: { type: 'string', multiple: true, default: [] },
      'key-env': { type: 'string', multiple: true, default: [] },
      'passphrase-file': { type: 'string' },
      'passphrase-env': { type: 'string' },
      version: { type: 'string' },
      days: { type: 'string' },
      expires: { type: 'string' },
      add: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      'public-key': { type: 'string', multiple: true, default: [] },
      threshold: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(SIGN_HELP)
    return EXIT.ok
  }
  const [path] = positionals
  if (path === undefined || positionals.length > 1) throw new UsageError('give one policy file')
  if (values.name === undefined) throw new UsageError('give the name of the policy with --name')
  const name = readPolicyName('--name', values.name)
  if (values.check) return check(path, { ...values, name, publicKeys: values['public-key'] })
  if (values.threshold !== undefined) throw new UsageError('--threshold is for --check')

  const passphrase = await readPassphrase(values['passphrase-file'], values['passphrase-env'])
  const keys = [
    ...(await Promise.all(
      values.key.map(async (file) => privateKey(await readNamed(file), passphrase, file)),
    )),
    ...values['key-env'].map((variable) => {
      const pem = process.env[variable] ?? ''
      if (pem === '') throw new UsageError(`--key-env: ${variable} is not set, or empty`)
      return privateKey(Buffer.from(pem), passphrase, variable)
    }),
  ]
  if (keys.length === 0) throw new UsageError('give a private key with --key or --key-env')
  const policy = await readPolicyFile(path)
  const signatureName = `${path}.sig`
  const before = await readBefore(signatureName)
  const isKnown = before !== null && (await isSigned(before, keys, values['public-key']))
  const earlier = before === null ? null : { ...before, file: signatureName, isKnown }
  const as = values.add ? readAdd(values, earlier) : readAnew(values, name, earlier)
  let made: PolicySignatures
  try {
    made = policy.sign({ name, ...as }, keys)
  } catch (cause) {
    throw FileError.of(path, cause)
  }
  const own = new Set(made.signatures.map(({ key }) => key))
  const others = values.add && before !== null ? before.signatures : []
  if (values.add && (made.policy !== before?.policy || made.lock !== before.lock))
    throw new FileError(
      `${path}: is not what ${signatureName} is of: sign it anew, without --add`,
      'ERR_POLICY_SIGNATURE',
    )
  const signatures = [...others.filter(({ key }) => !own.has(key)), ...made.signatures]
  const content = `${JSON.stringify({ ...made, signatures }, null, 2)}\n`
  try {
    await putFile(signatureName, content, { mode: 0o644, isSynced: true })
  } catch (cause) {
    throw FileError.of(signatureName, cause)
  }
  const told = { file: signatureName, name, version: made.version, expires: made.expires }
  if (values.json)
    await print(`${JSON.stringify({ ...told, keys: signatures.map(({ key }) => key) })}\n`)
  else
    await print(
      `${signatureName}: ${name}, version ${told.version}, until ${told.expires}\n${signatures.map(({ key }) => `  ${key}\n`).join('')}`,
    )
  return EXIT.ok
}

interface Check {
  readonly name: string
  readonly publicKeys: readonly string[]
  readonly threshold?: string | undefined
  readonly json: boolean
}

async function check(path: string, { name, publicKeys, threshold, json }: Check): Promise<number> {
  if (publicKeys.length === 0)
    throw new UsageError('give a key that may have signed with --public-key')
  if (threshold !== undefined && !/^[1-9]\d{0,2}$/.test(threshold))
    throw new UsageError(`--threshold is ${JSON.stringify(threshold)}: give a whole number from 1`)
  const keys = await Promise.all(publicKeys.map(readNamed))
  const verify = { keys, name, threshold: threshold === undefined ? 1 : Number(threshold) }
  const { signature } = await readPolicyFile(path, verify)
  if (signature === null) throw new Error('no signature was asked for')
  const { version, expires } = signature
  await print(
    json
      ? `${JSON.stringify({ file: `${path}.sig`, name, version, expires, keys: signature.keys })}\n`
      : `${path}.sig: ${name}, version ${version}, until ${expires.toISOString()}\n${signature.keys.map((key) => `  ${key}\n`).join('')}`,
  )
  return EXIT.ok
}

/** The signature file that is there already; null for none. */
async function readBefore(name: string): Promise<PolicySignatures | null> {
  try {
    return parsePolicySignatures(await readFile(name, 'utf8'), name)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    throw FileError.of(name, cause)
  }
}

/** The signature file that is there already, and whether a key at hand has signed what it says. */
type Earlier = PolicySignatures & { readonly file: string; readonly isKnown: boolean }

interface Stated {
  readonly name?: string | undefined
  readonly version?: string | undefined
  readonly days?: string | undefined
  readonly expires?: string | undefined
}

/** What the signatures that are there are of: stated, or signed by a key at hand, since anybody may have written it. */
function readAdd(
  stated: Stated,
  earlier: Earlier | null,
): Pick<PolicySignatures, 'version' | 'expires'> {
  if (earlier === null) throw new UsageError('--add: there is no signature file to add to')
  if (stated.days !== undefined)
    throw new UsageError('--add keeps the end: leave out --days, or state it with --expires')
  const { file, version, expires } = earlier
  for (const option of ['name', 'version', 'expires'] as const) {
    const own = stated[option]
    if (own !== undefined && own !== String(earlier[option]))
      throw new UsageError(
        `--add: ${file} is of the ${option} ${earlier[option]}, and --${option} is ${own}`,
      )
  }
  if (!earlier.isKnown && (stated.version === undefined || stated.expires === undefined))
    throw new UsageError(
      `--add: ${file} says version ${version}, until ${expires}, and no key at hand has signed that: ` +
        'give --public-key of one that has, or --version and --expires if it is what you mean to sign',
    )
  return { version, expires }
}

function readAnew(
  stated: Stated,
  name: string,
  earlier: Earlier | null,
): Pick<PolicySignatures, 'version' | 'expires'> {
  const expires = readEnd(stated.days, stated.expires)
  const { version: text } = stated
  if (text !== undefined) {
    const version = Number(text)
    if (!/^[1-9]\d*$/.test(text) || !Number.isSafeInteger(version))
      throw new UsageError(`--version is ${JSON.stringify(text)}: give a whole number from 1`)
    if (earlier !== null && earlier.name !== name)
      remark(`${earlier.file} was of the policy ${earlier.name}, and --name is ${name}`)
    else if (earlier !== null && version <= earlier.version)
      remark(
        `version ${version} is not higher than ${earlier.version}: whoever has seen that refuses it`,
      )
    return { version, expires }
  }
  if (earlier === null) return { version: 1, expires }
  if (earlier.name !== name)
    throw new UsageError(
      `${earlier.file} is of the policy ${earlier.name}, and --name is ${name}: give --version`,
    )
  if (!earlier.isKnown)
    throw new UsageError(
      `${earlier.file} says version ${earlier.version}, and no key at hand has signed that: ` +
        'give --version, or --public-key of one that has',
    )
  return { version: earlier.version + 1, expires }
}

/** Whether a key at hand has signed what a signature file says. */
async function isSigned(
  signatures: PolicySignatures,
  own: readonly KeyObject[],
  others: readonly string[],
): Promise<boolean> {
  const ours = own.map((key) => createPublicKey(key))
  let count = verifyPolicySignatures(signatures, ours).length
  for (const file of others) {
    const key = await readNamed(file)
    try {
      count += verifyPolicySignatures(signatures, key).length
    } catch (cause) {
      throw FileError.of(file, cause)
    }
  }
  return count > 0
}

function readEnd(days: string | undefined, date: string | undefined): string {
  if (days !== undefined && date !== undefined) throw new UsageError('give --days or --expires')
  if (date === undefined) {
    const end = new Date(Date.now() + (days === undefined ? DAYS : readDays(days)) * DAY)
    return end.toISOString().replace(/\.\d+Z$/, 'Z')
  }
  const end = readDate('--expires', date)
  if (end.getTime() <= Date.now()) throw new UsageError(`--expires ${date} is not in the future`)
  return date
}

async function readPassphrase(
  file: string | undefined,
  variable: string | undefined,
): Promise<string | undefined> {
  if (file !== undefined && variable !== undefined)
    throw new UsageError('give one of --passphrase-file and --passphrase-env')
  if (file !== undefined) return (await readNamedText(file)).split(/\r?\n/)[0]
  if (variable === undefined) return undefined
  const value = process.env[variable] ?? ''
  if (value === '') throw new UsageError(`--passphrase-env: ${variable} is not set, or empty`)
  return value
}

/** The key in `bytes`; what is wrong with it is not told in the words of whoever read it, which might hold some of it. */
function privateKey(bytes: Buffer, passphrase: string | undefined, name: string): KeyObject {
  const isPem = bytes.includes('-----BEGIN ')
  if (isPem && bytes.includes('ENCRYPTED') && passphrase === undefined)
    throw new FileError(
      `${name}: is encrypted: give --passphrase-file or --passphrase-env`,
      'ERR_INVALID_ARGUMENT',
    )
  let key: KeyObject
  try {
    const form = isPem
      ? ({ key: bytes, format: 'pem' } as const)
      : ({ key: bytes, format: 'der', type: 'pkcs8' } as const)
    key = createPrivateKey({ ...form, ...(passphrase !== undefined && { passphrase }) })
  } catch {
    const why = passphrase === undefined ? '' : ', or another passphrase opens it'
    throw new FileError(`${name}: is no private key${why}`, 'ERR_INVALID_ARGUMENT')
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new FileError(
      `${name}: is a key of ${key.asymmetricKeyType}: give one of Ed25519, as openssl genpkey -algorithm ed25519 makes`,
      'ERR_INVALID_ARGUMENT',
    )
  return key
}
