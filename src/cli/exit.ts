// How a command ends: what scripts tell apart by its exit code.

import { codeOfThrown } from '../errors.js'

/** Exit codes: an interface for scripts, so a number never changes its meaning. */
export const EXIT = {
  ok: 0,
  /** What none of the others says, our own faults among it. */
  other: 1,
  usage: 2,
  network: 3,
  tls: 4,
  badPin: 5,
  file: 6,
  /** Nothing failed, and there is something to look at: warnings, differences. */
  findings: 7,
  /** 128 and the signal's number, as shells report it. */
  interrupted: 130,
  closedPipe: 141,
} as const

/** Of several failures, the exit code tells the one that stands first here: what bears on trust before all else. */
const GRAVEST_FIRST: readonly number[] = [
  EXIT.badPin,
  EXIT.tls,
  EXIT.network,
  EXIT.file,
  EXIT.usage,
  EXIT.other,
  EXIT.findings,
]

/** The command line is wrong; nothing was done. */
export class UsageError extends Error {}

/** A file cannot be read, or does not hold what it should; the message begins with its name. */
export class FileError extends Error {
  readonly code: string
  constructor(message: string, code: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  /** The error of the file `name`, from what reading it or its content threw. */
  static of(name: string, cause: unknown): FileError {
    // Node's own is `ENOENT: no such file or directory, open 'name'`
    const reason = messageOf(cause)
      .replace(/^E[A-Z0-9]+: /, '')
      .replace(/, (?:open|read|write|mkdir)(?: '.*')?$/, '')
    const message = reason.startsWith(`${name}:`) ? reason : `${name}: ${reason}`
    return new FileError(message, codeOf(cause) ?? 'ERR_INTERNAL', { cause })
  }
}

/** The exit code of one failure, by its `code`. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage
  if (error instanceof FileError) return EXIT.file
  const code = codeOf(error) ?? ''
  if (code === 'ERR_BAD_PIN') return EXIT.badPin
  if (code.startsWith('ERR_CERT_') || code.startsWith('ERR_TLS_')) return EXIT.tls
  if (code.startsWith('ERR_HTTP')) return EXIT.network
  switch (code) {
    case 'ERR_DNS':
    case 'ERR_CONNECT':
    case 'ERR_CONNECTION_CLOSED':
    case 'ERR_SOCKET':
    case 'ERR_PROXY':
    case 'ERR_PROXY_QUARANTINED':
    case 'ERR_TIMEOUT':
      return EXIT.network
    case 'ERR_INVALID_URL':
    case 'ERR_POLICY_INVALID_HOST':
    case 'ERR_POLICY_INVALID_OPTION':
    case 'ERR_POLICY_PLAINTEXT':
    case 'ERR_POLICY_UNPINNED':
    case 'ERR_POLICY_EXPIRED':
      return EXIT.usage
    case 'ERR_FILE':
      return EXIT.file
    default:
      return EXIT.other
  }
}

/** The exit code of several things done, of which each ended with one of `codes`. */
export function gravest(codes: Iterable<number>): number {
  const seen = new Set(codes)
  return GRAVEST_FIRST.find((code) => seen.has(code)) ?? EXIT.ok
}

/** The `code` of an error, if it has one. */
export function codeOf(error: unknown): string | undefined {
  const code = codeOfThrown(error)
  return typeof code === 'string' ? code : undefined
}

/** What an error, or whatever else was thrown, says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
