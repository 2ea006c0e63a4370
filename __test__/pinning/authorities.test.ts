import { Client } from 'pinfetch'
import { describe, expect, test } from 'vitest'
import { type Kit, startGenuine, startKit } from '../testkit.ts'

/** A hundred authorities of one name that certify each other, under a root of the attacker's. */
async function meshOf(kit: Kit, count: number) {
  await kit.issue([{ name: 'evil-root', subject: 'Evil Root', ca: true }])
  const names = Array.from({ length: count }, (_, index) => `mesh${index}`)
  for (const [index, name] of names.entries()) {
    const issuer = index === 0 ? 'evil-root' : `mesh${index - 1}`
    await kit.issue([{ name, subject: 'Mesh', ca: true, issuer }])
  }
  return names
}

describe.each([
  { protocol: 'h2', version: '1.2' },
  { protocol: 'http/1.1', version: '1.3' },
] as const)('over $protocol and TLS $version', ({ protocol, version }) => {
  test('a mesh of a hundred authorities of one name ends in an error, and soon', async () => {
    await using kit = await startKit()
    const spoken = { alpn: [protocol], versions: [version] } as const
    await using genuine = await startGenuine({ kit, ...spoken })
    const names = await meshOf(kit, 100)
    const issuer = names.at(-1) ?? ''
    await kit.issue([{ name: 'mesh-leaf', issuer, names: [genuine.hostname] }])
    await using attacker = await kit.serve({
      ...spoken,
      chain: ['mesh-leaf', ...names.toReversed(), 'evil-root'],
      key: 'mesh-leaf',
    })
    await using client = new Client({
      ca: genuine.ca,
      lookup: genuine.lookup,
      pins: { [genuine.hostname]: [genuine.leafPin] },
      timeout: 20_000,
    })
    await expect(client.get(`https://${genuine.hostname}:${attacker.port}/`)).rejects.toMatchObject(
      { code: expect.stringMatching(/^ERR_CERT_(UNKNOWN_ISSUER|TOO_COMPLEX)$/) },
    )
    expect(await attacker.applicationBytes()).toBe(0)
    expect((await client.get(genuine.url)).status).toBe(200)
  })

  test('pins hold for RSA keys', async () => {
    await using kit = await startKit()
    const names = ['api.example.test']
    const { root, leaf, other } = await kit.issue([
      { name: 'root', subject: 'RSA Root', ca: true, keyType: 'rsa2048' },
      { name: 'leaf', issuer: 'root', names, keyType: 'rsa2048' },
      { name: 'other', subject: 'Other Root', ca: true, keyType: 'rsa2048' },
      { name: 'rogue', issuer: 'other', names, keyType: 'rsa2048' },
    ])
    const spoken = { alpn: [protocol], versions: [version] } as const
    await using genuine = await kit.serve({ ...spoken, chain: ['leaf'], key: 'leaf' })
    await using interceptor = await kit.serve({
      ...spoken,
      chain: ['rogue', 'leaf', 'root'],
      key: 'rogue',
    })
    for (const pin of [leaf.pin, root.pin]) {
      await using client = new Client({
        ca: root.pem + other.pem,
        lookup: { 'api.example.test': '127.0.0.1' },
        pins: { 'api.example.test': [pin] },
      })
      const get = (port: number) => client.get(`https://api.example.test:${port}/`)
      await expect(get(interceptor.port)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
      expect((await get(genuine.port)).tls.matchedPin).toBe(pin)
    }
    expect(await interceptor.applicationBytes()).toBe(0)
  })
})
