import { invalidOption, nameOf, PolicyError, type PolicyLocation } from './errors.js'
import { type CompiledPolicy, compilePolicy, lookUpPolicy } from './native.js'
import { nearestOf, noOption } from './nearest.js'
import { isCount, wrongCount } from './numbers.js'
import { type CaSetSource, type CaSetsInput, caSetSource, expandSets } from './policy/ca-sets.js'
import type { VerifyPolicy } from './policy/signature.js'
import type { WatchedPolicy, WatchOptions } from './policy/watch.js'
import { readDate } from './policy-file/check.js'
import type { PinPosition, PolicyRequirement } from './policy-file/model.js'
import {
  Afterwards,
  PinSetFlag,
  PinSource,
  Place,
  PolicyForm,
  Trust,
  Unpinned,
  Writer,
  writeCompiled,
} from './wire.js'

/**
 * One pin: text (`sha256/` + base64; bare base64, `sha256//`, `pin-sha256="…"` and 64 hex digits are read too), or a
 * certificate or public key (PEM or DER) whose key is hashed.
 *
 * `ca:letsencrypt` stands for the keys of all of a CA's roots (see `caSets()`), in a policy with {@link PolicyOptions.caSets}.
 */
export type PinInput =
  | string
  | ({ readonly pin: string } & PinPlace)
  | ({ readonly certificate: string | Uint8Array } & PinPlace)
  | ({ readonly publicKey: string | Uint8Array } & PinPlace)

/** Where a pin counts. */
export interface PinPlace {
  /** The only place of the verified path where it counts: its first certificate, its last, or between. @default everywhere */
  readonly at?: PinPosition | undefined
}

/** What is said of a host pattern besides its pins. */
export interface PinRules {
  /**
   * Whether a bad pin refuses the request; with `report` it is told (`onBadPin`, with `enforced: false`), and the request
   * goes on. @default 'enforce'
   */
  readonly mode?: 'enforce' | 'report' | undefined
  /**
   * How much of the verified path must be pinned: so many of its keys, or one at each of these places; `ca` is an
   * intermediate or the root. @default 1
   */
  readonly require?: PolicyRequirement | undefined
  /** When the pin set ends, and what becomes of its hosts then. @default never */
  readonly expires?:
    | {
        /** A `Date`, or a date as policy files have it: `2027-03-01`. */
        readonly at: Date | string
        /** `enforce` reminds only; `report` tells of bad pins and lets them pass; `refuse` refuses. @default 'enforce' */
        readonly then?: 'enforce' | 'report' | 'refuse' | undefined
      }
    | undefined
  /**
   * What verified paths end in: the client's trust anchors; the certificates of `{ ca }` in their place; or the pinned key
   * itself, for self-signed servers, whose name, dates and signature are verified as ever. @default 'ca'
   */
  readonly trust?: 'ca' | 'pinned-key' | { readonly ca: AnchorsInput } | undefined
}

/** Trust anchors: certificates in PEM (one or many in a text) or DER. */
export type AnchorsInput = string | Uint8Array | readonly (string | Uint8Array)[]

/**
 * The pin set of one host pattern: pins, of which any one is enough unless `require` asks for more. `exclude: true` takes
 * its hosts out of less specific patterns: its own pins, if it has any, then stand in place of theirs.
 */
export type PinSetInput =
  | PinInput
  | readonly PinInput[]
  | ({ readonly pins: PinInput | readonly PinInput[]; readonly exclude?: boolean } & PinRules)
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
  /** What becomes of requests to hosts without pins, unless the client is stricter. @default 'allow' */
  readonly unpinned?: 'allow' | 'warn' | 'refuse' | undefined
  /** Pins that no verified path may hold, whatever else is on it and whichever host it leads to. @default [] */
  readonly blocked?: PinInput | readonly PinInput[] | undefined
}

/** What the engine has made of a policy. */
export let compiledPolicy: (policy: Policy) => CompiledPolicy

/** The policy that was compiled elsewhere. */
export let adoptPolicy: (compiled: CompiledPolicy) => Policy

/** In place of pins: a policy that is there already. */
class Adopted {
  readonly compiled: CompiledPolicy

  constructor(compiled: CompiledPolicy) {
    this.compiled = compiled
  }
}

/** Where the file that a policy was read from says something of a pattern in canonical form. */
export type PolicyLocator = (pattern: string) => PolicyLocation | null

/** Says where the patterns of a policy stand. */
export let setLocator: (policy: Policy, locator: PolicyLocator) => void

