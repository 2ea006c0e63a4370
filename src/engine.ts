// The JavaScript side of the queues: one call hands over what a tick has asked for, one wake brings what has finished.

import { setImmediate, setTimeout } from 'node:timers'
import { tellBadPin, withoutCredentials } from './bad-pin.js'
import { Connection } from './connection.js'
import type { ForeignCookieJar } from './cookies.js'
import { type Coverage, readCoverage } from './coverage.js'
import { channels, connectionFacts } from './diagnostics.js'
import {
  BadPinError,
  codeOfThrown,
  diagnose,
  invalidArgument,
  invalidOption,
  locate,
  nameOf,
  PinfetchError,
  reasonOf,
} from './errors.js'
import { tell } from './handler.js'
import { Headers, isFieldValue } from './headers.js'
import { Incoming } from './incoming.js'
import { type LogFacts, type Logger, log } from './logger.js'
import { ask } from './lookup.js'
import { type PatternMetrics, readMetrics } from './metrics.js'
import { answer, describePath, type NativeEngine, startEngine, toError } from './native.js'
import { noOption } from './nearest.js'
import { isCount, wrongCount } from './numbers.js'
import type { Settings } from './options.js'
import {
  type BodyPiece,
  type ClientState,
  type Outcome,
  Pending,
  type ServerPins,
  Waiting,
} from './pending.js'
import { Memory } from './policy/diagnosis.js'
import type { ReportSender } from './policy/report.js'
import { type RehearsalRecord, readRehearsal } from './rehearsal.js'
import type { ReadyCall } from './request.js'
import { detach, ownBytes, Response } from './response.js'
import { Swap } from './swap.js'
import { BodySource, openSource, STOP, Upload } from './upload.js'
import {
  type BodyRecord,
  Completion,
  type CookiesRecord,
  type EndingRecord,
  type HostRecord,
  informationHeaders,
  informationStatus,
  type ProxyStats,
  Reader,
  readBody,
  readCookies,
  readEnding,
  readFailure,
  readHandshake,
  readHost,
  readProxyStats,
  readServerPins,
  responseBody,
  responseBodyIsToken,
  responseBodyStreams,
  responseConnection,
  TIMEOUT_OF_CLIENT,
  u32At,
  Writer,
  writeCancel,
  writeClose,
  writeCookies,
  writeCookiesFailure,
  writeLookupAddresses,
  writeLookupFailure,
  writePins,
  writeRead,
  writeRelease,
  writeReleaseJar,
  writeReleaseLivePolicy,
  writeReleaseRehearsal,
  writeRequest,
  writeSave,
  writeSetLivePolicy,
  writeSetPolicy,
  writeTellHandshakes,
  writeUpload,
} from './wire.js'

/** Submissions are handed over before the tick's end when they have come to this many bytes. */
const FLUSH_AT = 256 * 1024
const SUBMISSIONS = 64 * 1024
/**
 * A response may keep a chunk of this size alive; of a larger one it copies its own part when the batch is over. Chunks
 * are larger only where one of their responses is.
 */
const SMALL_CHUNK = 32 * 1024
/** The process may end when nothing has been in flight for so long: one request after the other toggles nothing. */
const REST_MS = 2

/** Whose work it is that is no client's. */
const NOBODY: ClientState = {
  handle: 0,
  onBadPin: null,
  lookup: null,
  jar: null,
  logger: null,
  maxResponseBytes: 0,
  reporter: null,
  locations: null,
}

// Promises are made by one executor that leaves its functions here: a closure for each request would cost more.
let madeResolve: (outcome: Outcome) => void
let madeReject: (reason: unknown) => void
function capture(resolve: (outcome: Outcome) => void, reject: (reason: unknown) => void): void {
  madeResolve = resolve
  madeReject = reject
}

