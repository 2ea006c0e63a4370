// Where `pinfetch fetch` leaves results: lines of JSON on stdout or in a file, or a folder of bodies with such a file.

import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join, sep } from 'node:path'
import type { Response } from '../index.js'
import { FileError, UsageError } from './exit.js'
import { linesOf } from './lines.js'
import { print } from './output.js'

/** What was asked for, by its place among the inputs. */
export interface Asked {
  /** From 0; blank lines and comments don't count. */
  readonly index: number
  /** As the input has it. */
  readonly url: string
}

/** What became of a body. */
export interface Kept {
  readonly body?: string
  readonly bodyEncoding?: 'utf-8' | 'base64'
  /** The name of the file in the folder. */
  readonly file?: string
  readonly bytes: number
}

/** A place for results. */
export interface Results {
  /** Whether a run before this one has left the result of `asked`, and not an error. */
  has(asked: Asked): boolean
  /** Takes a response's body in. */
  keep(asked: Asked, response: Response): Promise<Kept>
  /** Writes a line whole, its end included; resolves when there is room for more. */
  write(line: string): Promise<void>
  /** Whether the terminal, if there is one, is written to. */
  readonly isStdout: boolean
  close(): void
}

/** The file of a folder that tells what the others are. */
const INDEX = 'index.ndjson'

