import { readdirSync } from 'node:fs'
import { Client } from 'pinfetch'
import { expect, test } from 'vitest'
import { startGenuine, startInterceptor } from '../testkit.ts'

test('10,000 refused requests leave no descriptor and no memory behind', async () => {
  await using genuine = await startGenuine()
  await using interceptor = await startInterceptor({ of: genuine })
  let calls = 0
  await using client = new Client({
    ca: genuine.ca,
    lookup: genuine.lookup,
    pins: { [genuine.hostname]: [genuine.leafPin] },
    onBadPin: () => void calls++,
  })
  const refuse = async (count: number) => {
    for (let index = 0; index < count; index++) {
      await client.get(interceptor.url).then(
        () => expect.unreachable(),
        (error: unknown) => {
          if (!(error instanceof Error && 'code' in error && error.code === 'ERR_BAD_PIN'))
            throw error
        },
      )
    }
  }
  await refuse(2000) // allocators and caches reach their working size
  const descriptors = () => readdirSync('/proc/self/fd').length
  const [openBefore, memoryBefore] = [descriptors(), process.memoryUsage.rss()]

  await refuse(8000)
  expect(calls).toBe(10_000)
  expect(descriptors()).toBeLessThanOrEqual(openBefore + 4)
  expect(process.memoryUsage.rss() - memoryBefore).toBeLessThan(64 * 1024 * 1024)
  expect(await interceptor.applicationBytes()).toBe(0)
  expect((await client.get(genuine.url)).status).toBe(200)
}, 60_000)
