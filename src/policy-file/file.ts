// A policy file: read, checked, and made into a policy for one of its environments. docs/policy-file.md is its manual.

import { promises as files, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import {
  codeOfThrown,
  type ErrorCode,
  invalidArgument,
  invalidOption,
  nameOf,
  PolicyError,
} from '../errors.js'
import { nearestOf, noOption } from '../nearest.js'
import {
  type CaSetChange,
  type CaSetLock,
  type CaSetSource,
  type CaSetsInput,
  caSetChanges,
  caSetOf,
  caSetsOfFile,
  expandSets,
  parseCaSetLock,
} from '../policy/ca-sets.js'
import {
  type PolicySignature,
  type PolicySignatures,
  type PolicyToSign,
  type Signed,
  type SigningKeyInput,
  signPolicy,
  Verifier,
  type VerifyPolicy,
} from '../policy/signature.js'
// biome-ignore lint/suspicious/noImportCycles: types alone
import type { PinInput, PinSetInput, PolicyLocator } from '../policy.js'
// biome-ignore lint/suspicious/noImportCycles: Policy.fromFile loads this file when it is asked for, not before
import { adoptPolicy, Policy, policyLookup, setLocator } from '../policy.js'
import { readApart, type Task } from './apart.js'
import { checkFile, isObject, isSimple } from './check.js'
import {
  type BlockedPin,
  type PinPosition,
  type PolicySet,
  type ReadPin,
  readBlocked,
  readSet,
} from './model.js'
import { type Fault, type Path, PolicySource, type Position, pointerOf } from './source.js'

/** How a policy file is to be read. */
export interface PolicyFileOptions {
  /** The file's name, for errors. */
  readonly file?: string | undefined
  /**
   * Which roots `ca:letsencrypt` and other named sets stand for: those of a lock, or, with `current`, those that this
   * version of pinfetch has. `PolicyFile.read` looks for the lock beside the file. @default none: such sets are refused
   */
  readonly caSets?: CaSetsInput | undefined
}

/** How the file of a policy is to be read. */
export interface ReadOptions {
  /**
   * Whose signatures the file must have. One that is not signed by them, or older than what was seen, or whose signature
   * has ended, is refused. @default none: whoever can write the file says what is pinned
   */
  readonly verify?: VerifyPolicy | Verifier | undefined
}

/** Which policy of a file is meant. */
export interface EnvironmentOptions {
  /** The environment: to be given for a file that has some, and for no other. */
  readonly environment?: string | undefined
}

/** Something that is wrong in a policy file. */
export interface PolicyProblem extends Position {
  readonly code: ErrorCode
  readonly message: string
  /** Where in the file: a JSON pointer (RFC 6901). */
  readonly pointer: string
}

/** A host pattern and what a file says of it, as {@link Policy} takes it. */
type Entry = readonly [pattern: string, pins: PinSetInput]

/** One pattern of the file that counts in an environment. */
interface Placed {
  readonly path: Path
  readonly value: unknown
}

/** A policy file as it lies on the disk. */
export interface Loaded extends Signed {
  readonly path: string
  readonly signature: PolicySignature | null
}

/** A file of so many bytes is read by a thread of its own: about five thousand hosts, which take some 50 ms. */
const LARGEST_HERE = 1024 * 1024

/** Texts past this length are not kept for the sake of their places, in UTF-16 code units. */
const LARGEST_LOCATED = 16 * 1024 * 1024

/** No more problems of pins and patterns are looked for than a person reads. */
const MOST_PROBLEMS = 100

/** A policy file, its shape checked; one for all environments. */
export class PolicyFile {
  /** Its name, if it was given one. */
  readonly name: string | null
  /** The text that was read. */
  readonly text: string
  /** The names of its environments; none for a file that holds for all. */
  readonly environments: readonly string[]
  /** As of when its named sets are taken, if that was said. */
  readonly lock: CaSetsInput | null
  readonly #source: PolicySource
  readonly #root: Record<string, unknown>
  readonly #caSets: CaSetSource
  #signature: PolicySignature | null = null
  /** What was read, byte for byte. */
  #signed: Signed | null = null

  /** Reads `text`; throws a {@link PolicyError} for the first place where its shape is wrong. */
  constructor(text: string, options: PolicyFileOptions = {}) {
    readOnly(options, ['file', 'caSets'])
    if (typeof text !== 'string')
      throw invalidArgument(`text is ${nameOf(text)}: give what a policy file holds`)
    this.name = options.file ?? null
    this.text = text
    this.lock = options.caSets ?? null
    this.#caSets = caSetsOfFile(options.caSets, this.name)
    this.#source = new PolicySource(text)
    const [first] = faultsOf(this.#source)
    if (first !== undefined) throw this.#error(first)
    // an object, else there were a fault
    this.#root = this.#source.value as Record<string, unknown>
    const { environments } = this.#root
    this.environments =
      !isSimple(this.#root) && isObject(environments) ? Object.keys(environments) : []
  }

  /** Reads the file at `path`; rejects with the system's error, or a {@link PolicyError} for what the file says. */
  static async read(path: string, options: ReadOptions = {}): Promise<PolicyFile> {
    readOnly(options, ['verify'])
    return PolicyFile.of(await load(path, verifierOf(options.verify)))
  }

  /** What was loaded, read. @internal */
  static of({ path, policy, lock, signature }: Loaded): PolicyFile {
    let text: string
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(policy)
    } catch (cause) {
      throw new PolicyError(
        'ERR_POLICY_INVALID_OPTION',
        `${path}: no JSON: it is no UTF-8`,
        { file: path },
        { cause },
      )
    }
    const caSets =
      lock === null
        ? undefined
        : parseCaSetLock(Buffer.from(lock).toString(), PolicyFile.lockNameOf(path))
    const file = new PolicyFile(text, { file: path, caSets })
    file.#signature = signature
    file.#signed = { policy, lock }
    if (signature !== null) file.#refuseUnsigned()
    return file
  }

  /** The name of the lock of the policy file at `path`: `policy.lock.json` for `policy.json`. */
  static lockNameOf(path: string): string {
    return `${path.replace(/\.json$/i, '')}.lock.json`
  }

  /** The lock of the policy file at `path`, if it has one; rejects as {@link read} does. */
  static async readLock(path: string): Promise<CaSetLock | undefined> {
    const name = PolicyFile.lockNameOf(path)
    const bytes = await readIfThere(name)
    return bytes === null ? undefined : parseCaSetLock(bytes.toString(), name)
  }

  /**
   * Everything that is wrong in `text`, in its order; nothing for a file that can be used in each environment.
   *
   * Throws a {@link PolicyError} for a lock that cannot be read.
   */
  static check(text: string, options: PolicyFileOptions = {}): readonly PolicyProblem[] {
    const source = new PolicySource(text)
    let faults = faultsOf(source)
    if (faults.length === 0) {
      const file = new PolicyFile(text, options)
      const names = file.environments.length === 0 ? [undefined] : file.environments
      faults = names.flatMap((environment) => {
        const placed = file.#placed(environment)
        return placed.length === 0 ? [emptyFault(environment)] : file.#contentFaults(placed)
      })
    }
    const problems = new Map<string, PolicyProblem>() // of a common host each environment tells
    for (const fault of faults) {
      const { code, message } = fault
      const pointer = pointerOf(fault.path)
      problems.set(`${pointer} ${message}`, { code, message, pointer, ...source.positionOf(fault) })
    }
    return [...problems.values()].sort((a, b) => a.line - b.line || a.column - b.column)
  }

  /** What holds in an environment; throws a {@link PolicyError} for a pin or pattern that cannot be read. */
  in(environment?: string | undefined): FilePolicy {
    this.#select(environment)
    const placed = this.#placed(environment)
    if (placed.length === 0) throw this.#error(emptyFault(environment))
    const own =
      isObject(this.#root.environments) && environment !== undefined
        ? this.#root.environments[environment]
        : {}
    const isPlain = isSimple(this.#root)
    const said = (isObject(own) ? own.unpinned : undefined) ?? this.#root.unpinned
    const unpinned = isPlain ? 'allow' : ((said ?? 'allow') as Unpinned) // checked
    const policy = this.#compile(placed, unpinned)
    const locator = locatorIn(this, environment)
    if (locator !== null) setLocator(policy, locator)
    const blocked = isPlain || !Array.isArray(this.#root.blocked) ? [] : this.#root.blocked
    return new FilePolicy({
      environment: environment ?? null,
      unpinned,
      blocked: blocked.flatMap((pin, index) => readBlocked(['blocked', index], pin, this.#read)),
      read: this.#read,
      caSets: this.#caSets,
      placed,
      policy,
      locator,
      refuse: (path, message) => this.#error({ code: 'ERR_POLICY_INVALID_OPTION', path, message }),
      explain: (error) => this.#explain(error, placed),
      readAnchors: (name, path) => this.#readAnchors(name, path),
    })
  }

  /** What its signature says; null for a file whose signature nobody asked for. */
  get signature(): PolicySignature | null {
    return this.#signature
  }

  /**
   * Signs the file, and its lock if it has named sets, byte for byte as {@link read} has read them.
   *
   * Throws a {@link PolicyError} for a policy that cannot be used in one of its environments, for one that needs files
   * which are not signed with it (`trust: { ca }`), and for a key that is none of Ed25519.
   */
  sign(
    as: Pick<PolicyToSign, 'name' | 'version' | 'expires'>,
    keys: SigningKeyInput | readonly SigningKeyInput[],
  ): PolicySignatures {
    if (this.#signed === null)
      throw invalidArgument(
        'the policy was not read from a file: use PolicyFile.read, or signPolicy',
      )
    for (const environment of this.environments.length === 0 ? [undefined] : this.environments)
      this.in(environment)
    this.#refuseUnsigned()
    return signPolicy({ ...as, ...this.#signed }, keys)
  }

  /** The named sets that it has, in any of its environments: `letsencrypt`, where `ca:letsencrypt` stands for a pin. */
  get caSets(): ReadonlySet<string> {
    const all = [
      ...this.#placed(undefined),
      ...this.environments.flatMap((name) => this.#placed(name)),
    ]
    const pins = all.flatMap(({ value }) =>
      listOf(isObject(value) && 'pins' in value ? value.pins : value),
    )
    const names = [...pins, ...this.#blockedValues()].map(caSetOf)
    return new Set(names.filter((name) => name !== null))
  }

  /** Where the sets of its lock differ from those that this version of pinfetch has; nothing changes by itself. */
  get caSetChanges(): readonly CaSetChange[] {
    if (this.lock === null || this.lock === 'current') return []
    const used = this.caSets
    return caSetChanges(this.lock).filter(({ name }) => used.has(name))
  }

  /** Where the value at `pointer` (RFC 6901) begins. */
  positionOf(pointer: string): Position {
    const parts = pointer.split('/').slice(1)
    const path = parts.map((part) => part.replace(/~1/g, '/').replace(/~0/g, '~'))
    return this.#source.positionOf({ path: this.#typed(path) })
  }

  /** `path` with numbers for the indices of lists. */
  #typed(path: readonly string[]): Path {
    let value: unknown = this.#root
    return path.map((part) => {
      const key = Array.isArray(value) ? Number(part) : part
      value = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
      return key
    })
  }

  /** The pins, in their one form, that stand in a place which was compiled before. */
  readonly #read: ReadPin = (pin) => {
    const name = caSetOf(pin)
    return name === null ? [canonicalPin(pin)] : this.#caSets.pinsOf(name)
  }

  /** Refuses what would come from files that are not signed with it. */
  #refuseUnsigned(): void {
    for (const environment of [undefined, ...this.environments]) {
      for (const { path, value } of this.#placed(environment)) {
        if (!isObject(value) || !isObject(value.trust)) continue
        throw this.#error({
          code: 'ERR_POLICY_UNSIGNED',
          path: [...path, 'trust'],
          message:
            "the certificates of another file are not signed with the policy: give them as the client's ca",
        })
      }
    }
  }

  #select(environment: string | undefined): void {
    const names = this.environments
    if (environment === undefined) {
      if (names.length === 0) return
      throw this.#wrongEnvironment(`it has environments: give one of ${quoted(names)}`)
    }
    if (names.includes(environment)) return
    const nearest = nearestOf(environment, names)
    const known = names.length === 0 ? 'it has none' : `it has ${quoted(names)}`
    const mend = nearest === undefined ? known : `did you mean ${JSON.stringify(nearest)}?`
    throw this.#wrongEnvironment(`it has no environment ${JSON.stringify(environment)}: ${mend}`)
  }

  #wrongEnvironment(message: string): PolicyError {
    return new PolicyError(
      'ERR_POLICY_INVALID_OPTION',
      this.name === null ? message : `${this.name}: ${message}`,
      {
        option: 'environment',
        file: this.name ?? undefined,
      },
    )
  }

  /** The patterns that count in an environment, those for all of them first. */
  #placed(environment: string | undefined): Placed[] {
    return placedOf(this.#root, environment)
  }

  /** Has the engine read pins and patterns. */
  #compile(placed: readonly Placed[], unpinned: Unpinned): Policy {
    try {
      return compileAll(placed, this.#blockedValues(), this.#caSets, unpinned)
    } catch (error) {
      throw this.#explain(error, placed)
    }
  }

  /** What the engine complains of, with its place. */
  #explain(error: unknown, placed: readonly Placed[]): PolicyError {
    return this.#error(faultOf(error, placed), error)
  }

  /** The certificates in the file `name`, which is named from the policy file's folder. */
  #readAnchors(name: string, path: Path): Buffer {
    try {
      return readFileSync(resolve(this.name === null ? '.' : dirname(this.name), name))
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw this.#error(
        {
          code: 'ERR_POLICY_INVALID_CA',
          path: [...path, 'trust', 'ca'],
          message: `the trust anchors cannot be read: ${reason}`,
        },
        cause,
      )
    }
  }

  /** What the engine says of pins and patterns: of each place the first. */
  #contentFaults(placed: readonly Placed[]): Fault[] {
    const faults: Fault[] = []
    let left = [...placed]
    let blocked = this.#blockedValues()
    while (faults.length < MOST_PROBLEMS) {
      try {
        compileAll(left, blocked, this.#caSets)
        break
      } catch (error) {
        const fault = faultOf(error, left)
        faults.push(fault)
        if (fault.path[0] === 'blocked') blocked = []
        const rest = left.filter(
          ({ path }) => !path.every((part, index) => part === fault.path[index]),
        )
        if (fault.path[0] !== 'blocked' && rest.length === left.length) break
        left = rest
      }
    }
    return faults
  }

  #blockedValues(): readonly unknown[] {
    const { blocked } = this.#root
    return isSimple(this.#root) || !Array.isArray(blocked) ? [] : blocked
  }

  #error(fault: Fault, cause?: unknown): PolicyError {
    const { line, column } = this.#source.positionOf(fault)
    const pointer = pointerOf(fault.path)
    const start =
      this.name === null ? `line ${line}, column ${column}` : `${this.name}:${line}:${column}`
    const known: unknown = cause instanceof PolicyError ? cause : undefined
    const { pattern, index, input } = (known ?? {}) as {
      pattern?: string
      index?: number
      input?: string
    }
    return new PolicyError(
      fault.code,
      `${start}: ${pointer === '' ? '' : `${pointer}: `}${fault.message}`,
      { pattern, index, input, file: this.name ?? undefined, line, column, pointer },
      cause === undefined ? undefined : { cause },
    )
  }
}

/** What becomes of requests to hosts without pins. */
export type Unpinned = 'allow' | 'warn' | 'refuse'

interface FilePolicyParts {
  readonly environment: string | null
  readonly unpinned: Unpinned
  readonly blocked: readonly BlockedPin[]
  readonly placed: readonly Placed[]
  readonly policy: Policy
  readonly read: ReadPin
  readonly caSets: CaSetSource
  readonly locator: PolicyLocator | null
  readonly refuse: (path: Path, message: string) => PolicyError
  readonly explain: (error: unknown) => PolicyError
  readonly readAnchors: (name: string, path: Path) => Buffer
}

/** What a policy file says for one environment. */
export class FilePolicy {
  /** The environment; null for a file without any. */
  readonly environment: string | null
  /** What becomes of requests to hosts without pins. */
  readonly unpinned: Unpinned
  /** The pins that no path may hold. */
  readonly blocked: readonly BlockedPin[]
  readonly #parts: FilePolicyParts
  #sets: ReadonlyMap<string, PolicySet> | undefined

  /** @internal */
  constructor(parts: FilePolicyParts) {
    this.environment = parts.environment
    this.unpinned = parts.unpinned
    this.blocked = parts.blocked
    this.#parts = parts
  }

  /** What is said of each host pattern, in the file's order. */
  get sets(): ReadonlyMap<string, PolicySet> {
    this.#sets ??= new Map(
      this.#parts.placed.map(({ path, value }) => {
        const set = readSet(path, value, this.#parts.read)
        return [set.pattern, set]
      }),
    )
    return this.#sets
  }

  /** The files of trust anchors that its sets name (`trust: { ca }`), from the policy file's folder. */
  get anchorFiles(): ReadonlySet<string> {
    const names = new Set<string>()
    for (const { value } of this.#parts.placed) {
      const name = fileOfAnchors(value)
      if (name !== null) names.add(name)
    }
    return names
  }

  /** The patterns and pins in force for `host[:port]` (port 443 by default). Throws a TypeError for a bad host. */
  lookup(authority: string): ReturnType<Policy['lookup']> {
    return this.#parts.policy.lookup(authority)
  }

  /**
   * The patterns and their pins, as {@link Client} takes them beside {@link unpinned}.
   *
   * Throws a {@link PolicyError} for blocked pins, which are no host's and would be passed over ({@link toPolicy} has
   * them), and for trust anchors that cannot be read.
   */
  toPins(): (readonly [pattern: string, pins: PinSetInput])[] {
    if (this.blocked.length > 0)
      throw this.#parts.refuse(['blocked'], 'blocked pins are no host’s: use toPolicy()')
    return this.#entries()
  }

  /**
   * The policy, to be given to clients; with `more` pin sets besides those of the file.
   *
   * Throws a {@link PolicyError} for trust anchors that cannot be read, and for what cannot be read of `more`.
   */
  toPolicy(more: Iterable<readonly [pattern: string, pins: PinSetInput]> = []): Policy {
    const { policy, placed, locator, explain } = this.#parts
    const others = [...more]
    if (others.length === 0 && !placed.some(({ value }) => fileOfAnchors(value) !== null))
      return policy
    const entries = this.#entries()
    try {
      const whole = new Policy([...entries, ...others], {
        unpinned: this.unpinned,
        blocked: this.blocked.map(({ pin }) => pin),
      })
      if (locator !== null) setLocator(whole, locator)
      return whole
    } catch (error) {
      throw explain(error)
    }
  }

  #entries(): Entry[] {
    const { placed, caSets, readAnchors } = this.#parts
    const known = new Map<string, Buffer>()
    return placed.map((of) => {
      const entry = expanded(entryOf(of), caSets)
      const name = fileOfAnchors(of.value)
      if (name === null) return entry
      const ca = known.get(name) ?? readAnchors(name, of.path)
      known.set(name, ca)
      const [pattern, pins] = entry
      const set = Array.isArray(pins) ? { pins } : (pins as { pins: PinInput[] }) // a set with trust has pins
      return [pattern, { ...set, trust: { ca } }]
    })
  }
}

