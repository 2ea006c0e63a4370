// Builds the addon for this machine, with `native.cjs` and its types: `npm run build:native`.
//
// For a named target: its flags are not those of build scripts.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { compiler, flagsOf, withFlags } from './pgo.mjs'

const { host } = compiler()
const { status, error } = spawnSync(
  'npx',
  [
    ...['--no-install', 'napi', 'build', '--platform', '--release'],
    ...[
      '--manifest-path',
      'crates/pinfetch-node/Cargo.toml',
      '--package-json-path',
      'package.json',
    ],
    ...['--output-dir', '.', '--js', 'native.cjs', '--dts', 'native.d.cts'],
    ...['--target', host],
    ...process.argv.slice(2),
  ],
  {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: withFlags(flagsOf(host)),
    shell: process.platform === 'win32', // npx is a script there
    stdio: 'inherit',
  },
)
if (error) throw error
process.exitCode = status ?? 1
