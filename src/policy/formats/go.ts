// The map of the Go client that pinfetch grew from, in Go (`map[string][]string{…}`) or as JSON.
//
// Its documentation has `*.x` stand for names with one more label; its code takes it for x and everything below.

import {
  type FormatOptions,
  malformed,
  type Position,
  type Remarks,
  readPattern,
  readPin,
} from './conversion.js'
import type { Hosts } from './entries.js'
import type { Exported } from './exported.js'
import { type Token, tokensOf } from './tokens.js'

export const GO = { name: 'the map' } as const

interface Listed {
  readonly host: Token
  readonly pins: readonly Token[]
}

/** The hosts that a map pins. */
export function importGo(source: string, remarks: Remarks, { wildcard }: FormatOptions): Hosts {
  const tokens = tokensOf(source.replace(/^\ufeff/, ''), { raw: '`', templates: false })
  const listed = new Parser(tokens).read()
  const taken = new Set(listed.flatMap(({ pins }) => pins))
  for (const token of tokens)
    if (isPinText(token) && !taken.has(token))
      remarks.loss(token.at, `${token.value} is not in the map that is read: left out`)
  const sets = new Map<string, { pins: string[]; at: Position; isWide: boolean }>()
  for (const { host, pins } of listed) {
    const isWide = host.value.startsWith('*.')
    const name = isWide && wildcard === 'actual' ? `*${host.value}` : host.value
    if (isWide && wildcard !== 'actual')
      remarks.loss(
        host.at,
        `${host.value} is taken as documented, for names with one more label: the client itself takes it for ${host.value.slice(2)} and all names below (--wildcard actual)`,
      )
    if (host.value.startsWith('**.'))
      throw malformed(host.at, `${host.value} is no pattern of this map`)
    const [pattern] = readPattern(name, host.at)
    if (sets.has(pattern)) throw malformed(host.at, `${pattern} stands there twice`)
    if (pins.length === 0) throw malformed(host.at, `${host.value} has no pins: leave it out`)
    sets.set(pattern, {
      pins: [...new Set(pins.map((pin) => readPin(pin.value, pin.at)))],
      at: host.at,
      isWide,
    })
  }
  if (sets.size === 0) throw malformed({ line: 1, column: 1 }, 'the map is empty')
  tellOfOverlaps(sets, remarks)
  return Object.fromEntries(Array.from(sets, ([pattern, { pins }]) => [pattern, pins]))
}

/** Whether it is a text as pins are written: 44 characters of base64, with or without what they are of. */
function isPinText({ kind, value }: Token): boolean {
  return kind === 'text' && /^(?:sha256\/{1,2})?[A-Za-z0-9+/]{43}=$/.test(value)
}

/** Where several entries match a host, one of them holds there, and all of them here. */
function tellOfOverlaps(
  sets: ReadonlyMap<string, { at: Position; isWide: boolean }>,
  remarks: Remarks,
): void {
  for (const [pattern, { at }] of sets) {
    const other = widerOf(pattern, (wide) => sets.get(wide)?.isWide === true)
    if (other !== undefined)
      remarks.loss(at, `${pattern} and ${other} match the same names: the pins of both hold here`)
  }
}