/** Where patterns of a policy stand; none of one that is not of a file. */
export let locationsOf: (policy: Policy, patterns: readonly string[]) => PolicyLocation[]

let watchFile: (path: string, options: WatchOptions | undefined) => Promise<WatchedPolicy>

/** Says how a file is watched: policy/watch.ts does, which is made of policies. */
export function setWatch(watch: typeof watchFile): void {
  watchFile = watch
}

/** A pin policy: immutable, checked and compiled, to be given to many clients, which share it. */
export class Policy {
  static {
    compiledPolicy = (policy) => policy.#compiled
    adoptPolicy = (compiled) => new Policy(new Adopted(compiled) as unknown as PinsInput)
    setLocator = (policy, locator) => {
      policy.#locator = locator
    }
    locationsOf = (policy, patterns) => {
      const locator = policy.#locator
      if (locator === null) return []
      return patterns.map(locator).filter((location) => location !== null)
    }
  }

  readonly #compiled: CompiledPolicy
  #locator: PolicyLocator | null = null

  /** Reads and checks `pins`; throws a {@link PolicyError} that names host, index and mend. */
  constructor(pins: PinsInput, options: PolicyOptions = {}) {
    if (pins instanceof Adopted) {
      this.#compiled = pins.compiled
      return
    }
    const given = readOptions(options)
    const caSets = caSetSource(given.get('caSets'))
    const out = new Writer(1024)
    writePolicy(out, pins, caSets, given)
    this.#compiled = compilePolicy(out.written())
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
    return policyLookup(this, authority)
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
  const out = new Writer(pins instanceof Policy ? 8 : 1024)
  writePolicy(out, pins, caSets)
  return out.written()
}

/**
 * Appends a policy. `pins` is the user's: its own entries are read once each, and nothing that it inherits. `options` are
 * those of {@link PolicyOptions} that the record has.
 */
export function writePolicy(
  out: Writer,
  pins: unknown,
  caSets: CaSetSource = caSetSource(undefined),
  options: ReadonlyMap<string, unknown> = new Map(),
): void {
  if (pins instanceof Policy) {
    writeCompiled(out, compiledPolicy(pins).handle)
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
  out.u8(PolicyForm.written)
  const length = out.openCount()
  const count = out.openCount()
  const writer = new SetWriter(out, caSets)
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
      writer.write(entry[0], entry[1])
      sets += 1
    }
  } else {
    for (const pattern of Object.keys(pins)) {
      writer.write(pattern, Reflect.get(pins, pattern))
      sets += 1
    }
  }
  out.closeCount(count, sets)
  out.closeCount(length, out.length - length - 4)
  writer.writeAnchors()
  out.u8(wordOf('unpinned', options.get('unpinned') ?? 'allow', Unpinned, invalidOption))
  writeBlocked(out, options.get('blocked') ?? [], caSets)
}

function writeBlocked(out: Writer, blocked: unknown, caSets: CaSetSource): void {
  const list = expandSets('blocked', Array.isArray(blocked) ? blocked : [blocked], caSets)
  out.u32(list.length)
  for (const [index, pin] of list.entries()) {
    const place = `blocked[${index}]`
    if (placeOf(pin, place) !== 0)
      throw invalidOption('blocked', `${place} has "at": a blocked pin counts everywhere`)
    writePin(out, pin, place, undefined, index, 'blocked')
  }
}

/** Where a pin may stand, and what a place of `require` may be. */
const PLACES: Readonly<Record<string, number>> = {
  leaf: Place.leaf,
  intermediate: Place.intermediate,
  root: Place.root,
}

/** Writes pin sets, and after them the trust anchors that they name. */
class SetWriter {
  readonly #out: Writer
  readonly #caSets: CaSetSource
  /** By what was given: a set of anchors that many hosts have is written once. */
  readonly #anchors = new Map<unknown, { index: number; blobs: readonly (string | Uint8Array)[] }>()

  constructor(out: Writer, caSets: CaSetSource) {
    this.#out = out
    this.#caSets = caSets
  }

