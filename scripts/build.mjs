// Builds dist/ from src/: one CommonJS bundle, an ES module that re-exports it, the command line, declarations.
//
// Two bundles would be two engines and two BadPinErrors in one process, so the ES module and the command line are
// given the CommonJS one.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))

const shared = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  tsconfigRaw: {}, // the checkout's own paths are for tests
}

for (const output of ['dist/cjs', 'dist/esm', 'dist/cli.js']) {
  rmSync(output, { recursive: true, force: true })
}

await build({
  ...shared,
  entryPoints: ['src/index.ts'],
  outfile: 'dist/cjs/index.js',
  format: 'cjs',
  define: { 'import.meta.url': 'undefined' }, // read in ES modules only: see src/native.ts
})
mkdirSync('dist/esm', { recursive: true })
writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n')
writeFileSync('dist/esm/package.json', '{ "type": "module" }\n')

const names = Object.keys(createRequire(import.meta.url)('../dist/cjs/index.js')).sort()
if (!names.includes('Client') || !names.includes('BadPinError')) {
  throw new Error(`dist/cjs/index.js exports ${names.join(', ') || 'nothing'}`)
}
writeFileSync(
  'dist/esm/index.js',
  `import pinfetch from '../cjs/index.js'\n\nexport const {\n${names.map((name) => `  ${name},\n`).join('')}} = pinfetch\n`,
)

if (!existsSync('src/cli/main.ts')) throw new Error('src/cli/main.ts, the command line, is missing')
await build({
  ...shared,
  entryPoints: ['src/cli/main.ts'],
  outfile: 'dist/cli.js', // begins as its source does, with the line that names node
  format: 'esm',
  plugins: [
    {
      name: 'the one implementation',
      setup(build) {
        build.onResolve({ filter: /^\.\.\/index\.js$/ }, () => ({
          path: './esm/index.js',
          external: true,
        }))
      },
    },
  ],
})
chmodSync('dist/cli.js', 0o755)

const declarations = spawnSync('tsc', ['-p', 'tsconfig.build.json'], {
  stdio: 'inherit',
  shell: process.platform === 'win32', // tsc is a .cmd there
})
if (declarations.error) throw declarations.error
if (declarations.status !== 0) process.exit(declarations.status ?? 1)
cpSync('dist/esm', 'dist/cjs', {
  recursive: true,
  filter: (from) => !/\.(js|json)$/.test(from),
})
