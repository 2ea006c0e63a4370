import { createServer } from 'node:net'
import { Client, PolicyFile } from 'pinfetch'
import { describe, expect, test } from 'vitest'
import { forecastOf } from '../../src/cli/survey/forecast.js'
import { FORWARDER_LOOKUP, Forwarder, readTargets } from '../../src/cli/survey/forward.js'
import { readSurvey } from '../../src/cli/survey/saved.js'
import { Survey, type SurveyPlan } from '../../src/cli/survey/survey.js'
import { PatternIndex } from '../../src/policy/patterns.js'
import { type Endpoint, startGenuine, startInterceptor, startProxy } from '../testkit.js'

const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const spare = pinOf(9)

/** A survey of `hosts`, all of which are at `server`. */
function surveyOf(server: Endpoint, hosts: object, more: Partial<SurveyPlan> = {}): Survey {
  return new Survey({
    policy: new PolicyFile(JSON.stringify({ version: 1, hosts })).in(),
    targets: readTargets([`127.0.0.1:${server.port}`]),
    options: { ca: server.ca },
    ...more,
  })
}

test('a host is told with its path, where each pin stands on it, and what is not served', async () => {
  await using server = await startGenuine()
  const { leaf, a1, rootA } = server.pki.certificates
  const now = new Date()
  const survey = surveyOf(
    server,
    {
      'api.example.test': {
        pins: [
          { pin: leaf.pin, role: 'current', label: 'api 2026' },
          { pin: spare, role: 'backup' },
          { pin: rootA.pin, role: 'root' },
        ],
      },
    },
    { now },
  )

  const [host, ...others] = await survey.run()

  expect(others).toEqual([])
  expect(host).toMatchObject({
    authority: 'api.example.test:443',
    host: 'api.example.test',
    port: 443,
    checked: now.toISOString(),
    environment: null,
    patterns: [
      { pattern: 'api.example.test', mode: 'enforce', pointer: '/hosts/api.example.test' },
    ],
    pins: [
      { pin: leaf.pin, label: 'api 2026', seen: [{ via: 'direct', role: 'end entity' }] },
      { pin: spare, role: 'backup', pointer: '/hosts/api.example.test/pins/1', seen: [] },
      { pin: rootA.pin, role: 'root', seen: [{ via: 'direct', role: 'trust anchor' }] },
    ],
    sights: [
      {
        via: 'direct',
        verdict: 'pinned',
        remoteAddress: `127.0.0.1:${server.port}`,
        path: [
          { pin: leaf.pin, role: 'end entity', subject: 'CN=api.example.test', pinned: true },
          { pin: a1.pin, role: 'intermediate', pinned: false },
          { pin: rootA.pin, role: 'trust anchor', pinned: true },
        ],
      },
    ],
    forecast: { newKey: 'yes', newIntermediate: 'yes', newAuthority: 'with-backup' },
  })
  expect(host?.sights[0]?.path[0]?.daysLeft).toBe(89)
  expect(await server.applicationBytes()).toBe(0)
  expect(JSON.parse(JSON.stringify(host))).toEqual(host)
})

test('a bad pin is told with the path that was refused, beside a host that is in order', async () => {
  await using server = await startGenuine({ names: ['a.test', 'b.test'] })

  const hosts = await surveyOf(server, { 'a.test': [spare], 'b.test': [server.leafPin] }).run()

  expect(hosts.map(({ sights }) => sights[0])).toMatchObject([
    {
      verdict: 'bad-pin',
      remoteAddress: `127.0.0.1:${server.port}`,
      error: { code: 'ERR_BAD_PIN' },
      path: server.pathPins.map((pin) => ({ pin, pinned: false })),
    },
    { verdict: 'pinned' },
  ])
  expect(hosts.map(({ forecast }) => forecast?.newKey)).toEqual([undefined, 'no'])
})

test('two vantage points are told apart, and credentials of proxies are not shown', async () => {
  await using server = await startGenuine()
  await using interceptor = await startInterceptor({ of: server })
  await using proxy = await startProxy({
    kind: 'connect',
    to: interceptor,
    credentials: 'user:secret',
  })
  const survey = surveyOf(
    server,
    { 'api.example.test': [server.leafPin, server.rootPin] },
    { vias: ['direct', proxy.url] },
  )

  const [host] = await survey.run()

  expect(host?.sights).toMatchObject([
    { via: 'direct', verdict: 'pinned' },
    { via: `http://127.0.0.1:${proxy.port}`, verdict: 'bad-pin' },
  ])
  expect(JSON.stringify(host)).not.toContain('secret')
})

