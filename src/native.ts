import { loadAddon, packageOfTarget } from './addon.js'
import { errorOf } from './errors.js'
import {
  type BuiltInAnchors,
  type DescribedInput,
  type Failure,
  type PathCertificate,
  Reader,
  readAnchors,
  readDescribedInputs,
  readDescribedPath,
  readFailure,
} from './wire.js'

/** The engine of a Node environment, as the addon offers it. Records go in and out; see `wire.ts`. */
export interface NativeEngine {
  /** Makes a client from its configuration; answers with a Reply. */
  createClient(config: Uint8Array): Buffer
  /** What the requests of `client` through each proxy have come to. */
  proxyStats(client: number): Buffer
  /** Lets requests of `client` go through a proxy again; answers with a Reply. */
  releaseProxy(client: number, url: string): Buffer
  /** Makes a policy that clients share; answers with a Reply. */
  createLivePolicy(policy: Uint8Array): Buffer
  /** How many clients share a policy. */
  livePolicyClients(policy: number): number
  /** What the handshakes of `client` have shown of its pins. */
  metrics(client: number): Buffer
  /** What the handshakes of all clients that share a policy have shown. */
  liveMetrics(policy: number): Buffer
  /** The hosts that requests of `client` went to. */
  coverage(client: number): Buffer
  /** Tries a policy on the traffic of `client`; answers with a Reply. */
  rehearse(client: number, policy: Uint8Array): Buffer
  /** Tries a policy on the traffic of all clients that share another; answers with a Reply. */
  rehearseLive(live: number, policy: Uint8Array): Buffer
  /** What a rehearsal has shown so far. */
  rehearsalReport(rehearsal: number): Buffer
  /** Ends a rehearsal; its report stays. */
  endRehearsal(rehearsal: number): void
  /** Asks something of a cookie jar; answers with a Reply. */
  cookieJar(request: Uint8Array): Buffer
  /** Takes the records in `submissions[..length]`; the buffer is the caller's again on return. */
  submit(submissions: Uint8Array, length: number): void
  /** The oldest records that were not taken yet; null when there are none. */
  drain(): Buffer | null
  /** The large body behind a token, once. */
  takeBody(token: number): Buffer
  /** Whether libuv's own handle wakes JavaScript, rather than Node-API's thread-safe function. */
  readonly onLibuv: boolean
  /** Keeps the process alive. */
  ref(): void
  /** Lets the process end. */
  unref(): void
  /** Ends every request and connection, and the threads. */
  shutdown(): void
}

/** A policy that the engine has compiled; held by its object. */
export interface CompiledPolicy {
  /** What records name it by. */
  readonly handle: number
  /** Whether both say the same, in the same order. */
  equals(other: CompiledPolicy): boolean
}

interface Addon {
  Engine: new (wake: () => void, onLibuv: boolean, threads: number) => NativeEngine
  verifyChain(request: Uint8Array): Buffer
  compilePolicy(policy: Uint8Array): CompiledPolicy | Buffer
  adoptPolicy(handle: number): CompiledPolicy
  readPolicyFile(text: Uint8Array, sets: Uint8Array): Promise<CompiledPolicy | null>
  policyLookup(policy: Uint8Array, authority: string): Buffer
  describePath(path: Uint8Array): Buffer
  describeInputs(file: Uint8Array, name: string): Buffer
  builtInAnchors(): Buffer
  versions(): string
}

let loaded: Addon | undefined

function addon(): Addon {
  loaded ??= loadAddon()
  return loaded
}

/** Starts an engine on so many threads; `wake` is called when completions are waiting, once a batch. */
export function startEngine(wake: () => void, threads: number): NativeEngine {
  // Bun and Deno report a version of libuv too, but their loop is another: what they export of libuv must not be called
  const { uv, bun, deno } = process.versions
  const onLibuv = uv !== undefined && bun === undefined && deno === undefined
  return new (addon().Engine)(wake, onLibuv, threads)
}

/** The payload of a Reply; throws the error that it tells instead. */
export function answer(reply: Buffer): Reader {
  const record = new Reader(reply)
  if (record.u8() !== 0) throw toError(readFailure(record))
  return record
}

/** The error that a record tells of, its verified path described. */
export function toError(failure: Failure): Error {
  return errorOf(failure, failure.foundPath === undefined ? [] : describePath(failure.foundPath))
}

/** What the certificates of a path block say of themselves. */
export function describePath(path: Uint8Array): PathCertificate[] {
  return readDescribedPath(addon().describePath(path))
}

/** The keys that a file holds: certificates, public keys, private keys, certificate requests (PEM or DER). */
export function describeInputs(file: Uint8Array, name: string): DescribedInput[] {
  return readDescribedInputs(answer(addon().describeInputs(file, name)))
}

/** The trust anchors that are built in. */
export function builtInAnchors(): BuiltInAnchors {
  return readAnchors(new Reader(addon().builtInAnchors()))
}

/** A verdict on an encoded chain: a Reply, unopened. */
export function verifyChainRecord(request: Uint8Array): Buffer {
  return addon().verifyChain(request)
}

/** Compiles an encoded policy; throws what is wrong with it. */
export function compilePolicy(policy: Uint8Array): CompiledPolicy {
  const compiled = addon().compilePolicy(policy)
  if (Buffer.isBuffer(compiled)) {
    answer(compiled)
    throw new Error('a Reply without an error') // none of the engine's
  }
  return compiled
}

/**
 * The policy in the text of a file, read by another thread; null where `src/policy-file` is to read it, which can say what
 * is wrong. `sets` are the pins of named sets, encoded. Nobody may change the text meanwhile.
 */
export function readPolicyText(text: Uint8Array, sets: Uint8Array): Promise<CompiledPolicy | null> {
  return addon().readPolicyFile(text, sets)
}

/** The policy that another thread of the process holds by `handle`. */
export function takePolicy(handle: number): CompiledPolicy {
  return addon().adoptPolicy(handle)
}

/** The patterns and pins in force for `authority` under an encoded policy. */
export function lookUpPolicy(
  policy: Uint8Array,
  authority: string,
): { patterns: string[]; pins: string[] } {
  const record = answer(addon().policyLookup(policy, authority))
  return { patterns: record.strs(), pins: record.pins() }
}

/**
 * The versions of pinfetch and of what it is made of, for people: `pinfetch`, `tls`, `paths`, `crypto`, `roots`, `http`;
 * the `target` that the binary was built for, and the `package` that has it.
 */
export function versions(): Record<string, string> {
  const { interface: _, ...found } = JSON.parse(addon().versions())
  return { ...found, package: packageOfTarget(found.target) }
}
