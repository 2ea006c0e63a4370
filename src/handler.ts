// Functions that the caller gives to be told of something.

/** Told of `event`. An async one is started and not awaited. */
export type Handler<Event> = (event: Event) => void | Promise<void>

/** Calls `handler`, which is the caller's option `name`: what it throws, or rejects with, becomes a process warning. */
export function tell<Event>(name: string, handler: Handler<Event>, event: Event): void {
  call(`${name} handler`, 'PINFETCH_HANDLER', () => handler(event))
}

/** Calls what the caller has given as `what`; its failure, at once or later, becomes a process warning of `code`. */
export function call(what: string, code: string, theirs: () => unknown): void {
  const warn = (thrown: unknown): void => {
    const message = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    process.emitWarning(`the ${what} failed: ${message}`, { type: 'PinfetchWarning', code })
  }
  try {
    const started = theirs()
    if (typeof started === 'object' && started !== null && 'then' in started) {
      Promise.resolve(started).catch(warn)
    }
  } catch (thrown) {
    warn(thrown)
  }
}
