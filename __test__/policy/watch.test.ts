import { channel } from 'node:diagnostics_channel'
import { once } from 'node:events'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import {
  Client,
  Policy,
  PolicyFaultEvent,
  PolicyFile,
  PolicySwapEvent,
  WatchedPolicy,
  type WatchOptions,
} from '../../src/index.js'
import { codeBlocks, Examples, root, runNode } from '../examples.js'
import { startGenuine } from '../testkit.js'

const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [A, B, C] = [pinOf(1), pinOf(2), pinOf(3)]

const top = mkdtempSync(join(tmpdir(), 'pinfetch-watch-'))
afterAll(() => rmSync(top, { recursive: true, force: true }))
let folders = 0
/** A new folder. */
function folder(): string {
  const path = join(top, String(folders++))
  mkdirSync(path)
  return path
}

const textOf = (...pins: string[]) => JSON.stringify({ version: 1, hosts: { 'a.test': pins } })
const quick: WatchOptions = { debounce: 5 }

/** A file with one pin, watched. */
async function watched(
  options: WatchOptions = quick,
): Promise<{ path: string; policy: WatchedPolicy }> {
  const path = join(folder(), 'policy.json')
  writeFileSync(path, textOf(A))
  return { path, policy: await Policy.watch(path, options) }
}

const pinsOf = (policy: WatchedPolicy) => policy.policy.lookup('a.test').pins

/** Resolves to the next event of a kind. */
async function next<Kind extends 'swap' | 'fault'>(
  policy: WatchedPolicy,
  kind: Kind,
): Promise<Kind extends 'swap' ? PolicySwapEvent : PolicyFaultEvent> {
  const [event] = await once(policy, kind)
  return event
}

const kubernetes = (path: string, version: number, text: string) => {
  const data = join(path, `..v${version}`)
  mkdirSync(data)
  writeFileSync(join(data, 'policy.json'), text)
  symlinkSync(`..v${version}`, join(path, '..data_tmp'))
  renameSync(join(path, '..data_tmp'), join(path, '..data'))
  if (version > 1) rmSync(join(path, `..v${version - 1}`), { recursive: true })
}

describe('a watched policy follows its file when it is', () => {
  test.each<[name: string, write: (path: string) => void]>([
    ['written over', (path) => writeFileSync(path, textOf(B))],
    [
      'replaced by another',
      (path) => {
        writeFileSync(`${path}.new`, textOf(B))
        renameSync(`${path}.new`, path)
      },
    ],
    [
      'moved away and written anew, as some editors do',
      (path) => {
        renameSync(path, `${path}~`)
        writeFileSync(path, textOf(B))
      },
    ],
    [
      'deleted and written anew',
      (path) => {
        unlinkSync(path)
        writeFileSync(path, textOf(B))
      },
    ],
    [
      'written piece by piece',
      (path) => {
        writeFileSync(path, '')
        for (const character of textOf(B)) appendFileSync(path, character)
      },
    ],
    [
      'made a link',
      (path) => {
        writeFileSync(`${path}.other`, textOf(B))
        unlinkSync(path)
        symlinkSync(`${path}.other`, path)
      },
    ],
  ])('%s', async (_name, write) => {
    const { path, policy } = await watched()
    await using _ = policy
    expect(pinsOf(policy)).toEqual([A])
    const swap = next(policy, 'swap')
    write(path)
    const event = await swap
    expect(event).toBeInstanceOf(PolicySwapEvent)
    expect(event.policy).toBe(policy.policy)
    expect(pinsOf(policy)).toEqual([B])
    expect(policy.fault).toBe(null)
  })

  test('linked through a folder that is replaced, as config maps are', async () => {
    const path = folder()
    kubernetes(path, 1, textOf(A))
    symlinkSync('..data/policy.json', join(path, 'policy.json'))
    await using policy = await Policy.watch(join(path, 'policy.json'), quick)
    for (const [version, pin] of [
      [2, B],
      [3, C],
      [4, A],
    ] as const) {
      const swap = next(policy, 'swap')
      kubernetes(path, version, textOf(pin))
      await swap
      expect(pinsOf(policy)).toEqual([pin])
    }
  })

  test('a link to a file that changes in another folder', async () => {
    const [here, there] = [join(folder(), 'policy.json'), join(folder(), 'policy.json')]
    writeFileSync(there, textOf(A))
    symlinkSync(there, here)
    await using policy = await Policy.watch(here, quick)
    const swap = next(policy, 'swap')
    writeFileSync(there, textOf(B))
    await swap
    expect(pinsOf(policy)).toEqual([B])
  })

  test('in a folder that is deleted and made anew', async () => {
    const { path, policy } = await watched({ debounce: 5, poll: 20 })
    await using _ = policy
    const fault = next(policy, 'fault')
    rmSync(join(path, '..'), { recursive: true })
    expect((await fault).error).toMatchObject({ code: 'ENOENT' })
    for (const pin of [B, C]) {
      const swap = next(policy, 'swap')
      mkdirSync(join(path, '..'), { recursive: true })
      writeFileSync(path, textOf(pin))
      await swap
      expect(pinsOf(policy)).toEqual([pin])
    }
  })

  test('given another lock', async () => {
    const path = join(folder(), 'policy.json')
    const lockOf = (pin: string) =>
      JSON.stringify({ version: 1, roots: 'x', caSets: { letsencrypt: { [pin]: 'CN=Root' } } })
    writeFileSync(path, textOf('ca:letsencrypt'))
    writeFileSync(PolicyFile.lockNameOf(path), lockOf(A))
    await using policy = await Policy.watch(path, quick)
    expect(pinsOf(policy)).toEqual([A])
    const swap = next(policy, 'swap')
    writeFileSync(PolicyFile.lockNameOf(path), lockOf(B))
    await swap
    expect(pinsOf(policy)).toEqual([B])
  })
})