/** The file of trust anchors that a set names; null for one that names none. */
function fileOfAnchors(value: unknown): string | null {
  const trust: unknown = isObject(value) ? value.trust : undefined
  return isObject(trust) && typeof trust.ca === 'string' ? trust.ca : null
}

/** What `Policy.fromFile` gives. */
export async function policyFromFile(
  path: string,
  options: EnvironmentOptions & ReadOptions = {},
): Promise<Policy> {
  return (await readPolicy(path, options)).policy
}

/** What reading the file of a policy has brought. */
export interface ReadPolicy {
  readonly policy: Policy
  readonly signature: PolicySignature | null
  /** The files of trust anchors that it names, from the policy file's folder. */
  readonly anchorFiles: ReadonlySet<string>
}

/** The policy of a file, what its signature says, and what else belongs to it. */
export async function readPolicy(
  path: string,
  options: EnvironmentOptions & ReadOptions,
): Promise<ReadPolicy> {
  readOnly(options, ['environment', 'verify'])
  const { environment } = options
  const loaded = await load(path, verifierOf(options.verify))
  const { signature } = loaded
  const here = () => ({ ...readTask({ loaded, environment }), signature })
  if (loaded.policy.length < LARGEST_HERE) return here()
  // before the bytes are another thread's
  const text =
    loaded.policy.length > LARGEST_LOCATED ? null : new TextDecoder().decode(loaded.policy)
  const read = await readApart({ loaded, environment })
  if (read === null) return here()
  const policy = adoptPolicy(read.policy)
  const locator = locatorIn({ name: path, text }, environment)
  if (locator !== null) setLocator(policy, locator)
  return { policy, anchorFiles: new Set(read.anchorFiles), signature }
}

