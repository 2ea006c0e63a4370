// Dates and counts as people read them.

const DAY = 24 * 60 * 60 * 1000

/** The day of a date, in UTC. */
export function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10)
}

/** How far `at` is after `now`, days begun counted whole: `in 3 days`. */
export function inDays(at: Date, now: Date): string {
  const days = Math.ceil((at.getTime() - now.getTime()) / DAY)
  return days === 1 ? 'in a day' : `in ${days} days`
}

/** Whether `at` is no later than so many `days` after `now`. */
export function isWithin(at: Date, now: Date, days: number): boolean {
  return at.getTime() - now.getTime() <= days * DAY
}

/** `1 host`, `2 hosts`. */
export function plural(count: number, what: string): string {
  return count === 1 ? `1 ${what}` : `${count} ${what}s`
}
