import { invalidArgument } from './errors.js'
import type { RequestInput } from './request.js'
import type { Response } from './response.js'

/** How many requests at once. */
export interface FetchAllOptions {
  /** How many requests are in flight, or finished and not consumed, at most. @default 64 */
  readonly concurrency?: number | undefined
}

/** One result of `fetchAll`. */
export type FetchAllResult<Input extends RequestInput = RequestInput> =
  | {
      /** The request's place in the input, from 0. */
      readonly index: number
      /** The request as the input gave it. */
      readonly request: Input
      readonly response: Response
      readonly error?: undefined
    }
  | {
      readonly index: number
      readonly request: Input
      readonly response?: undefined
      readonly error: unknown
    }

/** Starts a request whose outcome goes to one of the functions, later; returns what gives it up. */
export type Start = (
  request: RequestInput,
  resolve: (response: Response) => void,
  reject: (error: unknown) => void,
) => () => void

/** @default of `concurrency` */
export const DEFAULT_CONCURRENCY = 64

/** Reads and checks the options of `of`. */
export function readConcurrency(options: FetchAllOptions | undefined, of: string): number {
  for (const key of Object.keys(options ?? {})) {
    if (key !== 'concurrency')
      throw invalidArgument(`unknown option ${JSON.stringify(key)} of ${of}`)
  }
  const concurrency = options?.concurrency ?? DEFAULT_CONCURRENCY
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw invalidArgument(`concurrency is ${String(concurrency)}: give a whole number from 1`)
  }
  return concurrency
}

/**
 * Results as they finish.
 *
 * The input is pulled when a result is asked for, and no further ahead than the concurrency: what is in flight and what
 * is finished but not consumed count alike. When the input fails, the results of what had begun come first.
 */
export class FetchAll<Input extends RequestInput>
  implements AsyncIterableIterator<FetchAllResult<Input>>
{
  readonly #start: Start
  readonly #source: Iterator<Input> | AsyncIterator<Input>
  readonly #concurrency: number
  readonly #running = new Map<number, () => void>()
  readonly #finished: FetchAllResult<Input>[] = []
  readonly #waiting: {
    resolve: (result: IteratorResult<FetchAllResult<Input>, undefined>) => void
    reject: (error: unknown) => void
  }[] = []
  #pulled = 0
  #isPulling = false
  #isExhausted = false
  #isEnded = false
  #failure: { readonly error: unknown } | null = null

  constructor(start: Start, inputs: Iterable<Input> | AsyncIterable<Input>, concurrency: number) {
    this.#start = start
    this.#source = iteratorOf(inputs)
    this.#concurrency = concurrency
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next result to finish. */
  next(): Promise<IteratorResult<FetchAllResult<Input>, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#deliver()
      this.#pull()
    })
  }

  /** Gives up what is in flight, and ends the input. */
  async return(): Promise<IteratorResult<FetchAllResult<Input>, undefined>> {
    if (!this.#isEnded) {
      this.#isEnded = true
      this.#finished.length = 0
      for (const giveUp of this.#running.values()) giveUp()
      this.#running.clear()
      this.#deliver()
      if (!this.#isExhausted) {
        this.#isExhausted = true
        await this.#source.return?.()
      }
    }
    return { done: true, value: undefined }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #pull(): void {
    while (!this.#isPulling && this.#mayPull()) {
      this.#isPulling = true
      let pulled: IteratorResult<Input> | Promise<IteratorResult<Input>>
      try {
        pulled = this.#source.next()
      } catch (error) {
        this.#inputFailed(error)
        return
      }
      if (pulled instanceof Promise || 'then' in pulled) {
        Promise.resolve(pulled).then(
          (result) => {
            this.#take(result)
            this.#pull()
          },
          (error: unknown) => this.#inputFailed(error),
        )
      } else {
        this.#take(pulled)
      }
    }
  }

  #mayPull(): boolean {
    const ahead = this.#running.size + this.#finished.length
    return (
      !this.#isEnded && !this.#isExhausted && ahead < this.#concurrency && this.#waiting.length > 0
    )
  }

  #take(result: IteratorResult<Input>): void {
    this.#isPulling = false
    if (this.#isEnded) return
    if (result.done) {
      this.#isExhausted = true
      this.#deliver()
      return
    }
    const request = result.value
    const index = this.#pulled++
    this.#running.set(index, () => {})
    const giveUp = this.#start(
      request,
      (response) => this.#finish({ index, request, response }),
      (error) => this.#finish({ index, request, error }),
    )
    if (this.#running.has(index)) this.#running.set(index, giveUp) // it may have failed at once
  }

  #finish(result: FetchAllResult<Input>): void {
    if (!this.#running.delete(result.index)) return // given up
    this.#finished.push(result)
    this.#deliver()
    this.#pull()
  }

  #inputFailed(error: unknown): void {
    this.#isPulling = false
    this.#isExhausted = true
    this.#failure = { error }
    this.#deliver()
  }

  #deliver(): void {
    while (this.#waiting.length > 0 && this.#finished.length > 0) {
      // neither is empty
      const value = this.#finished.shift() as FetchAllResult<Input>
      this.#waiting.shift()?.resolve({ done: false, value })
    }
    const isOver = this.#isEnded || (this.#isExhausted && this.#running.size === 0)
    while (isOver && this.#waiting.length > 0) {
      const waiting = this.#waiting.shift()
      const failure = this.#failure
      this.#failure = null
      if (failure === null) waiting?.resolve({ done: true, value: undefined })
      else waiting?.reject(failure.error)
    }
  }
}

function iteratorOf<Input>(
  inputs: Iterable<Input> | AsyncIterable<Input>,
): Iterator<Input> | AsyncIterator<Input> {
  if (typeof inputs === 'object' && inputs !== null) {
    if (Symbol.asyncIterator in inputs) return inputs[Symbol.asyncIterator]()
    if (Symbol.iterator in inputs) return inputs[Symbol.iterator]()
  }
  throw invalidArgument('fetchAll takes an iterable or an async iterable of requests')
}
