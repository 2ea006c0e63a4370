import { resolve } from 'node:path'
import type { BadPinHandler } from './bad-pin.js'
import { CookieJar, type ForeignCookieJar, handleOf } from './cookies.js'
import { invalidOption, nameOf, PolicyError } from './errors.js'
import { type Http2Options, readHttp2 } from './http2-options.js'
import { handleOfLivePolicy, LivePolicy } from './live-policy.js'
import { LOG_LEVELS, type Logger } from './logger.js'
import type { LookupFunction } from './lookup.js'
import { nearestOf } from './nearest.js'
import { isCount, wrongCount } from './numbers.js'
import type { ClientState } from './pending.js'
import {
  Reporter,
  type ReportOptions,
  type ReportSettings,
  readReportTo,
  SENDING,
} from './policy/report.js'
import { type AnchorsInput, locationsOf, type PinsInput, Policy, writePolicy } from './policy.js'
import { type ProfileName, readProfile, withProfile, writeProfile } from './profile.js'
import {
  type CallDefaults,
  type HeadersInit,
  hasField,
  MOST_REDIRECTS,
  type RedirectMode,
  type RetryOptions,
  readHeaders,
  readProxy,
  readTimeout,
  writeRetry,
} from './request.js'
import { RedirectMode as RedirectModes, Unpinned, Writer } from './wire.js'

/** Certificate revocation lists in PEM (one or many in a text) or DER. */
export type RevocationListsInput = string | Uint8Array | readonly (string | Uint8Array)[]

/** Addresses by host name. */
export type LookupMap =
  | { readonly [hostname: string]: string | readonly string[] }
  | ReadonlyMap<string, string | readonly string[]>