/** Reads what was loaded, in the thread that runs this. */
export function readTask({ loaded, environment }: Task) {
  const file = PolicyFile.of(loaded)
  const own = file.in(environment)
  return { policy: own.toPolicy(), anchorFiles: own.anchorFiles }
}

/** Loads a policy file with its lock, and has its signature verified where one is asked for. */
async function load(path: string, verifier: Verifier | null): Promise<Loaded> {
  const policy = await files.readFile(path)
  // named sets are the lock's to tell, so the lock is signed with the file
  const lock = policy.includes('"ca:') ? await readIfThere(PolicyFile.lockNameOf(path)) : null
  const signature = verifier === null ? null : await verifier.verify(path, { policy, lock })
  return { path, policy, lock, signature }
}

/**
 * Reads a policy file's text, as {@link Policy.fromFile} reads a file.
 *
 * Throws a {@link PolicyError} that names file, line, column and JSON pointer.
 */
export function parsePolicy(
  text: string,
  options: PolicyFileOptions & EnvironmentOptions = {},
): Policy {
  readOnly(options, ['file', 'caSets', 'environment'])
  const { environment, ...own } = options
  return new PolicyFile(text, own).in(environment).toPolicy()
}

/** Where the patterns of a file stand, told by its text and not by what was made of it; null for one that is too long. */
function locatorIn(
  { name, text }: { readonly name: string | null; readonly text: string | null },
  environment: string | undefined,
): PolicyLocator | null {
  if (text === null || text.length > LARGEST_LOCATED) return null
  return (pattern) => {
    const source = new PolicySource(text)
    const root = source.value as Record<string, unknown> // it was read before
    const placed = placedOf(root, environment)
    const isIt = (spelt: unknown) => spelt === pattern
    const found =
      placed.find(({ path }) => isIt(path.at(-1))) ??
      placed.find(({ path }) => isIt(canonicalPattern(String(path.at(-1)))))
    if (found === undefined) return null
    const { path } = found
    return { pattern, file: name, ...source.positionOfName(path), pointer: pointerOf(path) }
  }
}

