// What a policy file says, typed. What the file leaves out has its default here.

import { caSetOf } from '../policy/ca-sets.js'
import { isObject, readDate } from './check.js'
import { type Path, pointerOf } from './source.js'

/** What a pin is for. A note: it changes nothing about what is accepted. */
export type PinRole = 'current' | 'backup' | 'root' | 'retired'

/** Where in the verified path a pin may be found: its first certificate, its last, or between. */
export type PinPosition = 'leaf' | 'intermediate' | 'root'

/** A pin of a policy file. */
export interface PolicyPin {
  /** `sha256/` + base64, however it is written. */
  readonly pin: string
  /** The only place of the path where it counts; null for every place. */
  readonly at: PinPosition | null
  /** The named set that it is of: `letsencrypt`, where `ca:letsencrypt` stands in the file; null for a pin of its own. */
  readonly caSet: string | null
  /** What it is for; a note. */
  readonly role: PinRole | null
  /** A short name of the key; a note. */
  readonly label: string | null
  /** Whatever its author wants to say. */
  readonly note: string | null
  /** When it came into the file; a note. */
  readonly added: Date | null
  /** When it should be gone from the file; a note. */
  readonly expires: Date | null
  /** Where it stands in the file: a JSON pointer (RFC 6901). */
  readonly pointer: string
}

/** When a pin set ends, and what becomes of its hosts then (`then` in files). */
export interface PolicyExpiry {
  readonly at: Date
  /** `enforce`: a reminder only; `report`: bad pins are reported and let pass; `refuse`: the hosts are refused. */
  readonly afterwards: 'enforce' | 'report' | 'refuse'
}

/**
 * How much of the verified path must be pinned: so many of its keys, or one at each of these places; `ca` is an
 * intermediate or the root.
 */
export type PolicyRequirement = number | readonly (PinPosition | 'ca')[]

/** What is said of one host pattern. */
export interface PolicySet {
  /** The host pattern, as it is written. */
  readonly pattern: string
  /** Takes the hosts that match out of less specific patterns: its own pins, if it has any, stand in place of theirs. */
  readonly exclude: boolean
  /** The pins; an exclusion may have none. */
  readonly pins: readonly PolicyPin[]
  /** Whether a bad pin refuses the request, or is reported only. */
  readonly mode: 'enforce' | 'report'
  /** When the set ends; null for never. */
  readonly expires: PolicyExpiry | null
  /** How much of the verified path must be pinned; 1 by default. */
  readonly require: PolicyRequirement
  /** What paths end in: the client's trust anchors, those of a file, or the pinned key itself. */
  readonly trust: 'ca' | 'pinned-key' | { readonly ca: string }
  /** Whatever its author wants to say. */
  readonly note: string | null
  /** Where it stands in the file: a JSON pointer (RFC 6901). */
  readonly pointer: string
}

/** A pin that no path may hold. */
export interface BlockedPin {
  /** `sha256/` + base64, however it is written. */
  readonly pin: string
  /** The named set that it is of; null for a pin of its own. */
  readonly caSet: string | null
  readonly label: string | null
  readonly note: string | null
  readonly added: Date | null
  /** Where it stands in the file: a JSON pointer (RFC 6901). */
  readonly pointer: string
}

/** Gives the one form of a pin, or of each pin of a named set. */
export type ReadPin = (pin: unknown) => readonly string[]

/** The set at `path`, whose shape was checked. */
export function readSet(path: Path, value: unknown, read: ReadPin): PolicySet {
  const pattern = String(path.at(-1))
  const given = isObject(value) && !isPinSource(value) ? value : { pins: value }
  const isExclusion = given.exclude === true
  const isBare = isExclusion && !Object.hasOwn(given, 'pins')
  const pinsPath = given === value ? [...path, 'pins'] : path
  const pins = isBare ? [] : given.pins
  return {
    pattern,
    exclude: isExclusion,
    pins: Array.isArray(pins)
      ? pins.flatMap((pin: unknown, index) => readPins([...pinsPath, index], pin, read))
      : readPins(pinsPath, pins, read),
    mode: given.mode === 'report' ? 'report' : 'enforce',
    expires: readExpiry(given.expires),
    require: (given.require ?? 1) as PolicyRequirement, // checked, as trust is
    trust: (given.trust ?? 'ca') as PolicySet['trust'],
    note: textOf(given.note),
    pointer: pointerOf(path),
  }
}

/** The blocked pin at `path`, or those of a named set, whose shape was checked. */
export function readBlocked(path: Path, value: unknown, read: ReadPin): BlockedPin[] {
  return readPins(path, value, read).map(({ pin, caSet, label, note, added, pointer }) => {
    return { pin, caSet, label, note, added, pointer }
  })
}

/** The pin at `path`, or those of the named set that stands there. */
function readPins(path: Path, value: unknown, read: ReadPin): PolicyPin[] {
  const given = isObject(value) && !isPinSource(value) ? value : { pin: value }
  const facts = {
    caSet: caSetOf(given.pin),
    at: (given.at ?? null) as PinPosition | null, // checked, as the role is
    role: (given.role ?? null) as PinRole | null,
    label: textOf(given.label),
    note: textOf(given.note),
    added: dateOf(given.added),
    expires: dateOf(given.expires),
    pointer: pointerOf(path),
  }
  return read(given.pin).map((pin) => ({ pin, ...facts }))
}

/** `{ certificate }` or `{ publicKey }`, which files without a version may have. */
function isPinSource(value: Record<string, unknown>): boolean {
  return Object.hasOwn(value, 'certificate') || Object.hasOwn(value, 'publicKey')
}

function readExpiry(value: unknown): PolicyExpiry | null {
  if (!isObject(value)) return null
  const at = dateOf(value.at)
  return at === null
    ? null
    : { at, afterwards: (value.then ?? 'enforce') as PolicyExpiry['afterwards'] }
}

function dateOf(value: unknown): Date | null {
  return typeof value === 'string' ? readDate(value) : null
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
