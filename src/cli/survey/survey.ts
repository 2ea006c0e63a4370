// A survey: every host of a policy is asked for its certificates, by a client that has the policy, so that the verdict is
// the one that requests would get.

import { Client, type ClientOptions, type FilePolicy, type PathCertificate } from '../../index.js'
import { PatternIndex, type PatternSet } from '../../policy/patterns.js'
import { type Authority, bare, format } from '../authority.js'
import { codeOf, messageOf } from '../exit.js'
import { countsAt, forecastOf, holdsBy } from './forecast.js'
import { FORWARDER_LOOKUP, Forwarder, type Targets, type Way } from './forward.js'
import { type Hosts, hostsOf } from './hosts.js'
import type { SeenCertificate, Sight, SurveyedHost } from './record.js'

/** What a survey looks at, and from where. */
export interface SurveyPlan {
  readonly policy: FilePolicy
  /** Hosts besides those that the policy names, such as those that wildcards stand for. */
  readonly names?: readonly Authority[]
  /** Asks only the hosts that one of these patterns (canonical) contributes to. @default all */
  readonly patterns?: ReadonlySet<string>
  /** Vantage points: `direct`, the URLs of proxies, or `environment`. @default ['direct'] */
  readonly vias?: readonly string[]
  /** The machines of hosts, for `direct`: each is asked. @default where their names lead */
  readonly targets?: Targets
  /** What the client is told besides the pins, such as `ca` and `timeout`. */
  readonly options?: ClientOptions
  /** How many are asked at a time. @default 256 */
  readonly concurrency?: number
  /** As of when days are counted. @default now */
  readonly now?: Date
}

/** From where a host is asked, and how. */
interface Looking {
  /** As {@link Sight} has it. */
  readonly via: string
  readonly proxy: string | null
  /** The forwarder's, if it is one. */
  readonly way: Way | null
}

const CONCURRENCY = 256
const DAY = 24 * 60 * 60 * 1000

/** One look at all hosts of a policy. */
export class Survey {
  readonly #plan: SurveyPlan
  readonly #index: PatternIndex
  readonly #hosts: Hosts
  readonly #forwarder: Forwarder | null
  #done = 0
  #troubled = 0
  #isStopped = false
  #client: Client | null = null

  constructor(plan: SurveyPlan) {
    this.#plan = plan
    this.#index = new PatternIndex(plan.policy.sets.values())
    this.#hosts = hostsOf(this.#index, plan.names ?? [], plan.patterns)
    const { targets } = plan
    this.#forwarder = targets === undefined || targets.size === 0 ? null : new Forwarder(targets)
  }

  /** How many hosts are asked. */
  get size(): number {
    return this.#hosts.asked.length
  }

  /** Wildcards with pins that none of the hosts comes under. */
  get unnamed(): readonly PatternSet[] {
    return this.#hosts.unnamed
  }

  /** How much is done, from 0 to 1. */
  get share(): number {
    return this.size === 0 ? 1 : this.#done / this.size
  }

  /** One line: where it stands. */
  get standing(): string {
    return `${this.#done} of ${this.size} hosts, ${this.#troubled} refused`
  }

  /** Asks no more, and gives up what is under way: {@link run} then resolves with what it has. */
  stop(): void {
    this.#isStopped = true
    void this.#client?.close({ force: true })
  }

