// What `pinfetch lint` looks for. Ids are an interface for scripts and never change their meaning; docs/lint.md has a
// section for each.

import type { FilePolicy, PolicySet } from '../../index.js'
import { hasPins, type Pattern, PatternIndex, type PatternSet } from '../../policy/patterns.js'
import { dayOf, inDays, isWithin, plural } from '../wording.js'

/** How bad a finding is: an error makes the file unusable or a pin useless, a warning will be trouble one day. */
export type Severity = 'error' | 'warning'

/** Every rule with its severity. */
export const RULES = {
  'invalid-file': 'error',
  'expired-set': 'error',
  'blocked-pin': 'error',
  'few-pins': 'warning',
  'no-backup': 'warning',
  'leaf-only': 'warning',
  'wildcard-apex': 'warning',
  'wildcard-nested': 'warning',
  'expiring-set': 'warning',
  'retired-pin': 'warning',
  'outdated-pin': 'warning',
  'duplicate-pin': 'warning',
  'idle-exclusion': 'warning',
  'ca-set-changed': 'warning',
  'no-spare-pin': 'warning',
  'expired-authority': 'warning',
} as const satisfies Record<string, Severity>

export type Rule = keyof typeof RULES

/** Something that a rule found. */
export interface Finding {
  readonly rule: Rule
  readonly message: string
  /** Where in the file: a JSON pointer (RFC 6901). */
  readonly pointer: string
}

/** As of when, and how far ahead, dates are judged. */
export interface Horizon {
  readonly now: Date
  readonly days: number
}

/** RFC 7469 §4.3 asks for a backup; a root besides keeps a host reachable when both keys of its own are lost. */
const ENOUGH_PINS = 3

/** What becomes of the hosts of a set that has ended. */
export const AFTER_EXPIRY = {
  enforce: 'its pins still hold',
  report: 'bad pins are reported only',
  refuse: 'its hosts are refused',
} as const

/** What the rules find in a file's policy for one environment. */
export function lintPolicy(policy: FilePolicy, horizon: Horizon): Finding[] {
  const index = new PatternIndex(policy.sets.values())
  const blocked = new Set(policy.blocked.map(({ pin }) => pin))
  const repeated = repeatedPins(policy.blocked)
  return [
    ...repeated,
    ...index.all.flatMap((entry) =>
      hasPins(entry)
        ? [
            ...strength(entry, index),
            ...(policy.unpinned === 'refuse' ? [] : gaps(entry, index)),
            ...dates(entry.set, horizon),
            ...repeatedPins(entry.set.pins),
            ...entry.set.pins
              .filter(({ pin }) => blocked.has(pin))
              .map(({ pin, pointer }) =>
                found('blocked-pin', pointer, `${pin} is blocked too: it never matches`),
              ),
          ]
        : [],
    ),
    ...index.all.flatMap((entry) => (entry.set.exclude ? idleExclusion(entry, index) : [])),
  ]
}

/** Few pins, no backup, leaves only: judged by all that is in force for the pattern's hosts. */
function strength({ pattern, set }: PatternSet, index: PatternIndex): Finding[] {
  const inForce = index
    .inForce(hostOf(pattern), pattern.port ?? 0)
    .flatMap((entry) => entry.set.pins)
  const alive = new Map(
    inForce.filter(({ role }) => role !== 'retired').map((pin) => [pin.pin, pin]),
  )
  const pins = [...alive.values()]
  const { pointer } = set
  const findings: Finding[] = []
  if (pins.length < ENOUGH_PINS) {
    const retired = inForce.some(({ role }) => role === 'retired')
      ? ` that ${pins.length === 1 ? 'is' : 'are'} not retired`
      : ''
    findings.push(
      found(
        'few-pins',
        pointer,
        `${set.pattern} has ${plural(pins.length, 'pin')}${retired}: pin the key in use, a backup that is not in use, and a root`,
      ),
    )
  }
  const isTold = inForce.some(({ role }) => role !== null)
  if (pins.length < 2 || (isTold && !pins.some(({ role }) => role === 'backup')))
    findings.push(
      found(
        'no-backup',
        pointer,
        `${set.pattern} has no backup: when its key is lost or replaced, its hosts are refused`,
      ),
    )
  if (pins.length > 0 && pins.every(({ at }) => at === 'leaf'))
    findings.push(
      found(
        'leaf-only',
        pointer,
        `${set.pattern} has pins of leaves only: a certificate that was issued in a hurry for a new key is refused`,
      ),
    )
  return findings
}

