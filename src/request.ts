import type { BadPinHandler } from './bad-pin.js'
import { type BodyContent, type BodyInit, extractBody, extractJson } from './body.js'
import { CookieJar, handleOf } from './cookies.js'
import { invalidArgument, nameOf } from './errors.js'
import type { Handler } from './handler.js'
import { type Headers, isFieldValue } from './headers.js'
import { isCount, wrongCount } from './numbers.js'
import { Extra, Http2, RedirectMode as RedirectModes, Writer } from './wire.js'

/** Header fields of a request: an object of values or lists of values, or pairs, a `Headers` or a `Map`. */
export type HeadersInit =
  | Readonly<Record<string, string | number | readonly string[]>>
  | Iterable<readonly [name: string, value: string]>

/** Query parameters: an object of values or lists of values, pairs, `URLSearchParams`, or text that is encoded already. */
export type QueryInit =
  | string
  | URLSearchParams
  | Readonly<Record<string, QueryValue | readonly QueryValue[] | null | undefined>>
  | Iterable<readonly [name: string, value: string]>

/** A query parameter's value. */
export type QueryValue = string | number | bigint | boolean

/** What a request is made of besides its URL. */
export interface RequestInit {
  /** @default 'GET' */
  readonly method?: string | undefined
  readonly headers?: HeadersInit | undefined
  readonly body?: BodyInit | null | undefined
  /** A value to send as JSON, instead of `body`; `content-type` is `application/json` unless the headers name another. */
  readonly json?: unknown
  /** Parameters to add to the URL's query. @default none */
  readonly query?: QueryInit | undefined
  /** As the fetch standard wants it said of a body that is a stream; says nothing here. */
  readonly duplex?: 'half' | undefined
  /** Milliseconds for the whole request, body included; 0 for no limit. @default the client's */
  readonly timeout?: number | undefined
  /** Gives the request up, its body included: what waits rejects with the signal's reason. */
  readonly signal?: AbortSignal | null | undefined
  /**
   * Redirects are followed, handed over as responses like any other, or errors. Each hop is pinned by its own host's
   * pins, and credentials (`authorization`, `cookie`) stay with their origin.
   *
   * @default the client's
   */
  readonly redirect?: RedirectMode | undefined
  /** How many redirects in a row are followed. @default the client's */
  readonly maxRedirects?: number | undefined
  /** The largest response body that is held in memory, in bytes. @default the client's */
  readonly maxResponseBytes?: number | undefined
  /** How many bytes a byte of a compressed body may become. @default the client's */
  readonly maxExpansion?: number | undefined
  /** Whether content codings (gzip, deflate, br, zstd) are asked for and undone. @default the client's */
  readonly decompress?: boolean | undefined
  /**
   * The proxy to go through: `http:`, `https:`, `socks5:` (names resolved here) or `socks5h:` (by the proxy), user name
   * and password in front of the host; null for none. Pins hold through every proxy. @default the client's
   */
  readonly proxy?: string | URL | null | undefined
  /**
   * Milliseconds that it waits for a connection, in the queue and while one is made for it and others; 0 for no limit. The
   * client's `connectTimeout` bounds the making. @default no limit of its own
   */
  readonly connectTimeout?: number | undefined
  /** Milliseconds until the header section, from when a connection is there; 0 for no limit. @default the client's */
  readonly headersTimeout?: number | undefined
  /** Milliseconds that the body may pause; 0 for no limit. @default the client's */
  readonly bodyTimeout?: number | undefined
  /** When it is sent again after a failure that may pass. @default the client's */
  readonly retry?: number | RetryOptions | undefined
  /**
   * Whether the connection serves other requests too. Without, each request, and each hop of a redirect, has one of its
   * own, as gateways that rotate exits want it. @default the client's
   */
  readonly reuse?: boolean | undefined
  /**
   * Whether HTTP/2 is offered: true for both it and HTTP/1.1, false for HTTP/1.1 alone, `'only'` for HTTP/2 alone.
   * @default the client's
   */
  readonly http2?: boolean | 'only' | undefined
  /** The cookie jar, instead of the client's; false for none. A `cookie` field in `headers` goes before any jar. */
  readonly cookieJar?: CookieJar | false | undefined
  /**
   * Told of each interim response as it comes, before the response: 103 (Early Hints) with its `link` fields, 102, or 100.
   * What it throws, or rejects with, becomes a process warning.
   *
   * @default null
   */
  readonly onInformation?: InformationHandler | null | undefined
  /** Told when it is refused for its pins, instead of the client's; null for nobody. @default the client's */
  readonly onBadPin?: BadPinHandler | null | undefined
}

