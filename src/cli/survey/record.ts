// What a survey tells: plain JSON, the same live and saved. Fields are an interface for scripts: new ones may come.

import type { PinPosition, PinRole, PolicyRequirement, Role } from '../../index.js'

/**
 * What a client under the policy makes of a server: `pinned`, the path holds what the policy asks for; `unpinned`, nothing
 * is asked for; `reported`, a bad pin that would be let through; `bad-pin` and `failed`, refused.
 */
export type Verdict = 'pinned' | 'unpinned' | 'reported' | 'bad-pin' | 'failed'

/** Where a client meets a kind of change: it goes on, goes on only with a key that is pinned and not in use, or is refused. */
export type Survival = 'yes' | 'with-backup' | 'no'

/** A certificate of a verified path. */
export interface SeenCertificate {
  readonly pin: string
  readonly role: Role
  readonly subject: string
  /** ISO 8601; null for a trust anchor that is known without a certificate. */
  readonly notAfter: string | null
  /** Whole days from the survey to `notAfter`, less than 0 once it has ended. */
  readonly daysLeft: number | null
  /** Whether a pin of the policy counts here. */
  readonly pinned: boolean
}

/** What was seen of a host from one vantage point. */
export interface Sight {
  /** `direct`, the machine (`host:port`) where there are several, or the proxy without its credentials. */
  readonly via: string
  readonly verdict: Verdict
  readonly remoteAddress: string | null
  /** The verified path, end entity first; empty where none verified. */
  readonly path: readonly SeenCertificate[]
  /** Why it was refused. */
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string }
}

/** A pin in force for a host, once for each set that has it. */
export interface SurveyedPin {
  readonly pin: string
  /** The pattern that it belongs to. */
  readonly pattern: string
  readonly role: PinRole | null
  readonly label: string | null
  readonly at: PinPosition | null
  /** ISO 8601, as `expires`. */
  readonly added: string | null
  readonly expires: string | null
  /** Where it stands in the file: a JSON pointer (RFC 6901). */
  readonly pointer: string
  /** Where it was found on a path and counts. */
  readonly seen: readonly { readonly via: string; readonly role: Role }[]
}

/** A pattern that contributes to a host. */
export interface SurveyedPattern {
  readonly pattern: string
  readonly mode: 'enforce' | 'report'
  readonly require: PolicyRequirement
  readonly expires: { readonly at: string; readonly then: 'enforce' | 'report' | 'refuse' } | null
  readonly pointer: string
}

/** What the next changes of the server's certificates would do, by the path now served. */
export interface Forecast {
  /** When the certificate in use ends (ISO 8601). */
  readonly by: string | null
  /** A new key for the same name, from the same authority. */
  readonly newKey: Survival
  /** Another intermediate of the same authority, over the same key. */
  readonly newIntermediate: Survival
  /** Another authority altogether, and a new key. */
  readonly newAuthority: Survival
}

/** A host, and what a survey found of it. */
export interface SurveyedHost {
  /** `host:port`. */
  readonly authority: string
  readonly host: string
  readonly port: number
  /** When it was asked (ISO 8601). */
  readonly checked: string
  readonly environment: string | null
  /** Most specific first; none for a host without pins. */
  readonly patterns: readonly SurveyedPattern[]
  readonly pins: readonly SurveyedPin[]
  /** One for each vantage point. */
  readonly sights: readonly Sight[]
  /** Null where no path was accepted. */
  readonly forecast: Forecast | null
}
