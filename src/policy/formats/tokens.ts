// Source code of Go, Kotlin and Java as far as pins are told by it: texts, words and signs, without comments.

import { Lines, malformed, type Position } from './conversion.js'

/** A piece of source code. */
export interface Token {
  /** `text`: a literal without anything to be put in; `word`: a name or number; `sign`: any other character. */
  readonly kind: 'text' | 'word' | 'sign'
  /** What it says; of a text, what it stands for. */
  readonly value: string
  readonly at: Position
}

/** What differs between the languages. */
export interface Language {
  /** Texts between these, as they stand. */
  readonly raw: '`' | '"""'
  /** Whether `$` in a text puts something in. */
  readonly templates: boolean
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  '"': '"',
  "'": "'",
  '\\': '\\',
  $: '$',
}

/** The pieces of `source`. */
export function tokensOf(source: string, { raw, templates }: Language): Token[] {
  const lines = new Lines(source)
  const tokens: Token[] = []
  const isTemplate = (text: string) => templates && /\$(?:\{|[A-Za-z_])/.test(text)
  let at = 0
  while (at < source.length) {
    const rest = source.slice(at, at + 3)
    const [first = ''] = rest
    if (/\s/.test(first)) {
      at += 1
    } else if (rest.startsWith('//')) {
      const end = source.indexOf('\n', at)
      at = end === -1 ? source.length : end
    } else if (rest.startsWith('/*')) {
      at = endOf(source, '*/', at + 2, lines.at(at))
    } else if (rest.startsWith(raw)) {
      const end = endOf(source, raw, at + raw.length, lines.at(at))
      const text = source.slice(at + raw.length, end - raw.length)
      if (isTemplate(text)) throw malformed(lines.at(at), 'a text with something put in')
      tokens.push({ kind: 'text', value: text, at: lines.at(at) })
      at = end
    } else if (first === '"') {
      const [written] = /^"(?:[^"\\\n]|\\.)*"/.exec(source.slice(at)) ?? []
      if (written === undefined) throw malformed(lines.at(at), 'a text that does not end')
      const inside = written.slice(1, -1)
      // one with something put in is told when it is needed: elsewhere in the code it is of no concern
      const isPlain = !isTemplate(inside)
      tokens.push({
        kind: isPlain ? 'text' : 'sign',
        value: isPlain ? unescaped(inside, lines.at(at)) : written,
        at: lines.at(at),
      })
      at += written.length
    } else if (first === "'") {
      const [written = first] = /^'(?:[^'\\\n]|\\.)*'/.exec(source.slice(at)) ?? []
      tokens.push({ kind: 'sign', value: written, at: lines.at(at) })
      at += written.length
    } else {
      const [word] = /^[\p{L}\p{N}_]+/u.exec(source.slice(at, at + 200)) ?? []
      tokens.push({
        kind: word === undefined ? 'sign' : 'word',
        value: word ?? first,
        at: lines.at(at),
      })
      at += (word ?? first).length
    }
  }
  return tokens
}

function endOf(source: string, mark: string, from: number, at: Position): number {
  const end = source.indexOf(mark, from)
  if (end === -1) throw malformed(at, `it does not end: there is no ${mark}`)
  return end + mark.length
}

function unescaped(text: string, at: Position): string {
  return text.replace(
    /\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))/g,
    (_all, unicode: string | undefined, hex: string | undefined, other: string) => {
      const code = unicode ?? hex
      if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16))
      const character = ESCAPES[other]
      if (character === undefined) throw malformed(at, `\\${other} is not read in a text`)
      return character
    },
  )
}
