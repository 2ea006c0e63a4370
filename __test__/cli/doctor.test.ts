import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { Command } from './command.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const command = new Command()

test('doctor tells the version, the package, the runtime, and the crates of the lock file', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const lock = readFileSync(join(root, 'Cargo.lock'), 'utf8')
  const locked = (name: string) =>
    `${name} ${new RegExp(`^name = "${name}"\nversion = "(.+)"$`, 'm').exec(lock)?.[1]}`
  const { code, stdout, stderr } = await command.run(['doctor', '--json'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(JSON.parse(stdout)).toMatchObject({
    pinfetch: version,
    binary: expect.stringMatching(/^@pinfetch\/native-/),
    target: expect.stringContaining('-'),
    runtime: `Node.js ${process.versions.node}`,
    platform: `${process.platform}-${process.arch}`,
    tls: locked('rustls'),
    paths: locked('rustls-webpki'),
    crypto: locked('ring'),
    roots: locked('webpki-roots'),
    http: locked('h2'),
  })
})

test('doctor for people has a line for each fact, and names variables without their values', async () => {
  process.env.HTTPS_PROXY = 'http://user:secret@proxy.example.test:8080'
  try {
    const { code, stdout } = await command.run(['doctor'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^pinfetch {2,}\d/)
    expect(stdout).toMatch(/^trust anchors {2,}webpki-roots \d/m)
    expect(stdout).toMatch(/^environment {2,}.*HTTPS_PROXY/m)
    expect(stdout).not.toContain('secret')
  } finally {
    delete process.env.HTTPS_PROXY
  }
})

test('doctor says what is wrong with an installation whose binary is missing', async () => {
  // named and not there: the loader takes no other then
  process.env.NAPI_RS_NATIVE_LIBRARY_PATH = join(root, 'no-such-file.node')
  try {
    const { code, stdout, stderr } = await command.run(['doctor'])
    expect(code).toBe(1)
    expect(stdout).toMatch(/^runtime {2,}Node\.js \d/m)
    expect(stderr).toMatch(/no-such-file\.node, which NAPI_RS_NATIVE_LIBRARY_PATH names/)
    expect(stderr).toContain('(ERR_ADDON)')
  } finally {
    delete process.env.NAPI_RS_NATIVE_LIBRARY_PATH
  }
})
