// PKCS#12 as OpenSSL writes it, today's and yesterday's.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { Client } from 'pinfetch'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Certificate, type Pki, sharedKit, standardPki } from '../testkit.ts'

const folder = mkdtempSync(join(tmpdir(), 'pinfetch-pkcs12-'))
let pki: Pki

beforeAll(async () => {
  pki = await standardPki(sharedKit())
})

afterAll(() => rmSync(folder, { recursive: true }))

/** `openssl pkcs12 -export` of a client certificate under A1. */
function exported(certificate: Certificate, ...options: string[]): Buffer {
  const path = (name: string) => join(folder, name)
  writeFileSync(path('cert.pem'), certificate.pem)
  writeFileSync(path('chain.pem'), pki.certificates.rootA.pem + pki.certificates.a1.pem)
  writeFileSync(path('key.pem'), certificate.keyPem)
  const files = ['-in', path('cert.pem'), '-inkey', path('key.pem'), '-certfile', path('chain.pem')]
  const out = ['-out', path('client.p12'), '-passout', 'pass:grüße']
  execFileSync('openssl', ['pkcs12', '-export', ...files, ...out, ...options])
  return readFileSync(path('client.p12'))
}

test.each([
  ['today', []],
  ['3DES and SHA-1', ['-certpbe', 'PBE-SHA1-3DES', '-keypbe', 'PBE-SHA1-3DES', '-macalg', 'sha1']],
  ['certificates in the clear', ['-certpbe', 'NONE']],
  ['RC2 with 40 bits', ['-legacy']],
])('a client certificate of openssl pkcs12: %s', async (_name, options) => {
  const name = `${pki.nameOf('leaf')}-pkcs12`
  const request = { name, subject: 'known', names: [], issuer: pki.nameOf('a1') }
  const issued = await sharedKit().issue([{ ...request, eku: ['clientAuth' as const] }])
  const pfx = exported(issued[name] as Certificate, ...options) // just issued
  const { leaf, a1, rootA } = pki.certificates
  const server = createServer(
    { cert: leaf.pem + a1.pem, key: leaf.keyPem, ca: rootA.pem, requestCert: true },
    (request, response) =>
      response.end((request.socket as TLSSocket).getPeerCertificate().subject.CN),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const shared = { ca: pki.ca, lookup: { [pki.hostname]: '127.0.0.1' }, pfx }
  try {
    await using client = new Client({ ...shared, passphrase: 'grüße' })
    const response = await client.get(`https://${pki.hostname}:${port}/`)
    expect(await response.text()).toBe('known')
    expect(() => new Client({ ...shared, passphrase: 'gruesse' })).toThrow(
      'passphrase does not open pfx',
    )
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
