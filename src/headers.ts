import { readHeaders } from './wire.js'

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that no field value may hold
const NOT_IN_VALUE = /[\0-\x08\n-\x1f\x7f]|[^\0-\xff]/

/** Whether a request's field may have `text` as its value (RFC 9110 §5.5). */
export function isFieldValue(text: string): boolean {
  return !NOT_IN_VALUE.test(text)
}

/** Makes `headers` let go of the chunk that it would be parsed from. */
export let detachHeaders: (headers: Headers) => void

/**
 * The header fields of a response, read-only.
 *
 * Names are compared without regard to case. Iteration follows the fetch standard (sorted, repeats joined by `, `,
 * each `set-cookie` apart); {@link Headers.lines} gives every field line as it came. Nothing is parsed before it is
 * asked for.
 */
export class Headers implements Iterable<[string, string]> {
  static {
    detachHeaders = (headers) => headers.#parsed()
  }

  /** Names (lower case) and values by turns; null until the block was parsed. */
  #list: string[] | null
  #block: Buffer | null
  #at: number

  /** Made from names (lower case) and values by turns, or by a response from the block whose count is at `at`. */
  constructor(source: string[] | Buffer = [], at = 0) {
    if (Array.isArray(source)) {
      this.#list = source
      this.#block = null
    } else {
      this.#list = null
      this.#block = source
    }
    this.#at = at
  }

  /** All values of `name` joined by `, `; null if there is none. */
  get(name: string): string | null {
    const wanted = name.toLowerCase()
    const list = this.#parsed()
    let joined: string | null = null
    for (let index = 0; index < list.length; index += 2) {
      if (list[index] === wanted) {
        const value = list[index + 1] ?? ''
        joined = joined === null ? value : `${joined}, ${value}`
      }
    }
    return joined
  }

  /** Every value of `name`, in the order in which they came. */
  getAll(name: string): string[] {
    const wanted = name.toLowerCase()
    return this.lines()
      .filter(([key]) => key === wanted)
      .map(([, value]) => value)
  }

  /** Every `set-cookie` value, in the order in which they came. */
  getSetCookie(): string[] {
    return this.getAll('set-cookie')
  }

  has(name: string): boolean {
    return this.get(name) !== null
  }

  /** Every field line, in the order in which they came: name in lower case, and value. */
  lines(): [name: string, value: string][] {
    const list = this.#parsed()
    const lines: [string, string][] = []
    for (let index = 0; index + 1 < list.length; index += 2) {
      lines.push([list[index] ?? '', list[index + 1] ?? ''])
    }
    return lines
  }

  forEach(
    callback: (value: string, name: string, headers: Headers) => void,
    thisArg?: unknown,
  ): void {
    for (const [name, value] of this) callback.call(thisArg, value, name, this)
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this) yield name
  }

  *values(): IterableIterator<string> {
    for (const [, value] of this) yield value
  }

  entries(): IterableIterator<[string, string]> {
    return this[Symbol.iterator]()
  }

  /** https://fetch.spec.whatwg.org/#concept-header-list-sort-and-combine */
  *[Symbol.iterator](): IterableIterator<[string, string]> {
    const lines = this.lines()
    const names = [...new Set(lines.map(([name]) => name))].sort()
    for (const name of names) {
      const values = lines.filter(([key]) => key === name).map(([, value]) => value)
      if (name === 'set-cookie') for (const value of values) yield [name, value]
      else yield [name, values.join(', ')]
    }
  }

  get [Symbol.toStringTag](): string {
    return 'Headers'
  }

  [Symbol.for('nodejs.util.inspect.custom')](): Map<string, string | string[]> {
    const shown = new Map<string, string | string[]>()
    for (const [name, value] of this) if (name !== 'set-cookie') shown.set(name, value)
    if (this.has('set-cookie')) shown.set('set-cookie', this.getSetCookie())
    return shown
  }

  #parsed(): string[] {
    if (this.#list === null) {
      this.#list = this.#block === null ? [] : readHeaders(this.#block, this.#at)
      this.#block = null // the chunk may go
    }
    return this.#list
  }
}