/** An interim response (RFC 9110 §15.2). */
export interface Information {
  /** From 100 to 199. */
  readonly status: number
  readonly headers: Headers
}

/** Told of an interim response. An async handler is started and not awaited. */
export type InformationHandler = Handler<Information>

/**
 * When a request is sent again: after failures of names, connections and proxies, time limits of a phase, and some
 * statuses; never after a bad pin or a refused certificate, and never with a body that was a stream. `timeout` covers all
 * of it.
 */
export interface RetryOptions {
  /** How often at most. @default 2 */
  readonly attempts?: number | undefined
  /** The methods of requests that are sent again. @default ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'] */
  readonly methods?: readonly string[] | undefined
  /** The statuses after which they are. @default [408, 425, 429, 500, 502, 503, 504] */
  readonly statuses?: readonly number[] | undefined
  /** Milliseconds up to which the first wait is drawn; doubled for each further one. @default 250 */
  readonly backoff?: number | undefined
  /**
   * The longest wait in milliseconds, and the longest that a server's `retry-after` may ask for: one that asks for more is
   * not asked again. @default 30000
   */
  readonly maxDelay?: number | undefined
}

/** What becomes of redirects, as in the fetch standard. */
export type RedirectMode = keyof typeof RedirectModes

/** A request as an object, such as the global `Request`. */
export interface RequestLike extends RequestInit {
  readonly url: string | URL
}

/** What `fetch` and `fetchAll` take: a URL, or an object with a `url`. */
export type RequestInput = string | URL | RequestLike

/** What a client says of all its calls. */
export interface CallDefaults {
  /** What URLs are relative to. */
  readonly baseUrl: string | null
  /** Whether the default headers name a content type. */
  readonly hasDefaultType: boolean
}

/** A request, checked, as the wire wants it. */
export interface Call<Content extends BodyContent = BodyContent> {
  readonly method: string
  readonly url: string
  /** Names and values by turns. */
  readonly headers: readonly string[] | null
  readonly body: Content | null
  /** Milliseconds; null for the client's. */
  readonly timeout: number | null
  readonly signal: AbortSignal | null
  /** What else differs from the client's options, as the wire wants it. */
  readonly extras: Uint8Array | null
  /** Of `extras`, for what JavaScript holds by itself; null for the client's. */
  readonly maxResponseBytes: number | null
  readonly onInformation: InformationHandler | null
  /** Undefined for the client's. */
  readonly onBadPin: BadPinHandler | null | undefined
}

/** A call whose body need not be read beforehand. */
export type ReadyCall = Call<Exclude<BodyContent, Blob>>

/** Whether the call can be sent as it is. */
export function isReady(call: Call): call is ReadyCall {
  return call.body === null || typeof call.body === 'string' || !(call.body instanceof Blob)
}

/** `call`, its Blob read. */
export async function makeReady(call: Call): Promise<ReadyCall> {
  const { body } = call
  return { ...call, body: body instanceof Blob ? new Uint8Array(await body.arrayBuffer()) : body }
}

const INIT_KEYS = new Set([
  'method',
  'headers',
  'body',
  'json',
  'query',
  'duplex',
  'timeout',
  'signal',
  'redirect',
  'maxRedirects',
  'maxResponseBytes',
  'maxExpansion',
  'decompress',
  'proxy',
  'cookieJar',
  'reuse',
  'connectTimeout',
  'headersTimeout',
  'bodyTimeout',
  'retry',
  'http2',
  'onInformation',
  'onBadPin',
])
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** More in a row is a mistake. */
export const MOST_REDIRECTS = 1000
const LONGEST_NAME = 0xffff
const LONGEST_TIMEOUT = 0xffff_fffe

/**
 * Checks a call. The URL is left to the engine, which alone decides which host it names.
 *
 * Throws a TypeError with code `ERR_INVALID_ARGUMENT` that names what is wrong.
 */
