// The hybrid key exchange with OpenSSL 3.5, which Node has from version 24 on.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Client, type ClientOptions } from 'pinfetch'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Pki, sharedKit, standardPki } from '../testkit.ts'

/** Knows one group only; ends with its standard input. */
const SERVER = `
const { readFileSync } = require('node:fs')
const { createSecureServer } = require('node:http2')
const server = createSecureServer({
  allowHTTP1: true,
  cert: readFileSync('leaf.pem'),
  key: readFileSync('leaf.key'),
  ecdhCurve: 'X25519MLKEM768',
  minVersion: 'TLSv1.3',
}, (request, response) => response.end('hello over HTTP/' + request.httpVersion))
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.resume().on('end', () => process.exit())
`

const folder = mkdtempSync(join(tmpdir(), 'pinfetch-post-quantum-'))
let pki: Pki
let node: ChildProcess
let url: string

beforeAll(async () => {
  pki = await standardPki(sharedKit())
  const { leaf, a1 } = pki.certificates
  writeFileSync(join(folder, 'leaf.pem'), leaf.pem + a1.pem)
  writeFileSync(join(folder, 'leaf.key'), leaf.keyPem)
  writeFileSync(join(folder, 'server.cjs'), SERVER)
  const command = ['--yes', '--package=node@24', '--', 'node', 'server.cjs']
  node = spawn('npx', command, { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] })
  if (node.stdout === null) throw new Error('no output')
  for await (const line of createInterface(node.stdout)) {
    url = `https://${pki.hostname}:${line}/`
    return
  }
  throw new Error('npx --package=node@24 node: no server; it is fetched from the npm registry')
}, 300_000)

afterAll(async () => {
  if (node?.exitCode === null) {
    const exited = once(node, 'exit')
    node.stdin?.end()
    await exited
  }
  rmSync(folder, { recursive: true, force: true })
})

function clientWith(options: ClientOptions): Client {
  return new Client({
    ca: pki.ca,
    lookup: { [pki.hostname]: '127.0.0.1' },
    pins: { [pki.hostname]: [pki.certificates.leaf.pin] },
    ...options,
  })
}

test.each([
  [true, '2.0'],
  [false, '1.1'],
])('a server that has only X25519MLKEM768 is reached (http2: %j)', async (http2, version) => {
  await using client = clientWith({ http2, postQuantum: true })
  for (let round = 0; round < 20; round++) {
    const response = await client.get(url, { reuse: false })
    expect(await response.text()).toBe(`hello over HTTP/${version}`)
    expect(response.tls).toMatchObject({
      protocol: 'TLSv1.3',
      matchedPin: pki.certificates.leaf.pin,
    })
  }
})

test('pins hold there', async () => {
  const wrong = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
  await using client = clientWith({ postQuantum: true, pins: { [pki.hostname]: [wrong] } })
  await expect(client.get(url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
})

test('a client that does not offer the group is turned away', async () => {
  await using client = clientWith({})
  await expect(client.get(url)).rejects.toMatchObject({ code: 'ERR_TLS_ALERT' })
})
