// `pinfetch rotate`: new pins into a policy file, and old ones out of it, without an outage.

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { createTwoFilesPatch } from 'diff'
import { type CaSetsInput, PolicyFile } from '../../index.js'
import { readPattern } from '../../policy/patterns.js'
import { putFile } from '../../replace-file.js'
import { onlyFile, readNamed, readPolicyFile } from '../arguments.js'
import { EXIT, FileError, gravest, UsageError } from '../exit.js'
import { lintPolicy } from '../lint/rules.js'
import { columns, complain, print, printable, remark } from '../output.js'
import {
  readSurveyOptions,
  SURVEY_HELP,
  SURVEY_OPTIONS,
  type SurveyValues,
} from '../survey/options.js'
import { runSurvey } from '../survey/run.js'
import { Survey } from '../survey/survey.js'
import { plural } from '../wording.js'
import { type Objection, objectionsOf } from './finish.js'
import { ROTATION_OPTIONS, readPatterns, readPins, readRotation } from './options.js'
import { beginRotation, type Change, type Edit, finishRotation } from './plan.js'

export const ROTATE_HELP = `Usage: pinfetch rotate plan   [options] --pattern PATTERN [--policy] FILE
       pinfetch rotate apply  [options] --pattern PATTERN [--policy] FILE
       pinfetch rotate finish [options] [--policy] FILE

plan shows what a rotation changes in a policy file: the new pins, the dates, the diff;
apply does it. Once the servers have the new key, finish asks them whether anything is
served with the old pins, and takes these out. docs/rotation.md is the playbook.

  --pattern PATTERN     a host pattern of the file; repeatable (finish: default all)
  --dry-run             change nothing
  --json                a line of JSON

plan and apply: the new key
  --server HOST[:PORT]  that of a server, such as one for staging (see --connect)
  --take PLACE          leaf (the default), intermediate or root of its path
  --file FILE           that of a certificate, certificate request or key; repeatable
  --pin PIN             this one; repeatable
  --role ROLE           current (the default: pins with this role retire), backup or root
  --label TEXT          its name
  --replace PIN         the pin that retires, or its label; repeatable. Without --pattern
                        in all sets that have it
  --from DATE           when it comes (default today)
  --until DATE          when retired pins should be gone (default 30 days later)

finish: the old pins
  --pin PIN             this one goes; repeatable (default those with the role retired)

Servers
${SURVEY_HELP}\
  --quiet               no progress
  --help                show this
`

/** Runs `pinfetch rotate` with what follows on the command line; resolves to the exit code. */
export async function rotate(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...SURVEY_OPTIONS,
      ...ROTATION_OPTIONS,
      policy: { type: 'string' },
      pattern: { type: 'string', multiple: true, default: [] },
      pin: { type: 'string', multiple: true, default: [] },
      'dry-run': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(ROTATE_HELP)
    return EXIT.ok
  }
  const [step, ...files] = positionals
  if (step !== 'plan' && step !== 'apply' && step !== 'finish')
    throw new UsageError(
      step === undefined
        ? 'give plan, apply or finish'
        : `${JSON.stringify(step)} is no step: give plan, apply or finish`,
    )
  const file = await OpenFile.read(onlyFile(files, values.policy), values.environment)
  const isJson = values.json
  if (step === 'finish') {
    refuseOptions(values, Object.keys(ROTATION_OPTIONS), 'finish takes pins out: it has no')
    return finish(file, values, { isJson, isDry: values['dry-run'] })
  }
  refuseOptions(
    values,
    ['host', 'hosts', 'via', 'concurrency'],
    `${step} asks one server: it has no`,
  )
  const rotation = await readRotation(values, file.policy, new Date())
  const edit = beginRotation(file.text, file.policy, rotation)
  const isDry = step === 'plan' || values['dry-run']
  for (const text of [...edit.remarks, ...file.weakness(edit)]) remark(text)
  await file.settle(edit, { isJson, isDry })
  return EXIT.ok
}

interface Manner {
  readonly isJson: boolean
  readonly isDry: boolean
}

async function finish(
  file: OpenFile,
  values: SurveyValues & {
    readonly pattern: readonly string[]
    readonly pin: readonly string[]
    readonly quiet: boolean
  },
  manner: Manner,
): Promise<number> {
  const pins = new Set(readPins('--pin', values.pin))
  const plan = await readSurveyOptions(values)
  const edit = finishRotation(file.text, file.policy, readPatterns(values.pattern), pins)
  if (edit.changes.length === 0) {
    await file.settle(edit, manner)
    return EXIT.ok
  }
  const patterns = new Set(edit.sets.map(({ pattern }) => readPattern(pattern).text))
  // asked with the policy that would be left: its verdict is what requests would get
  const survey = new Survey({ ...plan, policy: file.policyOf(edit.text), patterns })
  const [unnamed] = survey.unnamed
  if (unnamed !== undefined)
    throw new UsageError(
      `${unnamed.set.pattern} is a wildcard: name its hosts with --host or --hosts, so that they are asked`,
    )
  const { hosts, isInterrupted } = await runSurvey(survey, file.name, values.quiet)
  if (isInterrupted) return EXIT.interrupted
  const objections = objectionsOf(hosts, edit.changes)
  if (objections.length === 0) {
    await file.settle(edit, manner)
    if (!manner.isJson)
      remark(`${plural(hosts.length, 'host')} asked: nothing is served with the old pins`)
    return EXIT.ok
  }
  await print(manner.isJson ? file.line(edit, false, objections) : textOf(objections))
  complain(new FileError(`${file.name}: the old pins are needed: nothing was written`, 'ERR_FILE'))
  return gravest(objections.map(({ exitCode }) => exitCode))
}