/** What a client can be told. Unknown and misspelt options are errors. */
export interface ClientOptions {
  /** Which keys each host may have; a {@link LivePolicy} for keys that change for many clients at once. Leave it out for a client without pins: `undefined` is refused. @default {} */
  readonly pins?: PinsInput | Policy | LivePolicy
  /**
   * Told of each request that is refused for its pins, before its promise rejects. It cannot let the request through;
   * what it throws, or rejects with, becomes a process warning.
   *
   * @default null
   */
  readonly onBadPin?: BadPinHandler | null | undefined
  /**
   * Told of requests, responses, failures and bad pins, by level: `console`, or whatever has some of its `debug`, `info`,
   * `warn` and `error`. Secrets are taken out.
   *
   * @default null
   */
  readonly logger?: Logger | null | undefined
  /**
   * Where bad pins are reported as RFC 7469 §3 has it: a URL, or a URL and more. In the background, by connections of
   * their own that obey the same pins and trust; the same keys of a host once an hour. Many clients share a
   * {@link Reporter}. docs/reports.md
   *
   * @default null
   */
  readonly reportTo?: string | URL | ReportOptions | Reporter | null | undefined
  /**
   * What becomes of requests to hosts without pins: nothing, a warning once for each host (logger, and the channel
   * `pinfetch:unpinned`), or a refusal. A policy may say so, too: the stricter of both holds.
   *
   * @default 'allow'
   */
  readonly unpinned?: 'allow' | 'warn' | 'refuse' | undefined
  /** The trust anchors, instead of the built-in ones (Mozilla's). @default the built-in ones */
  readonly ca?: AnchorsInput
  /** Trust anchors besides the others. @default [] */
  readonly extraCa?: AnchorsInput | undefined
  /** Whether the system's trust anchors count too. @default false */
  readonly systemCa?: boolean | undefined
  /**
   * Accepts any certificate of any server: whoever is on the way reads and changes everything. Refused together with
   * pins. For a server of your own, give its certificate as `ca` instead.
   *
   * @default false
   */
  readonly insecureSkipVerify?: boolean | undefined
  /** The name that is asked for in TLS and looked for in certificates; pins of both it and the URL's host hold. */
  readonly serverName?: string | undefined
  /**
   * Whether HTTP/2 is offered (ALPN, RFC 7301): true for both it and HTTP/1.1, false for HTTP/1.1 alone, `'only'` for
   * HTTP/2 alone. A server without what is offered is refused, `ERR_TLS_ALPN`, and `'only'` has no `http:` URLs. An object
   * says more of its connections: windows, concurrent streams, pings.
   *
   * @default true
   */
  readonly http2?: boolean | 'only' | Http2Options | undefined
  /**
   * A browser whose header fields, HTTP/2 settings and TLS offers requests have, as far as these go: docs/profiles.md says
   * what differs. Fields and options that are given go before the profile's, in its order. @default none
   */
  readonly profile?: ProfileName | null | undefined
  /** How many connections a host may have. @default 128 */
  readonly connections?: number | undefined
  /**
   * How many connections there may be at once to all hosts together; 0 for no limit. Hosts that wait for one get it in
   * the order in which they came: an idle connection of another host is closed for it, and a busy host gives one up
   * after a turn of 32 requests.
   *
   * @default 0
   */
  readonly totalConnections?: number | undefined
  /** Milliseconds for a whole request, body and retries included; 0 for no limit. @default 30000 */
  readonly timeout?: number | undefined
  /** Milliseconds for making a connection: name, proxy, TCP and TLS. @default as long as a request may take */
  readonly connectTimeout?: number | undefined
  /**
   * Milliseconds from when a connection is there to the response's header section, the sending of the body included; 0
   * for no limit. @default 0
   */
  readonly headersTimeout?: number | undefined
  /** Milliseconds that a response's body may pause; 0 for no limit. @default 0 */
  readonly bodyTimeout?: number | undefined
  /** When requests are sent again after a failure that may pass: how often, or more. @default 0 */
  readonly retry?: number | RetryOptions | undefined
  /** The largest response body that is held in memory, in bytes; a stream is its reader's to bound. @default 536870912 */
  readonly maxResponseBytes?: number | undefined
  /**
   * The largest header or trailer section of a response, in bytes: over HTTP/1.1 as it is sent, over HTTP/2 its names and
   * values and 32 for each field (RFC 9113 §6.5.2).
   *
   * @default 262144
   */
  readonly maxHeaderBytes?: number | undefined
  /** How many fields the header or trailer section of a response may have. @default 512 */
  readonly maxHeaderCount?: number | undefined
  /** Whether content codings (gzip, deflate, br, zstd) are asked for and undone. @default true */
  readonly decompress?: boolean | undefined
  /**
   * How many bytes a byte of a compressed body may become, once it has become a mebibyte: more is a decompression bomb,
   * `ERR_HTTP_EXPANSION`.
   *
   * @default 200
   */
  readonly maxExpansion?: number | undefined
  /** Whether redirects are followed, handed over, or errors. @default 'follow' */
  readonly redirect?: RedirectMode | undefined
  /** How many redirects in a row are followed. @default 20 */
  readonly maxRedirects?: number | undefined
  /**
   * The proxy to go through: `http:`, `https:`, `socks5:` (names resolved here) or `socks5h:` (by the proxy), user name
   * and password in front of the host; null for none; `'environment'` for those that `HTTPS_PROXY`, `HTTP_PROXY`,
   * `ALL_PROXY` and `NO_PROXY` name. Pins hold through every proxy, and pins for an `https:` proxy's own host hold for its
   * TLS.
   *
   * @default null
   */
  readonly proxy?: string | URL | null | undefined
  /**
   * Whether nothing more goes through a proxy once a bad pin was met through it, until `client.releaseProxy`; requests
   * end with `ERR_PROXY_QUARANTINED` instead.
   *
   * @default false
   */
  readonly quarantine?: boolean | undefined
  /** Whether connections serve more than one request. @default true */
  readonly reuse?: boolean | undefined
  /**
   * Where cookies are kept: a {@link CookieJar}, which clients may share, or a jar of another make such as tough-cookie's;
   * false or null for nowhere.
   *
   * @default a jar of the client's own, `client.cookieJar`
   */
  readonly cookieJar?: CookieJar | ForeignCookieJar | boolean | null | undefined
  /** Milliseconds until an idle connection is closed. @default 60000 */
  readonly idleTimeout?: number | undefined
  /** What the URLs of requests are relative to (URL standard). @default they are absolute */
  readonly baseUrl?: string | URL | undefined
  /** Header fields of every request that does not name them itself. @default {} */
  readonly headers?: HeadersInit | undefined
  /**
   * Where hosts are: a map of host to address or addresses, for some hosts; or a function as Node's `dns.lookup`, for
   * all. Names in TLS, pins and `host` stay what they are.
   *
   * @default the system's resolver
   */
  readonly lookup?: LookupMap | LookupFunction | undefined
  /** Milliseconds for which the addresses of a host are remembered; 0 for a lookup at each connection. @default 0 */
  readonly dnsTtl?: number | undefined
  /** Which addresses are tried: of IPv4, of IPv6, or 0 for both by turns (RFC 8305). @default 0 */
  readonly family?: 0 | 4 | 6 | undefined
  /** The IP address of this machine that connections are made from. @default the system's choice */
  readonly localAddress?: string | undefined
  /**
   * A certificate for servers that ask who the client is, which its intermediates may follow, in PEM; `key` is its key.
   * No proxy sees it.
   *
   * @default none
   */
  readonly cert?: string | Uint8Array | undefined
  /** The private key of `cert` in PEM (PKCS#8, PKCS#1, SEC1). @default none */
  readonly key?: string | Uint8Array | undefined
  /**
   * A certificate, its intermediates and its key in one, as PKCS#12 (RFC 7292), in place of `cert` and `key`.
   *
   * @default none
   */
  readonly pfx?: Uint8Array | undefined
  /** What opens `pfx`, or a `key` that is encrypted (PKCS#8 with PBES2). @default none for `key`, '' for `pfx` */
  readonly passphrase?: string | undefined
  /**
   * The file that the secrets of TLS are appended to, for tools that read captured traffic; true for the one that the
   * variable `SSLKEYLOGFILE` names. Whoever has the file reads everything.
   *
   * @default false
   */
  readonly keyLogFile?: string | boolean | undefined
  /**
   * Whether the key exchange X25519MLKEM768 is offered before all others, against whoever keeps traffic of today for a
   * quantum computer. Servers without it take X25519 as ever. A connection costs 2.3 KB and some CPU time more.
   *
   * @default false
   */
  readonly postQuantum?: boolean | undefined
  /** The oldest TLS version to accept. @default 'TLSv1.2' */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  /**
   * Certificate revocation lists: a server or proxy is refused, `ERR_CERT_REVOKED`, when one of them names a certificate
   * of its path. What no list speaks for passes, and a list counts after it has expired, too. None is fetched.
   *
   * @default []
   */
  readonly crl?: RevocationListsInput
}

