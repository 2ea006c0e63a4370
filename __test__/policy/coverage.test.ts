import { Client } from 'pinfetch'
import { expect, test } from 'vitest'
import { startGenuine } from '../testkit.ts'

test('the hosts that were asked for are told, with and without pins, whatever came of it', async () => {
  await using server = await startGenuine({ names: ['api.example.test', 'b.example.test'] })
  const { ca, hostname, leafPin, port, url } = server
  const lookup = { [hostname]: '127.0.0.1', 'b.example.test': '127.0.0.1' }
  await using client = new Client({ ca, lookup, pins: { [hostname]: [leafPin] } })
  expect(client.coverage()).toEqual({ unpinned: [], pinned: [], overflow: 0 })
  const before = Date.now()
  for (let round = 0; round < 3; round++) await client.get(url)
  await client.get(url, { reuse: false })
  await client.get(`https://b.example.test:${port}/`)
  await expect(client.get(`http://${hostname}:${port}/`)).rejects.toMatchObject({
    code: 'ERR_POLICY_PLAINTEXT',
  })
  await expect(client.get('https://nowhere.example.test/')).rejects.toThrow()
  const seen = { firstSeen: expect.any(Date), lastSeen: expect.any(Date) }
  const coverage = client.coverage()
  expect(coverage).toEqual({
    pinned: [{ hostname, port, patterns: [hostname], requests: 5, ...seen }],
    unpinned: [
      { hostname: 'b.example.test', port, patterns: [], requests: 1, ...seen },
      { hostname: 'nowhere.example.test', port: 443, patterns: [], requests: 1, ...seen },
    ],
    overflow: 0,
  })
  for (const { firstSeen, lastSeen } of [...coverage.pinned, ...coverage.unpinned]) {
    expect(firstSeen.getTime()).toBeGreaterThanOrEqual(before - 1)
    expect(lastSeen.getTime()).toBeGreaterThanOrEqual(firstSeen.getTime())
    expect(lastSeen.getTime()).toBeLessThanOrEqual(Date.now() + 1)
  }
})

test('by the policy in force, and hosts that are refused for want of pins too', async () => {
  await using server = await startGenuine()
  const { ca, lookup, hostname, leafPin } = server
  await using client = new Client({ ca, lookup, unpinned: 'refuse' })
  await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_POLICY_UNPINNED' })
  expect(client.coverage()).toMatchObject({ unpinned: [{ hostname, requests: 1 }], pinned: [] })
  await client.setPins({ [hostname]: [leafPin] })
  expect(client.coverage()).toMatchObject({ unpinned: [], pinned: [{ hostname, requests: 1 }] })
})

test('no more hosts are listed than is good for memory: the others are counted together', async () => {
  await using client = new Client({ unpinned: 'refuse' })
  const all = Array.from({ length: 4100 }, (_, index) => `https://h${index}.example.test/`)
  await Promise.all(all.map((url) => client.get(url).catch(() => {})))
  const { unpinned, overflow } = client.coverage()
  expect([unpinned.length, overflow]).toEqual([4096, 4])
})
