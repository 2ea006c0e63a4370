import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createSecureServer } from 'node:http2'
import { createServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SecureVersion, TLSSocket } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { Client, type ClientOptions } from '../../src/index.js'
import { type Certificate, type Pki, sharedKit, standardPki, startGenuine } from '../testkit.js'

let pki: Pki
/** Under A1, for clients; and one of an authority that the servers don't trust. */
let known: Certificate
let stranger: Certificate
const folder = mkdtempSync(join(tmpdir(), 'pinfetch-identity-'))

beforeAll(async () => {
  const kit = sharedKit()
  pki = await standardPki(kit)
  const names = { known: pki.nameOf('a1'), stranger: pki.nameOf('c1') }
  const issued = await kit.issue(
    Object.entries(names).map(([name, issuer]) => ({
      name: `${pki.nameOf('leaf')}-${name}`,
      subject: name,
      names: [],
      issuer,
      eku: ['clientAuth' as const],
    })),
  )
  known = issued[`${pki.nameOf('leaf')}-known`] as Certificate // just issued
  stranger = issued[`${pki.nameOf('leaf')}-stranger`] as Certificate
})

afterEach(() => {
  vi.unstubAllEnvs()
})

afterAll(() => rmSync(folder, { recursive: true }))

/** A server that answers with the name of who asks, and lets nobody in whom it does not know. */
async function demanding(
  alpn: 'h2' | 'http/1.1',
  version: SecureVersion,
): Promise<{ url: string; close(): void }> {
  const { certificates } = pki
  const options = {
    cert: certificates.leaf.pem + certificates.a1.pem,
    key: certificates.leaf.keyPem,
    ca: certificates.rootA.pem,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: version,
    maxVersion: version,
  }
  const sockets = new Set<TLSSocket>()
  const answer = (socket: unknown) => String((socket as TLSSocket).getPeerCertificate().subject.CN)
  const server =
    alpn === 'h2'
      ? createSecureServer(options, (request, response) =>
          response.end(answer(request.stream.session?.socket)),
        )
      : createServer(options, (request, response) => response.end(answer(request.socket)))
  server.on('secureConnection', (socket: TLSSocket) => sockets.add(socket))
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `https://${pki.hostname}:${(server.address() as AddressInfo).port}/`,
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

function clientWith(options: ClientOptions): Client {
  return new Client({
    ca: pki.ca,
    lookup: { [pki.hostname]: '127.0.0.1' },
    pins: { [pki.hostname]: [pki.certificates.leaf.pin] },
    ...options,
  })
}

const identity = (of: Certificate): ClientOptions => ({
  cert: of.pem + pki.certificates.a1.pem,
  key: of.keyPem,
})

describe.each([
  ['http/1.1', 'TLSv1.2'],
  ['http/1.1', 'TLSv1.3'],
  ['h2', 'TLSv1.2'],
  ['h2', 'TLSv1.3'],
] as const)('over %s and %s', (alpn, version) => {
  test('a server that asks learns who the client is, and pins hold', async () => {
    const server = await demanding(alpn, version)
    try {
      await using client = clientWith(identity(known))
      for (let round = 0; round < 3; round++) {
        const response = await client.get(server.url, { reuse: round !== 2 })
        expect(await response.text()).toBe('known')
        expect(response.tls).toMatchObject({
          protocol: version,
          alpn,
          matchedPin: pki.certificates.leaf.pin,
        })
      }
      const wrong = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
      await using caught = clientWith({ ...identity(known), pins: { [pki.hostname]: [wrong] } })
      await expect(caught.get(server.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    } finally {
      server.close()
    }
  })

  test('nobody, and somebody else, are refused', async () => {
    const server = await demanding(alpn, version)
    try {
      for (const options of [{}, identity(stranger)]) {
        await using client = clientWith(options)
        // in TLS 1.3 the refusal comes after the handshake (RFC 8446 §4.4.2.4), as an alert or the end of the connection
        await expect(client.get(server.url)).rejects.toMatchObject({
          code: expect.stringMatching(/^ERR_(TLS_ALERT|CONNECTION_CLOSED|SOCKET)$/),
        })
      }
    } finally {
      server.close()
    }
  })
})

test('an encrypted key is opened by its passphrase', async () => {
  const server = await demanding('http/1.1', 'TLSv1.3')
  const key = createPrivateKey(known.keyPem).export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'open sesame',
  })
  try {
    await using client = clientWith({ ...identity(known), key, passphrase: 'open sesame' })
    expect(await (await client.get(server.url)).text()).toBe('known')
  } finally {
    server.close()
  }
})

test('a proxy that asks does not learn who the client is, and the server behind it does', async () => {
  const server = await demanding('http/1.1', 'TLSv1.3')
  const { certificates } = pki
  const seen: unknown[] = []
  const proxy = createServer({
    cert: certificates.leaf.pem + certificates.a1.pem,
    key: certificates.leaf.keyPem,
    ca: certificates.rootA.pem,
    requestCert: true,
    rejectUnauthorized: false,
  })
  proxy.on('connect', (request, socket: TLSSocket) => {
    seen.push(socket.getPeerCertificate())
    const onward = connect(Number(request.url?.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
    for (const end of [socket, onward]) end.on('error', () => {})
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const { port } = proxy.address() as AddressInfo
  try {
    await using client = clientWith({
      ...identity(known),
      proxy: `https://${pki.hostname}:${port}`,
    })
    expect(await (await client.get(server.url)).text()).toBe('known')
    expect(seen).toEqual([{}])
  } finally {
    proxy.closeAllConnections()
    proxy.close()
    server.close()
  }
})

describe('what is no identity is refused, and not quoted', () => {
  const encrypted = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'x' },
  }).privateKey
  test.each([
    [
      'a certificate without a key',
      () => ({ cert: known.pem }),
      'cert is given without key: give both',
    ],
    [
      'a key without a certificate',
      () => ({ key: known.keyPem }),
      'key is given without cert: give both',
    ],
    [
      'no certificate',
      () => ({ ...identity(known), cert: known.keyPem }),
      'cert holds no certificate in PEM',
    ],
    ['no key', () => ({ ...identity(known), key: known.pem }), 'key holds no private key in PEM'],
    ['cut PEM', () => ({ ...identity(known), cert: known.pem.slice(0, 200) }), 'cert'],
    [
      'an encrypted key',
      () => ({ ...identity(known), key: encrypted }),
      'key is encrypted: give its passphrase',
    ],
    [
      "another's key",
      () => ({ ...identity(known), key: stranger.keyPem }),
      'key is not the key of the first certificate',
    ],
    [
      'an encrypted key and a wrong passphrase',
      () => ({ ...identity(known), key: encrypted, passphrase: 'not it' }),
      'passphrase does not open key',
    ],
    [
      "OpenSSL's older encryption",
      () => ({
        ...identity(known),
        key: '-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n',
        passphrase: 'x',
      }),
      'key is encrypted in a way that is not read: convert it',
    ],
    [
      'a passphrase alone',
      () => ({ passphrase: 'a secret' }),
      'passphrase is given without pfx or key',
    ],
    ['PKCS#12 that is none', () => ({ pfx: Buffer.from('PK') }), 'pfx cannot be read as PKCS#12'],
    ['PKCS#12 in PEM', () => ({ pfx: Buffer.from(known.pem) }), 'pfx cannot be read as PKCS#12'],
    ['PKCS#12 as text', () => ({ pfx: 'MIIB' }), 'pfx is a string: give PKCS#12 in bytes'],
    [
      'PKCS#12 and a certificate',
      () => ({ ...identity(known), pfx: Buffer.of(0x30) }),
      'pfx is given with cert or key',
    ],
    ['a number', () => ({ cert: 1, key: 2 }), 'cert is a number: give PEM'],
  ])('%s', (_name, options, message) => {
    let thrown: unknown
    try {
      clientWith(options() as ClientOptions)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({
      name: 'PolicyError',
      code: 'ERR_POLICY_INVALID_OPTION',
      message: expect.stringContaining(message),
    })
    expect(String(thrown)).not.toMatch(/MI[A-Za-z0-9+/]{8}/)
  })
})

describe('the key log', () => {
  test('is written where it is asked for, and nowhere else', async () => {
    await using server = await startGenuine({ pki })
    const [named, unasked] = [join(folder, 'named.log'), join(folder, 'unasked.log')]
    vi.stubEnv('SSLKEYLOGFILE', unasked)
    await using silent = clientWith({})
    await silent.get(server.url)
    expect(() => statSync(unasked)).toThrow(/ENOENT/)

    await using logging = clientWith({ keyLogFile: named })
    await logging.get(server.url)
    const lines = readFileSync(named, 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => line.split(' ')[0]).sort()).toEqual([
      'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
      'CLIENT_TRAFFIC_SECRET_0',
      'EXPORTER_SECRET',
      'SERVER_HANDSHAKE_TRAFFIC_SECRET',
      'SERVER_TRAFFIC_SECRET_0',
    ])
    for (const line of lines) expect(line).toMatch(/^[A-Z0-9_]+ [0-9a-f]{64} [0-9a-f]{64}$/)
    expect(statSync(named).mode & 0o777).toBe(0o600)

    await using asked = clientWith({ keyLogFile: true })
    await asked.get(server.url)
    expect(readFileSync(unasked, 'utf8')).toContain('CLIENT_TRAFFIC_SECRET_0 ')
  })

  test.each([
    ['', 'keyLogFile is empty: give a path'],
    [1, 'keyLogFile is a number: give a path, true or false'],
    [join(folder, 'nowhere', 'x'), /keyLogFile .*No such file/],
  ])('%j is refused', (keyLogFile, message) => {
    writeFileSync(join(folder, 'there'), '')
    expect(() => clientWith({ keyLogFile: keyLogFile as string })).toThrow(message)
  })

  test('a variable that is not set names no file', () => {
    vi.stubEnv('SSLKEYLOGFILE', undefined)
    expect(() => clientWith({ keyLogFile: true })).toThrow('SSLKEYLOGFILE names no file')
  })
})
