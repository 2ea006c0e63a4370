// Every record that crosses the boundary, and its bytes. Twin of crates/pinfetch-node/src/wire.rs; both pass
// wire-vectors.json.
//
// Little endian. `bytes` is a u32 length and that many bytes, `str` the same in UTF-8, `list` a u32 count and its
// items, `opt` a u8 (0 or 1) and the value if 1; a pin is its 32 bytes. In a queue each record is preceded by its
// length (u32) and begins with its kind (u8).

/** Kinds of submission (JavaScript → engine). */
export const Submission = {
  request: 1,
  cancel: 2,
  setPolicy: 3,
  close: 4,
  lookupReply: 5,
  release: 6,
  pins: 7,
  read: 8,
  save: 9,
  cookiesReply: 10,
  releaseJar: 11,
  upload: 12,
  setLivePolicy: 20,
  releaseLivePolicy: 21,
  releaseRehearsal: 22,
  tellHandshakes: 23,
} as const

/** Kinds of completion (engine → JavaScript). */
export const Completion = {
  response: 1,
  connection: 2,
  gone: 3,
  error: 4,
  done: 5,
  lookup: 6,
  serverPins: 7,
  body: 8,
  saved: 9,
  cookies: 10,
  upload: 11,
  information: 12,
  reported: 13,
  unpinned: 14,
  ending: 15,
  swapped: 20,
  handshake: 21,
} as const

/** The time limit of a request that has none of its own: the client's holds. */
export const TIMEOUT_OF_CLIENT = 0xffff_ffff

/** How a pin source's bytes are to be read. */
export const PinSource = { text: 0, certificate: 1, publicKey: 2 } as const

/** Which versions of HTTP are offered. */
export const Http2 = { never: 0, offer: 1, only: 2 } as const

/** How a record has a policy: its sets, or the handle of one that was compiled. */
export const PolicyForm = { written: 0, compiled: 1 } as const

/** Flags of a pin set. */
export const PinSetFlag = { excludes: 1, hasPlaces: 2, hasRules: 4 } as const

/** Where a pin counts, and which place must have a pinned key; 0 for everywhere. */
export const Place = { leaf: 1, intermediate: 2, root: 3, ca: 4 } as const

/** What paths end in: the client's trust anchors, the pinned key itself, or anchors of the policy's own, by number. */
export const Trust = { ca: 0, pinnedKey: 1, anchors: 2 } as const

/** What becomes of hosts without pins, as records say it. */
export const Unpinned = { allow: 0, warn: 1, refuse: 2 } as const

/** What becomes of the hosts of a pin set that has ended. */
export const Afterwards = { enforce: 0, report: 1, refuse: 2 } as const
const AFTERWARDS = ['enforce', 'report', 'refuse'] as const

/** Tags of what a request says besides. */
export const Extra = {
  redirect: 1,
  maxRedirects: 2,
  decompress: 3,
  proxy: 4,
  cookies: 5,
  maxResponseBytes: 6,
  maxExpansion: 7,
  reuse: 8,
  headersTimeout: 9,
  bodyTimeout: 10,
  retry: 11,
  onInformation: 12,
  connectTimeout: 13,
  http2: 14,
} as const

/** What is asked of a cookie jar. */
export const Jar = {
  create: 1,
  fromJson: 2,
  ofClient: 3,
  set: 4,
  header: 5,
  cookies: 6,
  remove: 7,
  clear: 8,
} as const

/** How redirects are treated, as records say it. */
export const RedirectMode = { follow: 0, manual: 1, error: 2 } as const

const BODY_IS_TOKEN = 1
const HAS_URL = 2
const HAS_REASON = 4
const BODY_STREAMS = 8
const HAS_TRAILERS = 16
const IS_REDIRECTED = 32
const IS_REUSED = 64
/** Where what is not in every RESPONSE begins. */
const VARIABLE = 25
/** Of a BODY. */
const HAS_ENDED = 2
const PIN_LENGTH = 32

