// What a client looks like from outside where it is to look like a browser: a profile is data, a file each.

import { invalidOption, nameOf } from './errors.js'
import { nearestOf } from './nearest.js'
import { chrome133 } from './profiles/chrome-133.js'
import { chrome156 } from './profiles/chrome-156.js'
import { firefox135 } from './profiles/firefox-135.js'
import { firefox153 } from './profiles/firefox-153.js'
import type { Profile } from './profiles/profile.js'
import { safari18 } from './profiles/safari-18.js'
import type { Writer } from './wire.js'

const PROFILES = {
  chrome_133: chrome133,
  chrome_156: chrome156,
  firefox_135: firefox135,
  firefox_153: firefox153,
  safari_18: safari18,
} as const

/** A browser and its version. */
export type ProfileName = keyof typeof PROFILES

/** The profile that the option `profile` names; null where there is none. */
export function readProfile(value: unknown): Profile | null {
  if (value === undefined || value === null) return null
  const names = Object.keys(PROFILES)
  const list = names.map((name) => JSON.stringify(name)).join(', ')
  if (typeof value !== 'string')
    throw invalidOption('profile', `profile is ${nameOf(value)}: give one of ${list}, or null`)
  if (Object.hasOwn(PROFILES, value)) return PROFILES[value as ProfileName] // a name of its own
  const nearest = nearestOf(value, names)
  const mend = nearest === undefined ? `give one of ${list}` : `did you mean "${nearest}"?`
  throw invalidOption('profile', `there is no profile ${JSON.stringify(value)}: ${mend}`)
}

/** The profile's header fields, each replaced in its place by those of `own` (names and values by turns); then the rest. */
export function withProfile(
  profile: Profile,
  own: readonly string[],
  decompress: boolean,
): string[] {
  const merged: string[] = []
  const taken = new Set<string>()
  for (const [name, value] of profile.headers) {
    const lower = name.toLowerCase()
    let isReplaced = false
    for (let index = 0; index + 1 < own.length; index += 2) {
      if ((own[index] ?? '').toLowerCase() !== lower) continue
      merged.push(own[index] ?? '', own[index + 1] ?? '')
      isReplaced = true
    }
    taken.add(lower)
    // what is not asked for is not undone: nobody says that it is
    if (!isReplaced && (decompress || lower !== 'accept-encoding')) merged.push(name, value)
  }
  for (let index = 0; index + 1 < own.length; index += 2) {
    const name = own[index] ?? ''
    if (!taken.has(name.toLowerCase())) merged.push(name, own[index + 1] ?? '')
  }
  return merged
}

/** Writes what the engine has to know of it. */
export function writeProfile(out: Writer, profile: Profile | null): void {
  out.flag(profile !== null)
  if (profile === null) return
  const { cipherSuites, groups, signatureSchemes, certificateCompression, http2 } = profile
  for (const list of [cipherSuites, groups, signatureSchemes, certificateCompression]) {
    out.u32(list.length)
    for (const number of list) out.u16(number)
  }
  for (const number of [http2.maxPushedStreams, http2.maxHeaderListSize]) {
    out.flag(number !== null)
    if (number !== null) out.u32(number)
  }
}