/** What is wrong with the shape of a file. */
function faultsOf(source: PolicySource): Fault[] {
  if (source.fault !== null) return [source.fault]
  const { value } = source
  const isPlain = isSimple(value)
  const { faults, members } = isPlain ? checkSimple(value) : checkFile(value)
  if (faults.length === 0 && source.countMembers() === members) return []
  const repeated = source.repeated().map(({ path, offset }): Fault => {
    const isHost = isPlain ? path.length === 1 : path.at(-2) === 'hosts'
    return {
      code: isHost ? 'ERR_POLICY_DUPLICATE_HOST' : 'ERR_POLICY_INVALID_OPTION',
      path,
      offset,
      message: `${JSON.stringify(String(path.at(-1)))} stands there twice: the first would be passed over`,
    }
  })
  return [...faults, ...repeated]
}

/** An environment without a host: what would be unpinned there is everything. */
function emptyFault(environment: string | undefined): Fault {
  const path = environment === undefined ? [] : ['environments', environment]
  return { code: 'ERR_POLICY_EMPTY_PIN_SET', path, message: 'it has no hosts', isOfName: true }
}

/** A map of host patterns and their pins: the shape of each is {@link Policy}'s to check. */
function checkSimple(value: unknown): { faults: Fault[]; members: number } {
  if (isObject(value) && Object.keys(value).length === 0) {
    const message = 'it has no hosts'
    return { faults: [{ code: 'ERR_POLICY_EMPTY_PIN_SET', path: [], message }], members: 0 }
  }
  let members = 0
  let level = [value]
  for (let depth = 0; depth < 5 && level.length > 0; depth++) {
    const next: unknown[] = []
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue
      const values = Object.values(item)
      if (!Array.isArray(item)) members += values.length
      for (const inner of values) if (typeof inner === 'object' && inner !== null) next.push(inner)
    }
    level = next
  }
  return { faults: [], members }
}

