// What a survey shows to be wrong, or about to be. Ids are an interface for scripts and never change their meaning;
// docs/cli.md has a row for each, docs/rotation.md what to do.

import type { Role } from '../../index.js'
import { EXIT, exitCodeOf } from '../exit.js'
import { AFTER_EXPIRY, type Severity } from '../lint/rules.js'
import type {
  SeenCertificate,
  Sight,
  SurveyedHost,
  SurveyedPattern,
  SurveyedPin,
} from '../survey/record.js'
import { dayOf, inDays, isWithin } from '../wording.js'

/** Every rule with its severity: an error is a host that is refused, a warning will be one some day. */
export const CHECK_RULES = {
  'bad-pin': 'error',
  failed: 'error',
  'expired-set': 'error',
  reported: 'warning',
  unpinned: 'warning',
  unnamed: 'warning',
  'vantage-points': 'warning',
  'expiring-certificate': 'warning',
  'expiring-set': 'warning',
  'expired-authority': 'warning',
  rotation: 'warning',
  'intermediate-change': 'warning',
  'no-spare-pin': 'warning',
  'current-unserved': 'warning',
  'backup-served': 'warning',
  'retired-served': 'warning',
} as const satisfies Record<string, Severity>

export type CheckRule = keyof typeof CHECK_RULES

/** Something that a rule found of a host. */
export interface CheckFinding {
  readonly rule: CheckRule
  readonly severity: Severity
  /** Without the host's name. */
  readonly message: string
  /** `failed`, `bad-pin`: the code of the error. */
  readonly code?: string
  /** What it is about, where a rule may find several: a vantage point, a pin. */
  readonly about?: string
  /** The place in the policy file that it is about (RFC 6901), if it is about one. */
  readonly pointer?: string
}

/** What the rules find of a host; `days` is how far ahead ends are told. */
export function findingsOf(host: SurveyedHost, days: number): CheckFinding[] {
  return [
    ...host.sights.flatMap((sight) => refusals(sight, host)),
    ...differences(host),
    ...host.patterns.flatMap((pattern) => endOfSet(pattern, new Date(host.checked), days)),
    ...certificateEnds(host, days),
    ...weaknesses(host),
    ...roles(host),
  ]
}

/** What is told of a wildcard that nobody named a host for. */
export function unnamedFinding(pointer: string): CheckFinding {
  return found('unnamed', 'a wildcard, and no host was named that it stands for: give --host', {
    pointer,
  })
}

function refusals({ via, verdict, error }: Sight, { sights }: SurveyedHost): CheckFinding[] {
  const from = sights.length > 1 ? `${via}: ` : ''
  switch (verdict) {
    case 'pinned':
      return []
    case 'unpinned':
      return [found('unpinned', `${from}no pattern has pins for it`, { about: via })]
    case 'reported':
      return [
        found('reported', `${from}a bad pin, which is reported and let through`, { about: via }),
      ]
    case 'bad-pin':
    case 'failed': {
      const { code = 'ERR_INTERNAL', message = '', hint } = error ?? {}
      const told = hint === undefined ? message : `${message}. ${hint}`
      return [found(verdict, from + told, { code, about: via })]
    }
  }
}

/** Vantage points that see different keys: a server of several certificates, or somebody between. */
function differences({ sights }: SurveyedHost): CheckFinding[] {
  const seen = sights.filter(({ path }) => path.length > 0)
  const [first, ...others] = seen
  return others
    .filter((other) => keysOf(other) !== keysOf(first))
    .map((other) => {
      const [one, another] = [first?.path ?? [], other.path]
      const what = one[0]?.pin === another[0]?.pin ? 'authorities that differ' : 'keys that differ'
      return found(
        'vantage-points',
        `${first?.via} and ${other.via} see ${what}: ${shown(one)}; ${shown(another)}`,
        { about: other.via },
      )
    })
}

function keysOf(sight: Sight | undefined): string {
  return sight?.path.map(({ pin }) => pin).join(' ') ?? ''
}

function shown(path: readonly SeenCertificate[]): string {
  const [leaf] = path
  const issuer = path[1]?.subject ?? 'itself'
  return leaf === undefined ? 'nothing' : `${leaf.pin} issued by ${issuer}`
}

