// Formats that tell the pins of one host, and leave it to others to say which.

import { PatternIndex } from '../patterns.js'
import { type FormatOptions, malformed, type Position, readHost } from './conversion.js'
import { type Rules, same } from './entries.js'
import type { Exported } from './exported.js'

/** What holds for one host of a policy. */
export interface OneHost {
  readonly host: string
  readonly rules: Rules
  /** Whether the same holds for all names below it. */
  readonly isBelow: boolean
  readonly at: Position
}

/** The host that is asked for, or the only one there is. */
export function onlyHost(
  exported: Exported,
  { host: asked }: FormatOptions,
  canReachBelow: boolean,
): OneHost {
  const index = new PatternIndex(exported.sets.map(({ set }) => set))
  const start = { line: 1, column: 1 }
  const [only, another] = index.all
  if (asked === undefined && (only === undefined || another !== undefined))
    throw malformed(start, 'the format is of one host: say which with host')
  const host = asked === undefined ? (only?.pattern.base ?? '') : readHost(asked, start)
  const sets = index.inForce(host, 0)
  const rules = exported.rulesOf(sets)
  const below = ['x9.', 'x9.x9.']
  const lookUp = (name: string) => exported.rulesOf(index.inForce(name, 0))
  const isBelow =
    !/^[\d.]+$|:/.test(host) && below.every((labels) => same(lookUp(`${labels}${host}`), rules))
  const [first] = sets
  const at = first === undefined ? start : exported.positionOf(first.set.pointer)
  if (rules === null) {
    const scope = only?.pattern.scope
    throw malformed(
      start,
      asked === undefined && scope === '*.'
        ? `${only?.pattern.text} is for names below ${host}: say which with host`
        : `${host} has no pins`,
    )
  }
  const others = index.all.filter(({ set }) => !sets.some((of) => of.set === set))
  const isWider = sets.some(({ pattern }) => pattern.scope !== '')
  if (isWider && !(canReachBelow && isBelow))
    exported.remarks.loss(at, `what is written is for ${host} alone, and not for names below it`)
  if (others.length > 0 || (isWider && sets.some(({ pattern }) => pattern.base !== host)))
    exported.remarks.note(start, `what is written is for ${host} alone, of all hosts of the file`)
  return { host, rules, isBelow: canReachBelow && isBelow, at }
}