/** The patterns that count in an environment of the file `root`. */
function placedOf(root: Record<string, unknown>, environment: string | undefined): Placed[] {
  if (isSimple(root)) return placedIn(root, [])
  const { hosts, environments } = root
  const own =
    isObject(environments) && environment !== undefined ? environments[environment] : undefined
  return [
    ...placedIn(hosts, ['hosts']),
    ...(isObject(own) ? placedIn(own.hosts, ['environments', environment ?? '', 'hosts']) : []),
  ]
}

function placedIn(hosts: unknown, path: Path): Placed[] {
  if (!isObject(hosts)) return []
  return Object.keys(hosts).map((pattern) => ({ path: [...path, pattern], value: hosts[pattern] }))
}

/** As {@link Policy} takes it: pins alone, without what is known of them. */
function entryOf({ path, value }: Placed): Entry {
  const pattern = String(path.at(-1))
  if (path.length === 1) return [pattern, value as PinSetInput] // a file without a version: checked by Policy
  if (!isObject(value)) return [pattern, (Array.isArray(value) ? value : []).map(sourceOf)]
  const { pins, exclude, mode, require, expires, trust } = value
  const sources = (Array.isArray(pins) ? pins : []).map(sourceOf)
  const said = {
    exclude: exclude === true ? true : undefined,
    mode,
    require,
    expires,
    trust: isObject(trust) ? undefined : trust, // certificates of a file are read when the policy is to be used
  }
  if (Object.values(said).every((value) => value === undefined)) return [pattern, sources]
  if (sources.length === 0) return [pattern, { exclude: true }]
  return [pattern, { ...said, pins: sources } as PinSetInput] // checked
}

