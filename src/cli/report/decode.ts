// A report of a pin validation failure (RFC 7469 §3), for people.

import { describeInputs, policyLookup } from '../../index.js'
import { FileError, messageOf } from '../exit.js'
import { columns, printable } from '../output.js'

/** A certificate of a chain. */
export interface DecodedCertificate {
  readonly pin: string
  readonly subject: string
  readonly notAfter: string | null
  /** Whether its pin is one of the known ones. */
  readonly isKnown: boolean
}

/** What a report says. */
export interface DecodedReport {
  readonly dateTime: string
  readonly hostname: string
  readonly port: number
  readonly notedHostname: string
  readonly includeSubdomains: boolean
  /** When the pins end; null where the report does not say. */
  readonly effectiveExpirationDate: string | null
  readonly servedCertificateChain: readonly DecodedCertificate[]
  readonly validatedCertificateChain: readonly DecodedCertificate[]
  /** The pins, and whether a certificate of either chain has them. */
  readonly knownPins: readonly { readonly pin: string; readonly isFound: boolean }[]
}

/** Whether `value` looks like a report. */
export function isReport(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && 'known-pins' in value
}

/** Reads a report from the file `name`. */
export function decodeReport(value: Record<string, unknown>, name: string): DecodedReport {
  const fail = (message: string, cause?: unknown) =>
    new FileError(`${name}: ${message}`, 'ERR_INVALID_ARGUMENT', { cause })
  const text = (key: string): string => {
    const given = value[key]
    if (typeof given !== 'string') throw fail(`${key} is no text`)
    return given
  }
  const texts = (key: string): readonly string[] => {
    const given = value[key] ?? []
    if (!Array.isArray(given) || given.some((item) => typeof item !== 'string'))
      throw fail(`${key} is no list of texts`)
    return given
  }
  const moment = (key: string): string => {
    const given = text(key)
    if (Number.isNaN(Date.parse(given))) throw fail(`${key} is no date: ${JSON.stringify(given)}`)
    return given
  }
  const known = texts('known-pins').map((pin) => {
    try {
      const [read = ''] = policyLookup(
        [['pin.invalid', pin.replaceAll("'", '"')]],
        'pin.invalid',
      ).pins
      return read
    } catch (cause) {
      throw fail(`known-pins: ${messageOf(cause).replace(/^pins\[.*?\]\[\d+\]:? ?/, '')}`, cause)
    }
  })
  const chain = (key: string): DecodedCertificate[] =>
    texts(key).map((pem, index) => {
      try {
        const [of] = describeInputs(Buffer.from(pem), `${key}[${index}]`)
        if (of === undefined) throw new Error(`${key}[${index}]: it has no certificate`)
        const { pin, subject, notAfter } = of
        return {
          pin,
          subject,
          notAfter: notAfter?.toISOString() ?? null,
          isKnown: known.includes(pin),
        }
      } catch (cause) {
        throw fail(messageOf(cause), cause)
      }
    })
  const served = chain('served-certificate-chain')
  const validated = chain('validated-certificate-chain')
  const found = new Set([...served, ...validated].map(({ pin }) => pin))
  const { port } = value
  return {
    dateTime: moment('date-time'),
    hostname: text('hostname'),
    port: typeof port === 'number' ? port : 443,
    notedHostname:
      typeof value['noted-hostname'] === 'string' ? text('noted-hostname') : text('hostname'),
    includeSubdomains: value['include-subdomains'] === true,
    effectiveExpirationDate:
      value['effective-expiration-date'] === undefined ? null : moment('effective-expiration-date'),
    servedCertificateChain: served,
    validatedCertificateChain: validated,
    knownPins: known.map((pin) => ({ pin, isFound: found.has(pin) })),
  }
}

/** For people. */
export function textOfReport(report: DecodedReport): string {
  const { hostname, port, dateTime, notedHostname, includeSubdomains } = report
  const { effectiveExpirationDate: ends, validatedCertificateChain: validated } = report
  const below = includeSubdomains ? ' and all names below' : ''
  const lines = [
    `${hostname}:${port}`,
    `  at ${dateTime}, by the pins of ${notedHostname}${below}${ends === null ? '' : `, which end ${ends}`}`,
    '  known pins',
    ...columns(
      report.knownPins.map(({ pin, isFound }) => [pin, isFound ? 'on a chain below' : 'not seen']),
    ).map((row) => `    ${row}`),
    '  validated chain',
    ...(validated.length === 0 ? ['    (none)'] : rowsOf(validated)),
    '  served chain',
    ...rowsOf(report.servedCertificateChain),
  ]
  return lines.map((line) => `${printable(line)}\n`).join('')
}

function rowsOf(chain: readonly DecodedCertificate[]): string[] {
  return columns(
    chain.map(({ pin, subject, notAfter, isKnown }) => [
      isKnown ? '=' : '-',
      pin,
      subject,
      notAfter === null ? '' : `ends ${notAfter.slice(0, 10)}`,
    ]),
  ).map((row) => `    ${row}`)
}
