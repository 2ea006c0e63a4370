/**
 * What users do and the benchmark does not, for `npm run train`: every coding, TLS 1.2 and 1.3, every kind of key,
 * HTTP/1.1 and HTTP/2, cookies, redirects, bodies that go up, in pieces and with trailers.
 *
 * Servers are Node's own, in this process: only the calls within the engine count.
 */
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { Client, CookieJar } from 'pinfetch'
import { startKit } from '../__test__/testkit.ts'

const HOSTNAME = 'api.example.test'
const ROUNDS = 40
const AT_ONCE = 16

const text = JSON.stringify(
  Array.from({ length: 1000 }, (_, id) => ({ id, name: `item number ${id}`, price: id * 1.25 })),
)
const BODIES: Record<string, [coding: string, body: Buffer]> = {
  '/br': ['br', brotliCompressSync(text)],
  '/deflate': ['deflate', deflateSync(text)],
  '/gzip': ['gzip', gzipSync(text)],
  '/plain': ['identity', Buffer.from(text)],
}

await using kit = await startKit()
for (const keyType of ['p256', 'p384', 'rsa2048'] as const) {
  const { root, authority, leaf } = await kit.issue([
    { name: 'root', ca: true },
    { name: 'authority', issuer: 'root', ca: true },
    { name: 'leaf', issuer: 'authority', keyType, names: [HOSTNAME] },
  ])
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const server = createSecureServer(
      { allowHTTP1: true, cert: leaf.pem + authority.pem, key: leaf.keyPem, maxVersion },
      (request, response) => void answer(request, response),
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const base = `https://${HOSTNAME}:${(server.address() as AddressInfo).port}`
    for (const http2 of [false, true]) {
      const lookup = { [HOSTNAME]: '127.0.0.1' }
      const pins = { [HOSTNAME]: [leaf.pin, root.pin] }
      const cookieJar = new CookieJar()
      await using client = new Client({ ca: root.pem, lookup, pins, http2, cookieJar })
      for (let round = 0; round < ROUNDS; round++) await visit(client, base)
    }
    server.close()
  }
}
process.exit(0) // connections of HTTP/2 would keep the servers

async function visit(client: Client, base: string): Promise<void> {
  const all = Array.from({ length: AT_ONCE }, async (_, index) => {
    const path = ['/br', '/deflate', '/gzip', '/plain', '/moved', '/post'][index % 6]
    const response = await client.fetch(`${base}${path}`, {
      ...(path === '/post' && { method: 'POST', body: text }),
      headers: { 'accept-language': 'en', 'x-index': String(index) },
    })
    if (index % 5 === 0) for await (const _piece of response.body ?? []);
    else if ((await response.text()).length !== text.length) throw new Error(`${path} is not whole`)
  })
  await Promise.all(all)
}

async function answer(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
  const path = request.url
  if (path === '/moved') {
    response.writeHead(302, {
      location: '/plain',
      'set-cookie': `seen=${Date.now()}; Path=/; Secure`,
    })
    response.end()
    return
  }
  if (path === '/post') {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    response.writeHead(200, { 'content-type': 'application/json', trailer: 'x-digest' })
    for (const piece of pieces) response.write(piece)
    response.addTrailers({ 'x-digest': 'none' })
    response.end()
    return
  }
  const [coding, body] = BODIES[path] ?? ['identity', Buffer.from('nothing')]
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-encoding': coding,
    'content-length': body.length,
    'cache-control': 'max-age=60',
  })
  response.end(body)
}
