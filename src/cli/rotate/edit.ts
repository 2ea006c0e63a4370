// Edits of a policy file's text that leave all of it but what they are about as it stands: order, indentation, line ends,
// spelling. What is added looks like what stands beside it. jsonc-parser's own `modify` formats whole lines anew.

import { findNodeAtLocation, type Node, parseTree } from 'jsonc-parser'

/** A way into the file: names of members and indices of items. */
export type Path = readonly (string | number)[]

/** Members of a pin by name. */
export type Members = Readonly<Record<string, string>>

/** The text of a policy file that was read before, so that its paths lead somewhere. */
export class PolicyText {
  readonly #mark: string
  readonly #indent: string
  readonly #lineEnd: string
  /** Whether there is no space after commas and colons. */
  readonly #isDense: boolean
  #text: string

  constructor(text: string) {
    this.#mark = text.startsWith('\ufeff') ? '\ufeff' : ''
    this.#text = text.slice(this.#mark.length)
    this.#lineEnd = /\r?\n/.exec(this.#text)?.[0] ?? '\n'
    this.#indent = /^[\t ]+(?=\S)/m.exec(this.#text)?.[0] ?? '  '
    this.#isDense = !/":\s/.test(this.#text)
  }

  /** The text with all edits, its byte order mark included if it had one. */
  toString(): string {
    return this.#mark + this.#text
  }

  /** Adds an item to the end of the list at `path`: a text, or an object with `members`. */
  append(path: Path, item: string | Members): void {
    const list = this.#node(path)
    const items = list.children ?? []
    const last = items.at(-1)
    if (last === undefined) throw new Error('a list of pins is never empty')
    const like = items.findLast(({ type }) => type === 'object')
    const text = typeof item === 'string' ? JSON.stringify(item) : this.#object(item, like)
    this.#splice(endOf(last), endOf(last), this.#separator(items, list) + text)
  }

  /** Puts a list of the value that stands at `path` and of `item` there. */
  wrap(path: Path, item: string): void {
    const node = this.#node(path)
    const old = this.#textOf(node)
    this.#splice(node.offset, endOf(node), `[${old},${this.#space}${JSON.stringify(item)}]`)
  }

  /** Gives the pin at `path` these members; a pin that is a text becomes an object, its spelling kept. */
  set(path: Path, members: Members): void {
    const node = this.#node(path)
    if (node.type !== 'object') {
      const siblings = node.parent?.children ?? []
      const like = siblings.findLast(({ type }) => type === 'object')
      const pin = JSON.parse(this.#textOf(node)) as string // a pin that is no object is a text
      this.#splice(node.offset, endOf(node), this.#object({ pin, ...members }, like))
      return
    }
    for (const [name, value] of Object.entries(members)) this.#setMember(path, name, value)
  }

  /** Takes the item at `path` out of its list, or the member out of its object, which has others. */
  remove(path: Path): void {
    const value = this.#node(path)
    const node = value.parent?.type === 'property' ? value.parent : value
    const items = node.parent?.children ?? []
    const index = items.indexOf(node)
    const [before, after] = [items[index - 1], items[index + 1]]
    if (before !== undefined) this.#splice(endOf(before), endOf(node), '')
    else if (after !== undefined) this.#splice(node.offset, after.offset, '')
    else throw new Error('the last item of a list cannot be taken out')
  }

  #setMember(path: Path, name: string, value: string): void {
    const object = this.#node(path)
    const known = findNodeAtLocation(object, [name])
    if (known !== undefined) {
      this.#splice(known.offset, endOf(known), JSON.stringify(value))
      return
    }
    const members = object.children ?? []
    const last = members.at(-1)
    const [key, of] = last?.children ?? []
    if (last === undefined || key === undefined || of === undefined)
      throw new Error('a pin has members')
    const colon = this.#text.slice(endOf(key), of.offset)
    const text = `${JSON.stringify(name)}${colon}${JSON.stringify(value)}`
    this.#splice(endOf(last), endOf(last), this.#separator(members, object) + text)
  }

  /** What stands between two children of `parent`, its line breaks and spaces as they are there. */
  #separator(children: readonly Node[], parent: Node): string {
    const [before, last] = [children.at(-2), children.at(-1)]
    if (before !== undefined && last !== undefined)
      return this.#text.slice(endOf(before), last.offset)
    const lead = last === undefined ? '' : this.#text.slice(parent.offset + 1, last.offset)
    return lead.includes('\n') ? `,${lead}` : `,${this.#space}`
  }

  /** An object: on as many lines as `like`, or on one. */
  #object(members: Members, like: Node | undefined): string {
    const model = like === undefined ? '' : this.#textOf(like)
    if (like !== undefined && model.includes('\n')) {
      const lineStart = this.#text.lastIndexOf('\n', like.offset - 1) + 1
      const base = /^[\t ]*/.exec(this.#text.slice(lineStart))?.[0] ?? ''
      return JSON.stringify(members, null, this.#indent).replace(/\n/g, this.#lineEnd + base)
    }
    if (this.#isDense) return JSON.stringify(members)
    const edge = model === '' || /^\{\s/.test(model) ? ' ' : ''
    const parts = Object.entries(members).map(
      ([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`,
    )
    return `{${edge}${parts.join(', ')}${edge}}`
  }

  get #space(): string {
    return this.#isDense ? '' : ' '
  }

  #node(path: Path): Node {
    const root = parseTree(this.#text)
    const node = root === undefined ? undefined : findNodeAtLocation(root, [...path])
    if (node === undefined) throw new Error(`the file has nothing at ${path.join('/')}`)
    return node
  }

  #textOf(node: Node): string {
    return this.#text.slice(node.offset, endOf(node))
  }

  #splice(start: number, end: number, text: string): void {
    this.#text = this.#text.slice(0, start) + text + this.#text.slice(end)
  }
}

function endOf({ offset, length }: Node): number {
  return offset + length
}
