// What a client can be told of HTTP/2 (RFC 9113).

import { invalidOption, nameOf, type PolicyError } from './errors.js'
import { nearestOf } from './nearest.js'
import { isCount, wrongCount } from './numbers.js'
import type { Profile } from './profiles/profile.js'
import { Http2, type Writer } from './wire.js'

/** What HTTP/2 connections are like. */
export interface Http2Options {
  /** Whether HTTP/2 alone is offered, as by `http2: 'only'`. @default false */
  readonly only?: boolean | undefined
  /**
   * How many bytes of a response's body may be under way before somebody reads them (`SETTINGS_INITIAL_WINDOW_SIZE`): what
   * a server can send in one round trip. @default 4194304
   */
  readonly initialWindowSize?: number | undefined
  /** The same of all bodies of a connection together; 65535 at least. @default 16777216 */
  readonly connectionWindowSize?: number | undefined
  /**
   * How many requests a connection may have under way at once; 0 for as many as the server allows
   * (`SETTINGS_MAX_CONCURRENT_STREAMS`), and never more. The others wait in the order in which they came. @default 0
   */
  readonly maxConcurrentStreams?: number | undefined
  /**
   * How many connections a host may have: another is made when requests wait because those that are there have as many
   * under way as they may. @default 1
   */
  readonly connections?: number | undefined
  /** The largest frame that servers may send, in bytes; 16384 at least (`SETTINGS_MAX_FRAME_SIZE`). @default 16384 */
  readonly maxFrameSize?: number | undefined
  /** How large a table servers may keep for header compression, in bytes (`SETTINGS_HEADER_TABLE_SIZE`). @default 4096 */
  readonly headerTableSize?: number | undefined
  /** Whether a silent connection is asked if it lives (PING), and when; false for never. @default {} */
  readonly keepAlive?: KeepAliveOptions | boolean | undefined
}

/** When a connection with requests under way is asked whether it lives. */
export interface KeepAliveOptions {
  /** Milliseconds of silence until it is asked. @default 15000 */
  readonly interval?: number | undefined
  /**
   * Milliseconds for its answer. Without one the connection is closed, and what can't be done twice by it is sent again
   * on another. @default 15000
   */
  readonly timeout?: number | undefined
}

/** The defaults of {@link Http2Options}. */
export const HTTP2_DEFAULTS = {
  only: false,
  initialWindowSize: 4 << 20,
  connectionWindowSize: 16 << 20,
  maxConcurrentStreams: 0,
  connections: 1,
  maxFrameSize: 1 << 14,
  headerTableSize: 4096,
  keepAlive: { interval: 15_000, timeout: 15_000 },
} as const satisfies Http2Options

const LARGEST_U32 = 0xffff_ffff
const LARGEST_WINDOW = 0x7fff_ffff
const LARGEST_FRAME = 0xff_ffff
/** A setting that is as the protocol has it, and is not said. */
const UNSAID = LARGEST_U32
/** A table is memory that a server has the use of. */
const LARGEST_TABLE = 1 << 20

/** What is said of HTTP/2, checked. */
export interface Http2Settings {
  /** Whether it is offered, as the wire has it. */
  readonly choice: number
  /** The rest, for the end of the engine's record. */
  readonly write: (out: Writer) => void
}

/** Reads the option `http2`; what it leaves out is as `profile` has it. */
export function readHttp2(value: unknown, profile?: Profile['http2']): Http2Settings {
  if (value === 'only') return { choice: Http2.only, write: writeHttp2({}, profile) }
  if (typeof value === 'boolean')
    return { choice: value ? Http2.offer : Http2.never, write: writeHttp2({}, profile) }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidOption('http2', `http2 is ${nameOf(value)}: give true, false, 'only' or an object`)
  const given = ownOptions(value, HTTP2_DEFAULTS, 'http2')
  const only = given.only ?? HTTP2_DEFAULTS.only
  if (typeof only !== 'boolean') throw wrong('http2.only', only, 'true or false')
  return { choice: only ? Http2.only : Http2.offer, write: writeHttp2(given, profile) }
}

type Given<Options> = { readonly [Key in keyof Options]?: unknown }
type Size = Exclude<keyof typeof HTTP2_DEFAULTS, 'only' | 'keepAlive'>

function writeHttp2(
  given: Given<typeof HTTP2_DEFAULTS>,
  profile: Profile['http2'] | undefined,
): (out: Writer) => void {
  const read = (name: Size, least: number, most: number, fallback?: number) =>
    count(`http2.${name}`, given[name] ?? fallback ?? HTTP2_DEFAULTS[name], least, most)
  /** What need not be said. */
  const readSaid = (name: Size, least: number, most: number, fallback?: number | null) =>
    given[name] === undefined && (fallback ?? null) === null
      ? UNSAID
      : read(name, least, most, fallback ?? undefined)
  const numbers = [
    read('initialWindowSize', 1, LARGEST_WINDOW, profile?.initialWindowSize),
    read('connectionWindowSize', 65_535, LARGEST_WINDOW, profile?.connectionWindowSize),
    read('maxConcurrentStreams', 0, LARGEST_U32),
    read('connections', 1, LARGEST_U32),
    readSaid('maxFrameSize', 1 << 14, LARGEST_FRAME, profile?.maxFrameSize),
    readSaid('headerTableSize', 0, LARGEST_TABLE, profile?.headerTableSize),
    ...readKeepAlive(given.keepAlive ?? true),
  ]
  return (out) => {
    for (const number of numbers) out.u32(number)
  }
}

/** Interval and timeout; zeros for never. */
function readKeepAlive(value: unknown): [number, number] {
  if (value === false) return [0, 0]
  const defaults = HTTP2_DEFAULTS.keepAlive
  if (value === true) return [defaults.interval, defaults.timeout]
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrong('http2.keepAlive', value, 'an object, true or false')
  const given = ownOptions(value, defaults, 'http2.keepAlive')
  return [
    count('http2.keepAlive.interval', given.interval ?? defaults.interval, 1, LARGEST_U32),
    count('http2.keepAlive.timeout', given.timeout ?? defaults.timeout, 1, LARGEST_U32),
  ]
}

/** The properties of `value`, all of which are names of `known`. */
function ownOptions<Options extends object>(
  value: object,
  known: Options,
  place: string,
): Given<Options> {
  const names = Object.keys(known)
  for (const key of Object.keys(value)) {
    if (names.includes(key)) continue
    const nearest = nearestOf(key, names)
    const mend = nearest === undefined ? '' : `: did you mean ${JSON.stringify(nearest)}?`
    throw invalidOption('http2', `${place} has an unknown option ${JSON.stringify(key)}${mend}`)
  }
  return value // has only what was asked for
}

function count(place: string, value: unknown, least: number, most: number): number {
  if (isCount(value, least, most)) return value
  throw invalidOption('http2', wrongCount(place, value, least, most))
}

function wrong(place: string, value: unknown, wanted: string): PolicyError {
  return invalidOption('http2', `${place} is ${nameOf(value)}: give ${wanted}`)
}
