// What a change of a policy file changes: patterns that gained or lost pins, and settings. Notes change nothing.

import type { FilePolicy, PolicySet } from '../../index.js'
import { PatternIndex } from '../../policy/patterns.js'
import { printable } from '../output.js'

/** Two values of a setting. */
type Change = readonly [old: unknown, new_: unknown]

/** A pattern that both files have, with what is different. */
export interface ChangedPattern {
  readonly pattern: string
  /** Pins that it gained. */
  readonly gained: readonly string[]
  /** Pins that it lost. */
  readonly lost: readonly string[]
  /** Settings with their old and new value, as files write them. */
  readonly settings: Readonly<Record<string, Change>>
}

/** What is different between two policies. */
export interface PolicyDiff {
  /** Patterns of the new file alone; with no pins, an exclusion. */
  readonly added: readonly { readonly pattern: string; readonly pins: readonly string[] }[]
  /** Patterns of the old file alone. */
  readonly removed: readonly { readonly pattern: string; readonly pins: readonly string[] }[]
  readonly changed: readonly ChangedPattern[]
  /** Settings of the whole file. */
  readonly settings: Readonly<Record<string, Change>>
}

/** Compares two policies by the canonical form of their patterns. */
export function diffPolicies(older: FilePolicy, newer: FilePolicy): PolicyDiff {
  const [before, after] = [byPattern(older), byPattern(newer)]
  const only = (these: Map<string, PolicySet>, others: Map<string, PolicySet>) =>
    [...these]
      .filter(([pattern]) => !others.has(pattern))
      .map(([pattern, set]) => ({ pattern, pins: pinsOf(set) }))
  const changed = [...after].flatMap(([pattern, set]) => {
    const earlier = before.get(pattern)
    const change = earlier === undefined ? null : changeOf(pattern, earlier, set)
    return change === null ? [] : [change]
  })
  const blocked = (policy: FilePolicy) => [...new Set(policy.blocked.map(({ pin }) => pin))].sort()
  return {
    added: only(after, before),
    removed: only(before, after),
    changed,
    settings: settingsOf({
      unpinned: [older.unpinned, newer.unpinned],
      blocked: [blocked(older), blocked(newer)],
    }),
  }
}

/** Whether nothing is different. */
export function isSame({ added, removed, changed, settings }: PolicyDiff): boolean {
  return added.length + removed.length + changed.length + Object.keys(settings).length === 0
}

/** For people: `+` and `-` before what came and went. */
export function textOfDiff({ added, removed, changed, settings }: PolicyDiff): string {
  const whole = (sign: string, { pattern, pins }: { pattern: string; pins: readonly string[] }) => [
    `${sign} ${pattern}${pins.length === 0 ? ' (excluded)' : ''}`,
    ...pins.map((pin) => `    ${sign} ${pin}`),
  ]
  const lines = [
    ...settingLines(settings, ''),
    ...removed.flatMap((entry) => whole('-', entry)),
    ...added.flatMap((entry) => whole('+', entry)),
    ...changed.flatMap((change) => [
      `~ ${change.pattern}`,
      ...change.lost.map((pin) => `    - ${pin}`),
      ...change.gained.map((pin) => `    + ${pin}`),
      ...settingLines(change.settings, '    '),
    ]),
  ]
  return lines.map((line) => `${printable(line)}\n`).join('')
}

function settingLines(settings: PolicyDiff['settings'], indent: string): string[] {
  return Object.entries(settings).map(
    ([name, [before, after]]) =>
      `${indent}${name}: ${JSON.stringify(before)} → ${JSON.stringify(after)}`,
  )
}

function byPattern(policy: FilePolicy): Map<string, PolicySet> {
  const { all } = new PatternIndex(policy.sets.values())
  return new Map(all.map(({ pattern, set }) => [pattern.text, set]))
}

function changeOf(pattern: string, before: PolicySet, after: PolicySet): ChangedPattern | null {
  const [earlier, later] = [new Set(pinsOf(before)), new Set(pinsOf(after))]
  const change = {
    pattern,
    gained: [...later].filter((pin) => !earlier.has(pin)),
    lost: [...earlier].filter((pin) => !later.has(pin)),
    settings: settingsOf({
      exclude: [before.exclude, after.exclude],
      mode: [before.mode, after.mode],
      expires: [expiryOf(before), expiryOf(after)],
      require: [before.require, after.require],
      trust: [before.trust, after.trust],
      at: [placesOf(before, later), placesOf(after, earlier)],
    }),
  }
  const { gained, lost, settings } = change
  return gained.length + lost.length + Object.keys(settings).length === 0 ? null : change
}

function settingsOf(changes: Record<string, Change>): Record<string, Change> {
  return Object.fromEntries(
    Object.entries(changes).filter(
      ([, [before, after]]) => JSON.stringify(before) !== JSON.stringify(after),
    ),
  )
}

function pinsOf({ pins }: PolicySet): string[] {
  return [...new Set(pins.map(({ pin }) => pin))]
}

/** Where pins that both have may be found, if not everywhere. */
function placesOf({ pins }: PolicySet, both: ReadonlySet<string>): string[] {
  return pins
    .filter(({ pin, at }) => at !== null && both.has(pin))
    .map(({ pin, at }) => `${pin} ${at}`)
    .sort()
}

function expiryOf({ expires }: PolicySet): unknown {
  return expires === null ? null : `${expires.at.toISOString()} ${expires.afterwards}`
}