export function readCall(
  method: string | null,
  input: string | URL,
  init: RequestInit | undefined,
  defaults: CallDefaults,
): Call {
  let url = typeof input === 'string' ? input : hrefOf(input)
  if (defaults.baseUrl !== null) url = resolve(url, defaults.baseUrl)
  if (init === undefined) {
    return {
      method: method ?? 'GET',
      url,
      headers: null,
      body: null,
      timeout: null,
      signal: null,
      extras: null,
      maxResponseBytes: null,
      onInformation: null,
      onBadPin: undefined,
    }
  }
  if (typeof init !== 'object' || init === null) {
    throw invalidArgument(`the request's options are ${nameOf(init)}: give an object`)
  }
  for (const key in init) {
    if (!INIT_KEYS.has(key)) throw invalidArgument(`unknown request option ${JSON.stringify(key)}`)
  }
  const chosen = readMethod(method, init.method)
  const headers = readHeaders(init.headers)
  if (init.query !== undefined) url = withQuery(url, init.query)
  if (init.duplex !== undefined && init.duplex !== 'half')
    throw invalidArgument(`duplex is ${JSON.stringify(init.duplex)}: give "half"`)
  if (init.json !== undefined && init.body !== undefined && init.body !== null)
    throw invalidArgument('both json and body are given: give one of them')
  const body = init.json === undefined ? extractBody(init.body) : extractJson(init.json)
  if (body !== null && (chosen === 'GET' || chosen === 'HEAD')) {
    // https://fetch.spec.whatwg.org/#dom-request, step 35
    throw invalidArgument(`a ${chosen} request has no body`)
  }
  return {
    method: chosen,
    url,
    headers: body?.type && !defaults.hasDefaultType ? withContentType(headers, body.type) : headers,
    body: body === null ? null : body.content,
    timeout: init.timeout === undefined ? null : readTimeout('timeout', init.timeout),
    signal: readSignal(init.signal),
    extras: readExtras(init),
    maxResponseBytes: init.maxResponseBytes ?? null,
    onInformation: init.onInformation ?? null,
    onBadPin: readHandler(init.onBadPin),
  }
}

