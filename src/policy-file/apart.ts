// Large policy files are read by a thread of their own: reading a million hosts takes seconds, in which this one has responses
// to hand over. What comes back is the handle of a compiled policy, or what is wrong.

import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { type ErrorCode, PinfetchError, PolicyError, type PolicyPlace } from '../errors.js'
import type { Loaded } from './file.js'

/** What the thread is to read, its `workerData`. */
export interface Task {
  readonly loaded: Loaded
  readonly environment: string | undefined
}

/** What has become of it. */
export interface Reading {
  /** Of the compiled policy, which the thread holds until it is ended. */
  readonly handle: number
  readonly anchorFiles: readonly string[]
  /** The text, where places in it will be told. */
  readonly text: string | null
}

/** A {@link PolicyError}, as it crosses between threads. */
export interface Refusal {
  readonly code: ErrorCode
  readonly message: string
  readonly place: PolicyPlace
  readonly cause: Refusal | null
}

/** What the thread says. */
export type Answer =
  | { readonly reading: Reading }
  | { readonly refusal: Refusal }
  | { readonly failure: unknown }

/**
 * Has a thread read a policy file, and `take` what it has read while the thread still holds it. Null where there can be no such
 * thread: the source as it stands has no file for it, and the process may be forbidden to make any.
 */
export async function readApart<Taken>(
  task: Task,
  take: (reading: Reading) => Taken,
): Promise<Taken | null> {
  const worker = startWorker(task)
  if (worker === null) return null
  try {
    const ended = once(worker, 'exit').then(() => {
      throw new PinfetchError('ERR_INTERNAL', `the thread that reads ${task.loaded.path} has ended`)
    })
    const [answer] = (await Promise.race([once(worker, 'message'), ended])) as [Answer]
    if ('reading' in answer) return take(answer.reading)
    throw 'refusal' in answer ? errorOf(answer.refusal) : answer.failure
  } finally {
    await worker.terminate()
  }
}

function errorOf({ code, message, place, cause }: Refusal): PolicyError {
  return new PolicyError(
    code,
    message,
    place,
    cause === null ? undefined : { cause: errorOf(cause) },
  )
}

function startWorker(task: Task): Worker | null {
  // as in addon.ts: beside the bundle, which knows its name
  const own = typeof __filename === 'string' ? __filename : fileURLToPath(import.meta.url)
  const program = join(dirname(own), 'policy-worker.cjs')
  if (!existsSync(program)) return null
  try {
    const { buffer, byteLength } = task.loaded.policy
    return new Worker(program, {
      workerData: task,
      transferList: buffer.byteLength === byteLength ? [buffer as ArrayBuffer] : [], // readFile's own
      execArgv: [],
      name: 'pinfetch policy',
    })
  } catch {
    return null // ERR_ACCESS_DENIED under Node's permissions, say
  }
}
