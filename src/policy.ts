import { invalidOption, nameOf, PolicyError } from './errors.js'
import { lookUpPolicy } from './native.js'
import { nearestOf } from './nearest.js'
import {
  type CaSetSource,
  type CaSetsInput,
  caSetOf,
  caSetSource,
  expandSets,
} from './policy/ca-sets.js'
import type { VerifyPolicy } from './policy/signature.js'
import type { WatchedPolicy, WatchOptions } from './policy/watch.js'
import { PinSource, Writer } from './wire.js'

/**
 * One pin: text (`sha256/` + base64; bare base64, `sha256//`, `pin-sha256="…"` and 64 hex digits are read too), or a
 * certificate or public key (PEM or DER) whose key is hashed.
 *
 * `ca:letsencrypt` stands for the keys of all of a CA's roots (see `caSets()`), in a policy with {@link PolicyOptions.caSets}.
 */
export type PinInput =
  | string
  | { readonly certificate: string | Uint8Array }
  | { readonly publicKey: string | Uint8Array }

/**
 * The pin set of one host pattern: pins, of which any one is enough. `exclude: true` takes its hosts out of less specific
 * patterns: its own pins, if it has any, then stand in place of theirs.
 */
export type PinSetInput =
  | PinInput
  | readonly PinInput[]
  | { readonly pins: PinInput | readonly PinInput[]; readonly exclude?: boolean }
  | { readonly exclude: true }

/**
 * Pin sets by host pattern: `api.example.com` (that host), `*.example.com` (exactly one more label: not the apex, not
 * nested), `**.example.com` (the apex and any depth), each with an optional `:port`.
 *
 * Read once, own entries only: what happens to the object later changes nothing.
 */
export type PinsInput =
  | { readonly [pattern: string]: PinSetInput }
  | Iterable<readonly [pattern: string, pins: PinSetInput]>

/** What is in force for a host. */
export interface PinsInForce {
  /** The patterns that match, in canonical form; empty for a host without pins. */
  readonly patterns: readonly string[]
  /** Their pins together: `sha256/` + base64. */
  readonly pins: readonly string[]
}

/** How a policy is to be read. */
export interface PolicyOptions {
  /**
   * Which roots `ca:letsencrypt` and other named sets stand for: `current` for those that this version of pinfetch has,
   * so that an update of pinfetch may change the policy; or a lock, which `pinfetch lock` writes, for those that it has.
   * @default none: such sets are refused
   */
  readonly caSets?: CaSetsInput | undefined
}

/** The bytes of a policy that was read before. */
export let encodedPolicy: (policy: Policy) => Uint8Array

let watchFile: (path: string, options: WatchOptions | undefined) => Promise<WatchedPolicy>

/** Says how a file is watched: policy/watch.ts does, which is made of policies. */
export function setWatch(watch: typeof watchFile): void {
  watchFile = watch
}

/** A pin policy: immutable, checked, to be given to many clients. */
export class Policy {
  static {
    encodedPolicy = (policy) => policy.#encoded
  }

  readonly #encoded: Uint8Array

  /** Reads and checks `pins`; throws a {@link PolicyError} that names host, index and mend. */
  constructor(pins: PinsInput, options: PolicyOptions = {}) {
    const caSets = caSetSource(readOptions(options).get('caSets'))
    this.#encoded = Buffer.from(encodePolicy(pins, caSets)) // its own bytes only, since it lives on
    this.lookup('localhost') // compiles it: what is wrong is said now
  }

  /**
   * Reads a policy file: docs/policy-file.md.
   *
   * Rejects with the system's error, or a {@link PolicyError} that names file, line, column and JSON pointer.
   *
   * @param options.environment which policy of the file: to be given for a file that has environments
   * @param options.verify whose signatures the file must have: by default none, so that whoever can write it may say
   */
  static async fromFile(
    path: string,
    options?: {
      readonly environment?: string | undefined
      readonly verify?: VerifyPolicy | undefined
    },
  ): Promise<Policy> {
    // biome-ignore lint/suspicious/noImportCycles: loaded when it is asked for, long after this class is there
    const { policyFromFile } = await import('./policy-file/file.js')
    return policyFromFile(path, options)
  }

