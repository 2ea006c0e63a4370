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

test.each(['22', '24', '26'])(
  'the tests of the public interface hold on Node.js %s',
  async (version) => {
    const folder = await mkdtemp(join(tmpdir(), 'pinfetch-runtimes-'))
    const report = join(folder, 'report.json')
    try {
      await run(
        join(tools, `node_modules/node-${version}/bin/node`),
        [
          join(root, 'node_modules/vitest/vitest.mjs'),
          ...['run', '--project', 'tests', '--reporter=json', `--outputFile=${report}`],
          ...SUITES,
        ],
        { cwd: root, env: withoutVitest(), maxBuffer: 64 * 1024 * 1024 },
      ).catch(() => {}) // which tests failed is in the report
      const result = JSON.parse(await readFile(report, 'utf8'))
      expect(failuresOf(result)).toEqual([])
      expect(result).toMatchObject({ success: true, numPendingTests: 0 })
      expect(result.numPassedTests).toBeGreaterThan(300)
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
}): string[] {
  return report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const failed = assertionResults.filter((result) => result.status === 'failed')
    if (status === 'failed' && failed.length === 0) return [`${name}: ${message}`]
    return failed.map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages.join()}`)
  })
}
