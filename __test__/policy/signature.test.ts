import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import {
  lockCaSets,
  Policy,
  type PolicyFaultEvent,
  PolicyFile,
  type PolicySignatures,
  signPolicy,
  type VerifyPolicy,
  verifyPolicySignatures,
} from '../../src/index.js'
import { codeBlocks, root, runNode } from '../examples.js'

const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [A, B] = [pinOf(1), pinOf(2)]
const [ours, theirs, third] = [0, 1, 2].map(() => generateKeyPairSync('ed25519')) as [
  Pair,
  Pair,
  Pair,
]
type Pair = ReturnType<typeof generateKeyPairSync>
const idOf = ({ publicKey }: Pair) => {
  const spki = (publicKey as unknown as { export(o: object): Buffer }).export({
    type: 'spki',
    format: 'der',
  })
  return `sha256/${createHash('sha256').update(spki).digest('base64')}`
}
const keys = ours.publicKey as never
const name = 'orders/production'

const top = mkdtempSync(join(tmpdir(), 'pinfetch-signed-'))
afterAll(() => rmSync(top, { recursive: true, force: true }))
afterEach(() => {
  vi.useRealTimers()
})
let files = 0
const newPath = () => join(top, `policy-${files++}.json`)
const textOf = (...pins: string[]) => JSON.stringify({ version: 1, hosts: { 'a.test': pins } })
const pinsOf = (policy: Policy) => policy.lookup('a.test').pins

/** Writes `signature` for the policy file at `path`. */
const put = (path: string, signature: unknown) =>
  writeFileSync(`${path}.sig`, JSON.stringify(signature))

/** A signature of what the file at `path` holds. */
function signed(
  path: string,
  version: number,
  by: Pair[] = [ours],
  expires = '2099-01-01',
): PolicySignatures {
  const policy = readFileSync(path)
  return signPolicy(
    { policy, name, version, expires },
    by.map(({ privateKey }) => privateKey) as never,
  )
}

/** A signed policy file with the pin A. */
function signedFile(version = 1, by: Pair[] = [ours], expires?: string): string {
  const path = newPath()
  writeFileSync(path, textOf(A))
  put(path, signed(path, version, by, expires))
  return path
}

const read = (path: string, verify: VerifyPolicy = { keys, name }) =>
  Policy.fromFile(path, { verify })

test('what is signed are these bytes', () => {
  const made = signPolicy(
    { policy: 'policy', name, version: 7, expires: '2099-01-01T00:00:00Z' },
    ours.privateKey as never,
  )
  const digest = createHash('sha256').update('policy').digest('hex')
  const text = `pinfetch signed policy 1\nname orders/production\nversion 7\nexpires 2099-01-01T00:00:00Z\npolicy ${digest}\nlock none\n`
  expect(made).toEqual({
    format: 1,
    name,
    version: 7,
    expires: '2099-01-01T00:00:00Z',
    policy: digest,
    lock: null,
    signatures: [
      {
        key: idOf(ours),
        signature: sign(null, Buffer.from(text), ours.privateKey as never).toString('base64'),
      },
    ],
  })
})

test('a signed file is read, and its signature is told', async () => {
  const path = signedFile(3)
  expect(pinsOf(await read(path))).toEqual([A])
  const { signature } = await PolicyFile.read(path, { verify: { keys, name } })
  expect(signature).toEqual({
    name,
    version: 3,
    expires: new Date('2099-01-01'),
    keys: [idOf(ours)],
  })
  expect((await PolicyFile.read(path)).signature).toBe(null)
})

test.each([
  ['PEM', ours.publicKey.export({ type: 'spki', format: 'pem' } as never)],
  ['PEM in bytes', Buffer.from(ours.publicKey.export({ type: 'spki', format: 'pem' } as never))],
  ['DER', ours.publicKey.export({ type: 'spki', format: 'der' } as never)],
  ['a KeyObject', ours.publicKey],
  ['a list', [theirs.publicKey, ours.publicKey]],
])('a key may be %s', async (_name, keys) => {
  expect(pinsOf(await read(signedFile(), { keys: keys as never, name }))).toEqual([A])
})

