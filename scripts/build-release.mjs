// Builds the addon that a release ships: `npm run build:release -- [TRIPLE]`, by default for the platform of this machine.
//
// Linux is linked by Zig through cargo-zigbuild (`pip install cargo-zigbuild ziglang`), against the C library of the oldest
// system that is supported, whatever the building one has. No path of this machine gets in. It is optimised by the
// profile of scripts/pgo.mjs, where there is one for the target.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GLIBC, platformOf, problemsOf } from './addon.mjs'
import { compiler, flagsOf } from './pgo.mjs'

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')
process.chdir(root)
const { napi } = JSON.parse(readFileSync('package.json', 'utf8'))
const { host } = compiler()
const triple = process.argv[2] ?? host
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
const isGnu = triple.endsWith('-linux-gnu')
const isMusl = triple.endsWith('-musl')
const isCross = isLinux && triple !== host
// the last prefix that fits wins with rustc and with C compilers alike
const rustFlags = names.toReversed().map(([from, to]) => `--remap-path-prefix=${from}=${to}`)
if (isMusl) rustFlags.push('-Ctarget-feature=-crt-static') // a static C library could not be loaded into Node
rustFlags.push(...flagsOf(triple, CARGO_TARGET_DIR))
const cFlags = names.toReversed().map(([from, to]) => `-ffile-prefix-map=${from}=${to}`)

const { status, error } = spawnSync(
  'cargo',
  [
    isCross ? 'zigbuild' : 'build',
    ...['--release', '--locked', '--package', 'pinfetch-node', '--target'],
    isCross && isGnu ? `${triple}.${GLIBC}` : triple,
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      ...(isLinux && !isCross && linkedByZig(triple)),
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

/**
 * The environment in which cargo links for `triple` by Zig, and crates compile their C by it: as `cargo zigbuild` does,
 * which for the machine's own platform also sets options of cargo that change the names of all functions. The profile
 * would know none of them.
 */
function linkedByZig(triple) {
  const system = triple.replace('-unknown-', '-') // as Zig calls it
  const target = isGnu ? `${system}.${GLIBC}` : system
  const folder = join(CARGO_TARGET_DIR, 'zig')
  const compile = join(folder, `${triple}.sh`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    compile,
    `#!/bin/sh\nexec cargo-zigbuild zig cc -- -g -fno-sanitize=all -target ${target} "$@"\n`,
    { mode: 0o755 },
  )
  return {
    [`CARGO_TARGET_${triple.toUpperCase().replaceAll('-', '_')}_LINKER`]: compile,
    [`CC_${triple.replaceAll('-', '_')}`]: compile,
  }
}
