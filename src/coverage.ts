import type { Reader } from './wire.js'

/** The hosts that a client's requests went to. */
export interface Coverage {
  /** Hosts without pins under the policy in force, sorted. */
  readonly unpinned: readonly HostCoverage[]
  /** Hosts with pins, sorted. */
  readonly pinned: readonly HostCoverage[]
  /** How many requests went to hosts past the first 4096 of the client, which are not listed. */
  readonly overflow: number
}

/** What is known of the requests to one host. */
export interface HostCoverage {
  /** In canonical form. */
  readonly hostname: string
  readonly port: number
  /** The patterns that give it pins, sorted. */
  readonly patterns: readonly string[]
  /** How often it was asked for, redirects and repetitions included, whatever came of it. */
  readonly requests: number
  readonly firstSeen: Date
  readonly lastSeen: Date
}

/** Reads which hosts requests went to. */
export function readCoverage(record: Reader): Coverage {
  const hosts = () =>
    record.list(() => ({
      hostname: record.str(),
      port: record.u16(),
      patterns: record.strs(),
      requests: record.i64(),
      firstSeen: new Date(record.i64()),
      lastSeen: new Date(record.i64()),
    }))
  return { unpinned: hosts(), pinned: hosts(), overflow: record.i64() }
}