/** Options that the wire carries only where they are given. */
function readExtras(init: RequestInit): Uint8Array | null {
  const { redirect, maxRedirects, decompress, proxy, cookieJar, maxResponseBytes, maxExpansion } =
    init
  const { reuse, connectTimeout, headersTimeout, bodyTimeout, retry, http2, onInformation } = init
  if (
    redirect === undefined &&
    maxRedirects === undefined &&
    decompress === undefined &&
    proxy === undefined &&
    cookieJar === undefined &&
    maxResponseBytes === undefined &&
    maxExpansion === undefined &&
    reuse === undefined &&
    http2 === undefined &&
    connectTimeout === undefined &&
    headersTimeout === undefined &&
    bodyTimeout === undefined &&
    retry === undefined &&
    (onInformation === undefined || onInformation === null)
  ) {
    return null
  }
  const out = new Writer(64)
  if (redirect !== undefined) {
    if (typeof redirect !== 'string' || !Object.hasOwn(RedirectModes, redirect)) {
      throw invalidArgument(
        `redirect is ${typeof redirect === 'string' ? JSON.stringify(redirect) : nameOf(redirect)}: give "follow", "manual" or "error"`,
      )
    }
    out.u8(Extra.redirect)
    out.u8(RedirectModes[redirect])
  }
  if (maxRedirects !== undefined) {
    out.u8(Extra.maxRedirects)
    out.u32(readCount('maxRedirects', maxRedirects, 0, MOST_REDIRECTS))
  }
  if (decompress !== undefined) {
    if (typeof decompress !== 'boolean') {
      throw invalidArgument(`decompress is ${nameOf(decompress)}: give true or false`)
    }
    out.u8(Extra.decompress)
    out.flag(decompress)
  }
  if (proxy !== undefined) {
    out.u8(Extra.proxy)
    out.str(readProxy(proxy))
  }
  if (cookieJar !== undefined) {
    out.u8(Extra.cookies)
    out.flag(cookieJar !== false)
    if (cookieJar instanceof CookieJar) out.u32(handleOf(cookieJar))
    else if (cookieJar !== false)
      throw invalidArgument(
        `cookieJar is ${nameOf(cookieJar)}: give a CookieJar of pinfetch's or false (one of another make can be a client's)`,
      )
  }
  if (connectTimeout !== undefined) {
    out.u8(Extra.connectTimeout)
    out.u32(readTimeout('connectTimeout', connectTimeout))
  }
  if (headersTimeout !== undefined) {
    out.u8(Extra.headersTimeout)
    out.u32(readTimeout('headersTimeout', headersTimeout))
  }
  if (bodyTimeout !== undefined) {
    out.u8(Extra.bodyTimeout)
    out.u32(readTimeout('bodyTimeout', bodyTimeout))
  }
  if (retry !== undefined) {
    out.u8(Extra.retry)
    writeRetry(out, retry)
  }
  if (reuse !== undefined) {
    if (typeof reuse !== 'boolean')
      throw invalidArgument(`reuse is ${nameOf(reuse)}: give true or false`)
    out.u8(Extra.reuse)
    out.flag(reuse)
  }
  if (http2 !== undefined) {
    if (typeof http2 !== 'boolean' && http2 !== 'only')
      throw invalidArgument(
        `http2 is ${typeof http2 === 'string' ? JSON.stringify(http2) : nameOf(http2)}: give true, false or "only"`,
      )
    out.u8(Extra.http2)
    out.u8(http2 === 'only' ? Http2.only : Number(http2))
  }
  if (maxResponseBytes !== undefined) {
    out.u8(Extra.maxResponseBytes)
    out.i64(readCount('maxResponseBytes', maxResponseBytes, 0, Number.MAX_SAFE_INTEGER))
  }
  if (maxExpansion !== undefined) {
    out.u8(Extra.maxExpansion)
    out.u32(readCount('maxExpansion', maxExpansion, 1, 0xffff_ffff))
  }
  if (onInformation !== undefined && onInformation !== null) {
    if (typeof onInformation !== 'function')
      throw invalidArgument(`onInformation is ${nameOf(onInformation)}: give a function or null`)
    out.u8(Extra.onInformation)
  }
  return out.written()
}

function readHandler(handler: unknown): BadPinHandler | null | undefined {
  if (handler !== undefined && handler !== null && typeof handler !== 'function')
    throw invalidArgument(`onBadPin is ${nameOf(handler)}: give a function or null`)
  return handler as BadPinHandler | null | undefined // a function: what it takes can't be asked
}

const RETRY_DEFAULTS = {
  attempts: 2,
  methods: ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'],
  statuses: [408, 425, 429, 500, 502, 503, 504],
  backoff: 250,
  maxDelay: 30_000,
} as const satisfies RetryOptions
const MOST_ATTEMPTS = 100

/** Writes when requests are sent again: a number of attempts, or options. */
export function writeRetry(out: Writer, given: unknown): void {
  const options = typeof given === 'number' ? { attempts: given } : given
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalidArgument(`retry is ${nameOf(given)}: give a number of attempts or an object`)
  for (const key of Object.keys(options)) {
    if (!Object.hasOwn(RETRY_DEFAULTS, key))
      throw invalidArgument(`unknown option ${JSON.stringify(key)} of retry`)
  }
  const own = Object.entries(options).filter(([, value]) => value !== undefined)
  const { attempts, methods, statuses, backoff, maxDelay } = {
    ...RETRY_DEFAULTS,
    ...Object.fromEntries(own),
  }
  out.u32(readCount('retry.attempts', attempts, 0, MOST_ATTEMPTS))
  out.u32(listOf('retry.methods', methods).length)
  for (const method of methods) out.str(readMethod(null, method))
  out.u32(listOf('retry.statuses', statuses).length)
  for (const status of statuses) out.u16(readCount('retry.statuses', status, 400, 599))
  out.u32(readTimeout('retry.backoff', backoff))
  out.u32(readTimeout('retry.maxDelay', maxDelay))
}

function listOf<T>(option: string, given: readonly T[]): readonly T[] {
  if (Array.isArray(given)) return given
  throw invalidArgument(`${option} is ${nameOf(given)}: give a list`)
}

