// Signatures of policy files: who may say what is pinned, where the file's place cannot be trusted. docs/policy-file.md has
// the format, byte for byte.
//
// Keys are of Ed25519 (RFC 8032), which Node itself verifies. What is signed is a few lines of text, so that any tool can
// sign and verify: the name of the policy, the version and the end of the signature, and the digests of the files.

import type { KeyObject } from 'node:crypto'
import { promises as files } from 'node:fs'
import { codeOfThrown, type ErrorCode, invalidOption, nameOf, PolicyError } from '../errors.js'
import { noOption } from '../nearest.js'
import { nodeCrypto } from '../node-modules.js'
import { readDate } from '../policy-file/check.js'
import { putFile } from '../replace-file.js'

/** An Ed25519 key: PEM, DER (SubjectPublicKeyInfo, or PKCS#8 of a private one), or Node's. */
export type SigningKeyInput = string | Uint8Array | KeyObject

/** Whose signatures a policy file must have. */
export interface VerifyPolicy {
  /** The public keys, of which each may sign. */
  readonly keys: SigningKeyInput | readonly SigningKeyInput[]
  /** Which policy it must be: as it was signed. Else the file of another that the same key has signed would do. */
  readonly name: string
  /** How many of them must have signed. @default 1 */
  readonly threshold?: number | undefined
  /**
   * A file that keeps the highest version that was seen, so that an older one is refused after a restart, too; it is made
   * when it is not there. Of this policy, and of one process at a time. @default none: only what is watched is compared, with what it had before
   */
  readonly state?: string | undefined
}

/** What the signature of a policy file says, once it is verified. */
export interface PolicySignature {
  /** Which policy it is. */
  readonly name: string
  /** Counts up with each policy. */
  readonly version: number
  /** When it ends. */
  readonly expires: Date
  /** The keys that have signed: the pins of their public keys. */
  readonly keys: readonly string[]
}

/** What is to be signed. */
export interface PolicyToSign {
  /** What the policy file holds. */
  readonly policy: string | Uint8Array
  /** What its lock holds, where it has named sets such as `ca:letsencrypt`. */
  readonly lock?: string | Uint8Array | null | undefined
  /** Which policy it is: 1 to 100 visible characters of ASCII, such as `orders/production`. It is signed with it. */
  readonly name: string
  /** A whole number from 1: higher than that of every policy that was signed before. */
  readonly version: number
  /** When the signature ends: a date as policy files have it. */
  readonly expires: string | Date
}

/** A signature file, `policy.json.sig` beside `policy.json`. */
export interface PolicySignatures {
  readonly format: 1
  readonly name: string
  readonly version: number
  readonly expires: string
  /** The SHA-256 digest of the policy file, in hexadecimal digits. */
  readonly policy: string
  /** That of its lock; null where none was signed. */
  readonly lock: string | null
  readonly signatures: readonly { readonly key: string; readonly signature: string }[]
}

/** The files whose bytes are signed. */
export interface Signed {
  readonly policy: Uint8Array
  readonly lock: Uint8Array | null
}

/** Signs a policy; gives what its signature file holds. Throws a {@link PolicyError} for a key that is none of Ed25519. */
export function signPolicy(
  { policy, lock, name, version, expires }: PolicyToSign,
  keys: SigningKeyInput | readonly SigningKeyInput[],
): PolicySignatures {
  const wrong = (message: string) => invalidOption('sign', message)
  if (!isPolicyName(name)) throw wrong(`name is ${describeName(name)}`)
  const end = expires instanceof Date ? expires.toISOString() : expires
  if (typeof end !== 'string' || readDate(end) === null)
    throw wrong('expires is no date: give a day such as "2027-03-01", or a moment')
  if (!Number.isSafeInteger(version) || version < 1)
    throw wrong('version is no whole number from 1')
  const files = digestsOf({ policy: bytesOf(policy), lock: bytesOf(lock ?? null) })
  const says = { name, version, expires: end, ...files }
  const text = signedText(says)
  const signatures = listOf(keys).map((input, index) => {
    const key = readKey(input, `keys[${index}]`, 'private', 'keys')
    const { createPublicKey, sign } = nodeCrypto()
    return { key: idOf(createPublicKey(key)), signature: sign(null, text, key).toString('base64') }
  })
  return { format: 1, ...says, signatures }
}

/**
 * Which of `keys` have signed what a signature file says, whatever its policy file holds by now: the pins of their public
 * keys. Throws a {@link PolicyError} for a key that is none of Ed25519.
 */
