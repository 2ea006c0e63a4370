import { Client, Policy, type PolicyError } from 'pinfetch'
import { afterEach, describe, expect, test } from 'vitest'
import { type Endpoint, startGenuine } from '../testkit.ts'

const stranger = `sha256/${Buffer.alloc(32, 0x11).toString('base64')}`
const stack: AsyncDisposable[] = []

afterEach(async () => {
  for (const used of stack.splice(0).reverse()) await used[Symbol.asyncDispose]()
})

async function start(options: Parameters<typeof startGenuine>[0] = {}, pins?: object) {
  const server = await startGenuine(options)
  const { hostname, ca, lookup, leafPin } = server
  const client = new Client({ ca, lookup, pins: { [hostname]: [leafPin], ...pins } })
  stack.push(server, client)
  return { server, client }
}

/** A request that the server holds until its answer is due, and that it has. */
async function begin(server: Endpoint, client: Client, method = 'GET') {
  const { requests } = await server.stats()
  const response = client.request(new URL('/slow/300', server.url), { method })
  response.catch(() => {}) // looked at later
  while ((await server.stats()).requests <= requests);
  return { response }
}

describe('a swap tells', () => {
  test('which patterns gained pins, lost some, or both', async () => {
    const { server, client } = await start({}, { 'lost.test': [stranger], 'both.test': [stranger] })
    const { hostname, leafPin, backupPin } = server
    const swap = await client.setPins({
      [hostname]: [leafPin, backupPin],
      'new.test': [stranger],
      'both.test': [leafPin],
    })
    const expected = {
      closedConnections: 0,
      gained: [hostname, 'new.test'].toSorted(),
      lost: ['lost.test'],
      changed: ['both.test'],
    }
    expect(JSON.parse(JSON.stringify(swap))).toEqual(expected)
    expect(swap.gained).toEqual(expected.gained)
  })

  test('nothing where nothing differs', async () => {
    const { server, client } = await start()
    const { hostname, leafPin } = server
    const { gained, lost, changed } = await client.setPins(new Map([[hostname, leafPin]]))
    expect([gained, lost, changed]).toEqual([[], [], []])
  })

  test('what it did in the order in which swaps were asked for, whatever their size', async () => {
    const { server, client } = await start()
    const { hostname, leafPin } = server
    const many = Array.from({ length: 3000 }, (_, index) => [`h${index}.test`, [stranger]] as const)
    const large = client.setPins([...many, [hostname, [leafPin]]])
    const small = client.setPins({ [hostname]: [leafPin] })
    expect((await large).gained).toHaveLength(3000)
    expect((await small).lost).toHaveLength(3000)
    expect((await client.get(server.url)).status).toBe(200)
  })
})

describe.each(['h2', 'http/1.1'] as const)('over %s, a policy that refuses connections', (alpn) => {
  test.each(['a request in flight', 'an answer a moment ago'])(
    'with %s is refused',
    async (which) => {
      const { server, client } = await start({ alpn: [alpn] })
      const { hostname, leafPin } = server
      await (await client.get(server.url)).text()
      const pending = which === 'a request in flight' ? await begin(server, client, 'POST') : null

      const error: PolicyError = await client
        .setPolicy(new Policy({ [hostname]: [stranger], 'new.test': [stranger] }))
        .catch((thrown) => thrown)
      expect(error).toMatchObject({
        name: 'PolicyError',
        code: 'ERR_POLICY_CUTS_OFF',
        cutOffs: [
          {
            hostname,
            port: server.port,
            connections: 1,
            patterns: [hostname],
            foundPins: [leafPin, expect.any(String), expect.any(String)],
            code: 'ERR_BAD_PIN',
          },
        ],
      })
      expect(error.message).toContain(`${hostname}:${server.port}`)
      // nothing has changed: the old policy is in force, and the connection goes on
      if (pending !== null) expect((await pending.response).status).toBe(200)
      expect((await client.get(server.url)).status).toBe(200)
      expect((await server.stats()).accepted).toBe(1)
      expect((await client.setPins({ [hostname]: [leafPin] })).gained).toEqual([])
    },
  )

  test('takes effect when it is forced', async () => {
    const { server, client } = await start({ alpn: [alpn] })
    const { hostname, leafPin } = server
    const pending = await begin(server, client, 'POST')
    const swap = await client.setPolicy(new Policy({ [hostname]: [stranger] }), { force: true })
    expect(swap.closedConnections).toBe(1)
    await expect(pending.response).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    // and setPins doesn't ask, unless it is told to
    await client.setPins({ [hostname]: [leafPin] })
    expect((await client.get(server.url)).status).toBe(200)
    await expect(
      client.setPins({ [hostname]: [stranger] }, { force: false }),
    ).rejects.toMatchObject({ code: 'ERR_POLICY_CUTS_OFF' })
    expect((await client.setPins({ [hostname]: [stranger] })).closedConnections).toBe(1)
  })
})