test('trust anchors that the file names are followed, too', async () => {
  await using server = await startGenuine()
  const { hostname, lookup, url, rootPin, pki } = server
  const [path, other] = [join(folder(), 'policy.json'), folder()]
  const roots = join(other, 'roots.pem')
  writeFileSync(roots, pki.certificates.rootB.pem)
  const set = { pins: [rootPin], trust: { ca: roots } }
  writeFileSync(path, JSON.stringify({ version: 1, hosts: { [hostname]: set } }))
  await using policy = await Policy.watch(path, quick)
  await using client = new Client({ lookup, pins: policy })
  await expect(client.get(url)).rejects.toMatchObject({ code: 'ERR_CERT_UNKNOWN_ISSUER' })

  const fault = next(policy, 'fault')
  unlinkSync(roots)
  expect((await fault).error).toMatchObject({ code: 'ERR_POLICY_INVALID_CA' })
  const swap = next(policy, 'swap')
  writeFileSync(roots, pki.certificates.rootA.pem)
  await swap
  expect((await client.get(url)).status).toBe(200)
})

test('trust anchors that arrive after the file that names them are found', async () => {
  const { path, policy } = await watched({ debounce: 5, poll: 20 })
  await using _ = policy
  await using server = await startGenuine()
  const roots = join(folder(), 'new.pem') // in a folder that nothing in force leads to
  const set = { pins: [B], trust: { ca: roots } }
  const fault = next(policy, 'fault')
  writeFileSync(path, JSON.stringify({ version: 1, hosts: { 'a.test': set } }))
  expect((await fault).error).toMatchObject({ code: 'ERR_POLICY_INVALID_CA' })
  expect(pinsOf(policy)).toEqual([A])
  const swap = next(policy, 'swap')
  writeFileSync(roots, server.ca)
  await swap
  expect(pinsOf(policy)).toEqual([B])
  expect(policy.fault).toBe(null)
})

