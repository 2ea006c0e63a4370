// The end of a rotation: old pins go, once nothing is served with them.

import { EXIT, exitCodeOf } from '../exit.js'
import type { Sight, SurveyedHost } from '../survey/record.js'
import type { Change } from './plan.js'

/** Why the old pins cannot go yet. */
export interface Objection {
  readonly authority: string
  readonly via: string
  readonly reason: 'served' | 'refused' | 'unseen'
  readonly message: string
  readonly exitCode: number
}

/** What speaks against taking out the pins of `changes`, by a survey under the policy that would be left. */
export function objectionsOf(
  hosts: readonly SurveyedHost[],
  changes: readonly Change[],
): Objection[] {
  const removed = new Map(changes.map(({ pin, label }) => [pin, label ?? pin]))
  return hosts.flatMap(({ authority, sights, pins }) => {
    const gone = new Map(removed)
    for (const { pin } of pins) gone.delete(pin) // another set has it
    return sights.flatMap((sight) => {
      const { via } = sight
      return objectionsTo(sight, gone).map((objection) => ({ authority, via, ...objection }))
    })
  })
}

function objectionsTo(
  { verdict, path, error }: Sight,
  removed: ReadonlyMap<string, string>,
): Pick<Objection, 'reason' | 'message' | 'exitCode'>[] {
  const served = path.find(({ pin }) => removed.has(pin))
  if (served !== undefined) {
    const message = `still served: the ${served.role} ${served.subject} has ${removed.get(served.pin)}`
    return [{ reason: 'served', message, exitCode: EXIT.findings }]
  }
  switch (verdict) {
    case 'bad-pin':
    case 'reported':
    case 'unpinned': {
      const pins = path.map(({ pin }) => pin).join(' ')
      const message = `would have a bad pin: those that are left are not on its path, ${pins}`
      return [{ reason: 'refused', message, exitCode: EXIT.badPin }]
    }
    case 'failed': {
      const message = `cannot be told: ${error?.message ?? 'it was not seen'}`
      return [{ reason: 'unseen', message, exitCode: exitCodeOf({ code: error?.code }) }]
    }
    case 'pinned':
      return []
  }
}
