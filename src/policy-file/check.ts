// What a policy file may say: its shape, and what its values must be. Twin of schema/policy.schema.json; a test holds
// both to the same files. Pins and host patterns are the engine's to read: see file.ts.

import { type ErrorCode, nameOf } from '../errors.js'
import { nearestOf } from '../nearest.js'
import { caSetOf } from '../policy/ca-sets.js'
import type { Fault, Path } from './source.js'

/** The members of each object of a policy file. */
export const FIELDS = {
  file: ['$schema', 'version', 'unpinned', 'blocked', 'hosts', 'environments'],
  environment: ['unpinned', 'hosts'],
  set: ['pins', 'exclude', 'mode', 'expires', 'require', 'trust', 'note'],
  exclusion: ['exclude', 'note'],
  pin: ['pin', 'label', 'note', 'role', 'added', 'expires', 'at'],
  blocked: ['pin', 'label', 'note', 'added'],
  expiry: ['at', 'then'],
  trust: ['ca'],
} as const

/** The words of each member that has a choice. */
export const CHOICES = {
  unpinned: ['allow', 'warn', 'refuse'],
  mode: ['enforce', 'report'],
  role: ['current', 'backup', 'root', 'retired'],
  at: ['leaf', 'intermediate', 'root'],
  afterwards: ['enforce', 'report', 'refuse'],
  trust: ['ca', 'pinned-key'],
  require: ['leaf', 'intermediate', 'root', 'ca'],
} as const

/** The first of these that a file has makes it more than a map of hosts and their pins. */
const MARKS = ['version', '$schema', 'hosts', 'environments']

/** The form of a date: a day, or a moment with its zone (RFC 3339). */
export const DATE =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))?$/

/** Whether the file is a map of host patterns and their pins, without a version. */
export function isSimple(value: unknown): boolean {
  return isObject(value) && !MARKS.some((mark) => Object.hasOwn(value, mark))
}

/** What is wrong with the shape of a file, and how many members it has where nothing is. */
export function checkFile(value: unknown): { faults: Fault[]; members: number } {
  const check = new Check()
  check.file(value)
  return { faults: check.faults, members: check.members }
}

class Check {
  readonly faults: Fault[] = []
  members = 0

  file(value: unknown): void {
    if (!isObject(value)) {
      this.#wrong([], `it is ${nameOf(value)}: give a JSON object`)
      return
    }
    const file = this.#members(value, [], FIELDS.file, 'a policy file')
    if (file === null) return
    this.#version(file)
    if (file.$schema !== undefined) this.#text(file.$schema, ['$schema'])
    this.#choice(file.unpinned, ['unpinned'], CHOICES.unpinned)
    if (file.blocked !== undefined) this.#blocked(file.blocked)
    if (file.hosts === undefined && file.environments === undefined)
      this.#wrong([], 'it has neither "hosts" nor "environments"')
    this.#hosts(file.hosts, ['hosts'])
    if (file.environments === undefined) return
    const environments = this.#map(file.environments, ['environments'], 'environments')
    for (const [name, environment] of Object.entries(environments ?? {})) {
      const path = ['environments', name]
      if (name.trim() === '') this.#wrong(path, 'an environment has a name', true)
      const own = this.#members(environment, path, FIELDS.environment, 'an environment')
      if (own === null) continue
      this.#choice(own.unpinned, [...path, 'unpinned'], CHOICES.unpinned)
      this.#hosts(own.hosts, [...path, 'hosts'])
    }
  }

