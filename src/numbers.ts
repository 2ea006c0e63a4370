// Numbers that users give.
import { nameOf } from './errors.js'

/** Whether `value` is a whole number from `least` to `most`. */
export function isCount(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
}

/** What an error says of the option `place` whose `value` is no such number. */
export function wrongCount(place: string, value: unknown, least: number, most: number): string {
  const given = typeof value === 'number' ? value : nameOf(value)
  return `${place} is ${given}: give a whole number from ${least} to ${most}`
}
