import type { Outcome } from './plan.mjs'
import type { Counts } from './server.ts'
import type { Test } from './tests.ts'

/** One client's outcome in one round of one test. */
export interface Sample {
  test: string
  round: number
  client: string
  requests: number
  outcome: Outcome
  counts: Counts
}

/** Why a client has no figure in a test. */
export interface Absence {
  test: string
  client: string
  reason: string
}

/** What there is to say of a test's client. */
export interface Row {
  client: string
  /** The middle of its figures, and the least and greatest. */
  figure: Spread
  /** Our figure by its own, in the same round. */
  ratio: Spread | null
  notes: readonly string[]
}

export interface Spread {
  median: number
  least: number
  most: number
}

/** What the numbers of a test are, as a column's head. */
export const FIGURES: Record<NonNullable<Test['figure']> | 'cpu', string> = {
  cpu: 'CPU µs a request',
  loop: 'delay µs',
  latency: 'p99 µs',
  memory: 'KiB',
  start: 'ms',
}

/** The figure of a sample, in the unit of `FIGURES`. */
export function figureOf(test: Test, { outcome, requests }: Sample): number {
  switch (test.figure ?? 'cpu') {
    case 'cpu':
      return outcome.cpuUs / requests
    case 'loop':
      return outcome.loopP99Us ?? Number.NaN
    case 'latency':
      return outcome.latencyUs?.p99 ?? Number.NaN
    case 'memory':
      return (outcome.grownBytes ?? Number.NaN) / 1024
    case 'start':
      return outcome.firstMs ?? Number.NaN
  }
}

/**
 * The rows of a test in the order in which its clients first came.
 *
 * @param oursOf the client that another is compared with
 */
export function rowsOf(
  test: Test,
  samples: readonly Sample[],
  oursOf: (client: string) => string | undefined,
  notesOf: (client: string) => readonly string[],
): Row[] {
  const ofTest = samples.filter((sample) => sample.test === test.name)
  const figures = new Map(
    ofTest.map((sample) => [`${sample.round} ${sample.client}`, figureOf(test, sample)]),
  )
  return [...new Set(ofTest.map((sample) => sample.client))].map((client) => {
    const ours = oursOf(client)
    const theirs = ofTest.filter((sample) => sample.client === client)
    const ratios = theirs.flatMap((sample) => {
      const mine = figures.get(`${sample.round} ${ours}`)
      return mine === undefined || ours === client ? [] : [mine / figureOf(test, sample)]
    })
    return {
      client,
      figure: spreadOf(theirs.map((sample) => figureOf(test, sample))),
      ratio: ratios.length === 0 ? null : spreadOf(ratios),
      notes: [...notesOf(client), ...notesOn(test, theirs)],
    }
  })
}

/** A Markdown table of a test: each client's figure, and pinfetch's as a multiple of it. */
export function tableOf(test: Test, rows: readonly Row[], absences: readonly Absence[]): string {
  const lines = [
    `### ${test.name}`,
    '',
    `| client | ${FIGURES[test.figure ?? 'cpu']} (least–greatest) | pinfetch ÷ this | |`,
    '| --- | ---: | ---: | --- |',
  ]
  for (const { client, figure, ratio, notes } of rows) {
    const digits = figure.median < 100 ? 1 : 0
    lines.push(
      `| ${client} | ${print(figure, digits)} | ${ratio === null ? '' : print(ratio, 2)} | ${notes.join('; ')} |`,
    )
  }
  for (const { client, reason } of absences.filter((absence) => absence.test === test.name)) {
    lines.push(`| ${client} | | | not run: ${reason.replace(/\|/g, '\\|')} |`)
  }
  return lines.join('\n')
}

/** Why what a client did is not what the test measures; null if it is. */
export function cheat(test: Test, { counts, requests }: Sample): string | null {
  const { accepted, full, resumed } = counts
  const closes = test.listener === 'cold' || test.listener === 'resumed'
  if (closes && accepted < requests) return `${accepted} connections for ${requests} requests`
  if (test.listener === 'cold' && resumed > 0) return `${resumed} handshakes were resumed`
  if (test.listener === 'resumed' && resumed < requests * 0.95) {
    return `resumes no session: ${full} handshakes in full, ${resumed} resumed`
  }
  if (test.task === 'hosts' && accepted < requests) {
    return `${accepted} connections for ${requests} names`
  }
  return null
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return {
    median: sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2,
    least: sorted[0] ?? Number.NaN,
    most: sorted.at(-1) ?? Number.NaN,
  }
}

function notesOn(test: Test, samples: readonly Sample[]): string[] {
  const connections = spreadOf(samples.map((sample) => sample.counts.accepted)).median
  const expected = test.listener === 'http2' ? 1 : test.concurrency
  const keeps = test.listener === 'http1' || test.listener === 'http2'
  const notes: string[] = []
  if (keeps && test.task === 'requests' && connections > expected) {
    notes.push(`${connections} connections`)
  }
  const latency = samples.flatMap(({ outcome }) => outcome.latencyUs ?? [])
  if (latency.length > 0) {
    const p50 = spreadOf(latency.map((each) => each.p50)).median
    const p999 = spreadOf(latency.map((each) => each.p999)).median
    notes.push(`p50 ${p50.toFixed(0)}, p99.9 ${p999.toFixed(0)}`)
  }
  return notes
}

function print({ median, least, most }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${least.toFixed(digits)}–${most.toFixed(digits)})`
}