describe('is refused:', () => {
  const refusals: [name: string, code: string, make: () => string][] = [
    [
      'a file without a signature',
      'ERR_POLICY_UNSIGNED',
      () => {
        const path = signedFile()
        rmSync(`${path}.sig`)
        return path
      },
    ],
    ['a signature of another key', 'ERR_POLICY_SIGNATURE', () => signedFile(1, [theirs])],
    [
      'a signature of another key under the name of ours',
      'ERR_POLICY_SIGNATURE',
      () => {
        const path = signedFile(1, [theirs])
        const made = signed(path, 1, [theirs])
        put(path, { ...made, signatures: made.signatures.map((s) => ({ ...s, key: idOf(ours) })) })
        return path
      },
    ],
    [
      'a file that was changed afterwards, be it by a space',
      'ERR_POLICY_SIGNATURE',
      () => {
        const path = signedFile()
        writeFileSync(path, `${textOf(A)} `)
        return path
      },
    ],
    [
      'a higher version than was signed',
      'ERR_POLICY_SIGNATURE',
      () => {
        const path = signedFile()
        put(path, { ...signed(path, 1), version: 2 })
        return path
      },
    ],
    [
      'a later end than was signed',
      'ERR_POLICY_SIGNATURE',
      () => {
        const path = signedFile()
        put(path, { ...signed(path, 1), expires: '2099-01-02' })
        return path
      },
    ],
    [
      'the signature of another policy',
      'ERR_POLICY_SIGNATURE',
      () => {
        const path = signedFile()
        writeFileSync(path, textOf(B))
        return path
      },
    ],
    [
      'another policy, whose digest was put into the signature file',
      'ERR_POLICY_SIGNATURE',
      () => {
        const path = signedFile()
        const made = signed(path, 1)
        writeFileSync(path, textOf(B))
        const policy = createHash('sha256').update(textOf(B)).digest('hex')
        put(path, { ...made, policy })
        return path
      },
    ],
    [
      'a signature that has ended',
      'ERR_POLICY_SIGNATURE_EXPIRED',
      () => signedFile(1, [ours], '2020-01-01'),
    ],
    [
      'an empty signature file',
      'ERR_POLICY_SIGNATURE',
      () => {
        const path = signedFile()
        writeFileSync(`${path}.sig`, '')
        return path
      },
    ],
    ...(
      [
        ['of another format', { format: 2 }],
        ['with more in it', { more: 1 }],
        ['without a name', { name: undefined }],
        ['with two lines for a name', { name: 'a\nversion 9' }],
        ['without a version', { version: undefined }],
        ['of version 0', { version: 0 }],
        ['of a broken version', { version: 1.5 }],
        ['without an end', { expires: undefined }],
        ['that ends on no day', { expires: '2099-02-30' }],
        ['without a digest', { policy: undefined }],
        ['with a wrong digest', { policy: 'abc' }],
        ['with a wrong digest of a lock', { lock: 'abc' }],
        ['of a lock that is not there', { lock: '0'.repeat(64) }],
        ['without signatures', { signatures: [] }],
        ['with a list of nothing', { signatures: [null] }],
        ['with a short signature', { signatures: [{ key: idOf(ours), signature: 'AAAA' }] }],
      ] as const
    ).map(([name, more]): [string, string, () => string] => [
      `a signature file ${name}`,
      'ERR_POLICY_SIGNATURE',
      () => {
        const path = signedFile()
        put(path, { ...signed(path, 1), ...more })
        return path
      },
    ]),
  ]

  test.each(refusals)('%s', async (_name, code, make) => {
    const path = make()
    await expect(read(path)).rejects.toMatchObject({ code, file: path })
    // the controls: the same file is read by who asks for no signature, and by everybody once it is signed
    await Policy.fromFile(path)
    put(path, signed(path, 1))
    await read(path)
  })

  test('another policy that the same key has signed', async () => {
    const path = newPath()
    writeFileSync(path, textOf(B))
    const file = { policy: textOf(B), version: 9, expires: '2099-01-01' }
    const staging = signPolicy({ ...file, name: 'orders/staging' }, ours.privateKey as never)
    put(path, staging)
    await expect(read(path)).rejects.toMatchObject({
      code: 'ERR_POLICY_SIGNATURE',
      message: expect.stringContaining(
        'is of the policy "orders/staging", and the one of verify.name is "orders/production"',
      ),
    })
    put(path, { ...staging, name })
    await expect(read(path)).rejects.toMatchObject({
      code: 'ERR_POLICY_SIGNATURE',
      message: expect.stringContaining('is not of this policy'),
    })
    put(path, staging) // the control: it is good for whoever asks for it
    expect(pinsOf(await read(path, { keys, name: 'orders/staging' }))).toEqual([B])
  })

  test('a lock that is not the one that was signed', async () => {
    const path = newPath()
    writeFileSync(path, textOf('ca:letsencrypt'))
    const lockName = PolicyFile.lockNameOf(path)
    const lock = JSON.stringify(lockCaSets(['letsencrypt']))
    writeFileSync(lockName, lock)
    put(
      path,
      signPolicy(
        { policy: textOf('ca:letsencrypt'), lock, name, version: 1, expires: '2099-01-01' },
        ours.privateKey as never,
      ),
    )
    await read(path)
    const forged = { version: 1, roots: 'x', caSets: { letsencrypt: { [A]: 'CN=Mine' } } }
    writeFileSync(lockName, JSON.stringify(forged))
    await expect(read(path)).rejects.toMatchObject({ code: 'ERR_POLICY_SIGNATURE' })
    rmSync(lockName)
    await expect(read(path)).rejects.toMatchObject({ code: 'ERR_POLICY_SIGNATURE' })
    writeFileSync(lockName, lock)
    await read(path)
  })

  test('certificates of a file that is not signed', async () => {
    const path = newPath()
    const withTrust = (trust: unknown) =>
      JSON.stringify({ version: 1, hosts: { 'a.test': { pins: [A], trust } } })
    writeFileSync(path, withTrust({ ca: 'own.pem' }))
    put(path, signed(path, 1))
    await expect(read(path)).rejects.toMatchObject({
      code: 'ERR_POLICY_UNSIGNED',
      pointer: '/hosts/a.test/trust',
    })
    writeFileSync(path, withTrust('ca'))
    put(path, signed(path, 1))
    await read(path)
  })
})

