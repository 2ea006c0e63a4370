import { once } from 'node:events'
import { expect, test } from 'vitest'
import { type Endpoint, startGenuine, startProxy } from '../testkit.js'
import { Command } from './command.js'

const command = new Command()

/** What a server's pins look like. */
function block(title: string, pins: readonly string[]): string {
  return [title, ...pins.map((pin) => `  ${pin}`), ''].join('\n')
}

/** The arguments with which the command finds and trusts a server. */
function reach(server: Endpoint): string[] {
  const ca = command.file(`${server.port}.pem`, server.ca)
  return [server.hostname, '--connect', `127.0.0.1:${server.port}`, '--ca', ca]
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}

test.each([
  ['HTTP/1.1', { alpn: ['http/1.1'] }],
  ['HTTP/2', { alpn: ['h2'] }],
  ['TLS 1.2', { versions: ['1.2'] }],
  ['a wildcard certificate', { names: ['*.example.test'] }],
] as const)('the verified path is printed leaf first, root last: %s', async (_name, options) => {
  await using server = await startGenuine(options)

  const ended = await command.run(['pins', ...reach(server)])

  expect(ended).toEqual({
    code: 0,
    stdout: block('api.example.test:443', server.pathPins),
    stderr: '',
  })
  expect(await server.applicationBytes()).toBe(0)
  expect((await server.stats()).serverNames).toEqual(['api.example.test'])
})

test('names are printed in canonical form, with the port that was asked for', async () => {
  await using server = await startGenuine()

  for (const [asked, printed] of [
    ['API.Example.Test.', 'api.example.test:443'],
    ['api.example.test:8443', 'api.example.test:8443'],
  ] as const) {
    const ended = await command.run(['pins', asked, ...reach(server).slice(1)])
    expect(ended).toEqual({ code: 0, stdout: block(printed, server.pathPins), stderr: '' })
  }
})

test('--connect leads addresses elsewhere, too, and takes a name', async () => {
  await using server = await startGenuine({ hostname: '::1' })
  const ca = command.file('address.pem', server.ca)

  const connect = `localhost:${server.port}`
  const ended = await command.run(['pins', '[::1]:1', '--connect', connect, '--ca', ca])

  expect(ended).toEqual({ code: 0, stdout: block('[::1]:1', server.pathPins), stderr: '' })
})

test('--server-name is what TLS asks for and the certificate must have', async () => {
  await using server = await startGenuine()
  const ca = command.file('name.pem', server.ca)
  const authority = `127.0.0.1:${server.port}`

  const named = await command.run([
    'pins',
    authority,
    '--ca',
    ca,
    '--server-name',
    'api.example.test',
  ])
  expect(named).toEqual({ code: 0, stdout: block(authority, server.pathPins), stderr: '' })

  const unnamed = await command.run(['pins', authority, '--ca', ca])
  expect(unnamed).toMatchObject({ code: 4, stdout: '' })
  expect(unnamed.stderr).toContain('(ERR_CERT_NAME_MISMATCH)')
})

test('--proxy is gone through, and its refusal told', async () => {
  await using server = await startGenuine()
  await using proxy = await startProxy({ kind: 'connect', to: server, credentials: 'user:pass' })
  const ca = command.file('proxied.pem', server.ca)
  const authority = 'api.example.test:443'
  const run = (url: string) => command.run(['pins', authority, '--ca', ca, '--proxy', url])

  const passed = await run(proxy.url)
  expect(passed).toEqual({ code: 0, stdout: block(authority, server.pathPins), stderr: '' })
  expect(await proxy.stats()).toMatchObject({ tunnels: 1, authorities: [authority] })
  const refused = await run(proxy.at('127.0.0.1', 'user:hunter2'))
  expect(refused).toMatchObject({ code: 3, stdout: '' })
  expect(refused.stderr).toContain('(ERR_PROXY)')
  expect(refused.stderr).not.toContain('hunter2')
})