/** The defaults of the options that have a value by default. */
export const DEFAULTS = {
  unpinned: 'allow',
  systemCa: false,
  insecureSkipVerify: false,
  http2: true,
  connections: 128,
  totalConnections: 0,
  timeout: 30_000,
  connectTimeout: 0,
  headersTimeout: 0,
  bodyTimeout: 0,
  retry: 0,
  dnsTtl: 0,
  family: 0,
  maxResponseBytes: 512 * 1024 * 1024,
  maxHeaderBytes: 256 * 1024,
  maxHeaderCount: 512,
  decompress: true,
  maxExpansion: 200,
  redirect: 'follow',
  maxRedirects: 20,
  quarantine: false,
  reuse: true,
  idleTimeout: 60_000,
  postQuantum: false,
  minVersion: 'TLSv1.2',
} as const

const NAMES = [
  'pins',
  'onBadPin',
  'logger',
  'reportTo',
  'unpinned',
  'ca',
  'extraCa',
  'systemCa',
  'insecureSkipVerify',
  'serverName',
  'http2',
  'profile',
  'connections',
  'totalConnections',
  'timeout',
  'connectTimeout',
  'headersTimeout',
  'bodyTimeout',
  'retry',
  'maxResponseBytes',
  'maxHeaderBytes',
  'maxHeaderCount',
  'decompress',
  'maxExpansion',
  'redirect',
  'maxRedirects',
  'proxy',
  'quarantine',
  'reuse',
  'cookieJar',
  'idleTimeout',
  'baseUrl',
  'headers',
  'lookup',
  'dnsTtl',
  'family',
  'localAddress',
  'cert',
  'key',
  'pfx',
  'passphrase',
  'keyLogFile',
  'postQuantum',
  'minVersion',
  'crl',
] as const satisfies readonly (keyof ClientOptions)[]

