// `pinfetch check`: what the servers of a policy file serve, and what its pins make of it.

import { parseArgs } from 'node:util'
import { PolicyError, type PolicyFile } from '../../index.js'
import { readDays, readPolicyFile } from '../arguments.js'
import { EXIT, exitCodeOf, FileError, gravest, UsageError } from '../exit.js'
import { onFirstInterrupt } from '../interrupt.js'
import { print, remark } from '../output.js'
import { showProgress } from '../progress.js'
import { readSurveyOptions, SURVEY_HELP, SURVEY_OPTIONS } from '../survey/options.js'
import { Survey } from '../survey/survey.js'
import { plural } from '../wording.js'
import { type CheckFinding, findingsOf, unnamedFinding } from './rules.js'
import { textOf, textOfUnnamed } from './text.js'

export const CHECK_HELP = `Usage: pinfetch check [options] [--policy] FILE

Asks every host of a policy file for its certificates, sends nothing else, and says which
pins match where, what is not served, when certificates end, and what the next change of
them will break. docs/rotation.md tells what to do.

${SURVEY_HELP}\
  --days N              tell of what ends within N days (default 30)
  --long                show the path of each host, not only of those with findings
  --json                a line of JSON for each host
  --quiet               no progress, no summary
  --help                show this
`

/** How far ahead ends are told, unless told otherwise. */
export const DAYS = 30
/** More hosts than this are worth a bar. */
const FEW = 32

/** Runs `pinfetch check` with what follows on the command line; resolves to the exit code. */
export async function check(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...SURVEY_OPTIONS,
      policy: { type: 'string' },
      days: { type: 'string' },
      long: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(CHECK_HELP)
    return EXIT.ok
  }
  const name = onlyFile(positionals, values.policy)
  const days = values.days === undefined ? DAYS : readDays(values.days)
  const plan = await readSurveyOptions(values)
  const file = await readPolicyFile(name)
  const survey = surveyOf(file, name, values.environment, plan)
  if (survey.size === 0 && survey.unnamed.length > 0)
    throw new UsageError('the file has wildcards only: name hosts with --host or --hosts')

  const { hosts, isInterrupted } = await runSurvey(survey, name, values.quiet)
  const codes: number[] = []
  for (const host of hosts) {
    const findings = findingsOf(host, days)
    codes.push(...findings.map(exitCodeOfFinding))
    await print(
      values.json
        ? `${JSON.stringify({ ...host, findings })}\n`
        : textOf(host, findings, file, name, values.long),
    )
  }
  for (const { pattern, set } of survey.unnamed) {
    const findings = [unnamedFinding(set.pointer)]
    codes.push(EXIT.findings)
    await print(
      values.json
        ? `${JSON.stringify({ pattern: pattern.text, pointer: set.pointer, findings })}\n`
        : textOfUnnamed(pattern.text, findings),
    )
  }
  if (!values.quiet) remark(summaryOf(hosts))
  return isInterrupted ? EXIT.interrupted : gravest(codes)
}

/** The one policy file that was given. */
export function onlyFile(positionals: readonly string[], option?: string): string {
  const [name, another] = option === undefined ? positionals : [option, ...positionals]
  if (name === undefined) throw new UsageError('give a policy file')
  if (another !== undefined)
    throw new UsageError(`give one policy file, and hosts with --host: ${JSON.stringify(another)}`)
  return name
}

/** The survey of an environment's hosts. */
export function surveyOf(
  file: PolicyFile,
  name: string,
  environment: string | undefined,
  plan: Awaited<ReturnType<typeof readSurveyOptions>>,
): Survey {
  try {
    return new Survey({ ...plan, policy: file.in(environment) })
  } catch (cause) {
    throw FileError.of(name, cause)
  }
}

/** Runs it with progress where there is much to do, and until SIGINT at most. */
export async function runSurvey(
  survey: Survey,
  name: string,
  isQuiet: boolean,
): Promise<{ hosts: Awaited<ReturnType<Survey['run']>>; isInterrupted: boolean }> {
  const { stderr } = process
  const hide =
    isQuiet || survey.size <= FEW
      ? () => {}
      : await showProgress({ tally: survey, inputs: survey }, stderr, stderr.isTTY === true)
  let isInterrupted = false
  const settle = onFirstInterrupt(() => {
    isInterrupted = true
    survey.stop()
  })
  try {
    return { hosts: await survey.run(), isInterrupted }
  } catch (cause) {
    // what the file asks of the client, such as certificates to trust
    throw cause instanceof PolicyError ? FileError.of(name, cause) : cause
  } finally {
    settle()
    hide()
  }
}

/** The exit code that a finding stands for. */
export function exitCodeOfFinding({ severity, code }: CheckFinding): number {
  if (code !== undefined) return exitCodeOf({ code })
  return severity === 'error' ? EXIT.file : EXIT.findings
}

function summaryOf(hosts: Awaited<ReturnType<Survey['run']>>): string {
  const counts = new Map<string, number>()
  for (const { sights } of hosts) {
    for (const { verdict } of sights) counts.set(verdict, (counts.get(verdict) ?? 0) + 1)
  }
  const told = [...counts].map(([verdict, count]) => `${count} ${verdict}`).join(', ')
  return `${plural(hosts.length, 'host')} asked${told === '' ? '' : `: ${told}`}`
}
