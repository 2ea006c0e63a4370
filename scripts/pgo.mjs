// How rustc compiles the addon: small, and by its profile. docs/decisions/012 says why and how.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What `rustc -vV` says of the compiler: its `host`, and the version of its LLVM. */
export function compiler() {
  const { stdout, error } = spawnSync('rustc', ['-vV'], { encoding: 'utf8' })
  if (error) throw error
  const [rustc = ''] = stdout.split('\n')
  const said = (key) => new RegExp(`^${key}: (.+)$`, 'm').exec(stdout)?.[1] ?? ''
  return { rustc, host: said('host'), llvm: said('LLVM version') }
}

/** Where the profile of a Rust target is, and the note of what it is for. */
export function profileOf(triple) {
  const path = join(root, 'crates/pinfetch-node/pgo', triple)
  return { data: `${path}.profdata`, note: `${path}.json` }
}

/** What the names of functions depend on, beside the compiler: versions, features, and how cargo compiles what. */
export function manifestsDigest() {
  const hash = createHash('sha256')
  const crates = ['pins', 'client', 'node'].map((name) => `crates/pinfetch-${name}/Cargo.toml`)
  for (const file of ['Cargo.lock', 'Cargo.toml', ...crates]) {
    hash.update(readFileSync(join(root, file), 'utf8').replaceAll('\r\n', '\n'))
  }
  return hash.digest('hex')
}

/** Ciphers and hashes of PKCS#12 and of encrypted keys, done once a client: their small versions, as fast as that needs. */
const COMPACT = [
  '--cfg=aes_backend="soft"',
  '--cfg=aes_backend_soft="compact"',
  '--cfg=sha2_backend_soft="compact"',
]

/** With counters, what is compiled must be what the profile is used for: small functions are not copied before. */
export const COUNTED = ['-Cllvm-args=-disable-preinline=true']

/**
 * The flags with which rustc compiles the addon for the Rust target `triple`. Those of a profile are not among them where
 * there is none for it, or none for this very compiler, since the names of functions differ from one to the next; then
 * the addon is the same but slower, and stderr says so.
 */
export function flagsOf(
  triple,
  targetFolder = process.env.CARGO_TARGET_DIR ?? join(root, 'target'),
) {
  const { data, note } = profileOf(triple)
  if (!existsSync(data)) return COMPACT
  const { rustc: wanted, manifests } = JSON.parse(readFileSync(note, 'utf8'))
  const { rustc } = compiler()
  if (rustc !== wanted) {
    console.error(
      `The addon is optimised without its profile, which is for ${wanted}: this is ${rustc}.`,
    )
    return COMPACT
  }
  if (manifests !== manifestsDigest()) {
    console.error(
      'Cargo.lock or a Cargo.toml is newer than the profile of the addon, which fits less: `npm run train` makes it anew.',
    )
  }
  const bytes = readFileSync(data)
  // cargo builds again when the flags differ, not when the file does
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  const folder = join(targetFolder, 'pgo')
  const copy = join(folder, `${digest}.profdata`)
  if (!existsSync(copy)) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(copy, bytes)
  }
  // what is not hot is made small, and seldom copied into its callers: in programs of every size
  const options = {
    'pgso-lwss-only': false,
    'pgso-cutoff-instr-prof': 850_000,
    'inline-threshold': 10,
    'inlinehint-threshold': 30,
    'inlinecold-threshold': 5,
    'hot-callsite-threshold': 100,
    'disable-icp': true,
  }
  const llvm = Object.entries(options).map(([name, value]) => `-Cllvm-args=-${name}=${value}`)
  return [...COMPACT, ...COUNTED, `-Cprofile-use=${copy}`, ...llvm]
}

/** The environment in which cargo compiles for a target with `flags`, after those that the caller gave. */
export function withFlags(flags, env = process.env) {
  const { RUSTFLAGS = '', CARGO_ENCODED_RUSTFLAGS, ...rest } = env
  const given = CARGO_ENCODED_RUSTFLAGS?.split('\x1f') ?? RUSTFLAGS.split(' ')
  return { ...rest, CARGO_ENCODED_RUSTFLAGS: [...given.filter(Boolean), ...flags].join('\x1f') }
}
