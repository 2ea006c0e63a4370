import { Client } from 'pinfetch'
import { describe, expect, test } from 'vitest'
import { type EndpointOptions, startGenuine, startInterceptor } from '../testkit.ts'

describe.each([
  { protocol: 'h2', version: '1.2' },
  { protocol: 'h2', version: '1.3' },
  { protocol: 'http/1.1', version: '1.2' },
  { protocol: 'http/1.1', version: '1.3' },
] as const)('over $protocol and TLS $version', ({ protocol, version }) => {
  const spoken: EndpointOptions = { alpn: [protocol], versions: [version] }

  test('new pins close the connections that they refuse, and no session outlives them', async () => {
    await using genuine = await startGenuine(spoken)
    const { hostname, ca, lookup, leafPin, backupPin } = genuine
    await using client = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
    await (await client.get(genuine.url)).text()
    const before = (await genuine.stats()).applicationBytes

    expect(await client.setPins({ [hostname]: [backupPin] })).toEqual({ closedConnections: 1 })
    await expect(client.get(genuine.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    const after = await genuine.stats({ settle: 5000 })
    // HTTP/2 may say goodbye on a connection that it closes: 17 octets of GOAWAY
    expect(after.applicationBytes - before).toBeLessThanOrEqual(protocol === 'h2' ? 17 : 0)
    expect(after).toMatchObject({ settled: true, requests: 1 })

    await client.setPins({ [hostname]: [leafPin] })
    expect((await client.get(genuine.url)).status).toBe(200)
  })

  test('new pins that a live connection still satisfies leave it open', async () => {
    await using genuine = await startGenuine(spoken)
    const { hostname, ca, lookup, leafPin, backupPin } = genuine
    await using client = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
    await (await client.get(genuine.url)).text()

    const swap = await client.setPins({ [hostname]: [leafPin, backupPin] })
    await (await client.get(genuine.url)).text()
    expect(swap).toEqual({ closedConnections: 0 })
    expect((await genuine.stats()).accepted).toBe(1)
  })

  test('pins given after an unpinned request hold for its live connection', async () => {
    await using genuine = await startGenuine(spoken)
    await using interceptor = await startInterceptor({ of: genuine })
    const { hostname, ca, lookup, leafPin } = genuine
    await using client = new Client({ ca, lookup })
    await (await client.get(interceptor.url)).text()

    await client.setPins({ [hostname]: [leafPin] })
    await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    expect((await interceptor.stats({ settle: 5000 })).requests).toBe(1)
    expect((await client.get(genuine.url)).status).toBe(200)
  })

  test('two clients with opposite pins never share a verdict', async () => {
    await using genuine = await startGenuine(spoken)
    const { hostname, ca, lookup, leafPin, backupPin } = genuine
    await using right = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
    await using wrong = new Client({ ca, lookup, pins: { [hostname]: [backupPin] } })
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.allSettled(
        Array.from({ length: 20 }, (_, index) =>
          (index % 2 === 0 ? right : wrong).get(genuine.url).then((response) => response.text()),
        ),
      )
      for (const [index, answer] of answers.entries()) {
        if (index % 2 === 0) expect(answer.status).toBe('fulfilled')
        else expect(answer).toMatchObject({ reason: { code: 'ERR_BAD_PIN' } })
      }
    }
    expect((await genuine.stats()).requests).toBe(100)
  })
})