test('a host whose last connection has just ended has traffic, and is guarded', async () => {
  const { server, client } = await start({ alpn: ['http/1.1'] })
  const { hostname, leafPin, rootPin } = server
  await (await client.get(server.at('/close'))).text()
  await expect.poll(async () => (await server.stats()).open).toBe(0)
  await expect(client.setPolicy(new Policy({ [hostname]: [stranger] }))).rejects.toMatchObject({
    code: 'ERR_POLICY_CUTS_OFF',
    cutOffs: [{ hostname, connections: 0, patterns: [hostname], code: 'ERR_BAD_PIN' }],
  })
  expect((await client.setPolicy(new Policy({ [hostname]: [rootPin, leafPin] }))).gained).toEqual([
    hostname,
  ])
  expect((await client.get(server.url)).status).toBe(200)
})

test.each(['in flight', 'ended'])(
  'a request that is %s does not guard a blocked pin',
  async (which) => {
    const { server, client } = await start()
    const { hostname, leafPin, rootPin } = server
    await client.get(server.url)
    const pending = which === 'in flight' ? await begin(server, client, 'POST') : null
    // the control: without the block, the same pins are guarded
    await expect(client.setPolicy(new Policy({ [hostname]: [stranger] }))).rejects.toMatchObject({
      code: 'ERR_POLICY_CUTS_OFF',
    })
    const blocking = new Policy({ [hostname]: [leafPin] }, { blocked: [rootPin] })
    expect(await client.setPolicy(blocking)).toMatchObject({ closedConnections: 1 })
    const refused = { code: 'ERR_BAD_PIN', blockedPin: rootPin }
    if (pending !== null) await expect(pending.response).rejects.toMatchObject(refused)
    await expect(client.get(server.url)).rejects.toMatchObject(refused)
  },
)

test('a host that is refused already is not guarded: what mends it needs no force', async () => {
  const { server, client } = await start({ alpn: ['http/1.1'], tickets: false })
  const { hostname, leafPin, backupPin, pki } = server
  await (await client.get(server.at('/close'))).text()
  await server.swap({
    chain: [pki.nameOf('nextLeaf'), pki.nameOf('a1')],
    key: pki.nameOf('nextLeaf'),
  })
  await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  await client.setPolicy(new Policy({ [hostname]: [backupPin] }))
  expect((await client.get(server.url)).status).toBe(200)

  // nor is one that was cut off by force
  await client.setPolicy(new Policy({ [hostname]: [stranger] }), { force: true })
  await client.setPolicy(new Policy({ [hostname]: [leafPin] }))
  await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
})

test('a policy that leaves a host with traffic without pins cuts nobody off', async () => {
  const { server, client } = await start()
  await client.get(server.url)
  const swap = await client.setPolicy(new Policy({ 'other.test': [stranger] }))
  expect(swap).toMatchObject({ closedConnections: 0, lost: [server.hostname] })
  expect((await client.get(server.url)).tls.matchedPin).toBe(null)
})

test('where hosts must have pins, one that loses them is cut off', async () => {
  const server = await startGenuine()
  const { hostname, ca, lookup, leafPin } = server
  const client = new Client({ ca, lookup, unpinned: 'refuse', pins: { [hostname]: [leafPin] } })
  stack.push(server, client)
  await client.get(server.url)
  await expect(client.setPolicy(new Policy({}))).rejects.toMatchObject({
    code: 'ERR_POLICY_CUTS_OFF',
    cutOffs: [{ hostname, patterns: [], code: 'ERR_POLICY_UNPINNED' }],
  })
  expect((await client.get(server.url)).status).toBe(200)
})

test.each([
  ['force', { force: 'yes' }],
  ['options', true],
])('%s of the wrong type is an error that says so', async (_what, options) => {
  const { client } = await start()
  // wrong on purpose
  await expect(client.setPins({}, options as never)).rejects.toMatchObject({
    code: 'ERR_POLICY_INVALID_OPTION',
    option: 'force',
  })
})

test.each([
  ['a promise of a policy', () => Promise.resolve(new Policy({}))],
  ['a date', () => new Date()],
  ['an event target', () => new EventTarget()],
])('%s is no pins, and not taken for an empty policy', async (_what, make) => {
  const { client, server } = await start()
  const wrong = { code: 'ERR_POLICY_INVALID_OPTION', option: 'pins' }
  // wrong on purpose
  expect(() => new Client({ pins: make() as never })).toThrow(expect.objectContaining(wrong))
  expect(() => new Policy(make() as never)).toThrow(expect.objectContaining(wrong))
  await expect(client.setPins(make() as never)).rejects.toMatchObject(wrong)
  expect((await client.get(server.url)).tls.matchedPin).toBe(server.leafPin)
})
