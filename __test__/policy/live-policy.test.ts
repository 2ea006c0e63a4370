import { channel } from 'node:diagnostics_channel'
import { Client, LivePolicy, Policy, type PolicySwapEvent } from 'pinfetch'
import { afterEach, describe, expect, test } from 'vitest'
import { startGenuine, startInterceptor } from '../testkit.ts'

const stranger = `sha256/${Buffer.alloc(32, 0x11).toString('base64')}`
const stack: AsyncDisposable[] = []

afterEach(async () => {
  for (const used of stack.splice(0).reverse()) await used[Symbol.asyncDispose]()
})

async function start(clients: number, options: Parameters<typeof startGenuine>[0] = {}) {
  const server = await startGenuine(options)
  const { hostname, ca, lookup, leafPin } = server
  const live = new LivePolicy({ [hostname]: [leafPin] })
  const all = Array.from({ length: clients }, () => new Client({ ca, lookup, pins: live }))
  stack.push(server, ...all)
  return { server, live, clients: all }
}

test('a swap takes effect for every client at once, and for those that come later', async () => {
  const { server, live, clients } = await start(20)
  const { hostname, ca, lookup, leafPin, backupPin } = server
  const interceptor = await startInterceptor({ of: server })
  stack.push(interceptor)
  expect(live.clients).toBe(20)
  for (const client of clients) expect((await client.get(server.url)).status).toBe(200)

  const swap = await live.set({ [hostname]: [backupPin] }, { force: true })
  expect(swap).toMatchObject({ closedConnections: 20, changed: [hostname] })
  clients.push(new Client({ ca, lookup, pins: live }))
  for (const client of clients) {
    await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  }
  expect(await interceptor.applicationBytes()).toBe(0)
  expect(live.policy.lookup(hostname).pins).toEqual([backupPin])

  await live.set(new Policy({ [hostname]: [leafPin] }))
  for (const client of clients) expect((await client.get(server.url)).status).toBe(200)
  await clients.at(-1)?.close()
})

test('one client with traffic keeps the policy in force for all', async () => {
  const { server, live, clients } = await start(3)
  const { hostname, leafPin, rootPin } = server
  const [busy, idle] = clients
  await busy?.get(server.url)
  await expect(live.set({ [hostname]: [stranger] })).rejects.toMatchObject({
    code: 'ERR_POLICY_CUTS_OFF',
    cutOffs: [{ hostname, connections: 1 }],
  })
  expect(live.policy.lookup(hostname).pins).toEqual([leafPin])
  expect((await idle?.get(server.url))?.status).toBe(200)
  // what cuts nobody off needs no force
  expect((await live.set({ [hostname]: [rootPin] })).closedConnections).toBe(0)
  expect((await idle?.get(server.url))?.tls.matchedPin).toBe(rootPin)
  expect((await server.stats()).accepted).toBe(2)
})

test('clients that are closed leave', async () => {
  const { live, clients } = await start(3)
  await clients[0]?.close()
  await clients[1]?.close({ force: true })
  expect(live.clients).toBe(1)
})

test('what cannot be read changes nothing', async () => {
  const { server, live, clients } = await start(1)
  for (const pins of [{ 'api.test': ['nonsense'] }, undefined, live]) {
    // wrong on purpose
    await expect(live.set(pins as never)).rejects.toMatchObject({ name: 'PolicyError' })
  }
  expect((await clients[0]?.get(server.url))?.tls.matchedPin).toBe(server.leafPin)
  expect(() => new LivePolicy({ 'api.test': [] })).toThrow(
    expect.objectContaining({ code: 'ERR_POLICY_EMPTY_PIN_SET' }),
  )
})

test("a client's own pins are not set beside it", async () => {
  const { server, live, clients } = await start(1)
  for (const set of ['setPins', 'setPolicy'] as const) {
    await expect(clients[0]?.[set](new Policy({}))).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID_OPTION',
      message: expect.stringContaining('set('),
    })
  }
  expect((await clients[0]?.get(server.url))?.tls.matchedPin).toBe(server.leafPin)
  expect(() => new Client({ pins: live, insecureSkipVerify: true })).toThrow(
    expect.objectContaining({ code: 'ERR_POLICY_INSECURE' }),
  )
})

