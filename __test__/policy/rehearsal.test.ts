import { Client, LivePolicy, Policy } from 'pinfetch'
import { afterEach, describe, expect, test } from 'vitest'
import { startGenuine } from '../testkit.ts'

const stranger = `sha256/${Buffer.alloc(32, 0x11).toString('base64')}`
const stack: AsyncDisposable[] = []

afterEach(async () => {
  for (const used of stack.splice(0).reverse()) await used[Symbol.asyncDispose]()
})

async function start(options: Parameters<typeof startGenuine>[0] = {}) {
  const server = await startGenuine(options)
  const { hostname, ca, lookup, leafPin } = server
  const client = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
  stack.push(server, client)
  return { server, client }
}

describe.each(['h2', 'http/1.1'] as const)('over %s', (alpn) => {
  test('connections are judged at once, and as they come, and nothing is enforced', async () => {
    const { server, client } = await start({ alpn: [alpn] })
    const { hostname, port, leafPin, rootPin, pathPins } = server
    await client.get(server.url)
    const good = client.rehearse({ [hostname]: [rootPin] })
    const bad = client.rehearse({ [hostname]: [stranger] })
    for (const reuse of [true, false]) await client.get(server.url, { reuse })
    const host = { hostname, port, connections: 2, wouldReconnect: 0, refusal: null }
    expect(good.report()).toEqual({
      isSafe: true,
      since: expect.any(Date),
      connections: 2,
      overflow: 0,
      hosts: [
        {
          ...host,
          wouldPass: 2,
          wouldFail: 0,
          becomesUnpinned: false,
          patterns: [hostname],
          foundPins: pathPins,
        },
      ],
    })
    expect(bad.report()).toMatchObject({
      isSafe: false,
      hosts: [{ ...host, wouldPass: 0, wouldFail: 2, foundPins: pathPins }],
    })
    expect((await client.get(server.url)).tls.matchedPin).toBe(leafPin)
    // what comes after its end is not its affair
    const last = good.end()
    await client.get(server.url, { reuse: false })
    expect(good.report()).toEqual(last)
    expect(bad.report().connections).toBe(3)
  })

  test('resumed connections are judged, too', async () => {
    const { server, client } = await start({ alpn: [alpn] })
    const { hostname } = server
    await client.get(server.url)
    const rehearsal = client.rehearse({ [hostname]: [stranger] })
    let judged = 1
    const resumed = async () => {
      await server.kick()
      judged += 1
      return (await client.get(server.url)).tls.resumed
    }
    await expect.poll(resumed).toBe(true)
    expect(rehearsal.report().hosts).toMatchObject([{ connections: judged, wouldFail: judged }])
  })

  test('where another path of the same chain is pinned, the server would be accepted again', async () => {
    const { server, client } = await start({ alpn: [alpn], chain: ['leaf', 'a1', 'a1CrossB'] })
    const { hostname, leafPin, pki } = server
    const { rootA, rootB } = pki.certificates
    await client.setPins({ [hostname]: [rootA.pin] })
    await client.get(server.url)
    const rehearsal = client.rehearse({ [hostname]: [rootB.pin] })
    expect(rehearsal.report()).toMatchObject({
      isSafe: true,
      hosts: [{ connections: 1, wouldPass: 0, wouldReconnect: 1, wouldFail: 0 }],
    })
    // and so it is
    const swap = await client.setPins({ [hostname]: [rootB.pin] })
    expect(swap.closedConnections).toBe(1)
    expect((await client.get(server.url)).tls.matchedPin).toBe(rootB.pin)
    // while the key of the server alone has but one path
    expect(client.rehearse({ [hostname]: [leafPin] }).report().hosts).toMatchObject([
      { wouldPass: 1 },
    ])
  })
})

test('a host that would lose its pins is told, and does not make the policy unsafe', async () => {
  const { server, client } = await start()
  await client.get(server.url)
  expect(client.rehearse({ 'other.test': [stranger] }).report()).toMatchObject({
    isSafe: true,
    hosts: [{ hostname: server.hostname, wouldPass: 1, becomesUnpinned: true, patterns: [] }],
  })
})

