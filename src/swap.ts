import { invalidOption, nameOf } from './errors.js'
import { Reader } from './wire.js'

/** How to put a new policy in force. */
export interface SwapOptions {
  /**
   * Whether the policy takes effect even where it cuts off hosts that have traffic: requests in flight, or in the last 60
   * seconds. Otherwise it is refused then, `ERR_POLICY_CUTS_OFF`, and the old one stays.
   *
   * @default false for `setPolicy` and `LivePolicy`, true for `setPins`
   */
  readonly force?: boolean | undefined
}

/** What putting a new policy in force has done. */
export interface PolicySwap {
  /** How many live connections the new policy refused; they are closed. */
  readonly closedConnections: number
  /** Patterns that are new, or have pins besides those that they had; sorted. An exclusion that is gone is one, too. */
  readonly gained: readonly string[]
  /** Patterns that are gone, or lack pins that they had; sorted. An exclusion that is new is one, too. */
  readonly lost: readonly string[]
  /** Patterns that have gained some and lost others, or say something else of theirs (mode, places, end, trust); sorted. */
  readonly changed: readonly string[]
}

/** A swap as a SWAPPED tells it. Its lists are read when they are asked for. */
export class Swap implements PolicySwap {
  readonly closedConnections: number
  readonly #record: Buffer
  #lists: readonly (readonly string[])[] | null = null

  /** `record` is what follows the count in a SWAPPED, and kept. */
  constructor(closedConnections: number, record: Buffer) {
    this.closedConnections = closedConnections
    this.#record = record
  }

  get gained(): readonly string[] {
    return this.#list(0)
  }

  get lost(): readonly string[] {
    return this.#list(1)
  }

  get changed(): readonly string[] {
    return this.#list(2)
  }

  toJSON(): PolicySwap {
    const { closedConnections, gained, lost, changed } = this
    return { closedConnections, gained, lost, changed }
  }

  #list(index: number): readonly string[] {
    if (this.#lists === null) {
      const record = new Reader(this.#record)
      this.#lists = [record.strs(), record.strs(), record.strs()]
    }
    return this.#lists[index] ?? []
  }
}

/** Whether a swap is forced. */
export function readForce(options: SwapOptions | undefined, byDefault: boolean): boolean {
  if (options !== undefined && (typeof options !== 'object' || options === null))
    throw invalidOption('force', `the options are ${nameOf(options)}: give { force }`)
  const force: unknown = options?.force
  if (force === undefined) return byDefault
  if (typeof force !== 'boolean')
    throw invalidOption('force', `force is ${nameOf(force)}: give true or false`)
  return force
}
