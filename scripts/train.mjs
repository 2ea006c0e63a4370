// Makes the profile with which the addon is optimised on this machine's platform: `npm run train`.
//
// Builds the addon with counters, has it do the benchmark's tests and scripts/workload.ts, and writes what was counted to
// crates/pinfetch-node/pgo. To be done again after a change to what is hot, or with another compiler. Needs nginx, as the
// benchmark does, and llvm-profdata of the compiler's LLVM: `rustup component add llvm-tools`, or Debian's llvm-22, or
// LLVM_PROFDATA. Build first, and again afterwards.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { COUNTED, compiler, manifestsDigest, profileOf, withFlags } from './pgo.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const { CARGO_TARGET_DIR = join(root, 'target') } = process.env
const { rustc, host, llvm } = compiler()
const merge = profdata()
const target = join(CARGO_TARGET_DIR, 'train') // the usual one would be built anew twice
const counts = join(target, 'counts')
rmSync(counts, { recursive: true, force: true })
try {
  run(
    'cargo',
    [
      ...['build', '--release', '--locked', '--package', 'pinfetch-node'],
      ...['--target', host, '--target-dir', target],
    ],
    withFlags([...COUNTED, `-Cprofile-generate=${counts}`]),
  )
  const addon = join(target, 'counting.node')
  copyFileSync(join(target, host, 'release/libpinfetch_node.so'), addon)
  const env = { ...process.env, NAPI_RS_NATIVE_LIBRARY_PATH: addon }
  const [major] = process.versions.node.split('.')
  const client = ['--clients', `pinfetch (Node ${major})`]
  const benchmark = [
    'benchmark/run.ts',
    '--rounds',
    '1',
    '--out',
    join(target, 'results'),
    ...client,
  ]
  run(process.execPath, ['scripts/run-ts.mjs', ...benchmark], env)
  run(process.execPath, ['scripts/run-ts.mjs', 'scripts/workload.ts'], env)
  const { data, note } = profileOf(host)
  run(merge, ['merge', '--sparse', '--output', data, counts])
  writeFileSync(note, `${JSON.stringify({ rustc, manifests: manifestsDigest() }, null, 2)}\n`)
  console.log(`${data} is for ${rustc}`)
} finally {
  rmSync(counts, { recursive: true, force: true })
}

/** The program that merges profiles: another LLVM's may not know this one's. */
function profdata() {
  const [major] = llvm.split('.')
  const { stdout } = spawnSync('rustc', ['--print', 'target-libdir'], { encoding: 'utf8' })
  const places = [
    process.env.LLVM_PROFDATA ?? '',
    join(stdout.trim(), '../bin/llvm-profdata'),
    `/usr/lib/llvm-${major}/bin/llvm-profdata`,
  ]
  const found = places.find((place) => place !== '' && existsSync(place))
  if (found === undefined) {
    throw new Error(
      `llvm-profdata of LLVM ${major} is not there: rustup component add llvm-tools, or apt-get install llvm-${major}, or name it by LLVM_PROFDATA`,
    )
  }
  return found
}

function run(program, args, env = process.env) {
  const { status, error } = spawnSync(program, args, { cwd: root, env, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${status}`)
}
