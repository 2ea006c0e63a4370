// XML as two formats have it: elements with their places, and text that is written.

import { parseXml, XmlElement, XmlError, XmlText } from '@rgrove/parse-xml'
import { Lines, malformed, type Position } from './conversion.js'

/** An element, and where it begins. */
export interface Element {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
  readonly children: readonly Element[]
  /** Its own text, without white space at its ends. */
  readonly text: string
  readonly at: Position
}

/** The root element of an XML document. */
export function readXml(text: string): Element {
  const source = text.replace(/^\ufeff/, '').replace(/\r\n?/g, '\n')
  try {
    const { root } = parseXml(source, { includeOffsets: true })
    if (root === null) throw malformed({ line: 1, column: 1 }, 'it has no element')
    return elementOf(root, new Lines(source))
  } catch (cause) {
    if (cause instanceof RangeError)
      throw malformed({ line: 1, column: 1 }, 'elements are nested too deeply', cause)
    if (!(cause instanceof XmlError)) throw cause
    const [reason = ''] = cause.message.split(/ \(line \d+/)
    throw malformed(cause, `no XML: ${reason}`)
  }
}

/** `text` as the content of an element or an attribute. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}

function elementOf(element: XmlElement, lines: Lines): Element {
  const children = element.children.filter((child) => child instanceof XmlElement)
  const texts = element.children.filter((child) => child instanceof XmlText) // CDATA is one
  return {
    name: element.name,
    attributes: new Map(Object.entries(element.attributes)),
    children: children.map((child) => elementOf(child, lines)),
    text: texts
      .map(({ text }) => text)
      .join('')
      .trim(),
    at: lines.at(element.start), // a code unit's, whatever the parser's documentation calls it
  }
}
