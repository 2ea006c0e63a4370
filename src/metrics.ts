import type { Reader } from './wire.js'

/** What the handshakes of one or many clients have shown of their pins. */
export interface Metrics {
  /** The patterns of the policy in force whose hosts a handshake was made with, sorted. */
  readonly patterns: readonly PatternMetrics[]
}

/** What the handshakes with the hosts of one pattern have come to. */
export interface PatternMetrics {
  /** In canonical form. */
  readonly pattern: string
  /** Handshakes that were accepted: in full, or resuming the session of one that was. */
  readonly handshakes: { readonly full: number; readonly resumed: number }
  /**
   * Handshakes whose verified path lacked the pins: refused (`enforced`), or let through since they are only reported.
   */
  readonly mismatches: { readonly enforced: number; readonly reported: number }
  /** The pattern's own pins, in the policy's order. */
  readonly pins: readonly PinMetrics[]
  /** The certificate that ends first on the paths by which its hosts were last reached; null where none is known. */
  readonly soonestExpiry: SoonestExpiry | null
}

/** How often a pin was met: a backup that is not served anywhere never is, and a primary that is dying is no longer. */
export interface PinMetrics {
  /** `sha256/` + base64. */
  readonly pin: string
  /** Handshakes that were accepted and whose verified path held it. */
  readonly matches: number
  /** When the last one was. */
  readonly lastMatch: Date | null
}

/** The end of a certificate. */
export interface SoonestExpiry {
  readonly notAfter: Date
  /** Its subject (RFC 4514). */
  readonly subject: string
  /** Its pin: `sha256/` + base64. */
  readonly pin: string
}

/** The media type of {@link prometheusText}, for a `content-type` field. */
export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Reads what handshakes have shown. */
export function readMetrics(record: Reader): PatternMetrics[] {
  return record.list(() => ({
    pattern: record.str(),
    handshakes: { full: record.i64(), resumed: record.i64() },
    mismatches: { enforced: record.i64(), reported: record.i64() },
    pins: record.list(() => ({
      pin: record.pin(),
      matches: record.i64(),
      lastMatch: record.flag() ? new Date(record.i64()) : null,
    })),
    soonestExpiry: record.flag()
      ? { notAfter: new Date(record.i64() * 1000), subject: record.str(), pin: record.pin() }
      : null,
  }))
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

/**
 * Metrics in Prometheus' text exposition format, version 0.0.4.
 *
 * @example
 * ```ts
 * createServer((_, response) => {
 *   response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8')
 *   response.end(prometheusText(client.metrics()))
 * }).listen(9100)
 * ```
 */
export function prometheusText({ patterns }: Metrics): string {
  const seconds = (date: Date) => date.getTime() / 1000
  return [
    family(
      'pinfetch_handshakes_total',
      'counter',
      'TLS handshakes with pinned hosts that were accepted.',
      patterns.flatMap(({ pattern, handshakes }): Sample[] => [
        [{ pattern, kind: 'full' }, handshakes.full],
        [{ pattern, kind: 'resumed' }, handshakes.resumed],
      ]),
    ),
    family(
      'pinfetch_pin_mismatches_total',
      'counter',
      'TLS handshakes whose verified path held none of the pins.',
      patterns.flatMap(({ pattern, mismatches }): Sample[] => [
        [{ pattern, mode: 'enforced' }, mismatches.enforced],
        [{ pattern, mode: 'reported' }, mismatches.reported],
      ]),
    ),
    family(
      'pinfetch_pin_matches_total',
      'counter',
      'Accepted TLS handshakes whose verified path held the pin.',
      patterns.flatMap(({ pattern, pins }) =>
        pins.map(({ pin, matches }): Sample => [{ pattern, pin }, matches]),
      ),
    ),
    family(
      'pinfetch_pin_last_match_timestamp_seconds',
      'gauge',
      'When the pin was last met, in seconds since 1970.',
      patterns.flatMap(({ pattern, pins }) =>
        pins.flatMap(({ pin, lastMatch }): Sample[] =>
          lastMatch === null ? [] : [[{ pattern, pin }, seconds(lastMatch)]],
        ),
      ),
    ),
    family(
      'pinfetch_path_expiry_timestamp_seconds',
      'gauge',
      'When the first certificate of the paths in use ends, in seconds since 1970.',
      patterns.flatMap(({ pattern, soonestExpiry }): Sample[] => {
        if (soonestExpiry === null) return []
        const { notAfter, subject, pin } = soonestExpiry
        return [[{ pattern, subject, pin }, seconds(notAfter)]]
      }),
    ),
  ].join('')
}

function family(name: string, type: string, help: string, samples: readonly Sample[]): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]
  for (const [labels, value] of samples) {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`)
    lines.push(`${name}{${pairs.join(',')}} ${value}`)
  }
  return `${lines.join('\n')}\n`
}

/** A label's value: backslash, quotation mark and line feed are the characters that it can't hold as they are. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
