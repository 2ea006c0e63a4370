// OkHttp's CertificatePinner, as it is built in Kotlin or Java: https://square.github.io/okhttp/features/https/
//
// Patterns and their union are what they are in policies. There are no exclusions, ports or dates.

import { malformed, type Position, type Remarks, readPattern, readPin } from './conversion.js'
import type { Hosts } from './entries.js'
import type { Exported } from './exported.js'
import { type Token, tokensOf } from './tokens.js'

export const OKHTTP = { name: 'CertificatePinner' } as const

/** The hosts that the calls of `.add("pattern", "sha256/…", …)` in `source` pin. */
export function importOkHttp(source: string, remarks: Remarks): Hosts {
  const tokens = tokensOf(source, { raw: '"""', templates: true })
  const taken = new Set<Token>()
  const sets = new Map<string, { pins: Set<string>; at: Position }>()
  for (const [index, token] of tokens.entries()) {
    if (token.value !== 'add' || token.kind !== 'word' || tokens[index + 1]?.value !== '(') continue
    const call = argumentsOf(tokens, index + 2)
    const pins = call.filter(isPinText)
    if (pins.length === 0) continue // a call of another add
    const strange = call.find(({ kind }) => kind !== 'text')
    if (strange !== undefined)
      throw malformed(
        strange.at,
        `${strange.value} in a call of add: give the pattern and the pins as texts`,
      )
    const [pattern] = call
    if (pattern === undefined || isPinText(pattern))
      throw malformed(token.at, 'a call of add without a pattern')
    for (const argument of call) taken.add(argument)
    const [canonical] = readPattern(pattern.value, pattern.at)
    const set = sets.get(canonical) ?? { pins: new Set(), at: pattern.at }
    sets.set(canonical, set)
    for (const argument of call.slice(1)) {
      if (argument.value.startsWith('sha1/'))
        remarks.loss(argument.at, `${pattern.value}: a pin of SHA-1 is not read: left out`)
      else set.pins.add(readPin(argument.value, argument.at))
    }
  }
  for (const token of tokens)
    if (token.kind === 'text' && isPinText(token) && !taken.has(token))
      remarks.loss(token.at, `${token.value} is in no call of .add("…", "sha256/…"): left out`)
  if (sets.size === 0)
    throw malformed({ line: 1, column: 1 }, 'it has no call of .add("pattern", "sha256/…")')
  return Object.fromEntries(
    Array.from(sets, ([pattern, { pins, at }]) => {
      if (pins.size === 0) throw malformed(at, `${pattern} has no pin of SHA-256`)
      return [pattern, [...pins]]
    }),
  )
}

function isPinText({ kind, value }: Token): boolean {
  return kind === 'text' && /^sha(?:256|1)\//.test(value)
}

/** The arguments of a call, from behind its parenthesis: what is no text stays as it is, a comma between is left out. */
function argumentsOf(tokens: readonly Token[], from: number): Token[] {
  const found: Token[] = []
  let depth = 1
  for (let index = from; index < tokens.length; index++) {
    const token = tokens[index]
    if (token === undefined) break
    if (token.kind === 'sign') {
      if ('([{'.includes(token.value)) depth += 1
      if (')]}'.includes(token.value)) depth -= 1
      if (depth === 0) return found
      if (token.value === ',' && depth === 1) continue
    }
    found.push(token)
  }
  return []
}

/** Kotlin that builds a CertificatePinner which says what a policy says. */
export function exportOkHttp(exported: Exported): string {
  const calls = exported.sets.flatMap(({ set, at }) => {
    if (set.exclude)
      exported.remarks.loss(
        at,
        set.pins.length === 0
          ? `${set.pattern} cannot be taken out of a wider pattern: it stays pinned`
          : `${set.pattern} cannot be taken out of a wider pattern: pins of both are accepted`,
      )
    if (set.pins.length === 0) return []
    const [pattern] = readPattern(set.pattern, at)
    const pins = [...new Set(set.pins.map(({ pin }) => pin))]
    return [
      `    .add(${[pattern, ...pins].map((text) => JSON.stringify(text)).join(',\n        ')})\n`,
    ]
  })
  return `import okhttp3.CertificatePinner

val certificatePinner: CertificatePinner = CertificatePinner.Builder()
${calls.join('')}    .build()
`
}
