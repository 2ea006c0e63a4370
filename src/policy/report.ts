// Reports of bad pins in the form of RFC 7469 §3, and their way to whoever collects them: in the background, so that no
// request waits for one and none is lost in a flood of the same.

import { type BadPinReport, invalidOption, nameOf, PinfetchError } from '../errors.js'
import { type Logger, log } from '../logger.js'
import { noOption } from '../nearest.js'
import { isCount, wrongCount } from '../numbers.js'
import type { ClientOptions } from '../options.js'
import { type RequestInit, readHeaders } from '../request.js'
import type { Response } from '../response.js'

/** A report of a bad pin, member for member as RFC 7469 §3 has it. */
export interface PinReport {
  /** When it was found: RFC 3339, in UTC. */
  readonly 'date-time': string
  /** The host that was asked for. */
  readonly hostname: string
  readonly port: number
  /** When the host's pins end: RFC 3339, in UTC; the last second that it can write for pins that don't. */
  readonly 'effective-expiration-date': string
  /** Whether the pattern that had the pins is one for many hosts. */
  readonly 'include-subdomains': boolean
  /** The host of that pattern. */
  readonly 'noted-hostname': string
  /** What the server sent, in PEM. */
  readonly 'served-certificate-chain': readonly string[]
  /** The verified path in PEM, end entity first; without a trust anchor that is known by name and key only. */
  readonly 'validated-certificate-chain': readonly string[]
  /** The pins in force: `pin-sha256="…"`. */
  readonly 'known-pins': readonly string[]
}

/** Where, and how, bad pins are reported. */
export interface ReportOptions {
  /** What reports are sent to by POST: `https:`, or `http:` if it must be. */
  readonly url: string | URL
  /** Fields of its requests, such as `authorization`. @default {} */
  readonly headers?: RequestInit['headers'] | undefined
  /** How many reports are sent in an hour at most, 5 of one host and port; the others are counted and dropped. @default 60 */
  readonly maxPerHour?: number | undefined
  /** Milliseconds that one attempt may take. @default 10000 */
  readonly timeout?: number | undefined
}

/** {@link ReportOptions}, checked and copied. */
export interface ReportSettings {
  readonly url: URL
  readonly headers: RequestInit['headers']
  readonly maxPerHour: number
  readonly timeout: number
  /** What the client that sends reports is to have. */
  readonly client: ClientOptions
}

/** The defaults of {@link ReportOptions}. */
export const REPORT_DEFAULTS = { maxPerHour: 60, timeout: 10_000 } as const

/** One report an hour of the same keys for the same host, as RFC 7469 §2.1.4 would have redundant ones avoided. */
const SAME_FOR_MS = 60 * 60 * 1000
const HOUR_MS = 60 * 60 * 1000
/** Reports of one host and port in an hour: whoever has a fresh key for each connection takes no other host's place. */
const MOST_PER_HOST = 5
/** Hosts and keys that are remembered. */
const MOST_REMEMBERED = 1024
/** Reports that wait to be sent. */
const MOST_WAITING = 100
/** Milliseconds before each further attempt. */
const PAUSES_MS = [1_000, 5_000, 30_000]
/** Milliseconds for which a client that is closed waits for its last reports. */
const FLUSH_MS = 3_000
/** The last second of RFC 3339: of pins that end never. */
const NEVER = '9999-12-31T23:59:59Z'

/** The report of a bad pin that was found `at`. */
export function pinReport(found: BadPinReport, at: Date): PinReport {
  const { expires } = found
  const { includesSubdomains, hostname } = noted(found.patterns)
  return {
    'date-time': rfc3339(at),
    hostname: found.hostname,
    port: found.port,
    'effective-expiration-date': expires === null ? NEVER : rfc3339(expires),
    'include-subdomains': includesSubdomains,
    'noted-hostname': hostname ?? found.hostname,
    'served-certificate-chain': found.presentedChain.map(pemOf),
    'validated-certificate-chain': found.verifiedPath.flatMap(({ der }) =>
      der === null ? [] : [pemOf(der)],
    ),
    'known-pins': found.expectedPins.map((pin) => `pin-sha256="${pin.replace('sha256/', '')}"`),
  }
}

/** The host of the most specific of `patterns`, which are in canonical form. */
function noted(patterns: readonly string[]): { hostname?: string; includesSubdomains: boolean } {
  const rank = (pattern: string) =>
    (pattern.startsWith('**.') ? 0 : pattern.startsWith('*.') ? 1 : 2) * 1000 + pattern.length
  const [first] = patterns.toSorted((a, b) => rank(b) - rank(a))
  if (first === undefined) return { includesSubdomains: false }
  const [, star = '', bracketed, name] =
    /^(\*{1,2}\.)?(?:\[(.+)\](?::\d+)?|(.+?)(?::\d+)?)$/.exec(first) ?? []
  const isAddress = /:.*:/.test(first) && bracketed === undefined // an IPv6 address without a port has no brackets
  const hostname = isAddress ? first : (bracketed ?? name)
  return {
    ...(hostname !== undefined && { hostname }),
    includesSubdomains: star !== '',
  }
}

