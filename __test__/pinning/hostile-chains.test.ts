import { Client } from 'pinfetch'
import { describe, expect, test } from 'vitest'
import { type Role, startGenuine, startInterceptor } from '../testkit.ts'

describe.each(['1.2', '1.3'] as const)('over TLS %s', (version) => {
  test.each<{ what: string; chain: (Role | { der: Buffer })[]; code: string }>([
    {
      what: 'a hundred certificates',
      chain: ['rogueLeaf', ...Array<Role>(100).fill('a1'), 'b1'],
      code: 'ERR_BAD_PIN',
    },
    { what: 'no certificate', chain: [], code: 'ERR_TLS_NO_CERTIFICATE' },
    {
      what: 'garbage',
      chain: [{ der: Buffer.from('no certificate at all') }, 'leaf', 'a1'],
      code: 'ERR_CERT_BAD_ENCODING',
    },
    {
      what: 'garbage between',
      chain: ['rogueLeaf', { der: Buffer.alloc(64, 0xff) }, 'leaf'],
      code: 'ERR_CERT_BAD_ENCODING',
    },
  ])('nothing is sent to a server that presents $what', async ({ chain, code }) => {
    await using genuine = await startGenuine({ versions: [version] })
    await using attacker = await startInterceptor({ of: genuine, chain, key: 'rogueLeaf' })
    await using client = new Client({
      ca: genuine.ca,
      lookup: genuine.lookup,
      pins: { [genuine.hostname]: [genuine.leafPin] },
    })

    await expect(client.get(attacker.url)).rejects.toMatchObject({ code })
    expect(await attacker.applicationBytes()).toBe(0)
    expect((await client.get(genuine.url)).status).toBe(200)
  })
})

test.each<{ what: string; chain: Role[]; code: string; words: string }>([
  {
    what: "an authority's certificate as its own",
    chain: ['a1'],
    code: 'ERR_CERT_INVALID_PURPOSE',
    words: "the server's own is a certificate authority's (CA:TRUE)",
  },
  {
    what: 'a certificate that another server issued',
    chain: ['leafOfLeaf', 'leaf', 'a1'],
    code: 'ERR_CERT_INVALID_PURPOSE',
    words: "one that is not a certificate authority's has issued another",
  },
  {
    what: 'a certificate with a signature that is not its issuer’s',
    chain: ['forgedLeaf', 'a1'],
    code: 'ERR_CERT_BAD_SIGNATURE',
    words: 'it was not made by the key of the issuer',
  },
])('the message says in words what is wrong with $what', async ({ chain, code, words }) => {
  await using genuine = await startGenuine()
  const key = chain[0] as Role
  await using server = await startInterceptor({ of: genuine, chain, key })
  await using client = new Client({ ca: genuine.ca, lookup: genuine.lookup })

  const message = expect.stringContaining(words)
  await expect(client.get(server.url)).rejects.toMatchObject({ code, message })
})

test.each(['ed25519', 'p384'] as const)('pins hold for keys of the type %s', async (keyType) => {
  await using genuine = await startGenuine({ keyType })
  await using interceptor = await startInterceptor({ of: genuine })
  const pins = { [genuine.hostname]: [genuine.leafPin] }
  await using client = new Client({ ca: genuine.ca, lookup: genuine.lookup, pins })

  await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  expect(await interceptor.applicationBytes()).toBe(0)
  expect((await client.get(genuine.url)).status).toBe(200)
})
