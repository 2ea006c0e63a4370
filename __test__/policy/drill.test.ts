import { Client } from 'pinfetch'
import { describe, test } from 'vitest'
import { type Endpoint, startGenuine } from '../testkit.ts'
import { type Drill, rotate, rotateUnprepared } from './drill.ts'

function drillOf(server: Endpoint): Drill {
  const { hostname, url, ca, lookup, leafPin, backupPin, pki } = server
  return {
    hostname,
    url,
    farewell: server.at('/close'),
    methods: ['GET', 'POST'],
    currentPin: leafPin,
    nextPin: backupPin,
    client: (live) => new Client({ ca, lookup, pins: live, connections: 16 }),
    switchCertificate: () =>
      server.swap({
        chain: [pki.nameOf('nextLeaf'), pki.nameOf('a1')],
        key: pki.nameOf('nextLeaf'),
      }),
  }
}

/** As most servers do when they are given another certificate, it resumes no session of the one before. */
const start = (alpn: 'h2' | 'http/1.1') => startGenuine({ alpn: [alpn], tickets: false })

describe.each(['h2', 'http/1.1'] as const)('over %s, with 64 requests in flight', (alpn) => {
  test('a key is replaced, pin by pin, and no request fails', async () => {
    await using server = await start(alpn)
    await rotate(drillOf(server))
  })

  test('a key is replaced that was not pinned before, and no request passes', async () => {
    await using server = await start(alpn)
    await rotateUnprepared(drillOf(server))
  })
})
