import { call } from './handler.js'

/** Facts of an event: never header fields, bodies or credentials. */
export interface LogFacts {
  readonly [name: string]: unknown
}

/** Takes an event in. */
export type LogFunction = (message: string, facts: LogFacts) => void

/**
 * Where a client tells what it does: `console` is one. A level without a function is not told.
 *
 * `debug`: each request, and its response. `info`: each new policy. `warn`: each request that failed, and each report. `error`: each bad pin.
 */
export interface Logger {
  readonly debug?: LogFunction | undefined
  readonly info?: LogFunction | undefined
  readonly warn?: LogFunction | undefined
  readonly error?: LogFunction | undefined
}

/** A level of a {@link Logger}. */
export type LogLevel = keyof Logger

/** The levels, from the least grave to the gravest. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const satisfies readonly LogLevel[]

/** Tells `logger`; what it throws, or rejects with, becomes a warning, since nothing may get into a request's way. */
export function log(logger: Logger, level: LogLevel, message: string, facts: LogFacts): void {
  call('logger', 'PINFETCH_LOGGER', () => logger[level]?.(message, facts))
}
