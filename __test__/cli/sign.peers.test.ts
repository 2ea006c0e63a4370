import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Policy } from '../../src/index.js'
import { Command } from './command.js'

const command = new Command()
const openssl = (...args: string[]) => execFileSync('openssl', args)
const policy = JSON.stringify({
  version: 1,
  hosts: { 'a.test': [`sha256/${Buffer.alloc(32, 1).toString('base64')}`] },
})

test('openssl verifies what pinfetch signs, and pinfetch what openssl signs', async () => {
  const path = command.file('policy.json', policy)
  const [key, pub] = [command.path('key.pem'), command.path('pub.pem')]
  openssl('genpkey', '-algorithm', 'ed25519', '-out', key)
  openssl('pkey', '-in', key, '-pubout', '-out', pub)
  expect((await command.run(['sign', '--name', 'orders', '--key', key, path])).code).toBe(0)

  const made = JSON.parse(readFileSync(`${path}.sig`, 'utf8'))
  const digest = createHash('sha256').update(policy).digest('hex')
  const textOf = (version: number) =>
    command.file(
      'signed.txt',
      `pinfetch signed policy 1\nname orders\nversion ${version}\nexpires ${made.expires}\npolicy ${digest}\nlock none\n`,
    )
  const signature = command.path('signature')
  writeFileSync(signature, Buffer.from(made.signatures[0].signature, 'base64'))
  const raw = ['-rawin', '-in', textOf(1)]
  openssl('pkeyutl', '-verify', '-pubin', '-inkey', pub, '-sigfile', signature, ...raw)

  textOf(2)
  const own = openssl('pkeyutl', '-sign', '-inkey', key, ...raw).toString('base64')
  const [{ key: id }] = made.signatures
  writeFileSync(
    `${path}.sig`,
    JSON.stringify({ ...made, version: 2, signatures: [{ key: id, signature: own }] }),
  )
  const verify = { keys: readFileSync(pub, 'utf8'), name: 'orders' }
  expect((await Policy.fromFile(path, { verify })).lookup('a.test').pins).toHaveLength(1)
  expect((await command.run(['pins', '--file', pub])).stdout).toContain(id)
})