/** Spellings of other programs, which no nearest name would lead from. */
const ELSEWHERE: Readonly<Record<string, keyof ClientOptions>> = {
  rejectUnauthorized: 'insecureSkipVerify',
  servername: 'serverName',
  allowH2: 'http2',
  maxConnections: 'connections',
  maxSockets: 'connections',
  maxTotalSockets: 'totalConnections',
  keepAliveTimeout: 'idleTimeout',
  proxyUrl: 'proxy',
  followRedirect: 'redirect',
  maxRedirections: 'maxRedirects',
  cookies: 'cookieJar',
  jar: 'cookieJar',
  maxHeaderSize: 'maxHeaderBytes',
  maxHeadersCount: 'maxHeaderCount',
  prefixUrl: 'baseUrl',
  baseURL: 'baseUrl',
  pinnedCertificates: 'pins',
  certificatePinning: 'pins',
}

const LOOKUP_SYSTEM = 0
const LOOKUP_MAP = 1
const LOOKUP_FUNCTION = 2

const TLS_VERSIONS = { 'TLSv1.2': 12, 'TLSv1.3': 13 } as const
const LARGEST_U32 = 0xffff_ffff

/** Options, checked and copied. */
export interface Settings extends CallDefaults {
  /** The engine's record of them. */
  readonly config: Uint8Array
  readonly onBadPin: BadPinHandler | null
  readonly lookup: LookupFunction | null
  readonly logger: Logger | null
  readonly report: ReportSettings | Reporter | null
  readonly locations: ClientState['locations']
  readonly maxResponseBytes: number
  /** A cookie jar that is not the engine's own. */
  readonly jar: ForeignCookieJar | null
  /** The cookie jar that was given, if it is the engine's own. */
  readonly cookieJar: CookieJar | null | undefined
}

