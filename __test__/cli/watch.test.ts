import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { json } from 'node:stream/consumers'
import { afterEach, expect, test } from 'vitest'
import type { SurveyedHost } from '../../src/cli/survey/record.js'
import { Memory } from '../../src/cli/watch/memory.js'
import { watch } from '../../src/cli/watch/watch.js'
import { type Endpoint, startGenuine } from '../testkit.js'
import { Command, refusalOf } from './command.js'

const command = new Command()
const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const spare = pinOf(9)

function arrange(server: Endpoint, name: string, pins: readonly string[]): string[] {
  const file = command.file(name, JSON.stringify({ 'api.example.test': pins }))
  const ca = command.file(`${server.port}.pem`, server.ca)
  return ['watch', file, '--connect', `127.0.0.1:${server.port}`, '--ca', ca]
}

const undated = (text: string) => text.replace(/^\S+Z /gm, '').replace(/\d{4}-\d{2}-\d{2}/g, 'DATE')

let running: ChildProcessWithoutNullStreams | null = null
afterEach(() => {
  running?.kill('SIGKILL')
  running = null
})

/** Starts a watch that goes on; gives its lines one by one. */
function start(args: readonly string[]) {
  const child = command.start(...args, '--every', '0.05')
  running = child
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const complaints = createInterface({ input: child.stderr })[Symbol.asyncIterator]()
  return {
    next: async () => undated(`${(await lines.next()).value}`),
    complaint: async () => `${(await complaints.next()).value}`,
    end: async () => {
      const closed = once(child, 'close')
      child.kill('SIGINT')
      return closed
    },
  }
}

test('--once tells what is wrong, with the exit code of the gravest', async () => {
  await using server = await startGenuine()

  const good = await command.run([
    ...arrange(server, 'good.json', [server.leafPin, spare]),
    '--once',
  ])
  expect(good).toEqual({ code: 0, stdout: '', stderr: '' })
  const weak = await command.run([...arrange(server, 'weak.json', [server.rootPin]), '--once'])
  expect(weak).toMatchObject({ code: 7, stderr: '' })
  expect(undated(weak.stdout)).toMatch(/^api\.example\.test:443: warning: .* \(no-spare-pin\)\n$/)
  const bad = await command.run([...arrange(server, 'bad.json', [spare]), '--once', '--json'])
  expect(bad).toMatchObject({ code: 5 })
  expect(JSON.parse(bad.stdout)).toMatchObject({
    event: 'found',
    authority: 'api.example.test:443',
    finding: { rule: 'bad-pin', severity: 'error', code: 'ERR_BAD_PIN' },
  })
})

test('--state lets cron tell what is new, once', async () => {
  await using server = await startGenuine()
  const state = command.path('state.json')
  const args = [
    ...arrange(server, 'state-policy.json', [server.leafPin, server.rootPin]),
    '--once',
    '--state',
    state,
  ]

  expect(await command.run(args)).toMatchObject({ code: 7 })
  expect(await command.run(args)).toEqual({ code: 0, stdout: '', stderr: '' })

  await server.present(['nextLeaf', 'a1'])
  const changed = await command.run(args)
  expect(changed.code).toBe(7)
  expect(undated(changed.stdout).split('\n')).toEqual([
    `api.example.test:443: changed: its path has ${server.backupPin} in place of ${server.leafPin}`,
    expect.stringMatching(/: resolved: every pin is of the path .* \(no-spare-pin\)$/),
    '',
  ])
  expect(await command.run(args)).toMatchObject({ code: 0, stdout: '' })
  writeFileSync(state, '{}')
  const broken = await command.run(args)
  expect(broken).toMatchObject({ code: 6, stdout: '' })
  expect(broken.stderr).toContain(`${state}: is nothing that pinfetch watch has saved`)
})

test('it goes on: tells of a new key, reads a new policy, outlives a broken one, and ends at SIGINT', async () => {
  await using server = await startGenuine()
  const args = arrange(server, 'live.json', [server.leafPin, server.rootPin])
  const [, file = ''] = args
  const watching = start(args)
  const write = (text: string) => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }

  expect(await watching.next()).toContain('(no-spare-pin)')
  await server.present(['nextLeaf', 'a1'])
  expect(await watching.next()).toBe(
    `api.example.test:443: changed: its path has ${server.backupPin} in place of ${server.leafPin}`,
  )
  expect(await watching.next()).toContain('resolved: every pin')
  write('{ "api.example.test": [')
  expect(await watching.complaint()).toContain('live.json:1:24: no JSON')
  write(JSON.stringify({ 'api.example.test': [spare] }))
  expect(await watching.next()).toMatch(
    /^api\.example\.test:443: error: bad ssl pin .*\(bad-pin\)$/,
  )
  expect(await watching.end()).toEqual([130, null])
})

test('a policy file that cannot be read at the start ends it', async () => {
  expect(await command.run(['watch', 'none.json'])).toMatchObject({ code: 6, stdout: '' })
})

