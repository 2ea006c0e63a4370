// `pinfetch explain`: which pins apply to a URL, and why; and what a change of a policy file changes.

import { parseArgs } from 'node:util'
import type { FilePolicy, PolicyFile, PolicyPin, VerifyPolicy } from '../../index.js'
import { hasPins, type Match, PatternIndex, readPattern } from '../../policy/patterns.js'
import {
  readNamedPolicy,
  readPolicyFile,
  readVerify,
  VERIFY_HELP,
  VERIFY_OPTIONS,
} from '../arguments.js'
import { EXIT, FileError, gravest, UsageError } from '../exit.js'
import { columns, print, printable } from '../output.js'
import { dayOf, plural } from '../wording.js'
import { diffPolicies, isSame, textOfDiff } from './diff.js'

export const EXPLAIN_HELP = `Usage: pinfetch explain [options] --policy FILE URL...
       pinfetch explain [options] --diff OLD NEW

Says which patterns and pins of a policy file apply to each URL, and why; or which
patterns gained or lost pins between two files. Asks no server.

  --policy FILE         the policy file
  --environment NAME    which environment of the policy file
  --diff                compare two policy files
${VERIFY_HELP}\
  --json                a line of JSON for each URL, or for the comparison
  --help                show this
`

/** Runs `pinfetch explain` with what follows on the command line; resolves to the exit code. */
export async function explain(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      policy: { type: 'string' },
      environment: { type: 'string' },
      diff: { type: 'boolean', default: false },
      ...VERIFY_OPTIONS,
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(EXPLAIN_HELP)
    return EXIT.ok
  }
  const { policy: name, environment } = values
  const verify = await readVerify(values)
  if (values.diff) {
    const [older, newer, ...more] = positionals
    if (older === undefined || newer === undefined || more.length > 0 || name !== undefined)
      throw new UsageError('give two policy files to compare: --diff OLD NEW')
    return compareFiles(older, newer, { environment, verify }, values.json)
  }
  if (name === undefined) throw new UsageError('give --policy, or two files after --diff')
  if (positionals.length === 0) throw new UsageError('give a URL')
  const urls = positionals.map(readUrl)
  const file = await readPolicyFile(name, verify)
  const policy = selected(file, name, environment)
  const index = new PatternIndex(policy.sets.values())
  const codes: number[] = []
  for (const url of urls) {
    const told = explanationOf(url, policy, index, file)
    await print(values.json ? `${JSON.stringify(told)}\n` : textOf(told, name))
    codes.push(told.verdict === 'pinned' ? EXIT.ok : EXIT.findings)
  }
  return gravest(codes)
}

async function compareFiles(
  older: string,
  newer: string,
  { environment, verify }: { environment: string | undefined; verify: VerifyPolicy | undefined },
  isJson: boolean,
): Promise<number> {
  const diff = diffPolicies(
    await readNamedPolicy(older, environment, verify),
    await readNamedPolicy(newer, environment, verify),
  )
  if (isJson) await print(`${JSON.stringify({ old: older, new: newer, ...diff })}\n`)
  else await print(textOfDiff(diff))
  return isSame(diff) ? EXIT.ok : EXIT.findings
}

function selected(file: PolicyFile, name: string, environment: string | undefined): FilePolicy {
  try {
    return file.in(environment)
  } catch (cause) {
    throw FileError.of(name, cause)
  }
}

