import { describe, expect, test, vi } from 'vitest'
import {
  BadPinError,
  type BadPinEvent,
  type BadPinHandler,
  Client,
  type ClientOptions,
  defaultBadPinHandler,
} from '../../src/index.js'
import { type Endpoint, startGenuine, startInterceptor } from '../testkit.js'

function clientOf(
  server: Endpoint,
  onBadPin: BadPinHandler | null,
  options: ClientOptions = {},
): Client {
  return new Client({
    ca: server.ca,
    lookup: server.lookup,
    pins: { [server.hostname]: [server.leafPin] },
    onBadPin,
    ...options,
  })
}

test('the handler runs before the promise rejects, and the error is the one that it was shown', async () => {
  await using server = await startGenuine()
  await using interceptor = await startInterceptor({ of: server })
  const events: BadPinEvent[] = []
  const order: string[] = []
  await using client = clientOf(server, (event) => {
    order.push('handler')
    events.push(event)
  })

  const error = await client
    .get(interceptor.url, { headers: { authorization: 'secret' } })
    .catch((thrown: unknown) => {
      order.push('rejection')
      return thrown
    })

  expect(order).toEqual(['handler', 'rejection'])
  expect(error).toBeInstanceOf(BadPinError)
  expect(events).toHaveLength(1)
  expect(events[0]?.error).toBe(error)
  expect(error).toMatchObject({
    code: 'ERR_BAD_PIN',
    hostname: server.hostname,
    port: interceptor.port,
    patterns: [server.hostname],
    expectedPins: [server.leafPin],
    foundPins: interceptor.pathPins,
    remoteAddress: `127.0.0.1:${interceptor.port}`,
  })
  expect(events[0]?.verifiedPath.map(({ pin }) => pin)).toEqual(interceptor.pathPins)
  expect(events[0]?.presentedChain).toHaveLength(2)
  expect(events[0]?.request.headers.get('authorization')).toBe('[redacted]')
  expect(await interceptor.applicationBytes()).toBe(0)
  expect((await client.get(server.url)).tls.matchedPin).toBe(server.leafPin) // the control
})

test('each refused request has the handler called once, however many wait for one connection', async () => {
  await using server = await startGenuine()
  await using interceptor = await startInterceptor({ of: server })
  const paths: string[] = []
  await using client = clientOf(server, ({ request }) => {
    paths.push(new URL(request.url).pathname)
  })
  const wanted = Array.from({ length: 64 }, (_, index) => `/${index}`)

  const outcomes = await Promise.allSettled(wanted.map((path) => client.get(interceptor.at(path))))
  expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true)
  expect(paths.toSorted()).toEqual(wanted.toSorted())

  paths.length = 0
  let refused = 0
  for await (const { error } of client.fetchAll(wanted.map((path) => interceptor.at(path)))) {
    expect(error).toMatchObject({ code: 'ERR_BAD_PIN' })
    refused += 1
  }
  expect(refused).toBe(64)
  expect(paths.toSorted()).toEqual(wanted.toSorted())
  expect(await interceptor.applicationBytes()).toBe(0)
  expect((await client.get(server.url)).status).toBe(200)
})

describe('whatever a handler does, the error is delivered, once and unchanged', () => {
  const warnings = () => {
    const seen: Error[] = []
    const listener = (warning: Error) => seen.push(warning)
    process.on('warning', listener)
    return {
      seen,
      [Symbol.dispose]() {
        process.off('warning', listener)
      },
    }
  }

  test.each<[string, BadPinHandler, number]>([
    [
      'throws',
      () => {
        throw new Error('handler broke')
      },
      1,
    ],
    ['rejects', () => Promise.reject(new Error('handler broke')), 1],
    ['never settles', () => new Promise(() => {}), 0],
    ['answers something', (() => 'accept') as never, 0],
    ['answers true later', (async () => true) as never, 0],
  ])('it %s', async (_what, handler, expected) => {
    await using server = await startGenuine()
    await using interceptor = await startInterceptor({ of: server })
    using warned = warnings()
    let calls = 0
    await using client = clientOf(server, (event) => {
      calls += 1
      return handler(event)
    })
    await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    await new Promise((resolve) => setImmediate(resolve))
    expect(calls).toBe(1)
    expect(warned.seen.filter(({ name }) => name === 'PinfetchWarning')).toHaveLength(expected)
    expect(await interceptor.applicationBytes()).toBe(0)
    expect((await client.get(server.url)).status).toBe(200)
  })

  test('it uses the client: requests, swaps pins, closes it', async () => {
    await using server = await startGenuine()
    await using interceptor = await startInterceptor({ of: server })
    const inner: Promise<unknown>[] = []
    const client = clientOf(server, () => {
      if (inner.length === 0) {
        inner.push(
          client.get(server.url),
          client.setPins({ [server.hostname]: [server.leafPin, server.rootPin] }),
        )
      } else {
        inner.push(client.close())
      }
    })
    await Promise.all(
      [1, 2].map((path) =>
        expect(client.get(interceptor.at(`/${path}`))).rejects.toMatchObject({
          code: 'ERR_BAD_PIN',
        }),
      ),
    )
    const outcomes = await Promise.allSettled(inner)
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled'])
    expect(outcomes[0]).toMatchObject({ value: { status: 200 } })
  })

  test('it closes the client by force', async () => {
    await using server = await startGenuine()
    await using interceptor = await startInterceptor({ of: server })
    const client = clientOf(server, () => {
      void client.close({ force: true })
    })
    const outcomes = await Promise.allSettled([
      client.get(server.at('/slow/20000')),
      client.get(interceptor.url),
    ])
    expect(outcomes).toMatchObject([
      { reason: { code: 'ERR_CLIENT_CLOSED' } },
      { reason: { code: 'ERR_BAD_PIN' } },
    ])
  })
})

test('other failures call no handler', async () => {
  await using server = await startGenuine()
  await using stranger = await startInterceptor({ of: server, chain: ['untrustedLeaf', 'c1'] })
  let calls = 0
  await using client = clientOf(server, () => {
    calls += 1
  })
  await expect(client.get(stranger.url)).rejects.toMatchObject({ code: 'ERR_CERT_UNKNOWN_ISSUER' })
  await expect(client.get(server.url.replace('https:', 'http:'))).rejects.toMatchObject({
    code: 'ERR_POLICY_PLAINTEXT',
  })
  expect(calls).toBe(0)
})

test('the default handler prints one line', () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {})
  try {
    defaultBadPinHandler()
    expect(log.mock.calls).toEqual([['this is the default bad pin handler']])
  } finally {
    log.mockRestore()
  }
})
