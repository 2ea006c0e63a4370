// Large files are read by the engine, or by a thread of their own, which is beside the bundle: so what is built is tested here.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest'
import type * as Pinfetch from '../../src/index.js'
import { type Pki, sharedKit, standardPki, startGenuine } from '../testkit.js'

const { Client, Policy }: typeof Pinfetch = await import('../../dist/esm/index.js' as string)

const HOSTS = 8000
const pinOf = (seed: number) => `sha256/${Buffer.alloc(32, seed).toString('base64')}`

const folder = mkdtempSync(join(tmpdir(), 'pinfetch-large-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let workers = 0
const count = () => {
  workers += 1
}
beforeEach(() => {
  workers = 0
  process.on('worker', count)
})
afterEach(() => {
  process.off('worker', count)
})

/** Writes a file of more than a mebibyte, with `more` hosts at its end, and `others` beside them. */
function write(name: string, more: Record<string, unknown> = {}, others: object = {}): string {
  const path = join(folder, name)
  const hosts: Record<string, unknown> = {}
  for (let host = 0; host < HOSTS; host++)
    hosts[`h${host}.example.test`] = [pinOf(1), pinOf(2), pinOf(host % 251)]
  writeFileSync(
    path,
    JSON.stringify({ version: 1, hosts: { ...hosts, ...more }, ...others }, null, 1),
  )
  return path
}

test.each([
  ['the engine', {}, undefined, 0],
  ['a thread of its own', { environments: { one: {} } }, 'one', 1],
])('a large file is read by %s', async (_reader, others, environment, threads) => {
  const path = write('policy.json', { '*.own.test': [pinOf(7)] }, others)
  const policy = await Policy.fromFile(path, { environment })
  expect(workers).toBe(threads)
  expect(policy.lookup('a.own.test')).toEqual({ patterns: ['*.own.test'], pins: [pinOf(7)] })
  expect(policy.lookup('h5.example.test').pins.toSorted()).toEqual(
    [pinOf(1), pinOf(2), pinOf(5)].toSorted(),
  )
  expect(policy.lookup('elsewhere.test').pins).toEqual([])
})

test('JavaScript goes on meanwhile', async () => {
  let turns = 0
  const timer = setInterval(() => (turns += 1))
  await Policy.fromFile(write('policy.json'))
  clearInterval(timer)
  expect(turns).toBeGreaterThan(0)
})

test('a small file is read at once', async () => {
  const small = join(folder, 'small.json')
  writeFileSync(small, JSON.stringify({ 'a.test': pinOf(1) }))
  expect((await Policy.fromFile(small)).lookup('a.test').pins).toEqual([pinOf(1)])
  expect(workers).toBe(0)
})

test('its requests are pinned, and a bad pin names the line', async () => {
  const pki: Pki = await standardPki(sharedKit())
  await using server = await startGenuine({ pki })
  const options = { ca: pki.ca, lookup: { [pki.hostname]: '127.0.0.1' } }
  const path = write('bad-pin.json', { [pki.hostname]: [pinOf(3)] })
  await using client = new Client({ ...options, pins: await Policy.fromFile(path) })
  const lines = readFileSync(path, 'utf8').split('\n')
  const line = lines.findIndex((text) => text.includes(`"${pki.hostname}"`)) + 1
  await expect(client.get(server.url)).rejects.toMatchObject({
    code: 'ERR_BAD_PIN',
    policyLocations: [{ file: path, line, pattern: pki.hostname }],
  })
})

test.each([
  [
    'a bad pin',
    { 'a.test': [pinOf(1), 'sha256/AAAA'] },
    '/hosts/a.test/1',
    'ERR_POLICY_INVALID_PIN',
  ],
  ['a bad pattern', { 'a..test': [pinOf(1)] }, '/hosts/a..test', 'ERR_POLICY_INVALID_HOST'],
  ['an unknown field', { 'a.test': { pin: [] } }, '/hosts/a.test/pin', 'ERR_POLICY_INVALID_OPTION'],
])('%s is told with its place', async (_what, more, pointer, code) => {
  const path = write('fault.json', more)
  const error = await Policy.fromFile(path).catch((reason: unknown) => reason)
  expect(workers).toBe(1)
  expect(error).toMatchObject({ name: 'PolicyError', code, pointer, file: path })
  expect(error).toBeInstanceOf(Error)
  const { line, message } = error as Pinfetch.PolicyError
  expect(line).toBeGreaterThan(HOSTS)
  expect(message).toContain(`${path}:${line}:`)
})

test('what is no JSON, and an environment that is not there, are told as ever', async () => {
  const path = write('broken.json')
  appendFileSync(path, '}')
  await expect(Policy.fromFile(path)).rejects.toMatchObject({
    code: 'ERR_POLICY_INVALID_OPTION',
    file: path,
  })
  const other = write('plain.json')
  await expect(Policy.fromFile(other, { environment: 'staging' })).rejects.toMatchObject({
    option: 'environment',
  })
})

test('a watched file is read each time, and swapped', async () => {
  const path = write('watched.json', { 'a.test': [pinOf(1)] })
  await using policy = await Policy.watch(path, { debounce: 10 })
  expect(policy.policy.lookup('a.test').pins).toEqual([pinOf(1)])
  const before = policy.policy
  expect(await policy.reload()).toBeNull() // says the same
  expect(policy.policy).toBe(before)
  write('watched.json', { 'a.test': [pinOf(2)] })
  await vi.waitUntil(() => policy.policy !== before, { timeout: 20_000 })
  expect(policy.policy.lookup('a.test').pins).toEqual([pinOf(2)])
})

test('a thread that ends early is an error, and the next one has its chance', async () => {
  const path = write('alone.json', { 'a.test': [pinOf(1)] }, { environments: { one: {} } })
  const read = () => Policy.fromFile(path, { environment: 'one' })
  const refuse = (worker: Worker) => void worker.terminate() // before it has said anything
  process.on('worker', refuse)
  try {
    await expect(read()).rejects.toMatchObject({ code: 'ERR_INTERNAL' })
  } finally {
    process.off('worker', refuse)
  }
  expect((await read()).lookup('a.test').pins).toEqual([pinOf(1)])
})
