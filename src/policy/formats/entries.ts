// Formats in which the most specific entry wins, and policies, in which all patterns that match contribute.
//
// An entry below another one becomes a set with `exclude`: its pins stand in place of the wider one's. The other way, the
// pins of a name, of names right below it and of names further below are looked up in the policy and compared.

import type { PinPosition, PolicyRequirement } from '../../index.js'
import { type Pattern, PatternIndex, type PatternSet } from '../patterns.js'
import type { Position, Remarks } from './conversion.js'
import type { Exported } from './exported.js'

/** A pin, and where on the path it counts. */
export interface EntryPin {
  /** `sha256/…`. */
  readonly pin: string
  /** Null for every place. */
  readonly at: PinPosition | null
}

/** What holds for a host. */
export interface Rules {
  readonly pins: readonly EntryPin[]
  readonly mode: 'enforce' | 'report'
  /** The day after which bad pins are reported only: `2027-03-01`; null for none. */
  readonly ends: string | null
  readonly require: PolicyRequirement
}

/** An entry of a format in which the most specific one wins. */
export interface Entry {
  /** In canonical form. */
  readonly host: string
  /** The host alone, names with one more label too, or all below too. */
  readonly reach: 'host' | 'one' | 'any'
  /** Null for a host without pins, which is then taken out of wider entries. */
  readonly rules: Rules | null
  readonly at: Position
}

/** The `hosts` of a policy file. */
export type Hosts = Record<string, object>

/** A policy's hosts that say what `entries` say. */
export function hostsOf(entries: readonly Entry[], remarks: Remarks): Hosts {
  const index = new EntryIndex(entries)
  const hosts: Hosts = {}
  for (const entry of entries) {
    const isBelow = index.isBelowAnother(entry)
    if (entry.rules === null && !isBelow) {
      remarks.note(entry.at, `${entry.host} has no pins: left out`)
      continue
    }
    const value = entry.rules === null ? { exclude: true } : setOf(entry.rules, isBelow)
    for (const pattern of patternsOf(entry)) hosts[pattern] = value
  }
  return hosts
}

/** A pin set as files have it, in the shortest form. */
export function setOf({ pins, mode, ends, require }: Rules, isBelow = false): object {
  const list = pins.map(({ pin, at }) => (at === null ? pin : { pin, at }))
  const settings = {
    ...(isBelow ? { exclude: true } : {}),
    ...(mode === 'report' ? { mode } : {}),
    ...(ends === null ? {} : { expires: { at: ends, then: 'report' } }),
    ...(require === 1 ? {} : { require }),
  }
  return Object.keys(settings).length === 0 ? list : { pins: list, ...settings }
}

function patternsOf({ host, reach }: Entry): string[] {
  if (reach === 'host' || isAddress(host)) return [host]
  return reach === 'any' ? [`**.${host}`] : [host, `*.${host}`]
}

function isAddress(host: string): boolean {
  return host.includes(':') || /^[\d.]+$/.test(host)
}

/** Entries by their host. */
class EntryIndex {
  readonly #byHost = new Map<string, Entry>()

  constructor(entries: Iterable<Entry> = []) {
    for (const entry of entries) this.add(entry)
  }

  add(entry: Entry): void {
    this.#byHost.set(entry.host, entry)
  }

  isBelowAnother({ host }: Entry): boolean {
    return this.#above(host) !== undefined
  }

  /** The rules that hold for `host`: those of its own entry, or of the nearest above it that reach it. */
  rulesOf(host: string): Rules | null {
    return (this.#byHost.get(host) ?? this.#above(host))?.rules ?? null
  }

  #above(host: string): Entry | undefined {
    const labels = isAddress(host) ? [host] : host.split('.')
    for (let depth = 1; depth < labels.length; depth++) {
      const entry = this.#byHost.get(labels.slice(depth).join('.'))
      if (entry?.reach === 'any' || (entry?.reach === 'one' && depth === 1)) return entry
    }
    return undefined
  }
}