/** A policy file as it was read, to be written in its place. */
class OpenFile {
  readonly name: string
  readonly text: string
  readonly policy: ReturnType<PolicyFile['in']>
  readonly #bytes: Buffer
  readonly #environment: string | undefined
  readonly #caSets: CaSetsInput | undefined

  private constructor(
    name: string,
    bytes: Buffer,
    text: string,
    environment: string | undefined,
    caSets: CaSetsInput | undefined,
  ) {
    this.name = name
    this.text = text
    this.#bytes = bytes
    this.#environment = environment
    this.#caSets = caSets
    this.policy = this.policyOf(text)
  }

  static async read(name: string, environment: string | undefined): Promise<OpenFile> {
    const bytes = await readNamed(name)
    let text: string
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    } catch (cause) {
      throw new FileError(`${name}: is no UTF-8`, 'ERR_INVALID_ARGUMENT', { cause })
    }
    const { lock } = await readPolicyFile(name)
    return new OpenFile(name, bytes, text, environment, lock ?? undefined)
  }

  /** What the file would say with this text. */
  policyOf(text: string): ReturnType<PolicyFile['in']> {
    try {
      return new PolicyFile(text, { file: this.name, caSets: this.#caSets }).in(this.#environment)
    } catch (cause) {
      throw FileError.of(this.name, cause)
    }
  }

  /** What is weak about the sets that an edit leaves behind, where it was not before. */
  weakness(edit: Edit): string[] {
    const touched = new Set(edit.changes.map(({ pattern }) => pattern))
    const now = { now: new Date(), days: 0 }
    const before = new Set(lintPolicy(this.policy, now).map(({ message }) => message))
    const policy = this.policyOf(edit.text)
    const pointers = [...policy.sets.values()].filter(({ pattern }) => touched.has(pattern))
    return lintPolicy(policy, now)
      .filter(({ rule, message }) => rule === 'no-backup' && !before.has(message))
      .filter(({ pointer }) => pointers.some((set) => set.pointer === pointer))
      .map(({ message }) => `${message}: pinfetch backup makes one`)
  }

  /** Writes the edit, unless it is dry or there is nothing to do, and tells of it. */
  async settle(edit: Edit, { isJson, isDry }: Manner): Promise<void> {
    this.policyOf(edit.text) // whatever went wrong, no file is left that cannot be read
    const isWritten = !isDry && edit.text !== this.text
    if (isWritten) await replaceFile(this.name, this.#bytes, edit.text)
    const signature = `${this.name}.sig`
    if (isWritten && existsSync(signature))
      remark(`${signature} is of what the file was: sign it again (pinfetch sign)`)
    if (isJson) await print(this.line(edit, isWritten, []))
    else if (edit.changes.length === 0) remark(`${this.name}: nothing to do`)
    else await print(`${changesOf(edit.changes)}\n${this.#diff(edit)}`)
  }

  line(edit: Edit, isWritten: boolean, objections: readonly Objection[]): string {
    const { changes, remarks } = edit
    const told = objections.map(({ exitCode: _code, ...objection }) => objection)
    const diff = this.#diff(edit)
    return `${JSON.stringify({ file: this.name, written: isWritten, changes, remarks, objections: told, diff })}\n`
  }

  #diff({ text }: Edit): string {
    return text === this.text
      ? ''
      : createTwoFilesPatch(this.name, this.name, this.text, text, undefined, undefined, {
          context: 3,
        }).replace(/^(?:Index: .*\n)?=+\n/, '')
  }
}

const SIGNS = { add: '+', promote: '^', retire: '~', remove: '-' } as const

function changesOf(changes: readonly Change[]): string {
  const lines: string[] = []
  for (const pattern of new Set(changes.map((change) => change.pattern))) {
    lines.push(printable(pattern))
    const rows = changes
      .filter((change) => change.pattern === pattern)
      .map(({ change, pin, label, role, date }) => {
        const when = date === null ? '' : `${change === 'retire' ? 'until' : 'from'} ${date}`
        const what = change === 'remove' ? `${role ?? ''} goes`.trim() : (role ?? '')
        return [SIGNS[change], pin, [what, when].filter(Boolean).join(' '), printable(label ?? '')]
      })
    lines.push(...columns(rows).map((row) => `  ${row}`))
  }
  return `${lines.join('\n')}\n`
}

function textOf(objections: readonly Objection[]): string {
  return objections
    .map(({ authority, via, message }) => {
      const from = via === 'direct' ? '' : ` (${via})`
      return `${printable(`${authority}${from}: ${message}`)}\n`
    })
    .join('')
}

/** Refuses options that a step does not take: they would have no effect. */
function refuseOptions(values: object, names: readonly string[], message: string): void {
  for (const name of names) {
    const value: unknown = Reflect.get(values, name)
    const isGiven = Array.isArray(value) ? value.length > 0 : value !== undefined
    if (isGiven) throw new UsageError(`${message} --${name}`)
  }
}

/** Puts `content` in place of what the file `name` holds, which is still to be `expected`. */
export async function replaceFile(name: string, expected: Buffer, content: string): Promise<void> {
  // looked at last, so that the gap in which an edit could be lost is as small as it can be
  const check = async () => {
    if ((await readFile(name)).equals(expected)) return
    throw new FileError(`${name}: has changed meanwhile: nothing was written`, 'ERR_FILE')
  }
  try {
    await putFile(name, content, { isSynced: true, check })
  } catch (cause) {
    throw cause instanceof FileError ? cause : FileError.of(name, cause)
  }
}
