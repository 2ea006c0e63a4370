// What a policy says, as far as a format can say it; what it cannot is told.

import type { FilePolicy, PolicyFile, PolicySet } from '../../index.js'
import type { PatternSet } from '../patterns.js'
import type { Position, Remarks } from './conversion.js'
import type { EntryPin, Rules } from './entries.js'

/** What a format can say. */
export interface Abilities {
  /** Its name, for remarks. */
  readonly name: string
  /** Sets that are reported only. */
  readonly report?: boolean
  /** A day after which pins are not enforced. */
  readonly ends?: boolean
  /** Pins of leaves or of authorities, and both together. */
  readonly places?: boolean
  /** Ports in patterns. */
  readonly ports?: boolean
}

/** A policy that is written in another format. */
export class Exported {
  readonly remarks: Remarks
  /** The sets that the format can say something of, in the file's order. */
  readonly sets: readonly { readonly set: PolicySet; readonly at: Position }[]
  readonly #file: PolicyFile
  readonly #abilities: Abilities

  constructor(file: PolicyFile, policy: FilePolicy, abilities: Abilities, remarks: Remarks) {
    this.#file = file
    this.#abilities = abilities
    this.remarks = remarks
    const { name } = abilities
    const [blocked] = policy.blocked
    if (blocked !== undefined)
      remarks.loss(this.positionOf(blocked.pointer), `${name} has no blocked pins: left out`)
    if (policy.unpinned !== 'allow') {
      const own = policy.environment === null ? '' : `/environments/${policy.environment}`
      remarks.loss(
        this.positionOf(`${own}/unpinned`),
        `${name} does not tell what becomes of hosts without pins: "${policy.unpinned}" is left out`,
      )
    }
    this.sets = [...policy.sets.values()]
      .map((set) => ({ set, at: this.positionOf(set.pointer) }))
      .filter(({ set, at }) => this.#canHold(set, at))
  }

  /** Where in the policy file the value at `pointer` is: looked for when it is told, which takes as long as the file. */
  positionOf(pointer: string): Position {
    const file = this.#file
    let found: Position | undefined
    const find = (): Position => {
      found ??= file.positionOf(pointer)
      return found
    }
    return {
      get line() {
        return find().line
      },
      get column() {
        return find().column
      },
    }
  }

  /** What holds under all of `sets`; null where none has pins. */
  rulesOf(sets: readonly PatternSet[]): Rules | null {
    const enforced = sets.filter(({ set }) => set.mode === 'enforce')
    const used = enforced.length === 0 ? sets : enforced
    const [first] = used
    if (first === undefined) return null
    const { name, places, ends } = this.#abilities
    for (const { set } of sets)
      if (!used.some((of) => of.set === set))
        this.remarks.loss(
          this.positionOf(set.pointer),
          `${set.pattern} is reported only, beside sets that are enforced: left out`,
        )
    const pins = new Map<string, EntryPin>()
    for (const { pin, at } of used.flatMap(({ set }) => set.pins)) {
      const place = places ? at : null
      pins.set(`${pin} ${place}`, { pin, at: place })
    }
    const days = new Set(used.map(({ set }) => (ends ? dayOf(set) : null)))
    const requirements = new Set(used.map(({ set }) => JSON.stringify(places ? set.require : 1)))
    const at = this.positionOf(first.set.pointer)
    if (days.size > 1)
      this.remarks.loss(at, `sets of one host end on different days, and ${name} has one: left out`)
    if (requirements.size > 1)
      this.remarks.loss(at, `sets of one host have different requirements: left out`)
    return {
      pins: [...pins.values()],
      mode: enforced.length === 0 ? 'report' : 'enforce',
      ends: days.size === 1 ? ([...days][0] ?? null) : null,
      require: places && requirements.size === 1 ? first.set.require : 1,
    }
  }

  /** Whether the format can say something of the set; tells what of it is lost. */
  #canHold(set: PolicySet, at: Position): boolean {
    const { remarks } = this
    const { name, report, ends, places, ports } = this.#abilities
    const { pattern } = set
    if (!ports && /[^:]:\d+$/.test(pattern) && !/^[^[]*:.*:/.test(pattern)) {
      remarks.loss(at, `${pattern}: ${name} knows no ports: left out`)
      return false
    }
    if (set.mode === 'report' && !report) {
      remarks.loss(at, `${pattern} is reported only, which ${name} cannot do: left out`)
      return false
    }
    const { trust, require, expires } = set
    if (trust !== 'ca')
      remarks.loss(at, `${pattern}: what is trusted is not told by ${name}: "trust" is left out`)
    if (!places) {
      if (require !== 1)
        remarks.loss(at, `${pattern}: one pin is enough for ${name}: "require" is left out`)
      for (const pin of set.pins)
        if (pin.at !== null)
          remarks.loss(
            this.positionOf(pin.pointer),
            `${pattern}: a pin counts everywhere on the path for ${name}: "at" is left out`,
          )
    }
    if (expires !== null) {
      if (expires.afterwards === 'refuse')
        remarks.loss(at, `${pattern}: ${name} does not refuse hosts after a date: left out`)
      else if (expires.afterwards === 'report' && !ends)
        remarks.loss(at, `${pattern}: ${name} has no end of a pin set: its pins go on to hold`)
      else if (expires.afterwards === 'enforce')
        remarks.note(at, `${pattern}: the reminder of ${day(expires.at)} is left out`)
      else if (expires.at.getTime() % DAY !== 0)
        remarks.loss(at, `${pattern}: ${name} ends sets with days: it ends on ${dayOf(set)}`)
    }
    const caSets = new Set(set.pins.flatMap(({ caSet }) => (caSet === null ? [] : [caSet])))
    for (const caSet of caSets)
      remarks.note(at, `${pattern}: ca:${caSet} is written as the pins that it stands for now`)
    if (set.pins.some(({ label, note, role }) => label ?? note ?? role))
      remarks.note({ line: 1, column: 1 }, `labels, roles and notes of pins are left out`)
    return true
  }
}

const DAY = 24 * 60 * 60 * 1000

/** The day from which a set is reported only; one that begins within a day is the next. */
function dayOf({ expires }: PolicySet): string | null {
  if (expires === null || expires.afterwards !== 'report') return null
  return day(new Date(Math.ceil(expires.at.getTime() / DAY) * DAY))
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}
