import { invalidArgument, nameOf } from './errors.js'

/**
 * What a request can send: text (as UTF-8), bytes, or form fields.
 *
 * Bytes are copied when the request is made: what happens to them later changes nothing.
 */
export type BodyInit = string | ArrayBuffer | ArrayBufferView | URLSearchParams

/** A body as it is sent, with the content type that it has unless the request names another. */
export interface Body {
  readonly content: string | Uint8Array
  readonly type: string | null
}

/** https://fetch.spec.whatwg.org/#concept-bodyinit-extract, for bodies whose bytes are at hand. */
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
  throw invalidArgument(
    `the body is ${nameOf(body)}: give a string, an ArrayBuffer, a typed array, a Buffer or URLSearchParams` +
      (body instanceof Blob ? ' (of a Blob: await blob.bytes() or blob.arrayBuffer())' : ''),
  )
}
