/** What a client is told to do, as JSON in its only argument; `limit/src/main.rs` has the twin. */
export interface Plan {
  hostname: string
  port: number
  path: string
  /** PEM of the trusted root. */
  ca: string
  /** The server's leaf pin, `sha256/…`. */
  pin: string
  http2: boolean
  /** Every request makes a connection of its own: the server closes after each response. */
  cold: boolean
  /** Requests in flight. */
  concurrency: number
  /** Requests before the measurement begins. */
  warmup: number
  /** Requests measured. */
  requests: number
}

/** What a client prints: whole-process CPU (user and system) and wall time in microseconds, and body bytes read. */
export interface Outcome {
  cpuUs: number
  wallUs: number
  bytes: number
}

/**
 * Runs `get` as the plan says and prints the outcome.
 *
 * @param get makes one request and resolves with the length of the body's text
 */
export async function carryOut(plan: Plan, get: () => Promise<number>): Promise<void> {
  const round = async (requests: number) => {
    let left = requests
    let bytes = 0
    const work = async () => {
      while (left > 0) {
        left -= 1
        const length = await get() // first: += would read the sum before it waits
        bytes += length
      }
    }
    await Promise.all(Array.from({ length: plan.concurrency }, work))
    return bytes
  }
  await round(plan.warmup)
  const cpu = process.cpuUsage()
  const wall = process.hrtime.bigint()
  const bytes = await round(plan.requests)
  const used = process.cpuUsage(cpu)
  const outcome: Outcome = {
    cpuUs: used.user + used.system,
    wallUs: Number((process.hrtime.bigint() - wall) / 1000n),
    bytes,
  }
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
}

/** The plan in this process's only argument. */
export function planOfArguments(): Plan {
  const text = process.argv[2]
  if (text === undefined) {
    throw new Error('the plan is missing')
  }
  return JSON.parse(text) as Plan // written by rounds.ts
}
