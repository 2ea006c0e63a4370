/** What a client is told to do, as JSON in its only argument; `limit/src/main.rs` and `clients/go` have the twins. */
export interface Plan {
  /** How it is measured: see `plan.mjs`. */
  task: 'requests' | 'rate' | 'hosts' | 'clients' | 'held' | 'start'
  /** What a request is. */
  what: 'text' | 'post' | 'json' | 'buffer' | 'stream' | 'save'
  hostname: string
  port: number
  path: string
  /** PEM of the trusted root. */
  ca: string
  /** The server's leaf pin, `sha256/…`. */
  pin: string
  http2: boolean
  /** `http://127.0.0.1:PORT`, or none. */
  proxy: string | null
  /** Requests in flight; for `rate`, requests a second. */
  concurrency: number
  /** Requests before the measurement begins. */
  warmup: number
  /** Requests measured; connections for `hosts`, clients for `clients`, requests in flight for `held`. */
  requests: number
  /** Whether to look at the event loop, which costs a little. */
  watchLoop: boolean
  /** Where `save` may write. */
  folder: string
  /** When the process was started, in milliseconds of Unix time. */
  startedAt: number
}

/** What a client prints. */
export interface Outcome {
  /** Whole-process CPU of the measured part, user and system, in microseconds. */
  cpuUs: number
  wallUs: number
  /** Bytes of the bodies. */
  bytes: number
  /** The 99th percentile of the main thread's event-loop delay, in microseconds. */
  loopP99Us?: number
  /** Latencies of the requests, in microseconds. */
  latencyUs?: { p50: number; p99: number; p999: number; most: number }
  /** What the process has grown by for each connection, client or request, in bytes. */
  grownBytes?: number
  /** From the process's start to its first response, in milliseconds. */
  firstMs?: number
}

/** A client that can be measured. What it lacks is absent. */
export interface Peer {
  /** Resolves with the length of the body's text. */
  text(url: string): Promise<number>
  /** Sends a body; resolves with the length of the answer. */
  post?(url: string, body: Uint8Array): Promise<number>
  /** Resolves with the parsed JSON's count of items. */
  json?(url: string): Promise<number>
  buffer?(url: string): Promise<number>
  stream?(url: string): Promise<number>
  save?(url: string, path: string): Promise<number>
  close?(): unknown
}

/** Runs the client that `open` makes, as the plan in this process's argument says, and prints the outcome. */
export function carryOut(open: (plan: Plan) => Peer | Promise<Peer>): Promise<void>
