#!/usr/bin/env node
// The command line: which command, and how it ends. docs/cli.md is the manual.

import { parseArgs } from 'node:util'
import { versions } from '../index.js'
import { backup } from './backup/backup.js'
import { check } from './check/check.js'
import { doctor } from './doctor.js'
import { codeOf, EXIT, exitCodeOf, messageOf, UsageError } from './exit.js'
import { explain } from './explain/explain.js'
import { exportPins } from './export.js'
import { fetch } from './fetch.js'
import { importPins } from './import.js'
import { watchInterrupts } from './interrupt.js'
import { lint } from './lint/lint.js'
import { lock } from './lock.js'
import { complain, print, watchOutput } from './output.js'
import { pins } from './pins.js'
import { report } from './report/report.js'
import { rotate } from './rotate/rotate.js'
import { sign } from './sign/sign.js'
import { verify } from './verify.js'
import { watch } from './watch/watch.js'

const HELP = `Usage: pinfetch COMMAND [options]

  pins     print the pins of servers and files
  fetch    request URLs, one or millions, and keep what comes
  verify   judge certificate chains
  lint     say what is wrong in policy files, and what will be
  check    ask every host of a policy file, and say what its pins make of it
  watch    check again and again, and tell what is new
  rotate   bring new pins into a policy file, and take old ones out of it
  backup   make a key for later, its certificate request, and its pin
  explain  say which pins apply to a URL and why, and what a change changes
  report   make a page of a policy file's hosts, or tell what a report of a bad pin says
  import   read other programs' pins into a policy file
  export   write a policy file in another program's format
  lock     keep which roots a policy file's named sets stand for
  sign     sign a policy file, for clients that take no other
  doctor   print what is installed, and whether it runs

  --help, --version

\`pinfetch COMMAND --help\` tells more.
`

const COMMANDS: ReadonlyMap<string, (args: string[]) => Promise<number>> = new Map([
  ['pins', pins],
  ['fetch', fetch],
  ['verify', verify],
  ['lint', lint],
  ['check', check],
  ['watch', watch],
  ['rotate', rotate],
  ['backup', backup],
  ['explain', explain],
  ['report', report],
  ['import', importPins],
  ['export', exportPins],
  ['lock', lock],
  ['sign', sign],
  ['doctor', doctor],
])

/** The names of all commands, for errors. */
const NAMES = `${[...COMMANDS.keys()].slice(0, -1).join(', ')} and ${[...COMMANDS.keys()].at(-1)}`

async function run(args: string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined) throw new UsageError(`give a command: there are ${NAMES}`)
  if (!name.startsWith('-')) {
    const command = COMMANDS.get(name)
    if (command === undefined)
      throw new UsageError(`unknown command ${JSON.stringify(name)}: there are ${NAMES}`)
    return command(rest)
  }
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      version: { type: 'boolean', default: false },
    },
  })
  await print(values.version ? `pinfetch ${versions().pinfetch}\n` : HELP)
  return EXIT.ok
}

/** Tells why nothing was done; `parseArgs` marks a wrong command line by codes of its own. */
function fail(error: unknown, args: readonly string[]): number {
  const isUsage = error instanceof UsageError || codeOf(error)?.startsWith('ERR_PARSE_ARGS_')
  if (!isUsage) {
    complain(error)
    return exitCodeOf(error)
  }
  const command = COMMANDS.has(args[0] ?? '') ? `${args[0]} ` : ''
  // parseArgs goes on to explain arguments that begin with a dash
  const message =
    error instanceof UsageError ? messageOf(error) : messageOf(error).split('. ', 1)[0]
  complain(new UsageError(`${message} (see pinfetch ${command}--help)`))
  return EXIT.usage
}

watchOutput()
watchInterrupts()
const args = process.argv.slice(2)
run(args).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.exitCode = fail(error, args)
  },
)