  /**
   * Asks all hosts; resolves to what was found, in the order of the policy.
   *
   * Rejects only for what concerns all of them, such as a policy that the client refuses.
   */
  async run(): Promise<SurveyedHost[]> {
    const { policy, options, concurrency = CONCURRENCY } = this.#plan
    const lookup = this.#forwarder === null ? {} : { lookup: FORWARDER_LOOKUP }
    const client = new Client({ ...options, ...lookup, ...pinsOf(policy) })
    this.#client = client
    const found: (SurveyedHost | undefined)[] = []
    try {
      await this.#forwarder?.start()
      const left = this.#hosts.asked.entries()
      const work = async (): Promise<void> => {
        for (const [index, host] of left) {
          if (this.#isStopped) return
          const told = await this.#survey(client, host)
          if (this.#isStopped) return // what it tells may be that it was stopped
          found[index] = told
          this.#done += 1
          if (told.sights.some(({ error }) => error !== undefined)) this.#troubled += 1
        }
      }
      await Promise.all(Array.from({ length: Math.min(concurrency, this.size) }, work))
    } finally {
      await client.close({ force: true })
      this.#forwarder?.close()
    }
    return found.filter((host) => host !== undefined)
  }

  async #survey(client: Client, { host, port }: Authority): Promise<SurveyedHost> {
    const { policy } = this.#plan
    const authority = format({ host, port })
    const sets = this.#index.inForce(bare(host), port)
    const checked = (this.#plan.now ?? new Date()).toISOString()
    const sights: Sight[] = []
    for (const way of this.#waysTo(authority))
      sights.push(await this.#look(client, authority, sets, way))
    const accepted = sights.find(({ verdict }) => verdict === 'pinned')
    return {
      authority,
      host: bare(host),
      port,
      checked,
      environment: policy.environment,
      patterns: sets.map(({ pattern, set: { mode, require, expires, pointer } }) => ({
        pattern: pattern.text,
        mode,
        require,
        expires:
          expires === null ? null : { at: expires.at.toISOString(), then: expires.afterwards },
        pointer,
      })),
      pins: sets.flatMap(({ pattern, set }) =>
        set.pins.map(({ pin, role, label, at, added, expires, pointer }) => ({
          pin,
          pattern: pattern.text,
          role,
          label,
          at,
          added: added?.toISOString() ?? null,
          expires: expires?.toISOString() ?? null,
          pointer,
          seen: sights.flatMap(({ via, path }) =>
            path
              .filter((of) => of.pin === pin && countsAt(at, of.role))
              .map((of) => ({ via, role: of.role })),
          ),
        })),
      ),
      sights,
      forecast: accepted === undefined ? null : forecastOf(sets, accepted.path),
    }
  }

  /** From where, and on which ways, a host is asked. */
  #waysTo(authority: string): Looking[] {
    const { vias = ['direct'] } = this.#plan
    const forwarder = this.#forwarder
    return vias.flatMap((via): Looking[] => {
      if (via !== 'direct') return [{ via: withoutCredentials(via), proxy: via, way: null }]
      if (forwarder === null) return [{ via, proxy: null, way: null }]
      const ways = forwarder.waysTo(authority)
      return ways.map((way) => ({
        via: ways.length === 1 ? via : way.machine,
        proxy: way.proxy,
        way,
      }))
    })
  }

  async #look(
    client: Client,
    authority: string,
    sets: readonly PatternSet[],
    { via, proxy, way }: Looking,
  ): Promise<Sight> {
    const reached = () => (way === null ? undefined : this.#forwarder?.addressOf(authority, way))
    try {
      const seen = await client.serverPins(authority, { proxy })
      const path = this.#described(seen.path, sets)
      // what is enforced holds, or there were an error
      const isReported = sets.some((of) => of.set.mode === 'report' && !holdsBy(of, sets, path))
      const verdict = sets.length === 0 ? 'unpinned' : isReported ? 'reported' : 'pinned'
      return { via, verdict, remoteAddress: reached() ?? seen.remoteAddress, path }
    } catch (thrown) {
      // a proxy of our own has refused: why, it knows
      const failure = way === null ? undefined : this.#forwarder?.failureOf(authority, way)
      const error = (codeOf(thrown) === 'ERR_PROXY' ? failure : undefined) ?? thrown
      const code = codeOf(error) ?? 'ERR_INTERNAL'
      const hint = factOf(error, 'hint')
      const verifiedPath = factOf(error, 'verifiedPath')
      const remoteAddress = reached() ?? factOf(error, 'remoteAddress')
      return {
        via,
        verdict: code === 'ERR_BAD_PIN' ? 'bad-pin' : 'failed',
        remoteAddress: typeof remoteAddress === 'string' ? remoteAddress : null,
        // a BadPinError's
        path: Array.isArray(verifiedPath) ? this.#described(verifiedPath, sets) : [],
        error: {
          code,
          message: messageOf(error),
          ...(typeof hint === 'string' && hint !== '' ? { hint } : {}),
        },
      }
    }
  }

  #described(path: readonly PathCertificate[], sets: readonly PatternSet[]): SeenCertificate[] {
    const pins = sets.flatMap(({ set }) => set.pins)
    const now = (this.#plan.now ?? new Date()).getTime()
    return path.map(({ pin, role, subject, notAfter }) => ({
      pin,
      role,
      subject,
      notAfter: notAfter?.toISOString() ?? null,
      daysLeft: notAfter === null ? null : Math.floor((notAfter.getTime() - now) / DAY),
      pinned: pins.some((of) => of.pin === pin && countsAt(of.at, role)),
    }))
  }
}

/** The options of a client that has `policy`. */
function pinsOf(policy: FilePolicy): ClientOptions {
  return { pins: policy.toPolicy() }
}

function factOf(error: unknown, name: string): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined
}

/** A proxy as it may be shown. */
export function withoutCredentials(proxy: string): string {
  if (!URL.canParse(proxy)) return proxy
  const url = new URL(proxy)
  return `${url.protocol}//${url.host}`
}
