// Before packing: is all that the package names there, and is it of one version?
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const manifest = read('package.json')
const problems = []

const entries = Object.values(manifest.exports).filter((entry) => typeof entry === 'object')
const named = [
  ...manifest.files,
  ...entries
    .flatMap((entry) => [entry.import, entry.require])
    .flatMap((condition) => [condition.types, condition.default]),
  ...Object.values(manifest.bin),
]
for (const path of new Set(named)) {
  if (!existsSync(path)) problems.push(`${path} is missing: npm run build`)
}

const { targets, packageName, binaryName } = manifest.napi
const folders = readdirSync('npm').sort()
if (folders.length !== targets.length) {
  problems.push(`npm/ has ${folders.length} folders for ${targets.length} targets`)
}
for (const folder of folders) {
  const platform = read(`npm/${folder}/package.json`)
  const expected = {
    name: `${packageName}-${folder}`,
    version: manifest.version,
    main: `${binaryName}.${folder}.node`,
  }
  for (const [key, value] of Object.entries(expected)) {
    if (platform[key] !== value) {
      problems.push(`npm/${folder}/package.json: ${key} is ${platform[key]}, not ${value}`)
    }
  }
}

const [, crates] = /^version = "(.+)"$/m.exec(readFileSync('Cargo.toml', 'utf8')) ?? []
if (crates !== manifest.version)
  problems.push(`Cargo.toml has version ${crates}, package.json ${manifest.version}`)
if (!readFileSync('CHANGELOG.md', 'utf8').includes(`\n## [${manifest.version}]`)) {
  problems.push(`CHANGELOG.md has no entry for ${manifest.version}`)
}

for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0

function read(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}