describe('of several keys', () => {
  const two: VerifyPolicy = {
    keys: [ours, theirs, third].map(({ publicKey }) => publicKey) as never,
    name,
    threshold: 2,
  }

  test('as many must have signed as are asked for', async () => {
    await expect(read(signedFile(1, [ours]), two)).rejects.toMatchObject({
      code: 'ERR_POLICY_SIGNATURE',
      message: expect.stringContaining('signed by 1 of the keys'),
    })
    expect(pinsOf(await read(signedFile(1, [third, ours]), two))).toEqual([A])
  })

  test('one key counts once, however often it has signed', async () => {
    const path = signedFile(1, [ours, ours])
    await expect(read(path, two)).rejects.toMatchObject({ code: 'ERR_POLICY_SIGNATURE' })
    const twice = { keys: [ours.publicKey, ours.publicKey] as never, name, threshold: 2 }
    await expect(read(path, twice)).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID_OPTION' })
  })

  test('a wrong signature of one does not spoil those of the others', async () => {
    const path = signedFile(1, [ours, theirs])
    const made = signed(path, 1, [ours, theirs])
    const [own] = signed(path, 2, [third]).signatures
    put(path, { ...made, signatures: [own, ...made.signatures] })
    expect(pinsOf(await read(path, two))).toEqual([A])
  })
})

