import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { addonOf, nodeOf, PLATFORM_NAMES } from '../../scripts/platforms.mjs'
import { type Endpoint, startGenuine, startInterceptor } from '../testkit.ts'
import { caseNames, failureOf } from './cases.ts'

const run = promisify(execFile)
const smoke = fileURLToPath(new URL('../../scripts/smoke.mjs', import.meta.url))

/** For one case: a hundred workers under emulation take their time. */
const PATIENCE_MS = 400_000

let genuine: Endpoint
let interceptor: Endpoint

beforeAll(async () => {
  genuine = await startGenuine()
  interceptor = await startInterceptor({ of: genuine })
})

const cases = await caseNames()

describe.each(PLATFORM_NAMES)('%s', (platform) => {
  test('what a release asks of an addon before it is published holds', async () => {
    const { stdout } = await run(nodeOf(platform), [smoke, addonOf(platform)])
    const [, arch, libc] = platform.split('-')
    const processor = { arm64: 'aarch64', x64: 'x86_64' }[arch ?? '']
    expect(stdout).toContain(`for ${processor}-unknown-linux-${libc} runs on Node.js`)
  }, 60_000)

  test.each(cases)(
    '%s',
    async (name) => {
      const failure = await failureOf(
        [nodeOf(platform)],
        name,
        { genuine, interceptor },
        PATIENCE_MS,
      )
      expect(failure ?? 'holds').toBe('holds')
    },
    PATIENCE_MS + 30_000,
  )
})
