// Which patterns of a policy file speak of a host, told with their reasons. The engine decides the same for itself: what
// is told here is for people, and a test compares the two.

import { type PolicySet, policyLookup } from '../index.js'

/** How far a pattern reaches from its base; later ones are more specific. */
const SCOPES = ['**.', '*.', ''] as const

/** A host pattern in canonical form. */
export interface Pattern {
  readonly text: string
  /** `**.`: the base and all below; `*.`: one label below; nothing: the base alone. */
  readonly scope: (typeof SCOPES)[number]
  readonly base: string
  /** Null for every port. */
  readonly port: number | null
}

/** A pattern and what the file says of it. */
export interface PatternSet {
  readonly pattern: Pattern
  readonly set: PolicySet
}

/** A pattern that speaks of a host, and whether it contributes. */
export interface Match extends PatternSet {
  /** The exclusion that takes the host out of this pattern; null where it contributes, or has no pins. */
  readonly excludedBy: Pattern | null
}

/** Any pin: only the form of the pattern is asked for. */
const SOME_PIN = `sha256/${'A'.repeat(43)}=`
/** A name that is canonical as it stands: no upper case, no other script, no address. */
const PLAIN = /^(?:\*{1,2}\.)?(?!.*xn--)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.[a-z][a-z0-9_-]*$/

/** Reads a host pattern that the engine has read before. */
export function readPattern(text: string): Pattern {
  if (PLAIN.test(text)) return split(text)
  const [, star = '', rest = ''] = /^(\*{1,2}\.)?(.*)$/.exec(text) ?? []
  const name = /^[^[]*:.*:/.test(rest) ? `[${rest}]` : rest // as URLs have an IPv6 address
  const host = star === '' ? name : `x.${name}`
  const [canonical = text] = policyLookup([[text, SOME_PIN]], host).patterns
  return split(canonical)
}

function split(text: string): Pattern {
  const scope = SCOPES.find((start) => text.startsWith(start)) ?? ''
  const rest = text.slice(scope.length)
  const [, bracketed, name = rest, port] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(rest) ?? []
  return { text, scope, base: bracketed ?? name, port: port === undefined ? null : Number(port) }
}

/** The sets of a file by the base of their pattern. */
export class PatternIndex {
  readonly all: readonly PatternSet[]
  readonly #byBase = new Map<string, PatternSet[]>()

  constructor(sets: Iterable<PolicySet>) {
    this.all = Array.from(sets, (set) => ({ pattern: readPattern(set.pattern), set }))
    for (const entry of this.all) {
      const { base } = entry.pattern
      const same = this.#byBase.get(base)
      if (same === undefined) this.#byBase.set(base, [entry])
      else same.push(entry)
    }
  }

  /** The patterns that speak of `host` (canonical) at `port`, the most specific one first. */
  matching(host: string, port: number): Match[] {
    const found: PatternSet[] = []
    const isAddress = host.includes(':') || /^[\d.]+$/.test(host)
    const labels = isAddress ? [host] : host.split('.')
    for (let depth = 0; depth < labels.length; depth++) {
      for (const entry of this.#byBase.get(labels.slice(depth).join('.')) ?? []) {
        const { scope, port: own } = entry.pattern
        const reaches = scope === '**.' || (scope === '*.' ? depth === 1 : depth === 0)
        if (reaches && (own === null || own === port)) found.push(entry)
      }
    }
    found.sort((a, b) => compare(b.pattern, a.pattern))
    let excludedBy: Pattern | null = null
    return found.map((entry) => {
      const match = { ...entry, excludedBy: hasPins(entry) ? excludedBy : null }
      if (entry.set.exclude) excludedBy ??= entry.pattern
      return match
    })
  }

  /** The sets that contribute to `host` at `port`. */
  inForce(host: string, port: number): PatternSet[] {
    return this.matching(host, port).filter((match) => hasPins(match) && !match.excludedBy)
  }
}

/** Whether it has pins: an exclusion may have none. */
export function hasPins({ set }: PatternSet): boolean {
  return set.pins.length > 0
}

/** Which is the more specific one: labels of the base, then the scope, then a port. */
export function compare(a: Pattern, b: Pattern): number {
  return (
    a.base.length - b.base.length ||
    SCOPES.indexOf(a.scope) - SCOPES.indexOf(b.scope) ||
    Number(a.port !== null) - Number(b.port !== null)
  )
}