  write(pattern: string, value: unknown): void {
    const out = this.#out
    out.str(pattern)
    if (isPin(value) || Array.isArray(value)) {
      this.#pins(pattern, value, 0)
      return
    }
    const set = readOwn(pattern, value, SET_MEMBERS)
    const exclude = set.get('exclude')
    if (exclude !== undefined && typeof exclude !== 'boolean')
      throw badSet(pattern, `exclude is ${nameOf(exclude)}: give true`)
    if (exclude !== true && !set.has('pins'))
      throw badSet(pattern, 'it has neither pins nor exclude: true')
    const rules = RULES.filter((name) => set.get(name) !== undefined)
    if (rules.length > 0 && !set.has('pins'))
      throw badSet(pattern, `an exclusion without pins has no ${rules[0]}`)
    const flags =
      (exclude === true ? PinSetFlag.excludes : 0) | (rules.length > 0 ? PinSetFlag.hasRules : 0)
    this.#pins(pattern, set.get('pins') ?? [], flags)
    if (rules.length > 0) this.#rules(pattern, set)
  }

  /** What {@link write} has referred to. */
  writeAnchors(): void {
    const out = this.#out
    out.u32(this.#anchors.size)
    for (const { blobs } of this.#anchors.values()) {
      out.u32(blobs.length)
      for (const blob of blobs) out.blob(blob)
    }
  }

  #pins(pattern: string, pins: unknown, flags: number): void {
    const out = this.#out
    const isList = Array.isArray(pins)
    const given: readonly unknown[] = isList ? pins : [pins]
    const list = expandSets(pattern, given, this.#caSets)
    const start = out.length
    out.u8(flags)
    out.u32(list.length)
    let places: number[] | null = null
    for (let index = 0; index < list.length; index++) {
      const pin = list[index]
      if (typeof pin === 'string') {
        out.u8(PinSource.text)
        out.str(pin)
        continue
      }
      const name = `pins[${JSON.stringify(pattern)}]`
      const at = isList || list.length > 1 ? `${name}[${index}]` : name
      const place = placeOf(pin, at, pattern, index)
      if (place !== 0) {
        places ??= new Array<number>(list.length).fill(0)
        places[index] = place
      }
      writePin(out, pin, at, pattern, isList ? index : undefined)
    }
    if (places === null) return
    out.bytes[start] = flags | PinSetFlag.hasPlaces
    for (const place of places) out.u8(place)
  }

  #rules(pattern: string, set: ReadonlyMap<string, unknown>): void {
    const out = this.#out
    const bad = (_option: string, problem: string) => badSet(pattern, problem)
    out.u8(wordOf('mode', set.get('mode') ?? 'enforce', { enforce: 0, report: 1 }, bad))
    this.#require(pattern, set.get('require') ?? 1)
    this.#expires(pattern, set.get('expires'))
    const trust = set.get('trust') ?? 'ca'
    if (typeof trust === 'object' && trust !== null && !Array.isArray(trust)) {
      out.u8(Trust.anchors)
      out.u32(this.#anchorsOf(pattern, readOwn(pattern, trust, ['ca'], 'trust').get('ca')))
      return
    }
    out.u8(wordOf('trust', trust, { ca: Trust.ca, 'pinned-key': Trust.pinnedKey }, bad))
  }

  #require(pattern: string, value: unknown): void {
    const out = this.#out
    if (typeof value === 'number') {
      if (!isCount(value, 1, 0xffff_ffff))
        throw badSet(pattern, wrongCount('require', value, 1, 0xffff_ffff))
      out.u8(0)
      out.u32(value)
      return
    }
    if (!Array.isArray(value))
      throw badSet(
        pattern,
        `require is ${nameOf(value)}: give a number of pins, or a list such as ["leaf", "root"]`,
      )
    if (value.length === 0)
      throw badSet(pattern, 'require is an empty list: name a place of the path, such as "leaf"')
    out.u8(1)
    out.u32(value.length)
    const bad = (_option: string, problem: string) => badSet(pattern, problem)
    for (const place of value) out.u8(wordOf('require', place, Place, bad))
  }

  #expires(pattern: string, value: unknown): void {
    const out = this.#out
    out.flag(value !== undefined)
    if (value === undefined) return
    const expires = readOwn(pattern, value, ['at', 'then'], 'expires')
    const given = expires.get('at')
    const at = typeof given === 'string' ? readDate(given) : given
    if (!(at instanceof Date) || Number.isNaN(at.getTime()))
      throw badSet(
        pattern,
        `expires.at is ${typeof given === 'string' ? JSON.stringify(given) : nameOf(given)}: give a Date, ` +
          'a day such as "2027-03-01", or a moment such as "2027-03-01T12:00:00Z"',
      )
    out.i64(Math.floor(at.getTime() / 1000))
    const bad = (_option: string, problem: string) => badSet(pattern, problem)
    out.u8(wordOf('expires.then', expires.get('then') ?? 'enforce', Afterwards, bad))
  }

  /** The number of trust anchors. */
  #anchorsOf(pattern: string, ca: unknown): number {
    const known = this.#anchors.get(ca)
    if (known !== undefined) return known.index
    const blobs: unknown[] = Array.isArray(ca) ? ca : [ca]
    const isBlob = (blob: unknown): blob is string | Uint8Array =>
      typeof blob === 'string' || blob instanceof Uint8Array
    if (blobs.length === 0 || !blobs.every(isBlob))
      throw badSet(
        pattern,
        `trust.ca is ${nameOf(ca)}: give certificates in PEM or DER, or a list of them`,
      )
    const index = this.#anchors.size
    this.#anchors.set(ca, { index, blobs })
    return index
  }
}