function readCount(option: string, given: unknown, least: number, most: number): number {
  if (isCount(given, least, most)) return given
  throw invalidArgument(wrongCount(option, given, least, most))
}

/** `url`, where it is relative, as `base` has it. One that cannot be read is left to the engine, which says why. */
function resolve(url: string, base: string): string {
  return URL.canParse(url, base) ? new URL(url, base).href : url
}

/** `url` with more parameters in its query. The engine reads it; here it is text. */
function withQuery(url: string, query: unknown): string {
  const added = queryOf(query)
  if (added === '') return url
  const hash = url.indexOf('#')
  const [front, fragment] = hash === -1 ? [url, ''] : [url.slice(0, hash), url.slice(hash)]
  const mark = front.indexOf('?')
  const joint = mark === -1 ? '?' : mark === front.length - 1 || front.endsWith('&') ? '' : '&'
  return `${front}${joint}${added}${fragment}`
}

function queryOf(query: unknown): string {
  if (typeof query === 'string') return query.startsWith('?') ? query.slice(1) : query
  if (query instanceof URLSearchParams) return query.toString()
  if (typeof query !== 'object' || query === null)
    throw invalidArgument(`query is ${nameOf(query)}: give an object, pairs or URLSearchParams`)
  const parameters = new URLSearchParams()
  const add = (name: unknown, value: unknown): void => {
    if (value === null || value === undefined) return
    if (
      !['string', 'number', 'bigint', 'boolean'].includes(typeof value) ||
      typeof name !== 'string'
    )
      throw invalidArgument(`query[${JSON.stringify(name)}] is ${nameOf(value)}: give a string`)
    parameters.append(name, String(value))
  }
  if (Symbol.iterator in query && typeof query[Symbol.iterator] === 'function') {
    for (const pair of query as Iterable<unknown>) {
      if (!Array.isArray(pair) || pair.length !== 2)
        throw invalidArgument('query holds something else than a pair')
      add(pair[0], pair[1])
    }
  } else {
    for (const name of Object.keys(query)) {
      const value: unknown = Reflect.get(query, name)
      for (const one of Array.isArray(value) ? value : [value]) add(name, one)
    }
  }
  return parameters.toString()
}

/** A proxy's URL, or nothing for none. The engine reads it; an empty text is a variable that was lost. */
export function readProxy(given: unknown): string {
  if (given === null) return ''
  if (given instanceof URL) return given.href
  if (typeof given !== 'string')
    throw invalidArgument(`proxy is ${nameOf(given)}: give a URL or null`)
  if (given === '') throw invalidArgument('proxy is empty: give a URL, or null for none')
  return given
}

/** Takes a `fetch` input apart; `init` wins over what the input says itself. */
export function splitInput(
  input: RequestInput,
  init?: RequestInit,
): [url: string | URL, init: RequestInit | undefined] {
  if (typeof input === 'string' || input instanceof URL) return [input, init]
  if (typeof input !== 'object' || input === null || !('url' in input)) {
    throw invalidArgument(`the request is ${nameOf(input)}: give a URL or an object with a url`)
  }
  if ('bodyUsed' in input && input.bodyUsed === true)
    throw invalidArgument('the body of the request has been read already')
  const own: Record<string, unknown> = {}
  for (const key of INIT_KEYS) {
    const value: unknown = Reflect.get(input, key) // of a global Request these are getters
    if (value !== undefined) own[key] = value
  }
  if (typeof own.json === 'function') delete own.json // a global Request's method
  const combined: Record<string, unknown> = { ...own, ...init }
  // a member that is undefined is not there, as in any dictionary of Web IDL
  for (const key of Object.keys(own)) if (combined[key] === undefined) combined[key] = own[key]
  return [input.url, combined]
}

function hrefOf(input: unknown): string {
  if (input instanceof URL) return input.href
  throw invalidArgument(`the URL is ${nameOf(input)}: give a string or a URL`)
}