/** Reads each option once; throws a {@link PolicyError} that names what is wrong. */
export function readOptions(options: unknown): Settings {
  const given = readablePins(readGiven(options))
  const report = readReport(given)
  const out = new Writer(256)
  const pins = given.get('pins')
  const live = pins instanceof LivePolicy ? handleOfLivePolicy(pins) : null
  if (given.has('pins') && live === null) writePolicy(out, pins)
  else writePolicy(out, {})
  out.u8(choice(given, 'unpinned', DEFAULTS.unpinned, Unpinned))
  if (given.has('ca')) {
    out.u8(1)
    writeBlobs(out, 'ca', given.get('ca'), 'certificates')
  } else {
    out.u8(0)
  }
  writeBlobs(out, 'extraCa', givenOr(given, 'extraCa', []), 'certificates')
  out.flag(flag(given, 'systemCa', DEFAULTS.systemCa))
  out.flag(flag(given, 'insecureSkipVerify', DEFAULTS.insecureSkipVerify))
  const serverName = given.get('serverName')
  if (serverName !== undefined && typeof serverName !== 'string') {
    throw wrongType('serverName', serverName, 'a host name')
  }
  out.flag(serverName !== undefined)
  if (serverName !== undefined) out.str(serverName)
  const profile = readProfile(given.get('profile'))
  const http2 = readHttp2(givenOr(given, 'http2', DEFAULTS.http2), profile?.http2)
  out.u8(http2.choice)
  out.u32(count(given, 'connections', DEFAULTS.connections, 1, LARGEST_U32))
  out.u32(milliseconds(given, 'timeout', DEFAULTS.timeout))
  const maxResponseBytes = count(
    given,
    'maxResponseBytes',
    DEFAULTS.maxResponseBytes,
    0,
    Number.MAX_SAFE_INTEGER,
  )
  out.i64(maxResponseBytes)
  out.u32(milliseconds(given, 'idleTimeout', DEFAULTS.idleTimeout))
  const lookup = writeLookup(out, given.get('lookup'))
  const own = defaultHeaders(given.get('headers'))
  const decompress = flag(given, 'decompress', DEFAULTS.decompress)
  const headers = profile === null ? own : withProfile(profile, own, decompress)
  out.u32(headers.length >> 1)
  for (let index = 0; index < headers.length; index++) out.latin1(headers[index] ?? '')
  out.u8(choice(given, 'minVersion', DEFAULTS.minVersion, TLS_VERSIONS))
  out.flag(decompress)
  out.u32(count(given, 'maxExpansion', DEFAULTS.maxExpansion, 1, LARGEST_U32))
  out.u8(choice(given, 'redirect', DEFAULTS.redirect, RedirectModes))
  out.u32(count(given, 'maxRedirects', DEFAULTS.maxRedirects, 0, MOST_REDIRECTS))
  writeProxy(out, givenOr(given, 'proxy', null))
  const jar = writeJar(out, givenOr(given, 'cookieJar', true))
  out.flag(flag(given, 'quarantine', DEFAULTS.quarantine))
  out.flag(flag(given, 'reuse', DEFAULTS.reuse))
  out.u32(milliseconds(given, 'connectTimeout', DEFAULTS.connectTimeout))
  out.u32(milliseconds(given, 'headersTimeout', DEFAULTS.headersTimeout))
  out.u32(milliseconds(given, 'bodyTimeout', DEFAULTS.bodyTimeout))
  try {
    writeRetry(out, givenOr(given, 'retry', DEFAULTS.retry))
  } catch (cause) {
    throw asOption('retry', cause)
  }
  out.u32(milliseconds(given, 'dnsTtl', DEFAULTS.dnsTtl))
  const family = givenOr(given, 'family', DEFAULTS.family)
  if (family !== 0 && family !== 4 && family !== 6) throw wrongType('family', family, '4, 6 or 0')
  out.u8(family)
  const localAddress = given.get('localAddress')
  if (localAddress !== undefined && typeof localAddress !== 'string')
    throw wrongType('localAddress', localAddress, 'an IP address')
  out.flag(localAddress !== undefined)
  if (localAddress !== undefined) out.str(localAddress)
  writeIdentity(out, given)
  const keyLogFile = readKeyLogFile(given.get('keyLogFile'))
  out.flag(keyLogFile !== null)
  if (keyLogFile !== null) out.str(keyLogFile)
  writeBlobs(out, 'crl', givenOr(given, 'crl', []), 'certificate revocation lists')
  out.u32(count(given, 'maxHeaderBytes', DEFAULTS.maxHeaderBytes, 1, LARGEST_U32))
  out.u32(count(given, 'maxHeaderCount', DEFAULTS.maxHeaderCount, 1, LARGEST_U32))
  out.flag(flag(given, 'postQuantum', DEFAULTS.postQuantum))
  out.u32(count(given, 'totalConnections', DEFAULTS.totalConnections, 0, LARGEST_U32))
  out.flag(live !== null)
  if (live !== null) out.u32(live)
  http2.write(out)
  writeProfile(out, profile)
  const onBadPin = given.get('onBadPin') ?? null
  if (onBadPin !== null && typeof onBadPin !== 'function')
    throw wrongType('onBadPin', onBadPin, 'a function or null')
  return {
    config: out.written(),
    onBadPin: onBadPin as BadPinHandler | null, // a function: what it takes can't be asked
    lookup,
    logger: readLogger(given.get('logger')),
    locations: locationsIn(pins),
    maxResponseBytes,
    report,
    jar: jar instanceof CookieJar ? null : (jar ?? null),
    cookieJar: jar instanceof CookieJar ? jar : jar === undefined ? undefined : null,
    baseUrl: readBaseUrl(given.get('baseUrl')),
    hasDefaultType: hasField(headers, 'content-type'),
  }
}

