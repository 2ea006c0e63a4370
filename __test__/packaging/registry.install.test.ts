import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Endpoint, startGenuine, startInterceptor } from '../testkit.ts'
import { asJavaScript, expectAnswers, FUNCTION, PROGRAM, serversOf } from './program.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tools = fileURLToPath(new URL('tools', import.meta.url))
const platform = 'linux-x64-gnu'
const ESM = `import { BadPinError, Client } from 'pinfetch'\n${asJavaScript(PROGRAM)}`
const CJS = `const { BadPinError, Client } = require('pinfetch')\n${asJavaScript(PROGRAM)}`

// Next.js keeps to one folder, so what it builds lies below the folder that it is installed in
const folder = mkdtempSync(join(tmpdir(), 'pinfetch-install-'))
const apps = join(tools, '.apps')
let registry: { process: ChildProcess; url: string }
let genuine: Endpoint
let interceptor: Endpoint

beforeAll(async () => {
  if (!existsSync(join(tools, 'node_modules')))
    throw new Error('run this by `npm run test:install`, which installs its tools')
  registry = await startRegistry()
  await publishAll()
  genuine = await startGenuine()
  interceptor = await startInterceptor({ of: genuine, append: ['leaf', 'a1', 'rootA'] })
}, 300_000)

afterAll(() => {
  registry?.process.stdin?.end()
  rmSync(folder, { recursive: true, force: true })
  rmSync(apps, { recursive: true, force: true })
})

/** How each package manager installs in a clean root, and how a program of that root is run. */
const MANAGERS: Record<
  string,
  { files?: Record<string, string>; install: string[]; run?: string[] }
> = {
  npm: { install: [npm(), 'install', 'pinfetch', '--no-audit', '--no-fund'] },
  pnpm: {
    files: { 'pnpm-workspace.yaml': 'minimumReleaseAge: 0\n' },
    install: [tool('pnpm/bin/pnpm.mjs'), 'add', 'pinfetch'],
  },
  'Yarn 1': { install: [tool('yarn/bin/yarn.js'), 'add', 'pinfetch', '--non-interactive'] },
  'Yarn, node_modules': {
    files: { '.yarnrc.yml': yarnSettings('node-modules'), 'yarn.lock': '' },
    install: [tool('@yarnpkg/cli-dist/bin/yarn.js'), 'add', 'pinfetch'],
  },
  'Yarn, Plug’n’Play': {
    files: { '.yarnrc.yml': yarnSettings('pnp'), 'yarn.lock': '' },
    install: [tool('@yarnpkg/cli-dist/bin/yarn.js'), 'add', 'pinfetch'],
    run: [tool('@yarnpkg/cli-dist/bin/yarn.js'), 'node'],
  },
}

test.each(Object.keys(MANAGERS))(
  '%s installs what runs, without a compiler',
  (name) => {
    const { files = {}, install, run = [] } = MANAGERS[name] ?? { install: [] }
    const home = cleanRoot(name, files)
    bare(home, install)
    writeFileSync(join(home, 'esm.mjs'), ESM)
    writeFileSync(join(home, 'cjs.cjs'), CJS)
    expectAnswers(bare(home, [...run, 'esm.mjs']))
    expectAnswers(bare(home, [...run, 'cjs.cjs']))
  },
  120_000,
)

test('npm takes the package of this platform and no other, and runs no script', () => {
  const home = npmRoot()
  expect(readdirSync(join(home, 'node_modules/@pinfetch'))).toEqual([`native-${platform}`])
  const manifest = readJson(join(home, 'node_modules/pinfetch/package.json'))
  expect(manifest.dependencies).toBeUndefined()
  expect(manifest.scripts).toBeUndefined()
  const { version, napi } = readJson(join(root, 'package.json'))
  expect(Object.values(manifest.optionalDependencies)).toEqual(napi.targets.map(() => version))
})

test('without optional dependencies the error says which package is missing', () => {
  const home = cleanRoot('omitted')
  bare(home, [npm(), 'install', 'pinfetch', '--omit=optional', '--no-audit', '--no-fund'])
  const program =
    "try { require('pinfetch').versions() } catch (error) { console.log(error.code, error.message) }"
  const said = bare(home, ['-e', program])
  expect(said).toMatch(/^ERR_ADDON /)
  expect(said).toContain(`@pinfetch/native-${platform} is not installed`)
  expect(said).toContain('--omit=optional')
})

test('what is published has its third parties’ licences and a bill of materials', () => {
  const modules = join(npmRoot(), 'node_modules')
  const native = join(modules, '@pinfetch', `native-${platform}`)
  const licences = readFileSync(join(native, 'LICENSES-THIRD-PARTY.txt'), 'utf8')
  for (const name of ['ring', 'rustls', 'webpki-roots', 'zstd-sys', 'napi'])
    expect(licences).toMatch(new RegExp(`^${name} \\d`, 'm'))
  const names = (at: string) =>
    readJson(join(at, 'sbom.cdx.json')).components.map(({ name }: { name: string }) => name)
  expect(names(native)).toEqual(expect.arrayContaining(['ring', 'rustls', 'webpki-roots', 'tokio']))
  expect(names(native)).not.toContain('rcgen') // tests' own
  expect(names(join(modules, 'pinfetch'))).toContain('jsonc-parser')
})

