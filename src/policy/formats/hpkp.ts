// The header of HTTP Public Key Pinning (RFC 7469 §2.1), of one host.

import {
  type FormatOptions,
  malformed,
  type Position,
  type Remarks,
  readHost,
  readPin,
} from './conversion.js'
import { type Hosts, hostsOf } from './entries.js'
import type { Exported } from './exported.js'
import { onlyHost } from './one-host.js'

export const HPKP = { name: 'Public-Key-Pins', report: true } as const

/** How long a browser was told to remember pins, in seconds: 60 days, the most that RFC 7469 §4.1 advises. */
const MAX_AGE = 60 * 24 * 60 * 60

const FIELD = /^(public-key-pins(?:-report-only)?)[ \t]*:/i
/** RFC 9110 §5.6.2. */
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
/** RFC 9110 §5.6.4. */
const QUOTED = /"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)"/y

interface Directive {
  readonly name: string
  /** Null for none. */
  readonly value: string | null
  readonly isQuoted: boolean
  readonly at: Position
}

/** The hosts that a header pins: `options.host`, and with includeSubDomains all below. */
export function importHpkp(text: string, remarks: Remarks, { host }: FormatOptions): Hosts {
  const start = { line: 1, column: 1 }
  if (host === undefined)
    throw malformed(start, 'a header names no host: give the host that sent it')
  const canonical = readHost(host, start)
  const lines = text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .map((line, index) => ({ line, number: index + 1 }))
    .filter(({ line }) => line.trim() !== '')
  const isReport = ({ line }: { line: string }) => /^public-key-pins-report-only/i.test(line)
  const used = lines.find((line) => !isReport(line)) ?? lines[0]
  if (used === undefined) throw malformed(start, 'it is empty')
  for (const { line, number } of lines)
    if (number !== used.number)
      remarks.loss(
        { line: number, column: 1 },
        `only the first header counts (RFC 7469 §2.3.1): ${line.slice(0, 40)}… is left out`,
      )
  const mode = isReport(used) ? 'report' : 'enforce'
  const directives = readDirectives(used.line, used.number)
  const at = { line: used.number, column: 1 }
  const { pins, isBelow } = understood(directives, mode === 'report', remarks, at)
  const rules = {
    pins: pins.map((pin) => ({ pin, at: null })),
    mode,
    ends: null,
    require: 1,
  } as const
  return hostsOf([{ host: canonical, reach: isBelow ? 'any' : 'host', rules, at }], remarks)
}

/** What the directives say; unknown ones are passed over, as browsers do (RFC 7469 §2.1). */
function understood(
  directives: readonly Directive[],
  isReport: boolean,
  remarks: Remarks,
  at: Position,
): { pins: string[]; isBelow: boolean } {
  const pins: string[] = []
  const seen = new Set<string>()
  for (const { name, value, isQuoted, at: here } of directives) {
    if (name.startsWith('pin-')) {
      if (!isQuoted)
        throw malformed(here, `${name} has no value in quotes: the header does not count`)
      if (name === 'pin-sha256') pins.push(readPin(value ?? '', here))
      else remarks.note(here, `${name} is of an algorithm that RFC 7469 does not know: left out`)
      continue
    }
    if (seen.has(name))
      throw malformed(here, `${name} stands there twice: the header does not count`)
    seen.add(name)
    if (name === 'max-age') {
      if (value === null || !/^\d+$/.test(value))
        throw malformed(here, 'max-age is no number of seconds: the header does not count')
      if (Number(value) === 0 && !isReport)
        throw malformed(here, 'max-age=0 takes pins away: there are none to import')
      remarks.note(here, 'max-age is for browsers: the pins hold here until they are taken out')
    } else if (name === 'includesubdomains') {
      if (value !== null)
        throw malformed(here, 'includeSubDomains has no value: the header does not count')
    } else if (name === 'report-uri') {
      if (!isQuoted) throw malformed(here, 'report-uri is not in quotes: the header does not count')
      remarks.loss(here, 'report-uri is left out: where to report is the client’s to be told')
    } else {
      remarks.note(here, `${name} is not a directive of RFC 7469: left out`)
    }
  }
  if (!seen.has('max-age') && !isReport)
    throw malformed(at, 'it has no max-age: the header does not count')
  if (pins.length === 0) throw malformed(at, 'it has no pin-sha256')
  return { pins: [...new Set(pins)], isBelow: seen.has('includesubdomains') }
}

/** `directive *( OWS ";" OWS directive )`; what is anything else is malformed as a whole, and nothing is mended. */
function readDirectives(line: string, number: number): Directive[] {
  const place = (offset: number): Position => ({ line: number, column: offset + 1 })
  let at = FIELD.exec(line)?.[0].length ?? 0
  const end = line.trimEnd().length
  const skip = () => {
    while (at < end && (line[at] === ' ' || line[at] === '\t')) at += 1
  }
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const found = pattern.exec(line)
    if (found !== null) at = pattern.lastIndex
    return found
  }
  const directives: Directive[] = []
  skip()
  for (;;) {
    const start = at
    const [name] = match(TOKEN) ?? []
    if (name === undefined)
      throw malformed(place(at), 'no directive where one should be: the header does not count')
    let value: string | null = null
    let isQuoted = false
    if (line[at] === '=') {
      at += 1
      const quoted = match(QUOTED)
      const token = quoted === null ? match(TOKEN) : null
      if (quoted === null && token === null)
        throw malformed(place(at), `${name} has no value behind its "=": the header does not count`)
      isQuoted = quoted !== null
      value = quoted === null ? (token?.[0] ?? '') : (quoted[1] ?? '').replace(/\\(.)/g, '$1')
    }
    directives.push({ name: name.toLowerCase(), value, isQuoted, at: place(start) })
    skip()
    if (at >= end) return directives
    if (line[at] !== ';')
      throw malformed(
        place(at),
        'something other than ";" behind a directive: the header does not count',
      )
    at += 1
    skip()
  }
}

/** The header of one host. */
export function exportHpkp(exported: Exported, options: FormatOptions): string {
  const { rules, isBelow, host, at } = onlyHost(exported, options, true)
  if (rules.pins.length < 2)
    exported.remarks.note(at, `${host} has one pin: browsers asked for a backup (RFC 7469 §2.5)`)
  const name = rules.mode === 'report' ? 'Public-Key-Pins-Report-Only' : 'Public-Key-Pins'
  const directives = [
    ...rules.pins.map(({ pin }) => `pin-sha256="${pin.slice('sha256/'.length)}"`),
    `max-age=${MAX_AGE}`,
    ...(isBelow ? ['includeSubDomains'] : []),
  ]
  return `${name}: ${directives.join('; ')}\n`
}