/** RFC 3339 in UTC, in whole seconds as the RFC's example. */
function rfc3339(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}

/** RFC 7468 §2, in lines of 64 characters. */
function pemOf(der: Uint8Array): string {
  const lines = Buffer.from(der.buffer, der.byteOffset, der.byteLength)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----`
}

/** What a reporter asks of the client that sends for it. */
export interface ReportClient {
  post(url: URL, init: RequestInit): Promise<Pick<Response, 'status' | 'ok' | 'body'>>
  close(options?: { readonly force?: boolean }): Promise<void>
}

interface Waiting {
  readonly key: string
  readonly report: BadPinReport
  readonly at: Date
  attempts: number
}

/** Sends reports, one after the other. */
export class ReportSender {
  readonly #settings: ReportSettings
  readonly #client: ReportClient
  readonly #logger: Logger | null
  /** When each host was last reported with the same keys; the oldest first. */
  readonly #told = new Map<string, number>()
  /** The reports that were taken in the last hour: when, and of which host and port. */
  #taken: { readonly at: number; readonly authority: string }[] = []
  #waiting: Waiting[] = []
  #dropped = 0
  #sending: Promise<void> | null = null
  #pause: { readonly timer: NodeJS.Timeout; readonly end: () => void } | null = null
  #isClosing = false
  #isClosed = false

  /** `client` is the sender's own: it is closed with it. */
  constructor(settings: ReportSettings, client: ReportClient, logger: Logger | null) {
    this.#settings = settings
    this.#client = client
    this.#logger = logger
  }

  /** Takes a bad pin in, to be reported by and by. Never throws. */
  report(report: BadPinReport): void {
    if (this.#isClosing || report.hostname === bare(this.#settings.url.hostname)) return // no loop (RFC 7469 §2.1.4)
    const now = Date.now()
    const authority = `${report.hostname}:${report.port}`
    const key = `${authority} ${report.foundPins.join(' ')}`
    const last = this.#told.get(key)
    if (last !== undefined && Math.abs(now - last) < SAME_FOR_MS) return
    this.#taken = this.#taken.filter(({ at }) => Math.abs(now - at) < HOUR_MS)
    const ofHost = this.#taken.filter((taken) => taken.authority === authority).length
    if (
      ofHost >= MOST_PER_HOST ||
      this.#taken.length >= this.#settings.maxPerHour ||
      this.#waiting.length >= MOST_WAITING
    ) {
      this.#dropped += 1
      if (this.#dropped === 1)
        this.#warn('reports dropped', { reason: 'more than may be sent, until the next is' })
      return
    }
    this.#taken.push({ at: now, authority })
    this.#told.delete(key)
    this.#told.set(key, now)
    for (const oldest of this.#told.keys()) {
      if (this.#told.size <= MOST_REMEMBERED) break
      this.#told.delete(oldest)
    }
    this.#waiting.push({ key, report, at: new Date(now), attempts: 0 })
    // the request's promise rejects first
    if (this.#sending === null) this.#sending = after().then(() => this.#sendAll())
  }

  /** Sends what waits for a few seconds more, and nothing else; with `force`, nothing more at all. */
  async close(force: boolean): Promise<void> {
    this.#isClosing = true
    if (force) this.#isClosed = true
    this.#pause?.end()
    if (!force && this.#sending !== null) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FLUSH_MS)
      })
      await Promise.race([this.#sending, late])
      clearTimeout(timer)
    }
    this.#isClosed = true
    await this.#client.close({ force: true })
  }

  async #sendAll(): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#isClosed) break
      const isOver = await this.#send(next)
      if (isOver) this.#waiting.shift()
      else if (this.#isClosing)
        break // its last attempt was made
      else await this.#wait(PAUSES_MS[next.attempts - 1] ?? 0)
    }
    this.#waiting = []
    this.#sending = null
  }

  /** Whether nothing is left to do for the report: it has arrived, or never will. */
  async #send(waiting: Waiting): Promise<boolean> {
    const { url, headers, timeout } = this.#settings
    let reason: unknown
    let isLasting = false
    waiting.attempts += 1
    try {
      const json = pinReport(waiting.report, waiting.at)
      const { status, ok, body } = await this.#client.post(url, { json, headers, timeout })
      body?.cancel().catch(() => {}) // nobody reads what a collector says, however long it is
      if (ok) {
        if (this.#dropped > 0) this.#warn('reports dropped', { count: this.#dropped })
        this.#dropped = 0
        return true
      }
      reason = `status ${status}`
      isLasting = status < 500 && status !== 408 && status !== 429
    } catch (error) {
      reason = error instanceof PinfetchError ? `${error.code}: ${error.message}` : String(error)
      isLasting = error instanceof PinfetchError && error.code === 'ERR_BAD_PIN'
    }
    const isLast = isLasting || waiting.attempts > PAUSES_MS.length
    if (isLast) this.#told.delete(waiting.key) // the next of its kind is another chance
    this.#warn(isLast ? 'report not sent' : 'report not sent yet', {
      hostname: waiting.report.hostname,
      attempts: waiting.attempts,
      reason,
    })
    return isLast
  }

  /** Waits without keeping the process alive. */
  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        this.#pause = null
        resolve()
      }
      const timer = setTimeout(end, ms)
      timer.unref()
      this.#pause = { timer, end }
    })
  }

  #warn(message: string, facts: { readonly [name: string]: unknown }): void {
    if (this.#logger === null) return
    log(this.#logger, 'warn', message, { ...facts, reportTo: this.#settings.url.origin })
  }
}

let makeClient: (options: ClientOptions) => ReportClient

/** Says how a client is made: client.ts does, which is made with reports. */
export function setMakeClient(make: typeof makeClient): void {
  makeClient = make
}

/** What sends the reports of a {@link Reporter}. */
export let senderOf: (reporter: Reporter) => ReportSender

/**
 * Reports the bad pins of many clients: give it to each as `reportTo`. They share its connections, its memory of what was
 * reported, and its limit; it outlives them, and is closed by itself.
 *
 * @example
 * ```ts
 * const live = new LivePolicy({ 'api.example.com': ['sha256/…'] })
 * await using reporter = new Reporter('https://reports.example.com/pins', { pins: live })
 * const clients = proxies.map((proxy) => new Client({ pins: live, proxy, reportTo: reporter }))
 * ```
 */
export class Reporter implements AsyncDisposable {
  static {
    senderOf = (reporter) => reporter.#sender
  }

  readonly #sender: ReportSender
  #closing: Promise<void> | null = null
  #isForced = false

  /**
   * Throws a {@link PolicyError} for what is wrong with the options.
   *
   * @param client the options of the client that sends: its pins hold for whoever collects the reports, and its logger is
   * told of failures
   */
  constructor(options: string | URL | ReportOptions, client: ClientOptions = {}) {
    if ((client.reportTo ?? null) !== null)
      throw wrong('the client of a reporter has reportTo: it would report of itself')
    const settings = readReportTo(options, { ...SENDING, ...client })
    if (settings === null) throw wrong(`reportTo is ${nameOf(options)}: give a URL`)
    this.#sender = new ReportSender(settings, makeClient(settings.client), client.logger ?? null)
  }

  /** Takes no more in, and gives the last reports a few seconds; with `force` none. */
  close(options?: { readonly force?: boolean | undefined }): Promise<void> {
    const force = options?.force === true
    if (this.#closing === null || (force && !this.#isForced)) {
      this.#isForced = force
      this.#closing = this.#sender.close(force)
    }
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** When what is under way is over. */
function after(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** A URL's host as errors have it: an IPv6 address without brackets, no dot at the end. */
function bare(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
}

/** What a client that sends reports has unless it is told otherwise. */
export const SENDING = { cookieJar: false, redirect: 'error', connections: 2 } as const

const NAMES = ['url', 'headers', 'maxPerHour', 'timeout'] as const

/** Reads the option `reportTo`; `client` is what the client that sends reports is to have. */
export function readReportTo(value: unknown, client: ClientOptions): ReportSettings | null {
  if (value === undefined || value === null) return null
  const own =
    typeof value === 'string' || value instanceof URL
      ? new Map<string, unknown>([['url', value]])
      : readOwn(value)
  const url = readUrl(own.get('url'))
  return {
    url,
    headers: readFields(own.get('headers')),
    maxPerHour: whole(own, 'maxPerHour', REPORT_DEFAULTS.maxPerHour),
    timeout: whole(own, 'timeout', REPORT_DEFAULTS.timeout),
    client,
  }
}

function readOwn(value: unknown): Map<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrong(`reportTo is ${nameOf(value)}: give a URL or { url, headers, maxPerHour, timeout }`)
  const own = new Map<string, unknown>(Object.entries(value))
  for (const name of own.keys()) {
    if (!(NAMES as readonly string[]).includes(name)) throw wrong(noOption('reportTo', name, NAMES))
  }
  return own
}

function readUrl(value: unknown): URL {
  if (typeof value !== 'string' && !(value instanceof URL))
    throw wrong(`reportTo.url is ${nameOf(value)}: give a URL`)
  if (!URL.canParse(value)) throw wrong('reportTo.url is no absolute URL')
  const url = new URL(value)
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw wrong(`reportTo.url begins with ${url.protocol}: give an https: URL`)
  if (url.username !== '' || url.password !== '')
    throw wrong('reportTo.url has credentials: give them as a field, { url, headers }')
  return url
}

function readFields(value: unknown): RequestInit['headers'] {
  let fields: string[]
  try {
    fields = readHeaders(value) ?? []
  } catch (cause) {
    throw wrong(`reportTo.headers: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
  return Array.from({ length: fields.length / 2 }, (_, index) => {
    return [fields[index * 2] ?? '', fields[index * 2 + 1] ?? ''] as const
  })
}

function whole(own: ReadonlyMap<string, unknown>, name: string, by: number): number {
  const value = own.get(name) ?? by
  if (isCount(value, 1, 0xffff_fffe)) return value
  throw wrong(wrongCount(`reportTo.${name}`, value, 1, 0xffff_fffe))
}

function wrong(message: string): Error {
  return invalidOption('reportTo', message)
}
