import { type CookieJar, jarOfClient } from './cookies.js'
import type { Coverage } from './coverage.js'
import { type Engine, engine } from './engine.js'
import { invalidArgument, nameOf, PinfetchError } from './errors.js'
import {
  FetchAll,
  type FetchAllOptions,
  type FetchAllResult,
  readConcurrency,
} from './fetch-all.js'
import type { Metrics } from './metrics.js'
import { type ClientOptions, locationsIn, readOptions } from './options.js'
import type { ClientState, Outcome, ServerPins } from './pending.js'
import { Reporter, ReportSender, senderOf, setMakeClient } from './policy/report.js'
import { encodePolicy, type PinsInput, type Policy } from './policy.js'
import { Rehearsal } from './rehearsal.js'
import {
  type CallDefaults,
  isReady,
  makeReady,
  type ReadyCall,
  type RequestInit,
  type RequestInput,
  readCall,
  readProxy,
  splitInput,
} from './request.js'
import type { Response } from './response.js'
import { type PolicySwap, readForce, type SwapOptions } from './swap.js'
import type { ProxyStats } from './wire.js'

/** How to close a client. */
export interface CloseOptions {
  /** Gives up what is in flight instead of waiting for it. @default false */
  readonly force?: boolean | undefined
}

/** How to look at a server's keys. */
export interface ServerPinsOptions {
  /** Takes whatever the server presents, unverified. @default false */
  readonly presented?: boolean | undefined
  /** The proxy to go through; null for none. @default the client's */
  readonly proxy?: string | URL | null | undefined
}

/** How many proxies are looked at at once. */
export interface ProbeOptions {
  /** @default 64 */
  readonly concurrency?: number | undefined
}

/** What a handshake through a proxy has shown. */
export type ProbeVerdict<Proxy extends string | URL = string | URL> =
  | { readonly proxy: Proxy; readonly pins: ServerPins; readonly error: null }
  | { readonly proxy: Proxy; readonly pins: null; readonly error: unknown }

/**
 * Makes requests, and proves who answers: nothing is sent to, or read from, a pinned host over a connection whose
 * verified certificate path does not hold one of its pins.
 *
 * Clients are cheap (threads and built-in trust anchors are shared) and know nothing of each other: pins, connections
 * and sessions are each client's own.
 *
 * @example
 * ```ts
 * import { Client } from 'pinfetch'
 *
 * await using client = new Client({ pins: { 'api.example.com': ['sha256/…', 'sha256/…'] } })
 * const response = await client.get('https://api.example.com/data')
 * console.log(response.status, await response.json())
 * ```
 */
export class Client {
  readonly #engine: Engine
  readonly #state: ClientState
  readonly #defaults: CallDefaults
  /** What sends the reports of bad pins, if it is this client's own. */
  readonly #reports: Client | null = null
  /** Undefined until somebody asks for the client's own. */
  #cookieJar: CookieJar | null | undefined
  #closing: Promise<void> | null = null
  #isForced = false