/** Methods that travel as a number; any other as text after a 0. */
const METHODS = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']

const ROLES = ['end entity', 'intermediate', 'trust anchor'] as const
const PHASES = ['queue', 'dns', 'connect', 'tls', 'headers', 'body', 'total'] as const

/** What a certificate does on a path (RFC 5280 §3.2). */
export type Role = (typeof ROLES)[number]

/** What was under way when a time limit passed; `total` is the whole request. */
export type Phase = (typeof PHASES)[number]

/** One certificate of a path. */
export interface PathCertificate {
  /** Its pin: `sha256/` + base64. */
  readonly pin: string
  /** What it does on the path. */
  readonly role: Role
  /** Its subject (RFC 4514); empty if it has none. */
  readonly subject: string
  /** When it ends; null for a trust anchor that is known without a certificate. */
  readonly notAfter: Date | null
  /** Its DER; null for a trust anchor that is known without a certificate. */
  readonly der: Buffer | null
}

/** One key that a file holds. */
export interface DescribedInput {
  /** The pin of its public key: `sha256/` + base64. */
  readonly pin: string
  /** What held the key: `certificate`, `public key`, `private key` or `certificate request`. */
  readonly what: string
  /** The subject (RFC 4514) of a certificate or request; else empty. */
  readonly subject: string
  /** When the certificate ends; null for anything else. */
  readonly notAfter: Date | null
}

/** The trust anchors that are built in. */
export interface BuiltInAnchors {
  /** What they are, with the version of their data. */
  readonly version: string
  /** Each one's pin and subject (RFC 4514). */
  readonly anchors: readonly { readonly pin: string; readonly subject: string }[]
}

/** An error as a record tells it: a number of `errors.ts`' table and the fields that were given. */
export interface Failure {
  code: number
  message: string
  hostname?: string
  port?: number
  patterns?: string[]
  expectedPins?: string[]
  /** Pins of the verified path, end entity first. */
  foundPins?: string[]
  /** The verified path as a path block, to be described by the addon. */
  foundPath?: Buffer
  presentedChain?: Buffer[]
  remoteAddress?: string
  phase?: Phase
  limit?: number
  hint?: string
  systemCode?: string
  alert?: string
  index?: number
  input?: string
  pattern?: string
  cause?: string
  names?: string[]
  notAfter?: Date
  url?: string
  proxy?: string
  status?: number
  reason?: string
  socksCode?: number
  cutOffs?: CutOffRecord[]
  blockedPin?: string
}

/** A host that a policy would cut off. */
export interface CutOffRecord {
  hostname: string
  port: number
  connections: number
  patterns: string[]
  foundPins: string[]
  /** A number of `errors.ts`' table. */
  code: number
}

/**
 * Appends records to one buffer that grows.
 *
 * `bytes` belongs to the writer and is replaced when it grows; what counts is `bytes[0..length]`.
 */
export class Writer {
  bytes: Buffer
  length = 0

  constructor(capacity: number) {
    this.bytes = Buffer.allocUnsafeSlow(capacity)
  }