  #version(file: Record<string, unknown>): void {
    const { version } = file
    if (version === 1) return
    if (version === undefined) this.#wrong([], 'it has no "version": give 1')
    else if (typeof version === 'number' && version > 1)
      this.#wrong(['version'], `version ${version} is newer than this pinfetch: it reads 1`)
    else this.#wrong(['version'], 'the version of a policy file is 1')
  }

  #hosts(value: unknown, path: Path): void {
    if (value === undefined) return
    const hosts = this.#map(value, path, 'host patterns')
    if (hosts === null) return
    for (const pattern of Object.keys(hosts)) this.#set(hosts[pattern], [...path, pattern])
  }

  #set(value: unknown, path: Path): void {
    if (Array.isArray(value)) {
      this.#pins(value, path)
      return
    }
    if (!isObject(value)) {
      this.#wrong(
        path,
        `it is ${nameOf(value)}: give a list of pins, { "pins": […] } or { "exclude": true }`,
      )
      return
    }
    if (Object.hasOwn(value, 'exclude')) {
      if (value.exclude !== true) this.#wrong([...path, 'exclude'], 'give true, or leave it out')
      if (!Object.hasOwn(value, 'pins')) {
        this.#exclusion(value, path)
        return
      }
    }
    const set = this.#members(value, path, FIELDS.set, 'a pin set')
    if (set === null) return
    if (set.pins === undefined) {
      this.#wrong(path, 'it has neither "pins" nor "exclude": true')
      return
    }
    if (!this.#pins(set.pins, [...path, 'pins'])) return
    this.#choice(set.mode, [...path, 'mode'], CHOICES.mode)
    this.#expiry(set.expires, [...path, 'expires'])
    this.#trust(set.trust, [...path, 'trust'])
    this.#optionalText(set.note, [...path, 'note'])
    this.#require(set.require, [...path, 'require'], set.pins)
  }

  /** An exclusion without pins of its own: of the settings of a pin set it has none. */
  #exclusion(value: Record<string, unknown>, path: Path): void {
    const settings = Object.keys(value).filter(
      (name) => isSetting(name) && !FIELDS.exclusion.some((known) => known === name),
    )
    for (const name of settings)
      this.#fault(
        'ERR_POLICY_INVALID_EXCLUDE',
        [...path, name],
        `an exclusion without "pins" has no member ${JSON.stringify(name)}: leave it out, or give pins`,
        true,
      )
    if (settings.length > 0) return
    const exclusion = this.#members(value, path, FIELDS.exclusion, 'an exclusion')
    if (exclusion !== null) this.#optionalText(exclusion.note, [...path, 'note'])
  }

  /** Whether `value` is a list of pins. */
  #pins(value: unknown, path: Path): value is unknown[] {
    if (!Array.isArray(value)) {
      this.#wrong(path, `it is ${nameOf(value)}: give a list of pins`)
      return false
    }
    if (value.length === 0) {
      this.#fault(
        'ERR_POLICY_EMPTY_PIN_SET',
        path,
        'the pin list is empty: leave the host out, or write { "exclude": true }',
      )
      return false
    }
    for (let index = 0; index < value.length; index++) {
      const pin: unknown = value[index]
      if (typeof pin !== 'string') this.#pin(pin, [...path, index], FIELDS.pin)
    }
    return true
  }

  /** A pin with what is known of it. */
  #pin(value: unknown, path: Path, known: readonly string[]): void {
    if (!isObject(value)) {
      this.#fault(
        'ERR_POLICY_INVALID_PIN',
        path,
        `it is ${nameOf(value)}: give "sha256/…" or { "pin": "sha256/…" }`,
      )
      return
    }
    const pin = this.#members(value, path, known, 'a pin')
    if (pin === null) return
    if (typeof pin.pin !== 'string') {
      const what = pin.pin === undefined ? 'it has no "pin"' : `"pin" is ${nameOf(pin.pin)}`
      this.#fault('ERR_POLICY_INVALID_PIN', path, `${what}: give "sha256/…"`)
    }
    this.#optionalText(pin.label, [...path, 'label'])
    this.#optionalText(pin.note, [...path, 'note'])
    this.#choice(pin.role, [...path, 'role'], CHOICES.role)
    this.#choice(pin.at, [...path, 'at'], CHOICES.at)
    this.#date(pin.added, [...path, 'added'])
    this.#date(pin.expires, [...path, 'expires'])
  }

  #blocked(value: unknown): void {
    if (!Array.isArray(value)) {
      this.#wrong(['blocked'], `it is ${nameOf(value)}: give a list of pins`)
      return
    }
    for (const [index, pin] of value.entries())
      if (typeof pin !== 'string') this.#pin(pin, ['blocked', index], FIELDS.blocked)
  }

  #expiry(value: unknown, path: Path): void {
    if (value === undefined) return
    const expiry = this.#members(value, path, FIELDS.expiry, 'an expiry')
    if (expiry === null) return
    if (expiry.at === undefined) this.#wrong(path, 'it has no "at": give a date')
    this.#date(expiry.at, [...path, 'at'])
    this.#choice(expiry.then, [...path, 'then'], CHOICES.afterwards)
  }

  #trust(value: unknown, path: Path): void {
    if (!isObject(value)) {
      this.#choice(value, path, CHOICES.trust)
      return
    }
    const trust = this.#members(value, path, FIELDS.trust, 'trust')
    if (trust === null) return
    if (trust.ca === undefined)
      this.#wrong(path, 'it has no "ca": give the path of a file of certificates')
    else this.#text(trust.ca, [...path, 'ca'])
  }

  #require(value: unknown, path: Path, pins: unknown[]): void {
    if (value === undefined) return
    if (typeof value === 'number') {
      if (!Number.isInteger(value) || value < 1) this.#wrong(path, 'give a whole number from 1')
      else if (value > pins.length && pins.every((pin) => caSetOf(pin) === null))
        this.#wrong(path, `it asks for ${value} pins of ${pins.length}: no path could hold them`)
      return
    }
    if (!Array.isArray(value)) {
      this.#wrong(
        path,
        `it is ${nameOf(value)}: give a number of pins, or a list such as ["leaf", "root"]`,
      )
      return
    }
    if (value.length === 0)
      this.#wrong(path, 'the list is empty: name a place of the path, such as "leaf"')
    const faults = this.faults.length
    for (const [index, place] of value.entries()) {
      this.#choice(place, [...path, index], CHOICES.require)
      if (value.indexOf(place) !== index)
        this.#wrong([...path, index], `${JSON.stringify(place)} stands there twice`)
    }
    if (this.faults.length > faults) return
    for (const [index, place] of value.entries()) {
      if (!pins.some((pin) => mayStandAt(pin, place)))
        this.#wrong(
          [...path, index],
          `none of the pins may stand at ${JSON.stringify(place)}: no path could hold one`,
        )
    }
  }

  #date(value: unknown, path: Path): void {
    if (value === undefined || (typeof value === 'string' && readDate(value) !== null)) return
    const what =
      typeof value === 'string' ? `${JSON.stringify(value)} is no date` : `it is ${nameOf(value)}`
    this.#wrong(
      path,
      `${what}: give a day such as "2027-03-01", or a moment such as "2027-03-01T12:00:00Z"`,
    )
  }

  #choice(value: unknown, path: Path, words: readonly string[]): void {
    if (value === undefined || (typeof value === 'string' && words.includes(value))) return
    if (typeof value !== 'string') {
      this.#wrong(path, `it is ${nameOf(value)}: give ${orList(words)}`)
      return
    }
    const nearest = nearestOf(value, words)
    const mend =
      nearest === undefined ? `give ${orList(words)}` : `did you mean ${JSON.stringify(nearest)}?`
    this.#wrong(path, `${JSON.stringify(value)} is none of its words: ${mend}`)
  }

  #optionalText(value: unknown, path: Path): void {
    if (value !== undefined && typeof value !== 'string')
      this.#wrong(path, `it is ${nameOf(value)}: give a text`)
  }

  #text(value: unknown, path: Path): void {
    this.#optionalText(value, path)
    if (value === '') this.#wrong(path, 'it is empty')
  }

  /** The members of an object whose names are the author's, at least one. */
  #map(value: unknown, path: Path, of: string): Record<string, unknown> | null {
    if (!isObject(value)) {
      this.#wrong(path, `it is ${nameOf(value)}: give an object of ${of}`)
      return null
    }
    const count = Object.keys(value).length
    if (count === 0) {
      const code = of === 'host patterns' ? 'ERR_POLICY_EMPTY_PIN_SET' : 'ERR_POLICY_INVALID_OPTION'
      this.#fault(code, path, `it has no ${of}: leave it out`)
      return null
    }
    this.members += count
    return value
  }

  /** The members of an object that has some of `known`. */
  #members(
    value: unknown,
    path: Path,
    known: readonly string[],
    what: string,
  ): Record<string, unknown> | null {
    if (!isObject(value)) {
      this.#wrong(path, `it is ${nameOf(value)}: give an object`)
      return null
    }
    const faults = this.faults.length
    for (const name of Object.keys(value)) {
      this.members += 1
      if (known.includes(name)) continue
      const nearest = nearestOf(name, known)
      const mend =
        nearest === undefined
          ? `it may have ${orList(known, 'and')}`
          : `did you mean ${JSON.stringify(nearest)}?`
      this.#wrong([...path, name], `${what} has no member ${JSON.stringify(name)}: ${mend}`, true)
    }
    return this.faults.length > faults && known !== FIELDS.file ? null : value
  }

  #wrong(path: Path, message: string, isOfName = false): void {
    this.#fault('ERR_POLICY_INVALID_OPTION', path, message, isOfName)
  }

  #fault(code: ErrorCode, path: Path, message: string, isOfName = false): void {
    this.faults.push({ code, path, message, isOfName })
  }
}

/** Whether a pin set may have a member of this name. */
function isSetting(name: string): boolean {
  return FIELDS.set.some((known) => known === name)
}

/** Whether a pin may be found at a place of the path that `require` names. */
export function mayStandAt(pin: unknown, place: unknown): boolean {
  const at: unknown = isObject(pin) ? pin.at : undefined
  return at === undefined || at === place || (place === 'ca' && at !== 'leaf')
}

/** The moment of a date, a day's being its begin in UTC; null for what is none. */
export function readDate(text: string): Date | null {
  if (!DATE.test(text)) return null
  const date = new Date(text)
  // the 30th of February would be the 2nd of March
  const day = new Date(`${text.slice(0, 10)}T00:00:00Z`)
  return Number.isNaN(date.getTime()) || day.toISOString().slice(0, 10) !== text.slice(0, 10)
    ? null
    : date
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `"a", "b" or "c"`. */
function orList(words: readonly string[], or = 'or'): string {
  const quoted = words.map((word) => JSON.stringify(word))
  return quoted.length < 2
    ? quoted.join('')
    : `${quoted.slice(0, -1).join(', ')} ${or} ${quoted.at(-1)}`
}