describe('a file that is broken for a while', () => {
  test.each<[name: string, damage: (path: string) => void, error: object]>([
    ['is empty', (path) => writeFileSync(path, ''), { code: 'ERR_POLICY_INVALID_OPTION' }],
    [
      'has a wrong pin',
      (path) => writeFileSync(path, textOf('sha256/AAAA')),
      { code: 'ERR_POLICY_INVALID_PIN', pointer: '/hosts/a.test/0', line: 1 },
    ],
    ['has no hosts', (path) => writeFileSync(path, '{"version": 1, "hosts": {}}'), {}],
    ['is gone', (path) => unlinkSync(path), { code: 'ENOENT' }],
    [
      'is a folder',
      (path) => {
        unlinkSync(path)
        mkdirSync(path)
      },
      { code: 'EISDIR' },
    ],
  ])(
    '%s: the last good policy holds, the fault is told once, and the next change mends it',
    async (_name, damage, error) => {
      const told: unknown[] = []
      const published: unknown[] = []
      const logger = {
        info: (message: string) => void told.push(`info: ${message}`),
        error: (message: string) => void told.push(`error: ${message}`),
      }
      const { path, policy } = await watched({ ...quick, logger })
      await using _ = policy
      const keep = (message: unknown) => void published.push(message)
      channel('pinfetch:policy:fault').subscribe(keep)
      let faults = 0
      policy.addEventListener('fault', () => void faults++)

      const fault = next(policy, 'fault')
      damage(path)
      const event = await fault
      expect(event).toBeInstanceOf(PolicyFaultEvent)
      expect(event).toMatchObject({ file: path, error })
      expect(policy.fault).toBe(event.error)
      expect(pinsOf(policy)).toEqual([A])
      await expect(policy.reload()).rejects.toMatchObject(error)
      expect(faults).toBe(1)
      expect(published).toEqual([{ file: path, error: event.error }])

      const swap = next(policy, 'swap')
      rmSync(path, { recursive: true, force: true })
      writeFileSync(path, textOf(B))
      await swap
      expect(pinsOf(policy)).toEqual([B])
      expect(policy.fault).toBe(null)
      channel('pinfetch:policy:fault').unsubscribe(keep)
      expect(told.at(0)).toBe('error: policy fault')
      expect(told.at(-1)).toBe('info: policy in force')
    },
  )

  test('is refused when there is no good policy yet', async () => {
    const path = join(folder(), 'policy.json')
    await expect(Policy.watch(path)).rejects.toMatchObject({ code: 'ENOENT' })
    writeFileSync(path, '{')
    await expect(Policy.watch(path)).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID_OPTION' })
    writeFileSync(path, textOf(A))
    await (await Policy.watch(path)).close()
  })
})

