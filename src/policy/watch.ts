// A policy that follows its file. What the operating system tells of the file's folders is a hint to look soon, and now and
// then it is looked for anyway: what is in force is decided by what the file says, read whole, or by what it said last.

import { type FSWatcher, promises as files, watch } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { channels } from '../diagnostics.js'
import { invalidArgument, invalidOption, nameOf, PinfetchError } from '../errors.js'
import { LivePolicy, type LivePolicyEvents, type LivePolicyListener } from '../live-policy.js'
import { type Logger, log } from '../logger.js'
import { noOption } from '../nearest.js'
import { readLogger } from '../options.js'
import { compiledPolicy, setWatch } from '../policy.js'
import { PolicyFile, type ReadPolicy, readPolicy } from '../policy-file/file.js'
import { type PolicySwap, readForce, type SwapOptions } from '../swap.js'
import { type PolicySignature, signatureNameOf, Verifier, type VerifyPolicy } from './signature.js'

/** How a policy file is followed. */
export interface WatchOptions {
  /** Which policy of the file: to be given for a file that has environments. */
  readonly environment?: string | undefined
  /**
   * Whose signatures the file must have, each time that it is read. A signature that ends while its policy is in force is
   * a fault, and the policy stays. @default none: whoever can write the file says what is pinned
   */
  readonly verify?: VerifyPolicy | undefined
  /**
   * Whether a policy takes effect even where it closes connections that have traffic. Otherwise it is a fault,
   * `ERR_POLICY_CUTS_OFF`, and tried again as every fault is. @default false
   */
  readonly force?: boolean | undefined
  /** Milliseconds without a further change after which a change is read. @default 100 */
  readonly debounce?: number | undefined
  /** Milliseconds after which the file is looked at, whatever the system has told of it. @default 30000 */
  readonly poll?: number | undefined
  /** Told of swaps (`info`) and faults (`error`). @default null */
  readonly logger?: Logger | null | undefined
}

/** The defaults of {@link WatchOptions}. */
export const WATCH_DEFAULTS = { force: false, debounce: 100, poll: 30_000 } as const

/** What a policy file says now cannot be put in force; what it said last holds. */
export class PolicyFaultEvent extends Event {
  /** The file, as it was named. */
  readonly file: string
  /** The system's error, or a {@link PolicyError}. */
  readonly error: unknown

  constructor(file: string, error: unknown) {
    super('fault')
    this.file = file
    this.error = error
  }
}

/** What a {@link WatchedPolicy} tells of. */
export interface WatchedPolicyEvents extends LivePolicyEvents {
  fault: PolicyFaultEvent
}

/** Folders that are followed at once: links lead through a few at most. */
const MOST_LINKS = 16
/** However busily a file is written, it is read when so many pauses have passed. */
const LONGEST_DEBOUNCE = 10

/**
 * The policy of a file, for as long as it is watched: a {@link LivePolicy} that is set whenever the file changes. Made by
 * `Policy.watch`.
 *
 * A file that is replaced, linked to another, deleted and written anew is followed. One that cannot be read, or whose policy
 * is refused, is a `fault`: the policy that it had last holds, and each change is another chance, as is each `poll`.
 */
export class WatchedPolicy extends LivePolicy {
  /** The file, as it was named. */
  readonly file: string
  readonly #path: string
  readonly #options: Pick<Settings, 'force' | 'debounce' | 'poll'>
  readonly #environment: string | undefined
  readonly #verifier: Verifier | undefined
  #signature: PolicySignature | null
  /** The file, and those that belong to it. */
  #paths: readonly string[]
  readonly #logger: Logger | null
  /** By the identity of the folder, which is another when it was deleted and made anew. */
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #poll: NodeJS.Timeout
  #soon: NodeJS.Timeout | null = null
  #firstHint = 0
  /** What the file looked like when it was last read. */
  #look: string
  #fault: unknown = null
  #reading: Promise<unknown> = Promise.resolve()
  /** How many reads wait or are under way. */
  #underWay = 0
  #isEnded = false