/** Options whose pins can be read twice, where two clients are to have them: an iterator ends after the first. */
function readablePins(given: Given): Given {
  const pins = given.get('pins')
  const isOnce = pins !== undefined && !(pins instanceof Policy || pins instanceof LivePolicy)
  if ((given.get('reportTo') ?? null) === null || !isOnce) return given
  return new Map([...given, ['pins', new Policy(pins as PinsInput)]])
}

/** Reads `reportTo`. What sends reports obeys the same pins and the same trust, and goes its own way. */
function readReport(given: Given): ReportSettings | Reporter | null {
  const value = given.get('reportTo')
  if (value instanceof Reporter) return value
  const own: Record<string, unknown> = { ...SENDING }
  for (const name of SHARED_WITH_REPORTS) if (given.has(name)) own[name] = given.get(name)
  return readReportTo(value, own)
}

const SHARED_WITH_REPORTS = [
  'pins',
  'ca',
  'extraCa',
  'systemCa',
  'crl',
  'minVersion',
  'lookup',
  'dnsTtl',
  'family',
  'localAddress',
] as const satisfies readonly (keyof ClientOptions)[]

function writeIdentity(out: Writer, given: Given): void {
  const [cert, key, pfx] = [given.get('cert'), given.get('key'), given.get('pfx')]
  const passphrase = given.get('passphrase')
  if (passphrase !== undefined && typeof passphrase !== 'string')
    throw wrongType('passphrase', '…', 'text') // not what it is: a secret
  if (pfx !== undefined) {
    if (cert !== undefined || key !== undefined)
      throw invalidOption('pfx', 'pfx is given with cert or key: it has both in it')
    if (!(pfx instanceof Uint8Array)) throw wrongType('pfx', pfx, 'PKCS#12 in bytes')
    out.u8(2)
    out.blob(pfx)
    out.str(passphrase ?? '')
    return
  }
  if (cert === undefined && key === undefined) {
    if (passphrase !== undefined)
      throw invalidOption('passphrase', 'passphrase is given without pfx or key')
    out.u8(0)
    return
  }
  if (cert === undefined) throw invalidOption('cert', 'key is given without cert: give both')
  if (key === undefined) throw invalidOption('key', 'cert is given without key: give both')
  out.u8(1)
  for (const [option, value] of [
    ['cert', cert],
    ['key', key],
  ] as const) {
    if (typeof value !== 'string' && !(value instanceof Uint8Array))
      throw wrongType(option, value, 'PEM')
    out.blob(value)
  }
  out.flag(passphrase !== undefined)
  if (passphrase !== undefined) out.str(passphrase)
}

function readKeyLogFile(value: unknown): string | null {
  if (value === undefined || value === false) return null
  if (value === true) {
    const named = process.env.SSLKEYLOGFILE
    if (named) return resolve(named)
    throw invalidOption('keyLogFile', 'keyLogFile is true, and SSLKEYLOGFILE names no file')
  }
  if (typeof value !== 'string') throw wrongType('keyLogFile', value, 'a path, true or false')
  if (value === '') throw invalidOption('keyLogFile', 'keyLogFile is empty: give a path')
  return resolve(value)
}

/** Where the policy in force speaks of patterns. A live policy is not held for the sake of that. */
export function locationsIn(pins: unknown): ClientState['locations'] {
  if (pins instanceof Policy) return (patterns) => locationsOf(pins, patterns)
  if (!(pins instanceof LivePolicy)) return null
  const live = new WeakRef(pins)
  return (patterns) => {
    const policy = live.deref()?.policy
    return policy === undefined ? [] : locationsOf(policy, patterns)
  }
}

