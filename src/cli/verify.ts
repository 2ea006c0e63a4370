// `pinfetch verify --jsonl`: verdicts on certificate chains, a request a line.

import { createReadStream } from 'node:fs'
import { parseArgs } from 'node:util'
import { type VerifyChainRequest, verifyChain } from '../index.js'
import { codeOf, EXIT, messageOf, UsageError } from './exit.js'
import { linesOf } from './lines.js'
import { print } from './output.js'

export const VERIFY_HELP = `Usage: pinfetch verify --jsonl [FILE]

Judges certificate chains as a handshake would. Reads one JSON request a line from FILE
or stdin, and answers each with a line of JSON on stdout:

  { "id": 1, "chain": [BASE64...], "trustAnchors": [BASE64...], "hostname": "a.example",
    "time": 1767225600, "pins": ["sha256/..."] }
  { "id": 1, "ok": true, "path": ["sha256/..."...], "matchedPin": "sha256/...", "us": 97 }

  --jsonl               requests and answers are lines of JSON
  --help                show this
`

/** The properties whose values are lists of base64. */
const ENCODED: ReadonlySet<string> = new Set(['chain', 'trustAnchors'])

/** RFC 4648 §4, padded: Buffer.from would pass over what is none. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Runs `pinfetch verify` with what follows on the command line; resolves to the exit code. */
export async function verify(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      jsonl: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(VERIFY_HELP)
    return EXIT.ok
  }
  if (!values.jsonl) throw new UsageError('give --jsonl')
  const [file, ...more] = positionals
  if (more.length > 0) throw new UsageError('give one FILE, or none for stdin')

  const stream = file === undefined ? process.stdin : createReadStream(file)
  for await (const lines of linesOf(stream, file ?? 'stdin')) {
    let answers = ''
    for (const line of lines) answers += answer(line)
    if (answers !== '') await print(answers)
  }
  return EXIT.ok
}

/** The answer to one line, its end included; nothing to a blank one. */
function answer(line: Buffer): string {
  let id: unknown
  let started: number | undefined
  try {
    const text = readText(line)
    if (text.trim() === '') return ''
    const given = readObject(text)
    id = given.id
    const request = readRequest(given)
    started = performance.now()
    const verdict = verifyChain(request)
    return write({ id, ...verdict, us: microsecondsSince(started) })
  } catch (error) {
    const code = codeOf(error) ?? 'ERR_INTERNAL'
    const us = started === undefined ? undefined : microsecondsSince(started)
    return write({ id, ok: false, code, message: messageOf(error), us })
  }
}

function readText(line: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(line)
  } catch {
    throw malformed('the line is no UTF-8')
  }
}

function readObject(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw malformed(`the line is no JSON: ${messageOf(cause)}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed('the line is no JSON object')
  return value as Record<string, unknown> // an object that JSON.parse made
}

/** What {@link verifyChain} takes; it refuses what it doesn't know, so nothing is left out but what may be. */
function readRequest(given: Record<string, unknown>): VerifyChainRequest {
  const kept = Object.entries(given).filter(([name]) => name !== 'id' && !name.startsWith('_'))
  const request: unknown = Object.fromEntries(
    kept.map(([name, value]) => [name, ENCODED.has(name) ? decode(name, value) : value]),
  )
  return request as VerifyChainRequest // or a TypeError of verifyChain, which checks each property
}

function decode(name: string, value: unknown): unknown {
  if (!Array.isArray(value)) return value
  return value.map((text: unknown, index) => {
    if (typeof text !== 'string' || !BASE64.test(text))
      throw malformed(`${name}[${index}] is no base64`)
    return Buffer.from(text, 'base64')
  })
}

function malformed(message: string): Error & { readonly code: string } {
  return Object.assign(new Error(message), { code: 'ERR_INVALID_ARGUMENT' })
}

function microsecondsSince(started: number): number {
  return Math.round((performance.now() - started) * 1000)
}

function write(answer: object): string {
  return `${JSON.stringify(answer)}\n`
}
