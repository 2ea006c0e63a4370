// What servers and certificates show of a policy file: rules that a file alone cannot be judged by.

import type { DescribedInput, FilePolicy } from '../../index.js'
import { PatternIndex, type PatternSet } from '../../policy/patterns.js'
import type { SurveyedHost } from '../survey/record.js'
import { dayOf } from '../wording.js'
import type { Finding, Horizon } from './rules.js'

/** What was seen. */
export interface Evidence {
  /** What `pinfetch check --json` saved. */
  readonly hosts: readonly SurveyedHost[]
  /** Certificates that somebody has at hand, those of authorities above all. */
  readonly certificates: readonly DescribedInput[]
}

/** A certificate of a key that may be pinned. */
interface Certificate {
  readonly subject: string
  readonly notAfter: Date
}

/** What the evidence says of a file's policy for one environment. */
export function lintEvidence(
  policy: FilePolicy,
  { hosts, certificates }: Evidence,
  { now }: Horizon,
): Finding[] {
  const index = new PatternIndex(policy.sets.values())
  const seen = hosts.filter(({ environment }) => environment === policy.environment)
  const known = certificatesByPin(hosts, certificates)
  return [
    ...seen.flatMap((host) => noSparePin(host, index)),
    ...index.all.flatMap((entry) => expiredAuthorities(entry, known, now)),
  ]
}

/** Hosts that serve every key that is pinned for them (RFC 7469 §4.3: a backup is of no chain that is served). */
function noSparePin(
  { host, port, authority, sights, checked }: SurveyedHost,
  index: PatternIndex,
): Finding[] {
  const served = new Set(sights.flatMap(({ path }) => path.map(({ pin }) => pin)))
  const sets = index.inForce(host, port)
  const pins = sets.flatMap(({ set }) => set.pins).filter(({ role }) => role !== 'retired')
  const [first] = sets // the most specific one
  if (first === undefined || served.size === 0 || pins.some(({ pin }) => !served.has(pin)))
    return []
  const message = `${authority} has served every key that is pinned for it (seen on ${dayOf(new Date(checked))}): pin one that it does not serve`
  return [{ rule: 'no-spare-pin', message, pointer: first.set.pointer }]
}

function expiredAuthorities(
  { set }: PatternSet,
  known: ReadonlyMap<string, readonly Certificate[]>,
  now: Date,
): Finding[] {
  return set.pins.flatMap(({ pin, pointer }): Finding[] => {
    const [latest] = [...(known.get(pin) ?? [])].sort(
      (a, b) => b.notAfter.getTime() - a.notAfter.getTime(),
    )
    if (latest === undefined || latest.notAfter > now) return []
    const message = `${pin} is the key of ${latest.subject}, which has ended on ${dayOf(latest.notAfter)}`
    return [{ rule: 'expired-authority', message, pointer }]
  })
}

/** Leaves of servers are left out: their keys live on in the next certificate. */
function certificatesByPin(
  hosts: readonly SurveyedHost[],
  certificates: readonly DescribedInput[],
): ReadonlyMap<string, readonly Certificate[]> {
  const known = new Map<string, Certificate[]>()
  const enter = (pin: string, certificate: Certificate): void => {
    known.set(pin, [...(known.get(pin) ?? []), certificate])
  }
  for (const { path } of hosts.flatMap(({ sights }) => sights)) {
    for (const { pin, role, subject, notAfter } of path) {
      if (role !== 'end entity' && notAfter !== null)
        enter(pin, { subject, notAfter: new Date(notAfter) })
    }
  }
  for (const { pin, subject, notAfter } of certificates)
    if (notAfter !== null) enter(pin, { subject, notAfter })
  return known
}
