import { type BadPinHandler, Client } from 'pinfetch'
import { describe, expect, test } from 'vitest'
import { startGenuine, startInterceptor } from '../testkit.ts'

describe.each(['h2', 'http/1.1'] as const)('over %s', (protocol) => {
  test.each([1, 64])(
    'the handler runs before the rejection, once for each of %d requests',
    async (count) => {
      await using genuine = await startGenuine({ alpn: [protocol] })
      await using interceptor = await startInterceptor({ of: genuine })
      const events: string[] = []
      await using client = new Client({
        ca: genuine.ca,
        lookup: genuine.lookup,
        pins: { [genuine.hostname]: [genuine.leafPin] },
        onBadPin: () => void events.push('handler'),
      })

      const message = `bad ssl pin detected, found pins: [${interceptor.pathPins.map((pin) => pin.slice(7)).join(' ')}]`
      await Promise.all(
        Array.from({ length: count }, () =>
          client.get(interceptor.url).catch((error: Error) => {
            expect(error).toMatchObject({ code: 'ERR_BAD_PIN', message })
            events.push('rejection')
          }),
        ),
      )
      expect(events.filter((event) => event === 'handler')).toHaveLength(count)
      expect(events.filter((event) => event === 'rejection')).toHaveLength(count)
      let ahead = 0 // no rejection before a handler's call of its own
      for (const event of events) {
        ahead += event === 'handler' ? 1 : -1
        expect(ahead).toBeGreaterThanOrEqual(0)
      }
      expect(await interceptor.applicationBytes()).toBe(0)
      expect((await client.get(genuine.url)).status).toBe(200)
    },
  )

  test.each<[string, BadPinHandler | null]>([
    ['never settles', () => new Promise<void>(() => {})],
    ['does not exist', null],
  ])('a request is refused in time when its handler %s', async (_case, onBadPin) => {
    await using genuine = await startGenuine({ alpn: [protocol] })
    await using interceptor = await startInterceptor({ of: genuine })
    await using client = new Client({
      ca: genuine.ca,
      lookup: genuine.lookup,
      pins: { [genuine.hostname]: [genuine.leafPin] },
      onBadPin,
    })

    await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    expect(await interceptor.applicationBytes()).toBe(0)
    expect((await client.get(genuine.url)).status).toBe(200)
  })

  test('a request has a handler of its own, or none, in the place of its client’s', async () => {
    await using genuine = await startGenuine({ alpn: [protocol] })
    await using interceptor = await startInterceptor({ of: genuine })
    const told: string[] = []
    await using client = new Client({
      ca: genuine.ca,
      lookup: genuine.lookup,
      pins: { [genuine.hostname]: [genuine.leafPin] },
      onBadPin: () => void told.push('client'),
    })
    const own: BadPinHandler = ({ request }) => void told.push(request.method)

    for (const [onBadPin, who] of [
      [own, ['GET']],
      [null, []],
      [undefined, ['client']],
    ] as const) {
      await expect(client.get(interceptor.url, { onBadPin })).rejects.toMatchObject({
        code: 'ERR_BAD_PIN',
      })
      expect(told.splice(0)).toEqual(who)
    }
    expect(await interceptor.applicationBytes()).toBe(0)
    expect((await client.get(genuine.url, { onBadPin: own })).status).toBe(200)
    expect(told).toEqual([])
  })
})
