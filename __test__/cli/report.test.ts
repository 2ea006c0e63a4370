import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { startGenuine } from '../testkit.js'
import { Command } from './command.js'
import { HOSTILE, pinOf, surveyLines } from './survey-lines.js'

const command = new Command()

/** What a page was given to show. */
function dataOf(html: string): Record<string, unknown> & { hosts: Record<string, unknown>[] } {
  const [, json = ''] =
    /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html) ?? []
  return JSON.parse(json)
}

test('a page is made of a saved survey, the worst hosts first', async () => {
  const saved = command.file('saved.jsonl', surveyLines(30))
  const ended = await command.run(['report', '--html', saved, '--quiet'])
  expect(ended).toMatchObject({ code: 0, stderr: '' })
  const { hosts, environment, checked } = dataOf(ended.stdout)
  expect([hosts.length, environment, checked]).toEqual([
    30,
    'production',
    '2026-11-25T22:00:00.000Z',
  ])
  const healths = hosts.map(({ health }) => health)
  expect(healths).toEqual(healths.toSorted((a, b) => ORDER.indexOf(`${a}`) - ORDER.indexOf(`${b}`)))
  expect(new Set(healths)).toEqual(new Set(ORDER))
})

const ORDER = ['error', 'warning', 'healthy']

test('a page loads nothing, and no text of a certificate is read as HTML', async () => {
  const saved = command.file('hostile.jsonl', surveyLines(5))
  const { stdout } = await command.run(['report', '--html', saved])
  expect(stdout).toContain(`default-src 'none'; style-src 'sha256-`)
  expect(stdout).not.toMatch(/\b(?:src|href)="(?!#)/)
  expect(stdout).not.toContain('<script>document.title')
  expect(stdout.match(/<script/g)).toHaveLength(2)
  for (const hidden of ['\u202e', '\u0007', '\u2028']) expect(stdout).not.toContain(hidden)
  const [hostile] = dataOf(stdout).hosts.filter(
    ({ authority }) => authority === 'pay.shop.example:443',
  )
  expect(JSON.stringify(hostile)).toContain(JSON.stringify(HOSTILE.split(',')[0]).slice(1, -1))
})

test('a page is made of a policy file, whose hosts are asked', async () => {
  await using server = await startGenuine({ names: ['a.test', 'b.test'] })
  const hosts = {
    'a.test': [server.leafPin, pinOf(1), server.rootPin],
    'b.test': [pinOf(1)],
    '*.c.test': [pinOf(2)],
  }
  const file = command.file('policy.json', JSON.stringify({ version: 1, hosts }))
  const out = command.path('live.html')
  const ended = await command.run([
    ...['report', '--html', '--policy', file, '--out', out],
    ...['--connect', `127.0.0.1:${server.port}`, '--ca', command.file('ca.pem', server.ca)],
  ])
  expect(ended).toEqual({ code: 0, stdout: '', stderr: `pinfetch: 2 hosts: ${out}\n` })
  expect(dataOf(readFileSync(out, 'utf8'))).toMatchObject({
    hosts: [
      { authority: 'b.test:443', health: 'error' },
      {
        authority: 'a.test:443',
        health: 'healthy',
        summary: 'pinned by end entity and trust anchor',
      },
    ],
    unnamed: ['*.c.test'],
  })
  expect(await server.applicationBytes()).toBe(0)
})

test('the named sets of a policy file are those of its lock', async () => {
  await using server = await startGenuine({ hostname: 'api.example.com' })
  const hosts = { 'api.example.com': [server.leafPin, 'ca:letsencrypt'] }
  const policy = command.file('named.json', JSON.stringify({ version: 1, hosts }))
  await command.run(['lock', policy])
  const connect = ['--connect', `127.0.0.1:${server.port}`]
  const ca = ['--ca', command.file('named.pem', server.ca)]
  const ended = await command.run(['report', '--html', policy, ...connect, ...ca, '--quiet'])
  expect(ended).toMatchObject({ code: 0, stderr: '' })
  expect(dataOf(ended.stdout).hosts).toHaveLength(1)
})

test.each([
  ['--verify-key', 'key.pem'],
  ['--out', 'page.html'],
  ['--days', '3'],
  ['--host', 'a.test'],
  ['--environment', 'test'],
])('%s is refused without --html', async (option, value) => {
  const file = command.file('any.json', '{}')
  const ended = await command.run(['report', option, value, file])
  expect(ended).toMatchObject({ code: 2, stdout: '' })
  expect(ended.stderr).toContain(`${option} is for a page: give --html, too`)
})

test('a report of a bad pin is decoded: which pins, which certificates, when', async () => {
  await using server = await startGenuine()
  const { leaf, a1, rootA } = server.pki.certificates
  const file = command.file(
    'report.json',
    JSON.stringify({
      'date-time': '2026-11-25T22:00:00Z',
      hostname: 'api.example.test',
      port: 8443,
      'effective-expiration-date': '2027-03-01T00:00:00Z',
      'include-subdomains': true,
      'noted-hostname': 'example.test',
      'served-certificate-chain': [leaf.pem, a1.pem],
      'validated-certificate-chain': [leaf.pem, a1.pem, rootA.pem],
      'known-pins': [`pin-sha256="${pinOf(1).slice(7)}"`, `pin-sha256="${rootA.pin.slice(7)}"`],
    }),
  )
  const ended = await command.run(['report', file])
  expect(ended).toMatchObject({ code: 0, stderr: '' })
  const day = /\d{4}-\d{2}-\d{2}$/gm
  expect(ended.stdout.replace(day, 'DATE')).toBe(`api.example.test:8443
  at 2026-11-25T22:00:00Z, by the pins of example.test and all names below, which end 2027-03-01T00:00:00Z
  known pins
    ${pinOf(1)}  not seen
    ${rootA.pin}  on a chain below
  validated chain
    -  ${leaf.pin}  CN=api.example.test      ends DATE
    -  ${a1.pin}  CN=Test Intermediate A1  ends DATE
    =  ${rootA.pin}  CN=Test Root A           ends DATE
  served chain
    -  ${leaf.pin}  CN=api.example.test      ends DATE
    -  ${a1.pin}  CN=Test Intermediate A1  ends DATE
`)
  const json = JSON.parse((await command.run(['report', '--json', file])).stdout)
  expect(json).toMatchObject({ hostname: 'api.example.test', port: 8443, includeSubdomains: true })
  expect(json.knownPins).toEqual([
    { pin: pinOf(1), isFound: false },
    { pin: rootA.pin, isFound: true },
  ])
})

test.each([
  ['no certificate', { 'served-certificate-chain': ['x'] }, 'served-certificate-chain[0]'],
  ['no list', { 'validated-certificate-chain': 'x' }, 'validated-certificate-chain is no list'],
  ['no pin', { 'known-pins': ['x'] }, 'known-pins: '],
  ['no date', { 'date-time': 'soon' }, 'date-time is no date: "soon"'],
  ['no host', { hostname: 1 }, 'hostname is no text'],
])('a report with %s is refused by its place', async (_name, more, message) => {
  const report = {
    'date-time': '2026-11-25T22:00:00Z',
    hostname: 'a.test',
    'known-pins': [],
    'served-certificate-chain': [],
    ...more,
  }
  const ended = await command.run(['report', command.file('bad.json', JSON.stringify(report))])
  expect(ended).toMatchObject({ code: 6, stdout: '' })
  expect(ended.stderr).toContain(`bad.json: ${message}`)
})

test.each([
  [['report'], 2, 'give a policy file'],
  [['report', 'package.json'], 2, 'is no report of a bad pin: give --html for a page'],
  [['report', 'README.md'], 6, 'is no JSON'],
  [['report', '--html', '--json', 'package.json'], 2, '--json is for reports of bad pins'],
  [['report', '--html', 'package.json'], 6, 'package.json:'],
])('the command line %j is refused', async (args, code, message) => {
  const ended = await command.run(args)
  expect(ended).toMatchObject({ code, stdout: '' })
  expect(ended.stderr).toContain(message)
})
