import { execFile } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { programFolder } from '../bundle.ts'
import { startGenuine } from '../testkit.ts'

const run = promisify(execFile)

let folder: string

beforeAll(async () => {
  folder = await programFolder()
})

afterAll(() => rm(folder, { recursive: true }))

/** Runs a program to its own end; `client(options)` and `url` are at hand in it. */
async function program(text: string): Promise<{ stdout: string; took: number }> {
  await using server = await startGenuine()
  const options = {
    ca: server.ca,
    lookup: server.lookup,
    pins: { [server.hostname]: [server.leafPin] },
  }
  const file = join(folder, `${Math.random().toString(36).slice(2)}.cjs`)
  await writeFile(
    file,
    `const { Client } = require('./dist/index.cjs')
     const worker = require('node:worker_threads')
     const client = (options) => new Client({ ...${JSON.stringify(options)}, ...options })
     const at = (path) => ${JSON.stringify(server.at(''))} + path
     ;(async () => { ${text} })()`,
  )
  const start = performance.now()
  const { stdout } = await run(process.execPath, [file], { timeout: 15_000 })
  return { stdout, took: performance.now() - start }
}

test('the process ends by itself when nothing is in flight, with live connections', async () => {
  const { stdout, took } = await program(`console.log((await client().get(at('/'))).status)`)
  expect(stdout).toBe('200\n')
  expect(took).toBeLessThan(5000)
})

test('the process ends by itself when a client was made and never used', async () => {
  expect((await program(`client(); console.log('made')`)).stdout).toBe('made\n')
})

test('the process does not end before what is in flight has finished', async () => {
  const { stdout } = await program(`
    const one = client()
    one.get(at('/slow/400')).then(({ status }) => console.log('slow', status))
    console.log('quick', (await one.get(at('/'))).status)
  `)
  expect(stdout).toBe('quick 200\nslow 200\n')
})

test('what is given up keeps no process', async () => {
  const { stdout, took } = await program(`
    const controller = new AbortController()
    client().get(at('/slow/20000'), { signal: controller.signal }).catch((reason) => console.log(reason.name))
    setTimeout(() => controller.abort(), 100)
  `)
  expect(stdout).toBe('AbortError\n')
  expect(took).toBeLessThan(5000)
})

test('a process may exit with requests in flight', async () => {
  const { stdout } = await program(`
    for (let index = 0; index < 50; index++) client().get(at('/slow/20000')).catch(() => {})
    setTimeout(() => { console.log('leaving'); process.exit(0) }, 200)
  `)
  expect(stdout).toBe('leaving\n')
})

test('a worker has an engine of its own, and can be terminated mid-request', async () => {
  const { stdout } = await program(`
    if (worker.isMainThread) {
      const ends = []
      for (let index = 0; index < 8; index++) {
        const thread = new worker.Worker(__filename)
        ends.push(new Promise((resolve) => thread.on('message', async () => {
          await new Promise((later) => setTimeout(later, index * 10))
          resolve(await thread.terminate())
        })))
      }
      await Promise.all(ends)
      console.log('terminated', (await client().get(at('/'))).status)
    } else {
      const one = client()
      await one.get(at('/'))
      for (let index = 0; index < 20; index++) one.get(at('/slow/20000')).catch(() => {})
      setInterval(() => one.get(at('/bytes/100000')).catch(() => {}), 1)
      worker.parentPort.postMessage('in flight')
    }
  `)
  expect(stdout).toBe('terminated 200\n')
})

test('a worker whose requests wait for a free connection can be terminated', async () => {
  const { stdout } = await program(`
    if (worker.isMainThread) {
      for (let index = 0; index < 4; index++) {
        const thread = new worker.Worker(__filename)
        await new Promise((resolve) => thread.once('message', resolve))
        await thread.terminate()
      }
      console.log('terminated')
    } else {
      const one = client({ connections: 1, http2: false })
      await one.get(at('/'))
      for (let index = 0; index < 64; index++) one.get(at('/slow/20000')).catch(() => {})
      setTimeout(() => worker.parentPort.postMessage('waiting'), 50)
    }
  `)
  expect(stdout).toBe('terminated\n')
})

test('a worker ends by itself when nothing is in flight', async () => {
  const { stdout } = await program(`
    if (worker.isMainThread) new worker.Worker(__filename).on('exit', (code) => console.log('exit', code))
    else console.log((await client().get(at('/'))).status)
  `)
  expect(stdout).toBe('200\nexit 0\n')
})
