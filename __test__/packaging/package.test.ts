import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Endpoint, startGenuine, startInterceptor } from '../testkit.ts'
import { asJavaScript, expectAnswers, PROGRAM, serversOf } from './program.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const platform = 'linux-x64-gnu'

const JAVASCRIPT = asJavaScript(PROGRAM)

let folder = ''
let tarball = ''
let genuine: Endpoint
let interceptor: Endpoint

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pinfetch-package-'))
  const addon = join(folder, 'addon')
  cpSync(join(root, 'npm', platform), addon, { recursive: true })
  cpSync(join(root, `pinfetch.${platform}.node`), join(addon, `pinfetch.${platform}.node`))
  tarball = pack(root)
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  installed('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball, pack(addon)])
  genuine = await startGenuine()
  interceptor = await startInterceptor({ of: genuine, append: ['leaf', 'a1', 'rootA'] })
}, 120_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('an ES module makes a pinned request', () => {
  writeFileSync(
    join(folder, 'esm.mjs'),
    `import { BadPinError, Client } from 'pinfetch'\n${JAVASCRIPT}`,
  )
  expectAnswers(installed('node', ['esm.mjs']))
})

test('a CommonJS program makes a pinned request', () => {
  writeFileSync(
    join(folder, 'cjs.cjs'),
    `const { BadPinError, Client } = require('pinfetch')\n${JAVASCRIPT}`,
  )
  expectAnswers(installed('node', ['cjs.cjs']))
})

test.for(['mts', 'cts'])('a TypeScript program (.%s) is checked, compiled and run', (extension) => {
  const output = join(folder, `typed.${extension.replace('t', 'j')}`)
  const types = join(folder, 'node_modules/@types')
  mkdirSync(types, { recursive: true })
  for (const name of ['@types/node', 'undici-types']) {
    link(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  }
  writeFileSync(
    join(folder, `typed.${extension}`),
    `import { BadPinError, Client } from 'pinfetch'\n${PROGRAM}`,
  )
  installed(process.execPath, [
    join(root, 'node_modules/typescript/bin/tsc'),
    ...['--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'],
    ...['--exactOptionalPropertyTypes', '--skipLibCheck', 'false', `typed.${extension}`],
  ])
  expectAnswers(installed('node', [output]))
})

test('an error thrown to CommonJS is an instance of the class that an ES module imports', () => {
  writeFileSync(
    join(folder, 'both.mjs'),
    `import { createRequire } from 'node:module'
import * as esm from 'pinfetch'
const cjs = createRequire(import.meta.url)('pinfetch')
const { BadPinError } = esm
const { Client } = cjs
console.error(esm.BadPinError === cjs.BadPinError, Object.keys(esm).filter((name) => esm[name] !== cjs[name]).length)
${JAVASCRIPT}`,
  )
  expectAnswers(installed('node', ['both.mjs']))
})

test('the formats are one part of the package, which shares its classes with the other', () => {
  writeFileSync(
    join(folder, 'formats.mjs'),
    `import { createRequire } from 'node:module'
import { PolicyError } from 'pinfetch'
import { importPolicy } from 'pinfetch/formats'
const cjs = createRequire(import.meta.url)('pinfetch/formats')
const thrown = (read) => { try { read('android', '<a') } catch (error) { return error } }
const errors = [importPolicy, cjs.importPolicy].map(thrown)
console.log(errors.map((error) => error.constructor === PolicyError), importPolicy === cjs.importPolicy)
`,
  )
  expect(installed('node', ['formats.mjs'])).toBe('[ true, true ] true\n')
})

test('the command is installed', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect(installed('node_modules/.bin/pinfetch', ['--version'])).toBe(`pinfetch ${version}\n`)
})

test('the package has what it names, and nothing of the workshop', () => {
  const listed = run('tar', ['-tzf', tarball], root).split('\n')
  for (const file of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'CHANGELOG.md', 'native.cjs']) {
    expect(listed).toContain(`package/${file}`)
  }
  const strange =
    /\.node$|^package\/(src|crates|__test__|target|scripts)\/|dist\/(?!cjs\/|esm\/|cli\.js$)/
  expect(listed.filter((file) => strange.test(file))).toEqual([])
  const manifest = JSON.parse(
    readFileSync(join(folder, 'node_modules/pinfetch/package.json'), 'utf8'),
  )
  expect(manifest.dependencies).toBeUndefined()
  expect(manifest.scripts).not.toHaveProperty('install')
  expect(manifest.scripts).not.toHaveProperty('postinstall')
})

test('publint finds nothing', () => {
  expect(run(bin('publint'), [tarball, '--strict'], root)).toMatch(/All good!/)
})

test('every way to resolve the types finds them', () => {
  expect(run(bin('attw'), [tarball, '--no-emoji'], root)).toMatch(/No problems found/)
}, 60_000)

function pack(from: string): string {
  const output = run('npm', ['pack', '--json', '--pack-destination', folder], from)
  const report = JSON.parse(
    output.slice(output.indexOf('[\n') < 0 ? output.indexOf('{') : output.indexOf('[\n')),
  )
  // a list, or since npm 12 an object by name
  const [{ filename }] = Array.isArray(report)
    ? report
    : Object.values<{ filename: string }>(report)
  return join(folder, filename)
}

/** Runs a program in the folder of the installed package, with neither Rust nor the checkout's tools to be found. */
function installed(program: string, args: readonly string[]): string {
  const path = join(folder, 'bin')
  mkdirSync(path, { recursive: true })
  link(process.execPath, join(path, 'node'))
  for (const tool of ['npm', 'sh']) {
    const found = (process.env.PATH ?? '')
      .split(delimiter)
      .map((place) => join(place, tool))
      .find((file) => existsSync(file))
    expect(found, `${tool} is on the PATH`).toBeDefined()
    link(realpathSync(found ?? ''), join(path, tool))
  }
  return run(program, args, folder, path)
}

function run(
  program: string,
  args: readonly string[],
  cwd: string,
  path = process.env.PATH,
): string {
  const { NODE_OPTIONS: _, ...rest } = process.env
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    env: { ...rest, PATH: path, ...(genuine && serversOf(genuine, interceptor)) },
  })
  if (error) throw error
  expect(status, `${program} ${args.join(' ')}:\n${stdout}${stderr}`).toBe(0)
  return stdout
}

function bin(name: string): string {
  return join(root, 'node_modules/.bin', name)
}

function link(to: string, from: string): void {
  if (!existsSync(from)) symlinkSync(to, from)
}

test('importing pinfetch loads no module of Node’s that only some need', () => {
  const program = `
    const before = new Set(process.moduleLoadList)
    require('pinfetch')
    console.log(JSON.stringify(process.moduleLoadList.filter((name) => !before.has(name))))`
  const run = spawnSync(process.execPath, ['-e', program], { cwd: folder, encoding: 'utf8' })
  const loaded: string[] = JSON.parse(run.stdout)
  expect(loaded).toContain('NativeModule diagnostics_channel')
  for (const name of ['crypto', 'fs/promises', 'stream', 'worker_threads'])
    expect(loaded).not.toContain(`NativeModule ${name}`)
})
