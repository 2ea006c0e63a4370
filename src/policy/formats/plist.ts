// Property lists in XML, as far as pins are told by them: dictionaries, lists, texts, booleans, numbers and dates.

import { malformed, type Position, readHost } from './conversion.js'
import { type Element, escapeXml, readXml } from './xml.js'

/** A value of a property list, and where it stands. */
export interface PlistValue {
  readonly value: string | number | boolean | readonly PlistValue[] | PlistDictionary
  readonly at: Position
}

/** A dictionary, in the order of the file. */
export type PlistDictionary = ReadonlyMap<string, PlistValue>

/** The value of a property list in XML. */
export function readPlist(text: string): PlistValue {
  const start = { line: 1, column: 1 }
  if (text.startsWith('bplist'))
    throw malformed(start, 'a binary property list: convert it with plutil -convert xml1 FILE')
  if (/^\ufeff?\s*(?:\/\/|\/\*|\{|\()/.test(text))
    throw malformed(start, 'no property list in XML: convert it with plutil -convert xml1 FILE')
  const root = readXml(text)
  const [value, another] = root.name === 'plist' ? root.children : [root]
  if (value === undefined) throw malformed(root.at, 'the property list is empty')
  if (another !== undefined) throw malformed(another.at, 'a second value of a property list')
  return readValue(value)
}

function readValue(element: Element): PlistValue {
  const { name, text, at, children } = element
  switch (name) {
    case 'dict':
      return { value: dictionaryOf(element), at }
    case 'array':
      return { value: children.map(readValue), at }
    case 'string':
    case 'date':
    case 'data':
      return { value: text, at }
    case 'integer':
    case 'real':
      return { value: Number(text), at }
    case 'true':
    case 'false':
      return { value: name === 'true', at }
    default:
      throw malformed(at, `<${name}> is no value of a property list`)
  }
}

function dictionaryOf({ children }: Element): PlistDictionary {
  const members = new Map<string, PlistValue>()
  for (let index = 0; index < children.length; index += 2) {
    const [key, value] = [children[index], children[index + 1]]
    if (key === undefined) break
    if (key.name !== 'key') throw malformed(key.at, `<${key.name}> where a <key> should be`)
    if (value === undefined || value.name === 'key')
      throw malformed(key.at, `${JSON.stringify(key.text)} has no value`)
    if (members.has(key.text))
      throw malformed(key.at, `${JSON.stringify(key.text)} stands there twice`)
    members.set(key.text, readValue(value))
  }
  return members
}

/** The dictionary that `value` is. */
export function dictionary({ value, at }: PlistValue, what: string): PlistDictionary {
  if (!(value instanceof Map)) throw malformed(at, `${what} is no dictionary`)
  return value
}

/** What `read` makes of each domain of a dictionary, in its order. A host that stands there twice is an error. */
export function readDomains<T>(
  value: PlistValue,
  what: string,
  read: (host: string, value: PlistValue) => T,
): T[] {
  const domains = new Map<string, T>()
  for (const [name, domain] of dictionary(value, what)) {
    const host = readHost(name, domain.at)
    if (domains.has(host)) throw malformed(domain.at, `${host} stands there twice`)
    domains.set(host, read(host, domain))
  }
  return [...domains.values()]
}

/** The list that `value` is. */
export function list({ value, at }: PlistValue, what: string): readonly PlistValue[] {
  if (!Array.isArray(value)) throw malformed(at, `${what} is no list`)
  return value
}

/** The text that `value` is. */
export function string({ value, at }: PlistValue, what: string): string {
  if (typeof value !== 'string') throw malformed(at, `${what} is no text`)
  return value
}

/** The boolean that `value` is. */
export function boolean({ value, at }: PlistValue, what: string): boolean {
  if (typeof value !== 'boolean') throw malformed(at, `${what} is neither <true/> nor <false/>`)
  return value
}

/** What is written: as JSON has it. */
export type Written = string | boolean | readonly Written[] | { readonly [key: string]: Written }

/** A property list in XML. */
export function writePlist(value: Written): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
${linesOf(value, '').join('\n')}
</plist>
`
}

function linesOf(value: Written, indent: string): string[] {
  if (typeof value === 'boolean') return [`${indent}<${value}/>`]
  if (typeof value === 'string') return [`${indent}<string>${escapeXml(value)}</string>`]
  const deeper = `${indent}  `
  if (isList(value))
    return [
      `${indent}<array>`,
      ...value.flatMap((item) => linesOf(item, deeper)),
      `${indent}</array>`,
    ]
  return [
    `${indent}<dict>`,
    ...Object.entries(value).flatMap(([key, member]) => [
      `${deeper}<key>${escapeXml(key)}</key>`,
      ...linesOf(member, deeper),
    ]),
    `${indent}</dict>`,
  ]
}

function isList(value: Written): value is readonly Written[] {
  return Array.isArray(value)
}
