// The text of a policy file: what it says, and where it says it.
//
// JSON.parse reads it, since files have up to a million hosts; positions are looked for when something is wrong.

import {
  findNodeAtLocation,
  getNodePath,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser'
import type { ErrorCode } from '../errors.js'

/** A way into the file: names of members and indices of items. */
export type Path = readonly (string | number)[]

/** Something that is wrong in a file. */
export interface Fault {
  readonly code: ErrorCode
  readonly message: string
  readonly path: Path
  /** Whether it is the name of the member that is wrong, and not its value. */
  readonly isOfName?: boolean
  /** Of a fault that has no path: where in the text. */
  readonly offset?: number
}

/** A line and a column, both from 1; columns are UTF-16 code units. */
export interface Position {
  readonly line: number
  readonly column: number
}

const STRICT = { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false }

export class PolicySource {
  readonly text: string
  /** What the text says; undefined where it is no JSON. */
  readonly value: unknown
  /** Why it is no JSON. */
  readonly fault: Fault | null
  #tree: Node | null | undefined
  #lines: number[] | undefined

  constructor(text: string) {
    this.text = text.startsWith('\ufeff') ? text.slice(1) : text
    try {
      this.value = JSON.parse(this.text)
      this.fault = null
    } catch (cause) {
      this.value = undefined
      this.fault = this.#syntaxFault(cause)
    }
  }

  /** How many members the objects of the text have, repeated ones too: its strings that have a colon behind them. */
  countMembers(): number {
    const { text } = this
    let members = 0
    for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at)) {
      at = text.indexOf('"', at + 1)
      while (isEscaped(text, at)) at = text.indexOf('"', at + 1)
      at += 1
      while (isSpace(text.charCodeAt(at))) at += 1
      if (text.charCodeAt(at) === COLON) members += 1
    }
    return members
  }

  /** The members that repeat the name of another in their object, where the later one stands. */
  repeated(): { path: Path; offset: number }[] {
    const found: { path: Path; offset: number }[] = []
    const waiting = [this.#root()]
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      if (node === null) continue
      const names = new Set<unknown>()
      for (const child of node.children ?? []) {
        waiting.push(child)
        const [name] = child.children ?? []
        if (node.type !== 'object' || name === undefined) continue
        if (names.has(name.value)) found.push({ path: getNodePath(name), offset: name.offset })
        names.add(name.value)
      }
    }
    return found
  }

  /**
   * Where the name of the member at `path` stands. Without a look at the whole text where the name stands in it once, as
   * that of a host does.
   */
  positionOfName(path: Path): Position {
    const name = JSON.stringify(String(path.at(-1)))
    const at = this.text.indexOf(name)
    if (at === -1 || this.text.indexOf(name, at + 1) !== -1)
      return this.positionOf({ path, isOfName: true })
    return this.#position(at)
  }

  /** Where `fault` is. */
  positionOf(fault: Pick<Fault, 'path' | 'isOfName' | 'offset'>): Position {
    return this.#position(fault.offset ?? this.#offsetOf(fault.path, fault.isOfName === true))
  }

  #offsetOf(path: Path, isOfName: boolean): number {
    const root = this.#root()
    if (root === null) return 0
    const node = findNodeAtLocation(root, [...path])
    if (node === undefined)
      return path.length === 0 ? root.offset : this.#offsetOf(path.slice(0, -1), false)
    const isMember = node.parent?.type === 'property'
    return isOfName && isMember ? (node.parent?.offset ?? node.offset) : node.offset
  }

  #position(offset: number): Position {
    this.#lines ??= lineStarts(this.text)
    let low = 0
    let high = this.#lines.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((this.#lines[middle] ?? 0) <= offset) low = middle
      else high = middle
    }
    return { line: low + 1, column: offset - (this.#lines[low] ?? 0) + 1 }
  }

  #root(): Node | null {
    if (this.#tree === undefined) {
      try {
        this.#tree = parseTree(this.text, [], STRICT) ?? null
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        this.#tree = null // nested so deeply that no policy looks like it, and the fault is at its top
      }
    }
    return this.#tree
  }

  #syntaxFault(cause: unknown): Fault {
    const faults: ParseError[] = []
    try {
      parseTree(this.text, faults, STRICT)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
    const [first] = faults
    const reason =
      first === undefined
        ? String(cause instanceof Error ? cause.message : cause)
        : inWords(printParseErrorCode(first.error))
    const isEmpty = this.text.trim() === ''
    return {
      code: 'ERR_POLICY_INVALID_OPTION',
      message: `no JSON: ${isEmpty ? 'the file is empty' : reason}`,
      path: [],
      offset: isEmpty ? 0 : (first?.offset ?? 0),
    }
  }
}

const COLON = 0x3a

/** Whether the quote at `at` is within a string: an odd number of backslashes stands before it. */
function isEscaped(text: string, at: number): boolean {
  let start = at
  while (text.charCodeAt(start - 1) === 0x5c) start -= 1
  return (at - start) % 2 === 1
}

/** The white space of RFC 8259 §2. */
function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
}

function lineStarts(text: string): number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}

/** `CommaExpected` as `comma expected`. */
function inWords(name: string): string {
  return name.replace(/(?<=[a-z])(?=[A-Z])/g, ' ').toLowerCase()
}

/** `path` as a JSON pointer (RFC 6901). */
export function pointerOf(path: Path): string {
  return path.map((part) => `/${String(part).replace(/~/g, '~0').replace(/\//g, '~1')}`).join('')
}
