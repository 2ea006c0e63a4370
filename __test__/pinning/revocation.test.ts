import { beforeAll, describe, expect, test } from 'vitest'
import { Client, type ClientOptions } from '../../src/index.js'
import {
  type Endpoint,
  type Pki,
  type RevocationList,
  type RevocationRequest,
  type Role,
  sharedKit,
  standardPki,
  startGenuine,
  startInterceptor,
  startProxy,
} from '../testkit.js'

let pki: Pki
let lists: Record<
  | 'leaf'
  | 'leafExpired'
  | 'intermediate'
  | 'other'
  | 'nobodyExpired'
  | 'foreign'
  | 'forged'
  | 'proxyLeaf',
  RevocationList
>

beforeAll(async () => {
  pki = await standardPki(sharedKit())
  const day = 86_400
  const now = Math.floor(Date.now() / 1000)
  const expired = { thisUpdate: now - 2 * day, nextUpdate: now - day }
  const list = (issuer: Role, certificates: Role[], options: Partial<RevocationRequest> = {}) =>
    sharedKit().revoke({
      issuer: pki.nameOf(issuer),
      certificates: certificates.map(pki.nameOf),
      ...options,
    })
  lists = {
    leaf: await list('a1', ['otherNameLeaf', 'leaf']),
    leafExpired: await list('a1', ['leaf'], expired),
    intermediate: await list('rootA', ['a1']),
    other: await list('a1', ['otherNameLeaf', 'a1']),
    nobodyExpired: await list('a1', [], expired),
    foreign: await list('b1', ['leaf', 'a1']),
    forged: await list('a1', [], { signer: pki.nameOf('b1') }),
    proxyLeaf: await list('a1', ['renewedLeaf']),
  }
})

/** A client of the `Pki`, by default without pins. */
function clientWith(crl: ClientOptions['crl'], options: ClientOptions = {}): Client {
  return new Client({
    ca: pki.ca,
    lookup: { [pki.hostname]: '127.0.0.1' },
    ...(crl !== undefined && { crl }),
    ...options,
  })
}

const revoked = { name: 'CertificateError', code: 'ERR_CERT_REVOKED', hostname: 'api.example.test' }

describe.each(['1.2', '1.3'] as const)('over TLS %s', (version) => {
  const started = (): Promise<Endpoint> => startGenuine({ pki, versions: [version] })

  test.each([
    ['the server, in DER', () => lists.leaf.der],
    ['the server, in PEM', () => lists.leaf.pem],
    ['the server, in one list of many', () => lists.intermediate.pem + lists.leaf.pem],
    ['the server, in the second list of its issuer', () => [lists.other.der, lists.leaf.pem]],
    ['the server, in an expired list', () => [lists.leafExpired.der]],
    ['the intermediate', () => [lists.foreign.der, lists.intermediate.der]],
  ])('nothing is sent where a list names %s', async (_name, crl) => {
    await using server = await started()
    for (const options of [{}, { pins: { [pki.hostname]: [server.leafPin] } }]) {
      await using client = clientWith(crl(), options)
      await expect(client.get(server.url)).rejects.toMatchObject(revoked)
    }
    expect(await server.applicationBytes()).toBe(0)
  })

  test.each([
    ['names others', () => lists.other.der],
    ['names others and has expired', () => lists.nobodyExpired.pem],
    ["is another issuer's", () => [lists.foreign.pem]],
    ['is none at all', () => []],
  ])('a server passes by a list that %s, and its pins hold', async (_name, crl) => {
    await using server = await started()
    await using interceptor = await startInterceptor({ of: server })
    await using client = clientWith(crl(), { pins: { [pki.hostname]: [server.leafPin] } })
    for (let round = 0; round < 3; round++) {
      const { status } = await client.get(server.url, { reuse: round !== 2 })
      expect(status).toBe(200)
    }
    await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  })

  test('a list that is not signed by whom it names is not believed', async () => {
    await using server = await started()
    await using client = clientWith(lists.forged.der)
    await expect(client.get(server.url)).rejects.toMatchObject({
      name: 'CertificateError',
      code: 'ERR_CERT_INVALID',
      message: expect.stringContaining('revocation list'),
    })
    expect(await server.applicationBytes()).toBe(0)
  })

  test('clients with other lists, and with none, share no verdict and no session', async () => {
    await using server = await started()
    await using without = clientWith(undefined)
    await using harmless = clientWith(lists.other.der)
    await using strict = clientWith(lists.leaf.der)
    for (let round = 0; round < 2; round++) {
      for (const client of [without, harmless]) {
        expect((await client.get(server.url, { reuse: false })).status).toBe(200)
      }
      await expect(strict.get(server.url)).rejects.toMatchObject(revoked)
    }
  })

  test('a swap of pins leaves the lists in force', async () => {
    await using server = await started()
    await using client = clientWith(lists.leaf.der)
    await client.setPins({ [pki.hostname]: [server.leafPin] })
    await expect(client.get(server.url)).rejects.toMatchObject(revoked)
  })
})

test('lists hold for the TLS of a proxy, and for a server behind one', async () => {
  await using server = await startGenuine({ pki })
  await using proxy = await startProxy({ kind: 'connect', pki, chain: ['renewedLeaf', 'a1'] })
  const options = { proxy: proxy.at(pki.hostname) }

  await using refusing = clientWith(lists.proxyLeaf.der, options)
  await expect(refusing.get(server.url)).rejects.toMatchObject({ code: 'ERR_CERT_REVOKED' })
  expect((await proxy.stats()).tunnels).toBe(0)

  await using strict = clientWith(lists.leaf.der, options)
  await expect(strict.get(server.url)).rejects.toMatchObject(revoked)
  expect(await server.applicationBytes()).toBe(0)

  await using client = clientWith(lists.other.der, options)
  expect((await client.get(server.url)).status).toBe(200)
})

test.each<[string, () => ClientOptions['crl'], RegExp]>([
  ['rubbish', () => [lists.leaf.der, Buffer.from('rubbish')], /crl\[1\] cannot be read/],
  ['nothing', () => '', /crl\[0\] cannot be read/],
  ['a certificate', () => pki.certificates.leaf.pem, /crl\[0\] is PEM without an X509 CRL/],
  ['a list that is cut', () => [lists.leaf.der.subarray(0, 90)], /crl\[0\] cannot be read/],
  ['PEM that is cut', () => [lists.leaf.pem.slice(0, 90)], /crl\[0\] is not valid PEM/],
])('%s is no list', (_name, crl, message) => {
  const make = (): Client => clientWith(crl())
  expect(make).toThrow(
    expect.objectContaining({ name: 'PolicyError', code: 'ERR_POLICY_INVALID_OPTION' }),
  )
  expect(make).toThrow(message)
})

test('lists and skipped verification contradict each other', () => {
  const make = (): Client => new Client({ crl: lists.leaf.der, insecureSkipVerify: true })
  expect(make).toThrow(
    expect.objectContaining({ name: 'PolicyError', code: 'ERR_POLICY_INVALID_OPTION' }),
  )
  expect(make).toThrow(/insecureSkipVerify makes .* crl meaningless/)
})