  /** Makes room for `size` bytes more. */
  reserve(size: number): void {
    const needed = this.length + size
    if (needed <= this.bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2))
    this.bytes.copy(grown, 0, 0, this.length)
    this.bytes = grown
  }

  u8(value: number): void {
    this.reserve(1)
    this.bytes[this.length++] = value
  }

  u16(value: number): void {
    this.u8(value)
    this.u8(value >>> 8)
  }

  u32(value: number): void {
    this.reserve(4)
    putU32(this.bytes, this.length, value)
    this.length += 4
  }

  i64(value: number): void {
    this.reserve(8)
    this.length = this.bytes.writeBigInt64LE(BigInt(value), this.length)
  }

  flag(value: boolean): void {
    this.u8(value ? 1 : 0)
  }

  str(text: string): void {
    this.reserve(4 + text.length * 3)
    const length = this.bytes.write(text, this.length + 4)
    putU32(this.bytes, this.length, length)
    this.length += 4 + length
  }

  /** A `bytes` that holds `text`'s code units as bytes; the caller has checked that each is below 256. */
  latin1(text: string): void {
    this.reserve(4 + text.length)
    putU32(this.bytes, this.length, text.length)
    this.bytes.write(text, this.length + 4, 'latin1')
    this.length += 4 + text.length
  }

  data(bytes: Uint8Array): void {
    this.reserve(4 + bytes.length)
    putU32(this.bytes, this.length, bytes.length)
    this.bytes.set(bytes, this.length + 4)
    this.length += 4 + bytes.length
  }

  /** Bytes as they are, without a length. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.bytes.set(bytes, this.length)
    this.length += bytes.length
  }

  /** Text or bytes, whichever it is. */
  blob(value: string | Uint8Array): void {
    if (typeof value === 'string') this.str(value)
    else this.data(value)
  }

  /** A count that is known only when the items are written; returns where to put it. */
  openCount(): number {
    this.u32(0)
    return this.length - 4
  }

  closeCount(at: number, count: number): void {
    putU32(this.bytes, at, count)
  }

  /** Begins a queue record; returns where it begins. */
  open(kind: number): number {
    const start = this.length
    this.reserve(5)
    this.bytes[start + 4] = kind
    this.length = start + 5
    return start
  }

  /** Ends the queue record that began at `start`. */
  close(start: number): void {
    putU32(this.bytes, start, this.length - start - 4)
  }

  /** What was written, as a view that is good until the next write. */
  written(): Buffer {
    return this.bytes.subarray(0, this.length)
  }
}

/** Reads values off the front of what the engine wrote. It never reads past the end: `bytes` throws a RangeError. */
export class Reader {
  readonly bytes: Buffer
  at: number

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  u8(): number {
    const value = this.bytes.readUInt8(this.at)
    this.at += 1
    return value
  }

  u16(): number {
    const value = this.bytes.readUInt16LE(this.at)
    this.at += 2
    return value
  }

  u32(): number {
    const value = this.bytes.readUInt32LE(this.at)
    this.at += 4
    return value
  }

  i64(): number {
    const value = this.bytes.readBigInt64LE(this.at)
    this.at += 8
    return Number(value)
  }

  flag(): boolean {
    return this.u8() === 1
  }

  /** A view of the next `length` bytes. */
  take(length: number): Buffer {
    const start = this.#pass(length)
    return this.bytes.subarray(start, this.at)
  }

  /** Passes over data or a string. */
  skip(): void {
    this.#pass(this.u32())
  }

  data(): Buffer {
    return this.take(this.u32())
  }

  str(): string {
    const start = this.#pass(this.u32())
    return this.bytes.toString('utf8', start, this.at)
  }

  pin(): string {
    const start = this.#pass(PIN_LENGTH)
    return `sha256/${this.bytes.toString('base64', start, this.at)}`
  }

  list<T>(item: () => T): T[] {
    const items: T[] = []
    for (let left = this.u32(); left > 0; left--) items.push(item())
    return items
  }

  strs(): string[] {
    return this.list(() => this.str())
  }

  pins(): string[] {
    return this.list(() => this.pin())
  }

  /** Passes over `length` bytes; gives where they begin. */
  #pass(length: number): number {
    const start = this.at
    if (start + length > this.bytes.length) throw new RangeError('a record ends early')
    this.at = start + length
    return start
  }
}

/**
 * Writes a REQUEST. `headers` holds names and values by turns, checked; `body` is text (UTF-8), bytes, or what will follow
 * in UPLOADs.
 */