/** Reads the option `logger`. */
export function readLogger(value: unknown): Logger | null {
  if (value === undefined || value === null) return null
  if (typeof value !== 'object') throw wrongType('logger', value, 'an object of functions or null')
  for (const level of LOG_LEVELS) {
    const given: unknown = Reflect.get(value, level)
    if (given !== undefined && typeof given !== 'function')
      throw invalidOption('logger', `logger.${level} is ${nameOf(given)}: give a function`)
  }
  return value // has what was asked for
}

function readBaseUrl(value: unknown): string | null {
  if (value === undefined) return null
  if (!(value instanceof URL) && typeof value !== 'string')
    throw wrongType('baseUrl', value, 'an absolute URL')
  const url = URL.canParse(String(value)) ? new URL(value) : null
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw invalidOption('baseUrl', 'baseUrl is no absolute https: or http: URL')
  return url.href
}

/** The options that were given, by name. */
type Given = ReadonlyMap<keyof ClientOptions, unknown>

function readGiven(options: unknown): Given {
  const given = new Map<keyof ClientOptions, unknown>()
  if (options === undefined) return given
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new PolicyError(
      'ERR_POLICY_INVALID_OPTION',
      `the options are ${nameOf(options)}: give an object`,
    )
  }
  for (const key of Object.keys(options)) {
    if (!isName(key)) {
      const nearest = Object.hasOwn(ELSEWHERE, key) ? ELSEWHERE[key] : nearestOf(key, NAMES)
      const mend = nearest === undefined ? '' : `: did you mean ${JSON.stringify(nearest)}?`
      throw invalidOption(key, `unknown option ${JSON.stringify(key)}${mend}`)
    }
    const value: unknown = Reflect.get(options, key)
    if (value !== undefined) given.set(key, value)
    else if (key === 'pins' || key === 'ca' || key === 'crl') {
      // a lost variable must not quietly make a client without pins or lists, or one that trusts everyone's anchors
      throw invalidOption(key, `${key} is undefined: leave it out for the default`)
    }
  }
  return given
}

function isName(key: string): key is keyof ClientOptions {
  return NAMES.some((name) => name === key)
}

function wrongType(option: keyof ClientOptions, value: unknown, wanted: string): PolicyError {
  return invalidOption(option, `${option} is ${nameOf(value)}: give ${wanted}`)
}

/** An option's value; null is a value, and a wrong one where it says nothing. */
function givenOr(given: Given, option: keyof ClientOptions, fallback: unknown): unknown {
  const value = given.get(option)
  return value === undefined ? fallback : value
}

function flag(given: Given, option: keyof ClientOptions, fallback: boolean): boolean {
  const value = givenOr(given, option, fallback)
  if (typeof value !== 'boolean') throw wrongType(option, value, 'true or false')
  return value
}

function choice(
  given: Given,
  option: keyof ClientOptions,
  fallback: string,
  choices: Readonly<Record<string, number>>,
): number {
  const value = givenOr(given, option, fallback)
  if (typeof value !== 'string') throw wrongType(option, value, quoted(choices))
  const number = Object.hasOwn(choices, value) ? choices[value] : undefined
  if (number === undefined)
    throw invalidOption(option, `${option} is ${JSON.stringify(value)}: give ${quoted(choices)}`)
  return number
}

function quoted(choices: Readonly<Record<string, number>>): string {
  return Object.keys(choices)
    .map((name) => JSON.stringify(name))
    .join(' or ')
}

function count(
  given: Given,
  option: keyof ClientOptions,
  fallback: number,
  least: number,
  most: number,
): number {
  const value = givenOr(given, option, fallback)
  if (isCount(value, least, most)) return value
  throw invalidOption(option, wrongCount(option, value, least, most))
}

function milliseconds(given: Given, option: keyof ClientOptions, fallback: number): number {
  try {
    return readTimeout(option, givenOr(given, option, fallback))
  } catch (cause) {
    throw asOption(option, cause)
  }
}

/** What is a TypeError in a request is a PolicyError in a client's options. */
function asOption(option: string, cause: unknown): PolicyError {
  const message = cause instanceof Error ? cause.message : String(cause)
  return new PolicyError('ERR_POLICY_INVALID_OPTION', message, { option }, { cause })
}

