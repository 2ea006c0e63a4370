// What a bad pin looks like, from what this process has seen of the same host and of others. For people, and for what
// they are told first; nothing is decided by it.
//
// Connections are remembered unread, since most of them are never asked about: what they say, and what their URLs mean, is
// read when a pin fails.

import type { Connection } from '../connection.js'
import type { BadPinReport, Diagnosis, DiagnosisReason } from '../errors.js'
import { describeInputs } from '../native.js'
import type { PathCertificate } from '../wire.js'

/** Hosts that are remembered, of each some connections through ways of their own. */
const MOST_HOSTS = 256
const MOST_WAYS = 4
/** Other hosts that have to be known before an issuer that none of them has means anything by itself. */
const ENOUGH_HOSTS = 3
/** For how long a way that was found good speaks for the host. */
const STILL_MS = 10 * 60 * 1000

/** Where a host can begin at the earliest in `https://…`. */
const AFTER_SCHEME = 'https://'.length

interface Seen {
  readonly connection: Connection
  readonly at: number
}

/** Connections to a host by the address of the other end: the host's, or the proxy's. The oldest first. */
type Ways = Map<string, Seen>

/** What the connections of a process have shown of its hosts. */
export class Memory {
  /** By the origin as it was written. The oldest first. */
  readonly #written = new Map<string, Ways>()

  /** A response of `url` has come over a connection that is new. */
  remember(url: string, connection: Connection): void {
    const end = url.indexOf('/', AFTER_SCHEME)
    const written = end === -1 ? url : url.slice(0, end)
    let ways = this.#written.get(written)
    if (ways === undefined) ways = new Map()
    else this.#written.delete(written)
    this.#written.set(written, ways)
    const { remoteAddress } = connection
    ways.delete(remoteAddress)
    ways.set(remoteAddress, { connection, at: Date.now() })
    if (ways.size > MOST_WAYS) forgetOldest(ways)
    if (this.#written.size > MOST_HOSTS) forgetOldest(this.#written)
  }

  /** What the bad pin of `report` looks like. */
  diagnose(report: BadPinReport): Diagnosis {
    const origin = originOf(`https://${authorityOf(report)}/`) ?? ''
    const hosts = this.#hosts()
    const ways = [...(hosts.get(origin)?.entries() ?? [])].filter(
      ([, { connection }]) => connection.tls.matchedPin !== null,
    )
    const earlier = ways.at(-1)?.[1].connection.tls.verifiedPath
    const reasons = new Set<DiagnosisReason>()
    if (report.presentedChain.length > 0 && hasGenuineExtras(report)) reasons.add('genuine-extras')
    if (earlier !== undefined) {
      for (const reason of likenesses(earlier, report.verifiedPath)) reasons.add(reason)
      const now = Date.now()
      const others = ways.filter(([address, { at }]) => {
        return address !== report.remoteAddress && now - at < STILL_MS
      })
      if (others.length > 0) reasons.add('other-ways-match')
    }
    hosts.delete(origin)
    const others = issuersIn(hosts, report.foundPins.slice(1))
    if (others.isIssuer) reasons.add('issuer-of-other-hosts')
    else if (others.hosts >= ENOUGH_HOSTS || (others.hosts > 0 && earlier !== undefined))
      reasons.add('issuer-of-no-other-host')
    return { verdict: verdictOf(reasons), reasons: [...reasons] }
  }

  /** By origin in its one form, whatever ways it was written in. */
  #hosts(): Map<string, Ways> {
    const hosts = new Map<string, Ways>()
    for (const [written, ways] of this.#written) {
      const origin = originOf(written)
      if (origin === null) continue
      const all = [...(hosts.get(origin) ?? []), ...ways]
      hosts.set(origin, new Map(all.sort(([, one], [, other]) => one.at - other.at)))
    }
    return hosts
  }
}

/** How many of `hosts` have a verified path, and whether one of `issuers` has issued for any of them. */
function issuersIn(
  hosts: ReadonlyMap<string, Ways>,
  issuers: readonly string[],
): { hosts: number; isIssuer: boolean } {
  let known = 0
  for (const ways of hosts.values()) {
    let isKnown = false
    for (const { connection } of ways.values()) {
      const pins = connection.pathPins
      if (issuers.some((pin) => pins.indexOf(pin, 1) !== -1))
        return { hosts: known, isIssuer: true }
      isKnown ||= pins.length > 0
    }
    if (isKnown) known += 1
  }
  return { hosts: known, isIssuer: false }
}

function verdictOf(reasons: ReadonlySet<DiagnosisReason>): Diagnosis['verdict'] {
  // only somebody who wants to be taken for the host shows what it is not needed for
  if (reasons.has('genuine-extras')) return 'looks-like-interception'
  if (reasons.has('same-issuer-key')) return 'looks-like-rotation'
  if (reasons.has('same-issuer-organisation') && reasons.has('same-subject'))
    return 'looks-like-rotation'
  if (reasons.has('issuer-of-no-other-host')) return 'looks-like-interception'
  if (reasons.has('other-ways-match') && !reasons.has('issuer-of-other-hosts'))
    return 'looks-like-interception'
  return 'unknown'
}

/** Whether the server sent a pinned certificate that its path does not use. */
function hasGenuineExtras({ presentedChain, verifiedPath, expectedPins }: BadPinReport): boolean {
  const used = verifiedPath.flatMap(({ der }) => (der === null ? [] : [der]))
  const pinned = new Set(expectedPins)
  return presentedChain
    .filter((der) => !used.some((own) => own.equals(der)))
    .some((der) => pinned.has(pinOf(der) ?? ''))
}

/** The pin of a certificate that a server sent, which may be anything. */
function pinOf(der: Uint8Array): string | null {
  try {
    return describeInputs(der, 'presented')[0]?.pin ?? null
  } catch {
    return null // no certificate
  }
}

/** What the path of today has in common with an earlier one. */
function likenesses(
  earlier: readonly PathCertificate[],
  today: readonly PathCertificate[],
): DiagnosisReason[] {
  const [wasFirst, isFirst] = [earlier[0], today[0]]
  const [wasLast, isLast] = [earlier.at(-1), today.at(-1)]
  const reasons: DiagnosisReason[] = []
  if (wasFirst !== undefined && wasFirst.subject !== '' && wasFirst.subject === isFirst?.subject)
    reasons.push('same-subject')
  const authorities = new Set(earlier.slice(1).map(({ pin }) => pin))
  if (today.slice(1).some(({ pin }) => authorities.has(pin))) reasons.push('same-issuer-key')
  // of the trust anchor: what an intermediate calls itself is for its issuer to say
  const organisation = organisationOf(wasLast?.subject ?? '')
  if (organisation !== null && organisation === organisationOf(isLast?.subject ?? ''))
    reasons.push('same-issuer-organisation')
  return reasons
}

/** The organisation of a subject (RFC 4514). */
function organisationOf(subject: string): string | null {
  return /(?:^|[,+])O=((?:[^,+\\]|\\.)+)/.exec(subject)?.[1] ?? null
}

function authorityOf({ hostname, port }: BadPinReport): string {
  return `${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`
}

/** The origin of an `https:` URL in one form. */
function originOf(url: string): string | null {
  if (!URL.canParse(url)) return null
  const { protocol, host } = new URL(url)
  return protocol === 'https:' ? host.replace(/\.(?=:|$)/, '') : null
}

function forgetOldest(map: Map<string, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key)
    return
  }
}