export function writeRequest(
  out: Writer,
  id: number,
  client: number,
  method: string,
  timeoutMs: number,
  url: string,
  headers: readonly string[] | null,
  body: string | Uint8Array | { readonly length: number | null } | null,
  extras: Uint8Array | null,
): void {
  const start = out.open(Submission.request)
  out.u32(id)
  out.u32(client)
  const known = methodNumber(method)
  out.u8(known)
  if (known === 0) out.str(method)
  out.u32(timeoutMs)
  out.str(url)
  if (headers === null) {
    out.u32(0)
  } else {
    out.u32(headers.length >> 1)
    for (let index = 0; index + 1 < headers.length; index += 2) {
      // names and values come in pairs: both indices are inside
      const name = headers[index] as string
      out.reserve(2 + name.length)
      out.bytes[out.length] = name.length
      out.bytes[out.length + 1] = name.length >> 8
      out.bytes.write(name, out.length + 2, 'latin1')
      out.length += 2 + name.length
      out.latin1(headers[index + 1] as string)
    }
  }
  if (body === null) {
    out.u8(0)
  } else {
    const isHere = typeof body === 'string' || body instanceof Uint8Array
    out.u8(isHere ? 1 : 2)
    if (isHere) out.blob(body)
    else out.i64(body.length ?? -1)
  }
  if (extras !== null) out.raw(extras)
  out.close(start)
}

function methodNumber(method: string): number {
  if (method === 'GET') return 1
  const number = METHODS.indexOf(method, 1)
  return number === -1 ? 0 : number
}

/** Gives the next piece of the body of request `id`, or its end. */
export function writeUpload(out: Writer, id: number, piece: Uint8Array | null): void {
  const start = out.open(Submission.upload)
  out.u32(id)
  out.flag(piece === null)
  if (piece === null) out.u32(0)
  else out.data(piece)
  out.close(start)
}

export function writeCancel(out: Writer, id: number): void {
  const start = out.open(Submission.cancel)
  out.u32(id)
  out.close(start)
}

/** Writes, as a policy, the one that was compiled before and has this handle. */
export function writeCompiled(out: Writer, handle: number): void {
  out.u8(PolicyForm.compiled)
  out.u32(handle)
}

/** Writes a SET_POLICY; `policy` is an encoded policy. */
export function writeSetPolicy(
  out: Writer,
  id: number,
  client: number,
  force: boolean,
  policy: Uint8Array,
): void {
  writePolicyFor(out, Submission.setPolicy, id, client, force, policy)
}

/** Writes a SET_LIVE_POLICY: the same for all clients that share the policy of the number `live`. */
export function writeSetLivePolicy(
  out: Writer,
  id: number,
  live: number,
  force: boolean,
  policy: Uint8Array,
): void {
  writePolicyFor(out, Submission.setLivePolicy, id, live, force, policy)
}

function writePolicyFor(
  out: Writer,
  kind: number,
  id: number,
  whom: number,
  force: boolean,
  policy: Uint8Array,
): void {
  const start = out.open(kind)
  out.u32(id)
  out.u32(whom)
  out.flag(force)
  out.raw(policy)
  out.close(start)
}

export function writeReleaseRehearsal(out: Writer, rehearsal: number): void {
  const start = out.open(Submission.releaseRehearsal)
  out.u32(rehearsal)
  out.close(start)
}

/** Whether HANDSHAKES are wanted from now on. */
export function writeTellHandshakes(out: Writer, areWanted: boolean): void {
  const start = out.open(Submission.tellHandshakes)
  out.flag(areWanted)
  out.close(start)
}

export function writeReleaseLivePolicy(out: Writer, live: number): void {
  const start = out.open(Submission.releaseLivePolicy)
  out.u32(live)
  out.close(start)
}

export function writeClose(out: Writer, id: number, client: number, force: boolean): void {
  const start = out.open(Submission.close)
  out.u32(id)
  out.u32(client)
  out.flag(force)
  out.close(start)
}

export function writeLookupAddresses(
  out: Writer,
  lookup: number,
  addresses: readonly string[],
): void {
  const start = out.open(Submission.lookupReply)
  out.u32(lookup)
  out.u8(1)
  out.u32(addresses.length)
  for (const address of addresses) out.str(address)
  out.close(start)
}

