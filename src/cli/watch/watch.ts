// `pinfetch watch`: check, again and again, and word of what is new.

import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import type { VerifyPolicy } from '../../index.js'
import { putFile } from '../../replace-file.js'
import {
  onlyFile,
  readDays,
  readPolicyFile,
  readSeconds,
  readVerify,
  VERIFY_HELP,
  VERIFY_OPTIONS,
} from '../arguments.js'
import { exitCodeOfFinding } from '../check/rules.js'
import { codeOf, EXIT, FileError, gravest, UsageError } from '../exit.js'
import { onFirstInterrupt } from '../interrupt.js'
import { complain, print, printable, remark } from '../output.js'
import {
  readSurveyOptions,
  SURVEY_HELP,
  SURVEY_OPTIONS,
  type SurveyOptions,
} from '../survey/options.js'
import { runSurvey, surveyOf } from '../survey/run.js'
import type { Survey } from '../survey/survey.js'
import { Memory, type News } from './memory.js'
import { Webhook } from './webhook.js'

export const WATCH_HELP = `Usage: pinfetch watch [options] [--policy] FILE

Checks every host of a policy file, as pinfetch check does, again and again, and tells
what is new: findings, findings that are gone, and paths whose keys have changed.
docs/rotation.md tells what to do about each.

${SURVEY_HELP}\
${VERIFY_HELP}\
  --days N              tell of what ends within N days (default 30)
  --every SECONDS       from the end of a check to the next (default 3600)
  --once                check once, as cron wants it
  --state FILE          keep in FILE what was told, so that the next run tells what is new
  --webhook URL         post what is new as JSON
  --json                a line of JSON for each
  --help                show this
`

/** Seconds between checks, unless told otherwise. */
const EVERY = '3600'
/** Milliseconds of the longest timer, in whole seconds: a longer one would go off at once. */
const LONGEST = 2_147_483_000
/** Of a webhook that takes nothing, so much is kept. */
const MOST_UNPOSTED = 1000

/** Runs `pinfetch watch` with what follows on the command line; resolves to the exit code. */
export async function watch(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...SURVEY_OPTIONS,
      ...VERIFY_OPTIONS,
      policy: { type: 'string' },
      days: { type: 'string' },
      every: { type: 'string' },
      once: { type: 'boolean', default: false },
      state: { type: 'string' },
      webhook: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(WATCH_HELP)
    return EXIT.ok
  }
  if (values.once && values.every !== undefined)
    throw new UsageError('--once checks once: it has no --every')
  const every = readSeconds(values.every ?? EVERY, '--every')
  if (every === 0 || every > LONGEST)
    throw new UsageError(
      `--every is ${values.every}: give more than 0, and at most ${LONGEST / 1000}`,
    )
  const { state, environment } = values
  const watcher = new Watcher({
    name: onlyFile(positionals, values.policy),
    environment,
    verify: await readVerify(values),
    plan: await readSurveyOptions(values),
    days: readDays(values.days),
    isJson: values.json,
    state,
    memory: state === undefined ? Memory.empty() : await readMemory(state),
    webhook: values.webhook === undefined ? null : new Webhook(values.webhook),
  })
  return values.once ? watcher.round() : watcher.forever(every)
}

interface Watch {
  readonly name: string
  readonly environment: string | undefined
  readonly verify: VerifyPolicy | undefined
  readonly plan: SurveyOptions
  readonly days: number
  readonly isJson: boolean
  readonly state: string | undefined
  readonly memory: Memory
  readonly webhook: Webhook | null
}

class Watcher {
  readonly #watch: Watch
  #isInterrupted = false
  /** News that the webhook did not take. */
  #unposted: readonly News[] = []
  /** What was wrong with the policy file in the round before. */
  #fault: string | null = null

  constructor(watch: Watch) {
    this.#watch = watch
  }

  /** Checks until SIGINT. Only the first round may end it, so that a wrong command line doesn't run for months. */
  async forever(every: number): Promise<number> {
    await this.round()
    while (!this.#isInterrupted) {
      await this.#pause(every)
      if (this.#isInterrupted) break
      try {
        await this.round()
      } catch (error) {
        if (!(error instanceof FileError)) throw error
        if (error.message !== this.#fault) complain(error) // a file that is being edited; once
        this.#fault = error.message
      }
    }
    return EXIT.interrupted
  }

  /** Checks once; the exit code is that of the gravest news. The policy file is read anew. */
  async round(): Promise<number> {
    const { name, environment, verify, plan, days, memory } = this.#watch
    const file = await readPolicyFile(name, verify)
    const survey = surveyOf(file, name, environment, plan)
    const { hosts, isInterrupted } = await runSurvey(survey, name, true)
    if (isInterrupted) {
      this.#isInterrupted = true // what was not asked is no news
      return EXIT.interrupted
    }
    this.#fault = null
    const news = memory.take(hosts, survey.unnamed, days, new Date())
    for (const item of news)
      await print(this.#watch.isJson ? `${JSON.stringify(item)}\n` : textOf(item))
    const posted = await this.#post(news, survey)
    if (posted === EXIT.ok) await this.#save() // else the next run tells it all again
    return gravest([...news.map(exitCodeOfNews), posted])
  }

  async #post(news: readonly News[], survey: Survey): Promise<number> {
    const { webhook, name, environment = null } = this.#watch
    if (webhook === null) return EXIT.ok
    const due = [...this.#unposted, ...news].slice(-MOST_UNPOSTED)
    if (due.length === 0) return EXIT.ok
    const text = due.map((item) => textOf(item).trimEnd()).join('\n')
    const post = { file: name, environment, hosts: survey.size, text, news: due }
    const failure = await webhook.post(post)
    this.#unposted = failure === null ? [] : due
    if (failure === null) return EXIT.ok
    remark(failure)
    return EXIT.network
  }

  async #save(): Promise<void> {
    const { state, memory } = this.#watch
    if (state === undefined) return
    try {
      await putFile(state, memory.toString(), { mode: 0o644, isSynced: true })
    } catch (cause) {
      throw FileError.of(state, cause)
    }
  }

  /** Waits, until SIGINT at most. */
  async #pause(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        settle()
        resolve()
      }, milliseconds)
      const settle = onFirstInterrupt(() => {
        this.#isInterrupted = true
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

async function readMemory(name: string): Promise<Memory> {
  let text: string
  try {
    text = await readFile(name, 'utf8')
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return Memory.empty()
    throw FileError.of(name, cause)
  }
  const memory = Memory.parse(text)
  if (memory !== null) return memory
  throw new FileError(
    `${name}: is nothing that pinfetch watch has saved: give another --state`,
    'ERR_INVALID_ARGUMENT',
  )
}

function exitCodeOfNews({ event, finding }: News): number {
  if (event === 'resolved') return EXIT.ok
  return finding === undefined ? EXIT.findings : exitCodeOfFinding(finding)
}

/** One line. */
function textOf({ time, event, authority, message, finding }: News): string {
  const rule = finding === undefined ? '' : ` (${finding.rule})`
  const what = event === 'found' ? (finding?.severity ?? event) : event
  return `${printable(`${time} ${authority}: ${what}: ${message}${rule}`)}\n`
}
