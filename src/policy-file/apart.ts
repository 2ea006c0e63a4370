// Large policy files are read apart: reading a million hosts takes seconds, in which JavaScript's thread has responses to hand
// over. The engine reads nearly every one; a thread of its own reads what the engine leaves, and says what is wrong.

import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Worker } from 'node:worker_threads'
import { type ErrorCode, PinfetchError, PolicyError, type PolicyPlace } from '../errors.js'
import { type CompiledPolicy, readPolicyText, takePolicy } from '../native.js'
import { parseCaSetLock } from '../policy/ca-sets.js'
import { Writer } from '../wire.js'
import type { Loaded } from './file.js'

/** What the thread is to read, its `workerData`. */
export interface Task {
  readonly loaded: Loaded
  readonly environment: string | undefined
}

/** What has become of it. `Policy` is a handle while it crosses between threads, where the one that has read it holds it. */
export interface Reading<Policy = CompiledPolicy> {
  readonly policy: Policy
  readonly anchorFiles: readonly string[]
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
  | { readonly reading: Reading<number> }
  | { readonly refusal: Refusal }
  | { readonly failure: unknown }

/** Reads a policy file apart; null where that cannot be done. Rejects with a {@link PolicyError} for what is wrong with it. */
export async function readApart(task: Task): Promise<Reading | null> {
  const policy = task.environment === undefined ? await readByEngine(task.loaded) : null
  return policy === null ? readByThread(task) : { policy, anchorFiles: [] }
}

/** Null for a file that the engine does not read: one that names other files, or has environments or a fault. */
async function readByEngine({ policy, lock, path }: Loaded): Promise<CompiledPolicy | null> {
  let sets: [name: string, pins: readonly string[]][] = []
  if (lock !== null) {
    try {
      const { caSets } = parseCaSetLock(Buffer.from(lock).toString(), path)
      sets = Object.entries(caSets).map(([name, pins]) => [name, Object.keys(pins)])
    } catch {
      return null
    }
  }
  const record = new Writer(64)
  record.u32(sets.length)
  for (const [name, pins] of sets) {
    record.str(name)
    record.u32(pins.length)
    for (const pin of pins) record.str(pin)
  }
  return readPolicyText(policy, record.written())
}

/**
 * Null where there can be no such thread: the source as it stands has no file for it, and the process may be forbidden to make
 * any.
 */
async function readByThread(task: Task): Promise<Reading | null> {
  const worker = await startWorker(task)
  if (worker === null) return null
  try {
    const ended = once(worker, 'exit').then(() => {
      throw new PinfetchError('ERR_INTERNAL', `the thread that reads ${task.loaded.path} has ended`)
    })
    const [answer] = (await Promise.race([once(worker, 'message'), ended])) as [Answer]
    if ('reading' in answer) {
      const { policy, anchorFiles } = answer.reading
      return { policy: takePolicy(policy), anchorFiles }
    }
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

async function startWorker(task: Task): Promise<Worker | null> {
  // as in addon.ts: beside the bundle, which knows its name
  const own = typeof __filename === 'string' ? __filename : fileURLToPath(import.meta.url)
  const program = join(dirname(own), 'policy-worker.cjs')
  if (!existsSync(program)) return null
  const { Worker } = await import('node:worker_threads') // seldom needed
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