test('a host that would have to have pins and hasn’t, or has them over http:, would be refused', async () => {
  const server = await startGenuine()
  const plain = await startGenuine({ behaviour: 'plain', pki: server.pki })
  stack.push(server, plain)
  const { hostname, ca, lookup, leafPin } = server
  const strict = new Client({ ca, lookup, unpinned: 'refuse', pins: { [hostname]: [leafPin] } })
  const open = new Client({ ca, lookup })
  stack.push(strict, open)
  await strict.get(server.url)
  expect(strict.rehearse({}).report()).toMatchObject({
    isSafe: false,
    hosts: [{ refusal: 'ERR_POLICY_UNPINNED', becomesUnpinned: true, wouldPass: 0, wouldFail: 0 }],
  })
  await open.get(`http://${hostname}:${plain.port}/`)
  expect(open.rehearse({ [hostname]: [leafPin] }).report()).toMatchObject({
    isSafe: false,
    hosts: [{ refusal: 'ERR_POLICY_PLAINTEXT', becomesUnpinned: false, foundPins: [] }],
  })
})

test('what else a policy can say is rehearsed, too', async () => {
  const { server, client } = await start()
  const { hostname, leafPin, intermediatePin } = server
  await client.get(server.url)
  const judge = (policy: Policy) => client.rehearse(policy).report()
  const blocked = new Policy({ [hostname]: [leafPin] }, { blocked: [intermediatePin] })
  expect(judge(blocked)).toMatchObject({ isSafe: false, hosts: [{ wouldFail: 1 }] })
  const rootOnly = new Policy({ [hostname]: { pins: [leafPin], require: ['root'] } })
  expect(judge(rootOnly)).toMatchObject({ isSafe: false, hosts: [{ wouldFail: 1 }] })
  const reporting = new Policy({ [hostname]: { pins: [stranger], mode: 'report' } })
  expect(judge(reporting)).toMatchObject({ isSafe: true, hosts: [{ wouldPass: 1 }] })
  const ended = new Policy({
    [hostname]: { pins: [leafPin], expires: { at: '2020-01-01', then: 'refuse' } },
  })
  expect(judge(ended)).toMatchObject({ isSafe: false, hosts: [{ refusal: 'ERR_POLICY_EXPIRED' }] })
})

test('without traffic nothing is known to be safe', async () => {
  const { server, client } = await start()
  const rehearsal = client.rehearse({ [server.hostname]: [server.leafPin] })
  expect(rehearsal.report()).toMatchObject({ isSafe: false, connections: 0, hosts: [] })
  await client.get(server.url)
  expect(rehearsal.report().isSafe).toBe(true)
})

test('on a live policy, every client rehearses, those that come later included', async () => {
  const server = await startGenuine()
  stack.push(server)
  const { hostname, ca, lookup, leafPin } = server
  const live = new LivePolicy({ [hostname]: [leafPin] })
  const make = () => {
    const client = new Client({ ca, lookup, pins: live })
    stack.push(client)
    return client
  }
  await make().get(server.url)
  const rehearsal = live.rehearse({ [hostname]: [stranger] })
  await make().get(server.url)
  expect(rehearsal.report()).toMatchObject({ connections: 2, hosts: [{ wouldFail: 2 }] })
  rehearsal.end()
  await make().get(server.url)
  expect(rehearsal.report().connections).toBe(2)
})

test('a policy that cannot be read is an error, and so is one on a client that skips verification', async () => {
  const { client } = await start()
  expect(() => client.rehearse({ 'a.test': ['nonsense'] })).toThrow(
    expect.objectContaining({ code: 'ERR_POLICY_INVALID_PIN' }),
  )
  await using open = new Client({ insecureSkipVerify: true })
  expect(() => open.rehearse({ 'a.test': [stranger] })).toThrow(
    expect.objectContaining({ code: 'ERR_POLICY_INSECURE' }),
  )
})