export function writeLookupFailure(
  out: Writer,
  lookup: number,
  code: string,
  message: string,
): void {
  const start = out.open(Submission.lookupReply)
  out.u32(lookup)
  out.u8(0)
  out.str(code)
  out.str(message)
  out.close(start)
}

export function writeRelease(out: Writer, client: number): void {
  const start = out.open(Submission.release)
  out.u32(client)
  out.close(start)
}

/** Answers a COOKIES: with a `cookie` field's value (checked; empty for none), or why there is none. */
export function writeCookies(out: Writer, question: number, answer: string): void {
  const start = out.open(Submission.cookiesReply)
  out.u32(question)
  out.u8(1)
  out.latin1(answer)
  out.close(start)
}

export function writeCookiesFailure(out: Writer, question: number, message: string): void {
  const start = out.open(Submission.cookiesReply)
  out.u32(question)
  out.u8(0)
  out.str(message)
  out.close(start)
}

export function writeReleaseJar(out: Writer, jar: number): void {
  const start = out.open(Submission.releaseJar)
  out.u32(jar)
  out.close(start)
}

export function writePins(
  out: Writer,
  id: number,
  client: number,
  authority: string,
  presented: boolean,
  proxy: string | null,
): void {
  const start = out.open(Submission.pins)
  out.u32(id)
  out.u32(client)
  out.str(authority)
  out.flag(presented)
  out.flag(proxy !== null)
  if (proxy !== null) out.str(proxy)
  out.close(start)
}

/** Asks for the next piece of the body of request `of`, or for its `rest` in one. */
export function writeRead(out: Writer, id: number, of: number, rest: boolean): void {
  const start = out.open(Submission.read)
  out.u32(id)
  out.u32(of)
  out.flag(rest)
  out.close(start)
}

/** Has the rest of the body of request `of` saved in a file. */
export function writeSave(out: Writer, id: number, of: number, path: string): void {
  const start = out.open(Submission.save)
  out.u32(id)
  out.u32(of)
  out.str(path)
  out.close(start)
}

/**
 * Little-endian u16 at `at`.
 *
 * Index access, since it costs half of a Buffer method; `as` here and below: the caller knows that the record holds it.
 */
export function u16At(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8)
}

/** Little-endian u32 at `at`. */
export function u32At(bytes: Uint8Array, at: number): number {
  const low =
    (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16)
  return (low | ((bytes[at + 3] as number) << 24)) >>> 0
}

function putU32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}

// A RESPONSE is read where it lies. Offsets count from `at`, the place of its kind.

export function responseStatus(bytes: Uint8Array, at: number): number {
  return u16At(bytes, at + 5)
}

/** 0 = HTTP/1.0, 1 = HTTP/1.1, 2 = HTTP/2. */
export function responseVersion(bytes: Uint8Array, at: number): number {
  return bytes[at + 7] as number
}

export function responseConnection(bytes: Uint8Array, at: number): number {
  return u32At(bytes, at + 9)
}

/** Whether the body travels apart. */
export function responseBodyIsToken(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at + 8] as number) & BODY_IS_TOKEN) !== 0
}

/** The canonical URL, where it differs from what was submitted. */
export function responseUrl(bytes: Buffer, at: number): string | null {
  if (((bytes[at + 8] as number) & HAS_URL) === 0) return null
  const start = at + VARIABLE + 4
  return bytes.toString('utf8', start, start + u32At(bytes, start - 4))
}

/** The reason phrase, where it is not the status code's standard one. */
export function responseReason(bytes: Buffer, at: number): string | null {
  const flags = bytes[at + 8] as number
  if ((flags & HAS_REASON) === 0) return null
  const url = at + VARIABLE
  const start = (flags & HAS_URL) === 0 ? url : url + 4 + u32At(bytes, url)
  return bytes.toString('utf8', start + 4, start + 4 + u32At(bytes, start))
}

