// What a watch knows from before, so that it tells what is new.

import type { PatternSet } from '../../policy/patterns.js'
import { type CheckFinding, type CheckRule, findingsOf, unnamedFinding } from '../check/rules.js'
import type { SurveyedHost } from '../survey/record.js'

/** Something that was not so the time before. */
export interface News {
  /** ISO 8601. */
  readonly time: string
  /** `found` and `resolved`: what a rule finds; `changed`: a path has other keys. */
  readonly event: 'found' | 'resolved' | 'changed'
  /** `host:port`, or a wildcard that nobody named a host for. */
  readonly authority: string
  readonly message: string
  /** Of `found` and `resolved`. */
  readonly finding?: CheckFinding
  /** Of `changed`: from where it was seen, and the pins of both paths, end entity first. */
  readonly change?: { readonly via: string; readonly before: string[]; readonly now: string[] }
}

/** The saved form. */
interface Saved {
  readonly version: 1
  /** The last path that was seen, by host and vantage point. */
  readonly paths: Readonly<Record<string, string[]>>
  /** What was found last, by host. */
  readonly findings: Readonly<Record<string, CheckFinding[]>>
}

export class Memory {
  #paths: Map<string, string[]>
  #findings: Map<string, CheckFinding[]>

  private constructor(paths: Map<string, string[]>, findings: Map<string, CheckFinding[]>) {
    this.#paths = paths
    this.#findings = findings
  }

  /** One that knows nothing. */
  static empty(): Memory {
    return new Memory(new Map(), new Map())
  }

  /** One that was saved; null for a text that is none. */
  static parse(text: string): Memory | null {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return null
    }
    if (!isSaved(value)) return null
    return new Memory(new Map(Object.entries(value.paths)), new Map(Object.entries(value.findings)))
  }

  /** To be saved. */
  toString(): string {
    const saved: Saved = {
      version: 1,
      paths: Object.fromEntries(this.#paths),
      findings: Object.fromEntries(this.#findings),
    }
    return `${JSON.stringify(saved)}\n`
  }

  /** Takes in what a survey found; gives what is new about it. */
  take(
    hosts: readonly SurveyedHost[],
    unnamed: readonly PatternSet[],
    days: number,
    now: Date,
  ): News[] {
    const time = now.toISOString()
    const news: News[] = []
    const paths = new Map<string, string[]>()
    const findings = new Map<string, CheckFinding[]>()
    for (const host of hosts) {
      const { authority, sights } = host
      findings.set(authority, this.#withUnseen(host, findingsOf(host, days)))
      for (const { via, path } of sights) {
        const key = `${authority} ${via}`
        const before = this.#paths.get(key)
        // of a host that was not seen now, what was seen last stays
        const pins = path.length === 0 ? before : path.map(({ pin }) => pin)
        if (pins === undefined) continue
        paths.set(key, pins)
        if (before === undefined || before.join() === pins.join()) continue
        const message = changeOf(before, pins) + (sights.length > 1 ? ` (${via})` : '')
        news.push({
          time,
          event: 'changed',
          authority,
          message,
          change: { via, before, now: pins },
        })
      }
    }
    for (const { pattern, set } of unnamed)
      findings.set(pattern.text, [unnamedFinding(set.pointer)])

    for (const [authority, found] of findings) {
      const known = new Set(this.#findings.get(authority)?.map(identityOf))
      for (const finding of found) {
        if (known.has(identityOf(finding))) continue
        news.push({ time, event: 'found', authority, message: finding.message, finding })
      }
    }
    for (const [authority, found] of this.#findings) {
      const left = new Set(findings.get(authority)?.map(identityOf))
      for (const finding of found) {
        if (left.has(identityOf(finding))) continue
        news.push({ time, event: 'resolved', authority, message: finding.message, finding })
      }
    }
    this.#paths = paths
    this.#findings = findings
    return news
  }

  /** What was found of a host; of one that showed no path, what is known of its path stays. */
  #withUnseen({ authority, sights }: SurveyedHost, found: CheckFinding[]): CheckFinding[] {
    if (sights.some(({ path }) => path.length > 0)) return found
    const known = new Set(found.map(identityOf))
    const before = this.#findings.get(authority) ?? []
    const unseen = before.filter(
      (finding) => !REFUSALS.has(finding.rule) && !known.has(identityOf(finding)),
    )
    return [...found, ...unseen]
  }
}

/** What is found of a handshake, and not of a path. */
const REFUSALS: ReadonlySet<CheckRule> = new Set(['bad-pin', 'failed', 'reported', 'unpinned'])

/** What makes a finding the same as yesterday's, whose message counts other days. */
function identityOf({ rule, code, about, pointer }: CheckFinding): string {
  return JSON.stringify([rule, code, about, pointer])
}

function changeOf(before: readonly string[], now: readonly string[]): string {
  const [gone, come] = [without(before, now), without(now, before)]
  if (gone.length === 0 && come.length === 0) return 'its path has the same keys in another order'
  if (gone.length === 0) return `its path has gained ${come.join(' and ')}`
  if (come.length === 0) return `its path has lost ${gone.join(' and ')}`
  return `its path has ${come.join(' and ')} in place of ${gone.join(' and ')}`
}

function without(pins: readonly string[], others: readonly string[]): string[] {
  return pins.filter((pin) => !others.includes(pin))
}

function isSaved(value: unknown): value is Saved {
  return (
    isRecord(value) &&
    value.version === 1 &&
    isRecord(value.paths) &&
    isRecord(value.findings) &&
    [...Object.values(value.paths), ...Object.values(value.findings)].every(Array.isArray)
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
