// Android's network security configuration: https://developer.android.com/privacy-and-security/security-config
//
// Of all domains that match a host the most specific one holds, alone; within nested domain-configs what is not given is
// inherited. A pin set ends with the day of `expiration`, at midnight where the device is.

import { isDay, malformed, type Position, type Remarks, readHost, readPin } from './conversion.js'
import { type Entry, type EntryPin, entriesOf, type Hosts, hostsOf, type Rules } from './entries.js'
import type { Exported } from './exported.js'
import { type Element, escapeXml, readXml } from './xml.js'

export const ANDROID = { name: 'a network security configuration', ends: true } as const

/** The hosts that a configuration pins. */
export function importAndroid(text: string, remarks: Remarks): Hosts {
  const root = readXml(text)
  if (root.name !== 'network-security-config')
    throw malformed(root.at, `it is a <${root.name}>: give a <network-security-config>`)
  const reader = new Reader(remarks)
  for (const child of root.children) reader.read(child)
  return hostsOf(reader.entries, remarks)
}

/** What is inherited from the configuration around. */
interface Inherited {
  readonly pins: PinSet | null
  readonly cleartext: boolean | null
}

interface PinSet {
  readonly pins: readonly EntryPin[]
  readonly ends: string | null
}

class Reader {
  readonly entries: Entry[] = []
  readonly #remarks: Remarks
  readonly #seen = new Map<string, Position>()

  constructor(remarks: Remarks) {
    this.#remarks = remarks
  }

  read(element: Element): void {
    switch (element.name) {
      case 'base-config':
        for (const child of element.children) this.#besides(child, '<base-config>')
        break
      case 'domain-config':
        this.#domainConfig(element, { pins: null, cleartext: null })
        break
      case 'debug-overrides':
        this.#remarks.note(element.at, '<debug-overrides> holds in debug builds only: left out')
        break
      default:
        this.#unknown(element)
    }
  }

  #domainConfig(element: Element, inherited: Inherited): void {
    const sets = element.children.filter(({ name }) => name === 'pin-set')
    const [set, second] = sets
    if (second !== undefined)
      throw malformed(second.at, 'a second <pin-set> of one <domain-config>')
    const pins = set === undefined ? inherited.pins : this.#pinSet(set)
    const cleartext = booleanOf(element, 'cleartextTrafficPermitted') ?? inherited.cleartext
    const domains = element.children.filter(({ name }) => name === 'domain')
    if (domains.length === 0) throw malformed(element.at, 'a <domain-config> without a <domain>')
    for (const domain of domains) this.#domain(domain, pins, cleartext)
    for (const child of element.children) {
      if (child.name === 'domain-config') this.#domainConfig(child, { pins, cleartext })
      else if (child.name !== 'domain' && child.name !== 'pin-set')
        this.#besides(child, '<domain-config>')
    }
  }

  #domain(element: Element, set: PinSet | null, cleartext: boolean | null): void {
    const { at } = element
    const host = readHost(element.text, at)
    const earlier = this.#seen.get(host)
    if (earlier !== undefined)
      throw malformed(at, `${host} stands there twice: first in line ${earlier.line}`)
    this.#seen.set(host, at)
    const isPinned = set !== null && set.pins.length > 0
    if (isPinned && cleartext === true)
      this.#remarks.loss(at, `${host} permits cleartext: http: to a pinned host is refused here`)
    if (!isPinned && cleartext === false)
      this.#remarks.loss(
        at,
        `${host} permits no cleartext: http: to a host without pins goes on here`,
      )
    const reach = booleanOf(element, 'includeSubdomains') === true ? 'any' : 'host'
    const rules: Rules | null = isPinned
      ? { pins: set.pins, mode: 'enforce', ends: set.ends, require: 1 }
      : null
    this.entries.push({ host, reach, rules, at })
  }

  #pinSet(element: Element): PinSet {
    const expiration = element.attributes.get('expiration')
    if (expiration !== undefined) {
      if (!isDay(expiration))
        throw malformed(element.at, `expiration is ${JSON.stringify(expiration)}: give yyyy-MM-dd`)
      this.#remarks.note(
        element.at,
        `the set ends at midnight of ${expiration}: where the device is there, in UTC here`,
      )
    }
    const pins = new Map<string, EntryPin>()
    for (const child of element.children) {
      if (child.name !== 'pin') {
        this.#unknown(child)
        continue
      }
      const digest = child.attributes.get('digest')
      if (digest !== 'SHA-256')
        throw malformed(child.at, `digest is ${JSON.stringify(digest)}: only SHA-256 is read`)
      const pin = readPin(child.text, child.at)
      pins.set(pin, { pin, at: null })
    }
    return { pins: [...pins.values()], ends: expiration ?? null }
  }

  /** What stands beside domains and pins. */
  #besides(element: Element, where: string): void {
    if (element.name !== 'trust-anchors') {
      this.#unknown(element)
      return
    }
    for (const child of element.children) {
      const source = child.attributes.get('src')
      if (child.name !== 'certificates' || source === undefined) {
        this.#unknown(child)
        continue
      }
      if (booleanOf(child, 'overridePins') === true)
        this.#remarks.loss(child.at, `overridePins lets ${source} pass without a pin: not here`)
      if (source === 'user')
        this.#remarks.loss(child.at, `${where} trusts certificates of the user: not here`)
      else if (source !== 'system')
        this.#remarks.loss(
          child.at,
          `${where} trusts ${source}: give its certificates as "trust": { "ca": FILE }, or to the client as ca`,
        )
    }
  }

  #unknown({ name, at }: Element): void {
    this.#remarks.loss(at, `<${name}> is not read: left out`)
  }
}

function booleanOf({ attributes, at }: Element, name: string): boolean | null {
  const value = attributes.get(name)
  if (value === undefined) return null
  if (value !== 'true' && value !== 'false')
    throw malformed(at, `${name} is ${JSON.stringify(value)}: give true or false`)
  return value === 'true'
}

/** A configuration that says what a policy says. */
export function exportAndroid(exported: Exported): string {
  const configs = entriesOf(exported, { below: 'any', canExclude: true }).map(configOf)
  return `<?xml version="1.0" encoding="utf-8"?>
<network-security-config>
${configs.join('')}</network-security-config>
`
}

function configOf({ host, reach, rules }: Entry): string {
  const lines = [
    '  <domain-config>',
    `    <domain includeSubdomains="${reach === 'any'}">${escapeXml(host)}</domain>`,
  ]
  if (rules !== null) {
    const expiration = rules.ends === null ? '' : ` expiration="${rules.ends}"`
    lines.push(`    <pin-set${expiration}>`)
    for (const { pin } of rules.pins)
      lines.push(`      <pin digest="SHA-256">${pin.slice('sha256/'.length)}</pin>`)
    lines.push('    </pin-set>')
  }
  lines.push('  </domain-config>')
  return lines.map((line) => `${line}\n`).join('')
}
