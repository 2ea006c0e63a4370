import { channels } from './diagnostics.js'
import { engine } from './engine.js'
import { PinfetchError } from './errors.js'
import type { Metrics } from './metrics.js'
import { encodePolicy, type PinsInput, Policy } from './policy.js'
import { Rehearsal } from './rehearsal.js'
import { type PolicySwap, readForce, type SwapOptions } from './swap.js'

/** A {@link LivePolicy} has put another policy in force. */
export class PolicySwapEvent extends Event {
  /** The policy that is in force now. */
  readonly policy: Policy
  /** What that has changed. */
  readonly swap: PolicySwap

  constructor(policy: Policy, swap: PolicySwap) {
    super('swap')
    this.policy = policy
    this.swap = swap
  }
}

/** What a {@link LivePolicy} tells of. */
export interface LivePolicyEvents {
  swap: PolicySwapEvent
}

/** Who is told. */
export type LivePolicyListener<Kind extends keyof LivePolicyEvents> =
  | ((this: LivePolicy, event: LivePolicyEvents[Kind]) => void)
  | { handleEvent(event: LivePolicyEvents[Kind]): void }

/** The number of a live policy in the engine. */
export let handleOfLivePolicy: (policy: LivePolicy) => number

/**
 * One policy that many clients obey, compiled once, and swapped for all of them at once: give it to each as `pins`.
 *
 * Clients that are closed or forgotten leave by themselves, and the others keep the policy in force for as long as they
 * live, whatever becomes of this object.
 *
 * @example
 * ```ts
 * const live = new LivePolicy({ 'api.example.com': [current] })
 * const clients = proxies.map((proxy) => new Client({ pins: live, proxy }))
 * // …
 * await live.set({ 'api.example.com': [current, next] }) // for every client, or for none
 * ```
 */
export class LivePolicy extends EventTarget implements AsyncDisposable {
  static {
    handleOfLivePolicy = (policy) => policy.#handle
  }

  readonly #handle: number
  #policy: Policy
  #lastSwap: Promise<unknown> = Promise.resolve()
  #isClosed = false

  /** Throws a {@link PolicyError} for pins that cannot be read, naming host, index and mend. */
  constructor(policy: Policy | PinsInput) {
    super()
    this.#policy = policy instanceof Policy ? policy : new Policy(policy)
    this.#handle = engine().createLivePolicy(this, encodePolicy(this.#policy))
  }

  /** The policy in force. */
  get policy(): Policy {
    return this.#policy
  }

  /** How many clients obey it: those that are neither closed nor forgotten. */
  get clients(): number {
    return engine().livePolicyClients(this.#handle)
  }

  /**
   * Puts another policy in force for every client, or for none. Resolves when it is: live connections that it refuses
   * are closed by then, the others and their requests don't notice. Swaps that are asked for meanwhile follow in their
   * order.
   *
   * Rejects, and the old one stays in force, with a {@link PolicyError} for pins that cannot be read, and unless forced
   * for a policy that cuts off hosts which have traffic: `ERR_POLICY_CUTS_OFF`.
   */
  async set(policy: Policy | PinsInput, options?: SwapOptions): Promise<PolicySwap> {
    if (this.#isClosed) throw new PinfetchError('ERR_CLIENT_CLOSED', 'the live policy is closed')
    const force = readForce(options, false)
    const next = policy instanceof Policy ? policy : new Policy(policy)
    const setting = engine().setLivePolicy(this.#handle, encodePolicy(next), force)
    this.#lastSwap = setting.catch(() => {})
    const swap = await setting
    this.#policy = next
    const event = new PolicySwapEvent(next, swap)
    if (channels.policySwap.hasSubscribers) channels.policySwap.publish({ policy: next, swap })
    this.dispatchEvent(event)
    return swap
  }

  /** As {@link Client.rehearse}, on the traffic of every client, those that come included. */
  rehearse(policy: Policy | PinsInput): Rehearsal {
    const encoded = encodePolicy(policy)
    const begin = (owner: Rehearsal) => engine().rehearseLive(owner, this.#handle, encoded)
    return new Rehearsal(engine(), begin)
  }

  /** As {@link Client.metrics}, of every client, those that are gone included. */
  metrics(): Metrics {
    return { patterns: engine().liveMetrics(this.#handle) }
  }

  /** Takes no other policy any more; resolves when those that were set are in force. The clients go on. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#lastSwap
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  override addEventListener<Kind extends keyof LivePolicyEvents>(
    type: Kind,
    listener: LivePolicyListener<Kind> | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    // Node's own type knows no kinds of event
    super.addEventListener(type, listener as EventListenerOrEventListenerObject | null, options)
  }

  override removeEventListener<Kind extends keyof LivePolicyEvents>(
    type: Kind,
    listener: LivePolicyListener<Kind> | null,
    options?: boolean | EventListenerOptions,
  ): void {
    super.removeEventListener(type, listener as EventListenerOrEventListenerObject | null, options)
  }
}
