import { invalidArgument, nameOf } from './errors.js'

/** How far ahead of what was sent the engine may be given, in bytes. `crates/pinfetch-node/src/upload.rs` has the same number. */
const WINDOW = 512 * 1024
/** The largest piece: several fit into the window, so that one is sent while the next is read. */
const PIECE = 128 * 1024
/** Told instead of room: nobody wants more. */
export const STOP = 0xffff_ffff

/** A body that is read while it is sent. */
export class BodySource {
  readonly chunks: AsyncIterable<unknown>
  /** In bytes; null where it is not known. */
  readonly length: number | null

  constructor(chunks: AsyncIterable<unknown>, length: number | null) {
    this.chunks = chunks
    this.length = length
  }
}

/** What the engine does for a body that is given a piece at a time. */
export interface UploadEngine {
  /** Gives the next piece of the body of request `id`, or its end. */
  giveUpload(id: number, piece: Uint8Array | null): void
  /** The body's source has failed: request `id` rejects with `reason`. */
  failUpload(id: number, reason: unknown): void
}

/** Reads a source no faster than its body is sent. */
export class Upload {
  readonly #engine: UploadEngine
  readonly #id: number
  readonly #chunks: AsyncIterator<unknown>
  #room = WINDOW
  #goOn: (() => void) | null = null
  #isOver = false

  /** `chunks` are what `openSource` gave. */
  constructor(engine: UploadEngine, id: number, chunks: AsyncIterator<unknown>) {
    this.#engine = engine
    this.#id = id
    this.#chunks = chunks
    void this.#run()
  }

  /** The engine has room for so many bytes more, or wants no more. */
  more(room: number): void {
    if (room === STOP) {
      this.#end()
      return
    }
    this.#room += room
    this.#goOn?.()
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isOver) {
        const { done, value } = await this.#chunks.next()
        if (this.#isOver) return
        if (done) {
          this.#isOver = true
          this.#engine.giveUpload(this.#id, null)
          return
        }
        await this.#give(bytesOf(value))
      }
    } catch (error) {
      if (this.#isOver) return // nobody wants the rest, nor to know that it is missing
      this.#end()
      this.#engine.failUpload(this.#id, error)
    }
  }

  async #give(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#room === 0) {
        await new Promise<void>((resolve) => {
          this.#goOn = resolve
        })
        this.#goOn = null
      }
      if (this.#isOver) return
      const piece = bytes.subarray(at, at + Math.min(this.#room, PIECE))
      this.#engine.giveUpload(this.#id, piece)
      this.#room -= piece.length
      at += piece.length
    }
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#goOn?.()
    void this.#letGo()
  }

  async #letGo(): Promise<void> {
    try {
      await this.#chunks.return?.()
    } catch {
      // a source that fails as it is let go of has nobody left to tell
    }
  }
}

/**
 * Begins to read a body's source: before its request is begun, for a source that cannot be read is its caller's mistake.
 *
 * Throws what the source throws, and a TypeError for one that gives no iterator.
 */
export function openSource(source: BodySource): AsyncIterator<unknown> {
  const chunks: unknown = source.chunks[Symbol.asyncIterator]()
  if (
    typeof chunks === 'object' &&
    chunks !== null &&
    'next' in chunks &&
    typeof chunks.next === 'function'
  ) {
    return chunks as AsyncIterator<unknown> // each chunk is checked when it comes
  }
  throw invalidArgument(`the body's [Symbol.asyncIterator] gave ${nameOf(chunks)}, no iterator`)
}

function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk
  if (typeof chunk === 'string') return Buffer.from(chunk)
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk)
  if (ArrayBuffer.isView(chunk))
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  throw invalidArgument(`the body's source gave ${nameOf(chunk)}: give bytes or text`)
}