test.each([
  ['node16', 'node16'],
  ['nodenext', 'nodenext'],
  ['preserve', 'bundler'],
])(
  'TypeScript finds the types with `module` %s and `moduleResolution` %s',
  (module, resolution) => {
    const home = npmRoot()
    const types = join(home, 'node_modules/@types')
    mkdirSync(types, { recursive: true })
    link(join(root, 'node_modules/@types/node'), join(types, 'node'))
    link(join(root, 'node_modules/undici-types'), join(home, 'node_modules/undici-types'))
    const output = join(home, resolution)
    writeFileSync(
      join(home, 'typed.mts'),
      `import { BadPinError, Client } from 'pinfetch'\n${PROGRAM}`,
    )
    execute(home, [
      join(root, 'node_modules/typescript/bin/tsc'),
      ...['--strict', '--module', module, '--moduleResolution', resolution, '--target', 'es2023'],
      ...['--types', 'node', '--skipLibCheck', 'false', '--outDir', output, 'typed.mts'],
    ])
    expectAnswers(bare(home, [join(output, 'typed.mjs')]))
  },
)

test.each(['esm', 'cjs'] as const)('esbuild leaves it out of a bundle (%s)', async (format) => {
  const home = npmRoot()
  const output = join(home, `esbuild.${format === 'esm' ? 'mjs' : 'cjs'}`)
  writeFileSync(join(home, 'source.mjs'), ESM)
  await build({
    entryPoints: [join(home, 'source.mjs')],
    outfile: output,
    bundle: true,
    platform: 'node',
    format,
    external: ['pinfetch'],
  })
  expectAnswers(bare(home, [output]))
})

test('a bundle that swallowed it says so', async () => {
  const home = npmRoot()
  writeFileSync(join(home, 'source.mjs'), ESM)
  await build({
    entryPoints: [join(home, 'source.mjs')],
    outfile: join(home, 'swallowed/a/b/bundle.cjs'),
    bundle: true,
    platform: 'node',
    logLevel: 'error',
  })
  const { status, stderr } = spawnSync(process.execPath, ['swallowed/a/b/bundle.cjs'], {
    cwd: home,
    encoding: 'utf8',
    env: { ...process.env, ...serversOf(genuine, interceptor) },
  })
  expect(status).toBe(1)
  expect(stderr).toContain('ERR_ADDON')
  expect(stderr).toContain('--external:pinfetch')
})

test('webpack leaves it out of a bundle', () => {
  const home = npmRoot()
  writeFileSync(join(home, 'source.mjs'), ESM)
  writeFileSync(
    join(home, 'webpack.cjs'),
    `const webpack = require(${JSON.stringify(join(tools, 'node_modules/webpack'))})
     webpack({
       mode: 'production', target: 'node20', entry: './source.mjs', context: __dirname,
       output: { path: __dirname, filename: 'webpacked.cjs' },
       externals: { pinfetch: 'commonjs pinfetch' },
     }, (error, stats) => {
       if (error || stats.hasErrors()) throw error ?? new Error(stats.toString())
     })`,
  )
  execute(home, ['webpack.cjs'])
  expectAnswers(bare(home, ['webpacked.cjs']))
}, 60_000)

