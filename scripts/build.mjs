// Builds dist/ from src/: one CommonJS bundle, an ES module that re-exports it, the command line, declarations.
//
// Two bundles would be two engines and two BadPinErrors in one process, so the ES module and the command line are
// given the CommonJS one.
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { interfaceNumber } from './interface.mjs'
import { pages } from './pages.mjs'

// packages in CommonJS require Node's own modules: __test__/cli/command.ts has the same
const CLI_BANNER =
  "import { createRequire as requireOf } from 'node:module'\nconst require = requireOf(import.meta.url)"

process.chdir(fileURLToPath(new URL('..', import.meta.url)))

const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
const shared = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  mainFields: ['module', 'main'], // UMD cannot be bundled
  logLevel: 'warning',
  tsconfigRaw: {}, // the checkout's own paths are for tests
}

const constants = {
  'import.meta.url': 'undefined', // read in ES modules only: see src/addon.ts
  PINFETCH_VERSION: JSON.stringify(version),
  PINFETCH_INTERFACE: JSON.stringify(interfaceNumber()),
}

for (const output of ['dist/cjs', 'dist/esm', 'dist/cli.js']) {
  rmSync(output, { recursive: true, force: true })
}

const library = await bundle('src/index.ts', 'dist/cjs/index.js', {
  format: 'cjs',
  define: constants,
})
mkdirSync('dist/esm', { recursive: true })
writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n')
writeFileSync('dist/esm/package.json', '{ "type": "module" }\n')

const names = reexport('index')
if (!names.includes('Client') || !names.includes('BadPinError')) {
  throw new Error(`dist/cjs/index.js exports ${names.join(', ') || 'nothing'}`)
}

// what a thread runs that shares nothing with the others but the addon: src/policy-file/apart.ts
await bundle('src/policy-file/policy-worker.ts', 'dist/cjs/policy-worker.cjs', {
  format: 'cjs',
  define: constants,
})

// a bundle of its own, which few programs load; what it shares with the library is the library's
await bundle('src/formats.ts', 'dist/cjs/formats.js', {
  format: 'cjs',
  plugins: [oneImplementation('./index.js')],
})
reexport('formats')

if (!existsSync('src/cli/main.ts')) throw new Error('src/cli/main.ts, the command line, is missing')
// begins as its source does, with the line that names node
const cli = await bundle('src/cli/main.ts', 'dist/cli.js', {
  format: 'esm',
  banner: { js: CLI_BANNER },
  plugins: [pages, oneImplementation('./esm/index.js')],
})
chmodSync('dist/cli.js', 0o755)
// where scripts/stage.mjs finds what the bill of materials has to tell; not in the package
writeFileSync('dist/bundled.json', JSON.stringify(packagesOf([...library, ...cli])))

const declarations = spawnSync('tsc', ['-p', 'tsconfig.build.json'], {
  stdio: 'inherit',
  shell: process.platform === 'win32', // tsc is a .cmd there
})
if (declarations.error) throw declarations.error
if (declarations.status !== 0) process.exit(declarations.status ?? 1)
cpSync('dist/esm', 'dist/cjs', {
  recursive: true,
  filter: (from) => !/\.(c?js|json)$/.test(from),
})

/** Bundles `entry` into `outfile`, with the licences of what is in it; returns the files that are. */
async function bundle(entry, outfile, more) {
  const { metafile } = await build({
    ...shared,
    ...more,
    entryPoints: [entry],
    outfile,
    metafile: true,
  })
  const inputs = Object.keys(metafile.inputs)
  appendFileSync(outfile, noticesOf(inputs))
  return inputs
}

/** Writes an ES module that has what the CommonJS module of the same name has; returns the names. */
function reexport(module) {
  const names = Object.keys(createRequire(import.meta.url)(`../dist/cjs/${module}.js`)).sort()
  // Node looks through a CommonJS module that is imported for the names of its exports, and through all that it hands
  // on at once: ten times what loading it costs. They are known here
  writeFileSync(
    `dist/esm/${module}.cjs`,
    `const pinfetch = require('../cjs/${module}.js')\n\nmodule.exports = pinfetch\n`,
  )
  writeFileSync(
    `dist/esm/${module}.js`,
    `import pinfetch from './${module}.cjs'\n\nexport const {\n${names.map((name) => `  ${name},\n`).join('')}} = pinfetch\n`,
  )
  return names
}

/** An esbuild plugin that leaves the library out: it is at `path`, once for all. */
function oneImplementation(path) {
  return {
    name: 'the one implementation',
    setup(build) {
      build.onResolve({ filter: /^(?:\.\.\/)+index\.js$/ }, () => ({ path, external: true }))
    },
  }
}

/** The licences of the packages that `files` are from, as a comment: what is bundled is distributed. */
function noticesOf(files) {
  const notices = packagesOf(files).map((folder) => {
    const licence = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name))
    if (licence === undefined) throw new Error(`${folder} is bundled and has no licence text`)
    const { name, version } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
    const text = readFileSync(`${folder}/${licence}`, 'utf8').replace(/\*\//g, '* /')
    return `${name} ${version}\n\n${text.trim()}\n`
  })
  return notices.length === 0 ? '' : `\n/*!\nBundled:\n\n${notices.join('\n---\n\n')}*/\n`
}

/** The folders of the packages that `files` are from. */
function packagesOf(files) {
  const folders = files.flatMap(
    (file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? [],
  )
  return [...new Set(folders)].sort()
}