function readMethod(ofCall: string | null, given: unknown): string {
  if (given === undefined) return ofCall ?? 'GET'
  if (typeof given !== 'string' || !TOKEN.test(given)) {
    throw invalidArgument(`the method ${JSON.stringify(given)} is not a token (RFC 9110 §9.1)`)
  }
  const method = normalizeMethod(given)
  if (ofCall !== null && method !== ofCall) {
    throw invalidArgument(
      `the method is ${ofCall} by the function's name and ${method} by its options`,
    )
  }
  if (method === 'CONNECT' || method === 'TRACE' || method === 'TRACK') {
    // https://fetch.spec.whatwg.org/#forbidden-method
    throw invalidArgument(`the method ${method} is forbidden`)
  }
  return method
}

/** https://fetch.spec.whatwg.org/#concept-method-normalize (and the forbidden ones, to recognise them) */
function normalizeMethod(method: string): string {
  const upper = method.toUpperCase()
  switch (upper) {
    case 'GET':
    case 'HEAD':
    case 'POST':
    case 'PUT':
    case 'DELETE':
    case 'OPTIONS':
    case 'CONNECT':
    case 'TRACE':
    case 'TRACK':
      return upper
    default:
      return method
  }
}

/** Names and values by turns, checked; null if there is none. */
export function readHeaders(headers: unknown): string[] | null {
  if (headers === undefined || headers === null) return null
  if (typeof headers !== 'object') {
    throw invalidArgument(
      `the headers are ${nameOf(headers)}: give an object, pairs, a Headers or a Map`,
    )
  }
  const list: string[] = []
  if (Symbol.iterator in headers && typeof headers[Symbol.iterator] === 'function') {
    // the `in` above tells that it is iterable, and each pair is checked here
    for (const pair of headers as Iterable<unknown>) {
      if (!Array.isArray(pair) || pair.length !== 2)
        throw invalidArgument('the headers hold something else than a pair')
      pushField(list, pair[0], pair[1])
    }
  } else {
    for (const name of Object.keys(headers)) {
      const value: unknown = Reflect.get(headers, name)
      if (Array.isArray(value)) for (const one of value) pushField(list, name, one)
      else pushField(list, name, value)
    }
  }
  return list.length === 0 ? null : list
}

function pushField(list: string[], name: unknown, value: unknown): void {
  if (typeof name !== 'string' || name.length > LONGEST_NAME || !TOKEN.test(name)) {
    throw invalidArgument(`the header name ${JSON.stringify(name)} is not a token (RFC 9110 §5.1)`)
  }
  if (typeof value !== 'string' && typeof value !== 'number') {
    throw invalidArgument(`the value of the header ${name} is ${nameOf(value)}: give a string`)
  }
  // https://fetch.spec.whatwg.org/#concept-header-value-normalize
  const text = String(value).replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, '')
  if (!isFieldValue(text)) {
    throw invalidArgument(
      `the value of the header ${name} has a character that no field may hold (RFC 9110 §5.5)`,
    )
  }
  list.push(name, text)
}

function withContentType(headers: string[] | null, type: string): string[] {
  if (headers === null) return ['content-type', type]
  return hasField(headers, 'content-type') ? headers : [...headers, 'content-type', type]
}

/** Whether a list of names and values has the field `wanted` (lower case). */
export function hasField(headers: readonly string[], wanted: string): boolean {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index]?.toLowerCase() === wanted) return true
  }
  return false
}

/** Whole milliseconds; what is more than nothing stays more than nothing. */
export function readTimeout(option: string, given: unknown): number {
  if (typeof given !== 'number' || !(given >= 0 && given <= LONGEST_TIMEOUT)) {
    throw invalidArgument(
      `${option} is ${typeof given === 'number' ? given : nameOf(given)}: give milliseconds from 0 (no limit) to ${LONGEST_TIMEOUT}`,
    )
  }
  return Math.ceil(given)
}

function readSignal(given: unknown): AbortSignal | null {
  if (given === undefined || given === null) return null
  // a signal of another realm or library is as good: what is used of it is asked for
  if (
    typeof given === 'object' &&
    'aborted' in given &&
    'addEventListener' in given &&
    typeof given.addEventListener === 'function' &&
    'removeEventListener' in given &&
    typeof given.removeEventListener === 'function'
  ) {
    return given as AbortSignal // has what is used of one
  }
  throw invalidArgument(`the signal is ${nameOf(given)}: give an AbortSignal`)
}
