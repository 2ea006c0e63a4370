import type { Plan } from './plan.mjs'
import type { Listener, PATHS } from './server.ts'

/** Something that clients are measured at. */
export interface Test {
  name: string
  /** What the figure is; CPU of the whole process for each request unless it says otherwise. */
  figure?: 'loop' | 'latency' | 'memory' | 'start'
  listener: Listener | 'held'
  path: keyof typeof PATHS
  task: Plan['task']
  what: Plan['what']
  concurrency: number
  requests: number
  /** Requests before those that are measured; a quarter of them unless it says otherwise. */
  warmup?: number
  /** Whether requests go through an HTTP proxy. */
  proxied?: true
  /** Whether the number of requests is part of what is measured, and not scaled down. */
  fixed?: true
}

const small = { listener: 'http1', path: '/small', task: 'requests', what: 'text' } as const
/** Of connections that are kept: long enough for a JavaScript engine to have compiled what is hot. */
const warm = { ...small, warmup: 5000 } as const
const large = { ...small, path: '/large', concurrency: 1, requests: 6, fixed: true } as const

export const TESTS: readonly Test[] = [
  { ...warm, name: 'HTTP/1.1, one at a time', concurrency: 1, requests: 10_000 },
  { ...warm, name: 'HTTP/1.1, 8 in flight', concurrency: 8, requests: 30_000 },
  { ...warm, name: 'HTTP/1.1, 64 in flight', concurrency: 64, requests: 40_000 },
  { ...warm, name: 'HTTP/1.1, 512 in flight', concurrency: 512, requests: 40_000 },
  { ...warm, name: 'HTTP/2, one at a time', listener: 'http2', concurrency: 1, requests: 10_000 },
  { ...warm, name: 'HTTP/2, 64 in flight', listener: 'http2', concurrency: 64, requests: 40_000 },
  { ...small, name: 'cold handshake + GET', listener: 'cold', concurrency: 1, requests: 1500 },
  {
    ...small,
    name: 'resumed handshake + GET',
    listener: 'resumed',
    concurrency: 1,
    requests: 1500,
  },
  {
    ...small,
    name: 'cold handshake + GET through an HTTP proxy',
    listener: 'cold',
    concurrency: 1,
    requests: 1000,
    proxied: true,
  },
  {
    ...warm,
    name: 'HTTP/1.1 through an HTTP proxy, 64 in flight',
    concurrency: 64,
    requests: 20_000,
    proxied: true,
  },
  {
    ...warm,
    name: 'POST of 10 KiB, 64 in flight',
    path: '/post',
    what: 'post',
    concurrency: 64,
    requests: 20_000,
  },
  {
    ...small,
    name: '100 KiB of JSON in gzip, parsed',
    path: '/items',
    what: 'json',
    concurrency: 8,
    requests: 1000,
  },
  { ...large, name: '64 MiB to a buffer', what: 'buffer' },
  { ...large, name: '64 MiB streamed', what: 'stream' },
  { ...large, name: '64 MiB to a file', what: 'save' },
  {
    ...warm,
    name: 'event-loop delay (p99), 64 in flight',
    figure: 'loop',
    concurrency: 64,
    requests: 40_000,
  },
  { ...large, name: 'event-loop delay (p99), 64 MiB to a buffer', figure: 'loop', what: 'buffer' },
  { ...large, name: 'event-loop delay (p99), 64 MiB streamed', figure: 'loop', what: 'stream' },
  {
    ...warm,
    name: 'latency at 1,000 requests a second',
    figure: 'latency',
    task: 'rate',
    concurrency: 1000,
    requests: 4000,
  },
  {
    ...small,
    name: '1,000 names, a connection each',
    task: 'hosts',
    concurrency: 8,
    requests: 1000,
    fixed: true,
  },
  {
    ...small,
    name: 'memory of an idle connection',
    figure: 'memory',
    task: 'hosts',
    concurrency: 8,
    requests: 1000,
    fixed: true,
  },
  {
    ...small,
    name: 'memory of a client',
    figure: 'memory',
    task: 'clients',
    concurrency: 1,
    requests: 1000,
    fixed: true,
  },
  {
    ...small,
    name: 'memory of a request in flight, its connection included',
    figure: 'memory',
    listener: 'held',
    task: 'held',
    concurrency: 500,
    requests: 500,
    fixed: true,
  },
  {
    ...small,
    name: 'process start to first response',
    figure: 'start',
    task: 'start',
    concurrency: 1,
    requests: 1,
    fixed: true,
  },
]