/** The engine of this Node environment. */
export class Engine {
  readonly #native: NativeEngine
  readonly #out = new Writer(SUBMISSIONS)
  #flushScheduled = false
  readonly #waiting = new Waiting()
  #referenced = false
  #resting = false
  readonly #rest: NodeJS.Timeout
  readonly #connections = new Map<number, Connection>()
  /** What connections have shown, for errors. */
  readonly #memory = new Memory()
  /** The connection that was told of last and has brought no response yet. */
  #newNumber = -1
  #lastNumber = -1
  #last: Connection | undefined
  /** Responses of the batch under way that lie in a large chunk. */
  #batch: Response[] = []
  readonly #uploads = new Map<number, { upload: Upload; pending: Pending; incoming?: Incoming }>()
  /** Clients, for what the engine asks them, and tells of them. */
  readonly #clients = new Map<number, WeakRef<ClientState>>()
  readonly #released = new FinalizationRegistry<number>((handle) => {
    this.#clients.delete(handle)
    writeRelease(this.#out, handle)
    this.#schedule()
  })

  readonly #releasedLive = new FinalizationRegistry<number>((handle) => {
    writeReleaseLivePolicy(this.#out, handle)
    this.#schedule()
  })

  readonly #releasedRehearsals = new FinalizationRegistry<number>((handle) => {
    writeReleaseRehearsal(this.#out, handle)
    this.#schedule()
  })
  /** Whether the engine tells of handshakes. */
  #hearsHandshakes = false

  constructor() {
    this.#native = startEngine(() => this.#drain(), threads)
    this.#rest = setTimeout(() => {
      this.#resting = false
      if (this.#waiting.size === 0 && this.#referenced) {
        this.#referenced = false
        this.#native.unref()
      }
    }, REST_MS).unref()
  }

  /** Makes a client. Throws a PolicyError for settings that contradict each other or cannot be read. */
  createClient(settings: Settings, reporter: ReportSender | null): ClientState {
    const handle = answer(this.#native.createClient(settings.config)).u32()
    const { onBadPin, lookup, jar, logger } = settings
    const { locations, maxResponseBytes } = settings
    const state = { handle, onBadPin, lookup, jar, logger, maxResponseBytes, reporter, locations }
    this.#released.register(state, state.handle, state)
    this.#clients.set(state.handle, new WeakRef(state))
    return state
  }

  /** Submits a request. */
  request(state: ClientState, call: ReadyCall): Promise<Response> {
    const promise = new Promise(capture)
    this.begin(state, call, madeResolve, madeReject)
    return promise as Promise<Response> // a REQUEST is answered by a RESPONSE or an ERROR
  }

  /** Submits a request whose outcome goes to `resolve` or `reject`. */
  begin(
    state: ClientState,
    call: ReadyCall,
    resolve: (outcome: Outcome) => void,
    reject: (reason: unknown) => void,
  ): Pending {
    const pending = new Pending(this, state, call, resolve, reject)
    const { signal } = pending
    if (signal?.aborted) {
      reject(reasonOf(signal))
      return pending
    }
    const source = call.body instanceof BodySource ? openSource(call.body) : null
    const id = this.#enter(pending)
    signal?.addEventListener('abort', pending)
    if (channels.handshake.hasSubscribers !== this.#hearsHandshakes) this.#hearHandshakes()
    const timeout = call.timeout ?? TIMEOUT_OF_CLIENT
    writeRequest(
      this.#out,
      id,
      state.handle,
      call.method,
      timeout,
      call.url,
      call.headers,
      call.body,
      call.extras,
    )
    this.#schedule()
    if (source !== null) this.#uploads.set(id, { upload: new Upload(this, id, source), pending })
    if (channels.requestCreate.hasSubscribers)
      channels.requestCreate.publish({ request: factsOf(pending) })
    if (state.logger !== null) log(state.logger, 'debug', 'request', factsOf(pending))
    return pending
  }

  /** Gives a request up, unless it is over: it rejects with `reason`, and the engine drops it. */
  cancel(pending: Pending, reason: unknown): void {
    if (this.#take(pending.id) !== pending) return
    writeCancel(this.#out, pending.id)
    this.#schedule()
    this.#fail(pending, reason)
  }

  giveUpload(id: number, piece: Uint8Array | null): void {
    writeUpload(this.#out, id, piece)
    if (piece === null) this.#uploads.delete(id)
    this.#schedule()
  }

  failUpload(id: number, reason: unknown): void {
    const { pending, incoming } = this.#uploads.get(id) ?? {}
    this.#uploads.delete(id)
    incoming?.cancel(reason)
    if (pending !== undefined) this.cancel(pending, reason)
  }

  /** Puts a policy (encoded) in force. */
  async setPolicy(state: ClientState, policy: Uint8Array, force: boolean): Promise<Swap> {
    const promise = this.#task(state, (id) =>
      writeSetPolicy(this.#out, id, state.handle, force, policy),
    )
    const swap = (await promise) as Swap // a SET_POLICY is answered by a SWAPPED or an ERROR
    if (channels.policySwap.hasSubscribers) channels.policySwap.publish({ policy: null, swap })
    if (state.logger !== null) {
      const { closedConnections } = swap
      log(state.logger, 'info', 'policy in force', { closedConnections })
    }
    return swap
  }

  /** Makes a policy (encoded) that clients share, for as long as `owner` is held; gives its number. */
  createLivePolicy(owner: object, policy: Uint8Array): number {
    const handle = answer(this.#native.createLivePolicy(policy)).u32()
    this.#releasedLive.register(owner, handle)
    return handle
  }

  /** How many clients share a policy. */
  livePolicyClients(handle: number): number {
    return this.#native.livePolicyClients(handle)
  }

  /** Puts a policy (encoded) in force for all that share it. */
  setLivePolicy(handle: number, policy: Uint8Array, force: boolean): Promise<Swap> {
    const promise = this.#task(NOBODY, (id) =>
      writeSetLivePolicy(this.#out, id, handle, force, policy),
    )
    return promise as Promise<Swap> // a SET_LIVE_POLICY is answered by a SWAPPED or an ERROR
  }

  metrics(state: ClientState): PatternMetrics[] {
    return readMetrics(new Reader(this.#native.metrics(state.handle)))
  }

  liveMetrics(handle: number): PatternMetrics[] {
    return readMetrics(new Reader(this.#native.liveMetrics(handle)))
  }

  coverage(state: ClientState): Coverage {
    return readCoverage(new Reader(this.#native.coverage(state.handle)))
  }

  /** Tries a policy (encoded) on a client's traffic, until `owner` is forgotten at the latest; gives the rehearsal's number. */
  rehearse(owner: object, state: ClientState, policy: Uint8Array): number {
    const handle = answer(this.#native.rehearse(state.handle, policy)).u32()
    this.#releasedRehearsals.register(owner, handle)
    return handle
  }

  /** The same on the traffic of all clients that share a policy. */
  rehearseLive(owner: object, live: number, policy: Uint8Array): number {
    const handle = answer(this.#native.rehearseLive(live, policy)).u32()
    this.#releasedRehearsals.register(owner, handle)
    return handle
  }

  rehearsalReport(handle: number): RehearsalRecord {
    return readRehearsal(new Reader(this.#native.rehearsalReport(handle)))
  }

  endRehearsal(handle: number): void {
    this.#native.endRehearsal(handle)
  }

  /** Shakes hands with `authority` and tells its keys. */
  async serverPins(
    state: ClientState,
    authority: string,
    presented: boolean,
    proxy: string | null,
  ): Promise<ServerPins> {
    const promise = this.#task(state, (id) =>
      writePins(this.#out, id, state.handle, authority, presented, proxy),
    )
    return promise as Promise<ServerPins> // a PINS is answered by a SERVER_PINS or an ERROR
  }

  async readBody(request: Pending, rest: boolean): Promise<BodyPiece> {
    const { state, id: of } = request
    const promise = this.#task(state, (id) => writeRead(this.#out, id, of, rest))
    return promise as Promise<BodyPiece> // a READ is answered by a BODY or an ERROR
  }

  async saveBody(request: Pending, path: string): Promise<number> {
    const { state, id: of } = request
    const promise = this.#task(state, (id) => writeSave(this.#out, id, of, path))
    return promise as Promise<number> // a SAVE is answered by a SAVED or an ERROR
  }

  cancelBody(id: number): void {
    writeCancel(this.#out, id)
    this.#schedule()
  }

  proxyStats(state: ClientState): ProxyStats[] {
    return readProxyStats(new Reader(this.#native.proxyStats(state.handle)))
  }

  releaseProxy(state: ClientState, url: string): boolean {
    return answer(this.#native.releaseProxy(state.handle, url)).flag()
  }

  /** Asks something of a cookie jar. */
  cookieJar(request: Uint8Array): Reader {
    return answer(this.#native.cookieJar(request))
  }

  /** Nobody here holds the jar any more. */
  releaseJar(jar: number): void {
    writeReleaseJar(this.#out, jar)
    this.#schedule()
  }

  /** Ends a client: at once, its requests rejecting with `reason`, or after its requests when there is none. */
  async close(state: ClientState, reason: unknown): Promise<void> {
    if (reason !== null) {
      for (const pending of this.#waiting.all()) {
        if (pending.state === state && pending.method !== '') this.cancel(pending, reason)
      }
    }
    this.#released.unregister(state)
    await this.#task(state, (id) => writeClose(this.#out, id, state.handle, reason !== null))
    this.#clients.delete(state.handle)
  }

  #task(state: ClientState, write: (id: number) => void): Promise<Outcome> {
    const promise = new Promise(capture)
    write(this.#enter(new Pending(this, state, null, madeResolve, madeReject)))
    this.#schedule()
    return promise
  }

  #enter(pending: Pending): number {
    const id = this.#waiting.enter(pending)
    if (!this.#referenced) {
      this.#referenced = true
      this.#native.ref()
    }
    return id
  }

  /** Who waits for `id`, who is then off the books; none if it was given up. */
  #take(id: number): Pending | undefined {
    const pending = this.#waiting.take(id)
    if (pending === undefined) return undefined
    pending.signal?.removeEventListener('abort', pending)
    if (this.#waiting.size === 0 && !this.#resting) {
      this.#resting = true
      this.#rest.refresh()
    }
    return pending
  }

  #schedule(): void {
    if (this.#out.length >= FLUSH_AT) {
      this.#flush()
    } else if (!this.#flushScheduled) {
      this.#flushScheduled = true
      process.nextTick(this.#flushTick)
    }
  }

  readonly #flushTick = (): void => {
    this.#flushScheduled = false
    this.#flush()
  }

  #flush(): void {
    const { length } = this.#out
    if (length === 0) return
    this.#out.length = 0
    try {
      this.#native.submit(this.#out.bytes, length)
    } catch (cause) {
      this.#abandon(new PinfetchError('ERR_INTERNAL', 'the engine has ended', { cause }))
    }
    if (this.#out.bytes.length > FLUSH_AT * 2) this.#out.bytes = Buffer.allocUnsafeSlow(SUBMISSIONS)
  }

  /** No record will come any more. */
  #abandon(error: PinfetchError): void {
    for (const pending of this.#waiting.all()) {
      if (this.#take(pending.id) === pending) this.#fail(pending, error)
    }
  }

  #drain(): void {
    for (let chunk = this.#native.drain(); chunk !== null; chunk = this.#native.drain()) {
      for (let at = 0; at < chunk.length; ) {
        const next = at + 4 + u32At(chunk, at)
        try {
          this.#read(chunk, at + 4, next)
        } catch (error) {
          // what an object of one caller does wrong is no reason for others to wait in vain
          queueMicrotask(() => {
            throw error
          })
        }
        at = next
      }
    }
  }

  /** Reads the record `chunk[at..end]`. Handlers that it calls may re-enter the engine, which is whole at each. */
  #read(chunk: Buffer, at: number, end: number): void {
    const number = u32At(chunk, at + 1)
    switch (chunk[at]) {
      case Completion.response:
        this.#readResponse(number, chunk, at, end)
        break
      case Completion.connection:
        this.#learn(number, new Connection(Buffer.from(chunk.subarray(at + 5, end))))
        break
      case Completion.gone:
        this.#unlearn(number)
        break
      case Completion.error:
        this.#settle(number, (pending) =>
          this.#fail(pending, toError(readFailure(new Reader(chunk, at + 5)))),
        )
        break
      case Completion.done:
        this.#settle(number, (pending) => pending.resolve(u32At(chunk, at + 5)))
        break
      case Completion.swapped:
        this.#settle(number, (pending) =>
          pending.resolve(new Swap(u32At(chunk, at + 5), Buffer.from(chunk.subarray(at + 9, end)))),
        )
        break
      case Completion.handshake:
        if (channels.handshake.hasSubscribers) {
          const handshake = readHandshake(new Reader(chunk, at + 5))
          channels.handshake.publish({ connection: number === 0 ? null : number, ...handshake })
        }
        break
      case Completion.lookup:
        this.#lookUp(number, new Reader(chunk, at + 5))
        break
      case Completion.upload: {
        const room = u32At(chunk, at + 5)
        this.#uploads.get(number)?.upload.more(room)
        if (room === STOP) this.#uploads.delete(number)
        break
      }
      case Completion.cookies:
        this.#askJar(number, readCookies(new Reader(chunk, at + 5)))
        break
      case Completion.serverPins:
        this.#settle(number, (pending) => {
          const { remoteAddress, verified, path } = readServerPins(new Reader(chunk, at + 5))
          pending.resolve({ remoteAddress, verified, path: describePath(path) })
        })
        break
      case Completion.body:
        this.#readBody(number, readBody(chunk, at + 5))
        break
      case Completion.information:
        this.#inform(number, chunk, at)
        break
      case Completion.reported:
        this.#report(number, new Reader(chunk, at + 5))
        break
      case Completion.unpinned:
        this.#tellUnpinned(number, readHost(new Reader(chunk, at + 5)))
        break
      case Completion.ending:
        this.#tellEnding(number, readEnding(new Reader(chunk, at + 5)))
        break
      case Completion.saved:
        this.#settle(number, (pending) => pending.resolve(new Reader(chunk, at + 5).i64()))
        break
      default: // of a newer engine; nobody here waits for it
    }
  }

  #readResponse(id: number, chunk: Buffer, at: number, end: number): void {
    const pending = this.#take(id)
    // a body that travels apart is taken even if nobody waits: the engine keeps it until then
    const apart = responseBodyIsToken(chunk, at)
      ? this.#native.takeBody(u32At(chunk, responseBody(chunk, at)))
      : null
    if (pending === undefined) return
    const connection = this.#connection(responseConnection(chunk, at))
    if (connection === undefined) {
      this.#fail(
        pending,
        new PinfetchError(
          'ERR_INTERNAL',
          'a response came over an unknown connection: please report',
        ),
      )
      return
    }
    const incoming = responseBodyStreams(chunk, at) ? new Incoming(this, pending) : null
    if (this.#uploads.size > 0 && incoming !== null) {
      const uploading = this.#uploads.get(id)
      if (uploading !== undefined) uploading.incoming = incoming
    }
    const response = new Response(
      chunk,
      at,
      pending.url,
      pending.method === 'HEAD',
      connection,
      apart,
      incoming,
    )
    if (responseConnection(chunk, at) === this.#newNumber) {
      this.#newNumber = -1
      this.#memory.remember(response.url, connection)
    }
    if (chunk.length > SMALL_CHUNK && (end - at) * 2 < chunk.length) {
      if (this.#batch.length === 0) setImmediate(this.#endBatch)
      this.#batch.push(response)
    }
    if (channels.requestResponse.hasSubscribers) {
      channels.requestResponse.publish({ request: factsOf(pending), response })
    }
    if (pending.state.logger !== null) {
      log(pending.state.logger, 'debug', 'response', {
        ...factsOf(pending),
        status: response.status,
        remoteAddress: response.remoteAddress,
        ms: response.timings.firstByte,
      })
    }
    pending.resolve(response)
  }

  #inform(id: number, chunk: Buffer, at: number): void {
    const handler = this.#waiting.of(id)?.onInformation
    if (!handler) return
    const status = informationStatus(chunk, at)
    const headers = new Headers(informationHeaders(chunk, at))
    tell('onInformation', handler, { status, headers })
  }

  /** Says of a bad pin what the engine doesn't know: what it looks like, and where its policy file speaks of it. */
  #explain({ state }: Pending, error: BadPinError): void {
    diagnose(error, this.#memory.diagnose(error))
    if (state.locations !== null) locate(error, state.locations(error.patterns))
  }

  /** A request goes on that pins in report mode would refuse. */
  #report(id: number, record: Reader): void {
    const pending = this.#waiting.of(id)
    if (pending === undefined) return
    const error = toError(readFailure(record))
    if (!(error instanceof BadPinError)) return
    this.#explain(pending, error)
    const { state, method, url, headers } = pending
    tellBadPin(state.onBadPin, error, method, url, headers, false)
    if (error.foundPins.length > 0) state.reporter?.report(error) // over http: there is nothing to report of
    if (state.logger === null) return
    log(state.logger, 'warn', 'bad pin in report mode', {
      ...factsOf(pending),
      ...factsOfBadPin(error),
    })
  }

  #tellUnpinned(client: number, host: HostRecord): void {
    if (channels.unpinned.hasSubscribers) channels.unpinned.publish(host)
    const logger = this.#clients.get(client)?.deref()?.logger ?? null
    if (logger !== null) log(logger, 'warn', 'host without pins', { ...host })
  }

  #tellEnding(client: number, ending: EndingRecord): void {
    if (channels.policyExpiry.hasSubscribers) channels.policyExpiry.publish(ending)
    const logger = this.#clients.get(client)?.deref()?.logger ?? null
    const what = ending.hasEnded ? 'a pin set has ended' : 'a pin set ends soon'
    if (logger !== null) log(logger, 'warn', what, { ...ending })
  }

  #readBody(id: number, { piece, hasEnded, trailers }: BodyRecord): void {
    // a piece that travels apart is taken even if nobody waits: the engine keeps it until then
    const bytes = typeof piece === 'number' ? ownBytes(this.#native.takeBody(piece)) : piece
    this.#settle(id, (pending) => pending.resolve({ bytes, hasEnded, trailers }))
  }

  #connection(number: number): Connection | undefined {
    if (number !== this.#lastNumber) {
      this.#last = this.#connections.get(number)
      this.#lastNumber = number
    }
    return this.#last
  }

  /** Has the engine tell of handshakes, or no more. */
  #hearHandshakes(): void {
    this.#hearsHandshakes = channels.handshake.hasSubscribers
    writeTellHandshakes(this.#out, this.#hearsHandshakes)
  }

  /** A connection is told of: it is new, or its facts have changed. */
  #learn(number: number, connection: Connection): void {
    const isNew = !this.#connections.has(number)
    this.#connections.set(number, connection)
    this.#newNumber = number
    this.#forget(number)
    if (isNew && channels.connectionOpen.hasSubscribers)
      channels.connectionOpen.publish({ connection: connectionFacts(number, connection) })
  }

  /** No response names the connection any more. */
  #unlearn(number: number): void {
    const connection = this.#connections.get(number)
    this.#connections.delete(number)
    this.#forget(number)
    if (connection !== undefined && channels.connectionClose.hasSubscribers)
      channels.connectionClose.publish({ connection: connectionFacts(number, connection) })
  }

  /** What was known of a connection is not so any more. */
  #forget(number: number): void {
    if (this.#lastNumber !== number) return
    this.#lastNumber = -1
    this.#last = undefined
  }

  readonly #endBatch = (): void => {
    const batch = this.#batch
    this.#batch = []
    for (const response of batch) detach(response)
  }

  /** Lets whoever waits for `id` have its outcome; one that can't be read is our fault and theirs to know. */
  #settle(id: number, settle: (pending: Pending) => void): void {
    const pending = this.#take(id)
    if (pending === undefined) return
    try {
      settle(pending)
    } catch (cause) {
      pending.reject(
        new PinfetchError('ERR_INTERNAL', 'a record cannot be read: please report', { cause }),
      )
    }
  }

  #fail(pending: Pending, error: unknown): void {
    if (error instanceof BadPinError) this.#explain(pending, error)
    if (pending.method !== '') {
      if (error instanceof BadPinError) {
        const { onBadPin = pending.state.onBadPin } = pending
        tellBadPin(onBadPin, error, pending.method, pending.url, pending.headers)
        pending.state.reporter?.report(error)
      }
      if (channels.requestError.hasSubscribers)
        channels.requestError.publish({ request: factsOf(pending), error })
      if (pending.state.logger !== null) logFailure(pending.state.logger, pending, error)
    }
    pending.reject(error)
  }

  #lookUp(lookup: number, record: Reader): void {
    const lookUp = this.#clients.get(record.u32())?.deref()?.lookup
    const hostname = record.str()
    if (!lookUp) {
      this.#lookupFailed(lookup, { code: 'ECANCELLED', message: 'the client is gone' })
      return
    }
    ask(
      lookUp,
      hostname,
      (addresses) => {
        writeLookupAddresses(this.#out, lookup, addresses)
        this.#schedule()
      },
      (error) => this.#lookupFailed(lookup, error),
    )
  }

  #askJar(question: number, { client, url, setCookie }: CookiesRecord): void {
    const jar = this.#clients.get(client)?.deref()?.jar
    void cookiesOf(jar ?? null, url, setCookie).then(
      (cookies) => {
        writeCookies(this.#out, question, cookies)
        this.#schedule()
      },
      (error: unknown) => {
        writeCookiesFailure(this.#out, question, messageOf(error))
        this.#schedule()
      },
    )
  }

  #lookupFailed(lookup: number, error: unknown): void {
    const code =
      typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
    writeLookupFailure(
      this.#out,
      lookup,
      typeof code === 'string' ? code : 'EAI_FAIL',
      messageOf(error),
    )
    this.#schedule()
  }
}

function messageOf(error: unknown): string {
  return String(
    typeof error === 'object' && error !== null && 'message' in error ? error.message : error,
  )
}

/** The cookies that `jar` gives for `url`, or none once it has taken in what `url` sets. */
async function cookiesOf(
  jar: ForeignCookieJar | null,
  url: string,
  setCookie: readonly string[] | null,
): Promise<string> {
  if (jar === null) throw new Error('the client is gone')
  if (setCookie === null) return readCookieString(await jar.getCookieString(url))
  for (const cookie of setCookie) {
    try {
      await jar.setCookie(cookie, url)
    } catch {
      // a jar refuses cookies that break its rules: they are ignored, as the engine's own jar ignores them
    }
  }
  return ''
}

function readCookieString(cookies: unknown): string {
  if (typeof cookies !== 'string')
    throw new TypeError(`getCookieString gave ${nameOf(cookies)}: a string is expected`)
  if (!isFieldValue(cookies))
    throw new TypeError('getCookieString gave a character that no field may hold (RFC 9110 §5.5)')
  return cookies
}

function logFailure(logger: Logger, pending: Pending, error: unknown): void {
  const facts = {
    ...factsOf(pending),
    code: codeOfThrown(error),
    message: withoutCredentials(messageOf(error)),
  }
  if (!(error instanceof BadPinError)) {
    log(logger, 'warn', 'request failed', facts)
    return
  }
  log(logger, 'error', 'bad pin', { ...facts, ...factsOfBadPin(error) })
}

function factsOfBadPin(error: BadPinError): LogFacts {
  const { hostname, foundPins, expectedPins, patterns, policyLocations } = error
  const { blockedPin, hint, diagnosis } = error
  return {
    ...{ hostname, foundPins, expectedPins, patterns, policyLocations },
    ...{ blockedPin, hint, diagnosis },
  }
}

function factsOf(pending: Pending): { method: string; url: string } {
  return { method: pending.method, url: withoutCredentials(pending.url) }
}

let ofEnvironment: Engine | undefined
let threads = 1

/** How the engine of a Node environment runs. */
export interface EngineOptions {
  /**
   * How many threads do the work of the clients: each client is one thread's. One is enough for tens of thousands of requests a
   * second on kept connections; handshakes, large bodies and content codings take more. From 1 to 64. @default 1
   */
  readonly threads?: number | undefined
}

const MOST_THREADS = 64

/**
 * Says how the engine of this Node environment (the main thread, or a worker) is to run: to be called before the first client,
 * jar or live policy is made.
 *
 * Throws a {@link PolicyError} for a wrong option, and a TypeError when the engine runs already, otherwise than is asked for.
 *
 * @example
 * ```ts
 * import { availableParallelism } from 'node:os'
 * import { configureEngine } from 'pinfetch'
 *
 * configureEngine({ threads: Math.max(1, availableParallelism() - 1) }) // JavaScript has one of its own
 * ```
 */
export function configureEngine(options: EngineOptions): void {
  if (typeof options !== 'object' || options === null)
    throw invalidOption('options', `the options are ${nameOf(options)}: give { threads }`)
  for (const name of Object.keys(options))
    if (name !== 'threads') throw invalidOption(name, noOption('an engine', name, ['threads']))
  const wanted: unknown = options.threads ?? 1
  if (!isCount(wanted, 1, MOST_THREADS))
    throw invalidOption('threads', wrongCount('threads', wanted, 1, MOST_THREADS))
  if (ofEnvironment !== undefined && wanted !== threads)
    throw invalidArgument(
      'the engine runs already: call configureEngine before the first client is made',
    )
  threads = wanted
}

/** The engine of this Node environment, started by its first client. */
export function engine(): Engine {
  ofEnvironment ??= new Engine()
  return ofEnvironment
}
