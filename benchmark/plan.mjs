// What every client in JavaScript does: carries a plan out and prints the outcome (`plan.d.mts` says what they are).
//
// In JavaScript, and of Node's modules only what Bun and Deno have too: each runtime runs it as it stands.
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import process from 'node:process'

const POSTED = new Uint8Array(10 * 1024).fill(120)

export async function carryOut(open) {
  const plan = JSON.parse(process.argv[2])
  const tasks = { requests, rate, hosts, clients, held, start }
  const outcome = await tasks[plan.task](plan, open)
  process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0))
}

/** So many in flight, for as long as there are some left. */
async function requests(plan, open) {
  const peer = await open(plan)
  const ask = askOf(plan, peer)
  await inFlight(plan.concurrency, plan.warmup, ask)
  const watched = plan.watchLoop ? monitorEventLoopDelay({ resolution: 1 }) : null
  watched?.enable()
  const outcome = await measured(() => inFlight(plan.concurrency, plan.requests, ask))
  if (watched !== null) {
    watched.disable()
    outcome.loopP99Us = watched.percentile(99) / 1000
  }
  return outcome
}

/** At a fixed rate, whether or not the last ones are answered. A latency begins when its request is due. */
async function rate(plan, open) {
  const peer = await open(plan)
  const ask = askOf(plan, peer)
  await inFlight(8, plan.warmup, ask)
  const latencies = new Float64Array(plan.requests)
  const outcome = await measured(async () => {
    const began = performance.now()
    const waiting = []
    let bytes = 0
    const send = async (number) => {
      const due = began + (number * 1000) / plan.concurrency
      const length = await ask()
      latencies[number] = (performance.now() - due) * 1000
      bytes += length
    }
    while (waiting.length < plan.requests) {
      const due = Math.floor(((performance.now() - began) * plan.concurrency) / 1000)
      while (waiting.length < Math.min(due, plan.requests)) waiting.push(send(waiting.length))
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await Promise.all(waiting)
    return bytes
  })
  latencies.sort()
  const at = (part) =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * part))]
  outcome.latencyUs = { p50: at(0.5), p99: at(0.99), p999: at(0.999), most: at(1) }
  return outcome
}

/** One request to each of many names, each over a connection of its own, which then idles. */
async function hosts(plan, open) {
  const peer = await open(plan)
  const ask = askOf(plan, peer)
  await ask()
  const before = await resident()
  let next = 0
  const outcome = await measured(() =>
    inFlight(plan.concurrency, plan.requests, () => {
      next += 1
      return ask(`https://h${next}.${plan.hostname}:${plan.port}${plan.path}`)
    }),
  )
  outcome.grownBytes = ((await resident()) - before) / plan.requests
  return outcome
}

/** Many clients that have made a request each. */
async function clients(plan, open) {
  const kept = [await open(plan)]
  await askOf(plan, kept[0])()
  const before = await resident()
  const outcome = await measured(async () => {
    while (kept.length <= plan.requests) kept.push(await open(plan))
    return 0
  })
  outcome.grownBytes = ((await resident()) - before) / plan.requests
  return outcome
}

/** Many requests that a server lets wait. */
async function held(plan, open) {
  const peer = await open(plan)
  const url = `https://${plan.hostname}:${plan.port}${plan.path}`
  const before = await resident()
  const outcome = await measured(async () => {
    for (let number = 0; number < plan.requests; number += 1) peer.text(url).catch(() => {})
    // until the process no longer grows: connections are made, requests sent
    for (let last = 0, now = 1; Math.abs(now - last) > 64 * 1024; ) {
      last = now
      await new Promise((resolve) => setTimeout(resolve, 500))
      now = memory()
    }
    return 0
  })
  outcome.grownBytes = ((await resident()) - before) / plan.requests
  return outcome
}

/** The first request of a process. */
async function start(plan, open) {
  const peer = await open(plan)
  const bytes = await askOf(plan, peer)()
  const { user, system } = process.cpuUsage()
  const firstMs = performance.timeOrigin + performance.now() - plan.startedAt
  return { cpuUs: user + system, wallUs: firstMs * 1000, bytes, firstMs }
}

function askOf(plan, peer) {
  const its = `https://${plan.hostname}:${plan.port}${plan.path}`
  if (peer[plan.what] === undefined) throw new Error(`it has no way to do ${plan.what}`)
  if (plan.what === 'post') return (url = its) => peer.post(url, POSTED)
  if (plan.what === 'save') {
    let number = 0
    return (url = its) => {
      number = (number + 1) % plan.concurrency
      return peer.save(url, `${plan.folder}/saved-${number}`)
    }
  }
  return (url = its) => peer[plan.what](url)
}

async function inFlight(concurrency, count, ask) {
  let left = count
  let bytes = 0
  const work = async () => {
    while (left > 0) {
      left -= 1
      const length = await ask() // first: += would read the sum before it waits
      bytes += length
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, work))
  return bytes
}

async function measured(work) {
  const cpu = process.cpuUsage()
  const began = performance.now()
  const bytes = await work()
  const { user, system } = process.cpuUsage(cpu)
  return { cpuUs: user + system, wallUs: (performance.now() - began) * 1000, bytes }
}

/** The process's resident memory in bytes, after what is garbage is gone. */
async function resident() {
  for (let round = 0; round < 3; round += 1) {
    globalThis.gc?.()
    globalThis.Bun?.gc(true)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return memory()
}

function memory() {
  return Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * 4096
}
