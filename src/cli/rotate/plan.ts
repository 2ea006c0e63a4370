// What a rotation changes in a policy file: new pins beside the old ones, and later the old ones gone.

import type { FilePolicy, PinRole, PolicyPin, PolicySet } from '../../index.js'
import { readPattern } from '../../policy/patterns.js'
import { UsageError } from '../exit.js'
import { dayOf } from '../wording.js'
import { type Members, type Path, PolicyText } from './edit.js'

/** A pin that is to come. */
export interface NewPin {
  readonly pin: string
  /** What has the key, for people; null where the pin was given. */
  readonly source: string | null
}

/** What somebody wants. */
export interface Rotation {
  readonly pins: readonly NewPin[]
  /** What the new pins are for. With `current`, the pins that are so now retire. */
  readonly role: PinRole
  readonly label: string | null
  /** When the new pins come into the file. */
  readonly from: Date
  /** When the old ones should be gone. */
  readonly until: Date
  /** The host patterns whose sets change (canonical); of none given, those that have a pin of `replaced`. */
  readonly patterns: ReadonlySet<string>
  /** Pins that retire, whatever their role; none for those with the role `current`. */
  readonly replaced: ReadonlySet<string>
}

/** What becomes of a pin in a set. */
export interface Change {
  readonly pattern: string
  readonly change: 'add' | 'promote' | 'retire' | 'remove'
  readonly pin: string
  readonly label: string | null
  readonly role: PinRole | null
  /** A day: when it comes (`add`, `promote`), or should be gone (`retire`). */
  readonly date: string | null
}

/** A file's text before and after, and what was changed. */
export interface Edit {
  readonly text: string
  readonly changes: readonly Change[]
  /** What could not be done as one might expect, for people. */
  readonly remarks: readonly string[]
}

/** The edit that brings new pins in, and retires old ones. */
export function beginRotation(text: string, policy: FilePolicy, rotation: Rotation): Edit {
  const edited = new PolicyText(text)
  const changes: Change[] = []
  const remarks = rotation.pins.flatMap(({ pin, source }) =>
    source === null ? [] : [`${pin} is that of ${source}`],
  )
  for (const set of setsOf(policy, rotation)) {
    const isPlain = pathOf(set.pointer).length === 1
    for (const { pin } of rotation.pins)
      changes.push(...bringIn(edited, set, pin, rotation, isPlain))
    const old = oldPins(set, rotation)
    const isTold = set.pins.some(({ role }) => role === 'current' || role === 'retired')
    if (rotation.role === 'current' && old.length === 0 && !isTold)
      remarks.push(
        `${set.pattern}: no pin has the role "current", so none retires: name it with --replace`,
      )
    if (isPlain && old.length > 0)
      remarks.push(
        `${set.pattern}: a file without a version has no roles or dates: give rotate finish the old pin with --pin`,
      )
    else {
      const expires = dayOf(rotation.until)
      for (const pin of placesOf(old)) edited.set(pathOfPin(set, pin), { role: 'retired', expires })
      changes.push(
        ...old.map((pin): Change => {
          return { ...facts(set, pin), change: 'retire', role: 'retired', date: expires }
        }),
      )
    }
  }
  return { text: edited.toString(), changes, remarks }
}

/** The edit that takes `pins` out; those that are retired if none are given. */
export function finishRotation(
  text: string,
  policy: FilePolicy,
  patterns: ReadonlySet<string>,
  pins: ReadonlySet<string>,
): Edit & { readonly sets: readonly PolicySet[] } {
  const edited = new PolicyText(text)
  const changes: Change[] = []
  const sets: PolicySet[] = []
  for (const set of policy.sets.values()) {
    if (patterns.size > 0 && !patterns.has(readPattern(set.pattern).text)) continue
    const isOld = (of: PolicyPin): boolean => (pins.size > 0 ? pins.has(of.pin) : isRetired(of))
    const old = set.pins.filter(isOld)
    if (old.length === 0) continue
    const partly = old.find((of) =>
      set.pins.some((other) => other.pointer === of.pointer && !isOld(other)),
    )
    if (partly !== undefined)
      throw new UsageError(
        `${partly.pin} is one of ca:${partly.caSet} of ${set.pattern}: replace the set by its other pins`,
      )
    if (old.length === set.pins.length)
      throw new UsageError(`${set.pattern} would have no pin left: add the new ones first`)
    sets.push(set)
    for (const pin of placesOf(old).toReversed()) edited.remove(pathOfPin(set, pin))
    changes.push(
      ...old.map((pin): Change => {
        return { ...facts(set, pin), change: 'remove', role: pin.role, date: null }
      }),
    )
  }
  return { text: edited.toString(), changes, remarks: [], sets }
}