/** A pin without what are notes to people. */
function sourceOf(pin: unknown): PinInput {
  if (!isObject(pin)) return String(pin)
  const text = String(pin.pin)
  return pin.at === undefined ? text : { pin: text, at: pin.at as PinPosition } // checked
}

/** A blocked pin, likewise. */
function blockedOf(pin: unknown): string {
  return String(isObject(pin) ? pin.pin : pin)
}

function compileAll(
  placed: readonly Placed[],
  blocked: readonly unknown[],
  caSets: CaSetSource,
  unpinned: Unpinned = 'allow',
): Policy {
  return new Policy(
    placed.map((entry) => expanded(entryOf(entry), caSets)),
    { unpinned, blocked: blockedPins(blocked, caSets) },
  )
}

function blockedPins(blocked: readonly unknown[], caSets: CaSetSource): readonly PinInput[] {
  try {
    return expandSets('', blocked.map(blockedOf), caSets) as PinInput[] // texts, as they were
  } catch (error) {
    throw new BlockedError(error)
  }
}

/** An entry with the pins of its named sets. */
function expanded([pattern, pins]: Entry, caSets: CaSetSource): Entry {
  // of a file without a version
  if (isObject(pins) && 'pins' in pins) {
    if (!listOf(pins.pins).some((pin) => caSetOf(pin) !== null))
      return [pattern, pins as PinSetInput]
    const [, own] = expanded([pattern, pins.pins as PinSetInput], caSets)
    return [pattern, { ...pins, pins: own } as PinSetInput]
  }
  if (!Array.isArray(pins) && caSetOf(pins) === null) return [pattern, pins]
  return [pattern, expandSets(pattern, listOf(pins), caSets) as PinSetInput] // what they were, and texts
}

