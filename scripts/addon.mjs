// What an addon that is shipped must be: `node scripts/addon.mjs FILE...`, and scripts/build-release.mjs after each build.
import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The oldest glibc on which the addon runs: RHEL 7's, and the oldest that Rust's standard library supports. */
export const GLIBC = '2.17'

/** As the package of a Rust target is called: `linux-x64-gnu`. */
export function platformOf(triple) {
  const [processor, , system, abi] = triple.split('-')
  const arch = { x86_64: 'x64', aarch64: 'arm64' }[processor]
  return [{ windows: 'win32' }[system] ?? system, arch, ...(abi ? [abi] : [])].join('-')
}

/** Bytes: an addon is downloaded by every build of its users. The goal is 5 MiB: docs/performance.md says what is left. */
const LARGEST = 6 * 1024 * 1024

/** Libraries that the C library itself brings, with the compiler's own: nothing else is sure to be installed. */
const SYSTEM_LIBRARIES =
  /^(?:ld-linux-(?:x86-64|aarch64)|lib(?:c|m|dl|pthread|rt|gcc_s))\.so(?:\.\d)?$/

const MACHINES = { x64: 'X86-64', arm64: 'AArch64' }

/**
 * What is wrong with the addon `file` for `platform` (`linux-x64-gnu`), a sentence each.
 *
 * Of addons for macOS and Windows only the size and the paths in them are looked at.
 */
export function problemsOf(file, platform) {
  const problems = []
  const { size } = statSync(file)
  if (size > LARGEST) problems.push(`has ${size} bytes, more than ${LARGEST}`)
  const bytes = readFileSync(file)
  for (const path of [fileURLToPath(new URL('..', import.meta.url)), join(homedir(), sep)]) {
    if (path.length > 1 && bytes.includes(path)) problems.push(`has the path ${path} in it`)
  }
  if (platform.startsWith('linux-')) problems.push(...elfProblems(file, platform))
  return problems
}

function elfProblems(file, platform) {
  const problems = []
  const [, arch, libc] = platform.split('-')
  const machine = MACHINES[arch]
  if (!readelf(file, '-h').includes(machine)) problems.push(`is not for ${machine}`)
  const libraries = [...readelf(file, '-d').matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(
    ([, name]) => name,
  )
  for (const name of libraries) {
    if (!SYSTEM_LIBRARIES.test(name)) problems.push(`needs the library ${name}`)
  }
  if (libraries.length === 0) problems.push('needs no library: its C library is linked in')
  const symbols = readelf(file, '--dyn-syms')
  if (!/ napi_register_module_v1$/m.test(symbols)) problems.push('is no Node-API addon')
  const versions = [...symbols.matchAll(/@+GLIBC_(\d+(?:\.\d+)*)/g)].map(([, version]) => version)
  const newest = versions.toSorted(compare).at(-1)
  if (libc === 'gnu' && newest === undefined) problems.push('does not use glibc')
  if (libc === 'musl' && newest !== undefined) problems.push('uses glibc')
  if (newest !== undefined && compare(newest, GLIBC) > 0) {
    const names = [...symbols.matchAll(/(\S+)@+GLIBC_(\d+(?:\.\d+)*)/g)]
      .filter(([, , version]) => compare(version, GLIBC) > 0)
      .map(([symbol]) => symbol)
    problems.push(`needs a newer glibc than ${GLIBC}: ${[...new Set(names)].join(', ')}`)
  }
  return problems
}

function readelf(file, ...args) {
  const { status, stdout, stderr, error } = spawnSync('readelf', ['-W', ...args, file], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, LC_ALL: 'C' },
  })
  if (error) throw error
  if (status !== 0) throw new Error(`readelf ${args.join(' ')} ${file}: ${stderr}`)
  return stdout
}

/** Orders versions by their numbers: 2.4 before 2.17. */
function compare(one, other) {
  const [a, b] = [one, other].map((version) => version.split('.').map(Number))
  const index = a.findIndex((number, index) => number !== (b[index] ?? 0))
  return index < 0 ? a.length - b.length : a[index] - (b[index] ?? 0)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let failed = process.argv.length < 3
  for (const file of process.argv.slice(2)) {
    const [, platform] = /^\w+\.(.+)\.node$/.exec(basename(file)) ?? []
    if (platform === undefined) throw new Error(`${file}: not called as an addon is`)
    const problems = problemsOf(file, platform)
    for (const problem of problems) console.error(`${file} ${problem}`)
    console.log(`${file}: ${statSync(file).size} bytes, ${problems.length} problems`)
    failed ||= problems.length > 0
  }
  process.exitCode = failed ? 1 : 0
}