/** Reads a URL; `https:` is what a host alone stands for. */
function readUrl(text: string): URL {
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`
  const url = URL.canParse(whole) ? new URL(whole) : undefined
  if (url === undefined || !['https:', 'http:'].includes(url.protocol))
    throw new UsageError(`${JSON.stringify(text)} is no URL of https: or http:`)
  return url
}

/** What becomes of a request, as far as the policy is concerned. */
type Verdict = 'pinned' | 'unpinned' | 'refused'

interface Explanation {
  readonly url: string
  readonly host: string
  readonly port: number
  readonly verdict: Verdict
  /** Why, in words. */
  readonly reason: string
  /** The pins in force. */
  readonly pins: readonly string[]
  /** The patterns that speak of the host, the most specific one first. */
  readonly patterns: readonly ExplainedPattern[]
}

interface ExplainedPattern {
  readonly pattern: string
  readonly line: number
  readonly column: number
  readonly status: 'contributes' | 'excludes' | 'excluded'
  /** Whether it takes its hosts out of less specific patterns. */
  readonly exclude?: true
  /** The exclusion that takes the host out of this pattern. */
  readonly excludedBy?: string
  readonly mode?: string
  readonly expires?: { readonly at: string; readonly then: string }
  readonly require?: unknown
  readonly trust?: unknown
  readonly note?: string
  readonly pins: readonly ExplainedPin[]
}

interface ExplainedPin {
  readonly pin: string
  readonly blocked?: true
  readonly at?: string
  readonly role?: string
  readonly label?: string
  readonly note?: string
  readonly added?: string
  readonly expires?: string
}

function explanationOf(
  url: URL,
  policy: FilePolicy,
  index: PatternIndex,
  file: PolicyFile,
): Explanation {
  const host = readPattern(url.hostname).base
  const port = Number(url.port) || (url.protocol === 'http:' ? 80 : 443)
  const { pins } = policy.lookup(`${url.hostname}:${port}`)
  const blocked = new Set(policy.blocked.map(({ pin }) => pin))
  const matches = index.matching(host, port)
  const patterns = matches.map((match) => ({
    ...explainedPattern(match, blocked),
    ...file.positionOf(match.set.pointer),
  }))
  const [verdict, reason] = judge(url, pins.length, policy, matches)
  return { url: shown(url), host, port, verdict, reason, pins, patterns }
}

function judge(
  url: URL,
  pins: number,
  policy: FilePolicy,
  matches: readonly Match[],
): [verdict: Verdict, reason: string] {
  if (pins > 0) {
    if (url.protocol === 'http:') return ['refused', 'the host is pinned, and http: proves nothing']
    const count = matches.filter((match) => hasPins(match) && !match.excludedBy).length
    return ['pinned', `by ${plural(pins, 'pin')} of ${plural(count, 'pattern')}`]
  }
  const [first] = matches
  const why = first === undefined ? 'no pattern speaks of it' : `${first.pattern.text} excludes it`
  const after = {
    allow: 'hosts without pins are allowed',
    warn: 'hosts without pins are warned of',
    refuse: 'hosts without pins are refused',
  }[policy.unpinned]
  return [policy.unpinned === 'refuse' ? 'refused' : 'unpinned', `${why}, and ${after}`]
}

function explainedPattern(
  { pattern, set, excludedBy }: Match,
  blocked: ReadonlySet<string>,
): Omit<ExplainedPattern, 'line' | 'column'> {
  const isBare = set.pins.length === 0
  const status = isBare ? 'excludes' : excludedBy === null ? 'contributes' : 'excluded'
  return {
    pattern: pattern.text,
    status,
    ...(excludedBy === null ? {} : { excludedBy: excludedBy.text }),
    ...(set.exclude ? { exclude: true as const } : {}),
    ...(isBare ? {} : { mode: set.mode, require: set.require, trust: set.trust }),
    ...(set.expires === null
      ? {}
      : { expires: { at: set.expires.at.toISOString(), then: set.expires.afterwards } }),
    ...(set.note === null ? {} : { note: set.note }),
    pins: set.pins.map((pin) => explainedPin(pin, blocked)),
  }
}

function explainedPin(pin: PolicyPin, blocked: ReadonlySet<string>): ExplainedPin {
  return {
    pin: pin.pin,
    ...(blocked.has(pin.pin) ? { blocked: true } : {}),
    ...(pin.at === null ? {} : { at: pin.at }),
    ...(pin.role === null ? {} : { role: pin.role }),
    ...(pin.label === null ? {} : { label: pin.label }),
    ...(pin.note === null ? {} : { note: pin.note }),
    ...(pin.added === null ? {} : { added: pin.added.toISOString() }),
    ...(pin.expires === null ? {} : { expires: pin.expires.toISOString() }),
  }
}

function textOf(told: Explanation, name: string): string {
  const lines = [`${told.url}`, `  ${told.verdict}: ${told.reason}`]
  for (const of of told.patterns) {
    const { pattern, line, column, status } = of
    const what = {
      contributes: settingsOf(of),
      excludes: 'takes its hosts out of less specific patterns',
      excluded: `taken out by ${of.excludedBy}`,
    }[status]
    lines.push(`  ${pattern} (${name}:${line}:${column}): ${what}`)
    if (of.note !== undefined) lines.push(`    ${of.note}`)
    const isOff = status === 'excluded'
    lines.push(
      ...columns(of.pins.map(cellsOf)).map(
        (row) => `    ${isOff ? '(' : ''}${row}${isOff ? ')' : ''}`,
      ),
    )
  }
  return `${lines.map(printable).join('\n')}\n`
}

function cellsOf({ pin, blocked, at, role, label, note, expires }: ExplainedPin): string[] {
  const facts = [
    blocked ? 'blocked' : '',
    role ?? '',
    at === undefined ? '' : `at the ${at}`,
    label ?? '',
    expires === undefined ? '' : `until ${dayOf(new Date(expires))}`,
    note ?? '',
  ]
  return [pin, facts.filter((fact) => fact !== '').join(', ')]
}

/** What is said of a set besides its pins, as far as it is not what goes without saying. */
function settingsOf({ pins, exclude, mode, expires, require, trust }: ExplainedPattern): string {
  const facts = [plural(pins.length, 'pin')]
  if (exclude) facts.push('in place of less specific patterns')
  if (mode === 'report') facts.push('reported only')
  if (require !== 1)
    facts.push(Array.isArray(require) ? `all of ${require.join(', ')}` : `${require} of them`)
  if (trust === 'pinned-key') facts.push('trust in the pinned key itself')
  else if (typeof trust === 'object' && trust !== null)
    facts.push(`trust in ${String(Reflect.get(trust, 'ca'))}`)
  if (expires !== undefined) {
    const then = expires.then === 'enforce' ? '' : `, then ${expires.then}`
    facts.push(`until ${dayOf(new Date(expires.at))}${then}`)
  }
  return facts.join(', ')
}

/** A URL without what may be secret in it. */
function shown(url: URL): string {
  return `${url.origin}${url.pathname}`
}