test('--webhook is told what is new, and told again when it did not take it', async () => {
  await using server = await startGenuine()
  const posts: unknown[] = []
  const hook = createServer(async (request, response) => {
    posts.push(await json(request))
    response.writeHead(posts.length === 1 ? 404 : 204).end()
  }).listen(0, '127.0.0.1')
  await once(hook, 'listening')
  const { port } = hook.address() as AddressInfo
  const state = command.path('hook-state.json')
  const args = arrange(server, 'hook.json', [server.rootPin])
  const run = () =>
    command.run([
      ...args,
      '--once',
      '--state',
      state,
      '--webhook',
      `http://127.0.0.1:${port}/T0/secret`,
    ])

  const refused = await run()
  expect(refused).toMatchObject({
    code: 3,
    stderr: `pinfetch: webhook http://127.0.0.1:${port}: status 404\n`,
  })
  expect(existsSync(state)).toBe(false)
  const taken = await run()
  expect(taken).toMatchObject({ code: 7, stderr: '' })
  expect(await run()).toMatchObject({ code: 0, stdout: '' })
  hook.close()
  expect(posts).toHaveLength(2)
  expect(posts[1]).toMatchObject({
    file: args[1],
    environment: null,
    hosts: 1,
    text: taken.stdout.trimEnd(),
    news: [{ event: 'found', finding: { rule: 'no-spare-pin' } }],
  })
  expect(JSON.parse(readFileSync(state, 'utf8'))).toMatchObject({ version: 1 })
  const gone = await command.run([
    ...args,
    '--once',
    '--webhook',
    `http://127.0.0.1:${port}/T0/secret`,
  ])
  expect(gone.code).toBe(3)
  expect(gone.stderr).not.toContain('secret')
})

test('a webhook that is overloaded for a moment is asked again', async () => {
  await using server = await startGenuine()
  let posts = 0
  const hook = createServer((request, response) => {
    posts += 1
    request.resume()
    response.writeHead(posts === 1 ? 503 : 204).end()
  }).listen(0, '127.0.0.1')
  await once(hook, 'listening')
  const { port } = hook.address() as AddressInfo
  const args = arrange(server, 'overloaded.json', [server.rootPin])
  const told = await command.run([...args, '--once', '--webhook', `http://127.0.0.1:${port}/`])
  hook.close()
  expect(told).toMatchObject({ code: 7, stderr: '' })
  expect(posts).toBe(2)
})

test.each([
  ['no file', [], 'give a policy file'],
  ['two ways to go on', ['a.json', '--once', '--every', '5'], '--every'],
  ['no number of seconds', ['a.json', '--every', '1h'], '--every is "1h"'],
  ['no time between checks', ['a.json', '--every', '0'], '--every is 0'],
  ['more time than a timer has', ['a.json', '--every', '2147484'], 'at most 2147483'],
  ['a webhook that is no URL', ['a.json', '--webhook', 'secret'], '--webhook is no URL'],
])('the command line is refused before anybody is asked: %s', async (_name, args, told) => {
  const refusal = await refusalOf(() => watch(args))
  expect(refusal).toContain(told)
  expect(refusal).not.toContain('secret')
})

/** A host whose certificate ends so many days after 2027-01-01, seen so many days after that day. */
function hostAt(
  day: number,
  end: number,
  verdict: 'pinned' | 'failed' = 'pinned',
  pin = pinOf(1),
): SurveyedHost {
  const at = (of: number) => new Date(Date.UTC(2027, 0, 1 + of)).toISOString()
  const path = [
    {
      pin,
      role: 'end entity',
      subject: 'CN=a.test',
      notAfter: at(end),
      daysLeft: end - day,
      pinned: true,
    },
  ] as const
  return {
    authority: 'a.test:443',
    host: 'a.test',
    port: 443,
    checked: at(day),
    environment: null,
    patterns: [],
    pins: [],
    sights: [
      verdict === 'pinned'
        ? { via: 'direct', verdict, remoteAddress: null, path }
        : {
            via: 'direct',
            verdict,
            remoteAddress: null,
            path: [],
            error: { code: 'ERR_CONNECT', message: 'x' },
          },
    ],
    forecast: null,
  }
}

test('what is told once is not told again the next day, when its message counts other days', () => {
  let memory = Memory.empty()
  const told: string[][] = []
  for (const host of [
    hostAt(0, 40),
    hostAt(10, 40),
    hostAt(11, 40),
    hostAt(12, 40, 'failed'),
    hostAt(13, 40),
    hostAt(14, 200, 'pinned', pinOf(2)),
  ]) {
    const news = memory.take([host], [], 30, new Date(host.checked))
    told.push(news.map(({ event, finding }) => `${event} ${finding?.rule ?? ''}`.trim()))
    const saved = Memory.parse(String(memory))
    expect(String(saved)).toBe(String(memory))
    memory = saved ?? memory
  }
  expect(told).toEqual([
    [],
    ['found expiring-certificate'],
    [],
    ['found failed'],
    ['resolved failed'],
    ['changed', 'resolved expiring-certificate'],
  ])
})
