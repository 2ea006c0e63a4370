import { channels } from './diagnostics.js'
import type { BadPinError, BadPinReport } from './errors.js'
import { type Handler, tell } from './handler.js'
import { Headers } from './headers.js'

/** The request that was refused; credentials are taken out. */
export interface BadPinRequest {
  readonly method: string
  readonly url: string
  /** The request's own fields; those that hold credentials, which docs/http.md lists, are `[redacted]`. */
  readonly headers: Headers
}

/**
 * A request was refused for its pins, or would have been if pins in report mode were enforced: the request, and all that
 * the {@link BadPinError} reports. Of the latter, `patterns` are those in report mode, `presentedChain` is empty, and so is
 * the path over `http:`.
 */
export interface BadPinEvent extends BadPinReport {
  readonly request: BadPinRequest
  /** What the request's promise is about to reject with, or would have. */
  readonly error: BadPinError
  /** True: nothing was sent. False: the pins are in report mode, and the request goes on. */
  readonly enforced: boolean
}

/** Told of a bad pin. An async handler is started and not awaited. */
export type BadPinHandler = Handler<BadPinEvent>

/** Prints `this is the default bad pin handler`. Not set by default: give it as `onBadPin`. */
export function defaultBadPinHandler(): void {
  console.log('this is the default bad pin handler')
}

/** The fields whose values are taken out of what a handler is told: names in lower case. docs/http.md lists them, too. */
export const SECRET_FIELDS = [
  'api-key',
  'apikey',
  'authorization',
  'cookie',
  'private-token',
  'proxy-authorization',
  'set-cookie',
  'x-access-token',
  'x-amz-security-token',
  'x-api-key',
  'x-auth-token',
  'x-csrf-token',
  'x-goog-api-key',
  'x-vault-token',
  'x-xsrf-token',
] as const
const SECRET: ReadonlySet<string> = new Set(SECRET_FIELDS)

/**
 * Tells the handler, and whoever subscribed to the channel, of a request that is refused, or would be.
 *
 * Never throws: what the handler throws, or rejects with, becomes a warning, since nothing may replace the error.
 */
export function tellBadPin(
  handler: BadPinHandler | null,
  error: BadPinError,
  method: string,
  url: string,
  headers: readonly string[] | null,
  enforced = true,
): void {
  if (handler === null && !channels.badPin.hasSubscribers) return
  const {
    hostname,
    port,
    patterns,
    expectedPins,
    foundPins,
    verifiedPath,
    presentedChain,
    remoteAddress,
    blockedPin,
    expires,
    hint,
    diagnosis,
    policyLocations,
  } = error
  const event: BadPinEvent = {
    request: { method, url: withoutCredentials(url), headers: redacted(headers) },
    hostname,
    port,
    patterns,
    expectedPins,
    foundPins,
    verifiedPath,
    presentedChain,
    remoteAddress,
    blockedPin,
    expires,
    hint,
    diagnosis,
    policyLocations,
    error,
    enforced,
  }
  channels.badPin.publish(event)
  if (handler !== null) tell('onBadPin', handler, event)
}

/** `url` without a user name and password, before anyone has parsed it. */
export function withoutCredentials(url: string): string {
  if (!url.includes('@')) return url
  // as the URL standard reads it: without control characters and spaces before it, or tabs and line ends anywhere
  const read = url.replace(/^[^\x21-\uffff]+|[\t\n\r]/g, '')
  const safe = read.replace(/^([a-z][a-z0-9+.-]*:[/\\]*)[^/\\?#]*@/i, '$1')
  return safe === read ? url : safe
}

function redacted(headers: readonly string[] | null): Headers {
  const list: string[] = []
  for (let index = 0; headers !== null && index + 1 < headers.length; index += 2) {
    const name = (headers[index] ?? '').toLowerCase()
    list.push(name, SECRET.has(name) ? '[redacted]' : (headers[index + 1] ?? ''))
  }
  return new Headers(list)
}
