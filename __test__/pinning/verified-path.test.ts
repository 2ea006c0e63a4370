import { Client } from 'pinfetch'
import { describe, expect, test } from 'vitest'
import { type EndpointOptions, type Role, startGenuine, startInterceptor } from '../testkit.ts'

describe.each([
  { protocol: 'h2', version: '1.2' },
  { protocol: 'h2', version: '1.3' },
  { protocol: 'http/1.1', version: '1.2' },
  { protocol: 'http/1.1', version: '1.3' },
] as const)('over $protocol and TLS $version', ({ protocol, version }) => {
  const spoken: EndpointOptions = { alpn: [protocol], versions: [version] }

  test.each<{ presents: string; chain: Role[]; code: string; key?: Role; pin?: Role }>([
    {
      presents: 'the genuine leaf appended',
      chain: ['rogueLeaf', 'b1', 'leaf'],
      code: 'ERR_BAD_PIN',
    },
    {
      presents: 'the genuine intermediate appended',
      chain: ['rogueLeaf', 'b1', 'a1'],
      code: 'ERR_BAD_PIN',
      pin: 'a1',
    },
    {
      presents: 'the genuine root appended',
      chain: ['rogueLeaf', 'b1', 'rootA'],
      code: 'ERR_BAD_PIN',
      pin: 'rootA',
    },
    {
      presents: 'the genuine chain shuffled in',
      chain: ['rogueLeaf', 'rootA', 'leaf', 'b1', 'a1'],
      code: 'ERR_BAD_PIN',
    },
    {
      presents: 'the pinned intermediate’s twin, the genuine one beside it',
      chain: ['twinLeaf', 'a1', 'a1Twin'],
      code: 'ERR_BAD_PIN',
      pin: 'a1',
    },
    {
      presents: 'the twin’s expired certificate first',
      chain: ['twinLeaf', 'a1TwinExpired', 'a1', 'a1Twin'],
      code: 'ERR_BAD_PIN',
      pin: 'a1',
    },
    {
      presents: 'every certificate twice',
      chain: ['rogueLeaf', 'b1', 'b1', 'leaf', 'leaf', 'a1', 'a1'],
      code: 'ERR_BAD_PIN',
    },
    {
      presents: 'the pinned key under an untrusted authority',
      chain: ['untrustedRightKey', 'c1', 'rootC'],
      code: 'ERR_CERT_UNKNOWN_ISSUER',
    },
    { presents: 'an expired pinned leaf', chain: ['expiredLeaf', 'a1'], code: 'ERR_CERT_EXPIRED' },
    {
      presents: 'the pinned key for another name',
      chain: ['otherNameLeaf', 'a1'],
      code: 'ERR_CERT_NAME_MISMATCH',
    },
  ])('nothing is sent to a server that presents $presents', async ({ chain, code, pin }) => {
    await using genuine = await startGenuine(spoken)
    await using attacker = await startInterceptor({ of: genuine, chain })
    const events: string[] = []
    await using client = new Client({
      ca: genuine.ca,
      pins: { [genuine.hostname]: [genuine.pki.certificates[pin ?? 'leaf'].pin] },
      lookup: genuine.lookup,
      onBadPin: () => void events.push('handler'),
    })

    await expect(client.get(attacker.url)).rejects.toMatchObject({ code })
    expect(await attacker.applicationBytes()).toBe(0)
    expect(events).toHaveLength(code === 'ERR_BAD_PIN' ? 1 : 0)
    expect((await client.get(genuine.url)).status).toBe(200)
  })

  test.each<{ presents: string; chain: Role[] }>([
    { presents: 'a self-signed certificate with the pinned key', chain: ['selfSigned', 'leaf'] },
    { presents: 'a leaf that only names the authority', chain: ['forgedLeaf', 'a1', 'rootA'] },
    { presents: 'a leaf signed by the pinned leaf', chain: ['leafOfLeaf', 'leaf', 'a1'] },
  ])('no path verifies for $presents', async ({ chain }) => {
    await using genuine = await startGenuine(spoken)
    await using attacker = await startInterceptor({ of: genuine, chain })
    await using client = new Client({
      ca: genuine.ca,
      pins: { [genuine.hostname]: [genuine.leafPin] },
      lookup: genuine.lookup,
    })

    await expect(client.get(attacker.url)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_CERT_/),
    })
    expect(await attacker.applicationBytes()).toBe(0)
    expect((await client.get(genuine.url)).status).toBe(200)
  })

  test.each<{ found: string; chain: Role[]; pin: Role }>([
    { found: 'a root that the server does not send', chain: ['leaf', 'a1'], pin: 'rootA' },
    {
      found: 'a root behind a cross-sign that comes first',
      chain: ['leaf', 'a1CrossB', 'a1'],
      pin: 'rootA',
    },
    { found: 'the cross-signing root', chain: ['leaf', 'a1', 'a1CrossB'], pin: 'rootB' },
    {
      found: 'an intermediate behind its expired twin',
      chain: ['leaf', 'a1Expired', 'a1'],
      pin: 'a1',
    },
  ])('a pin is found on $found', async ({ chain, pin }) => {
    await using genuine = await startGenuine({ ...spoken, chain })
    await using interceptor = await startInterceptor({
      of: genuine,
      chain: ['untrustedLeaf', 'c1'],
    })
    await using client = new Client({
      ca: genuine.ca,
      pins: { [genuine.hostname]: [genuine.pki.certificates[pin].pin] },
      lookup: genuine.lookup,
    })

    expect((await client.get(genuine.url)).status).toBe(200)
    await expect(client.get(interceptor.url)).rejects.toMatchObject({
      code: 'ERR_CERT_UNKNOWN_ISSUER',
    })
    expect(await interceptor.applicationBytes()).toBe(0)
  })
})
