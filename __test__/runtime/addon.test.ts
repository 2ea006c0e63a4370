import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { versions } from 'pinfetch'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { interfaceNumber } from '../../scripts/interface.mjs'
import { PLATFORMS, packageOfTarget } from '../../src/addon.js'
import { bundle } from '../bundle.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pinfetch-addon-'))
  await bundle(join(folder, 'index.js'), {
    PINFETCH_VERSION: '"1.2.3"',
    PINFETCH_INTERFACE: '"c0ffee00"',
  })
})

afterAll(() => rm(folder, { recursive: true }))

interface Installation {
  /** The packages of platforms that are installed, with the code of each. */
  readonly packages?: Readonly<Record<string, string>>
  /** What Node.js says that it runs on. */
  readonly platform?: string
  readonly arch?: string
  readonly isMusl?: boolean
  /** Whether the generated loader lies where the package has it. @default true */
  readonly hasLoader?: boolean
}

let installations = 0

/** The error of the first use of an installation, in a process of its own; what `versions()` tells where there is none. */
async function firstUse(installation: Installation): Promise<Record<string, string>> {
  const { packages = {}, platform = 'linux', arch = 'x64', isMusl = false } = installation
  installations += 1
  const modules = join(folder, String(installations), 'node_modules')
  const home = join(modules, 'pinfetch')
  await mkdir(join(home, 'dist/cjs'), { recursive: true })
  await cp(join(folder, 'index.js'), join(home, 'dist/cjs/index.js'))
  if (installation.hasLoader !== false) await cp(join(root, 'native.cjs'), join(home, 'native.cjs'))
  for (const [name, code] of Object.entries(packages)) {
    const place = join(modules, '@pinfetch', `native-${name}`)
    await mkdir(place, { recursive: true })
    await writeFile(join(place, 'package.json'), '{ "version": "1.2.3", "main": "index.js" }')
    await writeFile(join(place, 'index.js'), code)
  }
  const program = `
    for (const [name, value] of Object.entries(${JSON.stringify({ platform, arch })}))
      Object.defineProperty(process, name, { value })
    process.report.getReport = () => ({ header: ${isMusl ? '{}' : "{ glibcVersionRuntime: '2.36' }"}, sharedObjects: [] })
    const fs = require('node:fs')
    const readFileSync = fs.readFileSync
    fs.readFileSync = (file, ...rest) => file === '/usr/bin/ldd' ? '${isMusl ? 'musl' : 'glibc'}' : readFileSync(file, ...rest)
    const pinfetch = require(${JSON.stringify(home)} + '/dist/cjs/index.js')
    try {
      console.log(JSON.stringify(pinfetch.versions()))
    } catch (error) {
      const { name, code, message, cause } = error
      console.log(JSON.stringify({ name, code, message, cause: cause?.message, causeCode: cause?.code }))
    }`
  const { stdout } = await run(process.execPath, ['-e', program], { cwd: folder })
  return JSON.parse(stdout)
}

const WORKS = `exports.versions = () => '{ "pinfetch": "1.2.3", "interface": "c0ffee00", "target": "x86_64-unknown-linux-gnu" }'`
const FAILS = `throw Object.assign(new Error('libc.so.6: version GLIBC_2.17 not found'), { code: 'ERR_DLOPEN_FAILED' })`

test('the package of the platform is loaded', async () => {
  const musl = { platform: 'linux', arch: 'x64', isMusl: true }
  for (const [name, machine] of [
    ['linux-x64-gnu', {}],
    ['linux-x64-musl', musl],
    ['linux-arm64-musl', { ...musl, arch: 'arm64' }],
    ['darwin-arm64', { platform: 'darwin', arch: 'arm64' }],
    ['win32-x64-msvc', { platform: 'win32' }],
  ] as const) {
    // another's beside it is not taken: it would not load
    const packages = { 'linux-arm64-gnu': FAILS, [name]: WORKS }
    expect(await firstUse({ ...machine, packages }), name).toMatchObject({ pinfetch: '1.2.3' })
  }
})