function endOfSet(
  { pattern, expires, pointer }: SurveyedPattern,
  now: Date,
  days: number,
): CheckFinding[] {
  if (expires === null) return []
  const at = new Date(expires.at)
  const place = { pointer: `${pointer}/expires` }
  const after = AFTER_EXPIRY[expires.then]
  if (at <= now)
    return [
      found('expired-set', `the pins of ${pattern} have ended on ${dayOf(at)}: ${after}`, place),
    ]
  if (!isWithin(at, now, days)) return []
  const message = `the pins of ${pattern} end on ${dayOf(at)}, ${inDays(at, now)}: then ${after}`
  return [found('expiring-set', message, place)]
}

/** Certificates of any path that end soon, each once. */
function certificateEnds({ sights, checked }: SurveyedHost, days: number): CheckFinding[] {
  const ending = new Map<string, CheckFinding>()
  for (const { pin, role, subject, notAfter, daysLeft, pinned } of sights.flatMap(
    ({ path }) => path,
  )) {
    if (notAfter === null || daysLeft === null || daysLeft > days) continue
    const end = new Date(notAfter)
    const what = `the ${role}${subject === '' ? '' : ` ${subject}`}`
    const finding =
      daysLeft >= 0
        ? found(
            'expiring-certificate',
            `${what} ends on ${dayOf(end)}, ${inDays(end, new Date(checked))}`,
            { about: pin },
          )
        : found(
            'expired-authority',
            `${what}${pinned ? ', which is pinned,' : ''} has ended on ${dayOf(end)}`,
            { about: pin },
          )
    ending.set(`${pin} ${notAfter}`, finding)
  }
  return [...ending.values()]
}

/** What the next change would break. */
function weaknesses({ forecast, sights, pins, checked }: SurveyedHost): CheckFinding[] {
  const sight = sights.find(({ verdict }) => verdict === 'pinned')
  if (forecast === null || sight === undefined) return []
  const end = forecast.by === null ? null : new Date(forecast.by)
  const when =
    end === null
      ? ''
      : ` (its certificate ends on ${dayOf(end)}, ${inDays(end, new Date(checked))})`
  const [leaf] = sight.path
  if (forecast.newKey === 'no')
    return [
      found(
        'rotation',
        `the next key is refused: of what it serves, the pins hold by the key of ${leaf?.subject || 'its certificate'} alone${when}, and no backup is pinned`,
      ),
    ]
  if (forecast.newIntermediate === 'no') {
    const held = sight.path.filter(({ role, pinned }) => pinned && role === 'intermediate')
    const names = held.map(({ subject }) => subject).join(' and ')
    return [
      found(
        'intermediate-change',
        `refused as soon as the authority changes its intermediate: the pins hold by ${names} alone, and no backup is pinned`,
      ),
    ]
  }
  if (pins.every(({ seen, role }) => seen.length > 0 || role === 'retired'))
    return [
      found(
        'no-spare-pin',
        'every pin is of the path that is served now: when all of it is replaced, nothing else is pinned',
      ),
    ]
  return []
}

/** Pins that are not what the file says they are. */
function roles({ pins, sights }: SurveyedHost): CheckFinding[] {
  if (!sights.some(({ verdict }) => verdict === 'pinned')) return []
  const isHere = (role: Role) => role === 'end entity'
  return pins.flatMap((pin): CheckFinding[] => {
    const { pointer, seen } = pin
    if (pin.role === 'current' && seen.length === 0)
      return [
        found('current-unserved', `${nameOf(pin)} is noted as current and is not served`, {
          pointer,
        }),
      ]
    if (pin.role === 'backup' && seen.some(({ role }) => isHere(role)))
      return [
        found(
          'backup-served',
          `${nameOf(pin)} is noted as a backup and is in use: it is none any more`,
          { pointer },
        ),
      ]
    if (pin.role === 'retired' && seen.length > 0)
      return [
        found('retired-served', `${nameOf(pin)} is noted as retired and still served`, { pointer }),
      ]
    return []
  })
}

/** The exit code that a finding stands for. */
export function exitCodeOfFinding({ severity, code }: CheckFinding): number {
  if (code !== undefined) return exitCodeOf({ code })
  return severity === 'error' ? EXIT.file : EXIT.findings
}

/** A pin as people call it. */
export function nameOf({ pin, label }: Pick<SurveyedPin, 'pin' | 'label'>): string {
  return label === null ? pin : `${label} (${pin})`
}

function found(rule: CheckRule, message: string, more: object = {}): CheckFinding {
  return { rule, severity: CHECK_RULES[rule], message, ...more }
}