test('listeners and the channel are told of each swap', async () => {
  const { server, live } = await start(1)
  const { hostname, leafPin, backupPin } = server
  const told: unknown[] = []
  const listener = (event: PolicySwapEvent) => {
    told.push([event.type, event.swap.gained, event.policy.lookup(hostname).pins.length])
  }
  const published: unknown[] = []
  const subscriber = (message: unknown) => published.push(message)
  live.addEventListener('swap', listener)
  channel('pinfetch:policy:swap').subscribe(subscriber)
  const swap = await live.set({ [hostname]: [leafPin, backupPin] })
  channel('pinfetch:policy:swap').unsubscribe(subscriber)
  live.removeEventListener('swap', listener)
  await live.set({ [hostname]: [leafPin] })
  expect(told).toEqual([['swap', [hostname], 2]])
  expect(published).toMatchObject([{ swap, policy: expect.any(Policy) }])
})

test('once it is closed, it is not set any more, and its clients go on', async () => {
  const { server, live, clients } = await start(1)
  const { hostname, rootPin } = server
  const setting = live.set({ [hostname]: [rootPin] })
  await live.close()
  expect(live.policy.lookup(hostname).pins).toEqual([rootPin])
  await setting
  await expect(live.set({})).rejects.toMatchObject({ code: 'ERR_CLIENT_CLOSED' })
  expect((await clients[0]?.get(server.url))?.tls.matchedPin).toBe(rootPin)
})

describe.each(['h2', 'http/1.1'] as const)('over %s', (alpn) => {
  test('no request fails for swaps that accept, whenever they come', async () => {
    const { server, live, clients } = await start(8, { alpn: [alpn] })
    const { hostname, leafPin, intermediatePin, rootPin, backupPin } = server
    const policies = [[leafPin], [rootPin], [intermediatePin, backupPin], [backupPin, leafPin]]
    let isOver = false
    let answered = 0
    const load = async (client: Client, round: number) => {
      while (!isOver) {
        // some on connections of their own: handshakes are always under way
        const reuse = (answered + round) % 8 !== 0
        const method = round % 2 === 0 ? 'GET' : 'POST'
        const response = await client.request(server.url, { method, reuse })
        expect(response.status).toBe(200)
        await response.text()
        answered += 1
      }
    }
    const loads = clients.flatMap((client) =>
      Array.from({ length: 8 }, (_, at) => load(client, at)),
    )
    let swaps = 0
    for (; swaps < 400; swaps++) {
      const { closedConnections } = await live.set({ [hostname]: policies[swaps % 4] ?? [] })
      expect(closedConnections).toBe(0)
    }
    isOver = true
    await Promise.all(loads)
    expect(answered).toBeGreaterThan(64)
  })

  test('no swap under load lets a refused server through any client', async () => {
    const { server, live, clients } = await start(4, { alpn: [alpn] })
    const interceptor = await startInterceptor({ of: server })
    stack.push(interceptor)
    const { hostname, leafPin, rootPin, backupPin } = server
    const policies = [[leafPin], [backupPin], [rootPin]]
    let isOver = false
    const passed = { server: 0, interceptor: 0 }
    const load = async (client: Client, target: 'server' | 'interceptor') => {
      const { url } = target === 'server' ? server : interceptor
      while (!isOver) {
        await client.get(url).then(
          async (response) => {
            passed[target] += 1
            await response.text().catch(() => {}) // a swap may cut it
          },
          () => {},
        )
      }
    }
    const loads = clients.flatMap((client) => [load(client, 'server'), load(client, 'interceptor')])
    for (let index = 0; index < 300; index++)
      await live.set({ [hostname]: policies[index % 3] ?? [] }, { force: true })
    isOver = true
    await Promise.all(loads)
    expect(passed.interceptor).toBe(0)
    expect(await interceptor.applicationBytes()).toBe(0)
    await live.set({ [hostname]: [leafPin] }, { force: true })
    for (const client of clients) expect((await client.get(server.url)).status).toBe(200)
  })
})
