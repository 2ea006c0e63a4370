// Lays the packages of a release out as they are published: `node scripts/stage.mjs FOLDER [--artifacts FOLDER]`.
//
// Into FOLDER come `native-PLATFORM` for each platform, with the addon that lies in the folder of artifacts (by default
// `artifacts/`) as `pinfetch.PLATFORM.node`, and `pinfetch`, whose manifest alone names them as optional dependencies: in
// the checkout they would be asked for before they are published. Prints the folders in the order of publishing. Each
// has its third parties' licences and a bill of materials. Nothing in the checkout is changed.
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { platformOf } from './addon.mjs'
import { cratesOf } from './crates.mjs'
import { noticesOf } from './notices.mjs'
import { billOf } from './sbom.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { artifacts: { type: 'string', default: 'artifacts' } },
})
const [given] = positionals
if (given === undefined || positionals.length > 1) {
  console.error('Usage: node scripts/stage.mjs FOLDER [--artifacts FOLDER]')
  process.exit(2)
}
const out = resolve(given)
const artifacts = resolve(values.artifacts)
process.chdir(fileURLToPath(new URL('..', import.meta.url)))
if (existsSync(out)) throw new Error(`${out} is there already: what lies in it would be published`)

const manifest = readJson('package.json')
const { targets, packageName, binaryName } = manifest.napi
const platforms = new Map(targets.map((triple) => [platformOf(triple), triple]))
const missing = [...platforms.keys()].filter((platform) => !existsSync(addonOf(platform)))
if (missing.length > 0) throw new Error(`no addon for ${missing.join(', ')} in ${artifacts}`)

const order = []
for (const [platform, triple] of platforms) {
  const from = join('npm', platform)
  const to = join(out, `native-${platform}`)
  const crates = cratesOf([triple])
  const parts = crates.map(({ checksum, ...crate }) => ({
    ...crate,
    kind: 'cargo',
    digest: { algorithm: 'SHA-256', hex: checksum },
  }))
  mkdirSync(to, { recursive: true })
  copyFileSync(join(from, 'README.md'), join(to, 'README.md'))
  copyFileSync(addonOf(platform), join(to, `${binaryName}.${platform}.node`))
  writeFileSync(join(to, 'LICENSES-THIRD-PARTY.txt'), noticesOf(crates))
  await finish(to, readJson(join(from, 'package.json')), parts, ['LICENSES-THIRD-PARTY.txt'])
}

const to = join(out, manifest.name)
for (const file of [...manifest.files, 'README.md']) {
  mkdirSync(dirname(join(to, file)), { recursive: true })
  cpSync(file, join(to, file), { recursive: true })
}
const { scripts: _scripts, devDependencies: _tools, napi: _napi, ...published } = manifest
published.optionalDependencies = Object.fromEntries(
  Array.from(platforms.keys(), (platform) => [`${packageName}-${platform}`, manifest.version]),
)
await finish(to, published, readJson('dist/bundled.json').map(bundledPart), [])
for (const folder of order) console.log(folder)

/** Adds what every package has: the licences of pinfetch itself, the bill of materials, the manifest that names it all. */
async function finish(to, manifest, parts, more) {
  for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) copyFileSync(licence, join(to, licence))
  writeFileSync(join(to, 'sbom.cdx.json'), await billOf(manifest, parts))
  const files = [...manifest.files, ...more, 'LICENSE-MIT', 'LICENSE-APACHE', 'sbom.cdx.json']
  writeJson(join(to, 'package.json'), { ...manifest, files: [...new Set(files)] })
  order.push(to)
}

/** A package that is bundled, with the digest that the lock file has of it. */
function bundledPart(folder) {
  const { name, version, license } = readJson(join(folder, 'package.json'))
  const { integrity } = readJson('package-lock.json').packages[folder]
  const [, digest] = /^sha512-(.+)$/.exec(integrity)
  const hex = Buffer.from(digest, 'base64').toString('hex')
  return { kind: 'npm', name, version, licence: license, digest: { algorithm: 'SHA-512', hex } }
}

function addonOf(platform) {
  return join(artifacts, `${binaryName}.${platform}.node`)
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function writeJson(path, value) {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)
}
