// `pinfetch report`: a survey as a page, and a report of a bad pin for people.

import { parseArgs } from 'node:util'
import type { VerifyPolicy } from '../../index.js'
import { putFile } from '../../replace-file.js'
import {
  onlyFile,
  readDays,
  readNamedText,
  readPolicyFile,
  readVerify,
  VERIFY_HELP,
  VERIFY_OPTIONS,
} from '../arguments.js'
import { EXIT, FileError, UsageError } from '../exit.js'
import { print, remark } from '../output.js'
import {
  readSurveyOptions,
  SURVEY_HELP,
  SURVEY_OPTIONS,
  type SurveyOptions,
} from '../survey/options.js'
import type { SurveyedHost } from '../survey/record.js'
import { runSurvey, surveyOf } from '../survey/run.js'
import { readSurvey } from '../survey/saved.js'
import { plural } from '../wording.js'
import { decodeReport, isReport, textOfReport } from './decode.js'
import { htmlOf } from './html.js'
import { pageOf } from './model.js'

export const REPORT_HELP = `Usage: pinfetch report --html [options] FILE
       pinfetch report [--json] FILE

Makes a page of a survey: of a policy file, whose hosts are asked as pinfetch check does, or
of what pinfetch check --json has saved. The page is one file and loads nothing.

Without --html, says what a report of a bad pin (RFC 7469, JSON) tells: which pins were
known, and which certificates were seen.

  --html                make a page
  --out FILE            write it to FILE, and not to stdout
  --days N              tell of what ends within N days (default 30)
${SURVEY_HELP}\
${VERIFY_HELP}\
  --json                the decoded report as a line of JSON
  --quiet               no progress, no summary
  --help                show this
`

/** Runs `pinfetch report` with what follows on the command line; resolves to the exit code. */
export async function report(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...SURVEY_OPTIONS,
      ...VERIFY_OPTIONS,
      html: { type: 'boolean', default: false },
      out: { type: 'string' },
      policy: { type: 'string' },
      days: { type: 'string' },
      json: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(REPORT_HELP)
    return EXIT.ok
  }
  if (!values.html) refusePageOptions(values)
  const name = onlyFile(positionals, values.policy)
  const text = await readNamedText(name)
  if (!values.html) return decode(text, name, values.json)
  if (values.json) throw new UsageError('--html makes a page: --json is for reports of bad pins')
  const days = readDays(values.days)
  const plan = await readSurveyOptions(values)
  const verify = await readVerify(values)
  const isSaved = isSurvey(text)
  if (verify !== undefined && isSaved)
    throw new UsageError(`--verify-key is for a policy file: ${name} is what a check has saved`)
  const { hosts, unnamed, isInterrupted } = isSaved
    ? { hosts: readSurvey(text, name), unnamed: unnamedOf(text), isInterrupted: false }
    : await ask(name, values, plan, verify)
  const html = htmlOf(pageOf(name, hosts, unnamed, days))
  if (values.out === undefined) await print(html)
  else await write(values.out, html)
  if (!values.quiet) remark(`${plural(hosts.length, 'host')}: ${values.out ?? 'a page on stdout'}`)
  return isInterrupted ? EXIT.interrupted : EXIT.ok
}

/** Throws for options that only a page has: to pass over `--verify-key` would be to believe everybody. */
function refusePageOptions(values: Readonly<Record<string, unknown>>): void {
  for (const name of [...Object.keys({ ...SURVEY_OPTIONS, ...VERIFY_OPTIONS }), 'out', 'days']) {
    const value = values[name]
    const isGiven = Array.isArray(value) ? value.length > 0 : value !== undefined
    if (isGiven) throw new UsageError(`--${name} is for a page: give --html, too`)
  }
}

interface Asked {
  readonly hosts: readonly SurveyedHost[]
  readonly unnamed: readonly string[]
  readonly isInterrupted: boolean
}

/** Asks the hosts of a policy file. */
async function ask(
  name: string,
  { environment, quiet }: { readonly environment?: string | undefined; readonly quiet: boolean },
  plan: SurveyOptions,
  verify: VerifyPolicy | undefined,
): Promise<Asked> {
  const file = await readPolicyFile(name, verify) // and its lock
  const survey = surveyOf(file, name, environment, plan)
  const { hosts, isInterrupted } = await runSurvey(survey, name, quiet)
  return { hosts, isInterrupted, unnamed: survey.unnamed.map(({ pattern }) => pattern.text) }
}

async function decode(text: string, name: string, isJson: boolean): Promise<number> {
  const value = parsed(text)
  if (!isReport(value)) {
    const isOther = value !== undefined || isSurvey(text)
    if (isOther) throw new UsageError(`${name} is no report of a bad pin: give --html for a page`)
    throw new FileError(`${name}: is no JSON`, 'ERR_INVALID_ARGUMENT')
  }
  const decoded = decodeReport(value, name)
  await print(isJson ? `${JSON.stringify(decoded)}\n` : textOfReport(decoded))
  return EXIT.ok
}

/** Whether `text` is what `pinfetch check --json` prints: lines of which each is a host or a wildcard. */
function isSurvey(text: string): boolean {
  const [line = ''] = text.trimStart().split('\n', 1)
  const first = parsed(line)
  return (
    typeof first === 'object' &&
    first !== null &&
    'findings' in first &&
    ('authority' in first || 'pattern' in first)
  )
}

/** The wildcards of a saved survey that nobody named a host for. */
function unnamedOf(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const value = line.includes('"authority"') ? undefined : parsed(line)
    const pattern: unknown =
      typeof value === 'object' && value !== null ? Reflect.get(value, 'pattern') : undefined
    return typeof pattern === 'string' ? [pattern] : []
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // said by who needs it
  }
}

async function write(out: string, html: string): Promise<void> {
  try {
    await putFile(out, html, { isSynced: true })
  } catch (cause) {
    throw FileError.of(out, cause)
  }
}
