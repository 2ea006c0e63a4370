import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeBlocks, Examples } from '../examples.js'
import { type Endpoint, startGenuine } from '../testkit.js'
import { Command } from './command.js'

const command = new Command()
const guide = readFileSync(new URL('../../docs/migrating.md', import.meta.url), 'utf8')
const leafPin = 'NQvyvzK2bRMPWDVfXSN5s3ZQ4hlSqB5Cmbz7Y2dIuLM='

/** The blocks that have a file's name in front of them. */
const named = new Map(
  Array.from(
    guide.matchAll(/`([\w.-]+)`:\n\n```\w+\n(.*?)^```/gms),
    ([, name = '', block = '']) => [name, block] as const,
  ),
)

test('the commands make what is shown of what is shown', async () => {
  const folder = command.path('migrating')
  mkdirSync(folder)
  for (const [name, block] of named)
    if (!name.endsWith('.json')) writeFileSync(join(folder, name), block)
  const lines = codeBlocks(guide, 'console').flatMap((block) => block.trimEnd().split('\n'))
  let told: string[] = []
  let count = 0
  for (const line of lines) {
    const [, content, file] = /^\$ echo '(.*)' > (\w+)$/.exec(line) ?? []
    if (file !== undefined) {
      writeFileSync(join(folder, file), `${content}\n`)
    } else if (line.startsWith('$ pinfetch ')) {
      expect(told, line).toEqual([]) // all that the one before told is shown
      const child = spawn(process.execPath, [command.script, ...line.split(' ').slice(2)], {
        cwd: folder,
      })
      child.stdin.end()
      const closed = new Promise((resolve) => child.once('close', resolve))
      const [stdout, stderr, code] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        closed,
      ])
      expect(code, `${line}\n${stderr}`).toBe(0)
      told = `${stdout}${stderr}`.split('\n').filter((of) => of !== '')
      count += 1
    } else {
      expect(told.shift()).toBe(line)
    }
  }
  expect([told, count]).toEqual([[], 8])
  const results = [...named].filter(([name]) => name.endsWith('.json'))
  expect(results.map(([name]) => name)).toEqual([
    'from-go.json',
    'from-okhttp.json',
    'from-android.json',
    'from-trustkit.json',
    'from-ios.json',
    'from-hpkp.json',
  ])
  for (const [name, block] of results)
    expect(readFileSync(join(folder, name), 'utf8'), name).toBe(block)
})

describe('an example', () => {
  const sources = codeBlocks(guide, 'js')
  let server: Endpoint
  let examples: Examples

  beforeAll(async () => {
    server = await startGenuine({ hostname: 'api.example.com' })
    examples = new Examples(server.ca, server.port, [
      [leafPin, server.leafPin.slice('sha256/'.length)],
    ])
  })
  afterAll(() => examples.remove())

  test.each(
    [
      ['with the pins of the Go client', () => '200\n'],
      ['with those of curl', () => `${server.leafPin}\n`],
      ['in place of checkServerIdentity', () => 'ERR_BAD_PIN 3\n'],
    ].map(([name, output], index) => [name, output, index] as const),
  )('%s prints what it should', async (_name, output, index) => {
    expect(await examples.run(sources[index] ?? '')).toBe((output as () => string)())
  })

  test('is run for every block', () => {
    expect(sources).toHaveLength(3)
  })
})