/** The sets that change. */
function setsOf(policy: FilePolicy, { patterns, replaced }: Rotation): PolicySet[] {
  const left = new Set(patterns)
  const chosen = [...policy.sets.values()].filter((set) => {
    const { text } = readPattern(set.pattern)
    left.delete(text)
    if (patterns.size > 0) return patterns.has(text)
    return set.pins.some(({ pin }) => replaced.has(pin))
  })
  const [missing] = left
  if (missing !== undefined) throw new UsageError(`the file has no host pattern ${missing}`)
  if (chosen.length === 0) throw new UsageError('no set of the file has a pin of --replace')
  const excluded = chosen.find(({ pins }) => pins.length === 0)
  if (excluded !== undefined)
    throw new UsageError(`${excluded.pattern} is an exclusion: it has no pins`)
  return chosen
}

function bringIn(
  edited: PolicyText,
  set: PolicySet,
  pin: string,
  { role, label, from }: Rotation,
  isPlain: boolean,
): Change[] {
  const known = set.pins.find((of) => of.pin === pin)
  const date = dayOf(from)
  const change = { pattern: set.pattern, pin, label: label ?? known?.label ?? null, role, date }
  if (known !== undefined) {
    if (isPlain || known.role === role) return []
    const path = pathOfPin(set, known)
    edited.set(path, { role })
    // it was to go
    if (known.expires !== null && isRetired(known)) edited.remove([...path, 'expires'])
    return [{ ...change, change: 'promote' }]
  }
  if (isPlain) {
    if (set.pins[0]?.pointer === set.pointer) edited.wrap(pathOf(set.pointer), pin)
    else edited.append(listOf(set), pin)
    return [{ ...change, change: 'add', label: null, role: null, date: null }]
  }
  const members: Members = { pin, ...(label === null ? {} : { label }), role, added: date }
  edited.append(listOf(set), members)
  return [{ ...change, change: 'add' }]
}

/** The pins that new ones replace, as far as they are not retired yet. */
function oldPins(set: PolicySet, { pins, role, replaced }: Rotation): PolicyPin[] {
  const coming = new Set(pins.map(({ pin }) => pin))
  return set.pins.filter((of) => {
    if (coming.has(of.pin) || isRetired(of)) return false
    return replaced.size > 0 ? replaced.has(of.pin) : role === 'current' && of.role === 'current'
  })
}

/** One pin for each place of the file: those of a named set share theirs. */
function placesOf(pins: readonly PolicyPin[]): PolicyPin[] {
  return [...new Map(pins.map((pin) => [pin.pointer, pin])).values()]
}

function isRetired({ role }: PolicyPin): boolean {
  return role === 'retired'
}

function facts(
  set: PolicySet,
  { pin, label }: PolicyPin,
): Pick<Change, 'pattern' | 'pin' | 'label'> {
  return { pattern: set.pattern, pin, label }
}

/** Where the list of a set's pins stands. */
function listOf({ pins, pointer }: PolicySet): Path {
  return pathOf(pins[0]?.pointer.replace(/\/\d+$/, '') ?? pointer)
}

function pathOfPin(set: PolicySet, { pointer }: PolicyPin): Path {
  if (pointer === set.pointer) return pathOf(pointer) // the value of its pattern, no item of a list
  return [...listOf(set), Number(/\d+$/.exec(pointer)?.[0])]
}

/** The way through objects that a JSON pointer (RFC 6901) leads. */
function pathOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replace(/~1/g, '/').replace(/~0/g, '~'))
}
