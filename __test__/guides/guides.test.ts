import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeBlocks, type ExampleServer, Examples, root, startExampleServer } from '../examples.ts'
import {
  type Endpoint,
  type ForwardProxy,
  startGenuine,
  startInterceptor,
  startProxy,
} from '../testkit.ts'

const page = (name: string) => readFileSync(join(root, 'docs', 'guides', `${name}.md`), 'utf8')
const leafPin = 'sha256/NQvyvzK2bRMPWDVfXSN5s3ZQ4hlSqB5Cmbz7Y2dIuLM='

/** What the examples of each guide print, in their order; `$LEAF` and its like stand for the server's pins. */
const guides: Readonly<Record<string, readonly (readonly [example: string, output: string])[]>> = {
  start: [
    ['the first pinned request', '200 $LEAF\n'],
    ['a wrong pin', 'ERR_BAD_PIN api.example.com 3\n'],
  ],
  pinning: [
    ['the pins of a server', '$LEAF end entity\n$ISSUER intermediate\n$ROOT trust anchor\n'],
    ['a policy', '200 $LEAF\n'],
    ['wildcards', codeBlocks(page('pinning'), 'text')[0] ?? ''],
    ['report mode', "api.example.com false 3\n200 [ 'api.example.com' ]\n"],
    [
      'a handler',
      "GET /data api.example.com [ 'api.example.com' ]\n[ 'end entity', 'intermediate', 'trust anchor' ] true\nERR_BAD_PIN 1\n",
    ],
  ],
  proxies: [
    ['a proxy for a client and a request', '200 200 200\n'],
    ['the environment', '200 1\n'],
    ['proxies that are probed', 'fit\nERR_BAD_PIN\n200 1\n'],
    ['quarantine', 'ERR_BAD_PIN ERR_PROXY_QUARANTINED\n1 1 1 true\ntrue ERR_BAD_PIN\n'],
    ['a gateway with an exit each time', '/data true\n'.repeat(3)],
    ['proxies that fail', 'ERR_PROXY 407\nERR_PROXY 2\n'],
    ['another proxy', '200\n'],
  ],
  cookies: [
    ['a session', 'session=4711 1\n'],
    ['a jar for two clients', 'session=4711\nnobody\nnobody\n'],
    ['no cookies', 'nobody null\n'],
    ['a jar that is kept', 'session=4711\n'],
    ['cookies by hand', 'theme=dark\ntheme=light\n'],
    ["tough-cookie's jar", "session=4711\n[ 'session' ]\n"],
  ],
  streaming: [
    ['a body piece by piece', '1000000 2 true\n'],
    ['a file', '1000000 1000000\n'],
    ['a pipeline', 'true\n'],
    ['lines', '5050\n'],
    ['limits', 'true true\nERR_HTTP_BODY_TOO_LARGE 100000\n'],
    ['records that are sent', '{"number":1}\n{"number":2}\n{"number":3}\n\n'],
    ['files that are sent', 'a photo\ntitle file photo.jpg\n'],
    ['giving up', 'AbortError\nsource closed\nenough true\n'],
  ],
  errors: [
    ['classes and codes', '/data\nstatus 404\ntoo slow: headers, 500 ms\nERR_HTTP2\n'],
    ['a retry', '200\n'],
    ['time limits', 'TimeoutError true false\nTimeoutError false true\n'],
    ['a bad pin', "ERR_BAD_PIN api.example.com [ 'api.example.com' ] 3 1 unknown\n"],
    [
      'mistakes',
      'ERR_POLICY_INVALID_PIN api.example.com 0\n' +
        'pins["api.example.com"][0]: "sha256/AAAA" is 3 bytes long; a SHA-256 digest has 32 (44 characters of base64)\n' +
        'ERR_POLICY_INVALID_OPTION timout \nunknown option "timout": did you mean "timeout"?\n',
    ],
    ['a logger', 'error bad pin ERR_BAD_PIN /data 3\nwarn request failed ERR_CONNECT /\n'],
  ],
  scraping: [
    ['a crawl', `${itemsOf(200).join('').length} 0\n`],
    [
      'a proxy that reads',
      '200\nsomebody reads api.example.com 3\nERR_BAD_PIN\n127.0.0.1 0 false\n127.0.0.1 1 true\n',
    ],
    ['clients on several threads', 'true\n'],
  ],
}

let genuine: Endpoint
let server: ExampleServer
let examples: Examples
const folder = mkdtempSync(join(tmpdir(), 'pinfetch-guides-'))

beforeAll(async () => {
  genuine = await startGenuine({ hostname: 'api.example.com' })
  server = await startExampleServer(genuine.pki)
  const { port } = server
  const proxies: ForwardProxy[] = await Promise.all([
    startProxy({ kind: 'connect', port }),
    startProxy({ kind: 'connect', to: await startInterceptor({ of: genuine }) }),
    startProxy({ kind: 'connect', port, credentials: 'user:password' }),
    startProxy({ kind: 'socks5', port }),
    startProxy({ kind: 'socks5', refuse: 2 }),
  ])
  writeFileSync(join(folder, 'photo.jpg'), 'a photo')
  examples = new Examples(genuine.ca, port, [
    [leafPin, genuine.leafPin],
    ...proxies.flatMap(({ port }, index) =>
      ['3128', '1080'].map(
        (usual) => [`proxy-${index + 1}.example.net:${usual}`, `127.0.0.1:${port}`] as const,
      ),
    ),
    ...['large.bin', 'large.gz'].map(
      (name) => [`'${name}'`, JSON.stringify(join(folder, name))] as const,
    ),
    ["('photo.jpg'", `(${JSON.stringify(join(folder, 'photo.jpg'))}`],
  ])
})

afterAll(() => {
  examples.remove()
  rmSync(folder, { recursive: true })
  server.close()
})

describe.each(Object.entries(guides))('the guide %s', (name, outputs) => {
  const sources = codeBlocks(page(name), 'js')

  test.each(
    outputs.map(([example, output], index) => [example, output, sources[index] ?? ''] as const),
  )('prints what it should: %s', async (_example, output, source) => {
    const { leaf, a1, rootA } = genuine.pki.certificates
    const expected = output
      .replace('$LEAF', leaf.pin)
      .replace('$ISSUER', a1.pin)
      .replace('$ROOT', rootA.pin)
    expect(await examples.run(source)).toBe(expected)
  })

  test('has no other example', () => {
    expect(sources).toHaveLength(outputs.length)
  })
})

/** The paths that the crawl asks for. */
function itemsOf(count: number): string[] {
  return Array.from({ length: count }, (_, page) => `/items/${page + 1}`)
}