describe('a version', () => {
  test('that is older than what was seen is refused, also after a restart', async () => {
    const state = `${newPath()}.state`
    const verify = () => ({ keys, name, state }) // a verifier of its own for each
    const path = signedFile(5)
    const old = signedFile(4)
    expect(pinsOf(await read(old))).toEqual([A]) // the control: by itself it is good
    await read(path, verify())
    await read(path, verify()) // the same again
    await expect(read(old, verify())).rejects.toMatchObject({
      code: 'ERR_POLICY_ROLLBACK',
      message: expect.stringContaining('version 4 is older than version 5'),
    })
    await read(signedFile(6), verify())
    await expect(read(path, verify())).rejects.toMatchObject({ code: 'ERR_POLICY_ROLLBACK' })
  })

  test('stands for one policy, whenever its signature ends', async () => {
    const state = `${newPath()}.state`
    const path = signedFile(5)
    await read(path, { keys, name, state })
    put(path, signed(path, 5, [ours], '2099-06-01'))
    await read(path, { keys, name, state })
    writeFileSync(path, textOf(B))
    put(path, signed(path, 5))
    await expect(read(path, { keys, name, state })).rejects.toMatchObject({
      code: 'ERR_POLICY_ROLLBACK',
    })
    put(path, signed(path, 6))
    expect(pinsOf(await read(path, { keys, name, state }))).toEqual([B])
  })

  test('is not seen when it is refused', async () => {
    const state = `${newPath()}.state`
    await expect(read(signedFile(9, [theirs]), { keys, name, state })).rejects.toThrow()
    await expect(read(signedFile(9, [ours], '2020-01-01'), { keys, name, state })).rejects.toThrow()
    await read(signedFile(1), { keys, name, state })
  })

  test('that could not be kept is kept by the next read', async () => {
    const place = `${newPath()}.d`
    mkdirSync(place)
    const state = join(place, 'seen')
    const path = signedFile(1)
    await using policy = await Policy.watch(path, {
      debounce: 60_000,
      verify: { keys, name, state },
    })
    rmSync(place, { recursive: true })
    put(path, signed(path, 3))
    await expect(policy.reload()).rejects.toMatchObject({ code: 'ENOENT' })
    mkdirSync(place)
    await policy.reload()
    expect(JSON.parse(readFileSync(state, 'utf8'))).toMatchObject({ version: 3 })
    await expect(read(signedFile(2), { keys, name, state })).rejects.toMatchObject({
      code: 'ERR_POLICY_ROLLBACK',
    })
    rmSync(state) // one that was deleted is made again
    await policy.reload()
    expect(JSON.parse(readFileSync(state, 'utf8'))).toMatchObject({ version: 3 })
  })

  test('is not kept over a higher one that is read at the same time', async () => {
    const older = signedFile(1)
    const newer = signedFile(2)
    for (let round = 0; round < 10; round++) {
      const state = `${newPath()}.state`
      const verify = { keys, name, state }
      const paths = [older, newer, older, newer, older]
      const readings = await Promise.allSettled(paths.map((path) => read(path, verify)))
      expect(JSON.parse(readFileSync(state, 'utf8'))).toMatchObject({ version: 2 })
      expect(readings[1]).toMatchObject({ status: 'fulfilled' })
    }
  })

  test('is refused when what was seen cannot be read', async () => {
    const state = `${newPath()}.state`
    const path = signedFile(1)
    for (const text of ['', '{}', '[]', '{"version": "1", "content": "x"}']) {
      writeFileSync(state, text)
      await expect(read(path, { keys, name, state })).rejects.toMatchObject({
        code: 'ERR_POLICY_ROLLBACK',
        message: expect.stringContaining(state),
      })
    }
    rmSync(state)
    await read(path, { keys, name, state })
    await expect(read(path, { keys, name, state: join(state, 'x') })).rejects.toMatchObject({
      code: 'ENOTDIR',
    })
  })
})

