// What `pinfetch import` and `pinfetch export` have in common.

import { writeFile } from 'node:fs/promises'
import { text as textOfStream } from 'node:stream/consumers'
import { nearestOf } from '../nearest.js'
import type { Conversion, ConversionRemark, FormatOptions } from '../policy/formats/conversion.js'
import { FORMATS, type PolicyFormat } from '../policy/formats/formats.js'
import { putFile } from '../replace-file.js'
import { readNamedText } from './arguments.js'
import { codeOf, EXIT, FileError, UsageError } from './exit.js'
import { print, remark } from './output.js'

/** The options of both. */
export const CONVERSION_OPTIONS = {
  out: { type: 'string' },
  force: { type: 'boolean', default: false },
  host: { type: 'string' },
  wildcard: { type: 'string' },
  strict: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

/** The values of {@link CONVERSION_OPTIONS}. */
export interface ConversionValues {
  readonly out?: string | undefined
  readonly force: boolean
  readonly host?: string | undefined
  readonly wildcard?: string | undefined
  readonly strict: boolean
  readonly json: boolean
}

/** A line of help for each format. */
export const FORMATS_HELP = Object.entries(FORMATS)
  .map(([name, { title }]) => `  ${name.padEnd(22)}${title}\n`)
  .join('')

/** The format that `name` is. */
export function readFormat(name: string | undefined): PolicyFormat {
  const names = Object.keys(FORMATS) as PolicyFormat[] // its own keys
  if (name === undefined) throw new UsageError(`give a format: there are ${names.join(', ')}`)
  const format = names.find((known) => known === name)
  if (format !== undefined) return format
  const nearest = nearestOf(name, names)
  const mend = nearest === undefined ? `there are ${names.join(', ')}` : `did you mean ${nearest}?`
  throw new UsageError(`unknown format ${JSON.stringify(name)}: ${mend}`)
}

/** The one file of the command line, behind the format. */
export function readFileName(positionals: readonly string[], what: string): string {
  const [, file, another] = positionals
  if (file === undefined) throw new UsageError(`give ${what}, or - for stdin`)
  if (another !== undefined) throw new UsageError(`give one file: ${JSON.stringify(another)}`)
  return file
}

/** What the converters are told. */
export function readFormatOptions(format: PolicyFormat, values: ConversionValues): FormatOptions {
  const { host, wildcard } = values
  const isOfOneHost = format === 'hpkp' || format === 'curl'
  if (host !== undefined && !isOfOneHost)
    throw new UsageError(`--host is for hpkp and curl: ${format} names its hosts`)
  if (wildcard !== undefined && format !== 'go') throw new UsageError('--wildcard is for go')
  if (wildcard !== undefined && wildcard !== 'documented' && wildcard !== 'actual')
    throw new UsageError(`--wildcard is ${JSON.stringify(wildcard)}: give documented or actual`)
  return { host, wildcard }
}

/** What the file `name` holds; of stdin for `-`. */
export async function readText(name: string): Promise<string> {
  return name === '-' ? textOfStream(process.stdin) : readNamedText(name)
}

/** Tells what was lost, and gives the text to whom it is for; resolves to the exit code. */
export async function deliver(
  { text, remarks }: Conversion,
  name: string,
  format: PolicyFormat,
  { out, force, strict, json }: ConversionValues,
): Promise<number> {
  const losses = remarks.filter(({ kind }) => kind === 'loss')
  for (const told of remarks) remark(textOf(told, name))
  if (strict && losses.length > 0) {
    const count = losses.length === 1 ? 'a loss' : `${losses.length} losses`
    remark(`${name}: ${count} and --strict: nothing is written`)
    return EXIT.file
  }
  if (json) await print(`${JSON.stringify({ format, file: name, text, remarks })}\n`)
  if (out !== undefined) await writeNew(out, text, force)
  else if (!json) await print(text)
  return losses.length > 0 ? EXIT.findings : EXIT.ok
}

function textOf({ kind, line, column, message }: ConversionRemark, name: string): string {
  const severity = kind === 'loss' ? 'warning' : 'note'
  return `${name}:${line}:${column}: ${severity}: ${message}`
}

async function writeNew(out: string, text: string, force: boolean): Promise<void> {
  try {
    if (force) await putFile(out, text, { isSynced: true })
    else await writeFile(out, text, { flag: 'wx' })
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST')
      throw new FileError(`${out}: is there already: give another name, or --force`, 'EEXIST')
    throw FileError.of(out, cause)
  }
}

/** What `convert` gives; its errors are those of the file `name`, as `name:line:column: …`. */
export function located(name: string, convert: () => Conversion): Conversion {
  try {
    return convert()
  } catch (cause) {
    const { message, code } = FileError.of(name, cause)
    const start = `${name}: line `
    const place = message.startsWith(start) ? message.slice(start.length) : ''
    const [all, line, column] = /^(\d+), column (\d+): /.exec(place) ?? []
    const told =
      all === undefined ? message : `${name}:${line}:${column}: ${place.slice(all.length)}`
    throw new FileError(told, code, { cause })
  }
}
