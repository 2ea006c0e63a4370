// What a page tells of a survey: plain JSON, made here and shown by page/. Everything in it may be the words of a server
// that nobody has verified.

import { type CheckFinding, findingsOf, nameOf } from '../check/rules.js'
import { printable } from '../output.js'
import type { Sight, SurveyedHost } from '../survey/record.js'

/** How a host is: refused now, in need of a look, in order. */
export type Health = 'error' | 'warning' | 'healthy'

/** A certificate of a path. */
export interface PageCertificate {
  readonly role: string
  readonly subject: string
  readonly pin: string
  /** The day on which it ends; null where nobody knows. */
  readonly ends: string | null
  readonly daysLeft: number | null
  /** Whether a pin counts here. */
  readonly isPinned: boolean
  /** What the policy calls the pin. */
  readonly label: string | null
}

/** What was seen from one vantage point. */
export interface PageSight {
  readonly via: string
  readonly verdict: string
  readonly address: string | null
  readonly path: readonly PageCertificate[]
  /** The code of the error; what it says is among the findings. */
  readonly code: string | null
}

/** A pin of the policy. */
export interface PagePin {
  readonly pin: string
  readonly pattern: string
  /** Role, label and place, for people. */
  readonly about: string
  /** Where it was found; empty for nowhere. */
  readonly seen: string
}

/** A host. */
export interface PageHost {
  readonly authority: string
  readonly health: Health
  /** In a few words. */
  readonly summary: string
  readonly findings: readonly {
    readonly severity: string
    readonly rule: string
    readonly message: string
  }[]
  /** When the first certificate of an accepted path ends. */
  readonly ends: string | null
  readonly daysLeft: number | null
  readonly sets: readonly {
    readonly pattern: string
    readonly mode: string
    /** When it ends, and what becomes of its hosts then. */
    readonly ends: string | null
    readonly then: string | null
  }[]
  readonly sights: readonly PageSight[]
  readonly pins: readonly PagePin[]
}

/** A page. */
export interface Page {
  /** What was read: a policy file or a saved survey. */
  readonly source: string
  readonly environment: string | null
  /** When the first host was asked (ISO 8601). */
  readonly checked: string
  /** How far ahead ends are told. */
  readonly days: number
  /** The worst first. */
  readonly hosts: readonly PageHost[]
  /** Wildcards that nobody named a host for. */
  readonly unnamed: readonly string[]
}

const ORDER: readonly Health[] = ['error', 'warning', 'healthy']

/** The page of a survey. */
export function pageOf(
  source: string,
  surveyed: readonly SurveyedHost[],
  unnamed: readonly string[],
  days: number,
): Page {
  const hosts = surveyed.map((host) => hostOf(host, findingsOf(host, days)))
  hosts.sort(
    (a, b) =>
      ORDER.indexOf(a.health) - ORDER.indexOf(b.health) ||
      (a.daysLeft ?? 0) - (b.daysLeft ?? 0) ||
      (a.authority < b.authority ? -1 : 1),
  )
  const page: Page = {
    source,
    environment: surveyed[0]?.environment ?? null,
    checked: surveyed.map(({ checked }) => checked).sort()[0] ?? new Date().toISOString(),
    days,
    hosts,
    unnamed,
  }
  return cleaned(page)
}

function hostOf(host: SurveyedHost, findings: readonly CheckFinding[]): PageHost {
  const accepted = host.sights.filter(({ verdict }) => verdict !== 'failed')
  const soonest = accepted
    .flatMap(({ path }) => path)
    .filter(({ notAfter, daysLeft }) => notAfter !== null && daysLeft !== null && daysLeft >= 0)
    .sort((a, b) => (a.daysLeft ?? 0) - (b.daysLeft ?? 0))[0]
  const worst = findings.find(({ severity }) => severity === 'error') ?? findings[0]
  return {
    authority: host.authority,
    health: worst === undefined ? 'healthy' : worst.severity,
    summary: worst?.message ?? heldBy(host.sights),
    findings: findings.map(({ severity, rule, message }) => ({ severity, rule, message })),
    ends: dayOf(soonest?.notAfter),
    daysLeft: soonest?.daysLeft ?? null,
    sets: host.patterns.map(({ pattern, mode, expires }) => ({
      pattern,
      mode,
      ends: dayOf(expires?.at),
      then: expires?.then ?? null,
    })),
    sights: host.sights.map((sight) => sightOf(sight, host)),
    pins: host.pins.map(({ pin, pattern, role, label, at, seen }) => ({
      pin,
      pattern,
      about: [role, label, at === null ? null : `at the ${at}`]
        .filter((fact) => fact !== null)
        .join(', '),
      seen: [...new Set(seen.map((place) => place.role))].join(', '),
    })),
  }
}

function sightOf(
  { via, verdict, remoteAddress, path, error }: Sight,
  { pins }: SurveyedHost,
): PageSight {
  return {
    via,
    verdict,
    address: remoteAddress,
    code: error?.code ?? null,
    path: path.map(({ role, subject, pin, notAfter, daysLeft, pinned }) => {
      const known = pins.find((of) => of.pin === pin && of.label !== null)
      return {
        role,
        subject,
        pin,
        ends: dayOf(notAfter),
        daysLeft,
        isPinned: pinned,
        label: known === undefined ? null : nameOf({ ...known, pin: '' }).replace(/ \(\)$/, ''),
      }
    }),
  }
}

function heldBy(sights: readonly Sight[]): string {
  const roles = sights.flatMap(({ path }) =>
    path.filter(({ pinned }) => pinned).map(({ role }) => role),
  )
  return roles.length === 0 ? '' : `pinned by ${[...new Set(roles)].join(' and ')}`
}

function dayOf(date: string | null | undefined): string | null {
  return date == null ? null : date.slice(0, 10)
}

/** `value` with each text as {@link printable} makes it: nothing that turns, hides or ends a line. */
function cleaned<Value>(value: Value): Value {
  const clean = (inner: unknown): unknown => {
    if (typeof inner === 'string') return printable(inner)
    if (Array.isArray(inner)) return inner.map(clean)
    if (typeof inner !== 'object' || inner === null) return inner
    return Object.fromEntries(Object.entries(inner).map(([name, member]) => [name, clean(member)]))
  }
  return clean(value) as Value // of the same shape
}
