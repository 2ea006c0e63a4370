import { codeOf, type ErrorCode } from './errors.js'
import type { Reader } from './wire.js'

/** What a rehearsal has shown so far. */
export interface RehearsalReport {
  /**
   * Whether connections were judged, and the policy would cut off none of their hosts. It says nothing of hosts that had
   * no connection.
   */
  readonly isSafe: boolean
  /** When the rehearsal began. */
  readonly since: Date
  /** How many connections were judged: those that there were then, and each one since. */
  readonly connections: number
  /** The hosts that they lead to, sorted. */
  readonly hosts: readonly HostRehearsal[]
  /** How many connections to hosts past the first 4096, which are not listed, the policy may refuse. */
  readonly overflow: number
}

/** What the policy would mean to one host. */
export interface HostRehearsal {
  /** In canonical form. */
  readonly hostname: string
  readonly port: number
  /** Connections that were judged. */
  readonly connections: number
  /** Connections that the policy would leave alone. */
  readonly wouldPass: number
  /** Connections that it would close, and whose server it would then accept by another path. */
  readonly wouldReconnect: number
  /** Connections whose server it would refuse: no path holds a pin. */
  readonly wouldFail: number
  /**
   * What every request would reject with before anything is sent: `ERR_POLICY_PLAINTEXT`, `ERR_POLICY_UNPINNED`,
   * `ERR_POLICY_EXPIRED`; null if they would be sent.
   */
  readonly refusal: ErrorCode | null
  /** Whether the host has pins today, and would have none. */
  readonly becomesUnpinned: boolean
  /** The policy's patterns that match the host, sorted. */
  readonly patterns: readonly string[]
  /** The pins of the verified path of a connection that would not pass, or else of the last: `sha256/` + base64. */
  readonly foundPins: readonly string[]
}

/** Who carries a rehearsal out. */
export interface RehearsalStage {
  rehearsalReport(handle: number): RehearsalRecord
  endRehearsal(handle: number): void
}

/**
 * A policy that is tried on live traffic beside the one in force, enforcing nothing.
 *
 * @example
 * ```ts
 * const rehearsal = client.rehearse({ 'api.example.com': [next] })
 * // … traffic …
 * const { isSafe, connections, hosts } = rehearsal.report()
 * rehearsal.end()
 * ```
 */
export class Rehearsal implements Disposable {
  readonly #stage: RehearsalStage
  readonly #handle: number
  #last: RehearsalReport | null = null

  /** Made by `client.rehearse` and `livePolicy.rehearse`. */
  constructor(stage: RehearsalStage, begin: (owner: Rehearsal) => number) {
    this.#stage = stage
    this.#handle = begin(this)
  }

  /** What it has shown so far; after the end, what it had shown by then. */
  report(): RehearsalReport {
    return this.#last ?? this.#read()
  }

  /** Judges no more connections. */
  end(): RehearsalReport {
    if (this.#last === null) {
      this.#stage.endRehearsal(this.#handle)
      this.#last = this.#read()
    }
    return this.#last
  }

  [Symbol.dispose](): void {
    this.end()
  }

  #read(): RehearsalReport {
    const { hosts, ...report } = this.#stage.rehearsalReport(this.#handle)
    return {
      ...report,
      hosts: hosts.map(({ refusal, ...host }) => ({
        ...host,
        refusal: refusal === 0 ? null : codeOf(refusal),
      })),
    }
  }
}

/** A rehearsal's report; codes are numbers of `errors.ts`' table, 0 for none. */
export interface RehearsalRecord extends Omit<RehearsalReport, 'hosts'> {
  readonly hosts: (Omit<HostRehearsal, 'refusal'> & { readonly refusal: number })[]
}

/** Reads what a rehearsal has shown. */
export function readRehearsal(record: Reader): RehearsalRecord {
  if (!record.flag()) throw new RangeError('the rehearsal is unknown')
  return {
    isSafe: record.flag(),
    since: new Date(record.i64()),
    connections: record.i64(),
    overflow: record.i64(),
    hosts: record.list(() => ({
      hostname: record.str(),
      port: record.u16(),
      connections: record.i64(),
      wouldPass: record.i64(),
      wouldReconnect: record.i64(),
      wouldFail: record.i64(),
      refusal: record.u16(),
      becomesUnpinned: record.flag(),
      patterns: record.strs(),
      foundPins: record.pins(),
    })),
  }
}
