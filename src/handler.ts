// Functions that the caller gives to be told of something.

/** Told of `event`. An async one is started and not awaited. */
export type Handler<Event> = (event: Event) => void | Promise<void>

/** Calls `handler`, which is the caller's option `name`: what it throws, or rejects with, becomes a process warning. */
export function tell<Event>(name: string, handler: Handler<Event>, event: Event): void {
  const warn = (thrown: unknown): void => {
    const message = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    process.emitWarning(`the ${name} handler failed: ${message}`, {
      type: 'PinfetchWarning',
      code: 'PINFETCH_HANDLER',
    })
  }
  try {
    const started: unknown = handler(event)
    if (typeof started === 'object' && started !== null && 'then' in started) {
      Promise.resolve(started).catch(warn)
    }
  } catch (thrown) {
    warn(thrown)
  }
}
