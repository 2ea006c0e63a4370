import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serversOf } from '../packaging/program.ts'
import { type Endpoint, startGenuine, startInterceptor } from '../testkit.ts'
import { withoutVitest } from './cases.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const tools = fileURLToPath(new URL('tools', import.meta.url))

/** A test of somebody who uses the package: each file of it has modules, and often a context, of its own. */
const TEST = `
  const { hostname, ca, pin, genuine, interceptor } = JSON.parse(process.env.SERVERS)
  test('pinned', async () => {
    const client = new Client({ ca, lookup: { [hostname]: '127.0.0.1' }, pins: { [hostname]: [pin] } })
    expect((await client.get(genuine)).status).toBe(200)
    await expect(client.get(interceptor)).rejects.toBeInstanceOf(BadPinError)
    await client.close()
  })`

let genuine: Endpoint
let interceptor: Endpoint
let folder: string

beforeAll(async () => {
  genuine = await startGenuine()
  interceptor = await startInterceptor({ of: genuine })
  folder = await mkdtemp(join(tools, '.frameworks-'))
})

afterAll(() => rm(folder, { recursive: true }))

/** What a framework prints that runs the test in two files. */
async function output(program: string, args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(process.execPath, [program, ...args], {
    cwd: folder,
    timeout: 120_000,
    env: { ...withoutVitest(), NO_COLOR: '1', ...serversOf(genuine, interceptor) },
  })
  return stdout + stderr
}

test.each([
  ['one process', ['--runInBand']],
  ['processes', ['--maxWorkers=2']],
  ['threads', ['--maxWorkers=2', '--workerThreads']],
])(
  'Jest runs two files that use the package in %s',
  async (_, args) => {
    const code = `const { Client, BadPinError } = require('pinfetch')${TEST}`
    await writeFile(join(folder, 'one.test.js'), code)
    await writeFile(join(folder, 'two.test.js'), code)
    const moduleNameMapper = { '^pinfetch$': join(root, 'dist/cjs/index.js') }
    await writeFile(join(folder, 'jest.config.json'), JSON.stringify({ moduleNameMapper }))
    const jest = join(tools, 'node_modules/jest/bin/jest.js')
    const text = await output(jest, [...args, '--rootDir', folder])
    expect(text).toMatch(/^Tests: +2 passed, 2 total$/m)
    expect(text).not.toMatch(/did not exit|failed to exit/)
  },
  150_000,
)

test.each(['forks', 'threads', 'vmForks', 'vmThreads'])(
  'Vitest runs two files that use the package in its pool of %s',
  async (pool) => {
    const dist = join(root, 'dist')
    const code = `import { BadPinError, Client } from 'pinfetch'${TEST}`
    await writeFile(join(folder, 'one.spec.js'), code)
    await writeFile(join(folder, 'two.spec.js'), code)
    // as what is installed is treated: left as it is
    await writeFile(
      join(folder, 'vitest.config.mjs'),
      `export default ${JSON.stringify({
        resolve: { alias: { pinfetch: join(dist, 'esm/index.js') } },
        test: { globals: true, include: ['*.spec.js'], server: { deps: { external: [dist] } } },
      })}`,
    )
    const vitest = join(root, 'node_modules/vitest/vitest.mjs')
    const text = await output(vitest, ['run', '--root', folder, '--pool', pool])
    expect(text).toMatch(/^ +Tests +2 passed \(2\)$/m)
    expect(text).not.toMatch(/close timed out|Unhandled/)
  },
  150_000,
)
