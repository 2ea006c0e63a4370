// TrustKit's configuration, in an Info.plist (TSKConfiguration) or by itself:
// https://datatheorem.github.io/TrustKit/documentation
//
// Of all domains that match a host the most specific one holds, alone.

import { isDay, malformed, type Position, type Remarks, readPin } from './conversion.js'
import { type Entry, type EntryPin, entriesOf, type Hosts, hostsOf } from './entries.js'
import type { Exported } from './exported.js'
import {
  boolean,
  dictionary,
  list,
  type PlistDictionary,
  type PlistValue,
  readDomains,
  readPlist,
  string,
  type Written,
  writePlist,
} from './plist.js'

export const TRUSTKIT = { name: 'TrustKit', ends: true, report: true } as const

/** What is said of a domain without changing which pins it has. */
const BESIDES: ReadonlyMap<string, string> = new Map([
  ['kTSKPublicKeyAlgorithms', 'a pin is of a key of any kind here'],
  ['kTSKReportUris', 'reports are the client’s to send'],
  ['kTSKDisableDefaultReportUri', 'there is no default to report to'],
])

/** The hosts that a configuration pins. */
export function importTrustKit(text: string, remarks: Remarks): Hosts {
  const root = readPlist(text)
  const whole = dictionary(root, 'the property list')
  const nested = whole.get('TSKConfiguration')
  const configuration = nested === undefined ? whole : dictionary(nested, 'TSKConfiguration')
  const domains = configuration.get('kTSKPinnedDomains')
  if (domains === undefined)
    throw malformed(
      nested?.at ?? root.at,
      'it has no kTSKPinnedDomains, TrustKit’s list of domains',
    )
  const other = whole.get('NSAppTransportSecurity')
  if (other?.value instanceof Map && other.value.has('NSPinnedDomains'))
    remarks.note(other.at, 'NSPinnedDomains are pins too: the format ios reads them')
  for (const [name, { at, value }] of configuration) {
    if (name === 'kTSKPinnedDomains') continue
    if (name === 'kTSKSwizzleNetworkDelegates')
      remarks.note(at, `${name} is about the app: left out`)
    else if (name === 'kTSKIgnorePinningForUserDefinedTrustAnchors' && value === true)
      remarks.loss(at, `${name}: pins hold whatever anchor a path ends in`)
    else if (name !== 'kTSKIgnorePinningForUserDefinedTrustAnchors')
      remarks.loss(at, `${name} is not read: left out`)
  }
  const entries = readDomains(domains, 'kTSKPinnedDomains', (host, value) =>
    entryOf(host, value, remarks),
  )
  return hostsOf(entries, remarks)
}

function entryOf(host: string, value: PlistValue, remarks: Remarks): Entry {
  const { at } = value
  const settings = dictionary(value, host)
  const flag = (name: string, otherwise: boolean): boolean => {
    const given = settings.get(name)
    return given === undefined ? otherwise : boolean(given, `${host}: ${name}`)
  }
  const reach = flag('kTSKIncludeSubdomains', false) ? 'any' : 'host'
  const isExcluded = flag('kTSKExcludeSubdomainFromParentPolicy', false)
  const isEnforced = flag('kTSKEnforcePinning', true)
  const ends = endOf(host, settings, remarks)
  for (const [name, given] of settings) {
    const besides = BESIDES.get(name)
    if (besides !== undefined) remarks.note(given.at, `${host}: ${name} is left out: ${besides}`)
    else if (name === 'kTSKAdditionalTrustAnchors')
      remarks.loss(
        given.at,
        `${host}: ${name}: give the certificates as "trust": { "ca": FILE }, or to the client as ca`,
      )
    else if (!KNOWN.has(name)) remarks.loss(given.at, `${host}: ${name} is not read: left out`)
  }
  const hashes = settings.get('kTSKPublicKeyHashes')
  if (isExcluded) {
    if (hashes !== undefined)
      throw malformed(hashes.at, `${host} has kTSKPublicKeyHashes and is excluded: choose one`)
    return { host, reach, rules: null, at }
  }
  if (hashes === undefined) throw malformed(at, `${host} has no kTSKPublicKeyHashes`)
  const pins = new Map<string, EntryPin>()
  for (const hash of list(hashes, `${host}: kTSKPublicKeyHashes`)) {
    const pin = readPin(string(hash, `${host}: a hash`), hash.at)
    pins.set(pin, { pin, at: null })
  }
  if (pins.size === 0) throw malformed(hashes.at, `${host}: kTSKPublicKeyHashes is empty`)
  const mode = isEnforced ? 'enforce' : 'report'
  return { host, reach, rules: { pins: [...pins.values()], mode, ends, require: 1 }, at }
}

const KNOWN: ReadonlySet<string> = new Set([
  'kTSKPublicKeyHashes',
  'kTSKIncludeSubdomains',
  'kTSKEnforcePinning',
  'kTSKExcludeSubdomainFromParentPolicy',
  'kTSKExpirationDate',
])

function endOf(host: string, settings: PlistDictionary, remarks: Remarks): string | null {
  const given = settings.get('kTSKExpirationDate')
  if (given === undefined) return null
  // a <date> is a moment of which the day is meant
  const day = string(given, `${host}: kTSKExpirationDate`).replace(/T00:00:00Z$/, '')
  if (!isDay(day))
    throw malformed(
      given.at,
      `${host}: kTSKExpirationDate is ${JSON.stringify(day)}: give yyyy-MM-dd`,
    )
  remarks.note(given.at, `${host} ends with ${day}, at midnight in UTC; bad pins are then reported`)
  return day
}

/** A configuration that says what a policy says: the value of TSKConfiguration, in a property list of its own. */
export function exportTrustKit(exported: Exported): string {
  const domains: Record<string, Written> = {}
  for (const { host, reach, rules, at } of entriesOf(exported, {
    below: 'any',
    canExclude: true,
  })) {
    const below = reach === 'any' ? { kTSKIncludeSubdomains: true } : {}
    if (rules === null) {
      domains[host] = { ...below, kTSKExcludeSubdomainFromParentPolicy: true }
      continue
    }
    if (rules.pins.length < 2) tellOfBackup(exported.remarks, at, host)
    domains[host] = {
      ...below,
      kTSKEnforcePinning: rules.mode === 'enforce',
      ...(rules.ends === null ? {} : { kTSKExpirationDate: rules.ends }),
      kTSKPublicKeyHashes: rules.pins.map(({ pin }) => pin.slice('sha256/'.length)),
    }
  }
  return writePlist({ TSKConfiguration: { kTSKPinnedDomains: domains } })
}

function tellOfBackup(remarks: Remarks, at: Position, host: string): void {
  remarks.note(at, `${host} has one pin: TrustKit asks for two, of which one is a backup`)
}