export function verifyPolicySignatures(
  signed: PolicySignatures,
  keys: SigningKeyInput | readonly SigningKeyInput[],
): readonly string[] {
  const known = new Map<string, KeyObject>()
  for (const [index, input] of listOf(keys).entries()) {
    const key = readKey(input, `keys[${index}]`, 'public', 'keys')
    known.set(idOf(key), key)
  }
  return [...signersOf(signed, known).valid]
}

/** Whose signatures, of those whose keys are known, are of what `signed` says. */
function signersOf(
  signed: PolicySignatures,
  keys: ReadonlyMap<string, KeyObject>,
): { readonly valid: ReadonlySet<string>; readonly invalid: ReadonlySet<string> } {
  const text = signedText(signed)
  const valid = new Set<string>()
  const invalid = new Set<string>()
  for (const { key, signature } of signed.signatures) {
    const known = keys.get(key)
    if (known === undefined) continue
    const isValid = nodeCrypto().verify(null, text, known, Buffer.from(signature, 'base64'))
    ;(isValid ? valid : invalid).add(key)
  }
  return { valid, invalid }
}

/** What is signed, byte for byte. */
function signedText({
  name,
  version,
  expires,
  policy,
  lock,
}: Omit<PolicySignatures, 'format' | 'signatures'>): Buffer {
  return Buffer.from(
    `pinfetch signed policy 1\nname ${name}\nversion ${version}\nexpires ${expires}\n` +
      `policy ${policy}\nlock ${lock ?? 'none'}\n`,
  )
}

function digestsOf({ policy, lock }: Signed): Pick<PolicySignatures, 'policy' | 'lock'> {
  return { policy: digest(policy), lock: lock === null ? null : digest(lock) }
}

function digest(bytes: Uint8Array): string {
  return nodeCrypto().createHash('sha256').update(bytes).digest('hex')
}

/** The name of the signature file of the policy file at `path`. */
export function signatureNameOf(path: string): string {
  return `${path}.sig`
}

/** The highest version that was seen. */
interface Highest {
  readonly version: number
  /** Of the policy and the lock that had it. */
  readonly content: string
}

/** Versions are compared and kept one after the other, so that no lower one is written over a higher one. */
let turn: Promise<void> = Promise.resolve()

/** Verifies signatures, and keeps what it has seen. */
export class Verifier {
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #name: string
  readonly #threshold: number
  readonly #state: string | null
  #highest: Highest | null = null

  /** Reads the option `verify`. */
  constructor(options: unknown) {
    const own = readOwn(options)
    const keys = new Map<string, KeyObject>()
    const given = listOf(own.get('keys'))
    for (const [index, input] of given.entries()) {
      const key = readKey(input, `verify.keys[${index}]`, 'public', 'verify')
      keys.set(idOf(key), key)
    }
    if (keys.size === 0) throw wrongOption('verify.keys is empty: give at least one public key')
    const name = own.get('name')
    if (!isPolicyName(name)) throw wrongOption(`verify.name is ${describeName(name)}`)
    const threshold = own.get('threshold') ?? 1
    if (typeof threshold !== 'number' || !Number.isInteger(threshold) || threshold < 1)
      throw wrongOption(`verify.threshold is ${describe(threshold)}: give a whole number from 1`)
    if (threshold > keys.size)
      throw wrongOption(`verify.threshold is ${threshold}, and there are ${keys.size} keys`)
    const state = own.get('state') ?? null
    if (state !== null && (typeof state !== 'string' || state === ''))
      throw wrongOption(`verify.state is ${nameOf(state)}: give the path of a file`)
    this.#keys = keys
    this.#name = name
    this.#threshold = threshold
    this.#state = state
  }

