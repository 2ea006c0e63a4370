// What every conversion has: where it stands in the text that it reads, and what it has to tell of it.

import { PolicyError, policyLookup } from '../../index.js'

/** A line and a column, both from 1. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** Something that a conversion has to tell. */
export interface ConversionRemark extends Position {
  /** `loss`: what is written means something else than what was read; `note`: it does not, and there is more to know. */
  readonly kind: 'loss' | 'note'
  readonly message: string
}

/** What a conversion made. */
export interface Conversion {
  /** The text: a policy file, or what another program reads. */
  readonly text: string
  /** What was lost and what is to be known, in the order of the text that was read. */
  readonly remarks: readonly ConversionRemark[]
}

/** What a reader or writer of a format is told besides the text. */
export interface FormatOptions {
  /** Of a format that names no host (`hpkp`, `curl`): the host. */
  readonly host?: string | undefined
  /** What `*.` means in `go`: one label, as its documentation has it, or the name and all below. @default 'documented' */
  readonly wildcard?: 'documented' | 'actual' | undefined
}

/** Collects remarks. */
export class Remarks {
  readonly #all = new Map<string, ConversionRemark>()

  /** What is written means something else than what was read. */
  loss(at: Position, message: string): void {
    this.#add('loss', at, message)
  }

  /** What is written means the same, and there is more to know. */
  note(at: Position, message: string): void {
    this.#add('note', at, message)
  }

  /** All of them by their place, each once. */
  sorted(): ConversionRemark[] {
    return [...this.#all.values()].sort((a, b) => a.line - b.line || a.column - b.column)
  }

  #add(kind: ConversionRemark['kind'], { line, column }: Position, message: string): void {
    this.#all.set(`${line}:${column} ${message}`, { kind, line, column, message })
  }
}

/** The error of a text that is not what it should be. */
export function malformed(
  { line, column }: Position,
  message: string,
  cause?: unknown,
): PolicyError {
  return new PolicyError(
    cause instanceof PolicyError ? cause.code : 'ERR_POLICY_INVALID_OPTION',
    `line ${line}, column ${column}: ${message}`,
    { line, column },
    cause === undefined ? undefined : { cause },
  )
}

/** The pin that `text` is in any spelling, as `sha256/…`. */
export function readPin(text: string, at: Position): string {
  try {
    const [pin = ''] = policyLookup([['pin.invalid', text]], 'pin.invalid').pins
    return pin
  } catch (cause) {
    throw located(at, cause)
  }
}

/** Any pin: only the pattern is asked for. */
const SOME_PIN = `sha256/${'A'.repeat(43)}=`

/** The host that `text` names, in canonical form. */
export function readHost(text: string, at: Position): string {
  if (text.includes('*')) throw malformed(at, `${JSON.stringify(text)} is no host: it has a star`)
  const [host] = readPattern(text, at)
  return host.startsWith('[') ? host.slice(1, -1) : host
}

/** The pattern that `text` is, in canonical form, and whether it is of an address. */
export function readPattern(text: string, at: Position): [pattern: string, isAddress: boolean] {
  try {
    const [, stars = '', name = ''] = /^(\*{1,2}\.)?(.*)$/s.exec(text) ?? []
    const inside = stars === '' ? name : `x.${name}`
    const isV6 = /^[^[]*:.*:/.test(name)
    const [pattern = text] = policyLookup([[text, SOME_PIN]], isV6 ? `[${name}]` : inside).patterns
    return [pattern, isV6 || /^[\d.]+$/.test(pattern)]
  } catch (cause) {
    throw located(at, cause)
  }
}

/** Whether `text` is a day of the calendar: `2027-03-01`. */
export function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false
  const date = new Date(`${text}T00:00:00Z`)
  // the 30th of February would be the 2nd of March
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
}

/** Positions in a text. */
export class Lines {
  readonly #starts: number[]

  constructor(text: string) {
    this.#starts = [0]
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1))
      this.#starts.push(at + 1)
  }

  /** Where the code unit at `offset` stands. */
  at(offset: number): Position {
    let low = 0
    let high = this.#starts.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((this.#starts[middle] ?? 0) <= offset) low = middle
      else high = middle
    }
    return { line: low + 1, column: offset - (this.#starts[low] ?? 0) + 1 }
  }
}

/** What was said of a pin or pattern, at its place in the text and not in a policy that does not exist. */
function located(at: Position, cause: unknown): unknown {
  const isOfText = cause instanceof PolicyError || cause instanceof TypeError
  return isOfText ? malformed(at, reasonOf(cause), cause) : cause
}

function reasonOf({ message }: Error): string {
  return message.replace(/^pins\["(?:[^"\\]|\\.)*"\](?:\[\d+\])?:? ?/, '')
}
