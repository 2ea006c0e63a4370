// What the thread runs that reads a large policy file: see apart.ts, which waits for its one message and ends it.

import { parentPort, workerData } from 'node:worker_threads'
import { PolicyError } from '../errors.js'
import { compiledPolicy, type Policy } from '../policy.js'
import type { Answer, Refusal, Task } from './apart.js'
import { readTask } from './file.js'

/** Held until this thread is ended: the handle that was told is the policy's for as long. */
const held: Policy[] = []

function answer(task: Task): Answer {
  try {
    const { policy, anchorFiles } = readTask(task)
    held.push(policy)
    const { handle } = compiledPolicy(policy)
    return { reading: { policy: handle, anchorFiles: [...anchorFiles] } }
  } catch (error) {
    return error instanceof PolicyError ? { refusal: plain(error) } : { failure: error }
  }
}

function plain(error: PolicyError): Refusal {
  const { code, ...place } = error // its own members
  const { message, cause } = error
  return { code, message, place, cause: cause instanceof PolicyError ? plain(cause) : null }
}

parentPort?.on('message', () => held) // lives until it is ended
parentPort?.postMessage(answer(workerData as Task))
