import type { UnderlyingByteSource } from 'node:stream/web'
import type { Connection, TlsFacts } from './connection.js'
import { detachHeaders, Headers } from './headers.js'
import {
  responseBody,
  responseBodyIsToken,
  responseHeaders,
  responseReason,
  responseStatus,
  responseUrl,
  responseVersion,
  u32At,
} from './wire.js'

const PIECE = 64 * 1024
const EMPTY = Buffer.alloc(0)

/** Lets go of the chunk that a response was read from; the engine calls it when the batch is over. */
export let detach: (response: Response) => void

/**
 * A response, whole: its body has been received and waits to be read.
 *
 * As the fetch standard's, with what TLS proved besides. Everything is decoded when it is asked for. The body can be
 * read once.
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
  readonly #isHead: boolean
  #bodyUsed = false
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
  ) {
    this.#chunk = chunk
    this.#at = at
    this.#requestUrl = requestUrl
    this.#isHead = isHead
    this.#connection = connection
    this.#apart = apart
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

  /** The URL that was requested, in canonical form. */
  get url(): string {
    return responseUrl(this.#chunk, this.#at) ?? this.#requestUrl
  }

  /** Always false: redirects are not followed. */
  get redirected(): boolean {
    return false
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

  /** The body as a stream of bytes; null where the fetch standard has none (HEAD, 204, 205, 304). */
  get body(): ReadableStream<Uint8Array> | null {
    if (this.#hasNoBody()) return null
    this.#stream ??= this.#makeStream()
    return this.#stream
  }

  /** Whether the body was read, or its reading begun. */
  get bodyUsed(): boolean {
    return this.#bodyUsed
  }

  /** The body as text: UTF-8, whatever the headers say, without a byte order mark. */
  text(): Promise<string> {
    try {
      return Promise.resolve(this.#takeText())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The body, parsed as JSON. */
  json(): Promise<unknown> {
    try {
      return Promise.resolve(JSON.parse(this.#takeText()))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The body's bytes, which are the caller's own. */
  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    try {
      return Promise.resolve(this.#takeBytes())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The body's bytes, which are the caller's own. */
  arrayBuffer(): Promise<ArrayBuffer> {
    try {
      const bytes = this.#takeBytes()
      const { buffer } = bytes
      return Promise.resolve(buffer.byteLength === bytes.byteLength ? buffer : bytes.slice().buffer)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The body as a Blob of the response's content type. */
  blob(): Promise<Blob> {
    try {
      return Promise.resolve(
        new Blob([this.#takeBytes()], { type: this.headers.get('content-type') ?? '' }),
      )
    } catch (error) {
      return Promise.reject(error)
    }
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
    if (apart !== null && apart.buffer instanceof ArrayBuffer) {
      return new Uint8Array(apart.buffer, apart.byteOffset, apart.byteLength)
    }
    return new Uint8Array(this.#inlineBody())
  }

  /** Marks the body as used. Gives the bytes that travelled apart, `EMPTY` for no body, or null for those inline. */
  #use(): Buffer | null {
    if (this.#bodyUsed) throw new TypeError('the body has been read already: it can be read once')
    if (this.#hasNoBody()) return EMPTY // https://fetch.spec.whatwg.org/#concept-body-consume-body, step 5: stays unused
    if (this.#stream !== null) {
      if (this.#stream.locked) throw new TypeError('the body is being read as a stream')
      this.#stream.getReader() // from now on locked, as the standard has it
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
    const stream = streamOf(
      () => this.#apart ?? this.#inlineBody(),
      () => {
        this.#bodyUsed = true
      },
    )
    if (this.#bodyUsed) stream.getReader() // read by other means: locked, as the standard has it
    return stream
  }

  #detach(): void {
    const start = this.#at
    const body = responseBody(this.#chunk, start)
    const end = responseBodyIsToken(this.#chunk, start)
      ? body + 8
      : this.#bodyUsed && this.#stream === null
        ? body
        : body + 4 + u32At(this.#chunk, body)
    this.#chunk = Buffer.from(this.#chunk.subarray(start, end))
    this.#at = 0
    if (this.#headers !== null) detachHeaders(this.#headers)
  }
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
