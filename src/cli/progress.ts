// How far `pinfetch fetch` is, and how it went.

import { codeOf, EXIT, exitCodeOf, gravest } from './exit.js'
import { remark } from './output.js'

/** Milliseconds between lines where there is no terminal. */
const LINE_EVERY = 5000
/** Milliseconds between looks of the bar. */
const BAR_EVERY = 200
/** The bar's own unit: it is given no count of inputs, which nobody knows before the end. */
const WHOLE = 1000

/** What a run has come to. */
export class Tally {
  readonly #started = performance.now()
  #finished = 0
  #passedOver = 0
  #bytes = 0
  readonly #statuses = new Map<string, number>()
  readonly #errors = new Map<string, number>()
  readonly #exitCodes = new Set<number>()

  passOver(): void {
    this.#passedOver += 1
  }

  succeed(status: number, bytes: number): void {
    this.#finished += 1
    this.#bytes += bytes
    increment(this.#statuses, `${Math.floor(status / 100)}xx`)
  }

  fail(error: unknown): void {
    this.#finished += 1
    increment(this.#errors, codeOf(error) ?? 'ERR_INTERNAL')
    this.#exitCodes.add(exitCodeOf(error))
  }

  /** That of the gravest failure. */
  get exitCode(): number {
    return this.#exitCodes.size === 0 ? EXIT.ok : gravest(this.#exitCodes)
  }

  /** One line: where it stands. */
  get standing(): string {
    const errors = sum(this.#errors)
    const passedOver = this.#passedOver === 0 ? '' : `, ${this.#passedOver} done before`
    return (
      `${this.#finished} done${passedOver}, ${errors} ${errors === 1 ? 'error' : 'errors'}, ` +
      `${inUnits(this.#bytes)}, ${this.#rate()}/s`
    )
  }

  /** What is told at the end. */
  get summary(): string[] {
    const seconds = (performance.now() - this.#started) / 1000
    const badPins = this.#errors.get('ERR_BAD_PIN') ?? 0
    const passedOver = this.#passedOver === 0 ? '' : `, ${this.#passedOver} done before`
    return [
      `${this.#finished} requested${passedOver}, ${inUnits(this.#bytes)} in ${seconds.toFixed(1)} s, ${this.#rate()}/s`,
      `statuses: ${listed(this.#statuses)}`,
      `bad pins: ${badPins}`,
      `errors: ${listed(this.#errors)}`,
    ]
  }

  #rate(): string {
    const seconds = (performance.now() - this.#started) / 1000
    return seconds === 0 ? '0' : (this.#finished / seconds).toFixed(1)
  }
}

/** What progress is shown of. */
export interface Watched {
  readonly tally: Pick<Tally, 'standing'>
  readonly inputs: { readonly share: number | null }
}

/** Shows progress until what it resolves to is called: a bar on a terminal, elsewhere a line now and then. */
export async function showProgress(
  { tally, inputs }: Watched,
  stream: NodeJS.WriteStream,
  isTerminal: boolean,
): Promise<() => void> {
  if (!isTerminal) {
    const timer = setInterval(() => remark(tally.standing), LINE_EVERY).unref()
    return () => clearInterval(timer)
  }
  const { SingleBar } = (await import('cli-progress')).default
  const isMeasured = inputs.share !== null
  const bar = new SingleBar({
    format: isMeasured ? '[{bar}] {percentage}% | {standing}' : '{standing}',
    barCompleteChar: '=',
    barIncompleteChar: '-',
    barsize: 24,
    clearOnComplete: true,
    hideCursor: false, // it would stay hidden when the process is ended
    gracefulExit: false, // SIGINT is ours
    stream,
  })
  const look = (): void => {
    bar.update(Math.floor((inputs.share ?? 0) * WHOLE), { standing: tally.standing })
  }
  bar.start(WHOLE, 0, { standing: tally.standing })
  const timer = setInterval(look, BAR_EVERY).unref()
  return () => {
    clearInterval(timer)
    look()
    bar.stop()
  }
}

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function sum(counts: ReadonlyMap<string, number>): number {
  let total = 0
  for (const count of counts.values()) total += count
  return total
}

/** `2xx 17, 4xx 1`; `none`. */
function listed(counts: ReadonlyMap<string, number>): string {
  const sorted = [...counts].sort(([one], [other]) => (one < other ? -1 : 1))
  return sorted.map(([name, count]) => `${name} ${count}`).join(', ') || 'none'
}

/** `1.5 KiB`. */
export function inUnits(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}