/** What a format in which the most specific entry wins can say. */
export interface Reach {
  /** How far an entry may reach besides its own host. */
  readonly below: 'one' | 'any'
  /** Whether an entry may be without pins. */
  readonly canExclude: boolean
}

/** The entries that say what a policy says, as far as the format can. */
export function entriesOf(exported: Exported, { below, canExclude }: Reach): Entry[] {
  const { remarks } = exported
  const index = new PatternIndex(exported.sets.map(({ set }) => set))
  const fresh = freshLabel(index.all)
  const lookUp = (host: string) => exported.rulesOf(index.inForce(host, 0))
  const written = new EntryIndex()
  const entries: Entry[] = []
  const add = (entry: Entry): void => {
    if (entry.rules === null && !canExclude) {
      remarks.loss(entry.at, `${entry.host} cannot be taken out of a wider entry: it stays pinned`)
      return
    }
    entries.push(entry)
    written.add(entry)
  }
  for (const { base, at, patterns } of basesOf(index.all, exported)) {
    const [own, one, deep] = isAddress(base)
      ? [lookUp(base), null, null]
      : [lookUp(base), lookUp(`${fresh}.${base}`), lookUp(`${fresh}.${fresh}.${base}`)]
    const inherited = written.rulesOf(`${fresh}.${base}`)
    const isUniform = below === 'one' || same(one, deep)
    if (below === 'one' && deep !== null && !same(deep, inherited))
      remarks.loss(
        at,
        `${patterns}: names with two labels and more before ${base} are not pinned: the format reaches one label`,
      )
    if (isUniform && same(one, inherited)) {
      if (!same(own, written.rulesOf(base))) add({ host: base, reach: 'host', rules: own, at })
    } else if (isUniform && same(own, one)) {
      add({ host: base, reach: below, rules: own, at })
    } else {
      const told = below === 'one' ? [own, one] : [own, one, deep]
      remarks.loss(
        at,
        `${patterns}: an entry is for ${base} and ${below === 'one' ? 'names right' : 'all names'} below it alike: all of them get the pins of each`,
      )
      add({ host: base, reach: below, rules: merged(told), at })
    }
  }
  return entries
}

/** The bases of all patterns, those with fewer labels first, then as they come. */
function basesOf(
  all: readonly PatternSet[],
  exported: Exported,
): { base: string; at: Position; patterns: string }[] {
  const bases = new Map<string, Pattern[]>()
  const places = new Map<string, Position>()
  for (const { pattern, set } of all) {
    const { base } = pattern
    bases.set(base, [...(bases.get(base) ?? []), pattern])
    if (!places.has(base)) places.set(base, exported.positionOf(set.pointer))
  }
  return [...bases]
    .sort(([a], [b]) => a.split('.').length - b.split('.').length)
    .map(([base, patterns]) => ({
      base,
      at: places.get(base) ?? { line: 1, column: 1 },
      patterns: patterns.map(({ text }) => text).join(', '),
    }))
}

/** A label that no pattern has. */
function freshLabel(all: readonly PatternSet[]): string {
  const taken = new Set(all.flatMap(({ pattern }) => pattern.base.split('.')))
  let label = 'x'
  while (taken.has(label)) label += 'x'
  return label
}

/** Whether the same holds. */
export function same(a: Rules | null, b: Rules | null): boolean {
  return keyOf(a) === keyOf(b)
}

function keyOf(rules: Rules | null): string {
  if (rules === null) return ''
  const pins = rules.pins.map(({ pin, at }) => `${pin} ${at}`).sort()
  return JSON.stringify([pins, rules.mode, rules.ends, rules.require])
}

/** The pins of all, under the rules of the first that has some. */
function merged(all: readonly (Rules | null)[]): Rules | null {
  const given = all.filter((rules) => rules !== null)
  const [first] = given
  if (first === undefined) return null
  const pins = new Map(
    given.flatMap((rules) => rules.pins.map((pin) => [`${pin.pin} ${pin.at}`, pin] as const)),
  )
  return { ...first, pins: [...pins.values()] }
}
