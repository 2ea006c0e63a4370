import { codeOf, type ErrorCode, invalidArgument, nameOf } from './errors.js'
import { toError, verifyChainRecord } from './native.js'
import { type PinInput, writePin } from './policy.js'
import { Reader, readFailure, Writer } from './wire.js'

/** A certificate chain to judge. */
export interface VerifyChainRequest {
  /** DER, leaf first, then what the server sent in its order; not parsed beforehand. */
  readonly chain: readonly Uint8Array[]
  /** DER; one that cannot be parsed is passed over, and none left is an error. */
  readonly trustAnchors: readonly Uint8Array[]
  /** A DNS name or an IP literal. */
  readonly hostname: string
  /** Unix seconds. @default now */
  readonly time?: number | undefined
  /** The pins of which the verified path must hold one. @default [] */
  readonly pins?: readonly PinInput[] | undefined
}

/** The verdict on a chain. Pins are of the verified path, leaf first, trust anchor last. */
export type VerifyChainResult =
  | { readonly ok: true; readonly path: readonly string[]; readonly matchedPin?: string }
  | {
      readonly ok: false
      readonly code: ErrorCode
      /** Pins of the path that verified and was refused for its pins; empty where none verified. */
      readonly found: readonly string[]
      /** `ERR_BAD_PIN`: the same, as `path` of a chain that is accepted. */
      readonly path?: readonly string[]
    }

const KEYS = new Set(['chain', 'trustAnchors', 'hostname', 'time', 'pins'])

/**
 * Judges a certificate chain as a handshake would, minus the proof of possession.
 *
 * Of several errors: path before name before pin; a path that only the pins refuse is `ERR_BAD_PIN` even if other
 * candidates failed otherwise. Throws a TypeError for a request of the wrong shape and a PolicyError for pins that
 * cannot be read or anchors of which none can.
 */
export function verifyChain(request: VerifyChainRequest): VerifyChainResult {
  const reply = new Reader(verifyChainRecord(encode(request)))
  if (reply.u8() === 0) {
    const path = reply.pins()
    return reply.flag() ? { ok: true, path, matchedPin: reply.pin() } : { ok: true, path }
  }
  const failure = readFailure(reply)
  const code = codeOf(failure.code)
  if (!code.startsWith('ERR_CERT_') && code !== 'ERR_BAD_PIN') throw toError(failure)
  const found = failure.foundPins ?? []
  return code === 'ERR_BAD_PIN'
    ? { ok: false, code, found, path: found }
    : { ok: false, code, found }
}

function encode(request: VerifyChainRequest): Uint8Array {
  if (typeof request !== 'object' || request === null)
    throw invalidArgument(`the request is ${nameOf(request)}: give an object`)
  for (const key of Object.keys(request)) {
    if (!KEYS.has(key))
      throw invalidArgument(`unknown property ${JSON.stringify(key)} of the request`)
  }
  const { chain, trustAnchors, hostname, time, pins = [] } = request
  const out = new Writer(16 * 1024)
  writeCertificates(out, 'chain', chain)
  writeCertificates(out, 'trustAnchors', trustAnchors)
  if (typeof hostname !== 'string')
    throw invalidArgument(`hostname is ${nameOf(hostname)}: give a string`)
  out.str(hostname)
  if (time !== undefined && !Number.isFinite(time))
    throw invalidArgument('time is no number of Unix seconds')
  out.flag(time !== undefined)
  if (time !== undefined) out.i64(Math.floor(time))
  if (!Array.isArray(pins)) throw invalidArgument(`pins is ${nameOf(pins)}: give an array`)
  out.u32(pins.length)
  for (const [index, pin] of pins.entries()) writePin(out, pin, `pins[${index}]`, undefined, index)
  return out.written()
}

function writeCertificates(out: Writer, name: string, certificates: unknown): void {
  if (!Array.isArray(certificates))
    throw invalidArgument(`${name} is ${nameOf(certificates)}: give an array of DER`)
  out.u32(certificates.length)
  for (const [index, der] of certificates.entries()) {
    if (!(der instanceof Uint8Array))
      throw invalidArgument(`${name}[${index}] is ${nameOf(der)}: give DER`)
    out.data(der)
  }
}
