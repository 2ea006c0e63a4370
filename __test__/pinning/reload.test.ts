import { Client } from 'pinfetch'
import { expect, test } from 'vitest'
import { startGenuine, startInterceptor } from '../testkit.ts'

test.each(['h2', 'http/1.1'] as const)(
  'no reload under load over %s lets a refused server through',
  async (protocol) => {
    await using genuine = await startGenuine({ alpn: [protocol] })
    await using interceptor = await startInterceptor({ of: genuine })
    const { hostname, ca, lookup, leafPin, backupPin, rootPin } = genuine
    const policies = [
      { [hostname]: [leafPin] },
      { [hostname]: [backupPin] },
      { [hostname]: [rootPin] },
    ]
    await using client = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
    let isSwapping = true
    const passed = { genuine: 0, interceptor: 0 }
    const load = async (target: typeof genuine, kind: keyof typeof passed) => {
      while (isSwapping) {
        await client.get(target.url).then(
          async (response) => {
            passed[kind]++
            await response.text().catch(() => {}) // a swap may cut it
          },
          () => {},
        )
      }
    }
    const loads = [
      load(genuine, 'genuine'),
      load(interceptor, 'interceptor'),
      load(interceptor, 'interceptor'),
    ]
    for (let index = 0; index < 5000; index++)
      await client.setPins(policies[index % policies.length] ?? {})
    isSwapping = false
    await Promise.all(loads)

    expect(passed.interceptor).toBe(0)
    expect(await interceptor.applicationBytes()).toBe(0)
    await client.setPins({ [hostname]: [leafPin] })
    expect((await client.get(genuine.url)).status).toBe(200)
  },
)