/** What was wrong is a blocked pin. */
class BlockedError extends Error {
  constructor(cause: unknown) {
    super('a blocked pin cannot be read', { cause })
  }
}

/** Where in the file is what the engine complains of. */
function faultOf(error: unknown, placed: readonly Placed[]): Fault {
  const isSet = error instanceof BlockedError
  const cause: unknown = isSet ? error.cause : error
  if (!(cause instanceof PolicyError)) throw cause
  const isBlocked = isSet || (cause.pattern === undefined && cause.index !== undefined)
  // `pins["api.example.com"][1]: ` is the place; the file has a better one
  const message = cause.message.replace(
    /^(?:pins\["(?:[^"\\]|\\.)*"\](?:\[\d+\])?|blocked\[\d+\]):? ?/,
    '',
  )
  const at = cause.index === undefined ? [] : [cause.index]
  if (isBlocked) return { code: cause.code, message, path: ['blocked', ...at] }
  const named = placed.filter(({ path }) => path.at(-1) === cause.pattern)
  const isTwice = cause.code === 'ERR_POLICY_DUPLICATE_HOST'
  const found = isTwice ? named.at(-1) : named[0]
  if (found === undefined) return { code: cause.code, message, path: [] }
  const { path, value } = found
  const pins = isObject(value) && 'pins' in value && at.length > 0 ? ['pins'] : []
  return { code: cause.code, message, path: [...path, ...pins, ...at], isOfName: at.length === 0 }
}

