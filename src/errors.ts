import type { Failure, PathCertificate, Phase } from './wire.js'

/** Numbers of records (never reused) and the codes that users see. */
const CODES = {
  1: 'ERR_INTERNAL',
  2: 'ERR_ADDON',
  10: 'ERR_BAD_PIN',
  11: 'ERR_CERT_EXPIRED',
  12: 'ERR_CERT_NOT_YET_VALID',
  13: 'ERR_CERT_NAME_MISMATCH',
  14: 'ERR_CERT_UNKNOWN_ISSUER',
  15: 'ERR_CERT_REVOKED',
  16: 'ERR_CERT_INVALID_PURPOSE',
  17: 'ERR_CERT_BAD_SIGNATURE',
  18: 'ERR_CERT_BAD_ENCODING',
  19: 'ERR_CERT_TOO_COMPLEX',
  20: 'ERR_CERT_CONSTRAINT',
  21: 'ERR_CERT_INVALID',
  30: 'ERR_TLS_HANDSHAKE',
  31: 'ERR_TLS_ALERT',
  32: 'ERR_TLS_NO_CERTIFICATE',
  33: 'ERR_TLS_VERSION',
  34: 'ERR_TLS_ALPN',
  40: 'ERR_DNS',
  41: 'ERR_CONNECT',
  42: 'ERR_CONNECTION_CLOSED',
  43: 'ERR_SOCKET',
  44: 'ERR_PROXY',
  45: 'ERR_PROXY_QUARANTINED',
  50: 'ERR_TIMEOUT',
  51: 'ABORT_ERR',
  52: 'ERR_CLIENT_CLOSED',
  53: 'ERR_FILE',
  54: 'ERR_COOKIE_JAR',
  60: 'ERR_HTTP_PROTOCOL',
  61: 'ERR_HTTP_BODY_TOO_LARGE',
  62: 'ERR_HTTP2',
  63: 'ERR_HTTP_CONTENT_CODING',
  64: 'ERR_HTTP_EXPANSION',
  65: 'ERR_HTTP_REDIRECT',
  66: 'ERR_HTTP_TOO_MANY_REDIRECTS',
  67: 'ERR_HTTP_REQUEST_BODY',
  70: 'ERR_POLICY_INVALID_PIN',
  71: 'ERR_POLICY_INVALID_HOST',
  72: 'ERR_POLICY_DUPLICATE_HOST',
  73: 'ERR_POLICY_EMPTY_PIN_SET',
  74: 'ERR_POLICY_PUBLIC_SUFFIX',
  75: 'ERR_POLICY_UNPINNED',
  76: 'ERR_POLICY_PLAINTEXT',
  77: 'ERR_POLICY_INSECURE',
  78: 'ERR_POLICY_INVALID_OPTION',
  79: 'ERR_POLICY_INVALID_CA',
  80: 'ERR_POLICY_INVALID_EXCLUDE',
  81: 'ERR_POLICY_EXPIRED',
  82: 'ERR_POLICY_UNSIGNED',
  83: 'ERR_POLICY_SIGNATURE',
  84: 'ERR_POLICY_ROLLBACK',
  85: 'ERR_POLICY_CA_SET',
  86: 'ERR_POLICY_CUTS_OFF',
  87: 'ERR_POLICY_SIGNATURE_EXPIRED',
  90: 'ERR_INVALID_URL',
  91: 'ERR_INVALID_ARGUMENT',
} as const

const BODY_TOO_LARGE = 61

/** Every code that an error of pinfetch can have: the contract, where messages are not. */
export type ErrorCode = (typeof CODES)[keyof typeof CODES]

/** Every code with its number in records. */
export const errorCodes: readonly (readonly [number: number, code: ErrorCode])[] = Object.entries(
  CODES,
).map(([number, code]) => [Number(number), code])

const brands = new WeakMap<object, symbol>()

/**
 * Marks a class's instances by a registered symbol, so that `instanceof` holds between two installed versions too.
 *
 * The name stands on the prototype and not in a field: logs and copies of an error show its facts only.
 */
function brand(of: { readonly prototype: Error }, name: string): void {
  const symbol = Symbol.for(`pinfetch.${name}`)
  brands.set(of, symbol)
  for (const [key, value] of [
    ['name', name],
    [symbol, true],
  ] as const) {
    Object.defineProperty(of.prototype, key, {
      value,
      configurable: true,
      enumerable: false,
      writable: true,
    })
  }
}

function isBranded(of: object, value: unknown): boolean {
  const symbol = brands.get(of)
  // a class that a user derived is not ours to mark
  if (symbol === undefined) return Function.prototype[Symbol.hasInstance].call(of, value)
  return typeof value === 'object' && value !== null && Reflect.get(value, symbol) === true
}

