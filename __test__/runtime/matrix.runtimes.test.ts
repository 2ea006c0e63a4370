import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { type Endpoint, startGenuine, startInterceptor } from '../testkit.ts'
import { caseNames, failureOf, withoutVitest } from './cases.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const tools = fileURLToPath(new URL('tools', import.meta.url))

const RUNTIMES: Record<string, string[]> = {
  'Node.js 20': ['node-20/bin/node'],
  'Node.js 22': ['node-22/bin/node'],
  'Node.js 24': ['node-24/bin/node'],
  'Node.js 26': ['node-26/bin/node'],
  Bun: ['bun/bin/bun'],
  Deno: ['deno/deno', 'run', '--allow-all', '--quiet'],
}

/** What does not hold in a runtime, with the reason. What holds there after all fails the run. */
const DEVIATIONS: Record<string, Record<string, string>> = {}

/** The folders whose tests use the public interface alone, and that take servers of the test kit. */
const SUITES = ['__test__/http', '__test__/pinning', '__test__/policy', '__test__/runtime']

let genuine: Endpoint
let interceptor: Endpoint

beforeAll(async () => {
  genuine = await startGenuine()
  interceptor = await startInterceptor({ of: genuine })
})

const cases = await caseNames()

describe.each(Object.keys(RUNTIMES))('%s', (runtime) => {
  test.each(cases)(
    '%s',
    async (name) => {
      const [program = '', ...args] = RUNTIMES[runtime] ?? []
      const command = [join(tools, 'node_modules', program), ...args]
      const failure = await failureOf(command, name, { genuine, interceptor })
      const reason = DEVIATIONS[runtime]?.[name]
      if (reason === undefined) expect(failure ?? 'holds').toBe('holds')
      else expect(failure, `holds, although it should not: ${reason}`).toBeDefined()
    },
    150_000,
  )
})

test('every deviation is of a case and a runtime that there are', () => {
  for (const [runtime, names] of Object.entries(DEVIATIONS)) {
    expect(RUNTIMES).toHaveProperty([runtime])
    for (const name of Object.keys(names)) expect(cases).toContain(name)
  }
})

/** Which tests of the suites do not hold in a runtime, with the reason. What holds there after all fails the run. */
const SUITE_DEVIATIONS: Record<string, Record<string, string>> = {
  Bun: {
    'over http/1.1 and TLSv1.2 a server that asks learns who the client is, and pins hold':
      'the test’s server is Bun’s, which does not tell of a client’s certificate over HTTP/1.1',
    'over http/1.1 and TLSv1.3 a server that asks learns who the client is, and pins hold':
      'the test’s server is Bun’s, which does not tell of a client’s certificate over HTTP/1.1',
    'an encrypted key is opened by its passphrase':
      'the test’s server is Bun’s, which does not tell of a client’s certificate over HTTP/1.1',
    'a proxy that asks does not learn who the client is, and the server behind it does':
      'the test’s proxy and server are Bun’s, and the tunnel between them stands still',
    ...Object.fromEntries(
      ['in the chunk', 'in a copy of its own', 'apart'].map((where) => [
        `a body ${where} is read as text, JSON, bytes, a buffer, a Blob`,
        'Bun adds a charset to the type of a Blob',
      ]),
    ),
    'iteration is the fetch standard’s: sorted, joined, each set-cookie apart':
      'the test compares with Bun’s own Headers, which iterate in another order',
    'over HTTP/2 what may pass is asked again, as often as is allowed':
      'the test’s server is Bun’s node:http2, which breaks the rules of HTTP/2',
    'a form arrives as it was, odd names and files from the disk included':
      'the test reads the form with Bun’s own parser, which keeps percent-encoded names as they are',
    'a body that cannot be sent again is not sent again':
      'the test’s server needs what its sockets receive, which node:http of Bun keeps to itself',
    'the example of the manual follows a file': 'Bun prints texts in double quotes',
    'the program of a live policy swaps for all clients, and cuts nobody off':
      'Bun prints texts in double quotes',
    'a policy that nobody holds any more stays in force where it was given':
      'the test has V8 collect garbage',
  },
  Deno: {
    'on Node, libuv’s own handle wakes JavaScript': 'Deno has no libuv',
    'what libuv wakes runs as a callback of Node’s, and the process then ends':
      'Deno has no libuv: the thread-safe function wakes it',
    'a form arrives as it was, odd names and files from the disk included':
      'the test reads the form with Deno’s own parser, which keeps percent-encoded names as they are',
    'a body that cannot be sent again is not sent again':
      'the test’s server needs what its sockets receive, which node:http of Deno keeps to itself',
    'the example of the manual verifies': 'Deno prints an uncaught error without its code',
    'the example of the manual follows a file': 'Deno prints texts in double quotes',
    'the program of a live policy swaps for all clients, and cuts nobody off':
      'Deno prints texts in double quotes',
  },
}

test.each(['Node.js 22', 'Node.js 24', 'Node.js 26', ...Object.keys(SUITE_DEVIATIONS)])(
  'the tests of the public interface hold on %s',
  async (runtime) => {
    const [program = '', ...args] = RUNTIMES[runtime] ?? []
    const deviations = SUITE_DEVIATIONS[runtime] ?? {}
    const folder = await mkdtemp(join(tmpdir(), 'pinfetch-runtimes-'))
    const report = join(folder, 'report.json')
    try {
      await run(
        join(tools, 'node_modules', program),
        [
          ...args,
          join(root, 'node_modules/vitest/vitest.mjs'),
          ...['run', '--project', 'tests', '--reporter=json', `--outputFile=${report}`],
          ...SUITES,
        ],
        { cwd: root, env: withoutVitest(), maxBuffer: 64 * 1024 * 1024 },
      ).catch(() => {}) // which tests failed is in the report
      const result = JSON.parse(await readFile(report, 'utf8'))
      const failures = failuresOf(result)
      expect(failures.filter(({ name }) => !Object.hasOwn(deviations, name))).toEqual([])
      expect(failures.map(({ name }) => name).toSorted()).toEqual(
        Object.keys(deviations).toSorted(),
      )
      expect(result.numPendingTests).toBe(0)
      expect(result.numPassedTests).toBeGreaterThan(1000)
    } finally {
      await rm(folder, { recursive: true })
    }
  },
  900_000,
)

/** The names of the tests that failed, and the files that could not be loaded, each with why. */
function failuresOf(report: {
  testResults: {
    name: string
    status: string
    message: string
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[]
  }[]
}): { name: string; why: string }[] {
  return report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const failed = assertionResults.filter((result) => result.status === 'failed')
    if (status === 'failed' && failed.length === 0) return [{ name, why: message }]
    return failed.map(({ fullName, failureMessages }) => ({
      name: fullName,
      why: failureMessages.join(),
    }))
  })
}