test.each<[why: string, installation: Installation, says: readonly RegExp[]]>([
  [
    'optional dependencies were left out',
    {},
    [
      /@pinfetch\/native-linux-x64-gnu is not installed \(on linux-x64-gnu, Node\.js [\d.]+\)/,
      /--omit=optional/,
      /npm install --include=optional/,
    ],
  ],
  [
    'node_modules was copied from another platform',
    { packages: { 'darwin-arm64': WORKS } },
    [
      /@pinfetch\/native-linux-x64-gnu is not installed/,
      /Installed is @pinfetch\/native-darwin-arm64: this node_modules was made on another platform/,
      /npm ci/,
    ],
  ],
  [
    'node_modules of glibc came to musl',
    { isMusl: true, packages: { 'linux-x64-gnu': WORKS } },
    [
      /@pinfetch\/native-linux-x64-musl is not installed/,
      /Installed is @pinfetch\/native-linux-x64-gnu: this node_modules is for the other C library/,
    ],
  ],
  [
    'node_modules of musl came to glibc',
    { packages: { 'linux-x64-musl': WORKS } },
    [/@pinfetch\/native-linux-x64-gnu is not installed/, /for the other C library/],
  ],
  [
    'the platform has no package',
    { platform: 'freebsd' },
    [/no binary for this platform \(on freebsd-x64, /, /There are packages for darwin-arm64, /],
  ],
  [
    'the processor has no package',
    { arch: 'riscv64', packages: { 'linux-x64-gnu': WORKS } },
    [/no binary for this platform \(on linux-riscv64-gnu, /],
  ],
  [
    'the system refuses the file',
    { packages: { 'linux-x64-gnu': FAILS } },
    [
      /@pinfetch\/native-linux-x64-gnu is installed, and the system refuses it/,
      /It says: libc\.so\.6: version GLIBC_2\.17 not found/,
    ],
  ],
  [
    'the binary is of another version',
    { packages: { 'linux-x64-gnu': WORKS.replace('1.2.3', '1.2.2') } },
    [/pinfetch 1\.2\.3 was given the binary of 1\.2\.2 \(@pinfetch\/native-linux-x64-gnu\)/],
  ],
  [
    'the binary is of another build',
    { packages: { 'linux-x64-gnu': WORKS.replace('c0ffee00', '0badbeef') } },
    [
      /1\.2\.3 was given the binary of another build: its interface is 0badbeef, and c0ffee00 is expected/,
      /npm run build/,
    ],
  ],
  [
    'the binary is of a build from before interfaces had numbers',
    { packages: { 'linux-x64-gnu': WORKS.replace('"interface": "c0ffee00", ', '') } },
    [/its interface is unnumbered, and c0ffee00 is expected/],
  ],
  [
    'a bundler took the code and left the rest',
    { hasLoader: false, packages: { 'linux-x64-gnu': WORKS } },
    [/native\.cjs is not in the package’s folder/, /--external:pinfetch.*serverExternalPackages/],
  ],
])('an installation that cannot work says why: %s', async (_why, installation, says) => {
  const error = await firstUse(installation)
  expect(error).toMatchObject({ name: 'PinfetchError', code: 'ERR_ADDON' })
  for (const text of says) expect(error.message).toMatch(text)
})

test('what the system says is the cause', async () => {
  expect(await firstUse({ packages: { 'linux-x64-gnu': FAILS } })).toMatchObject({
    cause: 'libc.so.6: version GLIBC_2.17 not found',
    causeCode: 'ERR_DLOPEN_FAILED',
  })
})

test('the addon and the code are of one interface, and only they know of it', () => {
  const { versions: tell } = createRequire(import.meta.url)(join(root, 'native.cjs'))
  expect(JSON.parse(tell()).interface).toBe(interfaceNumber())
  expect(versions()).not.toHaveProperty('interface')
})

test('there are packages for the platforms that npm/ has', async () => {
  const { napi } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  expect(PLATFORMS.map((name) => `@pinfetch/native-${name}`)).toEqual(
    napi.targets.map(packageOfTarget).toSorted(),
  )
  for (const platform of PLATFORMS) {
    const manifest = JSON.parse(await readFile(join(root, 'npm', platform, 'package.json'), 'utf8'))
    expect(manifest.name).toBe(`@pinfetch/native-${platform}`)
  }
})
