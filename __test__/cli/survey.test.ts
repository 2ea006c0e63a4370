import { createServer } from 'node:net'
import { PolicyFile } from 'pinfetch'
import { expect, test } from 'vitest'
import { readTargets } from '../../src/cli/survey/forward.js'
import { Survey, type SurveyPlan } from '../../src/cli/survey/survey.js'
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