test('--long adds role, subject and expiry in columns', async () => {
  await using server = await startGenuine()
  const { leaf, a1, rootA } = server.pki.certificates

  const ended = await command.run(['pins', '--long', ...reach(server)])

  const expires = '(expires [0-9]{4}-[0-9]{2}-[0-9]{2})'
  const rows = [
    `  ${leaf.pin}  end entity    CN=api.example.test      ${expires}`,
    `  ${a1.pin}  intermediate  CN=Test Intermediate A1  ${expires}`,
    `  ${rootA.pin}  trust anchor  CN=Test Root A           ${expires}`,
  ]
  const pattern = rows.map((row) => row.replace(/[+.]/g, '\\$&')).join('\n')
  expect(ended).toMatchObject({ code: 0, stderr: '' })
  expect(ended.stdout).toMatch(new RegExp(`^api\\.example\\.test:443\n${pattern}\n$`))
})

test('--presented shows what an untrusted server sends, and says that it is not verified', async () => {
  await using server = await startGenuine({ chain: ['untrustedLeaf', 'c1', 'leaf'] })
  const { untrustedLeaf, c1, leaf } = server.pki.certificates
  const [host = '', ...where] = reach(server)

  const refused = await command.run(['pins', host, ...where])
  expect(refused).toMatchObject({ code: 4, stdout: '' })
  expect(refused.stderr).toMatch(
    /^pinfetch: api\.example\.test:443: .* \(ERR_CERT_UNKNOWN_ISSUER\)\n$/,
  )

  const shown = await command.run(['pins', '--presented', host, ...where.slice(0, 2)])
  expect(shown).toEqual({
    code: 0,
    stdout: block('api.example.test:443', [untrustedLeaf.pin, c1.pin, leaf.pin]),
    stderr: 'pinfetch: --presented: not verified, so whoever is on the way can show anything\n',
  })
  expect(await server.applicationBytes()).toBe(0)
})

test('an expired certificate is refused, and shown by --presented', async () => {
  await using server = await startGenuine({ chain: ['expiredLeaf', 'a1'] })
  const { expiredLeaf, a1 } = server.pki.certificates

  const refused = await command.run(['pins', ...reach(server)])
  expect(refused).toMatchObject({ code: 4, stdout: '' })
  expect(refused.stderr).toContain('(ERR_CERT_EXPIRED)')

  const presented = ['pins', '--presented', '--long', ...reach(server).slice(0, 3)]
  const { stdout, code } = await command.run(presented)
  expect(code).toBe(0)
  const [, ...rows] = stdout.trimEnd().split('\n')
  const ended = day(new Date(Date.now() - 30 * 86_400_000))
  expect(rows.map((row) => row.trim().split('  ')[0])).toEqual([expiredLeaf.pin, a1.pin])
  expect(rows[0]).toContain(`expires ${ended}`)
})

test('--json prints a line of JSON for each server, failures too', async () => {
  await using server = await startGenuine({ hostname: '127.0.0.1' })
  const ca = command.file('json.pem', server.ca)
  const authority = `127.0.0.1:${server.port}`

  const ended = await command.run(['pins', '--json', '127.0.0.1:1', authority, '--ca', ca])

  const [refused, shown, ...more] = ended.stdout.trimEnd().split('\n')
  expect(more).toEqual([])
  expect(JSON.parse(refused ?? '')).toEqual({
    authority: '127.0.0.1:1',
    error: { code: 'ERR_CONNECT', message: expect.any(String) },
  })
  const roles = ['end entity', 'intermediate', 'trust anchor']
  const subjects = ['CN=127.0.0.1', 'CN=Test Intermediate A1', 'CN=Test Root A']
  expect(JSON.parse(shown ?? '')).toEqual({
    authority,
    remoteAddress: authority,
    verified: true,
    path: server.pathPins.map((pin, index) => ({
      pin,
      role: roles[index],
      subject: subjects[index],
      notAfter: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    })),
  })
  expect(ended.code).toBe(3)
})

test('--file shows the pin of every kind of key', async () => {
  await using server = await startGenuine()
  const { leaf, a1, rootA } = server.pki.certificates
  const chain = [leaf, a1, rootA]

  for (const [name, content, pins] of [
    ['certificate.pem', leaf.pem, [leaf.pin]],
    ['certificate.der', leaf.der, [leaf.pin]],
    ['chain.pem', chain.map(({ pem }) => pem).join(''), server.pathPins],
    ['public.pem', leaf.spkiPem, [leaf.pin]],
    ['public.der', derOf(leaf.spkiPem), [leaf.pin]],
    ['private.pem', leaf.keyPem, [leaf.pin]],
    ['private.der', derOf(leaf.keyPem), [leaf.pin]],
    ['request.pem', REQUEST, [REQUESTED_PIN]],
    ['request.der', derOf(REQUEST), [REQUESTED_PIN]],
  ] as const) {
    const path = command.file(name, content)
    const ended = await command.run(['pins', '--file', path])
    expect(ended).toEqual({ code: 0, stdout: block(path, pins), stderr: '' })
  }
})

