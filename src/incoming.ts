import { tellBadPin } from './bad-pin.js'
import { BadPinError, reasonOf } from './errors.js'
import type { BodyPiece, Pending } from './pending.js'

/** What the engine does for bodies that it still receives. */
export interface BodyEngine {
  /** The next piece of the body of `request`, or its rest in one. */
  readBody(request: Pending, rest: boolean): Promise<BodyPiece>
  /** Saves the rest in a file; resolves to its length. */
  saveBody(request: Pending, path: string): Promise<number>
  /** Gives the body of request `id` up. */
  cancelBody(id: number): void
}

/**
 * A body that the engine still receives. It reads ahead, but not far: what nobody reads stalls the server.
 *
 * Given up by {@link cancel}, by the request's signal, or when nobody holds it any more.
 */
export class Incoming {
  static readonly #forgotten = new FinalizationRegistry<{ engine: BodyEngine; id: number }>(
    ({ engine, id }) => engine.cancelBody(id),
  )

  readonly #engine: BodyEngine
  readonly #request: Pending
  /** Why nothing more comes. */
  #failure: { readonly reason: unknown } | null = null
  #hasEnded = false
  /** Rejects what is being waited for. */
  #reject: ((reason: unknown) => void) | null = null
  #onAbort: (() => void) | null = null
  readonly #begun = performance.now()
  /** Microseconds from the response to its body's end; null until then. */
  took: number | null = null
  /** Whether it is a clone's, too: both read it as streams then, each its own. */
  isShared = false
  /** Names and values by turns, once the body has ended. */
  trailers: string[] = []

  constructor(engine: BodyEngine, request: Pending) {
    this.#engine = engine
    this.#request = request
    Incoming.#forgotten.register(this, { engine, id: request.id }, this)
    const { signal } = request
    if (signal !== null) {
      // weakly: a signal that outlives its requests must not keep their bodies
      const self = new WeakRef(this)
      this.#onAbort = () => self.deref()?.cancel(reasonOf(signal))
      signal.addEventListener('abort', this.#onAbort, { once: true })
    }
  }

  /** The most of it that may be held in memory, in bytes. */
  get limit(): number {
    return this.#request.maxResponseBytes ?? this.#request.state.maxResponseBytes
  }

  /** Whether the whole body was read. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** The next piece, which may be empty only at the end; null after the end. */
  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    if (this.#hasEnded) return null
    const piece = await this.#wait(this.#engine.readBody(this.#request, false))
    if (piece.hasEnded) this.#end(piece.trailers)
    return piece.bytes
  }

  /** The rest, held in memory. */
  async rest(): Promise<Uint8Array<ArrayBuffer>> {
    const { bytes, trailers } = await this.#wait(this.#engine.readBody(this.#request, true))
    this.#end(trailers)
    return bytes
  }

  /** Saves the rest in a file; resolves to its length in bytes. */
  async save(path: string): Promise<number> {
    const length = await this.#wait(this.#engine.saveBody(this.#request, path))
    this.#end([])
    return length
  }

  /** Nobody wants more: the connection or stream is given up. Who waits rejects with `reason`. */
  cancel(reason: unknown): void {
    if (this.#hasEnded || this.#failure !== null) return
    this.#failure = { reason }
    this.#release()
    this.#engine.cancelBody(this.#request.id)
    this.#reject?.(reason)
  }

  #wait<T>(answer: Promise<T>): Promise<T> {
    if (this.#failure !== null) {
      answer.catch(() => {}) // the engine's word on a body that was given up
      return Promise.reject(this.#failure.reason)
    }
    return new Promise((resolve, reject) => {
      this.#reject = reject
      answer.then(resolve, (error: unknown) => {
        if (this.#failure === null) {
          this.#failure = { reason: error }
          this.#release()
          if (error instanceof BadPinError) {
            const { state, method, url, headers } = this.#request
            tellBadPin(state.onBadPin, error, method, url, headers)
          }
        }
        reject(this.#failure.reason)
      })
    })
  }

  #end(trailers: string[]): void {
    this.trailers = trailers
    this.#hasEnded = true
    this.took = (performance.now() - this.#begun) * 1000
    this.#release()
  }

  #release(): void {
    Incoming.#forgotten.unregister(this)
    if (this.#onAbort !== null) this.#request.signal?.removeEventListener('abort', this.#onAbort)
    this.#onAbort = null
  }
}
