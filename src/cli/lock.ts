// `pinfetch lock`: which roots the named sets of a policy file stand for, kept beside it.

import { parseArgs } from 'node:util'
import { type CaSetLock, type CaSetPin, caSets, lockCaSets, PolicyFile } from '../index.js'
import { putFile } from '../replace-file.js'
import { readNamedText } from './arguments.js'
import { EXIT, FileError, UsageError } from './exit.js'
import { print, printable, remark } from './output.js'

export const LOCK_HELP = `Usage: pinfetch lock [options] FILE

Writes beside a policy file which roots its named sets, such as ca:letsencrypt, stand for:
policy.lock.json for policy.json. What is locked stays so whatever a newer pinfetch says,
and the difference is shown (exit code 7).

  --update              take the roots that this pinfetch has
  --check               write nothing; exit code 7 if something would be written
  --json                a line of JSON for each root
  --help                show this
`

/** What becomes of a root in a lock; `newer` and `gone` only with `--update`. */
type Change = 'kept' | 'added' | 'removed' | 'newer' | 'gone'

interface Row extends CaSetPin {
  readonly set: string
  readonly change: Change
}

const MARKS = { kept: ' ', added: '+', removed: '-', newer: '>', gone: '<' } as const

/** Runs `pinfetch lock` with what follows on the command line; resolves to the exit code. */
export async function lock(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      update: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(LOCK_HELP)
    return EXIT.ok
  }
  const [name] = positionals
  if (name === undefined || positionals.length > 1) throw new UsageError('give one policy file')
  const { before, after } = await locksOf(name, values.update)
  const rows = rowsOf(before, after)
  for (const row of rows) await print(values.json ? `${JSON.stringify(row)}\n` : textOf(row))
  const isSame = before !== undefined && rows.every(({ change }) => !isWritten(change))
  const lockName = PolicyFile.lockNameOf(name)
  if (!isSame) {
    if (values.check) remark(`${lockName} is out of date: pinfetch lock ${name}`)
    else await write(lockName, after)
  }
  const waits = rows.some(({ change }) => change === 'newer' || change === 'gone')
  if (waits) remark(`${caSets().roots} has other roots: pinfetch lock --update ${name} takes them`)
  return waits || (values.check && !isSame) ? EXIT.findings : EXIT.ok
}

/** The lock of the policy file `name`, and what it is to be. */
async function locksOf(
  name: string,
  update: boolean,
): Promise<{ before: CaSetLock | undefined; after: CaSetLock }> {
  const text = await readNamedText(name)
  try {
    const file = new PolicyFile(text, { file: name })
    const before = await PolicyFile.readLock(name)
    if (before === undefined && file.caSets.size === 0)
      throw new UsageError(`${name} has no named sets, such as "ca:letsencrypt": nothing to lock`)
    return { before, after: lockCaSets(file.caSets, update ? undefined : before) }
  } catch (cause) {
    if (cause instanceof UsageError) throw cause
    throw FileError.of(name, cause)
  }
}

function rowsOf(before: CaSetLock | undefined, after: CaSetLock): Row[] {
  const names = new Set([...Object.keys(before?.caSets ?? {}), ...Object.keys(after.caSets)])
  return [...names].sort().flatMap((set): Row[] => {
    const old = before?.caSets[set] ?? {}
    const own = after.caSets[set] ?? {}
    const now = caSets().sets.find(({ name }) => name === set)?.pins ?? []
    const rows = Object.entries(own).map(([pin, subject]): Row => {
      const isKnown = now.some((other) => other.pin === pin)
      return {
        set,
        pin,
        subject,
        change: !Object.hasOwn(old, pin) ? 'added' : isKnown ? 'kept' : 'gone',
      }
    })
    const removed = Object.entries(old).filter(([pin]) => !Object.hasOwn(own, pin))
    const isUsed = Object.hasOwn(after.caSets, set)
    const newer = isUsed ? now.filter(({ pin }) => !Object.hasOwn(own, pin)) : []
    return [
      ...rows,
      ...removed.map(([pin, subject]): Row => ({ set, pin, subject, change: 'removed' })),
      ...newer.map(({ pin, subject }): Row => ({ set, pin, subject, change: 'newer' })),
    ]
  })
}

function isWritten(change: Change): boolean {
  return change === 'added' || change === 'removed'
}

function textOf({ set, pin, subject, change }: Row): string {
  return printable(`${MARKS[change]} ca:${set} ${pin} ${subject}`).concat('\n')
}

async function write(name: string, content: CaSetLock): Promise<void> {
  const text = `${JSON.stringify(content, null, 2)}\n`
  try {
    await putFile(name, text, { mode: 0o644, isSynced: true })
  } catch (cause) {
    throw FileError.of(name, cause)
  }
}
