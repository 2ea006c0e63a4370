// Builds the addon of HEAD twice, from nothing, in two folders whose paths differ in length, and compares the bytes:
// `npm run reproduce -- [TRIPLE]`.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const { CARGO_TARGET_DIR: _, ...env } = process.env // each build from nothing, in its own folder
const parent = mkdtempSync(join(tmpdir(), 'pinfetch-reproduce-'))
try {
  const digests = ['one', 'another-folder'].map((name) => {
    const folder = join(parent, name)
    run('git', ['clone', '--quiet', root, folder], root)
    run(process.execPath, ['scripts/build-release.mjs', ...process.argv.slice(2)], folder)
    const [file] = readdirSync(folder).filter((name) => /^pinfetch\..+\.node$/.test(name))
    const digest = createHash('sha256')
      .update(readFileSync(join(folder, file)))
      .digest('hex')
    console.log(`${digest}  ${file}, built in ${folder}`)
    return digest
  })
  const same = new Set(digests).size === 1
  console.log(same ? 'the same bytes' : 'the bytes differ')
  process.exitCode = same ? 0 : 1
} finally {
  rmSync(parent, { recursive: true, force: true })
}

function run(program, args, cwd) {
  const { status, error } = spawnSync(program, args, { cwd, env, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} in ${cwd}: ${status}`)
}
