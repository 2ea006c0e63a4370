import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Client, PolicyFile } from 'pinfetch'
import { expect, test } from 'vitest'
import { CHECK_RULES } from '../../src/cli/check/rules.js'
import { codeBlocks } from '../examples.js'
import { startGenuine, startProxy } from '../testkit.js'
import { Command } from './command.js'

const command = new Command()
const playbook = readFileSync(new URL('../../docs/rotation.md', import.meta.url), 'utf8')

/** A command of the playbook, what it prints there, and how it ends. */
interface Step {
  readonly words: readonly string[]
  readonly shown: readonly string[]
  readonly code: number
}

/** The commands of the playbook, in its order. */
function steps(): Step[] {
  const found: { words: string[]; shown: string[]; code: number }[] = []
  for (const line of codeBlocks(playbook, 'console').flatMap((block) =>
    block.trimEnd().split('\n'),
  )) {
    const last = found.at(-1)
    if (line === '$ echo $?') continue
    if (line.startsWith('$ ')) found.push({ words: wordsOf(line.slice(2)), shown: [], code: 0 })
    else if (/^\d+$/.test(line) && last !== undefined) last.code = Number(line)
    else last?.shown.push(line)
  }
  return found
}

function wordsOf(line: string): string[] {
  return Array.from(line.matchAll(/'([^']*)'|(\S+)/g), ([, quoted, plain]) => quoted ?? plain ?? '')
}

/** What differs from run to run, taken out. */
function timeless(line: string): string {
  return line
    .replace(/sha256\/[\w+/]{43}=/g, 'PIN')
    .replace(/\d{4}-\d{2}-\d{2}/g, 'DATE')
    .replace(/\d+ days/g, 'N days')
    .replace(/ {2,}/g, '  ')
    .trim()
}

test('the commands of the playbook do what it says, and no client is refused at any step', async () => {
  await using server = await startGenuine({ hostname: 'api.example.com' })
  await using proxy = await startProxy({ kind: 'connect', to: server })
  const { leaf, nextLeaf, rootA } = server.pki.certificates
  const folder = command.path('playbook')
  mkdirSync(folder)
  const write = (name: string, content: string) => writeFileSync(join(folder, name), content)
  const read = (name: string) => readFileSync(join(folder, name), 'utf8')
  const run = async (words: readonly string[]) => {
    const child = spawn(process.execPath, [command.script, ...words], { cwd: folder })
    child.stdin.end()
    const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
    const [stdout, stderr, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      closed,
    ])
    return { code, lines: `${stdout}\n${stderr}`.split('\n').map(timeless), stderr }
  }
  /** Whether a client with the file as it is gets an answer. */
  const isServed = async () => {
    const pins = new PolicyFile(read('policy.json')).in().toPins()
    await using client = new Client({ ca: server.ca, lookup: server.lookup, pins })
    return (await client.get(server.url)).ok
  }

  const [policy = ''] = codeBlocks(playbook, 'json')
  const [current = '', root = ''] = policy.match(/sha256\/[\w+/]{43}=/g) ?? []
  write('policy.json', policy.replaceAll(current, leaf.pin).replaceAll(root, rootA.pin))
  write('passphrase.txt', 'correct horse battery staple\n')
  write('ca.pem', server.ca)
  const reach = ['--ca', 'ca.pem', '--connect', `127.0.0.1:${server.port}`]
  let isSwitched = false

  for (const { words, shown, code } of steps()) {
    const [program, name = '', step] = words
    expect(program).toBe('pinfetch')
    const line = words.join(' ')
    if (line.includes('--connect 192.0.2.7:443')) {
      await server.present(['nextLeaf', 'a1']) // a machine with the new certificate
      isSwitched = true
    }
    const asks = ['check', 'watch'].includes(name) || step === 'finish'
    const given = words
      .slice(1)
      .filter((word) => !(asks && ['--connect', '192.0.2.7:443'].includes(word)))
      .map((word) => (word === 'http://proxy.example.net:3128' ? proxy.url : word))

    const ended = await run(asks ? [...given, ...reach] : given)

    expect(ended.code, `${line}\n${ended.stderr}`).toBe(code)
    for (const expected of shown) expect(ended.lines, line).toContain(timeless(expected))
    // the certificate that the authority issues for the request is the kit's, whose key it has made itself
    if (line.includes('--out api-2027.key')) write('api-2027.csr', nextLeaf.spkiPem)
    expect(await isServed(), line).toBe(true)
  }

  expect(isSwitched).toBe(true)
  const pins = new PolicyFile(read('policy.json')).in().sets.get('api.example.com')?.pins
  expect(pins?.map(({ label, role }) => [label, role])).toEqual([
    ['Example Root', 'root'],
    ['api 2027', 'current'],
    ['api 2028', 'backup'],
  ])
})

test('finish refuses at every step before the switch', async () => {
  await using server = await startGenuine({ hostname: 'api.example.com' })
  const { leaf, nextLeaf, rootA } = server.pki.certificates
  const hosts = {
    'api.example.com': [
      { pin: leaf.pin, role: 'retired' },
      { pin: nextLeaf.pin, role: 'current' },
      { pin: rootA.pin, role: 'root' },
    ],
  }
  const file = command.file('early.json', JSON.stringify({ version: 1, hosts }))
  const ca = command.file('early.pem', server.ca)

  const args = ['rotate', 'finish', file, '--ca', ca, '--connect', `127.0.0.1:${server.port}`]
  expect(await command.run(args)).toMatchObject({ code: 7 })
  expect(readFileSync(file, 'utf8')).toBe(JSON.stringify({ version: 1, hosts }))
})

test('every policy of the playbook can be read', () => {
  const policies = codeBlocks(playbook, 'json')
  expect(policies).toHaveLength(2)
  for (const policy of policies) expect(PolicyFile.check(policy)).toEqual([])
})

test('the playbook says of each finding what to do, and of no other', () => {
  const [, night = ''] = playbook.split('\n## At 3 a.m.\n')
  const headings = Array.from(night.matchAll(/^### (.+)$/gm), ([, heading]) => heading)
  expect(headings.toSorted()).toEqual(Object.keys(CHECK_RULES).toSorted())
})