  /** Verifies the policy file at `path`, whose bytes are `signed`. Rejects with a {@link PolicyError} of a code of its own. */
  async verify(path: string, signed: Signed): Promise<PolicySignature> {
    const file = signatureNameOf(path)
    let text: string
    try {
      text = await files.readFile(file, 'utf8')
    } catch (cause) {
      if (codeOfThrown(cause) !== 'ENOENT') throw cause
      throw new PolicyError(
        'ERR_POLICY_UNSIGNED',
        `${path}: there is no signature, ${file}: pinfetch sign --name ${this.#name} ${path}`,
        { file: path },
        { cause },
      )
    }
    const refuse = (code: ErrorCode, problem: string) =>
      new PolicyError(code, `${file}: ${problem}`, { file: path })
    const says = readSignatures(text, (problem) => refuse('ERR_POLICY_SIGNATURE', problem))
    const { name, version, expires } = says
    if (name !== this.#name)
      throw refuse(
        'ERR_POLICY_SIGNATURE',
        `is of the policy ${JSON.stringify(name)}, and the one of verify.name is ${JSON.stringify(this.#name)}`,
      )
    const digests = digestsOf(signed)
    if (says.policy !== digests.policy || says.lock !== digests.lock)
      throw refuse(
        'ERR_POLICY_SIGNATURE',
        `is of another ${says.policy === digests.policy ? 'lock' : 'policy file'} than is there: that was changed after it was signed`,
      )
    const { valid, invalid } = signersOf(says, this.#keys)
    if (valid.size < this.#threshold) {
      const needed = this.#threshold === 1 ? 'a key' : `${this.#threshold} keys`
      const problem =
        invalid.size > 0
          ? `the signature of ${[...invalid].join(' and ')} is not of this policy: it was changed after it was signed`
          : `it is signed by ${valid.size} of the keys that may sign`
      throw refuse('ERR_POLICY_SIGNATURE', `${problem}; ${needed} must have signed it`)
    }
    const end = readDate(expires)
    if (end === null) throw refuse('ERR_POLICY_SIGNATURE', `${expires} is no date`) // looked at before
    if (end.getTime() <= Date.now())
      throw refuse('ERR_POLICY_SIGNATURE_EXPIRED', `the signature ended at ${expires}`)
    const comparing = turn.then(() => this.#compare(version, signed, refuse))
    turn = comparing.catch(() => {})
    await comparing
    return { name, version, expires: end, keys: [...valid] }
  }

  /** Refuses a version that is older than one that was seen, and keeps one that is newer. */
  async #compare(
    version: number,
    { policy, lock }: Signed,
    refuse: (code: ErrorCode, problem: string) => PolicyError,
  ): Promise<void> {
    const content = digest(Buffer.from(`${digest(policy)} ${lock === null ? '' : digest(lock)}`))
    const kept = await this.#load()
    for (const highest of [this.#highest, kept]) {
      if (highest === null) continue
      if (version < highest.version)
        throw refuse(
          'ERR_POLICY_ROLLBACK',
          `version ${version} is older than version ${highest.version}, which was seen before`,
        )
      if (version === highest.version && content !== highest.content)
        throw refuse(
          'ERR_POLICY_ROLLBACK',
          `version ${version} was seen before, and it was another policy: a new one has a higher version`,
        )
    }
    const seen = { version, content }
    // kept first: what a full disk refuses is tried again by the next read, and not forgotten by a restart
    if (this.#state !== null && kept?.version !== version) await writeState(this.#state, seen)
    this.#highest = seen
  }

  async #load(): Promise<Highest | null> {
    if (this.#state === null) return null
    let text: string
    try {
      text = await files.readFile(this.#state, 'utf8')
    } catch (error) {
      if (codeOfThrown(error) === 'ENOENT') return null
      throw error
    }
    const value = parsed(text)
    const { version, content } = value ?? {}
    if (
      typeof version !== 'number' ||
      !Number.isSafeInteger(version) ||
      typeof content !== 'string'
    )
      throw new PolicyError(
        'ERR_POLICY_ROLLBACK',
        `${this.#state}: does not hold what was seen: look at what has happened to it, and delete it if you know`,
        { option: 'verify' },
      )
    return { version, content }
  }
}

/** Whole, or not at all. */
async function writeState(path: string, { version, content }: Highest): Promise<void> {
  const text = `${JSON.stringify({ version, content })}\n`
  await putFile(path, text, { mode: 0o600, isSynced: true })
}

const ID = /^sha256\/[A-Za-z0-9+/]{43}=$/
/** 64 bytes (RFC 8032 §5.1.6). */
const SIGNATURE = /^[A-Za-z0-9+/]{86}==$/
const DIGEST = /^[0-9a-f]{64}$/
/** More than anybody has keys. */
const MOST_SIGNATURES = 100

/** Reads what the signature file `file` holds, and verifies nothing. Throws a {@link PolicyError} for what is none. */
export function parsePolicySignatures(text: string, file: string): PolicySignatures {
  return readSignatures(
    text,
    (problem) => new PolicyError('ERR_POLICY_SIGNATURE', `${file}: ${problem}`, { file }),
  )
}

function readSignatures(text: string, wrong: (problem: string) => PolicyError): PolicySignatures {
  const value = parsed(text)
  if (value === null) throw wrong('is no JSON object: it is written by pinfetch sign')
  const { format, name, version, expires, policy, lock, signatures, ...more } = value
  const [unknown] = Object.keys(more)
  if (unknown !== undefined) throw wrong(`a signature has no member ${JSON.stringify(unknown)}`)
  if (format !== 1) throw wrong('the format of a signature is 1')
  if (!isPolicyName(name)) throw wrong(`"name" is ${describeName(name)}`)
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 1)
    throw wrong('"version" is no whole number from 1')
  if (typeof expires !== 'string' || readDate(expires) === null) throw wrong('"expires" is no date')
  if (typeof policy !== 'string' || !DIGEST.test(policy))
    throw wrong('"policy" is no SHA-256 digest')
  if (lock !== null && (typeof lock !== 'string' || !DIGEST.test(lock)))
    throw wrong('"lock" is neither a SHA-256 digest nor null')
  if (!Array.isArray(signatures) || signatures.length > MOST_SIGNATURES)
    throw wrong('"signatures" is no list of them')
  return {
    format,
    name,
    version,
    expires,
    policy,
    lock,
    signatures: signatures.map((entry: unknown) => {
      const { key, signature } = (entry ?? {}) as { key?: unknown; signature?: unknown }
      if (typeof key !== 'string' || !ID.test(key)) throw wrong('a signature has no "key"')
      if (typeof signature !== 'string' || !SIGNATURE.test(signature))
        throw wrong(`the signature of ${key} is no base64 of 64 bytes`)
      return { key, signature }
    }),
  }
}

/** Visible ASCII, so that a name is one line of what is signed, and looks like no other. */
const NAME = /^[!-~]{1,100}$/

function isPolicyName(name: unknown): name is string {
  return typeof name === 'string' && NAME.test(name)
}

function describeName(name: unknown): string {
  const found =
    name === undefined ? 'missing' : typeof name === 'string' ? 'no such name' : nameOf(name)
  return `${found}: name the policy by 1 to 100 visible characters of ASCII, such as orders/production`
}

/** A JSON object; null for anything else. */
function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? { ...value } : null
  } catch {
    return null
  }
}

/** The pin of a public key, which names it. */
function idOf(key: KeyObject): string {
  const spki = key.export({ type: 'spki', format: 'der' })
  return `sha256/${nodeCrypto().createHash('sha256').update(spki).digest('base64')}`
}

function readKey(
  input: unknown,
  place: string,
  kind: 'public' | 'private',
  option: string,
): KeyObject {
  const { KeyObject, createPrivateKey, createPublicKey } = nodeCrypto()
  let key: KeyObject
  try {
    if (input instanceof KeyObject) key = input
    else if (kind === 'private') key = createPrivateKey(sourceOf(input, 'pkcs8'))
    else key = createPublicKey(sourceOf(input, 'spki'))
  } catch {
    // not why: it could tell of a secret
    throw invalidOption(option, `${place} is no ${kind} key in PEM or DER, or is encrypted`)
  }
  if (kind === 'private' ? key.type !== 'private' : key.type === 'secret')
    throw invalidOption(option, `${place} is no ${kind} key`)
  if (kind === 'public' && key.type === 'private')
    throw invalidOption(
      option,
      `${place} is a private key: give the public one, and keep this to whoever signs`,
    )
  if (key.asymmetricKeyType !== 'ed25519')
    throw invalidOption(
      option,
      `${place} is a key of ${key.asymmetricKeyType ?? 'another kind'}: give one of Ed25519`,
    )
  return key
}

function sourceOf<Type extends 'pkcs8' | 'spki'>(
  input: unknown,
  type: Type,
): string | { key: Buffer; format: 'der'; type: Type } {
  if (typeof input === 'string') {
    // a private key has its public one in it, and is not to lie where policies are verified
    if (type === 'spki' && input.includes('PRIVATE KEY')) throw new Error('private')
    return input
  }
  if (!(input instanceof Uint8Array)) throw new TypeError(nameOf(input))
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength)
  return bytes.includes('-----BEGIN ')
    ? sourceOf(bytes.toString('latin1'), type)
    : { key: bytes, format: 'der', type }
}

function bytesOf(value: string | Uint8Array): Uint8Array
function bytesOf(value: string | Uint8Array | null): Uint8Array | null
function bytesOf(value: string | Uint8Array | null): Uint8Array | null {
  return typeof value === 'string' ? Buffer.from(value) : value
}

function listOf(value: unknown): readonly unknown[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value]
}

const NAMES = ['keys', 'name', 'threshold', 'state'] as const

function readOwn(value: unknown): ReadonlyMap<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrongOption(`verify is ${nameOf(value)}: give { keys, name }`)
  const own = new Map<string, unknown>(Object.entries(value))
  for (const name of own.keys()) {
    if (!(NAMES as readonly string[]).includes(name))
      throw wrongOption(noOption('verify', name, NAMES))
  }
  return own
}

function describe(value: unknown): string {
  return typeof value === 'number' ? String(value) : nameOf(value)
}

function wrongOption(message: string): PolicyError {
  return invalidOption('verify', message)
}
