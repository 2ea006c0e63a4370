import { resolve } from 'node:path'
import type { UnderlyingByteSource } from 'node:stream/web'
import { fileURLToPath } from 'node:url'
import { isDisturbed } from './body.js'
import type { Connection, TlsFacts } from './connection.js'
import { bodyTooLarge, invalidArgument, nameOf, PinfetchError } from './errors.js'
import { detachHeaders, Headers } from './headers.js'
import type { Incoming } from './incoming.js'
import { putFile } from './replace-file.js'
import {
  readHeaders,
  responseBody,
  responseBodyIsToken,
  responseBodyStreams,
  responseHeaders,
  responseReason,
  responseRedirected,
  responseReused,
  responseStatus,
  responseTimes,
  responseTrailers,
  responseUrl,
  responseVersion,
  u32At,
} from './wire.js'

const PIECE = 64 * 1024
const EMPTY = Buffer.alloc(0)

/** How long a request took, in milliseconds. Of a request that was sent again or redirected, the last time counts. */
export interface Timings {
  /** From the call to when a connection was there; `dns`, `connect` and `tls` are part of it. */
  readonly queue: number
  /** Resolving the name; 0 where the connection had served before, as the next two. */
  readonly dns: number
  /** Connecting, a proxy's tunnel included. */
  readonly connect: number
  /** The TLS handshake. */
  readonly tls: number
  /** From the call to the response's header section. */
  readonly firstByte: number
  /** From the call to the end of the body; null until a body that is received as it is read has been. */
  readonly total: number | null
}

/** Lets go of the chunk that a response was read from; the engine calls it when the batch is over. */
export let detach: (response: Response) => void

/**
 * A response: its header section has come, and its body is there, if it is small, or is received as it is read.
 *
 * As the fetch standard's, with what TLS proved besides. Everything is decoded when it is asked for. The body can be
 * read once; one that nobody reads stalls, and is given up with the response.
 */
export class Response {
  static {
    detach = (response) => response.#detach()
  }

  /** Where the record lies: in the engine's chunk at first, in a copy of its own later. */
  #chunk: Buffer
  #at: number
  readonly #requestUrl: string
  readonly #connection: Connection
  /** A large body, which travelled apart. */
  #apart: Buffer | null
  /** A body that is still received. */
  readonly #incoming: Incoming | null
  readonly #isHead: boolean
  #bodyUsed = false
  /** Whether what its source gives is read by another, too. */
  #isTeed = false
  #headers: Headers | null = null
  #stream: ReadableStream<Uint8Array> | null = null

  /** Responses are made by a client: `chunk` holds a RESPONSE whose kind is at `at`. */
  constructor(
    chunk: Buffer,
    at: number,
    requestUrl: string,
    isHead: boolean,
    connection: Connection,
    apart: Buffer | null,
    incoming: Incoming | null,
  ) {
    this.#chunk = chunk
    this.#at = at
    this.#requestUrl = requestUrl
    this.#isHead = isHead
    this.#connection = connection
    this.#apart = apart
    this.#incoming = incoming
  }