/** The one form of a host pattern that the engine has read before. */
function canonicalPattern(text: string): string | undefined {
  const [, star, rest = ''] = /^(\*{1,2}\.)?(.*)$/.exec(text) ?? []
  const name = /^[^[]*:.*:/.test(rest) ? `[${rest}]` : rest // as URLs have an IPv6 address
  const host = star === undefined ? name : `x.${name}`
  return policyLookup([[text, `sha256/${'A'.repeat(43)}=`]], host).patterns[0]
}

/** The one form of a pin that the engine has read before. */
function canonicalPin(pin: unknown): string {
  if (typeof pin === 'string') {
    if (/^[0-9a-fA-F]{64}$/.test(pin)) return `sha256/${Buffer.from(pin, 'hex').toString('base64')}`
    return `sha256/${pin.replace(/"$/, '').slice(-44)}`
  }
  const [only = ''] = policyLookup([['pin.invalid', pin as PinSetInput]], 'pin.invalid').pins
  return only
}

/** What the file `name` holds; null where there is none. */
async function readIfThere(name: string): Promise<Buffer | null> {
  try {
    return await files.readFile(name)
  } catch (error) {
    if (codeOfThrown(error) === 'ENOENT') return null
    throw error
  }
}

/** Refuses options of other names: a misspelt `verify` would believe everybody. */
function readOnly(options: object, names: readonly string[]): void {
  if (typeof options !== 'object' || options === null)
    throw invalidOption('options', `the options are ${nameOf(options)}: give an object`)
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) throw invalidOption(name, noOption('a policy file', name, names))
  }
}

/** What verifies; a watched file has one that remembers. */
function verifierOf(verify: VerifyPolicy | Verifier | undefined): Verifier | null {
  if (verify === undefined) return null
  return verify instanceof Verifier ? verify : new Verifier(verify)
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value]
}

function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(', ')
}
