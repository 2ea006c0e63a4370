/** The library in one file, for programs that a test runs in processes of their own. */
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Bundles the source into `outfile`, as scripts/build.mjs does; `define` are its constants, each as JSON. */
export async function bundle(outfile: string, define: Record<string, string> = {}): Promise<void> {
  await build({
    entryPoints: [join(root, 'src/index.ts')],
    bundle: true,
    platform: 'node',
    mainFields: ['module', 'main'],
    format: 'cjs',
    define: { 'import.meta.url': 'undefined', ...define },
    outfile,
    logLevel: 'error',
  })
}

/** A new folder in whose programs `require('./dist/index.cjs')` is the library, with this checkout's addon. */
export async function programFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pinfetch-program-'))
  await bundle(join(folder, 'dist/index.cjs')) // one folder below where the loader is looked for, as in the package
  await writeFile(
    join(folder, 'native.cjs'),
    `module.exports = require(${JSON.stringify(join(root, 'native.cjs'))})`,
  )
  return folder
}