  /** The status code. */
  get status(): number {
    return responseStatus(this.#chunk, this.#at)
  }

  /** The reason phrase; empty over HTTP/2, which has none. */
  get statusText(): string {
    if (responseVersion(this.#chunk, this.#at) === 2) return ''
    return responseReason(this.#chunk, this.#at) ?? REASONS[this.status] ?? ''
  }

  /** Whether the status is in 200–299. */
  get ok(): boolean {
    const status = this.status
    return status >= 200 && status <= 299
  }

  get headers(): Headers {
    this.#headers ??= new Headers(this.#chunk, responseHeaders(this.#chunk, this.#at))
    return this.#headers
  }

  /** The URL that was requested, or to which redirects have led, in canonical form, without its fragment. */
  get url(): string {
    return responseUrl(this.#chunk, this.#at) ?? this.#requestUrl
  }

  /** Whether redirects have led to another URL than was asked for. */
  get redirected(): boolean {
    return responseRedirected(this.#chunk, this.#at)
  }

  /** `1.0`, `1.1` or `2`. */
  get httpVersion(): '1.0' | '1.1' | '2' {
    const version = responseVersion(this.#chunk, this.#at)
    return version === 2 ? '2' : version === 1 ? '1.1' : '1.0'
  }

  /** What TLS proved of the connection. */
  get tls(): TlsFacts {
    return this.#connection.tls
  }

  /** Who answered: `1.2.3.4:443`, `[::1]:443`. */
  get remoteAddress(): string {
    return this.#connection.remoteAddress
  }

  /** How long the request took. */
  get timings(): Timings {
    const [queue, firstByte, handedOver] = responseTimes(this.#chunk, this.#at)
    const [dns, connect, tls] = responseReused(this.#chunk, this.#at)
      ? [0, 0, 0]
      : this.#connection.times
    const incoming = this.#incoming
    const total =
      incoming === null ? handedOver : incoming.took === null ? null : handedOver + incoming.took
    return {
      queue: queue / 1000,
      dns: dns / 1000,
      connect: connect / 1000,
      tls: tls / 1000,
      firstByte: firstByte / 1000,
      total: total === null ? null : total / 1000,
    }
  }

  /** The body as a stream of bytes; null where the fetch standard has none (HEAD, 204, 205, 304). */
  get body(): ReadableStream<Uint8Array> | null {
    if (this.#hasNoBody()) return null
    this.#stream ??= this.#makeStream()
    return this.#stream
  }

  /** Whether the body was read, or its reading begun. */
  get bodyUsed(): boolean {
    return this.#bodyUsed || (this.#stream !== null && isDisturbed(this.#stream))
  }

  /**
   * The trailer section (RFC 9110 §6.5): fields that came after the body. Empty until the body was read to its end by
   * this response, and where there is none.
   */
  get trailers(): Headers {
    if (this.#incoming !== null) return new Headers(this.#incoming.trailers)
    const at = responseTrailers(this.#chunk, this.#at)
    return new Headers(at === -1 ? [] : readHeaders(this.#chunk, at))
  }

  /** The body as text: UTF-8, whatever the headers say, without a byte order mark. */
  text(): Promise<string> {
    return this.#consume(() => this.#takeText(), decodeAll)
  }

  /** The body, parsed as JSON. */
  json(): Promise<unknown> {
    return this.#consume(
      () => JSON.parse(this.#takeText()),
      (bytes) => JSON.parse(decodeAll(bytes)),
    )
  }

  /** The body's bytes, which are the caller's own. */
  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#consume(() => this.#takeBytes(), identity)
  }

  /** The body's bytes, which are the caller's own. */
  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#consume(() => bufferOf(this.#takeBytes()), bufferOf)
  }

  /** The body as a Blob of the response's content type. */
  blob(): Promise<Blob> {
    const toBlob = (bytes: Uint8Array<ArrayBuffer>) =>
      new Blob([bytes], { type: this.headers.get('content-type') ?? '' })
    return this.#consume(() => toBlob(this.#takeBytes()), toBlob)
  }

  /** The body as a form, by the response's content type (`multipart/form-data` or `application/x-www-form-urlencoded`). */
  async formData(): Promise<FormData> {
    const bytes = await this.bytes()
    const type = this.headers.get('content-type')
    return new globalThis.Response(
      bytes,
      type === null ? {} : { headers: [['content-type', type]] },
    ).formData()
  }

  /**
   * Saves the body in the file `path`, without passing it through JavaScript where it is large; resolves to its length
   * in bytes.
   *
   * A file of that name is replaced when all is written, and stays as it was when that fails: `ERR_FILE`, or whatever
   * ended the body early. It keeps its mode, and a symbolic link leads to where it led; what is no file, such as a device
   * or a pipe, is written to.
   */
  async saveTo(path: string | URL): Promise<number> {
    const place = path instanceof URL ? fileURLToPath(path) : path
    if (typeof place !== 'string' || place === '') {
      throw invalidArgument(`the path is ${nameOf(path)}: give a string or a file: URL`)
    }
    const incoming = this.#incoming
    if (incoming === null || incoming.isShared) {
      const bytes = await this.bytes()
      await save(resolve(place), bytes)
      return bytes.length
    }
    this.#use()
    return incoming.save(resolve(place))
  }

  /** A response with the same body; each of the two can be read once. Throws a TypeError when the body has been read. */
  clone(): Response {
    if (this.bodyUsed || this.#stream?.locked) {
      throw new TypeError(
        'the body has been read already, or is being read: clone the response before',
      )
    }
    const copy = new Response(
      this.#chunk,
      this.#at,
      this.#requestUrl,
      this.#isHead,
      this.#connection,
      this.#apart === null ? null : Buffer.from(this.#apart),
      this.#incoming,
    )
    if (this.#incoming !== null || this.#stream !== null) {
      if (this.#incoming !== null) this.#incoming.isShared = true
      const both = this.body?.tee()
      if (both !== undefined) {
        this.#isTeed = true
        ;[this.#stream, copy.#stream] = both
      }
    }
    return copy
  }

  /**
   * The same as a global `Response`, which takes the body over.
   *
   * @throws {RangeError} for a status above 599, which a `Response` of the fetch standard cannot have; the body is left as it is
   */
  toWeb(): globalThis.Response {
    const { status, statusText } = this
    if (status > 599) {
      throw new RangeError(
        `the status ${status} has no global Response: those have one of 200 to 599 (fetch standard, Response constructor)`,
      )
    }
    const web = new globalThis.Response(this.body as BodyInit | null, {
      status,
      statusText,
      headers: this.headers.lines(),
    })
    return web
  }

  get [Symbol.toStringTag](): string {
    return 'Response'
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    const { status, statusText, headers, url, httpVersion, remoteAddress, bodyUsed } = this
    return { status, statusText, url, httpVersion, remoteAddress, headers, bodyUsed }
  }

  #takeText(): string {
    const bytes = this.#use()
    if (bytes !== null) return decode(bytes, 0, bytes.length)
    const length = responseBody(this.#chunk, this.#at)
    const start = length + 4
    return decode(this.#chunk, start, start + u32At(this.#chunk, length))
  }

  #takeBytes(): Uint8Array<ArrayBuffer> {
    const apart = this.#use()
    if (apart === EMPTY) return new Uint8Array(0)
    return apart === null ? new Uint8Array(this.#inlineBody()) : ownBytes(apart)
  }

  /** What `now` makes of a body that is there, or `later` of one that is still received. */
  #consume<T>(now: () => T, later: (bytes: Uint8Array<ArrayBuffer>) => T): Promise<T> {
    try {
      const incoming = this.#incoming
      if (incoming === null || this.#hasNoBody()) return Promise.resolve(now())
      const stream = this.#stream
      this.#use()
      const isCloned = stream !== null && incoming.isShared
      return (isCloned ? readAll(stream, incoming.limit) : incoming.rest()).then(later)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Marks the body as used. Gives the bytes that travelled apart, `EMPTY` for no body, or null for those inline. */
  #use(): Buffer | null {
    if (this.bodyUsed) throw new TypeError('the body has been read already: it can be read once')
    if (this.#hasNoBody()) return EMPTY // https://fetch.spec.whatwg.org/#concept-body-consume-body, step 5: stays unused
    if (this.#stream !== null) {
      if (this.#stream.locked) throw new TypeError('the body is being read as a stream')
      // from now on locked, as the standard has it
      if (!this.#incoming?.isShared) this.#stream.getReader()
    }
    this.#bodyUsed = true
    const apart = this.#apart
    this.#apart = null
    return apart
  }

  #inlineBody(): Buffer {
    const length = responseBody(this.#chunk, this.#at)
    return this.#chunk.subarray(length + 4, length + 4 + u32At(this.#chunk, length))
  }

  /** https://fetch.spec.whatwg.org/#null-body-status */
  #hasNoBody(): boolean {
    const status = this.status
    return this.#isHead || status === 204 || status === 205 || status === 304
  }

  #makeStream(): ReadableStream<Uint8Array> {
    const onUse = () => {
      if (!this.#isTeed) this.#bodyUsed = true
    }
    const stream =
      this.#incoming === null
        ? streamOf(() => this.#apart ?? this.#inlineBody(), onUse)
        : streamOfIncoming(this.#incoming, onUse)
    if (this.#bodyUsed) stream.getReader() // read by other means: locked, as the standard has it
    return stream
  }

  #detach(): void {
    const start = this.#at
    const body = responseBody(this.#chunk, start)
    const isApart = responseBodyIsToken(this.#chunk, start)
    const isRead =
      this.#bodyUsed && this.#stream === null && responseTrailers(this.#chunk, start) === -1
    const end = responseBodyStreams(this.#chunk, start)
      ? body
      : isApart
        ? body + 8
        : isRead
          ? body
          : body + 4 + u32At(this.#chunk, body)
    this.#chunk = Buffer.from(this.#chunk.subarray(start, this.#endOf(end)))
    this.#at = 0
    if (this.#headers !== null) detachHeaders(this.#headers)
  }

  /** Where the record ends whose body ends at `end`. */
  #endOf(end: number): number {
    const trailers = responseTrailers(this.#chunk, this.#at)
    return trailers === -1 ? end : trailers + 8 + u32At(this.#chunk, trailers + 4)
  }
}

function identity<T>(value: T): T {
  return value
}

/** The memory under `bytes`, and no more. */
function bufferOf(bytes: Uint8Array<ArrayBuffer>): ArrayBuffer {
  const { buffer } = bytes
  return buffer.byteLength === bytes.byteLength ? buffer : bytes.slice().buffer
}

/** What the addon gave, as bytes that are the reader's own. */
export function ownBytes(bytes: Buffer): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes
  return buffer instanceof ArrayBuffer
    ? new Uint8Array(buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes)
}

/** Reads a stream to its end, of which `limit` bytes may be held in memory. */
async function readAll(
  stream: ReadableStream<Uint8Array>,
  limit: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of stream) {
    length += piece.length
    if (length > limit) throw bodyTooLarge(limit)
    pieces.push(piece)
  }
  return ownBytes(Buffer.concat(pieces))
}

/** A byte stream over a body that is still received: pulled a piece at a time. */
function streamOfIncoming(incoming: Incoming, onUse: () => void): ReadableStream<Uint8Array> {
  const source: UnderlyingByteSource = {
    type: 'bytes',
    async pull(controller) {
      onUse()
      const piece = await incoming.read()
      if (piece !== null && piece.length > 0) {
        controller.enqueue(piece)
      } else if (piece === null || incoming.hasEnded) {
        controller.close()
        // a reader that waits with a buffer of its own learns of the end
        controller.byobRequest?.respond(0)
      }
    },
    cancel(reason) {
      onUse()
      incoming.cancel(reason)
    },
  }
  return new ReadableStream(source, { highWaterMark: 0 })
}

/** A byte stream over bytes that are at hand, copied a piece at a time since a byte stream takes what it is given. */
function streamOf(bytesOf: () => Buffer, onUse: () => void): ReadableStream<Uint8Array> {
  let bytes: Buffer | null = null
  let sent = 0
  const source: UnderlyingByteSource = {
    type: 'bytes',
    pull(controller) {
      bytes ??= bytesOf()
      onUse()
      if (sent < bytes.length) {
        const piece = bytes.subarray(sent, sent + PIECE)
        sent += piece.length
        controller.enqueue(new Uint8Array(piece))
      }
      if (sent === bytes.length) {
        controller.close()
        // a reader that waits with a buffer of its own learns of the end
        controller.byobRequest?.respond(0)
      }
    },
    cancel: onUse,
  }
  return new ReadableStream(source, { highWaterMark: 0 })
}

function decodeAll(bytes: Uint8Array): string {
  return decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength)
}

/** https://encoding.spec.whatwg.org/#utf-8-decode: a byte order mark is no text, malformed bytes become U+FFFD. */
function decode(bytes: Buffer, start: number, end: number): string {
  const hasMark =
    end - start >= 3 &&
    bytes[start] === 0xef &&
    bytes[start + 1] === 0xbb &&
    bytes[start + 2] === 0xbf
  return bytes.toString('utf8', hasMark ? start + 3 : start, end)
}

/** The reason phrases that HTTP/1.1 responses don't repeat over the boundary. */
const REASONS: Readonly<Record<number, string>> = {
  100: 'Continue',
  101: 'Switching Protocols',
  102: 'Processing',
  103: 'Early Hints',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  203: 'Non Authoritative Information',
  204: 'No Content',
  205: 'Reset Content',
  206: 'Partial Content',
  207: 'Multi-Status',
  208: 'Already Reported',
  226: 'IM Used',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  305: 'Use Proxy',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Payload Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  418: "I'm a teapot",
  421: 'Misdirected Request',
  422: 'Unprocessable Entity',
  423: 'Locked',
  424: 'Failed Dependency',
  425: 'Too Early',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  506: 'Variant Also Negotiates',
  507: 'Insufficient Storage',
  508: 'Loop Detected',
  510: 'Not Extended',
  511: 'Network Authentication Required',
}

async function save(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await putFile(path, bytes)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new PinfetchError('ERR_FILE', `cannot save the body as ${path}: ${reason}`, { cause })
  }
}
