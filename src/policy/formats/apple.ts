// App Transport Security's NSPinnedDomains in an Info.plist:
// https://developer.apple.com/documentation/bundleresources/information-property-list/nsapptransportsecurity/nspinneddomains
//
// Leaf identities are looked for at the leaf, those of authorities anywhere else on the path; where both are given, both
// must be found. NSIncludesSubdomains reaches names with one more label.

import { malformed, type Remarks, readPin } from './conversion.js'
import { type Entry, type EntryPin, entriesOf, type Hosts, hostsOf, type Rules } from './entries.js'
import type { Exported } from './exported.js'
import {
  boolean,
  dictionary,
  list,
  type PlistValue,
  readDomains,
  readPlist,
  string,
  type Written,
  writePlist,
} from './plist.js'

export const APPLE = { name: 'NSPinnedDomains', places: true } as const

const DIGEST = 'SPKI-SHA256-BASE64'

/** The hosts that an Info.plist pins. */
export function importApple(text: string, remarks: Remarks): Hosts {
  const root = readPlist(text)
  const whole = dictionary(root, 'the property list')
  const security = whole.get('NSAppTransportSecurity')
  const settings = security === undefined ? whole : dictionary(security, 'NSAppTransportSecurity')
  const domains = settings.get('NSPinnedDomains')
  if (domains === undefined)
    throw malformed(security?.at ?? root.at, 'it has no NSPinnedDomains in NSAppTransportSecurity')
  const other = whole.get('TSKConfiguration')
  if (other !== undefined)
    remarks.note(other.at, 'TSKConfiguration has pins too: the format trustkit reads them')
  if (security !== undefined)
    for (const [name, { at }] of settings)
      if (name !== 'NSPinnedDomains')
        remarks.note(at, `${name} is about other things than pins: left out`)
  const entries = readDomains(domains, 'NSPinnedDomains', (host, value) =>
    entryOf(host, value, remarks),
  )
  return hostsOf(entries, remarks)
}

function entryOf(host: string, value: PlistValue, remarks: Remarks): Entry {
  const { at } = value
  const settings = dictionary(value, host)
  const leaves = identities(host, settings.get('NSPinnedLeafIdentities'), remarks)
  const authorities = identities(host, settings.get('NSPinnedCAIdentities'), remarks)
  const below = settings.get('NSIncludesSubdomains')
  for (const [name, given] of settings)
    if (!KNOWN.has(name)) remarks.loss(given.at, `${host}: ${name} is not read: left out`)
  if (leaves.length + authorities.length === 0)
    throw malformed(at, `${host} has neither NSPinnedLeafIdentities nor NSPinnedCAIdentities`)
  const pins: EntryPin[] = [
    ...leaves.map((pin): EntryPin => ({ pin, at: 'leaf' })),
    ...authorities.map((pin): EntryPin => ({ pin, at: null })),
  ]
  const require =
    authorities.length === 0
      ? 1
      : leaves.length === 0
        ? (['ca'] as const)
        : (['leaf', 'ca'] as const)
  const isBelow = below !== undefined && boolean(below, `${host}: NSIncludesSubdomains`)
  return {
    host,
    reach: isBelow ? 'one' : 'host',
    rules: { pins, mode: 'enforce', ends: null, require },
    at,
  }
}

const KNOWN: ReadonlySet<string> = new Set([
  'NSIncludesSubdomains',
  'NSPinnedLeafIdentities',
  'NSPinnedCAIdentities',
])

function identities(host: string, given: PlistValue | undefined, remarks: Remarks): string[] {
  if (given === undefined) return []
  const pins = list(given, `${host}: the identities`).map((identity) => {
    const of = dictionary(identity, `${host}: an identity`)
    for (const [name, { at }] of of)
      if (name !== DIGEST) remarks.loss(at, `${host}: ${name} is not read: left out`)
    const digest = of.get(DIGEST)
    if (digest === undefined) throw malformed(identity.at, `${host}: an identity without ${DIGEST}`)
    return readPin(string(digest, `${host}: ${DIGEST}`), digest.at)
  })
  return [...new Set(pins)]
}

/** What goes into an Info.plist: a property list with NSAppTransportSecurity alone. */
export function exportApple(exported: Exported): string {
  const domains: Record<string, Written> = {}
  for (const entry of entriesOf(exported, { below: 'one', canExclude: false })) {
    const { host, reach, rules } = entry
    if (rules === null) continue
    domains[host] = {
      ...(reach === 'one' ? { NSIncludesSubdomains: true } : {}),
      ...identitiesOf(rules, entry, exported.remarks),
    }
  }
  return writePlist({ NSAppTransportSecurity: { NSPinnedDomains: domains } })
}

/** Pins that may stand anywhere are written as authorities', which a leaf's key is not. */
function identitiesOf(
  { pins, require }: Rules,
  { host, at }: Entry,
  remarks: Remarks,
): Record<string, Written> {
  const write = (name: string, those: readonly EntryPin[]): Record<string, Written> =>
    those.length === 0
      ? {}
      : { [name]: those.map(({ pin }) => ({ [DIGEST]: pin.slice('sha256/'.length) })) }
  const leaves = pins.filter((pin) => pin.at === 'leaf')
  const others = pins.filter((pin) => pin.at !== 'leaf')
  const places = Array.isArray(require) ? new Set(require) : null
  if (others.some((pin) => pin.at !== null))
    remarks.loss(at, `${host}: intermediates and roots are both authorities here`)
  if (
    others.length > 0 &&
    !places?.has('ca') &&
    !places?.has('root') &&
    !places?.has('intermediate')
  )
    remarks.loss(
      at,
      `${host}: pins of any place are written as those of authorities: the leaf’s own key no longer counts`,
    )
  if (leaves.length > 0 && others.length > 0 && !(places?.has('leaf') && places.size > 1))
    remarks.loss(at, `${host}: a leaf and an authority must both match here, where one was enough`)
  if (typeof require === 'number' && require > 1)
    remarks.loss(at, `${host}: a number of pins cannot be required`)
  if (places !== null && (places.has('root') || places.has('intermediate') || places.size > 2))
    remarks.loss(at, `${host}: what is required of intermediates and roots is required of either`)
  if (places?.has('leaf') && leaves.length === 0)
    remarks.loss(at, `${host}: a pinned leaf is required, and its pins are not told from others`)
  return { ...write('NSPinnedLeafIdentities', leaves), ...write('NSPinnedCAIdentities', others) }
}