describe('a watched file', () => {
  const next = async (policy: EventTarget, kind: string) => (await once(policy, kind))[0]

  test('takes signed policies alone, and no older one', async () => {
    const path = signedFile(2)
    await using policy = await Policy.watch(path, { debounce: 30, verify: { keys, name } })
    expect(policy.signature).toMatchObject({ version: 2 })

    let fault = next(policy, 'fault')
    writeFileSync(path, textOf(B))
    let event = (await fault) as PolicyFaultEvent
    expect(event.error).toMatchObject({ code: 'ERR_POLICY_SIGNATURE' })
    expect(pinsOf(policy.policy)).toEqual([A])

    const swap = next(policy, 'swap')
    put(path, signed(path, 3))
    await swap
    expect(pinsOf(policy.policy)).toEqual([B])
    expect(policy.signature).toMatchObject({ version: 3 })

    fault = next(policy, 'fault')
    writeFileSync(path, textOf(A))
    put(path, signed(path, 2))
    event = (await fault) as PolicyFaultEvent
    expect(event.error).toMatchObject({ code: 'ERR_POLICY_ROLLBACK' })
    expect(pinsOf(policy.policy)).toEqual([B])
  })

  test('whose signature ends is a fault, and its policy stays until there is another', async () => {
    const path = signedFile(1, [ours], '2098-01-01')
    await using policy = await Policy.watch(path, { debounce: 5, poll: 10, verify: { keys, name } })
    vi.useFakeTimers({ toFake: ['Date'] })
    const fault = next(policy, 'fault')
    vi.setSystemTime(new Date('2098-01-01'))
    const event = (await fault) as PolicyFaultEvent
    expect(event.error).toMatchObject({ code: 'ERR_POLICY_SIGNATURE_EXPIRED' })
    expect(pinsOf(policy.policy)).toEqual([A])
    writeFileSync(path, textOf(B))
    const swap = next(policy, 'swap')
    put(path, signed(path, 2))
    await swap
    expect(policy.fault).toBe(null)
  })

  test('is not begun without its signature', async () => {
    const path = signedFile(1, [theirs])
    await expect(Policy.watch(path, { verify: { keys, name } })).rejects.toMatchObject({
      code: 'ERR_POLICY_SIGNATURE',
    })
  })
})

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
test.each([
  [1, 'verify is a number: give { keys, name }'],
  [{}, 'verify.keys is empty'],
  [{ keys: [] }, 'verify.keys is empty'],
  [{ keys, key: 1 }, 'did you mean keys?'],
  [{ keys: 'hunter2' }, 'verify.keys[0] is no public key in PEM or DER'],
  [{ keys: [keys, 1] }, 'verify.keys[1] is no public key'],
  [{ keys: ours.privateKey }, 'verify.keys[0] is a private key: give the public one'],
  [
    { keys: ours.privateKey.export({ type: 'pkcs8', format: 'pem' } as never) },
    'verify.keys[0] is no public key',
  ],
  [{ keys: ec.publicKey }, 'verify.keys[0] is a key of ec: give one of Ed25519'],
  [{ keys }, 'verify.name is missing: name the policy by 1 to 100 visible characters of ASCII'],
  [{ keys, name: 1 }, 'verify.name is a number'],
  [{ keys, name: '' }, 'verify.name is no such name'],
  [{ keys, name: 'a b' }, 'verify.name is no such name'],
  [{ keys, name, threshold: 0 }, 'verify.threshold is 0'],
  [{ keys, name, threshold: 2 }, 'verify.threshold is 2, and there are 1 keys'],
  [{ keys, name, state: '' }, 'verify.state is a string'],
])('refuses the option %j', async (verify, message) => {
  const refused = expect.objectContaining({
    code: 'ERR_POLICY_INVALID_OPTION',
    option: 'verify',
    message: expect.stringContaining(message),
  })
  const path = signedFile()
  await expect(read(path, verify as never)).rejects.toEqual(refused)
  await expect(Policy.watch(path, { verify: verify as never })).rejects.toEqual(refused)
  await expect(read(path, verify as never)).rejects.not.toThrow('hunter2')
})

