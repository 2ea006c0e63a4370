import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Endpoint, startGenuine } from './testkit.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const examples = blocks('js')
const leafPin = 'sha256/NQvyvzK2bRMPWDVfXSN5s3ZQ4hlSqB5Cmbz7Y2dIuLM='

let folder = ''
let server: Endpoint

beforeAll(async () => {
  mkdirSync(join(root, 'dist'), { recursive: true })
  folder = mkdtempSync(join(root, 'dist', 'readme-')) // within the package, which may then import itself by name
  server = await startGenuine({ hostname: 'api.example.com' })
  writeFileSync(join(folder, 'ca.pem'), server.ca)
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('there are as many examples as are run here', () => {
  expect([examples.length, blocks('console').length, blocks('sh').length]).toEqual([3, 1, 3])
  expect(readme.match(/^```\w+/gm)).toHaveLength(7)
})

test('the pinned request gets its answer', async () => {
  const output = await example(0)
  expect(output).toMatch(/^200 .*\n/)
  expect(output).toContain(`matched ${server.leafPin}\n`)
})

test('the bad pin calls the handler, and then rejects', async () => {
  const before = await server.stats()
  const [told, message, ...hint] = (await example(1)).trimEnd().split('\n')
  expect(told).toBe('bad pin for https://api.example.com/data')
  expect(message).toMatch(/^bad ssl pin detected, found pins: \[\S+= \S+= \S+=\]$/)
  expect(hint.join('\n')).toContain('pinfetch pins')
  const after = await server.stats()
  expect(after.applicationBytes).toBe(before.applicationBytes)
  expect(after.accepted).toBe(before.accepted + 1)
})

test('new pins close the connection that they refuse', async () => {
  expect(await example(2)).toBe('closed 1\n')
})

test('the command prints pins as shown', async () => {
  const [shown = ''] = blocks('console')
  const [line = '', ...expected] = shown.trimEnd().split('\n')
  const words = line.split(' ')
  expect(words.slice(0, 3)).toEqual(['$', 'npx', 'pinfetch'])
  const output = await run([
    'dist/cli.js',
    ...words.slice(3),
    ...['--ca', join(folder, 'ca.pem'), '--connect', `127.0.0.1:${server.port}`],
  ])
  const placeholder = (line: string) => line.replace(/[\w+/]{43}=/, '…')
  const printed = output.trimEnd().split('\n')
  expect(printed.map(placeholder)).toEqual(expected.map(placeholder))
  expect(printed[1]?.trim()).toBe(server.leafPin)
})

test('the two commands for a checkout are scripts of the package', () => {
  const { name, scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect(blocks('sh')).toEqual([
    `npm install ${name}\n`,
    'npm ci && npm start\n',
    'npm ci && npm test\n',
  ])
  expect(scripts.test).toBe('node scripts/test.mjs')
  expect(scripts.start).toContain('node scripts/run-ts.mjs examples/demo.ts')
})

test('the demo shows a refusal that cost no byte, and a rotation', async () => {
  const output = await run(['scripts/run-ts.mjs', 'examples/demo.ts'])
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

/** Runs an example as it stands, but for where its server is: the test kit's, with its own root and pins. */
async function example(index: number): Promise<string> {
  const file = join(folder, `example-${index}.mjs`)
  const here = JSON.stringify({ ca: server.ca, lookup: { 'api.example.com': '127.0.0.1' } })
  const source = (examples[index] ?? '')
    .replaceAll(leafPin, server.leafPin)
    .replaceAll('https://api.example.com/', `https://api.example.com:${server.port}/`)
  const [imports = '', ...body] = source.split('\n')
  writeFileSync(
    file,
    `${imports.replace('Client', 'Client as Original')}
class Client extends Original {
  constructor(options) {
    super({ ...options, ...${here} })
  }
}
${body.join('\n')}`,
  )
  return (await run([file])).replaceAll(`:${server.port}/`, '/')
}

async function run(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  expect(code, stderr).toBe(0)
  return stdout
}

function blocks(language: string): string[] {
  const fenced = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms')
  return Array.from(readme.matchAll(fenced), ([, block = '']) => block)
}
