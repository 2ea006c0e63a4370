// What commands print: results on stdout as fast as it takes them, errors on stderr.

import { once } from 'node:events'
import { codeOf, EXIT, messageOf, UsageError } from './exit.js'

/** Resolves when stdout takes more; one for all who wait. */
let drained: Promise<void> | null = null

/** Writes to stdout; resolves when it takes more. */
export async function print(content: string | Uint8Array): Promise<void> {
  if (process.stdout.write(content)) return
  drained ??= once(process.stdout, 'drain').then(() => {
    drained = null
  })
  await drained
}

/** Tells of something that is no result on stderr. */
export function remark(text: string): void {
  process.stderr.write(`pinfetch: ${printable(text)}\n`)
}

/** Tells of an error on stderr: `pinfetch: place: message (CODE)`. */
export function complain(error: unknown, place?: string): void {
  const code = error instanceof UsageError ? undefined : codeOf(error)
  const start = place === undefined ? '' : `${place}: `
  remark(start + messageOf(error) + (code === undefined ? '' : ` (${code})`))
}

/**
 * Ends the process when stdout cannot be written: without a word when its reader has gone, as `head` does. A stderr that
 * nobody reads changes nothing.
 */
export function watchOutput(): void {
  process.stderr.on('error', () => {})
  process.stdout.on('error', (error) => {
    if (codeOf(error) === 'EPIPE') process.exit(EXIT.closedPipe)
    complain(error, 'stdout')
    process.exit(EXIT.other)
  })
}

/**
 * `text` without what a terminal would obey: control and format characters are written `\u{…}`.
 *
 * Subjects and reasons may be the words of a server that nobody has verified.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  )
}

/** Rows of text with each column as wide as its widest cell, two spaces between them; none at the end of a row. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, cell] of row.entries())
      widths[index] = Math.max(widths[index] ?? 0, cell.length)
  }
  return rows.map((row) =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
