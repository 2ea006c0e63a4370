import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { spreadOf } from './report.ts'

const MODULES = 'benchmark/node_modules'
/** Packages that are measured, and what is imported of each. */
const PACKAGES = ['undici7', 'undici8', 'got', 'impit', 'wreq-js']
const IMPORTS = 7

/** A Markdown table: how long an import of each package takes, and what it has on disk with all that it needs. */
export async function footprints(): Promise<string> {
  const lines = [
    '### Import and size',
    '',
    '| package | import, ms (least–greatest) | on disk, MiB | packages |',
    '| --- | ---: | ---: | ---: |',
    await footprint('pinfetch', pathToFileURL('dist/esm/index.js').href, await ours()),
  ]
  for (const name of PACKAGES.filter((name) => existsSync(`${MODULES}/${name}`))) {
    lines.push(await footprint(name, name, [...(await withDependencies(name))]))
  }
  return lines.join('\n')
}

async function footprint(name: string, module: string, places: string[]): Promise<string> {
  let bytes = 0
  for (const place of places) bytes += await sizeOf(place)
  const time = importTime(module)
  const packages = name === 'pinfetch' ? 1 : places.length
  return `| ${name} | ${time} | ${(bytes / 1024 / 1024).toFixed(1)} | ${packages} |`
}

/** What is published of pinfetch, with the addon of one platform. */
async function ours(): Promise<string[]> {
  const addon = (await readdir('.')).filter((name) => name.endsWith('.node'))
  return ['dist', 'schema', 'native.cjs', 'package.json', ...addon]
}

async function withDependencies(name: string, seen = new Set<string>()): Promise<Set<string>> {
  const folder = `${MODULES}/${name}`
  if (seen.has(folder) || !existsSync(folder)) return seen
  seen.add(folder)
  const { dependencies, optionalDependencies } = JSON.parse(
    await readFile(`${folder}/package.json`, 'utf8'),
  ) as { dependencies?: object; optionalDependencies?: object }
  for (const needed of Object.keys({ ...dependencies, ...optionalDependencies })) {
    await withDependencies(needed, seen)
  }
  return seen
}

async function sizeOf(place: string): Promise<number> {
  const found = await stat(place)
  if (!found.isDirectory()) return found.size
  let bytes = 0
  for (const name of await readdir(place)) bytes += await sizeOf(`${place}/${name}`)
  return bytes
}

/** In processes of their own, on the Node of this program; nothing where it cannot be imported there. */
function importTime(module: string): string {
  const program = `const began = performance.now(); await import(${JSON.stringify(module)}); console.log(performance.now() - began); process.exit(0)`
  const once = () =>
    Number(
      execFileSync(process.execPath, ['--input-type=module', '-e', program], {
        cwd: 'benchmark',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    )
  try {
    const { median, least, most } = spreadOf(Array.from({ length: IMPORTS }, once))
    return `${median.toFixed(0)} (${least.toFixed(0)}–${most.toFixed(0)})`
  } catch {
    return `none on Node ${process.versions.node}`
  }
}
