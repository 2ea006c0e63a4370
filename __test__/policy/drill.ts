import { type Client, LivePolicy, type PolicyError } from 'pinfetch'
import { expect } from 'vitest'

/** What requests have come to, by the step during which they were answered. */
export interface Tally {
  answered: number
  failures: string[]
}

/**
 * Keeps `inFlight` requests under way until it is stopped. Some have connections of their own and some are answered with a
 * farewell, so that handshakes go on all the time and no connection lasts.
 */
export class Traffic {
  readonly #loads: Promise<void>[]
  #tally: Tally = { answered: 0, failures: [] }
  #isOver = false

  constructor(client: Client, drill: Drill, inFlight: number) {
    const load = (_: unknown, index: number) => this.#load(client, drill, index)
    this.#loads = Array.from({ length: inFlight }, load)
  }

  /** What has come of requests since it was last asked for, once at least `answers` more have come. */
  async since(answers: number): Promise<Tally> {
    const tally: Tally = { answered: 0, failures: [] }
    this.#tally = tally
    await expect
      .poll(() => tally.answered + tally.failures.length, { timeout: 20_000, interval: 5 })
      .toBeGreaterThanOrEqual(answers)
    return tally
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#loads)
  }

  async #load(client: Client, drill: Drill, index: number): Promise<void> {
    const { url, farewell, methods } = drill
    const method = methods[index % methods.length] ?? 'GET'
    for (let round = index; !this.#isOver; round++) {
      const tally = () => this.#tally
      try {
        const target = round % 16 === 0 ? farewell : url
        const response = await client.request(target, { method, reuse: round % 16 !== 8 })
        await response.text()
        if (response.status !== 200) throw new Error(`status ${response.status}`)
        tally().answered += 1
      } catch (error) {
        const { code } = error as PolicyError // whatever it is: its code, if it has one, is what is told
        tally().failures.push(code ?? String(error))
      }
    }
  }
}

/** A host whose key is replaced while 64 requests are in flight. */
export interface Drill {
  hostname: string
  url: string
  /** What the server answers with before it closes the connection, in an orderly way. */
  farewell: string
  /** What requests ask with, by turns. */
  methods: readonly string[]
  currentPin: string
  nextPin: string
  client: (live: LivePolicy) => Client
  /** Has new handshakes show the next certificate. */
  switchCertificate: () => Promise<void>
}

const IN_FLIGHT = 64

/** The rotation by the book (docs/policy.md): no request fails. */
export async function rotate(drill: Drill): Promise<void> {
  const { hostname, currentPin, nextPin } = drill
  const live = new LivePolicy({ [hostname]: [currentPin] })
  await using client = drill.client(live)
  const traffic = new Traffic(client, drill, IN_FLIGHT)
  const step = async () => {
    const { answered, failures } = await traffic.since(IN_FLIGHT * 4)
    expect(failures).toEqual([])
    expect(answered).toBeGreaterThanOrEqual(IN_FLIGHT * 4)
  }
  try {
    await step()
    const swap = await live.set({ [hostname]: [currentPin, nextPin] })
    expect(swap).toMatchObject({ closedConnections: 0, gained: [hostname] })
    await step()
    // too early: the server has the old key, and the guard says so
    await expect(live.set({ [hostname]: [nextPin] })).rejects.toMatchObject({
      code: 'ERR_POLICY_CUTS_OFF',
    })
    expect(live.rehearse({ [hostname]: [nextPin] }).report().isSafe).toBe(false)
    await step()
    await drill.switchCertificate()
    await step()
    // connections of the old key end by and by; a rehearsal says when it can go
    for (let isSafe = false; !isSafe; ) {
      const rehearsal = live.rehearse({ [hostname]: [nextPin] })
      await step()
      isSafe = rehearsal.end().isSafe
    }
    expect(await live.set({ [hostname]: [nextPin] })).toMatchObject({
      closedConnections: 0,
      lost: [hostname],
    })
    await step()
    const [metrics] = live.metrics().patterns
    expect(metrics).toMatchObject({ pins: [{ pin: nextPin }], mismatches: { enforced: 0 } })
  } finally {
    await traffic.stop()
  }
}

/** The same without the next pin: from the switch on, no request passes. */
export async function rotateUnprepared(drill: Drill): Promise<void> {
  const { hostname, currentPin } = drill
  const live = new LivePolicy({ [hostname]: [currentPin] })
  await using client = drill.client(live)
  const traffic = new Traffic(client, drill, IN_FLIGHT)
  try {
    expect((await traffic.since(IN_FLIGHT * 4)).failures).toEqual([])
    await drill.switchCertificate()
    // the connections that there are go on with the key that was proved on them, until they end
    for (let answered = 1; answered > 0; ) ({ answered } = await traffic.since(IN_FLIGHT * 4))
    const { answered, failures } = await traffic.since(IN_FLIGHT * 4)
    expect(answered).toBe(0)
    expect(new Set(failures)).toEqual(new Set(['ERR_BAD_PIN']))
    expect(live.metrics().patterns[0]?.mismatches.enforced).toBeGreaterThan(0)
  } finally {
    await traffic.stop()
  }
}