  /** Throws a {@link PolicyError} for a bad pin, pattern or option, naming the exact place. */
  constructor(options?: ClientOptions) {
    const settings = readOptions(options)
    this.#engine = engine()
    const { report, logger } = settings
    let sender: ReportSender | null = null
    if (report instanceof Reporter) sender = senderOf(report)
    else if (report !== null) {
      this.#reports = new Client(report.client)
      sender = new ReportSender(report, this.#reports, logger)
    }
    this.#state = this.#engine.createClient(settings, sender)
    this.#defaults = settings
    this.#cookieJar = settings.cookieJar
  }

  /** The client's cookies; null where it keeps none, or in a jar of another make. */
  get cookieJar(): CookieJar | null {
    if (this.#cookieJar === undefined) this.#cookieJar = jarOfClient(this.#state.handle)
    return this.#cookieJar
  }

  /** Requests as the fetch standard's `fetch` does, where it can. */
  fetch(input: RequestInput, init?: RequestInit): Promise<Response> {
    try {
      const [url, combined] = splitInput(input, init)
      return this.#send(null, url, combined)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Requests `url` with a method, header fields, a body. */
  request(url: string | URL, init?: RequestInit): Promise<Response> {
    return this.#send(null, url, init)
  }

  get(url: string | URL, init?: RequestInit): Promise<Response> {
    return this.#send('GET', url, init)
  }

  head(url: string | URL, init?: RequestInit): Promise<Response> {
    return this.#send('HEAD', url, init)
  }

  post(url: string | URL, init?: RequestInit): Promise<Response> {
    return this.#send('POST', url, init)
  }

  put(url: string | URL, init?: RequestInit): Promise<Response> {
    return this.#send('PUT', url, init)
  }

  patch(url: string | URL, init?: RequestInit): Promise<Response> {
    return this.#send('PATCH', url, init)
  }

  delete(url: string | URL, init?: RequestInit): Promise<Response> {
    return this.#send('DELETE', url, init)
  }

  options(url: string | URL, init?: RequestInit): Promise<Response> {
    return this.#send('OPTIONS', url, init)
  }

  /**
   * Requests everything in `inputs`, and gives the results as they finish, errors included.
   *
   * `inputs` is pulled only as fast as the results are consumed. Leaving the loop gives up what is in flight.
   *
   * @example
   * ```ts
   * for await (const { request, response, error } of client.fetchAll(urls, { concurrency: 32 })) {
   *   if (error) console.error(String(request), error)
   *   else console.log(String(request), response.status)
   * }
   * ```
   */
  fetchAll<Input extends RequestInput>(
    inputs: Iterable<Input> | AsyncIterable<Input>,
    options?: FetchAllOptions,
  ): AsyncIterableIterator<FetchAllResult<Input>> & AsyncDisposable {
    return new FetchAll(
      (input, resolve, reject) => {
        try {
          const [url, init] = splitInput(input)
          this.#checkOpen()
          const call = readCall(null, url, init, this.#defaults)
          if (!isReady(call)) {
            let isGivenUp = false
            let giveUp = () => {
              isGivenUp = true
            }
            makeReady(call).then((ready) => {
              if (!isGivenUp) giveUp = this.#begin(ready, resolve, reject)
            }, reject)
            return () => giveUp()
          }
          return this.#begin(call, resolve, reject)
        } catch (error) {
          reject(error)
          return () => {}
        }
      },
      inputs,
      readConcurrency(options, 'fetchAll'),
    )
  }

  /**
   * Replaces the pins. Resolves when the new ones are in force: live connections that they refuse are closed by then,
   * the others and their requests don't notice.
   *
   * Rejects with a {@link PolicyError} for bad pins, and for a client whose pins are a {@link LivePolicy}; the old ones
   * stay in force then.
   */
  setPins(pins: PinsInput | Policy, options?: SwapOptions): Promise<PolicySwap> {
    return this.#setPolicy(pins, options, true)
  }

  /**
   * As {@link setPins}, but that a policy which would cut off hosts that have traffic now is refused unless forced:
   * `ERR_POLICY_CUTS_OFF` names them, and nothing changes.
   */
  setPolicy(policy: Policy, options?: SwapOptions): Promise<PolicySwap> {
    return this.#setPolicy(policy, options, false)
  }

  /**
   * Tries `policy` on live traffic beside the one in force, enforcing nothing: its report says what the policy would do to
   * the connections that there are, and to those that come until its end.
   *
   * Throws a {@link PolicyError} for a policy that cannot be read.
   */
  rehearse(policy: Policy | PinsInput): Rehearsal {
    this.#checkOpen()
    const encoded = encodePolicy(policy)
    const begin = (owner: Rehearsal) => this.#engine.rehearse(owner, this.#state, encoded)
    return new Rehearsal(this.#engine, begin)
  }

  /** What the client's handshakes have shown of its pins, by pattern, until it is closed; see {@link prometheusText}. */
  metrics(): Metrics {
    return { patterns: this.#engine.metrics(this.#state) }
  }

  /** The hosts that the client's requests went to, with and without pins, until it is closed. */
  coverage(): Coverage {
    return this.#engine.coverage(this.#state)
  }

  /**
   * Shakes hands with `authority` (`host[:port]`), sends nothing, and tells the pins of its verified path; with
   * `presented`, those of whatever it presents, unverified.
   */
  async serverPins(authority: string, options?: ServerPinsOptions): Promise<ServerPins> {
    this.#checkOpen()
    if (typeof authority !== 'string')
      throw invalidArgument(`the authority is ${nameOf(authority)}: give host[:port]`)
    const proxy = options?.proxy === undefined ? null : readProxy(options.proxy)
    return this.#engine.serverPins(this.#state, authority, options?.presented === true, proxy)
  }

  /**
   * Shakes hands with `authority` (`host[:port]`) once through each of `proxies`, sends nothing, and gives the verdicts in
   * their order: so that rented proxies can be looked at before anything is entrusted to them.
   *
   * @example
   * ```ts
   * const verdicts = await client.probe(proxies, 'api.example.com')
   * const fit = verdicts.filter(({ error }) => error === null).map(({ proxy }) => proxy)
   * ```
   */
  async probe<Proxy extends string | URL>(
    proxies: Iterable<Proxy>,
    authority: string,
    options?: ProbeOptions,
  ): Promise<ProbeVerdict<Proxy>[]> {
    const concurrency = readConcurrency(options, 'probe')
    const verdicts: ProbeVerdict<Proxy>[] = []
    const all = [...proxies]
    const left = all.entries()
    const work = async () => {
      for (const [index, proxy] of left) {
        try {
          const pins = await this.serverPins(authority, { proxy })
          verdicts[index] = { proxy, pins, error: null }
        } catch (error) {
          verdicts[index] = { proxy, pins: null, error }
        }
      }
    }
    await Promise.all(Array.from({ length: Math.min(concurrency, all.length) }, work))
    return verdicts
  }

  /** What the requests through each proxy, with its credentials, have come to so far; in the order of first use. */
  proxyStats(): ProxyStats[] {
    return this.#engine.proxyStats(this.#state)
  }

  /**
   * Lets requests go through `proxy` again that was quarantined; says whether it was. Throws a TypeError for what is no
   * proxy's URL.
   */
  releaseProxy(proxy: string | URL): boolean {
    return this.#engine.releaseProxy(this.#state, readProxy(proxy))
  }

  /**
   * Takes no more requests, and resolves when those in flight are over and every connection is closed.
   *
   * With `force`, what is in flight is given up and rejects with `ERR_CLIENT_CLOSED`.
   */
  close(options?: CloseOptions): Promise<void> {
    const force = options?.force === true
    if (this.#closing === null || (force && !this.#isForced)) {
      this.#isForced = force
      this.#closing = this.#end(force)
    }
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #send(
    method: string | null,
    url: string | URL,
    init: RequestInit | undefined,
  ): Promise<Response> {
    try {
      this.#checkOpen()
      const call = readCall(method, url, init, this.#defaults)
      if (!isReady(call))
        return makeReady(call).then((ready) => this.#engine.request(this.#state, ready))
      return this.#engine.request(this.#state, call)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Begins a request; returns what gives it up. */
  #begin(
    call: ReadyCall,
    resolve: (response: Response) => void,
    reject: (error: unknown) => void,
  ): () => void {
    // a REQUEST is answered by a RESPONSE or an ERROR
    const answered = (outcome: Outcome) => resolve(outcome as Response)
    const pending = this.#engine.begin(this.#state, call, answered, reject)
    return () => this.#engine.cancel(pending, undefined)
  }

  async #end(force: boolean): Promise<void> {
    await this.#engine.close(this.#state, force ? closed() : null)
    if (this.#reports !== null) await this.#state.reporter?.close(force)
  }

  async #setPolicy(
    policy: unknown,
    options: SwapOptions | undefined,
    forceByDefault: boolean,
  ): Promise<PolicySwap> {
    this.#checkOpen()
    const force = readForce(options, forceByDefault)
    const encoded = encodePolicy(policy)
    const swap = await this.#engine.setPolicy(this.#state, encoded, force)
    this.#state.locations = locationsIn(policy)
    if (this.#reports !== null) await this.#engine.setPolicy(this.#reports.#state, encoded, true)
    return swap
  }

  #checkOpen(): void {
    if (this.#closing !== null) throw closed()
  }
}

setMakeClient((options) => new Client(options))

function closed(): PinfetchError {
  return new PinfetchError('ERR_CLIENT_CLOSED', 'the client is closed')
}