describe('a client of a watched policy', () => {
  test('gets the new pins, and a policy that cuts it off waits until it is forced', async () => {
    await using server = await startGenuine()
    const { hostname, ca, lookup, url } = server
    const path = join(folder(), 'policy.json')
    const write = (...pins: string[]) =>
      writeFileSync(path, JSON.stringify({ version: 1, hosts: { [hostname]: pins } }))
    write(server.leafPin)
    await using policy = await Policy.watch(path, quick)
    await using client = new Client({ ca, lookup, pins: policy })
    expect((await client.get(url)).status).toBe(200)

    const swap = next(policy, 'swap')
    write(server.rootPin)
    expect((await swap).swap).toMatchObject({ closedConnections: 0, changed: [hostname] })
    expect((await client.get(url)).status).toBe(200)

    const fault = next(policy, 'fault')
    write(A)
    expect((await fault).error).toMatchObject({ code: 'ERR_POLICY_CUTS_OFF' })
    expect((await client.get(url)).status).toBe(200)
    await expect(policy.reload()).rejects.toMatchObject({ code: 'ERR_POLICY_CUTS_OFF' })

    // in an emergency, this once
    await expect(policy.reload({ force: 1 as never })).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID_OPTION',
    })
    expect(await policy.reload({ force: true })).toMatchObject({ closedConnections: 1 })
    expect(policy.fault).toBe(null)
    await expect(client.get(url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })

    await using forced = await Policy.watch(path, { ...quick, force: true })
    await using other = new Client({ ca, lookup, pins: forced })
    await expect(other.get(url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
    const back = next(forced, 'swap')
    write(server.leafPin)
    await back
    expect((await other.get(url)).status).toBe(200)
    const off = next(forced, 'swap')
    write(A)
    expect((await off).swap.closedConnections).toBe(1)
    await expect(other.get(url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  })

  test('a policy that cuts off is tried again, and holds once the traffic has ended', async () => {
    await using server = await startGenuine()
    const { hostname, ca, lookup, url } = server
    const path = join(folder(), 'policy.json')
    const write = (pin: string) =>
      writeFileSync(path, JSON.stringify({ version: 1, hosts: { [hostname]: [pin] } }))
    write(server.leafPin)
    await using policy = await Policy.watch(path, { debounce: 5, poll: 20 })
    const client = new Client({ ca, lookup, pins: policy })
    expect((await client.get(url)).status).toBe(200)
    const fault = next(policy, 'fault')
    write(A)
    await fault
    const swap = next(policy, 'swap')
    await client.close()
    await swap
    expect(policy.policy.lookup(hostname).pins).toEqual([A])
  })
})

test('reload tells what has changed, at once', async () => {
  const { path, policy } = await watched({ debounce: 60_000 })
  await using _ = policy
  expect(await policy.reload()).toBe(null)
  writeFileSync(path, textOf(A, B))
  expect(await policy.reload()).toMatchObject({ gained: ['a.test'], lost: [] })
  writeFileSync(path, `${textOf(A, B)}\n`)
  expect(await policy.reload()).toBe(null) // another text of the same policy
  expect(pinsOf(policy)).toEqual([A, B])
})

test('what the system does not tell of is found by and by', async () => {
  const { path, policy } = await watched({ debounce: 2 ** 31 - 1, poll: 20 })
  await using _ = policy
  const swap = next(policy, 'swap')
  writeFileSync(path, textOf(B))
  await swap
  expect(pinsOf(policy)).toEqual([B])
})

test('an environment is followed, and stays the one that was named', async () => {
  const path = join(folder(), 'policy.json')
  const write = (pin: string) =>
    writeFileSync(
      path,
      JSON.stringify({
        version: 1,
        environments: { one: { hosts: { 'a.test': [pin] } }, two: { hosts: { 'a.test': [C] } } },
      }),
    )
  write(A)
  await expect(Policy.watch(path)).rejects.toThrow('it has environments')
  await using policy = await Policy.watch(path, { ...quick, environment: 'one' })
  const swap = next(policy, 'swap')
  write(B)
  await swap
  expect(pinsOf(policy)).toEqual([B])
})

test('is set by its file alone, and by nothing once it is closed', async () => {
  const { path, policy } = await watched({ debounce: 0, poll: 1 })
  await expect(policy.set()).rejects.toThrow(`the policy follows ${path}`)
  expect(policy).toBeInstanceOf(WatchedPolicy)
  await policy.close()
  await policy.close()
  writeFileSync(path, textOf(B))
  await expect(policy.reload()).rejects.toMatchObject({ code: 'ERR_CLIENT_CLOSED' })
  expect(pinsOf(policy)).toEqual([A])
})

test('does not keep the process alive', async () => {
  const path = join(folder(), 'policy.json')
  writeFileSync(path, textOf(A))
  const script = join(folder(), 'watch.mjs')
  writeFileSync(
    script,
    `import { Policy } from ${JSON.stringify(pathToFileURL(join(root, 'dist/esm/index.js')).href)}
const policy = await Policy.watch(${JSON.stringify(path)})
console.log(policy.policy.lookup('a.test').pins.length)
`,
  )
  expect(await runNode([script])).toBe('1\n')
})

test('the example of the manual follows a file', async () => {
  const manual = readFileSync(join(root, 'docs', 'policy-file.md'), 'utf8')
  const source = codeBlocks(manual, 'js').find((block) => block.includes("'swap'")) ?? ''
  const path = join(folder(), 'policy.json')
  writeFileSync(path, textOf(A))
  await using server = await startGenuine()
  const examples = new Examples(server.ca, server.port, [["'policy.json'", JSON.stringify(path)]])
  try {
    const more = `import { writeFileSync } from 'node:fs'
writeFileSync(${JSON.stringify(path)}, ${JSON.stringify(textOf(A, B))})
await policy.reload()
writeFileSync(${JSON.stringify(path)}, '')
console.error = console.log
await policy.reload().catch(() => {})
`
    const told = await examples.run(source + more)
    expect(told).toBe(`in force: [ 'a.test' ] [] []\n${path}:1:1: no JSON: the file is empty\n`)
  } finally {
    examples.remove()
  }
})

test.each([
  [{ debounce: -1 }, 'debounce is -1: give milliseconds'],
  [{ poll: 0 }, 'poll is 0: give milliseconds'],
  [{ poll: '1s' }, 'poll is a string'],
  [{ force: 1 }, 'force is a number'],
  [{ enviroment: 'x' }, 'did you mean environment?'],
  [{ logger: { error: 1 } }, 'logger.error is a number'],
  [1, 'the options are a number'],
])('refuses the options %j', async (options, message) => {
  await expect(Policy.watch('none.json', options as never)).rejects.toMatchObject({
    code: 'ERR_POLICY_INVALID_OPTION',
    message: expect.stringContaining(message),
  })
})
