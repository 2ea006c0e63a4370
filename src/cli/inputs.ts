// What `pinfetch fetch` is asked for: URLs of the command line, then those of a file or of stdin, as they come.

import { type FileHandle, open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { FileError } from './exit.js'
import { linesOf } from './lines.js'
import type { Asked } from './results.js'

/** A URL to request, or what was in its place. */
export interface Input extends Asked {
  /** Why it is none. */
  readonly problem?: Error
}

/** More than any server takes. */
const LONGEST_LINE = 64 * 1024
/** As much of a line that is no URL as its result repeats. */
const REPEATED = 200

/** Of each line, a byte order mark at its start is no text. */
const STRICT = new TextDecoder('utf-8', { fatal: true })

/** Reads inputs one at a time, and no further ahead than a stream's buffer. */
export class Inputs {
  readonly #urls: readonly string[]
  readonly #stream: Readable | null
  readonly #name: string
  /** The length of the file, if it is one. */
  readonly #size: number | null
  #index = 0
  /** Bytes of the file whose lines were given. */
  #taken = 0
  #isStopped = false

  constructor(urls: readonly string[], stream: Readable | null, name: string, size: number | null) {
    this.#urls = urls
    this.#stream = stream
    this.#name = name
    this.#size = size
  }

  /** `file` is a name, `-` for stdin. */
  static async open(urls: readonly string[], file: string | undefined): Promise<Inputs> {
    if (file === undefined) return new Inputs(urls, null, '', null)
    if (file === '-') return new Inputs(urls, process.stdin, 'stdin', null)
    let handle: FileHandle | undefined
    try {
      handle = await open(file)
      const stats = await handle.stat()
      if (stats.isDirectory()) throw new Error('is a folder: give a file with a URL a line')
      const size = stats.isFile() ? stats.size : null
      return new Inputs(urls, handle.createReadStream(), file, size)
    } catch (cause) {
      await handle?.close()
      throw FileError.of(file, cause)
    }
  }

  /** How much of the inputs was given, from 0 to 1; null where nobody can tell. */
  get share(): number | null {
    if (this.#stream === null) return this.#index / this.#urls.length
    if (this.#size === null) return null
    return this.#size === 0 ? 1 : Math.min(1, this.#taken / this.#size)
  }

  /** Gives no more. */
  stop(): void {
    this.#isStopped = true
    this.#stream?.destroy()
  }

  async *read(): AsyncGenerator<Input, undefined> {
    for (const url of this.#urls) {
      if (this.#isStopped) return
      yield { index: this.#index++, url }
    }
    if (this.#stream === null) return
    try {
      for await (const lines of linesOf(this.#stream, this.#name, LONGEST_LINE)) {
        for (const line of lines) {
          if (this.#isStopped) return
          this.#taken += line.length + 1
          const input = readLine(line)
          if (input !== null) yield { index: this.#index++, ...input }
        }
      }
    } catch (error) {
      if (!this.#isStopped) throw error // else it is the stream's word on having been stopped
    }
  }
}

/** What a line asks for; null where it is blank or a comment. */
function readLine(line: Buffer): Omit<Input, 'index'> | null {
  if (line.length > LONGEST_LINE) {
    const url = line.toString('utf8', 0, REPEATED)
    return { url, problem: noUrl(`the line is longer than ${LONGEST_LINE} bytes`) }
  }
  let url: string
  try {
    url = STRICT.decode(line).trim()
  } catch {
    return { url: line.toString('utf8', 0, REPEATED), problem: noUrl('the line is no UTF-8') }
  }
  return url === '' || url.startsWith('#') ? null : { url }
}

function noUrl(message: string): Error {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_URL' })
}