/** Where the header count is; the block's length and the block follow. */
export function responseHeaders(bytes: Uint8Array, at: number): number {
  const flags = bytes[at + 8] as number
  let place = at + VARIABLE
  if ((flags & HAS_URL) !== 0) place += 4 + u32At(bytes, place)
  if ((flags & HAS_REASON) !== 0) place += 4 + u32At(bytes, place)
  return place
}

/** Where the body's u32 is: its length, or its token with the length after it. */
export function responseBody(bytes: Uint8Array, at: number): number {
  const headers = responseHeaders(bytes, at)
  return headers + 8 + u32At(bytes, headers + 4)
}

/** Whether the connection had served another request before. */
export function responseReused(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at + 8] as number) & IS_REUSED) !== 0
}

/** Microseconds from the request's beginning: to its connection, to the header section, to when it was handed over. */
export function responseTimes(bytes: Uint8Array, at: number): [number, number, number] {
  return [u32At(bytes, at + 13), u32At(bytes, at + 17), u32At(bytes, at + 21)]
}

/** Whether redirects have led to another URL than was asked for. */
export function responseRedirected(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at + 8] as number) & IS_REDIRECTED) !== 0
}

/** Whether the body is read a piece at a time; nothing stands in its place then. */
export function responseBodyStreams(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at + 8] as number) & BODY_STREAMS) !== 0
}

/** Where the trailer section's count is; -1 if there is none. */
export function responseTrailers(bytes: Uint8Array, at: number): number {
  if (((bytes[at + 8] as number) & HAS_TRAILERS) === 0) return -1
  const body = responseBody(bytes, at)
  if (responseBodyStreams(bytes, at)) return body
  return responseBodyIsToken(bytes, at) ? body + 8 : body + 4 + u32At(bytes, body)
}

/** What a BODY holds. */
export interface BodyRecord {
  /** Bytes that are the reader's own, or a token under which they are to be taken. */
  readonly piece: Uint8Array<ArrayBuffer> | number
  readonly hasEnded: boolean
  /** Names and values by turns. */
  readonly trailers: string[]
}

/** Reads a BODY whose flags are at `at`. */
export function readBody(bytes: Buffer, at: number): BodyRecord {
  const flags = bytes[at] as number
  const isToken = (flags & BODY_IS_TOKEN) !== 0
  const number = u32At(bytes, at + 1)
  const end = at + (isToken ? 9 : 5 + number)
  return {
    piece: isToken ? number : new Uint8Array(bytes.subarray(at + 5, end)),
    hasEnded: (flags & HAS_ENDED) !== 0,
    trailers: (flags & HAS_TRAILERS) === 0 ? [] : readHeaders(bytes, end),
  }
}

/** Names and values by turns, from the header block whose count is at `at`. */
export function readHeaders(bytes: Buffer, at: number): string[] {
  const list: string[] = []
  let place = at + 8
  for (let left = u32At(bytes, at); left > 0; left--) {
    const nameEnd = place + 2 + u16At(bytes, place)
    const valueEnd = nameEnd + 4 + u32At(bytes, nameEnd)
    list.push(
      bytes.toString('latin1', place + 2, nameEnd),
      bytes.toString('latin1', nameEnd + 4, valueEnd),
    )
    place = valueEnd
  }
  return list
}

/** The status of the INFORMATION at `at`. */
export function informationStatus(bytes: Uint8Array, at: number): number {
  return u16At(bytes, at + 5)
}

/** Names and values by turns, of the INFORMATION at `at`. */
export function informationHeaders(bytes: Buffer, at: number): string[] {
  return readHeaders(bytes, at + 7)
}

/** What a CONNECTION tells. */
export interface ConnectionRecord {
  protocol: number
  cipherSuite: number
  resumed: boolean
  alpn: string
  remoteAddress: string
  /** Microseconds: for the name, the connection, the handshake. */
  times: [dns: number, connect: number, tls: number]
  matchedPin: string | null
  /** A path block. */
  path: Buffer
  /** Patterns in report mode that would refuse the path. */
  reportedPatterns: string[]
}

