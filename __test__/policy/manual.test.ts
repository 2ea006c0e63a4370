import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client, type ClientOptions, type PinsInput, Policy, policyLookup } from 'pinfetch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeBlocks, Examples, root } from '../examples.js'
import { type Endpoint, startGenuine } from '../testkit.js'

const manual = readFileSync(join(root, 'docs', 'policy.md'), 'utf8')
const blocks = codeBlocks(manual, 'js')
const parts = blocks.filter((block) => block.startsWith('const pins = {'))
const programs = blocks.filter((block) => block.startsWith('import ') && !block.includes('caSets'))
const leafPin = 'sha256/NQvyvzK2bRMPWDVfXSN5s3ZQ4hlSqB5Cmbz7Y2dIuLM='
const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [A, B, C] = [pinOf(1), pinOf(2), pinOf(3)]

let genuine: Endpoint
beforeAll(async () => {
  genuine = await startGenuine({
    hostname: 'api.example.com',
    names: ['api.example.com', 'bank.example.com', 'vault.corp.example', 'printer.corp.example'],
  })
})

/** The pins that the `index`th example of a part has: `given` in the place of `…`, by turns, and `file` of any name. */
function pinsOf(index: number, given: readonly string[], file = ''): PinsInput {
  let count = 0
  const filled = (parts[index] ?? '').replace(/sha256\/…/g, () => given[count++] ?? '')
  expect(count).toBe(given.length)
  return new Function('readFileSync', `${filled}\nreturn pins`)(() => file)
}

/** What becomes of a request to `host` under `pins`. */
async function outcome(
  host: string,
  pins: PinsInput,
  options: ClientOptions = {},
  { port } = genuine,
): Promise<string> {
  const lookup = { [host]: '127.0.0.1' }
  await using client = new Client({ ca: genuine.ca, lookup, pins, ...options })
  return client.get(`https://${host}:${port}/`).then(
    ({ status }) => String(status),
    (error: { code: string }) => error.code,
  )
}

describe('the examples of pins mean what the page says of them', () => {
  const inForce = (pins: PinsInput, host: string) => policyLookup(pins, host).pins

  test('a policy', () => {
    const { rootA } = genuine.pki.certificates
    const pins = pinsOf(0, [A, B], rootA.pem)
    expect(inForce(pins, 'api.example.com')).toEqual([A, B])
    expect(inForce(pins, 'a.b.example.org')).toEqual([rootA.pin])
    expect(inForce(pins, 'status.example.org')).toEqual([])
  })

  test('an exclusion', () => {
    const pins = pinsOf(1, [A, B])
    expect(inForce(pins, 'www.example.com')).toEqual([A])
    expect(inForce(pins, 'x.dev.example.com')).toEqual([])
    expect(inForce(pins, 'vault.dev.example.com')).toEqual([B])
  })

  test('an exclusion with pins of its own', () => {
    const pins = pinsOf(2, [A, B])
    expect(inForce(pins, 'www.example.com')).toEqual([A])
    expect(inForce(pins, 'a.b.pay.example.com')).toEqual([B])
  })

  test('a leaf and a root', async () => {
    const { leaf, nextLeaf, rootA, rootB } = genuine.pki.certificates
    const host = 'bank.example.com'
    expect(await outcome(host, pinsOf(3, [leaf.pin, nextLeaf.pin], rootA.pem))).toBe('200')
    expect(await outcome(host, pinsOf(3, [leaf.pin, A], rootB.pem))).toBe('ERR_BAD_PIN')
    expect(await outcome(host, pinsOf(3, [A, B], rootA.pem))).toBe('ERR_BAD_PIN')
  })

  test('report mode', async () => {
    const told: boolean[] = []
    const onBadPin = ({ enforced }: { enforced: boolean }) => void told.push(enforced)
    expect(await outcome('api.example.com', pinsOf(4, [A]), { onBadPin })).toBe('200')
    expect(told).toEqual([false])
  })

  test('a set that ends', async () => {
    const pins = pinsOf(5, [genuine.leafPin])
    expect(new Policy(pins)).toBeInstanceOf(Policy)
    const until = (at: string) => JSON.parse(JSON.stringify(pins), (k, v) => (k === 'at' ? at : v))
    expect(await outcome('api.example.com', until('2099-01-01'))).toBe('200')
    expect(await outcome('api.example.com', until('2020-01-01'))).toBe('ERR_POLICY_EXPIRED')
  })

  test('trust in a CA of the host’s own, and in a pinned key', async () => {
    const { untrustedLeaf, rootB, rootC, selfSigned } = genuine.pki.certificates
    await using vault = await startGenuine({ pki: genuine.pki, chain: ['untrustedLeaf', 'c1'] })
    await using printer = await startGenuine({ pki: genuine.pki, chain: ['selfSigned'] })
    const pins = (ca: string) => pinsOf(6, [untrustedLeaf.pin, selfSigned.pin], ca)
    expect(await outcome('vault.corp.example', pins(rootC.pem), {}, vault)).toBe('200')
    expect(await outcome('vault.corp.example', pins(rootB.pem), {}, vault)).toBe(
      'ERR_CERT_UNKNOWN_ISSUER',
    )
    expect(await outcome('vault.corp.example', { 'vault.corp.example': [C] }, {}, vault)).toBe(
      'ERR_CERT_UNKNOWN_ISSUER',
    )
    expect(await outcome('printer.corp.example', pins(rootC.pem), {}, printer)).toBe('200')
    expect(await outcome('printer.corp.example', pinsOf(6, [A, B], rootC.pem), {}, printer)).toBe(
      'ERR_BAD_PIN',
    )
  })
})

describe('the program', () => {
  let examples: Examples
  beforeAll(() => {
    examples = new Examples(genuine.ca, genuine.port, [
      [leafPin, genuine.leafPin],
      ['listen(9100)', 'listen(0)'],
    ])
  })
  afterAll(() => examples.remove())

  test('of a live policy swaps for all clients, and cuts nobody off', async () => {
    expect(await examples.run(programs[0] ?? '')).toBe(
      "gained [ 'api.example.com' ] lost []\n3 ERR_POLICY_CUTS_OFF\n",
    )
  })

  test('of a rehearsal tells of the host that would be cut off', async () => {
    expect(await examples.run(programs[1] ?? '')).toBe(
      `false 1\napi.example.com ${genuine.leafPin}\n`,
    )
  })

  test('of metrics answers Prometheus', async () => {
    const ask = `
await new Promise((resolve) => server.once('listening', resolve))
const scraped = await fetch(\`http://127.0.0.1:\${server.address().port}/\`)
console.log(scraped.headers.get('content-type') === PROMETHEUS_TYPE)
console.log((await scraped.text()).match(/^pinfetch_handshakes_total.*full.*$/m)[0])
server.closeAllConnections()
server.close()
`
    expect(await examples.run(`${programs[2]}${ask}`)).toBe(
      'true\npinfetch_handshakes_total{pattern="api.example.com",kind="full"} 1\n',
    )
  })
})

test('every example of the page is run, here or with the sets of CAs', () => {
  expect([blocks.length, parts.length, programs.length]).toEqual([11, 7, 3])
  expect(manual.match(/^```\w+/gm)).toHaveLength(11)
})