/** Reads `map[string][]string{ "host": { "pin", … }, … }`, or a JSON object of lists. */
class Parser {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  read(): Listed[] {
    const starts = this.#tokens.flatMap((_, index) => (this.#isMapAt(index) ? [index] : []))
    const start = starts.find((index) => this.#hasPinAt(index)) ?? starts[0]
    this.#at = start === undefined ? 0 : start + MAP.length
    const isGo = start !== undefined
    this.#take('{', isGo ? 'the map' : 'give map[string][]string{…} or a JSON object')
    const listed: Listed[] = []
    while (!this.#skip('}')) {
      const host = this.#text('a host')
      this.#take(':', `what follows ${host.value}`)
      if (isGo && this.#isAt('[')) for (const sign of LIST) this.#take(sign, 'a list of texts')
      listed.push({ host, pins: this.#list(isGo ? ['{', '}'] : ['[', ']']) })
      if (this.#skip('}')) break
      this.#take(',', 'what follows a list')
    }
    if (!isGo && this.#at < this.#tokens.length)
      throw malformed(this.#here, 'there is something behind the map')
    return listed
  }

  #list([open, close]: readonly [string, string]): Token[] {
    this.#take(open, 'a list of pins')
    const pins: Token[] = []
    while (!this.#skip(close)) {
      pins.push(this.#text('a pin'))
      if (this.#skip(close)) break
      this.#take(',', 'what follows a pin')
    }
    return pins
  }

  /** Whether a map's value begins there; its type alone is none. */
  #isMapAt(index: number): boolean {
    return [...MAP, '{'].every((value, offset) => this.#tokens[index + offset]?.value === value)
  }

  /** Whether the first text of the first list of the map at `index` is a pin: there are maps of other things. */
  #hasPinAt(index: number): boolean {
    const texts = this.#tokens.slice(index).filter(({ kind }) => kind === 'text')
    return texts[1] !== undefined && isPinText(texts[1])
  }

  #isAt(value: string): boolean {
    const token = this.#tokens[this.#at]
    return token?.kind !== 'text' && token?.value === value
  }

  #skip(value: string): boolean {
    const isThere = this.#isAt(value)
    if (isThere) this.#at += 1
    return isThere
  }

  #take(value: string, what: string): void {
    if (!this.#skip(value))
      throw malformed(this.#here, `${what}: ${this.#seen} instead of ${value}`)
  }

  #text(what: string): Token {
    const token = this.#tokens[this.#at]
    if (token?.kind !== 'text')
      throw malformed(this.#here, `${what}: ${this.#seen} instead of a text in quotes`)
    this.#at += 1
    return token
  }

  get #seen(): string {
    return JSON.stringify(this.#tokens[this.#at]?.value ?? 'the end')
  }

  get #here(): Position {
    return (this.#tokens[this.#at] ?? this.#tokens.at(-1))?.at ?? { line: 1, column: 1 }
  }
}

const MAP = ['map', '[', 'string', ']', '[', ']', 'string']
const LIST = ['[', ']', 'string']

/** A Go map that says what a policy says. */
export function exportGo(exported: Exported, { wildcard }: FormatOptions): string {
  const { remarks } = exported
  const isActual = wildcard === 'actual'
  const entries = new Map<string, string[]>()
  for (const { set, at } of exported.sets) {
    if (set.exclude) remarks.loss(at, `${set.pattern} cannot be taken out of a wider pattern`)
    if (set.pins.length === 0) continue
    const [pattern] = readPattern(set.pattern, at)
    const name = pattern.replace(/^\*{1,2}\./, '')
    const pins = set.pins.map(({ pin }) => pin.slice('sha256/'.length))
    if (pattern.startsWith('**.')) {
      if (!isActual)
        remarks.loss(
          at,
          `${pattern} is ${name} and names with one more label: not those further below`,
        )
      for (const key of isActual ? [`*.${name}`] : [name, `*.${name}`]) add(entries, key, pins)
    } else {
      if (isActual && pattern.startsWith('*.'))
        remarks.loss(at, `${pattern} is for ${name} and all names below`)
      add(entries, pattern, pins)
    }
  }
  for (const pattern of entries.keys()) {
    const other = widerOf(pattern, (wide) => entries.has(wide), isActual)
    if (other !== undefined)
      remarks.loss(
        { line: 1, column: 1 },
        `${pattern} and ${other} match the same names, of which the map uses one entry`,
      )
  }
  const lines = Array.from(
    entries,
    ([pattern, pins]) =>
      `\t${JSON.stringify(pattern)}: {\n${[...new Set(pins)].map((pin) => `\t\t${JSON.stringify(pin)},\n`).join('')}\t},\n`,
  )
  return `map[string][]string{\n${lines.join('')}}\n`
}

function add(entries: Map<string, string[]>, pattern: string, pins: readonly string[]): void {
  entries.set(pattern, [...(entries.get(pattern) ?? []), ...pins])
}

/** A wildcard that is for names that `pattern` is for too; of any depth, where a star reaches so far. */
function widerOf(
  pattern: string,
  isThere: (wide: string) => boolean,
  isActual = true,
): string | undefined {
  const labels = pattern.replace(/^\*{1,2}\./, '').split('.')
  const depths = isActual ? labels.keys() : pattern.startsWith('*') ? [] : [1]
  for (const depth of depths) {
    const base = labels.slice(depth).join('.')
    for (const wide of [`*.${base}`, `**.${base}`])
      if (wide !== pattern && isThere(wide)) return wide
  }
  return undefined
}
