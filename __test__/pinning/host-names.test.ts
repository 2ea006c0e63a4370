import { Client } from 'pinfetch'
import { describe, expect, test } from 'vitest'
import { startGenuine, startInterceptor } from '../testkit.ts'

describe.each(['h2', 'http/1.1'] as const)('over %s', (protocol) => {
  test.each([
    'API.example.test',
    'aPi.ExAmPlE.tEsT',
    'api.example.test.',
    'api\u3002example\u3002test',
    'api\uff0eexample\uff0etest',
    '\uff41pi.example.test',
    '%61pi.example.test',
    'api%2eexample.test',
  ])('the pins of a host hold for its spelling %s', async (spelling) => {
    await using genuine = await startGenuine({ alpn: [protocol] })
    await using interceptor = await startInterceptor({ of: genuine })
    const calls: string[] = []
    await using client = new Client({
      ca: genuine.ca,
      lookup: genuine.lookup,
      pins: { [genuine.hostname]: [genuine.leafPin] },
      onBadPin: ({ hostname }) => void calls.push(hostname),
    })

    await expect(client.get(`https://${spelling}:${interceptor.port}/`)).rejects.toMatchObject({
      code: 'ERR_BAD_PIN',
      hostname: genuine.hostname,
    })
    expect(await interceptor.applicationBytes()).toBe(0)
    expect(calls).toEqual([genuine.hostname])
    expect((await client.get(`https://${spelling}:${genuine.port}/`)).status).toBe(200)
  })

  test.each(['127.0.0.1', 'api.example.test'])(
    'a plain request to a pinned %s is refused before it is looked up',
    async (hostname) => {
      await using genuine = await startGenuine({ alpn: [protocol], hostname })
      let lookups = 0
      await using client = new Client({
        ca: genuine.ca,
        pins: { [hostname]: [genuine.leafPin] },
        lookup: (_name, _options, callback) => {
          lookups++
          callback(null, [{ address: '127.0.0.1', family: 4 }])
        },
      })

      await expect(client.get(`http://${hostname}:${genuine.port}/`)).rejects.toMatchObject({
        code: 'ERR_POLICY_PLAINTEXT',
      })
      expect(lookups).toBe(0)
      expect((await genuine.stats()).accepted).toBe(0)
      expect((await client.get(genuine.url)).status).toBe(200)
    },
  )

  test.each(['the URL', 'the server name'])(
    'pins of %s hold when the two differ',
    async (pinned) => {
      const names = ['api.example.test', 'other.example.test']
      await using genuine = await startGenuine({ alpn: [protocol], names })
      await using interceptor = await startInterceptor({ of: genuine })
      const [host, serverName] = pinned === 'the URL' ? names : [...names].reverse()
      await using client = new Client({
        ca: genuine.ca,
        lookup: { 'api.example.test': '127.0.0.1', 'other.example.test': '127.0.0.1' },
        pins: { 'api.example.test': [genuine.leafPin] },
        serverName,
      })

      await expect(client.get(`https://${host}:${interceptor.port}/`)).rejects.toMatchObject({
        code: 'ERR_BAD_PIN',
      })
      expect(await interceptor.applicationBytes()).toBe(0)
      expect((await client.get(`https://${host}:${genuine.port}/`)).status).toBe(200)
    },
  )
})

test.each([
  ['bücher.example.test', 'xn--bcher-kva.example.test'],
  ['xn--bcher-kva.example.test', 'BÜCHER.example.test'],
])('pins for %s hold for %s, which is the same host', async (pinned, spelling) => {
  await using genuine = await startGenuine({ hostname: 'xn--bcher-kva.example.test' })
  await using interceptor = await startInterceptor({ of: genuine })
  await using client = new Client({
    ca: genuine.ca,
    lookup: genuine.lookup,
    pins: { [pinned]: [genuine.leafPin] },
  })
  await expect(client.get(`https://${spelling}:${interceptor.port}/`)).rejects.toMatchObject({
    code: 'ERR_BAD_PIN',
  })
  expect(await interceptor.applicationBytes()).toBe(0)
  expect((await client.get(`https://${spelling}:${genuine.port}/`)).status).toBe(200)
})

test.each([
  'api.example.test\0',
  '\0api.example.test',
  'api.example.test%00',
  'api\0.example.test',
])('the host %j is none', async (host) => {
  await using genuine = await startGenuine()
  await using client = new Client({
    ca: genuine.ca,
    lookup: genuine.lookup,
    pins: { [genuine.hostname]: [genuine.leafPin] },
  })
  await expect(client.get(`https://${host}:${genuine.port}/`)).rejects.toMatchObject({
    code: 'ERR_INVALID_URL',
  })
  expect((await genuine.stats()).accepted).toBe(0)
  expect((await client.get(genuine.url)).status).toBe(200)
})
