import { execFile } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { configureEngine } from '../../src/index.ts'
import { programFolder } from '../bundle.ts'
import { startGenuine, startInterceptor } from '../testkit.ts'

const run = promisify(execFile)

let folder: string

beforeAll(async () => {
  folder = await programFolder()
})

afterAll(() => rm(folder, { recursive: true }))

/** Runs a program to its own end; options of a client and the servers' URLs are at hand in it. */
async function program(text: string): Promise<unknown> {
  await using genuine = await startGenuine()
  await using interceptor = await startInterceptor({ of: genuine })
  const { hostname, leafPin, ca, lookup } = genuine
  const known = { hostname, leafPin, ca, lookup, url: genuine.url, intercepted: interceptor.url }
  const file = join(folder, `${Math.random().toString(36).slice(2)}.cjs`)
  await writeFile(
    file,
    `const { Client, LivePolicy, configureEngine } = require('./dist/index.cjs')
     const { readdirSync, readFileSync } = require('node:fs')
     const { hostname, leafPin, ca, lookup, url, intercepted } = ${JSON.stringify(known)}
     const pins = { [hostname]: [leafPin] }
     /** The engine's threads by name. */
     const names = () => process.platform === 'linux'
       ? readdirSync('/proc/self/task').map((id) => readFileSync('/proc/self/task/' + id + '/comm', 'utf8').trim())
           .filter((name) => name.startsWith('pinfetch')).sort()
       : ['pinfetch', 'pinfetch-1', 'pinfetch-2']
     ;(async () => { ${text} })()`,
  )
  const { stdout } = await run(process.execPath, [file], { timeout: 20_000 })
  return JSON.parse(stdout)
}

test('clients are spread over the threads, and all of them are pinned', async () => {
  const told = await program(`
    configureEngine({ threads: 3 })
    const clients = Array.from({ length: 9 }, (_, index) =>
      new Client({ ca, lookup, pins, http2: index % 2 === 0 }))
    const results = await Promise.all(clients.flatMap((client) => [
      ...Array.from({ length: 20 }, () => client.get(url).then(async (response) => {
        await response.text()
        return response.status
      })),
      client.get(intercepted).catch((error) => error.code),
    ]))
    const counts = {}
    for (const result of results) counts[result] = (counts[result] ?? 0) + 1
    console.log(JSON.stringify({ threads: names(), counts }))
    await Promise.all(clients.map((client) => client.close()))
  `)
  expect(told).toEqual({
    threads: ['pinfetch', 'pinfetch-1', 'pinfetch-2'],
    counts: { 200: 180, ERR_BAD_PIN: 9 },
  })
})

test('a live policy is swapped for the clients of all threads', async () => {
  const told = await program(`
    configureEngine({ threads: 3 })
    const live = new LivePolicy(pins)
    const clients = Array.from({ length: 6 }, () => new Client({ ca, lookup, pins: live }))
    await Promise.all(clients.map(async (client) => (await client.get(url)).text()))
    const swap = await live.set({ [hostname]: ['sha256/' + 'A'.repeat(43) + '='] }, { force: true })
    const after = await Promise.all(clients.map((client) => client.get(url).catch((error) => error.code)))
    console.log(JSON.stringify({ closed: swap.closedConnections, after }))
  `)
  expect(told).toEqual({ closed: 6, after: new Array(6).fill('ERR_BAD_PIN') })
})

test('a process ends by itself, and in the middle, whatever the number of threads', async () => {
  const told = await program(`
    configureEngine({ threads: 4 })
    const clients = Array.from({ length: 8 }, () => new Client({ ca, lookup, pins }))
    for (const client of clients) client.get(new URL('/slow/20000', url)).catch(() => {})
    await clients[0].get(url)
    console.log('"left"')
    process.exit(0)
  `)
  expect(told).toBe('left')
})

test('a worker has threads of its own', async () => {
  const told = await program(`
    const { Worker, isMainThread, parentPort } = require('node:worker_threads')
    if (!isMainThread) {
      configureEngine({ threads: 2 })
      const client = new Client({ ca, lookup, pins })
      const other = new Client({ ca, lookup, pins })
      const statuses = [await client.get(url), await other.get(url)].map(({ status }) => status)
      parentPort.postMessage({ statuses, threads: names().length })
      return
    }
    const worker = new Worker(__filename)
    const [message] = await require('node:events').once(worker, 'message')
    await worker.terminate()
    const isLinux = process.platform === 'linux'
    // Deno does not wait until the worker has ended
    for (let i = 0; isLinux && names().length > 0 && i < 200; i++) await new Promise((resolve) => setTimeout(resolve, 25))
    console.log(JSON.stringify({ ...message, left: isLinux ? names().length : 0 }))
  `)
  expect(told).toEqual({
    statuses: [200, 200],
    threads: process.platform === 'linux' ? 2 : 3,
    left: 0,
  })
})

test('an engine that runs takes no other number, and none takes a wrong one', async () => {
  const told = await program(`
    configureEngine({ threads: 2 })
    new Client()
    configureEngine({ threads: 2 })
    try { configureEngine({ threads: 3 }) } catch (error) {
      console.log(JSON.stringify([error.name, error.code]))
    }
  `)
  expect(told).toEqual(['TypeError', 'ERR_INVALID_ARGUMENT'])
  for (const [options, message] of [
    [{ threads: 0 }, 'threads is 0: give a whole number from 1 to 64'],
    [{ threads: 1.5 }, 'threads is 1.5'],
    [{ threads: Number.NaN }, 'threads is NaN'],
    [{ threads: 65 }, 'threads is 65'],
    [{ threads: '4' }, 'threads is a string'],
    [{ thread: 4 }, 'an engine has no option "thread"'],
    [null, 'the options are null'],
  ] as const)
    expect(() => configureEngine(options as never)).toThrow(
      expect.objectContaining({
        code: 'ERR_POLICY_INVALID_OPTION',
        message: expect.stringContaining(message),
      }),
    )
})
