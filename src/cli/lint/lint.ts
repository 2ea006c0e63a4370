// `pinfetch lint`: what is wrong in policy files, and what will be.

import { parseArgs } from 'node:util'
import {
  type CaSetChange,
  type CaSetLock,
  type FilePolicy,
  PolicyError,
  PolicyFile,
  type PolicyFileOptions,
  type PolicyProblem,
} from '../../index.js'
import { readDate, readDays, readKeys, readNamedText } from '../arguments.js'
import { EXIT, exitCodeOf, gravest, UsageError } from '../exit.js'
import { complain, print, printable } from '../output.js'
import { readSurvey } from '../survey/saved.js'
import { type Evidence, lintEvidence } from './evidence.js'
import { type Finding, type Horizon, lintPolicy, RULES, type Rule } from './rules.js'

export const LINT_HELP = `Usage: pinfetch lint [options] FILE...

Says what is wrong in policy files, and what will be: file:line:column, how bad it is,
what it is, and the rule's name. docs/lint.md tells of each rule.

  --days N              tell of pin sets that end within N days (default 30)
  --at DATE             judge dates as of DATE, such as 2027-03-01 (default now)
  --seen FILE           judge by what pinfetch check --json has printed, too: spare pins
  --certificates FILE   certificates of authorities (PEM or DER), to tell those that have
                        ended; repeatable
  --ignore RULE         say nothing of what RULE finds; repeatable
  --json                a line of JSON for each finding
  --help                show this
`

/** Runs `pinfetch lint` with what follows on the command line; resolves to the exit code. */
export async function lint(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      days: { type: 'string' },
      at: { type: 'string' },
      seen: { type: 'string' },
      certificates: { type: 'string', multiple: true, default: [] },
      ignore: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(LINT_HELP)
    return EXIT.ok
  }
  if (positionals.length === 0) throw new UsageError('give a policy file')
  const horizon = {
    now: values.at === undefined ? new Date() : readDate('--at', values.at),
    days: readDays(values.days),
  }
  const evidence = await readEvidence(values.seen, values.certificates)
  const ignored = new Set(values.ignore.map(readRule))
  const codes: number[] = []
  for (const name of positionals) {
    let text: string
    let caSets: CaSetLock | undefined
    try {
      text = await readNamedText(name)
      caSets = await PolicyFile.readLock(name)
    } catch (error) {
      complain(error)
      codes.push(error instanceof PolicyError ? EXIT.file : exitCodeOf(error))
      continue
    }
    for (const finding of lintText(text, horizon, { file: name, caSets }, evidence)) {
      if (ignored.has(finding.rule)) continue
      await print(values.json ? lineOf(name, finding) : textOf(name, finding))
      codes.push(RULES[finding.rule] === 'error' ? EXIT.file : EXIT.findings)
    }
  }
  return gravest(codes)
}

/** A finding with its place. */
interface Placed extends Finding {
  readonly line: number
  readonly column: number
  /** The code that the library's error has, of what makes the file unusable. */
  readonly code?: string
}

/** What is found in a policy file's text, in its order. */
export function lintText(
  text: string,
  horizon: Horizon,
  options: PolicyFileOptions = {},
  evidence: Evidence = NO_EVIDENCE,
): Placed[] {
  const problems = PolicyFile.check(text, options)
  if (problems.length > 0) return problems.map(ofProblem)
  const file = new PolicyFile(text, options)
  const changes = new Map(file.caSetChanges.map((change) => [change.name, change]))
  const findings = new Map<string, Placed>() // of a common host each environment tells
  for (const environment of file.environments.length === 0 ? [undefined] : file.environments) {
    const policy = file.in(environment)
    const found = [
      ...lintPolicy(policy, horizon),
      ...changedSets(policy, changes),
      ...lintEvidence(policy, evidence, horizon),
    ]
    for (const finding of found) {
      const { rule, pointer, message } = finding
      findings.set(JSON.stringify([rule, pointer, message]), {
        ...finding,
        ...file.positionOf(pointer),
      })
    }
  }
  return [...findings.values()].sort((a, b) => a.line - b.line || a.column - b.column)
}

const NO_EVIDENCE: Evidence = { hosts: [], certificates: [] }

async function readEvidence(
  seen: string | undefined,
  certificates: readonly string[],
): Promise<Evidence> {
  const hosts = seen === undefined ? [] : readSurvey(await readNamedText(seen), seen)
  const keys = await Promise.all(certificates.map(readKeys))
  return { hosts, certificates: keys.flat() }
}

/** Sets of the lock that this version of pinfetch has otherwise. */
function changedSets(policy: FilePolicy, changes: ReadonlyMap<string, CaSetChange>): Finding[] {
  if (changes.size === 0) return []
  const pins = [...policy.blocked, ...[...policy.sets.values()].flatMap((set) => set.pins)]
  return pins.flatMap(({ caSet, pointer }): Finding[] => {
    const change = changes.get(caSet ?? '')
    if (change === undefined) return []
    const { name, added, removed } = change
    const what = [
      ...added.map(({ subject }) => `has ${subject}`),
      ...removed.map(({ subject }) => `has ${subject} no longer`),
    ].join(', ')
    const message = `ca:${name} is as the lock has it, and this pinfetch ${what}: see pinfetch lock`
    return [{ rule: 'ca-set-changed', message, pointer }]
  })
}

function ofProblem({ code, message, pointer, line, column }: PolicyProblem): Placed {
  return { rule: 'invalid-file', code, message, pointer, line, column }
}

function textOf(name: string, { rule, message, pointer, line, column }: Placed): string {
  const place = rule === 'invalid-file' && pointer !== '' ? `${pointer}: ` : ''
  const start = `${name}:${line}:${column}: ${RULES[rule]}: `
  return `${printable(`${start}${place}${message}`)} (${rule})\n`
}

function lineOf(file: string, { rule, code, message, pointer, line, column }: Placed): string {
  const severity = RULES[rule]
  return `${JSON.stringify({ file, line, column, pointer, severity, rule, code, message })}\n`
}

function readRule(text: string): Rule {
  const rules = Object.keys(RULES) as Rule[] // its own keys
  const rule = rules.find((name) => name === text)
  if (rule === undefined)
    throw new UsageError(`--ignore ${JSON.stringify(text)}: there are ${rules.join(', ')}`)
  return rule
}