/** Gives `error` those of the fields that are known: logs show no fact that is none. */
function keep<Facts extends object>(
  error: object,
  facts: Facts,
  names: readonly (keyof Facts)[],
): void {
  for (const name of names) {
    const value = facts[name]
    if (value === undefined) continue
    // errors of JavaScriptCore have a line and a column already, which an assignment would leave unseen by those who copy
    Object.defineProperty(error, name, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
}

/** What every error of pinfetch that is not the caller's mistake of type derives from; by itself, our own fault. */
export class PinfetchError extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: inherited, and asked for whichever class stands there
    return isBranded(this, value)
  }
  /** What went wrong, for programs. */
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** What speaks for a {@link Diagnosis}. */
export type DiagnosisReason =
  /** The server sent a pinned certificate that its path does not use, as an interceptor does who appends the genuine ones. */
  | 'genuine-extras'
  /** The end entity has the subject of the one that was accepted earlier. */
  | 'same-subject'
  /** A key that issued on the path has issued on the one that was accepted earlier. */
  | 'same-issuer-key'
  /** The trust anchor is of the organisation whose anchor was accepted earlier. */
  | 'same-issuer-organisation'
  /** A key that issued on the path has issued for another host of this process. */
  | 'issuer-of-other-hosts'
  /** None has, and others are known: hosts of this process at least three, or one and this host itself. */
  | 'issuer-of-no-other-host'
  /** In the last ten minutes the host was accepted at another address: its own, or a proxy's. */
  | 'other-ways-match'

/**
 * What a bad pin looks like, from what this process has seen so far: never a decision, and never a proof. An interceptor
 * who knows what is looked at can look like a rotation.
 */
export interface Diagnosis {
  readonly verdict: 'looks-like-rotation' | 'looks-like-interception' | 'unknown'
  readonly reasons: readonly DiagnosisReason[]
}

/** What a {@link BadPinError} reports. */
export interface BadPinReport {
  /** The host that was asked for, in canonical form. */
  readonly hostname: string
  /** Its port. */
  readonly port: number
  /** The host patterns of the policy that matched. */
  readonly patterns: readonly string[]
  /** The pins in force for the host: `sha256/` + base64. */
  readonly expectedPins: readonly string[]
  /** Pins of the verified path, end entity first, trust anchor last: `sha256/` + base64. Never empty. */
  readonly foundPins: readonly string[]
  /** The verified path, end entity first, trust anchor last. */
  readonly verifiedPath: readonly PathCertificate[]
  /** What the server sent (DER, its order): untrusted, shown and never matched. */
  readonly presentedChain: readonly Buffer[]
  /** Who answered: `1.2.3.4:443`, `[::1]:443`. */
  readonly remoteAddress: string
  /** The pin on the path that the policy blocks, if that is what it was refused for; else null. */
  readonly blockedPin: string | null
  /** When the first of the pin sets that matched ends; null for sets that don't. */
  readonly expires: Date | null
  /** What probably happened and how to see it, for people: never a decision. */
  readonly hint: string
  /** Whether it looks like a rotation or like an interception: never a decision. */
  readonly diagnosis: Diagnosis
  /** Where the policy file says what `patterns` are; empty where the policy is not of a file. */
  readonly policyLocations?: readonly PolicyLocation[]
}

/** Where a policy file says something of a host. */
export interface PolicyLocation {
  /** The host pattern, in canonical form. */
  readonly pattern: string
  /** The file, as it was named; null for a text that was not read from one. */
  readonly file: string | null
  /** From 1. */
  readonly line: number
  /** From 1, in UTF-16 code units. */
  readonly column: number
  /** A JSON pointer (RFC 6901). */
  readonly pointer: string
}

/** Gives `error` the places of its patterns. */
export function locate(error: BadPinError, policyLocations: readonly PolicyLocation[]): void {
  Object.assign(error, { policyLocations })
}

/** Gives `error` its diagnosis, once it is compared with what has been seen. */
export function diagnose(error: BadPinError, diagnosis: Diagnosis): void {
  Object.assign(error, { diagnosis })
}

const UNKNOWN: Diagnosis = { verdict: 'unknown', reasons: [] }

/**
 * No key of the verified path is pinned: someone else answers, or the pins are out of date.
 *
 * Final: no request byte was sent, the connection is closed, and a retry gives the same answer.
 */
export class BadPinError extends PinfetchError implements BadPinReport {
  declare readonly code: 'ERR_BAD_PIN'
  readonly hostname: string
  readonly port: number
  readonly patterns: readonly string[]
  readonly expectedPins: readonly string[]
  readonly foundPins: readonly string[]
  readonly verifiedPath: readonly PathCertificate[]
  readonly presentedChain: readonly Buffer[]
  readonly remoteAddress: string
  readonly blockedPin: string | null
  readonly expires: Date | null
  readonly hint: string
  readonly diagnosis: Diagnosis
  readonly policyLocations: readonly PolicyLocation[]
  constructor(report: BadPinReport) {
    const blocked =
      report.blockedPin === null ? '' : `, blocked pin: ${withoutPrefix(report.blockedPin)}`
    super(
      'ERR_BAD_PIN',
      `bad ssl pin detected, found pins: [${report.foundPins.map(withoutPrefix).join(' ')}]${blocked}`,
    )
    this.hostname = report.hostname
    this.port = report.port
    this.patterns = report.patterns
    this.expectedPins = report.expectedPins
    this.foundPins = report.foundPins
    this.verifiedPath = report.verifiedPath
    this.presentedChain = report.presentedChain
    this.remoteAddress = report.remoteAddress
    this.blockedPin = report.blockedPin
    this.expires = report.expires
    this.hint = report.hint
    this.diagnosis = report.diagnosis
    this.policyLocations = report.policyLocations ?? []
  }
}

/** The server's certificate does not verify, whatever the pins. No request byte was sent. */
export class CertificateError extends PinfetchError {
  /** The host that was asked for. */
  declare readonly hostname?: string
  /** Who answered. */
  declare readonly remoteAddress?: string
  /** `ERR_CERT_NAME_MISMATCH`: the names that the certificate is for. */
  declare readonly names?: readonly string[]
  /** `ERR_CERT_EXPIRED`: when it ended. */
  declare readonly notAfter?: Date
  constructor(code: ErrorCode, failure: Failure) {
    super(code, failure.message, causeOf(failure))
    keep(this, failure, ['hostname', 'remoteAddress', 'names', 'notAfter'])
  }
}

/** The handshake failed for another reason than the certificate. */
export class TlsError extends PinfetchError {
  /** The host that was asked for. */
  declare readonly hostname?: string
  /** Who answered. */
  declare readonly remoteAddress?: string
  /** The alert that the peer sent (RFC 8446 §6), if it did. */
  declare readonly alert?: string
  constructor(code: ErrorCode, failure: Failure) {
    super(code, failure.message, causeOf(failure))
    keep(this, failure, ['hostname', 'remoteAddress', 'alert'])
  }
}

/** The host's name has no address. */
export class DnsError extends PinfetchError {
  /** The name that was looked up. */
  declare readonly hostname?: string
  /** The resolver's code, such as `ENOTFOUND`. */
  declare readonly systemCode?: string
  constructor(code: ErrorCode, failure: Failure) {
    super(code, failure.message, causeOf(failure))
    keep(this, failure, ['hostname', 'systemCode'])
  }
}

/** A proxy opened no way to the host. Nothing was sent to the host, and no other way was tried. */
export class ProxyError extends PinfetchError {
  /** The proxy, without credentials. */
  declare readonly proxy?: string
  /** The status with which an HTTP proxy refused, such as 407 or 502. */
  declare readonly status?: number
  /** The reason phrase that came with it. */
  declare readonly reason?: string
  /** The reply with which a SOCKS proxy refused (RFC 1928 §6). */
  declare readonly socksCode?: number
  /** The system's code, such as `ECONNREFUSED`, if it was the system that failed. */
  declare readonly systemCode?: string
  constructor(code: ErrorCode, failure: Failure) {
    super(code, failure.message, causeOf(failure))
    keep(this, failure, ['proxy', 'status', 'reason', 'socksCode', 'systemCode'])
  }
}

/** No connection was made, or it ended before the response was whole. */
export class ConnectError extends PinfetchError {
  /** The host that was asked for. */
  declare readonly hostname?: string
  /** The address that was tried last, if one was. */
  declare readonly remoteAddress?: string
  /** The system's code, such as `ECONNREFUSED`, if it was the system that failed. */
  declare readonly systemCode?: string
  constructor(code: ErrorCode, failure: Failure) {
    super(code, failure.message, causeOf(failure))
    keep(this, failure, ['hostname', 'remoteAddress', 'systemCode'])
  }
}

/** The request outlasted its time limit. */
export class TimeoutError extends PinfetchError {
  /** What was under way. */
  readonly phase: Phase
  /** The limit in force for the request, in milliseconds. */
  readonly limit: number
  constructor(code: ErrorCode, failure: Failure) {
    super(code, failure.message, causeOf(failure))
    this.phase = failure.phase ?? 'total'
    this.limit = failure.limit ?? 0
  }
}

/**
 * The request was given up by a signal without a reason, as some libraries make them. A signal of the platform has one
 * always, which the request rejects with: by default a DOMException that is called `AbortError`, too.
 */
export class AbortError extends PinfetchError {
  constructor(message: string, options?: ErrorOptions) {
    super('ABORT_ERR', message, options)
  }
}

/** What a request rejects with that `signal` gives up: the signal's reason, or an AbortError where it has none. */
export function reasonOf(signal: AbortSignal | null): unknown {
  const reason: unknown = signal?.reason
  return reason === undefined ? new AbortError('the request was given up by its signal') : reason
}

/** The peer broke the rules of HTTP, or its response passes a limit. */
export class ProtocolError extends PinfetchError {
  /** The host that answered. */
  declare readonly hostname?: string
  /**
   * The limit in force: bytes (`ERR_HTTP_BODY_TOO_LARGE`), bytes for a byte (`ERR_HTTP_EXPANSION`), redirects
   * (`ERR_HTTP_TOO_MANY_REDIRECTS`).
   */
  declare readonly limit?: number
  /** `ERR_HTTP_REDIRECT`, `ERR_HTTP_TOO_MANY_REDIRECTS`: where the redirect leads, as the server wrote it. */
  declare readonly url?: string
  constructor(code: ErrorCode, failure: Failure) {
    super(code, failure.message, causeOf(failure))
    keep(this, failure, ['hostname', 'limit', 'url'])
  }
}

/** A host with traffic that a policy would refuse. */
export interface CutOff {
  /** In canonical form. */
  readonly hostname: string
  readonly port: number
  /**
   * How many of its connections have traffic: a request in flight, or one answered in the last 60 seconds. 0 where the
   * last one has just ended, and requests wait for the next.
   */
  readonly connections: number
  /** The patterns of the new policy that match the host; empty where it has none. */
  readonly patterns: readonly string[]
  /** The pins of its verified path, end entity first: `sha256/` + base64; empty over `http:`. */
  readonly foundPins: readonly string[]
  /** What requests to it would reject with. */
  readonly code: ErrorCode
}

/** Where in a policy or in options something is wrong. */
export interface PolicyPlace {
  /** The option's name. */
  readonly option?: string | undefined
  /** The host pattern, as it was written. */
  readonly pattern?: string | undefined
  /** Which of the pattern's pins, from 0. */
  readonly index?: number | undefined
  /** What was given there. */
  readonly input?: string | undefined
  /** `ERR_POLICY_UNPINNED`, `ERR_POLICY_PLAINTEXT`: the host. */
  readonly hostname?: string | undefined
  /** `ERR_POLICY_UNPINNED`, `ERR_POLICY_PLAINTEXT`: the port. */
  readonly port?: number | undefined
  /** `ERR_POLICY_EXPIRED`: when the pin set ended. */
  readonly notAfter?: Date | undefined
  /** The policy file, as it was named. */
  readonly file?: string | undefined
  /** The line of the policy file, from 1. */
  readonly line?: number | undefined
  /** The column of that line in UTF-16 code units, from 1. */
  readonly column?: number | undefined
  /** Where in the policy file: a JSON pointer (RFC 6901). */
  readonly pointer?: string | undefined
  /** `ERR_POLICY_CUTS_OFF`: the hosts, sorted. */
  readonly cutOffs?: readonly CutOff[] | undefined
}

/** A pin, a host pattern or an option is wrong, or the policy forbids the request. Nothing was sent. */
export class PolicyError extends PinfetchError implements PolicyPlace {
  declare readonly option?: string
  declare readonly pattern?: string
  declare readonly index?: number
  declare readonly input?: string
  declare readonly hostname?: string
  declare readonly port?: number
  declare readonly file?: string
  declare readonly line?: number
  declare readonly notAfter?: Date
  declare readonly column?: number
  declare readonly pointer?: string
  declare readonly cutOffs?: readonly CutOff[]
  constructor(code: ErrorCode, message: string, place: PolicyPlace = {}, options?: ErrorOptions) {
    super(code, message, options)
    keep(this, place, ['option', 'pattern', 'index', 'input', 'hostname', 'port', 'notAfter'])
    keep(this, place, ['file', 'line', 'column', 'pointer', 'cutOffs'])
  }
}

for (const [name, kind] of Object.entries({
  AbortError,
  BadPinError,
  CertificateError,
  ConnectError,
  DnsError,
  PinfetchError,
  PolicyError,
  ProtocolError,
  ProxyError,
  TimeoutError,
  TlsError,
})) {
  brand(kind, name)
}

/** A TypeError with a code: the caller gave a value that cannot be sent. */
export function invalidArgument(
  message: string,
  code: 'ERR_INVALID_ARGUMENT' | 'ERR_INVALID_URL' = 'ERR_INVALID_ARGUMENT',
): TypeError & { readonly code: ErrorCode } {
  return Object.assign(new TypeError(message), { code })
}

/** The option `option` is wrong. */
export function invalidOption(option: string, message: string): PolicyError {
  return new PolicyError('ERR_POLICY_INVALID_OPTION', message, { option })
}

/** A body passes what may be held of it in memory: the engine's words, of a body that JavaScript holds. */
export function bodyTooLarge(limit: number): ProtocolError {
  const message = `the response body is larger than ${limit} bytes`
  return new ProtocolError('ERR_HTTP_BODY_TOO_LARGE', { code: BODY_TOO_LARGE, message, limit })
}

/** What a value is, for an error: never what it holds. */
export function nameOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  if (value instanceof Uint8Array) return 'a byte array'
  if (typeof value === 'object') return nameOfObject(value)
  return `a ${typeof value}`
}