test('a misspelt option is refused, and not taken for none', async () => {
  const path = signedFile(1, [theirs])
  const misspelt = { verfy: { keys } } as never
  for (const reading of [
    () => Policy.fromFile(path, misspelt),
    () => PolicyFile.read(path, misspelt),
    () => Policy.watch(path, misspelt),
  ])
    await expect(reading()).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID_OPTION',
      message: expect.stringContaining('did you mean verify?'),
    })
  await Policy.fromFile(path, {})
})

test('the example of the manual verifies', async () => {
  const manual = readFileSync(join(root, 'docs', 'policy-file.md'), 'utf8')
  const source = codeBlocks(manual, 'js').find((block) => block.includes('verify')) ?? ''
  const path = signedFile(1)
  const pem = join(top, 'signing.pub.pem')
  writeFileSync(pem, ours.publicKey.export({ type: 'spki', format: 'pem' } as never))
  const state = `${newPath()}.state`
  const folder = mkdtempSync(join(root, 'dist', 'examples-')) // within the package, which may then import itself by name
  const script = join(folder, 'example.mjs')
  writeFileSync(
    script,
    `${source
      .replace("'policy.json'", JSON.stringify(path))
      .replace("'signing.pub.pem'", JSON.stringify(pem))
      .replace("'/var/lib/app/policy-seen.json'", JSON.stringify(state))}
console.log(policy.lookup('a.test').pins.length)\n`,
  )
  try {
    expect(await runNode([script])).toBe('1\n')
    expect(JSON.parse(readFileSync(state, 'utf8'))).toMatchObject({ version: 1 })
    rmSync(`${path}.sig`)
    await expect(runNode([script])).rejects.toThrow('ERR_POLICY_UNSIGNED')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('who has signed what a signature file says is told, whatever the policy file holds', () => {
  const path = signedFile(4, [ours, theirs])
  const made = signed(path, 4, [ours, theirs])
  writeFileSync(path, textOf(B))
  const all = [third, theirs, ours].map(({ publicKey }) => publicKey) as never
  expect(verifyPolicySignatures(made, all)).toEqual([idOf(ours), idOf(theirs)])
  expect(verifyPolicySignatures(made, third.publicKey as never)).toEqual([])
  for (const more of [{ version: 5 }, { name: 'b' }, { expires: '2100-01-01' }, { lock: '0' }])
    expect(verifyPolicySignatures({ ...made, ...more }, all)).toEqual([])
  expect(() => verifyPolicySignatures(made, 'hunter2')).toThrow('keys[0] is no public key')
})

test('a file is signed byte for byte as it was read', async () => {
  const path = newPath()
  const as = { name, version: 1, expires: '2099-01-01' }
  writeFileSync(path, `\ufeff${textOf(A)}`)
  const file = await PolicyFile.read(path)
  writeFileSync(path, textOf(B))
  put(path, file.sign(as, ours.privateKey as never))
  await expect(read(path)).rejects.toMatchObject({ code: 'ERR_POLICY_SIGNATURE' })
  writeFileSync(path, `\ufeff${textOf(A)}`)
  expect(pinsOf(await read(path))).toEqual([A])
  expect(() => new PolicyFile(textOf(A)).sign(as, ours.privateKey as never)).toThrow(
    'the policy was not read from a file',
  )
})

test.each([
  [{ name: 'a\nb' }, 'name is no such name'],
  [{ name: undefined as never }, 'name is missing'],
  [{ version: 0 }, 'version is no whole number'],
  [{ expires: 'soon' }, 'expires is no date'],
])('signs nothing with %j', (more, message) => {
  const good = { policy: 'x', name, version: 1, expires: '2099-01-01' }
  expect(() => signPolicy({ ...good, ...more }, ours.privateKey as never)).toThrow(message)
  expect(() => signPolicy(good, ours.publicKey as never)).toThrow('keys[0] is no private key')
  signPolicy(good, ours.privateKey as never)
})
