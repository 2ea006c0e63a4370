/** Runs the cases of `exercise.mjs`, each in a process of its own of the runtime that is asked about. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { serversOf } from '../packaging/program.ts'
import type { Endpoint } from '../testkit.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const exercise = fileURLToPath(new URL('exercise.mjs', import.meta.url))

/** The names of all cases. */
export async function caseNames(): Promise<string[]> {
  const { stdout } = await run(process.execPath, [exercise], {
    env: { ...withoutVitest(), SERVERS: '{ "genuine": "https://nobody.test/" }' },
  })
  return JSON.parse(stdout)
}

/**
 * Runs the case `name` by `command`; the reason where it does not hold.
 *
 * @param timeout In milliseconds.
 */
export async function failureOf(
  [program = '', ...args]: readonly string[],
  name: string,
  { genuine, interceptor }: { genuine: Endpoint; interceptor: Endpoint },
  timeout = 120_000,
): Promise<string | undefined> {
  try {
    await run(program, [...args, exercise, name], {
      cwd: root,
      timeout,
      env: { ...withoutVitest(), ...serversOf(genuine, interceptor) },
    })
    return undefined
  } catch (reason) {
    return reason instanceof Error ? reason.message : String(reason) // with what it wrote to stderr
  }
}

/** This process's environment without what vitest has put there. */
export function withoutVitest(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(?:VITEST|NODE_OPTIONS$|NODE_ENV$)/.test(name),
    ),
  )
}
