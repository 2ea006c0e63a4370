// Builds the addon that a release ships: `npm run build:release -- [TRIPLE]`, by default for the platform of this machine.
//
// Linux goes through cargo-zigbuild (`pip install cargo-zigbuild ziglang`), which links against the C library of the
// oldest system that is supported, whatever the building one has; macOS and Windows through cargo. No path of
// this machine gets in. Without the profile of scripts/pgo.mjs: docs/decisions/012 says why, and what is next.
import { spawnSync } from 'node:child_process'
import { copyFileSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GLIBC, platformOf, problemsOf } from './addon.mjs'
import { compiler } from './pgo.mjs'

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')
process.chdir(root)
const { napi } = JSON.parse(readFileSync('package.json', 'utf8'))
const triple = process.argv[2] ?? compiler().host
if (!napi.targets.includes(triple)) {
  console.error(`${triple} is no target: there are ${napi.targets.join(', ')}`)
  process.exit(2)
}

const { CARGO_HOME = join(homedir(), '.cargo'), CARGO_TARGET_DIR = join(root, 'target') } =
  process.env
const names = [
  [CARGO_TARGET_DIR, '/target'],
  [root, '/pinfetch'],
  [CARGO_HOME, '/cargo'],
]
const isLinux = triple.includes('-linux-')
const isMusl = triple.endsWith('-musl')
// the last prefix that fits wins with rustc and with C compilers alike
const rustFlags = names.toReversed().map(([from, to]) => `--remap-path-prefix=${from}=${to}`)
if (isMusl) rustFlags.push('-Ctarget-feature=-crt-static') // a static C library could not be loaded into Node
const cFlags = names.toReversed().map(([from, to]) => `-ffile-prefix-map=${from}=${to}`)

const { status, error } = spawnSync(
  'cargo',
  [
    isLinux ? 'zigbuild' : 'build',
    ...['--release', '--locked', '--package', 'pinfetch-node', '--target'],
    triple.endsWith('-linux-gnu') ? `${triple}.${GLIBC}` : triple,
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      CARGO_ENCODED_RUSTFLAGS: rustFlags.join('\x1f'),
      ...(!triple.endsWith('-msvc') && { CFLAGS: cFlags.join(' ') }),
    },
  },
)
if (error) throw error
if (status !== 0) process.exit(status ?? 1)

const platform = platformOf(triple)
const file = `${napi.binaryName}.${platform}.node`
copyFileSync(join(CARGO_TARGET_DIR, triple, 'release', libraryOf(triple)), file)
const problems = problemsOf(file, platform)
for (const problem of problems) console.error(`${file} ${problem}`)
console.log(`${file}: ${problems.length} problems`)
process.exitCode = problems.length > 0 ? 1 : 0

function libraryOf(triple) {
  if (triple.includes('-windows-')) return 'pinfetch_node.dll'
  return `libpinfetch_node.${triple.includes('-darwin') ? 'dylib' : 'so'}`
}
