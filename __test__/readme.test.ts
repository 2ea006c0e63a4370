import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeBlocks, Examples, root, runNode } from './examples.ts'
import { type Endpoint, startGenuine } from './testkit.ts'

const readme = readFileSync(join(root, 'README.md'), 'utf8')
const sources = codeBlocks(readme, 'js')
const leafPin = 'sha256/NQvyvzK2bRMPWDVfXSN5s3ZQ4hlSqB5Cmbz7Y2dIuLM='

let server: Endpoint
let examples: Examples

beforeAll(async () => {
  server = await startGenuine({ hostname: 'api.example.com' })
  examples = new Examples(server.ca, server.port, [[leafPin, server.leafPin]])
  writeFileSync(join(examples.folder, 'ca.pem'), server.ca)
})

afterAll(() => examples.remove())

test('there are as many examples as are run here', () => {
  expect([
    sources.length,
    codeBlocks(readme, 'console').length,
    codeBlocks(readme, 'sh').length,
  ]).toEqual([3, 1, 3])
  expect(readme.match(/^```\w+/gm)).toHaveLength(7)
})

test('the pinned request gets its answer', async () => {
  const output = await examples.run(sources[0] ?? '')
  expect(output).toMatch(/^200 .*\n/)
  expect(output).toContain(`matched ${server.leafPin}\n`)
})

test('the bad pin calls the handler, and then rejects', async () => {
  const before = await server.stats()
  const [told, message, ...hint] = (await examples.run(sources[1] ?? '')).trimEnd().split('\n')
  expect(told).toBe('bad pin for https://api.example.com/data')
  expect(message).toMatch(/^bad ssl pin detected, found pins: \[\S+= \S+= \S+=\]$/)
  expect(hint.join('\n')).toContain('pinfetch pins')
  const after = await server.stats()
  expect(after.applicationBytes).toBe(before.applicationBytes)
  expect(after.accepted).toBe(before.accepted + 1)
})

test('new pins close the connection that they refuse', async () => {
  expect(await examples.run(sources[2] ?? '')).toBe('closed 1\n')
})

test('the command prints pins as shown', async () => {
  const [shown = ''] = codeBlocks(readme, 'console')
  const [line = '', ...expected] = shown.trimEnd().split('\n')
  const words = line.split(' ')
  expect(words.slice(0, 3)).toEqual(['$', 'npx', 'pinfetch'])
  const output = await runNode([
    'dist/cli.js',
    ...words.slice(3),
    ...['--ca', join(examples.folder, 'ca.pem'), '--connect', `127.0.0.1:${server.port}`],
  ])
  const placeholder = (line: string) => line.replace(/[\w+/]{43}=/, '…')
  const printed = output.trimEnd().split('\n')
  expect(printed.map(placeholder)).toEqual(expected.map(placeholder))
  expect(printed[1]?.trim()).toBe(server.leafPin)
})

test('the two commands for a checkout are scripts of the package', () => {
  const { name, scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect(codeBlocks(readme, 'sh')).toEqual([
    `npm install ${name}\n`,
    'npm ci && npm start\n',
    'npm ci && npm test\n',
  ])
  expect(scripts.test).toBe('node scripts/test.mjs')
  expect(scripts.start).toContain('node scripts/run-ts.mjs examples/demo.ts')
})

test('the demo shows a refusal that cost no byte, and a rotation', async () => {
  const output = await runNode(['scripts/run-ts.mjs', 'examples/demo.ts'])
  const order = [
    'onBadPin runs first',
    'BadPinError (ERR_BAD_PIN)',
    'bad ssl pin detected, found pins: [',
    'he received 0 bytes',
    '4. A new key',
    '✔ 200',
  ]
  let from = 0
  for (const part of order) {
    const at = output.indexOf(part, from)
    expect(at, `${part} in:\n${output}`).toBeGreaterThanOrEqual(from)
    from = at
  }
})