test('--file says with --long and --json what held the key', async () => {
  const path = command.file('long.pem', REQUEST)
  const subject = 'CN=requested.example.test'

  const long = await command.run(['pins', '--long', '--file', path])
  expect(long.stdout).toBe(block(path, [`${REQUESTED_PIN}  certificate request  ${subject}`]))

  const json = await command.run(['pins', '--json', '--file', path])
  expect(JSON.parse(json.stdout)).toEqual({
    file: path,
    keys: [{ pin: REQUESTED_PIN, what: 'certificate request', subject, notAfter: null }],
  })
})

test('files come before servers, a failure stops nothing, and the gravest one gives the exit code', async () => {
  await using server = await startGenuine({ hostname: '127.0.0.1' })
  await using untrusted = await startGenuine({
    hostname: '127.0.0.1',
    chain: ['untrustedLeaf', 'c1'],
  })
  const ca = command.file('several.pem', server.ca)
  const request = command.file('several.csr', REQUEST)
  const authority = `127.0.0.1:${server.port}`
  const refusing = `127.0.0.1:${untrusted.port}`

  const ended = await command.run(
    ['pins', '127.0.0.1:1', authority, refusing, authority, '--ca', ca].concat(
      ['--file', `${request}.none`],
      ['--file', request],
    ),
  )

  const shown = block(authority, server.pathPins)
  expect(ended.stdout).toBe(block(request, [REQUESTED_PIN]) + shown + shown)
  const complaints = ended.stderr.trimEnd().split('\n')
  expect(complaints).toEqual([
    `pinfetch: ${request}.none: no such file or directory (ENOENT)`,
    expect.stringMatching(/^pinfetch: 127\.0\.0\.1:1: .* \(ERR_CONNECT\)$/),
    expect.stringMatching(new RegExp(`^pinfetch: ${refusing}: .* \\(ERR_CERT_UNKNOWN_ISSUER\\)$`)),
  ])
  expect(ended.code).toBe(4)
})

test('a hundred servers are printed in the order in which they were given', async () => {
  await using server = await startGenuine({ hostname: '127.0.0.1' })
  await using next = await startGenuine({ hostname: '127.0.0.1', pki: server.pki })
  const ca = command.file('order.pem', server.ca)
  const ports = Array.from({ length: 100 }, (_, index) => (index % 3 ? server : next).port)

  const authorities = ports.map((port) => `127.0.0.1:${port}`)
  const ended = await command.run(['pins', ...authorities, '--ca', ca])

  const expected = authorities.map((authority) => block(authority, server.pathPins)).join('')
  expect(ended).toEqual({ code: 0, stdout: expected, stderr: '' })
})

test.each([
  ['a refused connection', ['pins', '127.0.0.1:1'], 3, '127.0.0.1:1', 'ERR_CONNECT'],
  ['a name without address', ['pins', 'none.invalid'], 3, 'none.invalid:443', 'ERR_DNS'],
  [
    'no address to connect to',
    ['pins', 'a.test', '--connect', 'none.invalid:1'],
    3,
    'a.test:443',
    'ERR_DNS',
  ],
  ['a file that is not there', ['pins', '--file', 'none.pem'], 6, 'none.pem', 'ENOENT'],
  ['anchors that are not there', ['pins', 'a.test', '--ca', 'none.pem'], 6, 'none.pem', 'ENOENT'],
] as const)('the exit code tells %s', async (_name, args, code, place, name) => {
  const ended = await command.run(args)

  expect(ended).toMatchObject({ code, stdout: '' })
  expect(ended.stderr).toMatch(/^[^\n]*\n$/)
  expect(ended.stderr).toMatch(new RegExp(`^pinfetch: ${place}: .+ \\(${name}\\)\n$`))
})