test('wildcards need names, and a wildcard without any is told', async () => {
  await using server = await startGenuine({ names: ['a.x.test'] })
  const survey = surveyOf(
    server,
    { '*.x.test': [server.leafPin], '**.y.test': [spare], '*.z.test': { exclude: true } },
    { names: [{ host: 'a.x.test', port: 8443 }] },
  )

  const hosts = await survey.run()

  expect(survey.unnamed.map(({ set }) => set.pattern)).toEqual(['**.y.test'])
  expect(hosts).toMatchObject([
    {
      authority: 'a.x.test:8443',
      patterns: [{ pattern: '*.x.test' }],
      sights: [{ verdict: 'pinned' }],
    },
  ])
})

test('a machine that nobody listens on is told by the code that a request would have', async () => {
  const listener = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => listener.once('listening', resolve))
  const { port } = listener.address() as { port: number }
  await new Promise((resolve) => listener.close(resolve))
  const policy = new PolicyFile(JSON.stringify({ 'a.test': [spare] })).in()

  const targets = readTargets([`a.test=127.0.0.1:${port}`])
  const [host] = await new Survey({ policy, targets }).run()

  expect(host?.sights).toMatchObject([
    { verdict: 'failed', path: [], error: { code: 'ERR_CONNECT' } },
  ])
})

describe('the forecast', () => {
  const [leaf, intermediate, root, other] = [pinOf(1), pinOf(2), pinOf(3), pinOf(4)]
  const path = [leaf, intermediate, root].map((pin, index) => ({
    pin,
    role: (['end entity', 'intermediate', 'trust anchor'] as const)[index] ?? 'trust anchor',
    subject: '',
    notAfter: null,
    daysLeft: null,
    pinned: true,
  }))

  test.each<[string, object, string]>([
    ['a leaf', [leaf], 'no yes no'],
    ['an intermediate', [intermediate], 'yes no no'],
    ['a root', [root], 'yes yes no'],
    ['a leaf and a key that nobody serves', [leaf, other], 'with-backup yes with-backup'],
    ['a leaf and a backup', [leaf, { pin: other, role: 'backup' }], 'with-backup yes with-backup'],
    ['a leaf and a retired key', [leaf, { pin: other, role: 'retired' }], 'no yes no'],
    [
      'a leaf and the root of another authority',
      [leaf, { pin: other, role: 'root' }],
      'no yes with-backup',
    ],
    ['a leaf and its root', [leaf, root], 'yes yes no'],
    ['two keys, both required', { pins: [leaf, root], require: 2 }, 'no yes no'],
    [
      'two places, both required',
      { pins: [leaf, root, other], require: ['leaf', 'root'] },
      'with-backup yes no',
    ],
    ['an authority, required', { pins: [leaf, intermediate, root], require: ['ca'] }, 'yes yes no'],
    ['a key that counts as a leaf only', [{ pin: root, at: 'leaf' }, leaf], 'no yes no'],
  ])('tells what is outlived by %s', (_name, set, expected) => {
    const text = JSON.stringify({ version: 1, hosts: { 'a.test': set } })
    const index = new PatternIndex(new PolicyFile(text).in().sets.values())
    const { newKey, newIntermediate, newAuthority } = forecastOf(index.all, path)
    expect(`${newKey} ${newIntermediate} ${newAuthority}`).toBe(expected)
  })
})

test.each([
  ['no JSON', '{'],
  ['no object', '1'],
  ['nothing that was seen', '{}'],
  [
    'a host without its path',
    '{"authority":"a:1","host":"a","port":1,"checked":"","patterns":[],"pins":[],"sights":[{}]}',
  ],
])('what check has not printed is no survey: %s', (_name, line) => {
  const good =
    '{"authority":"a:1","host":"a","port":1,"checked":"","patterns":[],"pins":[],"sights":[]}'
  expect(readSurvey(`${good}\n{"pattern":"*.a"}\n\n`, 'saved')).toHaveLength(1)
  expect(() => readSurvey(`${good}\n${line}\n`, 'saved')).toThrow('saved: line 2 is nothing')
})

test('the way to machines is for the survey alone', async () => {
  await using server = await startGenuine()
  const forwarder = new Forwarder(readTargets([`127.0.0.1:${server.port}`]))
  await forwarder.start()
  try {
    const [way] = forwarder.waysTo('api.example.test:443')
    const proxy = new URL(way?.proxy ?? '')
    await using client = new Client({ ca: server.ca, lookup: FORWARDER_LOOKUP })
    const ask = (url: URL) => client.serverPins('api.example.test', { proxy: url })
    expect((await ask(proxy)).path).toHaveLength(3)
    for (const password of ['', 'x', proxy.password.slice(1), `x${proxy.password}`]) {
      const other = new URL(proxy)
      other.password = password
      await expect(ask(other)).rejects.toMatchObject({ code: 'ERR_PROXY', status: 407 })
    }
  } finally {
    forwarder.close()
  }
})