/** Where a pin counts, as records say it; 0 for everywhere. */
function placeOf(pin: unknown, place: string, pattern?: string, index?: number): number {
  if (typeof pin !== 'object' || pin === null || !Object.hasOwn(pin, 'at')) return 0
  const at: unknown = Reflect.get(pin, 'at')
  if (at === undefined) return 0
  const bad = (_option: string, problem: string) =>
    new PolicyError('ERR_POLICY_INVALID_OPTION', `${place}: ${problem}`, {
      option: 'pins',
      pattern,
      index,
    })
  return wordOf('at', at, PLACES, bad)
}

/** The number of a word. */
function wordOf(
  option: string,
  value: unknown,
  words: Readonly<Record<string, number>>,
  bad: (option: string, problem: string) => PolicyError,
): number {
  const names = Object.keys(words)
  const number = typeof value === 'string' && Object.hasOwn(words, value) ? words[value] : undefined
  if (number !== undefined) return number
  const nearest = typeof value === 'string' ? nearestOf(value, names) : undefined
  const mend =
    nearest === undefined
      ? `give ${names.map((name) => JSON.stringify(name)).join(' or ')}`
      : `did you mean ${JSON.stringify(nearest)}?`
  throw bad(
    option,
    `${option} is ${typeof value === 'string' ? JSON.stringify(value) : nameOf(value)}: ${mend}`,
  )
}

const RULES = ['mode', 'require', 'expires', 'trust'] as const
const SET_MEMBERS = ['pins', 'exclude', ...RULES]

/** Appends a pin source. `place` is where it stands, for the error. */
export function writePin(
  out: Writer,
  pin: unknown,
  place: string,
  pattern?: string,
  index?: number,
  option: 'pins' | 'blocked' = 'pins',
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
      { option, pattern, index },
    )
  if (typeof pin !== 'object' || pin === null || pin instanceof Uint8Array || Array.isArray(pin)) {
    throw bad(`is ${nameOf(pin)}`)
  }
  const keys = Object.keys(pin).filter((name) => name !== 'at')
  const [key] = keys
  const text: unknown = keys.length === 1 && key === 'pin' ? Reflect.get(pin, key) : undefined
  if (typeof text === 'string') {
    out.u8(PinSource.text)
    out.str(text)
    return
  }
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
  const known = ['caSets', 'unpinned', 'blocked']
  const own = new Map<string, unknown>(Object.entries(options))
  for (const name of own.keys()) {
    if (!known.includes(name)) throw invalidOption(name, noOption('a policy', name, known))
  }
  return own
}

function isPin(value: unknown): boolean {
  if (typeof value === 'string') return true
  return (
    typeof value === 'object' &&
    value !== null &&
    (Object.hasOwn(value, 'certificate') ||
      Object.hasOwn(value, 'publicKey') ||
      typeof Reflect.get(value, 'pin') === 'string')
  )
}

/** The own properties of a pin set, each read once; any but `known` is an error. */
function readOwn(
  pattern: string,
  value: unknown,
  known: readonly string[],
  member?: string,
): Map<string, unknown> {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
    throw badSet(
      pattern,
      member === undefined
        ? `it is ${nameOf(value)}: give a pin, a list of pins or { exclude: true }`
        : `${member} is ${nameOf(value)}: give an object of ${known.join(' and ')}`,
    )
  }
  const own = new Map<string, unknown>()
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) {
      const nearest = nearestOf(key, known)
      const mend = nearest === undefined ? '' : `: did you mean ${JSON.stringify(nearest)}?`
      const what = member ?? 'it'
      throw badSet(pattern, `${what} has an unknown property ${JSON.stringify(key)}${mend}`)
    }
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