test('files without keys or anchors are named', async () => {
  const path = command.file('empty.pem', 'nothing\n')

  for (const args of [
    ['--file', path],
    ['a.test', '--ca', path],
  ]) {
    const ended = await command.run(['pins', ...args])
    expect(ended).toMatchObject({ code: 6, stdout: '' })
    expect(ended.stderr).toMatch(/^pinfetch: [^\n]*empty\.pem: [^\n]+ \(ERR_[A-Z_]+\)\n$/)
    expect(ended.stderr.split(path).length, ended.stderr).toBe(2)
  }
})

test('a server that says nothing is given up after --timeout', async () => {
  await using server = await startGenuine({ behaviour: 'stall-handshake' })

  const ended = await command.run(['pins', '--timeout', '0.2', ...reach(server)])

  expect(ended).toMatchObject({ code: 3, stdout: '' })
  expect(ended.stderr).toContain('200 ms (ERR_TIMEOUT)')
})

test('SIGINT ends the command at once, with 130', async () => {
  await using server = await startGenuine({ hostname: '127.0.0.1' })
  await using stalled = await startGenuine({
    hostname: '127.0.0.1',
    pki: server.pki,
    behaviour: 'stall-handshake',
  })
  const ca = command.file('interrupted.pem', server.ca)
  const authorities = [server, stalled].map(({ port }) => `127.0.0.1:${port}`)
  const child = command.start('pins', ...authorities, '--ca', ca)
  const closed = once(child, 'close')

  const [shown] = await once(child.stdout, 'data') // so the second handshake is what it waits for
  expect(String(shown)).toBe(block(authorities[0] ?? '', server.pathPins))
  child.kill('SIGINT')

  expect(await closed).toEqual([130, null])
})

test.each([
  ['no server', ['pins']],
  ['a URL', ['pins', 'https://example.com/']],
  ['credentials', ['pins', 'user@example.com']],
  ['port 0', ['pins', 'example.com:0']],
  ['a port that is none', ['pins', 'example.com:65536']],
  ['an address without brackets', ['pins', '::1']],
  ['an unknown option', ['pins', 'example.com', '--lng']],
  ['an option without its value', ['pins', 'example.com', '--ca']],
  ['--connect without a port', ['pins', 'example.com', '--connect', 'localhost']],
  ['a time limit that is none', ['pins', 'example.com', '--timeout', '1m']],
  ['too long a time limit', ['pins', 'example.com', '--timeout', '99999999999']],
  ['a server name that is none', ['pins', 'example.com', '--server-name', 'a b']],
  ['anchors that would have no effect', ['pins', 'example.com', '--presented', '--ca', 'a.pem']],
  ['nothing to be presented', ['pins', '--presented', '--file', 'a.pem']],
  ['no command', []],
  ['an unknown command', ['pin']],
  ['an unknown option without a command', ['--pins']],
] as const)('the command line is refused before anything is done: %s', async (_name, args) => {
  const ended = await command.run(args)

  expect(ended).toMatchObject({ code: 2, stdout: '' })
  expect(ended.stderr).toMatch(/^pinfetch: [^\n]+\n$/)
})

/** The bytes of a PEM block. */
function derOf(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64')
}

const REQUESTED_PIN = 'sha256/UHVBuyGR+swDmd+yZysar+O9C9ONhjTaNetVQ0z78oE='

/** Made by `openssl req -new`; its key's pin by `openssl dgst`. */
const REQUEST = `-----BEGIN CERTIFICATE REQUEST-----
MIHcMIGDAgEAMCExHzAdBgNVBAMMFnJlcXVlc3RlZC5leGFtcGxlLnRlc3QwWTAT
BgcqhkjOPQIBBggqhkjOPQMBBwNCAASDsIOopaXtnlp1lqCNDd5HGOn6QQAPyCSl
5SyAP0BVjmsS77I8roOkhT3qjKsMKY2f56JaXmlD11iDmPx2G5FroAAwCgYIKoZI
zj0EAwIDSAAwRQIhAN6Q8ymQZEud+na4ym2QYjmDM9EU9GY7z9215K2D6g/PAiAK
uJ9KI2pp/e+kSY3ADdJrc72KLbSIkXZT7ArWEb3lSQ==
-----END CERTIFICATE REQUEST-----
`
