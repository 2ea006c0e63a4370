// Surveys that `pinfetch check --json` has saved.

import { FileError, messageOf } from '../exit.js'
import type { SurveyedHost } from './record.js'

const LISTS = ['patterns', 'pins', 'sights'] as const

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
    typeof value.checked === 'string' &&
    LISTS.every((name) => Array.isArray(value[name]))
  )
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