  /** @internal */
  constructor(file: string, read: ReadPolicy, look: string, settings: Settings) {
    super(read.policy)
    this.file = file
    this.#path = resolve(file)
    this.#look = look
    const { environment, logger, verify, ...options } = settings
    this.#verifier = verify
    this.#signature = read.signature
    this.#paths = pathsOf(this.#path, read)
    this.#environment = environment
    this.#logger = logger
    this.#options = options
    this.#poll = setInterval(() => {
      if (this.#underWay === 0) void this.#read()
    }, options.poll)
    this.#poll.unref()
  }

  /** Reads a file, and follows it. @internal */
  static async start(file: string, options: unknown): Promise<WatchedPolicy> {
    if (typeof file !== 'string') throw invalidArgument(`file is ${nameOf(file)}: give a path`)
    const settings = readSettings(options)
    const look = await lookAt(pathsOf(resolve(file), null)) // before it is read: what changes meanwhile is read again
    const { environment, verify } = settings
    const read = await readPolicy(file, { environment, verify })
    const watched = new WatchedPolicy(file, read, look, settings)
    await watched.#follow()
    watched.#hint(settings.debounce) // what has changed before it was followed
    return watched
  }

  /** What the signature of the policy in force says; null where none is asked for. */
  get signature(): PolicySignature | null {
    return this.#signature
  }

  /** Why the file's present policy is not in force; null when it is. */
  get fault(): unknown {
    return this.#fault
  }

  /**
   * Reads the file now. Resolves to what has changed, null for nothing; rejects with the fault, which is told besides.
   *
   * With `force`, this once, its policy takes effect even where it closes connections that have traffic: for a key that was
   * stolen, whose servers are not to be talked to any longer.
   *
   * @param options.force @default as the policy is watched
   *
   * @example
   * ```ts
   * process.on('SIGHUP', () => policy.reload().catch(() => {})) // the fault is told by its event
   * ```
   */
  async reload(options?: SwapOptions): Promise<PolicySwap | null> {
    if (this.#isEnded) throw new PinfetchError('ERR_CLIENT_CLOSED', 'the policy is closed')
    const force = readForce(options, this.#options.force)
    const swap = await this.#read(force, true)
    if (this.#fault !== null) throw this.#fault
    return swap
  }

  /** Rejects: the policy is the file's. */
  override set(): Promise<never> {
    return Promise.reject(
      invalidArgument(`the policy follows ${this.file}: change the file, or make a LivePolicy`),
    )
  }

  /** Follows the file no more; resolves when what was read is in force. The clients go on with it. */
  override async close(): Promise<void> {
    this.#isEnded = true
    clearInterval(this.#poll)
    if (this.#soon !== null) clearTimeout(this.#soon)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
    await this.#reading
    await super.close()
  }

  override addEventListener<Kind extends keyof WatchedPolicyEvents>(
    type: Kind,
    listener:
      | ((this: LivePolicy, event: WatchedPolicyEvents[Kind]) => void)
      | { handleEvent(event: WatchedPolicyEvents[Kind]): void }
      | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    // of a kind that a live policy does not know
    super.addEventListener(type as 'swap', listener as LivePolicyListener<'swap'> | null, options)
  }

  override removeEventListener<Kind extends keyof WatchedPolicyEvents>(
    type: Kind,
    listener:
      | ((this: LivePolicy, event: WatchedPolicyEvents[Kind]) => void)
      | { handleEvent(event: WatchedPolicyEvents[Kind]): void }
      | null,
    options?: boolean | EventListenerOptions,
  ): void {
    super.removeEventListener(
      type as 'swap',
      listener as LivePolicyListener<'swap'> | null,
      options,
    )
  }

  /** Something may have changed: it is looked at once nothing more has been heard for `pause`. */
  #hint(pause: number): void {
    if (this.#isEnded) return
    const now = performance.now()
    if (this.#soon === null) this.#firstHint = now
    else if (now - this.#firstHint > pause * LONGEST_DEBOUNCE) return
    else clearTimeout(this.#soon)
    this.#soon = setTimeout(() => {
      this.#soon = null
      void this.#read()
    }, pause)
    this.#soon.unref()
  }

  /** Reads the file if it looks otherwise than before, or was asked to, after whoever is at it. Never rejects. */
  #read(force = this.#options.force, isAsked = false): Promise<PolicySwap | null> {
    this.#underWay += 1
    const reading = this.#reading.then(() => this.#readNow(force, isAsked))
    this.#reading = reading.finally(() => {
      this.#underWay -= 1
    })
    return reading
  }

  async #readNow(force: boolean, isAsked: boolean): Promise<PolicySwap | null> {
    if (this.#isEnded) return null
    try {
      await this.#follow()
      const look = await lookAt(this.#paths)
      // What is refused may be accepted later as it stands: its traffic ends, or a file arrives that only it names.
      const isDue = isAsked || this.#fault !== null || this.#hasEnded()
      if (!isDue && look === this.#look) return null
      this.#look = look
      const options = { environment: this.#environment, verify: this.#verifier }
      const read = await readPolicy(this.file, options)
      const { policy, signature } = read
      this.#paths = pathsOf(this.#path, read)
      const isSame = compiledPolicy(policy).equals(compiledPolicy(this.policy))
      const swap = isSame ? null : await super.set(policy, { force })
      this.#signature = signature
      this.#fault = null
      if (swap !== null && this.#logger !== null)
        log(this.#logger, 'info', 'policy in force', { file: this.file, ...summary(swap) })
      return swap
    } catch (error) {
      if (!this.#isEnded) this.#tell(error)
      return null
    }
  }

  /** Whether the signature of what is in force has ended: the file is read again, which says so. */
  #hasEnded(): boolean {
    return (this.#signature?.expires.getTime() ?? Infinity) <= Date.now()
  }

  /** Tells of a fault once for as long as it is the same. */
  #tell(error: unknown): void {
    const isKnown = this.#fault !== null && messageOf(error) === messageOf(this.#fault)
    this.#fault = error
    if (isKnown) return
    const { file } = this
    if (channels.policyFault.hasSubscribers) channels.policyFault.publish({ file, error })
    if (this.#logger !== null)
      log(this.#logger, 'error', 'policy fault', { file, message: messageOf(error) })
    this.dispatchEvent(new PolicyFaultEvent(file, error))
  }

  /** Has the system tell of every folder through which the file is found. */
  async #follow(): Promise<void> {
    const folders = await foldersOf(this.#paths)
    if (this.#isEnded) return
    for (const [id, watcher] of this.#watchers) {
      if (folders.has(id)) continue
      watcher.close()
      this.#watchers.delete(id)
    }
    for (const [id, folder] of folders) {
      if (this.#watchers.has(id)) continue
      try {
        const watcher = watch(folder, { persistent: false }, () => {
          setImmediate(letGo)
          this.#hint(this.#options.debounce)
        })
        // Deno takes no notice of `persistent`, and lets go for no longer than until the next event has been told
        const letGo = () => {
          watcher.unref()
        }
        letGo()
        const forget = () => {
          watcher.close()
          if (this.#watchers.get(id) === watcher) this.#watchers.delete(id)
        }
        watcher.on('error', forget) // the poll finds what it would have told of
        this.#watchers.set(id, watcher)
      } catch {
        // not there, or more than the system watches: the poll is left
      }
    }
  }
}

setWatch((file, options) => WatchedPolicy.start(file, options))

/** The policy file at `path`, and what belongs to it: its lock, its signature, the trust anchors that it names. */
function pathsOf(path: string, read: ReadPolicy | null): readonly string[] {
  const anchors = Array.from(read?.anchorFiles ?? [], (name) => resolve(dirname(path), name))
  return [path, PolicyFile.lockNameOf(path), signatureNameOf(path), ...anchors]
}

/** What there is to be seen of files, without reading them. */
async function lookAt(paths: readonly string[]): Promise<string> {
  const looks = paths.map(async (name) => {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await files.stat(name, { bigint: true })
      return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
    } catch (error) {
      return String(error instanceof Error ? Reflect.get(error, 'code') : error)
    }
  })
  return (await Promise.all(looks)).join('\n')
}

/** The folders in which a link on the way to a file, or the file itself, can be replaced, by their identity. */
async function foldersOf(paths: readonly string[]): Promise<Map<string, string>> {
  const folders = new Map<string, string>()
  const add = async (folder: string): Promise<void> => {
    const seen = await files.stat(folder, { bigint: true }).catch(() => null)
    if (seen !== null) folders.set(`${seen.dev} ${seen.ino}`, folder)
  }
  for (const path of paths) {
    let name = path
    for (let links = 0; links < MOST_LINKS; links++) {
      const folder = dirname(name)
      await add(folder)
      // the folder itself may be a link, as Kubernetes has `..data`
      if ((await files.readlink(folder).catch(() => null)) !== null) await add(dirname(folder))
      const target = await files.readlink(name).catch(() => null)
      if (target === null) break
      name = resolve(folder, target)
    }
  }
  return folders
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function summary({ closedConnections, gained, lost, changed }: PolicySwap): object {
  return { closedConnections, gained: gained.length, lost: lost.length, changed: changed.length }
}

interface Settings {
  readonly environment: string | undefined
  /** One for all reads: it remembers. */
  readonly verify: Verifier | undefined
  readonly force: boolean
  readonly debounce: number
  readonly poll: number
  readonly logger: Logger | null
}

const NAMES = ['environment', 'verify', 'force', 'debounce', 'poll', 'logger'] as const

function readSettings(options: unknown): Settings {
  if (options !== undefined && (typeof options !== 'object' || options === null))
    throw invalidOption('options', `the options are ${nameOf(options)}: give an object`)
  const own = new Map<string, unknown>(Object.entries(options ?? {}))
  for (const name of own.keys()) {
    if (!(NAMES as readonly string[]).includes(name))
      throw invalidOption(name, noOption('a watched policy', name, NAMES))
  }
  const environment = own.get('environment')
  if (environment !== undefined && typeof environment !== 'string')
    throw invalidOption('environment', `environment is ${nameOf(environment)}: give its name`)
  const force = own.get('force') ?? WATCH_DEFAULTS.force
  if (typeof force !== 'boolean')
    throw invalidOption('force', `force is ${nameOf(force)}: give true or false`)
  const verify = own.get('verify')
  return {
    environment,
    verify: verify === undefined ? undefined : new Verifier(verify),
    force,
    debounce: milliseconds(own, 'debounce', 0),
    poll: milliseconds(own, 'poll', 1),
    logger: readLogger(own.get('logger')),
  }
}

function milliseconds(
  own: ReadonlyMap<string, unknown>,
  name: 'debounce' | 'poll',
  least: number,
): number {
  const value = own.get(name) ?? WATCH_DEFAULTS[name]
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > 0x7fff_ffff)
    throw invalidOption(
      name,
      `${name} is ${typeof value === 'number' ? value : nameOf(value)}: give milliseconds`,
    )
  return value
}
