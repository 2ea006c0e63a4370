import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  Client,
  describeInputs,
  type PinsInput,
  Policy,
  policyLookup,
  type VerifyChainRequest,
  verifyChain,
  versions,
} from '../../src/index.js'
import {
  type Pki,
  type Role,
  sharedKit,
  standardPki,
  startGenuine,
  startInterceptor,
} from '../testkit.js'

const pinA = `sha256/${Buffer.alloc(32, 0x11).toString('base64')}`
const pinB = `sha256/${Buffer.alloc(32, 0x22).toString('base64')}`

let pki: Pki

beforeAll(async () => {
  pki = await standardPki(sharedKit())
})

test('a policy that nobody holds any more stays in force where it was given', async () => {
  const { hostname, ca, certificates } = pki
  await using server = await startGenuine({ pki })
  await using right = new Client({ ca, lookup: { [hostname]: '127.0.0.1' }, pins: {} })
  await using wrong = new Client({
    ca,
    lookup: { [hostname]: '127.0.0.1' },
    pins: new Policy({ [hostname]: [pinA] }),
  })
  const swap = right.setPolicy(new Policy({ [hostname]: [certificates.leaf.pin] }))
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let turn = 0; turn < 5; turn++) {
    collect()
    await setImmediate() // finalizers run after the turn
  }
  await swap
  const response = await right.get(server.url)
  expect(response.tls?.matchedPin).toBe(certificates.leaf.pin)
  await expect(wrong.get(server.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
})

describe('policyLookup', () => {
  const pins: PinsInput = {
    'api.example.test': [pinA],
    '**.example.test': { pins: [pinB] },
    'open.example.test': { exclude: true },
    '**.own.example.test': { pins: [pinA], exclude: true },
  }

  test.each([
    ['api.example.test', ['**.example.test', 'api.example.test'], [pinA, pinB]],
    ['API.Example.Test.', ['**.example.test', 'api.example.test'], [pinA, pinB]],
    ['api.example.test:8443', ['**.example.test', 'api.example.test'], [pinA, pinB]],
    ['example.test', ['**.example.test'], [pinB]],
    ['open.example.test', [], []],
    ['own.example.test', ['**.own.example.test'], [pinA]],
    ['a.b.own.example.test', ['**.own.example.test'], [pinA]],
    ['elsewhere.test', [], []],
  ])('%s', (authority, patterns, inForce) => {
    for (const policy of [pins, new Policy(pins), new Map(Object.entries(pins))]) {
      const found = policyLookup(policy, authority)
      expect(found.patterns.toSorted()).toEqual(patterns)
      expect(found.pins.toSorted()).toEqual(inForce)
    }
  })

  test('a bad policy is a PolicyError that names the place', () => {
    for (const read of [
      () => policyLookup({ 'api.example.test': [pinA, 'sha256/AAAA'] }, 'example.test'),
      () => new Policy({ 'api.example.test': [pinA, 'sha256/AAAA'] }),
      () => new Client({ pins: { 'api.example.test': [pinA, 'sha256/AAAA'] } }),
    ]) {
      expect(read).toThrow(
        expect.objectContaining({
          name: 'PolicyError',
          code: 'ERR_POLICY_INVALID_PIN',
          pattern: 'api.example.test',
          index: 1,
          input: 'sha256/AAAA',
        }),
      )
    }
  })

  test.each(['', 'https://example.test/', 'a b', 'example.test:0', 'example.test:99999'])(
    'the host %j is a TypeError',
    (authority) => {
      expect(() => policyLookup(pins, authority)).toThrow(TypeError)
    },
  )
})

describe('verifyChain', () => {
  const request = (chain: Role[], more: Partial<VerifyChainRequest> = {}): VerifyChainRequest => ({
    chain: chain.map((role) => pki.certificates[role].der),
    trustAnchors: [pki.certificates.rootA.der, pki.certificates.rootB.der],
    hostname: pki.hostname,
    ...more,
  })

  test('a chain that verifies tells its path, and the pin that matched', () => {
    const path = pki.pathPins('leaf')
    expect(verifyChain(request(['leaf', 'a1']))).toEqual({ ok: true, path })
    for (const pin of path) {
      expect(verifyChain(request(['leaf', 'a1'], { pins: [pin] }))).toEqual({
        ok: true,
        path,
        matchedPin: pin,
      })
    }
    const certificate = pki.certificates.a1.pem
    expect(verifyChain(request(['leaf', 'a1'], { pins: [{ certificate }] }))).toMatchObject({
      ok: true,
    })
  })

  test('a path that only the pins refuse is a bad pin, whatever was appended', () => {
    const pins = [pki.certificates.leaf.pin]
    const path = pki.pathPins('rogueLeaf')
    expect(verifyChain(request(['rogueLeaf', 'b1', 'leaf', 'a1'], { pins }))).toEqual({
      ok: false,
      code: 'ERR_BAD_PIN',
      found: path,
      path,
    })
  })

  test('a chain that does not verify tells why', () => {
    const pins = [pki.certificates.leaf.pin]
    for (const [chain, more, code] of [
      [['untrustedLeaf', 'c1'], {}, 'ERR_CERT_UNKNOWN_ISSUER'],
      [['expiredLeaf', 'a1'], { pins }, 'ERR_CERT_EXPIRED'],
      [['otherNameLeaf', 'a1'], { pins }, 'ERR_CERT_NAME_MISMATCH'],
      [['leaf', 'a1'], { time: 0 }, 'ERR_CERT_NOT_YET_VALID'],
    ] as [Role[], object, string][]) {
      expect(verifyChain(request(chain, more)), code).toMatchObject({ ok: false, code, found: [] })
    }
  })

  test('a request of the wrong shape throws', () => {
    for (const wrong of [
      null,
      { ...request(['leaf']), chain: 'leaf' },
      { ...request(['leaf']), chain: ['leaf'] },
      { ...request(['leaf']), hostname: 7 },
      { ...request(['leaf']), hostname: 'https://x/' },
      { ...request(['leaf']), time: Number.NaN },
      { ...request(['leaf']), trustAnchor: [] },
    ]) {
      expect(() => verifyChain(wrong as never)).toThrow(TypeError)
    }
    expect(() => verifyChain(request(['leaf'], { trustAnchors: [] }))).toThrow(
      expect.objectContaining({ code: 'ERR_POLICY_INVALID_CA' }),
    )
    expect(() => verifyChain(request(['leaf'], { pins: ['nonsense'] }))).toThrow(
      expect.objectContaining({ code: 'ERR_POLICY_INVALID_PIN' }),
    )
  })
})

test('describeInputs tells the keys of a file', () => {
  const { leaf, a1 } = pki.certificates
  expect(describeInputs(Buffer.from(leaf.pem + a1.pem), 'chain.pem')).toMatchObject([
    { pin: leaf.pin, what: 'certificate' },
    { pin: a1.pin, what: 'certificate' },
  ])
  expect(describeInputs(Buffer.from(leaf.keyPem), 'key.pem')).toMatchObject([
    { pin: leaf.pin, what: 'private key' },
  ])
  expect(describeInputs(Buffer.from(leaf.spkiPem), 'key.pub')).toMatchObject([
    { pin: leaf.pin, what: 'public key' },
  ])
  expect(() => describeInputs(Buffer.from('nothing'), 'empty.pem')).toThrow(/empty\.pem/)
})

test('versions are told', () => {
  expect(versions()).toMatchObject({ pinfetch: expect.stringMatching(/^\d+\.\d+\.\d+/) })
})

test('new pins are in force when the swap resolves: live connections that they refuse are closed, others stay', async () => {
  await using server = await startGenuine()
  await using client = new Client({
    ca: server.ca,
    lookup: server.lookup,
    pins: { [server.hostname]: [server.leafPin] },
  })
  await client.get(server.url)
  expect(await client.setPins({ [server.hostname]: [server.rootPin] })).toEqual({
    closedConnections: 0,
  })
  expect((await client.get(server.url)).status).toBe(200)
  expect(await server.stats()).toMatchObject({ accepted: 1 })
  const refusing = new Policy({ [server.hostname]: [pinA] })
  expect(await client.setPolicy(refusing, { force: true })).toEqual({ closedConnections: 1 })
  await expect(client.get(server.url)).rejects.toMatchObject({
    code: 'ERR_BAD_PIN',
    expectedPins: [pinA],
  })
  await expect(client.setPins({ [server.hostname]: ['nonsense'] })).rejects.toMatchObject({
    code: 'ERR_POLICY_INVALID_PIN',
  })
  await expect(client.setPins(undefined as never)).rejects.toMatchObject({
    code: 'ERR_POLICY_INVALID_OPTION',
  })
  await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' }) // what failed changed nothing
  await client.setPins({ [server.hostname]: [server.backupPin, server.intermediatePin] })
  expect((await client.get(server.url)).status).toBe(200)
})

test('pins together with skipped verification are refused, at construction', () => {
  expect(
    () => new Client({ insecureSkipVerify: true, pins: { 'api.example.test': [pinA] } }),
  ).toThrow(expect.objectContaining({ code: 'ERR_POLICY_INSECURE' }))
})

test('hosts without pins can be refused', async () => {
  await using server = await startGenuine()
  await using client = new Client({ ca: server.ca, lookup: server.lookup, unpinned: 'refuse' })
  await expect(client.get(server.url)).rejects.toMatchObject({
    code: 'ERR_POLICY_UNPINNED',
    hostname: server.hostname,
    port: server.port,
  })
  expect(await server.stats()).toMatchObject({ accepted: 0 })
  await client.setPins({ [server.hostname]: [server.leafPin] })
  expect((await client.get(server.url)).status).toBe(200)
})

test('two clients with opposite pins share an engine and nothing else', async () => {
  await using server = await startGenuine()
  await using interceptor = await startInterceptor({ of: server })
  const options = { ca: server.ca, lookup: server.lookup }
  await using one = new Client({ ...options, pins: { [server.hostname]: [server.leafPin] } })
  await using two = new Client({
    ...options,
    pins: { [server.hostname]: interceptor.pathPins.slice(0, 1) },
  })
  const outcomes = await Promise.all(
    Array.from({ length: 1000 }, async (_, index) => {
      const [client, endpoint] = [index % 2 ? one : two, index % 4 < 2 ? server : interceptor]
      const isRight = (client === one) === (endpoint === server)
      const outcome = await client.get(endpoint.url).then(
        ({ status }) => status,
        ({ code }) => code,
      )
      return outcome === (isRight ? 200 : 'ERR_BAD_PIN')
    }),
  )
  expect(outcomes.every(Boolean)).toBe(true)
})
