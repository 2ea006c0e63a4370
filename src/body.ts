import { invalidArgument, nameOf } from './errors.js'
import { multipart } from './multipart.js'
import { nodeStream } from './node-modules.js'
import { BodySource } from './upload.js'

/**
 * What a request can send: text (as UTF-8), bytes, a Blob, a form, or what gives bytes while it is sent (a web stream, a
 * Node stream, an async generator).
 *
 * Bytes are copied when the request is made: what happens to them later changes nothing. What is read while it is sent
 * can be sent once: where a redirect or a broken connection would have it sent again, the request fails. Blobs and forms
 * up to a mebibyte are read beforehand, and can be.
 */
export type BodyInit =
  | string
  | ArrayBuffer
  | ArrayBufferView
  | URLSearchParams
  | Blob
  | FormData
  | ReadableStream<Uint8Array | string>
  | AsyncIterable<Uint8Array | ArrayBuffer | string>

/** What is sent: at hand, to be read beforehand, or read while it is sent. */
export type BodyContent = string | Uint8Array | Blob | BodySource

/** A body as it is sent, with the content type that it has unless the request names another. */
export interface Body {
  readonly content: BodyContent
  readonly type: string | null
}

/** Blobs up to this size are read before the request is sent. */
const SMALL_BLOB = 1024 * 1024

/** https://fetch.spec.whatwg.org/#concept-bodyinit-extract */
export function extractBody(body: unknown): Body | null {
  if (body === null || body === undefined) return null
  if (typeof body === 'string') return { content: body, type: 'text/plain;charset=UTF-8' }
  if (body instanceof Uint8Array) return { content: body, type: null }
  if (body instanceof ArrayBuffer) return { content: new Uint8Array(body), type: null }
  if (ArrayBuffer.isView(body)) {
    return { content: new Uint8Array(body.buffer, body.byteOffset, body.byteLength), type: null }
  }
  if (body instanceof URLSearchParams) {
    return { content: body.toString(), type: 'application/x-www-form-urlencoded;charset=UTF-8' }
  }
  if (body instanceof Blob) return { content: contentOf(body), type: body.type || null }
  if (body instanceof FormData) {
    const { blob, type } = multipart(body)
    return { content: contentOf(blob), type }
  }
  if (typeof body === 'object' && Symbol.asyncIterator in body) {
    if (body instanceof ReadableStream && body.locked)
      throw invalidArgument('the body is a stream that is locked: somebody reads it already')
    // the rest of a stream, or nothing, would be sent for the whole
    if (isRead(body))
      throw invalidArgument('the body is a stream that was read already, or destroyed')
    // asked for above; each chunk is checked when it comes
    return { content: new BodySource(body as AsyncIterable<unknown>, null), type: null }
  }
  throw invalidArgument(
    `the body is ${nameOf(body)}: give a string, bytes, URLSearchParams, a Blob, FormData, a stream or an async iterable` +
      (nameOf(body) === 'an object' ? ' (of an object as JSON: the option json)' : ''),
  )
}

/** Whether a stream of the web was read from or cancelled (streams standard, disturbed). */
export function isDisturbed(body: ReadableStream): boolean {
  // @types/node does not know of it
  const node = nodeStream() as { isDisturbed?: (stream: ReadableStream) => boolean }
  return node.isDisturbed?.(body) === true
}

/** Whether a stream of Node.js or the web was read from or ended before its end: false for any other iterable. */
function isRead(body: object): boolean {
  if (body instanceof ReadableStream) return isDisturbed(body)
  return body instanceof nodeStream().Readable && (body.readableDidRead || body.destroyed)
}

/** A body of JSON (RFC 8259). Throws what `JSON.stringify` throws. */
export function extractJson(value: unknown): Body {
  const content: unknown = JSON.stringify(value)
  if (typeof content !== 'string')
    throw invalidArgument(`json is ${nameOf(value)}, for which JSON has no text`)
  return { content, type: 'application/json' }
}

function contentOf(blob: Blob): Blob | BodySource {
  return blob.size <= SMALL_BLOB ? blob : new BodySource(blob.stream(), blob.size)
}