function writeBlobs(
  out: Writer,
  option: 'ca' | 'extraCa' | 'crl',
  value: unknown,
  what: string,
): void {
  const blobs = Array.isArray(value) ? value : [value]
  out.u32(blobs.length)
  for (const blob of blobs) {
    if (typeof blob !== 'string' && !(blob instanceof Uint8Array)) {
      throw wrongType(option, blob, `${what} in PEM or DER, or a list of them`)
    }
    out.blob(blob)
  }
}

function defaultHeaders(value: unknown): string[] {
  try {
    if (value === null) throw wrongType('headers', value, 'an object, pairs, a Headers or a Map')
    return readHeaders(value) ?? []
  } catch (cause) {
    throw asOption('headers', cause)
  }
}

/** Variables that name proxies, in both spellings, and the one that says that a web server has set them. */
const PROXY_VARIABLES = ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']

function writeProxy(out: Writer, value: unknown): void {
  if (value !== 'environment') {
    out.u8(0)
    try {
      out.str(readProxy(value))
    } catch (cause) {
      throw asOption('proxy', cause)
    }
    return
  }
  const names = [...PROXY_VARIABLES.flatMap((name) => [name, name.toUpperCase()]), 'REQUEST_METHOD']
  const given = names.filter((name) => process.env[name] !== undefined)
  out.u8(1)
  out.u32(given.length)
  for (const name of given) {
    out.str(name)
    out.str(process.env[name] ?? '')
  }
}

const NO_JAR = 0
const JAR_OF_ITS_OWN = 1
const JAR_OF_OURS = 2
const JAR_OF_ANOTHER_MAKE = 3

/** Writes where cookies are kept; gives the jar, null for none, undefined for one of the client's own. */
function writeJar(out: Writer, value: unknown): CookieJar | ForeignCookieJar | null | undefined {
  if (value === false || value === null) {
    out.u8(NO_JAR)
    return null
  }
  if (value === true) {
    out.u8(JAR_OF_ITS_OWN)
    return undefined
  }
  if (value instanceof CookieJar) {
    out.u8(JAR_OF_OURS)
    out.u32(handleOf(value))
    return value
  }
  if (!isJar(value))
    throw wrongType('cookieJar', value, "a CookieJar, an object like tough-cookie's, or a boolean")
  out.u8(JAR_OF_ANOTHER_MAKE)
  return value
}

function isJar(value: unknown): value is ForeignCookieJar {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof Reflect.get(value, 'getCookieString') === 'function' &&
    typeof Reflect.get(value, 'setCookie') === 'function'
  )
}

function writeLookup(out: Writer, value: unknown): LookupFunction | null {
  if (value === undefined || typeof value === 'function') {
    out.u8(value === undefined ? LOOKUP_SYSTEM : LOOKUP_FUNCTION)
    out.u32(0)
    return value === undefined ? null : (value as LookupFunction) // a function: what it takes can't be asked
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongType('lookup', value, 'a map of host to address, or a function')
  }
  out.u8(LOOKUP_MAP)
  const entries: Iterable<[unknown, unknown]> =
    value instanceof Map
      ? value
      : Object.keys(value).map((key) => [key, Reflect.get(value, key)] as [unknown, unknown])
  const counted = out.openCount()
  let hosts = 0
  for (const [host, given] of entries) {
    const addresses: unknown[] = Array.isArray(given) ? given : [given]
    if (typeof host !== 'string')
      throw invalidOption('lookup', `lookup has a host that is ${nameOf(host)}`)
    out.str(host)
    out.u32(addresses.length)
    for (const address of addresses) {
      if (typeof address !== 'string') {
        throw invalidOption(
          'lookup',
          `lookup[${JSON.stringify(host)}] is ${nameOf(address)}: give an IP address`,
        )
      }
      out.str(address)
    }
    hosts += 1
  }
  out.closeCount(counted, hosts)
  return null
}
