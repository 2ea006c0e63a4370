// Who waits for the engine, by id.
//
// An id is never given twice while anything may still answer it (they count up through 32 bits), so a late record of a
// request that was given up can't be taken for another's.

import type { BadPinHandler } from './bad-pin.js'
import type { ForeignCookieJar } from './cookies.js'
import { type PolicyLocation, reasonOf } from './errors.js'
import type { Logger } from './logger.js'
import type { LookupFunction } from './lookup.js'
import type { ReportSender } from './policy/report.js'
import type { Call, InformationHandler } from './request.js'
import type { Response } from './response.js'
import type { PolicySwap } from './swap.js'
import type { PathCertificate } from './wire.js'

/** What a server showed of its keys. */
export interface ServerPins {
  /** Who answered. */
  readonly remoteAddress: string
  /** Whether the path is verified; else it is what the server presented, which proves nothing. */
  readonly verified: boolean
  /** End entity first. */
  readonly path: readonly PathCertificate[]
}

/** What the engine keeps of a client. While it is held, by its client or a request in flight, the engine has one too. */
export interface ClientState {
  readonly handle: number
  readonly onBadPin: BadPinHandler | null
  readonly lookup: LookupFunction | null
  /** A cookie jar that is not the engine's own. */
  readonly jar: ForeignCookieJar | null
  readonly logger: Logger | null
  readonly maxResponseBytes: number
  /** Tells where the policy file in force speaks of patterns; null where the policy is not of a file. */
  locations: ((patterns: readonly string[]) => readonly PolicyLocation[]) | null
  readonly reporter: ReportSender | null
}

/** Part of a body. */
export interface BodyPiece {
  /** The reader's own. */
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly hasEnded: boolean
  /** Names and values by turns, once the body has ended. */
  readonly trailers: string[]
}

/** What a submission that is answered once can resolve to: a response, a piece of its body, a count, pins, a swap. */
export type Outcome = Response | BodyPiece | number | ServerPins | PolicySwap

/** What can give a request up. */
interface Canceller {
  cancel(pending: Pending, reason: unknown): void
}

/** Someone who waits for a record. */
export class Pending {
  id = 0
  readonly state: ClientState
  /** Empty for what is no request. */
  readonly method: string
  readonly url: string
  readonly headers: readonly string[] | null
  readonly signal: AbortSignal | null
  /** Null for the client's. */
  readonly maxResponseBytes: number | null
  readonly onInformation: InformationHandler | null
  /** Undefined where the client's is told. */
  readonly onBadPin: BadPinHandler | null | undefined
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (reason: unknown) => void
  readonly #canceller: Canceller

  constructor(
    canceller: Canceller,
    state: ClientState,
    call: Call | null,
    resolve: (outcome: Outcome) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#canceller = canceller
    this.state = state
    this.method = call === null ? '' : call.method
    this.url = call === null ? '' : call.url
    this.headers = call === null ? null : call.headers
    this.signal = call === null ? null : call.signal
    this.maxResponseBytes = call === null ? null : call.maxResponseBytes
    this.onInformation = call === null ? null : call.onInformation
    this.onBadPin = call === null ? null : call.onBadPin
    this.resolve = resolve
    this.reject = reject
  }

  /** The signal's `abort`: the object itself listens, so that no closure is made. */
  handleEvent(): void {
    this.#canceller.cancel(this, reasonOf(this.signal))
  }
}

/** Everyone who waits. */
export class Waiting {
  /** At `id & #mask`; at most half full. */
  #slots: (Pending | undefined)[] = new Array(256)
  #mask = 255
  #nextId = 1
  #size = 0

  /** Puts `pending` on the books; gives it its id. */
  enter(pending: Pending): number {
    if (this.#size * 2 >= this.#slots.length) this.#grow()
    let id = this.#nextId
    while (this.#slots[id & this.#mask] !== undefined) id = (id + 1) >>> 0
    this.#slots[id & this.#mask] = pending
    this.#nextId = (id + 1) >>> 0
    this.#size += 1
    pending.id = id
    return id
  }

  /** Who waits for `id`. */
  of(id: number): Pending | undefined {
    const pending = this.#slots[id & this.#mask]
    return pending?.id === id ? pending : undefined
  }

  /** Who waits for `id`, who is then off the books. */
  take(id: number): Pending | undefined {
    const pending = this.#slots[id & this.#mask]
    if (pending === undefined || pending.id !== id) return undefined
    this.#slots[id & this.#mask] = undefined
    this.#size -= 1
    return pending
  }

  /** How many wait. */
  get size(): number {
    return this.#size
  }

  /** Those who wait now. */
  all(): Pending[] {
    return this.#slots.filter((pending) => pending !== undefined)
  }

  #grow(): void {
    const size = this.#slots.length * 2
    const grown: (Pending | undefined)[] = new Array(size)
    // ids that differ under the old mask differ under the new one
    for (const pending of this.#slots) {
      if (pending !== undefined) grown[pending.id & (size - 1)] = pending
    }
    this.#slots = grown
    this.#mask = size - 1
  }
}