test('a Next.js application has it as an external package', async () => {
  mkdirSync(apps, { recursive: true })
  const home = mkdtempSync(join(apps, 'next-'))
  writeFileSync(join(home, 'package.json'), '{ "private": true }')
  bare(home, [npm(), 'install', 'pinfetch', '--no-audit', '--no-fund'])
  for (const [file, code] of Object.entries({
    'next.config.mjs': `export default {
      serverExternalPackages: ['pinfetch'],
      turbopack: { root: ${JSON.stringify(tools)} },
    }`,
    'app/layout.jsx':
      'export default function Layout({ children }) { return <html><body>{children}</body></html> }',
    'app/page.jsx': 'export default function Page() { return <p>page</p> }',
    'app/answers/route.js': `import { BadPinError, Client } from 'pinfetch'
      export const dynamic = 'force-dynamic'
      ${asJavaScript(FUNCTION)}
      export async function GET() { return Response.json(await answers()) }`,
  })) {
    mkdirSync(join(home, file, '..'), { recursive: true })
    writeFileSync(join(home, file), code)
  }
  const next = tool('next/dist/bin/next')
  execute(home, [next, 'build'])
  const server = spawn(
    process.execPath,
    [next, 'start', '--hostname', '127.0.0.1', '--port', '0'],
    {
      cwd: home,
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  try {
    for await (const line of createInterface({ input: server.stdout })) {
      const [url] = /http:\/\/127\.0\.0\.1:[1-9]\d*/.exec(line) ?? []
      if (url === undefined) continue
      const response = await fetch(`${url}/answers`)
      expectAnswers(await response.text())
      return
    }
    throw new Error('next start told no address')
  } finally {
    server.kill()
  }
}, 300_000)

async function startRegistry(): Promise<{ process: ChildProcess; url: string }> {
  const script = fileURLToPath(new URL('registry.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: child.stdout })) {
    if (/^\d+$/.test(line)) return { process: child, url: `http://127.0.0.1:${line}/` }
  }
  throw new Error('the registry did not start')
}

/** Lays the packages out as a release does, and publishes them in its order. */
async function publishAll(): Promise<void> {
  const artifacts = join(folder, 'artifacts')
  mkdirSync(artifacts)
  for (const name of readdirSync(join(root, 'npm'))) {
    const addon = `pinfetch.${name}.node`
    // those of other platforms are never loaded here
    if (name === platform) cpSync(join(root, addon), join(artifacts, addon))
    else writeFileSync(join(artifacts, addon), `the addon for ${name}`)
  }
  const staged = execute(root, [
    'scripts/stage.mjs',
    join(folder, 'staged'),
    '--artifacts',
    artifacts,
  ])
  const response = await fetch(`${registry.url}-/user/org.couchdb.user:publisher`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'publisher', password: 'a password of no account' }),
  })
  const { token } = (await response.json()) as { token: string }
  const { host } = new URL(registry.url)
  const settings = join(folder, '.npmrc')
  writeFileSync(settings, `registry=${registry.url}\n//${host}/:_authToken=${token}\n`)
  const folders = staged.trim().split('\n')
  expect(folders).toHaveLength(9)
  expect(folders.at(-1)).toMatch(/pinfetch$/) // when it can be found, all that it needs can
  for (const each of folders)
    execute(folder, [npm(), 'publish', each, '--userconfig', settings, '--no-provenance'])
}

let installedByNpm: string | undefined

/** A root in which npm has installed the package. */
function npmRoot(): string {
  if (installedByNpm === undefined) {
    installedByNpm = cleanRoot('npm-shared')
    bare(installedByNpm, MANAGERS.npm?.install ?? [])
  }
  return installedByNpm
}

function cleanRoot(name: string, files: Record<string, string> = {}): string {
  const home = join(folder, 'roots', name.replace(/\W+/g, '-'))
  mkdirSync(home, { recursive: true })
  const all = {
    'package.json': '{ "private": true }\n',
    '.npmrc': `registry=${registry.url}\n`,
    ...files,
  }
  for (const [file, content] of Object.entries(all))
    writeFileSync(join(home, file), content.replaceAll('REGISTRY', registry.url))
  return home
}

function yarnSettings(linker: string): string {
  return [
    `nodeLinker: ${linker}`,
    'npmRegistryServer: REGISTRY',
    'unsafeHttpWhitelist: ["127.0.0.1"]',
    'enableTelemetry: false',
    'enableGlobalCache: false',
    'npmMinimalAgeGate: 0', // published a moment ago
    '',
  ].join('\n')
}

/** Runs a JavaScript program where nothing can be found but Node.js and a shell. */
function bare(cwd: string, args: readonly string[]): string {
  const path = join(folder, 'bin')
  mkdirSync(path, { recursive: true })
  link(process.execPath, join(path, 'node'))
  link(find('sh'), join(path, 'sh'))
  return execute(cwd, args, { PATH: path, HOME: folder })
}

function execute(cwd: string, args: readonly string[], variables: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { ...environment(), ...variables },
  })
  if (error) throw error
  expect(status, `${args.join(' ')}:\n${stdout}${stderr}`).toBe(0)
  return stdout
}

/** Caches and settings of its own: what this machine has installed before, or is set to, does not count. */
function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(?:npm_|NODE_OPTIONS$|YARN_|PNPM_|VITEST|NODE_ENV$)/i.test(name),
  )
  return {
    ...Object.fromEntries(own),
    ...(genuine && interceptor && serversOf(genuine, interceptor)),
    XDG_CACHE_HOME: join(folder, 'cache'),
    XDG_DATA_HOME: join(folder, 'data'),
    npm_config_registry: registry.url,
    npm_config_cache: join(folder, 'npm-cache'),
    npm_config_update_notifier: 'false',
    YARN_CACHE_FOLDER: join(folder, 'yarn-cache'),
    NEXT_TELEMETRY_DISABLED: '1',
    CI: '1',
  }
}

function tool(path: string): string {
  return join(tools, 'node_modules', path)
}

/** The program of npm that runs this test. */
function npm(): string {
  return realpathSync(find('npm'))
}

function find(program: string): string {
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .map((place) => join(place, program))
    .find((file) => existsSync(file))
  if (found === undefined) throw new Error(`${program} is not on the PATH`)
  return found
}

function readJson(path: string) {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function link(to: string, from: string): void {
  if (!existsSync(from)) symlinkSync(to, from)
}
