// What the next change of a server's certificates would do. A forecast for people: the engine decides when it comes.

import type { PinPosition, PolicyPin, PolicyRequirement, Role } from '../../index.js'
import type { PatternSet } from '../../policy/patterns.js'
import type { Forecast, SeenCertificate, Survival } from './record.js'

const POSITIONS: Readonly<Record<Role, PinPosition>> = {
  'end entity': 'leaf',
  intermediate: 'intermediate',
  'trust anchor': 'root',
}

/** A key of a path: a pin, or null for one that nobody has pinned. */
interface Key {
  readonly pin: string | null
  readonly role: Role
}

/** Whether `pin` counts on a key of this role. */
export function countsAt(at: PinPosition | null, role: Role): boolean {
  return at === null || at === POSITIONS[role]
}

/** What would become of a host whose `path` is accepted now. */
export function forecastOf(
  sets: readonly PatternSet[],
  path: readonly SeenCertificate[],
): Forecast {
  const enforced = sets.filter(({ set }) => set.mode === 'enforce')
  const served = new Set(path.map(({ pin }) => pin))
  const spare = enforced.flatMap(({ set }) =>
    set.pins.filter(({ pin, role }) => !served.has(pin) && role !== 'retired'),
  )
  const survive = (isReplaced: (role: Role) => boolean): Survival => {
    const after: readonly Key[] = path.map((key) =>
      isReplaced(key.role) ? { ...key, pin: null } : key,
    )
    if (holds(enforced, after)) return 'yes'
    const isSaved = spare.some((pin) =>
      after.some(
        (key, place) =>
          key.pin === null &&
          mayBeKeyOf(pin, key) &&
          holds(
            enforced,
            after.map((of, index) => (index === place ? { ...of, pin: pin.pin } : of)),
          ),
      ),
    )
    return isSaved ? 'with-backup' : 'no'
  }
  return {
    by: path[0]?.notAfter ?? null,
    newKey: survive((role) => role === 'end entity'),
    newIntermediate: survive((role) => role === 'intermediate'),
    newAuthority: survive(() => true),
  }
}

/** Whether a pin that is not served may be that of such a key: an authority's is no server's. */
function mayBeKeyOf({ role, caSet }: PolicyPin, key: Key): boolean {
  const isAuthority = role === 'root' || caSet !== null
  return !(isAuthority && key.role === 'end entity')
}

/** Whether a path of `keys` has what every set requires of all that are in force. */
function holds(sets: readonly PatternSet[], keys: readonly Key[]): boolean {
  return sets.every((of) => holdsBy(of, sets, keys))
}

/** Whether a path of `keys` has what one set requires, by the pins of all `sets`. */
export function holdsBy(
  { set }: PatternSet,
  sets: readonly PatternSet[],
  keys: readonly Key[],
): boolean {
  const pins = sets.flatMap((of) => of.set.pins)
  const pinned = keys.filter(({ pin, role }) =>
    pins.some((of) => of.pin === pin && countsAt(of.at, role)),
  )
  return isMet(set.require, pinned)
}

function isMet(requirement: PolicyRequirement, pinned: readonly Key[]): boolean {
  if (typeof requirement === 'number')
    return new Set(pinned.map(({ pin }) => pin)).size >= requirement
  return requirement.every((place) =>
    pinned.some(({ role }) => (place === 'ca' ? role !== 'end entity' : POSITIONS[role] === place)),
  )
}