/** Reads a CONNECTION from after its connection number. */
export function readConnection(record: Reader): ConnectionRecord {
  return {
    protocol: record.u8(),
    cipherSuite: record.u16(),
    resumed: record.flag(),
    alpn: record.str(),
    remoteAddress: record.str(),
    times: [record.u32(), record.u32(), record.u32()],
    matchedPin: record.flag() ? record.pin() : null,
    path: record.data(),
    reportedPatterns: record.strs(),
  }
}

/** The remote address alone of a CONNECTION, from after its connection number. */
export function readRemoteAddress(record: Reader): string {
  record.at += 4 // protocol, cipher suite, whether it was resumed
  record.skip() // ALPN
  return record.str()
}

/** A host that a notice is about. */
export interface HostRecord {
  hostname: string
  port: number
}

/** Reads an UNPINNED from after its client's number. */
export function readHost(record: Reader): HostRecord {
  return { hostname: record.str(), port: record.u16() }
}

/** What an ENDING tells. */
export interface EndingRecord extends HostRecord {
  pattern: string
  at: Date
  afterwards: (typeof AFTERWARDS)[number]
  hasEnded: boolean
}

/** Reads an ENDING from after its client's number. */
export function readEnding(record: Reader): EndingRecord {
  return {
    ...readHost(record),
    pattern: record.str(),
    at: new Date(record.i64() * 1000),
    afterwards: AFTERWARDS[record.u8()] ?? 'enforce',
    hasEnded: record.flag(),
  }
}

/** What a SERVER_PINS tells. */
export interface ServerPinsRecord {
  remoteAddress: string
  verified: boolean
  /** A path block. */
  path: Buffer
}

/** Reads a SERVER_PINS from after its id. */
export function readServerPins(record: Reader): ServerPinsRecord {
  return { remoteAddress: record.str(), verified: record.flag(), path: record.data() }
}

/** What a client's requests through one proxy, with its credentials, have come to. */
export interface ProxyStats {
  /** The proxy's URL, without credentials. */
  readonly proxy: string
  /** The user name among the credentials; null for none. */
  readonly user: string | null
  /** How often a request was sent on its way, or sent again. */
  readonly requests: number
  /** Bytes written to the proxy, handshakes included. */
  readonly bytesSent: number
  /** Bytes read from it. */
  readonly bytesReceived: number
  /** Requests that ended with a bad pin. */
  readonly badPins: number
  /** Requests that ended with any other error. */
  readonly errors: number
  /** Whether nothing may go through it any more: see `quarantine`. */
  readonly quarantined: boolean
}

/** Reads the engine's answer to what each proxy has come to. */
export function readProxyStats(record: Reader): ProxyStats[] {
  return record.list(() => ({
    proxy: record.str(),
    user: record.flag() ? record.str() : null,
    requests: record.i64(),
    bytesSent: record.i64(),
    bytesReceived: record.i64(),
    badPins: record.i64(),
    errors: record.i64(),
    quarantined: record.flag(),
  }))
}

/** A handshake that ended in a verdict. */
export interface HandshakeRecord {
  hostname: string
  port: number
  remoteAddress: string
  protocol: 'TLSv1.3' | 'TLSv1.2'
  resumed: boolean
  matchedPin: string | null
  patterns: string[]
  foundPins: string[]
}

/** Reads a HANDSHAKE from after its connection's number. */
export function readHandshake(record: Reader): HandshakeRecord {
  return {
    hostname: record.str(),
    port: record.u16(),
    remoteAddress: record.str(),
    protocol: record.u8() === 13 ? 'TLSv1.3' : 'TLSv1.2',
    resumed: record.flag(),
    matchedPin: record.flag() ? record.pin() : null,
    patterns: record.strs(),
    foundPins: record.pins(),
  }
}

/** What a COOKIES asks. */
export interface CookiesRecord {
  client: number
  url: string
  /** Values of `set-cookie` fields to be taken in; null where cookies are asked for. */
  setCookie: string[] | null
}