/** Opens the place that `--output` names; stdout without one. */
export async function openResults(
  output: string | undefined,
  isResumed: boolean,
): Promise<Results> {
  if (output === undefined) return new OnStdout()
  if (output.endsWith('/') || output.endsWith(sep) || isFolder(output)) {
    return InFolder.open(output, isResumed)
  }
  if (!/\.(?:ndjson|jsonl)$/.test(output)) {
    throw new UsageError(
      `--output is ${JSON.stringify(output)}: give a file that ends in .ndjson, or a folder that ends in ${sep}`,
    )
  }
  return InFile.open(output, isResumed)
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

class OnStdout implements Results {
  readonly isStdout = true
  has(): boolean {
    return false
  }
  keep(_asked: Asked, response: Response): Promise<Kept> {
    return keepInline(response)
  }
  write(line: string): Promise<void> {
    return print(line)
  }
  close(): void {}
}

class InFile implements Results {
  readonly isStdout = false
  readonly #lines: LineFile

  constructor(lines: LineFile) {
    this.#lines = lines
  }

  static async open(path: string, isResumed: boolean): Promise<InFile> {
    return new InFile(await LineFile.open(path, path, isResumed))
  }

  has(asked: Asked): boolean {
    return this.#lines.has(asked)
  }

  keep(_asked: Asked, response: Response): Promise<Kept> {
    return keepInline(response)
  }

  async write(line: string): Promise<void> {
    this.#lines.append(line)
  }

  close(): void {
    this.#lines.close()
  }
}

class InFolder implements Results {
  readonly isStdout = false
  readonly #folder: string
  readonly #lines: LineFile

  constructor(folder: string, lines: LineFile) {
    this.#folder = folder
    this.#lines = lines
  }

  static async open(folder: string, isResumed: boolean): Promise<InFolder> {
    try {
      mkdirSync(folder, { recursive: true })
    } catch (cause) {
      throw FileError.of(folder, cause)
    }
    const lines = await LineFile.open(join(folder, INDEX), folder, isResumed)
    if (isResumed) removeParts(folder)
    return new InFolder(folder, lines)
  }

  has(asked: Asked): boolean {
    return this.#lines.has(asked)
  }

  async keep(asked: Asked, response: Response): Promise<Kept> {
    const file = fileNameOf(asked)
    const path = join(this.#folder, file)
    try {
      return { file, bytes: await response.saveTo(path) }
    } catch (cause) {
      // a small body is written by Node
      if (cause instanceof Error && 'syscall' in cause) throw FileError.of(path, cause)
      throw cause
    }
  }

  async write(line: string): Promise<void> {
    this.#lines.append(line)
  }

  close(): void {
    this.#lines.close()
  }
}

/** Bodies that a run before this one was writing when it was killed. */
function removeParts(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (/^\d{9,}-.*\.part$/.test(name)) rmSync(join(folder, name), { force: true })
  }
}

/**
 * The name of the file for a body: the input's place, its host, and what tells its URL from others.
 *
 * Of the host only what every file system takes is left, and of paths and queries nothing: no URL leads out of the folder,
 * to another's file or to a device.
 */
export function fileNameOf({ index, url }: Asked): string {
  const hostname = URL.canParse(url) ? new URL(url).hostname : ''
  const host = hostname.replace(/[^a-z0-9.-]/g, '_').slice(0, 100)
  return `${String(index).padStart(9, '0')}-${host}-${digestOf(url).toString('hex', 0, 8)}`
}

function digestOf(url: string): Buffer {
  return createHash('sha256').update(url).digest()
}

/** The body as text where that says all there is to it. */
async function keepInline(response: Response): Promise<Kept> {
  const bytes = await response.bytes()
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const bodyEncoding = isUtf8(buffer) ? 'utf-8' : 'base64'
  return { body: buffer.toString(bodyEncoding), bodyEncoding, bytes: bytes.length }
}

/**
 * A file that grows by whole lines.
 *
 * Written synchronously: a line is in the system's hands before anything else happens, so that no way to end the process
 * tears it but a kill between two writes; a line that was torn so is cut off by the next run.
 */
class LineFile {
  readonly #name: string
  readonly #file: number
  /** What the lines that are no errors are about. */
  readonly #done: DoneInputs

  constructor(name: string, file: number, done: DoneInputs) {
    this.#name = name
    this.#file = file
    this.#done = done
  }

  /** `given` is what the user called it. */
  static async open(name: string, given: string, isResumed: boolean): Promise<LineFile> {
    const done = new DoneInputs()
    let file: number | undefined
    try {
      file = openSync(name, 'a+')
      const stats = fstatSync(file)
      if (!stats.isFile()) throw new Error('is no regular file')
      if (stats.size > 0 && !isResumed)
        throw Object.assign(
          new Error(`${given}: has results already: give --resume to go on, or another --output`),
          { code: 'EEXIST' },
        )
      if (stats.size > 0) ftruncateSync(file, await readDone(name, stats.size, done))
      return new LineFile(name, file, done)
    } catch (cause) {
      if (file !== undefined) closeSync(file)
      throw cause instanceof FileError ? cause : FileError.of(given, cause)
    }
  }

  has(asked: Asked): boolean {
    return this.#done.has(asked)
  }

  append(line: string): void {
    const bytes = Buffer.from(line)
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at)
    } catch (cause) {
      throw FileError.of(this.#name, cause)
    }
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** Enters in `done` what the file `name` of `size` bytes holds; resolves to where its last whole line ends. */
async function readDone(name: string, size: number, done: DoneInputs): Promise<number> {
  let end = 0
  let number = 0
  for await (const lines of linesOf(createReadStream(name, { end: size - 1 }), name)) {
    for (const line of lines) {
      number += 1
      if (end + line.length === size) return end // has no end: cut off
      end += line.length + 1
      const result = readResult(line)
      if (result === undefined) {
        throw new FileError(
          `${name}: line ${number} is no result of pinfetch fetch: mend it, or give another --output`,
          'ERR_INVALID_ARGUMENT',
        )
      }
      if (!result.isError) done.add(result)
    }
  }
  return end
}

function readResult(line: Buffer): (Asked & { readonly isError: boolean }) | undefined {
  let value: unknown
  try {
    value = JSON.parse(line.toString())
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const index: unknown = Reflect.get(value, 'index')
  const url: unknown = Reflect.get(value, 'url')
  if (typeof index !== 'number' || typeof url !== 'string') return undefined
  if (!Number.isInteger(index) || index < 0 || index > MOST_INPUTS) return undefined
  return { index, url, isError: 'error' in value }
}

/** As many inputs as {@link DoneInputs} has room for. */
const MOST_INPUTS = 2 ** 28

/** Which inputs have their result: eight bytes each, so that millions fit. */
class DoneInputs {
  /** By index, six bytes of the URL's digest and one to tell it from none. */
  #digests = new Float64Array(1024)

  add({ index, url }: Asked): void {
    if (index >= this.#digests.length) {
      const more = new Float64Array(2 ** Math.ceil(Math.log2(index + 1)))
      more.set(this.#digests)
      this.#digests = more
    }
    this.#digests[index] = numberOf(url)
  }

  has({ index, url }: Asked): boolean {
    const digest = this.#digests[index]
    return digest !== undefined && digest !== 0 && digest === numberOf(url)
  }
}

function numberOf(url: string): number {
  return digestOf(url).readUIntBE(0, 6) + 1
}
