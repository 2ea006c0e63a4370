// SIGINT: what a command does when somebody presses Ctrl-C.

import { EXIT } from './exit.js'

let first: (() => void) | null = null

/** Ends the process at SIGINT, unless a command has something to finish first. */
export function watchInterrupts(): void {
  process.on('SIGINT', () => {
    const finish = first
    first = null
    if (finish === null) process.exit(EXIT.interrupted)
    finish()
  })
}

/**
 * Calls `finish` at the next SIGINT instead of ending the process; the one after that ends it. What it returns takes that
 * back, once there is nothing left to finish.
 */
export function onFirstInterrupt(finish: () => void): () => void {
  first = finish
  return () => {
    if (first === finish) first = null
  }
}