/** Reads a COOKIES from after its question's number. */
export function readCookies(record: Reader): CookiesRecord {
  return {
    client: record.u32(),
    url: record.str(),
    setCookie: record.flag() ? record.list(() => record.data().toString('latin1')) : null,
  }
}

/** The pins of a path block. */
export function readPathPins(path: Buffer): string[] {
  const record = new Reader(path)
  return record.list(() => {
    const pin = record.pin()
    record.u8()
    record.u8()
    record.data()
    return pin
  })
}

/** Reads the addon's description of a path block. */
export function readDescribedPath(bytes: Buffer): PathCertificate[] {
  const record = new Reader(bytes)
  return record.list(() => ({
    pin: record.pin(),
    role: ROLES[record.u8()] ?? 'intermediate',
    subject: record.str(),
    notAfter: record.flag() ? new Date(record.i64() * 1000) : null,
    der: record.flag() ? Buffer.from(record.data()) : null,
  }))
}

/** Reads the addon's description of a file's keys. */
export function readDescribedInputs(record: Reader): DescribedInput[] {
  return record.list(() => ({
    pin: record.pin(),
    what: record.str(),
    subject: record.str(),
    notAfter: record.flag() ? new Date(record.i64() * 1000) : null,
  }))
}

/** Reads the addon's list of built-in trust anchors. */
export function readAnchors(record: Reader): BuiltInAnchors {
  return {
    version: record.str(),
    anchors: record.list(() => ({ pin: record.pin(), subject: record.str() })),
  }
}

/** Reads an error's code and fields; what they hold is copied. */
export function readFailure(record: Reader): Failure {
  const failure: Failure = { code: record.u16(), message: '' }
  for (let left = record.u32(); left > 0; left--) {
    const tag = record.u8()
    readField(failure, tag, new Reader(record.data()))
  }
  return failure
}

function readField(failure: Failure, tag: number, value: Reader): void {
  const text = () => value.bytes.toString('utf8')
  switch (tag) {
    case 1:
      failure.message = text()
      break
    case 2:
      failure.hostname = text()
      break
    case 3:
      failure.port = value.u16()
      break
    case 4:
      failure.patterns = value.strs()
      break
    case 5:
      failure.expectedPins = value.pins()
      break
    case 6:
      failure.foundPath = Buffer.from(value.bytes)
      failure.foundPins = readPathPins(failure.foundPath)
      break
    case 7:
      failure.presentedChain = value.list(() => Buffer.from(value.data()))
      break
    case 8:
      failure.remoteAddress = text()
      break
    case 9:
      failure.phase = PHASES[value.u8()] ?? 'total'
      break
    case 10:
      failure.limit = value.bytes.length === 8 ? value.i64() : value.u32()
      break
    case 11:
      failure.hint = text()
      break
    case 12:
      failure.systemCode = text()
      break
    case 13:
      failure.alert = text()
      break
    case 14:
      failure.index = value.u32()
      break
    case 15:
      failure.input = text()
      break
    case 16:
      failure.pattern = text()
      break
    case 17:
      failure.cause = text()
      break
    case 18:
      failure.names = value.strs()
      break
    case 19:
      failure.notAfter = new Date(value.i64() * 1000)
      break
    case 20:
      failure.url = text()
      break
    case 21:
      failure.proxy = text()
      break
    case 22:
      failure.status = value.u16()
      break
    case 23:
      failure.reason = text()
      break
    case 24:
      failure.socksCode = value.u8()
      break
    case 25:
      failure.blockedPin = value.pin()
      break
    case 40:
      failure.cutOffs = value.list(() => ({
        hostname: value.str(),
        port: value.u16(),
        connections: value.u32(),
        patterns: value.strs(),
        foundPins: value.pins(),
        code: value.u16(),
      }))
      break
    default: // a field that this version does not know; the code and message say enough
  }
}