/** `a Blob`, `a Map`; of a class without a tag of its own, `an object`. */
function nameOfObject(value: object): string {
  const tag = Object.prototype.toString.call(value).slice('[object '.length, -1)
  return tag === 'Object' ? 'an object' : `a ${tag}`
}

/** The code of a record's number; of a number that this version does not know, our own fault's. */
export function codeOf(number: number): ErrorCode {
  return number in CODES ? CODES[number as keyof typeof CODES] : 'ERR_INTERNAL' // `in` has just said that it is a key
}

/** The `code` of whatever was thrown. */
export function codeOfThrown(error: unknown): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, 'code') : undefined
}

/** Makes the error that a record tells of; `verifiedPath` is its path block, described. */
export function errorOf(failure: Failure, verifiedPath: readonly PathCertificate[]): Error {
  const code = codeOf(failure.code)
  switch (Math.trunc(failure.code / 10)) {
    case 1:
    case 2:
      if (code !== 'ERR_BAD_PIN') return new CertificateError(code, failure)
      return new BadPinError({
        hostname: failure.hostname ?? '',
        port: failure.port ?? 0,
        patterns: failure.patterns ?? [],
        expectedPins: failure.expectedPins ?? [],
        foundPins: failure.foundPins ?? [],
        verifiedPath,
        presentedChain: failure.presentedChain ?? [],
        remoteAddress: failure.remoteAddress ?? '',
        blockedPin: failure.blockedPin ?? null,
        expires: failure.notAfter ?? null,
        hint: failure.hint ?? '',
        diagnosis: UNKNOWN,
      })
    case 3:
      return new TlsError(code, failure)
    case 4:
      if (code === 'ERR_DNS') return new DnsError(code, failure)
      if (code === 'ERR_PROXY' || code === 'ERR_PROXY_QUARANTINED')
        return new ProxyError(code, failure)
      return new ConnectError(code, failure)
    case 5:
      if (code === 'ERR_TIMEOUT') return new TimeoutError(code, failure)
      if (code === 'ABORT_ERR') return new AbortError(failure.message, causeOf(failure))
      return new PinfetchError(code, failure.message, causeOf(failure))
    case 6:
      return new ProtocolError(code, failure)
    case 7:
    case 8:
      return new PolicyError(code, failure.message, placeOf(failure), causeOf(failure))
    case 9: {
      const error = invalidArgument(
        failure.message,
        code === 'ERR_INVALID_URL' ? code : 'ERR_INVALID_ARGUMENT',
      )
      return failure.url === undefined ? error : Object.assign(error, { input: failure.url })
    }
    default:
      return new PinfetchError(code, failure.message, causeOf(failure))
  }
}

function placeOf({ cutOffs, ...place }: Failure): PolicyPlace {
  if (cutOffs === undefined) return place
  return { ...place, cutOffs: cutOffs.map((host) => ({ ...host, code: codeOf(host.code) })) }
}

/** What the layer below said, as an error of its own with the system's code. */
function causeOf(failure: Failure): ErrorOptions | undefined {
  if (failure.cause === undefined) return undefined
  const cause = new Error(failure.cause)
  return {
    cause:
      failure.systemCode === undefined ? cause : Object.assign(cause, { code: failure.systemCode }),
  }
}

function withoutPrefix(pin: string): string {
  return pin.slice('sha256/'.length)
}
