// Lines of files and of stdin, as they come.

import type { Readable } from 'node:stream'
import { FileError } from './exit.js'

const LINE_FEED = 0x0a

/**
 * The lines of `stream`, as many at a time as have come; no more is read until they are dealt with.
 *
 * Of a line that is longer than `longest` bytes, at least one byte more than those is given, and not all of it. `name` is
 * what is read, for errors. Split by hand: Node's readline also splits at U+2028 and U+2029, which JSON strings may hold.
 */
export async function* linesOf(
  stream: Readable,
  name: string,
  longest = Number.POSITIVE_INFINITY,
): AsyncGenerator<Buffer[]> {
  let begun: Buffer[] = []
  let length = 0
  const begin = (piece: Buffer): void => {
    if (length <= longest) begun.push(piece)
    length += piece.length
  }
  const end = (): Buffer => {
    const line = Buffer.concat(begun)
    begun = []
    length = 0
    return line
  }
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const lines: Buffer[] = []
      let start = 0
      for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, start)) {
        begin(chunk.subarray(start, at))
        lines.push(end())
        start = at + 1
      }
      if (start < chunk.length) begin(chunk.subarray(start))
      if (lines.length > 0) yield lines
    }
  } catch (cause) {
    throw FileError.of(name, cause)
  }
  if (length > 0) yield [end()]
}