/** What a `*.` leaves out: its apex, and what is further below. */
function gaps({ pattern, set }: PatternSet, index: PatternIndex): Finding[] {
  if (pattern.scope !== '*.') return []
  const port = pattern.port ?? 0
  const mend = `write **.${pattern.base} for all depths`
  const findings: Finding[] = []
  for (const [rule, host, left] of [
    ['wildcard-apex', pattern.base, `${pattern.base} itself`],
    ['wildcard-nested', `x.x.${pattern.base}`, `names below its own, such as a.b.${pattern.base}`],
  ] as const) {
    // pins or an exclusion: somebody has thought of it
    if (index.matching(host, port).length > 0) continue
    findings.push(
      found(
        rule,
        set.pointer,
        `${set.pattern} leaves out ${left}, which no pattern speaks of: ${mend}, or exclude it`,
      ),
    )
  }
  return findings
}

/** Sets that end, and pins that should be gone. */
function dates(set: PolicySet, { now, days }: Horizon): Finding[] {
  const findings: Finding[] = []
  if (set.expires !== null) {
    const { at, afterwards } = set.expires
    const after = AFTER_EXPIRY[afterwards]
    const pointer = `${set.pointer}/expires`
    if (at <= now)
      findings.push(
        found('expired-set', pointer, `${set.pattern} has ended on ${dayOf(at)}: ${after}`),
      )
    else if (isWithin(at, now, days))
      findings.push(
        found(
          'expiring-set',
          pointer,
          `${set.pattern} ends on ${dayOf(at)}, ${inDays(at, now)}: then ${after}`,
        ),
      )
  }
  for (const { pin, caSet, role, label, expires, pointer } of set.pins) {
    if (expires === null || expires > now) continue
    const key = caSet === null ? pin : `ca:${caSet}` // told once for all its roots
    const name = label === null ? key : `${label} (${key})`
    findings.push(
      role === 'retired'
        ? found(
            'retired-pin',
            pointer,
            `${name} is retired, and was to go on ${dayOf(expires)}: take it out`,
          )
        : found(
            'outdated-pin',
            pointer,
            `${name} was to go on ${dayOf(expires)}: replace it, or date it anew`,
          ),
    )
  }
  return findings
}

function repeatedPins(
  pins: readonly { readonly pin: string; readonly pointer: string }[],
): Finding[] {
  const seen = new Set<string>()
  return pins.flatMap(({ pin, pointer }) => {
    const isRepeated = seen.has(pin)
    seen.add(pin)
    return isRepeated ? [found('duplicate-pin', pointer, `${pin} stands in this list twice`)] : []
  })
}

/** An exclusion that takes nothing out of anything. */
function idleExclusion({ pattern, set }: PatternSet, index: PatternIndex): Finding[] {
  const matching = index.matching(hostOf(pattern), pattern.port ?? 0)
  if (matching.some((match) => match.excludedBy !== null)) return []
  return [
    found(
      'idle-exclusion',
      set.pointer,
      `${set.pattern} is taken out of nothing: no wider pattern speaks of its hosts`,
    ),
  ]
}

/** A host that the pattern speaks of, and of its kind the one that fewest others do. */
function hostOf({ scope, base }: Pattern): string {
  return { '': base, '*.': `x.${base}`, '**.': `x.x.${base}` }[scope]
}

function found(rule: Rule, pointer: string, message: string): Finding {
  return { rule, message, pointer }
}
