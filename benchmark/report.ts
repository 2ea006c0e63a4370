import type { Outcome } from './plan.ts'

/** One client's outcome in one round of one test. */
export interface Sample {
  test: string
  round: number
  client: string
  requests: number
  outcome: Outcome
}

/** CPU microseconds a request. */
export function cpuOf(sample: Sample): number {
  return sample.outcome.cpuUs / sample.requests
}

/** The middle value; the mean of the middle two for an even count. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/**
 * A Markdown table: for each test and client the median CPU microseconds a request, and pinfetch's cost as the median
 * of same-round ratios to that client, with the least and greatest.
 */
export function table(samples: readonly Sample[], ours: string): string {
  const lines = [
    '| test | client | CPU µs a request | pinfetch ÷ this, same round (least–greatest) |',
    '| --- | --- | ---: | ---: |',
  ]
  for (const test of new Set(samples.map((sample) => sample.test))) {
    const ofTest = samples.filter((sample) => sample.test === test)
    const own = new Map(
      ofTest
        .filter((sample) => sample.client === ours)
        .map((sample) => [sample.round, cpuOf(sample)]),
    )
    for (const client of new Set(ofTest.map((sample) => sample.client))) {
      const theirs = ofTest.filter((sample) => sample.client === client)
      const ratios = theirs.flatMap((sample) => {
        const mine = own.get(sample.round)
        return mine === undefined ? [] : [mine / cpuOf(sample)]
      })
      const ratio =
        client === ours
          ? ''
          : `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`
      lines.push(`| ${test} | ${client} | ${median(theirs.map(cpuOf)).toFixed(1)} | ${ratio} |`)
    }
  }
  return lines.join('\n')
}
