// `pinfetch check`: what the servers of a policy file serve, and what its pins make of it.

import { parseArgs } from 'node:util'
import {
  onlyFile,
  readDays,
  readPolicyFile,
  readVerify,
  VERIFY_HELP,
  VERIFY_OPTIONS,
} from '../arguments.js'
import { EXIT, gravest, UsageError } from '../exit.js'
import { print, remark } from '../output.js'
import { readSurveyOptions, SURVEY_HELP, SURVEY_OPTIONS } from '../survey/options.js'
import type { SurveyedHost } from '../survey/record.js'
import { runSurvey, surveyOf } from '../survey/run.js'
import { plural } from '../wording.js'
import { exitCodeOfFinding, findingsOf, unnamedFinding } from './rules.js'
import { textOf, textOfUnnamed } from './text.js'

export const CHECK_HELP = `Usage: pinfetch check [options] [--policy] FILE

Asks every host of a policy file for its certificates, sends nothing else, and says which
pins match where, what is not served, when certificates end, and what the next change of
them will break. docs/rotation.md tells what to do.

${SURVEY_HELP}\
${VERIFY_HELP}\
  --days N              tell of what ends within N days (default 30)
  --long                show the path of each host, not only of those with findings
  --json                a line of JSON for each host
  --quiet               no progress, no summary
  --help                show this
`

/** Runs `pinfetch check` with what follows on the command line; resolves to the exit code. */
export async function check(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...SURVEY_OPTIONS,
      ...VERIFY_OPTIONS,
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
  const days = readDays(values.days)
  const plan = await readSurveyOptions(values)
  const file = await readPolicyFile(name, await readVerify(values))
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

function summaryOf(hosts: readonly SurveyedHost[]): string {
  const counts = new Map<string, number>()
  for (const { sights } of hosts) {
    for (const { verdict } of sights) counts.set(verdict, (counts.get(verdict) ?? 0) + 1)
  }
  const told = [...counts].map(([verdict, count]) => `${count} ${verdict}`).join(', ')
  return `${plural(hosts.length, 'host')} asked${told === '' ? '' : `: ${told}`}`
}