  /**
   * The policy of a file, which follows it from now on: give it to clients as `pins`. docs/policy-file.md
   *
   * Rejects as {@link fromFile} does when the file has no policy yet; later, what is wrong is told by the event `fault`.
   *
   * @example
   * ```ts
   * await using policy = await Policy.watch('policy.json')
   * policy.addEventListener('fault', ({ error }) => console.error(error))
   * const client = new Client({ pins: policy })
   * ```
   */
  static watch(path: string, options?: WatchOptions): Promise<WatchedPolicy> {
    return watchFile(path, options)
  }

  /** The patterns and pins in force for `host[:port]` (port 443 by default). Throws a TypeError for a bad host. */
  lookup(authority: string): PinsInForce {
    return lookUpPolicy(this.#encoded, authority)
  }
}

/**
 * The patterns and pins in force for `authority` (`host[:port]`, port 443 by default) under `policy`.
 *
 * Throws a {@link PolicyError} for a bad policy and a TypeError for a bad host.
 */
export function policyLookup(policy: Policy | PinsInput, authority: string): PinsInForce {
  return lookUpPolicy(encodePolicy(policy), authority)
}

/** Encodes a policy for the engine, which reads pins and patterns; here only the shape is checked. */
export function encodePolicy(
  pins: unknown,
  caSets: CaSetSource = caSetSource(undefined),
): Uint8Array {
  if (pins instanceof Policy) return encodedPolicy(pins)
  const out = new Writer(1024)
  writePolicy(out, pins, caSets)
  return out.written()
}

/** Appends a policy. `pins` is the user's: its own entries are read once each, and nothing that it inherits. */
export function writePolicy(
  out: Writer,
  pins: unknown,
  caSets: CaSetSource = caSetSource(undefined),
): void {
  if (pins instanceof Policy) {
    const encoded = encodedPolicy(pins)
    out.reserve(encoded.length)
    out.bytes.set(encoded, out.length)
    out.length += encoded.length
    return
  }
  if (typeof pins !== 'object' || pins === null) {
    throw invalidOption(
      'pins',
      `pins is ${nameOf(pins)}: give an object of host patterns and their pins`,
    )
  }
  const isIterable = Symbol.iterator in pins && typeof pins[Symbol.iterator] === 'function'
  // a promise of a policy, or a live one, has no patterns of its own: as an object of patterns it would pin nothing
  if (!isIterable && nameOf(pins) !== 'an object') {
    throw invalidOption(
      'pins',
      `pins is ${nameOf(pins)}: give an object of host patterns and their pins, and of a promise what it resolves to`,
    )
  }
  const count = out.openCount()
  let sets = 0
  if (isIterable) {
    // just seen to be iterable; each entry is checked below
    for (const entry of pins as Iterable<unknown>) {
      if (!Array.isArray(entry) || entry.length !== 2 || typeof entry[0] !== 'string') {
        throw invalidOption(
          'pins',
          `entry ${sets} of pins is no pair of a host pattern and its pins`,
        )
      }
      writePinSet(out, entry[0], entry[1], caSets)
      sets += 1
    }
  } else {
    for (const pattern of Object.keys(pins)) {
      writePinSet(out, pattern, Reflect.get(pins, pattern), caSets)
      sets += 1
    }
  }
  out.closeCount(count, sets)
}

function writePinSet(out: Writer, pattern: string, value: unknown, caSets: CaSetSource): void {
  out.str(pattern)
  if (isPin(value) || Array.isArray(value)) {
    out.flag(false)
    writePins(out, pattern, value, caSets)
    return
  }
  const set = readOwn(pattern, value, ['pins', 'exclude'])
  const exclude = set.get('exclude')
  if (exclude !== undefined && typeof exclude !== 'boolean') {
    throw badSet(pattern, `exclude is ${nameOf(exclude)}: give true`)
  }
  if (exclude !== true && !set.has('pins'))
    throw badSet(pattern, 'it has neither pins nor exclude: true')
  out.flag(exclude === true)
  writePins(out, pattern, set.get('pins') ?? [], caSets)
}

function writePins(out: Writer, pattern: string, pins: unknown, caSets: CaSetSource): void {
  if (!Array.isArray(pins) && caSetOf(pins) === null) {
    out.u32(1)
    writePin(out, pins, `pins[${JSON.stringify(pattern)}]`, pattern)
    return
  }
  const list = expandSets(pattern, Array.isArray(pins) ? pins : [pins], caSets)
  out.u32(list.length)
  for (let index = 0; index < list.length; index++) {
    writePin(out, list[index], `pins[${JSON.stringify(pattern)}][${index}]`, pattern, index)
  }
}

/** Appends a pin source. `place` is where it stands, for the error. */
export function writePin(
  out: Writer,
  pin: unknown,
  place: string,
  pattern?: string,
  index?: number,
): void {
  if (typeof pin === 'string') {
    out.u8(PinSource.text)
    out.str(pin)
    return
  }
  const bad = (problem: string) =>
    new PolicyError(
      'ERR_POLICY_INVALID_PIN',
      `${place} ${problem}: give "sha256/…", { certificate } or { publicKey }`,
      {
        option: 'pins',
        pattern,
        index,
      },
    )
  if (typeof pin !== 'object' || pin === null || pin instanceof Uint8Array || Array.isArray(pin)) {
    throw bad(`is ${nameOf(pin)}`)
  }
  const keys = Object.keys(pin)
  const [key] = keys
  if (keys.length !== 1 || (key !== 'certificate' && key !== 'publicKey')) {
    throw bad(keys.length === 0 ? 'is an empty object' : `has the properties ${keys.join(', ')}`)
  }
  const bytes: unknown = Reflect.get(pin, key)
  if (typeof bytes !== 'string' && !(bytes instanceof Uint8Array)) {
    throw bad(`has a ${key} that is ${nameOf(bytes)}, neither PEM nor DER`)
  }
  out.u8(key === 'certificate' ? PinSource.certificate : PinSource.publicKey)
  out.blob(bytes)
}

function readOptions(options: unknown): Map<string, unknown> {
  if (typeof options !== 'object' || options === null)
    throw invalidOption('options', `the options of a policy are ${nameOf(options)}: give an object`)
  const known = ['caSets']
  const own = new Map<string, unknown>(Object.entries(options))
  for (const name of own.keys()) {
    if (known.includes(name)) continue
    const nearest = nearestOf(name, known)
    const mend = nearest === undefined ? `there is ${known.join(', ')}` : `did you mean ${nearest}?`
    throw invalidOption(name, `a policy has no option ${JSON.stringify(name)}: ${mend}`)
  }
  return own
}

function isPin(value: unknown): boolean {
  if (typeof value === 'string') return true
  return (
    typeof value === 'object' &&
    value !== null &&
    (Object.hasOwn(value, 'certificate') || Object.hasOwn(value, 'publicKey'))
  )
}

/** The own properties of a pin set, each read once; any but `known` is an error. */
function readOwn(pattern: string, value: unknown, known: readonly string[]): Map<string, unknown> {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
    throw badSet(pattern, `it is ${nameOf(value)}: give a pin, a list of pins or { exclude: true }`)
  }
  const own = new Map<string, unknown>()
  for (const key of Object.keys(value)) {
    if (!known.includes(key))
      throw badSet(pattern, `it has an unknown property ${JSON.stringify(key)}`)
    own.set(key, Reflect.get(value, key))
  }
  return own
}

function badSet(pattern: string, problem: string): PolicyError {
  return new PolicyError(
    'ERR_POLICY_INVALID_OPTION',
    `pins[${JSON.stringify(pattern)}]: ${problem}`,
    {
      option: 'pins',
      pattern,
    },
  )
}
