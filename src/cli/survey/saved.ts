// Surveys that `pinfetch check --json` has saved.

import { FileError, messageOf } from '../exit.js'
import type { SurveyedHost } from './record.js'

/** The hosts in what `pinfetch check --json` printed, read from the file `name`; lines of anything else are an error. */
export function readSurvey(text: string, name: string): SurveyedHost[] {
  const hosts: SurveyedHost[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch (cause) {
      throw noSurvey(name, index, messageOf(cause))
    }
    if (isUnnamed(value)) continue
    if (!isHost(value)) throw noSurvey(name, index, 'it has no host')
    hosts.push(value)
  }
  return hosts
}

/** A wildcard that nobody named a host for: a line of its own, with nothing seen. */
function isUnnamed(value: unknown): boolean {
  return isRecord(value) && typeof value.pattern === 'string' && value.authority === undefined
}

function isHost(value: unknown): value is SurveyedHost {
  return (
    isRecord(value) &&
    typeof value.authority === 'string' &&
    typeof value.host === 'string' &&
    typeof value.port === 'number' &&
    typeof value.checked === 'string' &&
    isListOf(value.patterns, ({ pattern, mode }) => isText(pattern) && isText(mode)) &&
    isListOf(value.pins, ({ pin, seen }) => isText(pin) && Array.isArray(seen)) &&
    isListOf(value.sights, ({ via, verdict, path }) => {
      const isPath = isListOf(path, ({ pin, role }) => isText(pin) && isText(role))
      return isText(via) && isText(verdict) && isPath
    })
  )
}

function isListOf(value: unknown, test: (item: Record<string, unknown>) => boolean): boolean {
  return Array.isArray(value) && value.every((item) => isRecord(item) && test(item))
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function noSurvey(name: string, index: number, problem: string): FileError {
  return new FileError(
    `${name}: line ${index + 1} is nothing that pinfetch check --json prints: ${problem}`,
    'ERR_INVALID_ARGUMENT',
  )
}
