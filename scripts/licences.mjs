// Licences and sources of all that pinfetch is built from.
//
// Crates: the list of deny.toml, applied to what Cargo.lock holds. Where cargo-deny is installed, `cargo deny check`
// says the same and more; building it takes longer than all other checks together, so nothing here depends on it.
// npm: the published package has no dependency but its own platform packages. What it is built and tested with is
// never shipped, so tools may have a few licences more; what the library and the command
// line bundle is shipped, and held to the list of deny.toml.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { cratesOf } from './crates.mjs'
import { noticesOf } from './notices.mjs'

const BUNDLED = ['@rgrove/parse-xml', 'cli-progress', 'diff', 'jsonc-parser']
const TOOLS = ['0BSD', 'BlueOak-1.0.0', 'CC0-1.0', 'MPL-2.0', 'PSF-2.0', 'Python-2.0']

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const [, list = ''] =
  /^\[licenses\]\nallow = \[(.*?)^\]/ms.exec(readFileSync('deny.toml', 'utf8')) ?? []
const allowed = new Set(Array.from(list.matchAll(/^ *"(.+?)"/gm), ([, licence]) => licence))
if (!allowed.has('MIT')) throw new Error('deny.toml has no list of licences')
const problems = []

const crates = cargoMetadata().packages
for (const { name, version, license, source, dependencies } of crates) {
  const crate = `crate ${name} ${version}`
  if (!isAllowed(license, allowed)) problems.push(`${crate}: licence ${license}`)
  if (source !== null && !source.startsWith('registry+'))
    problems.push(`${crate}: comes from ${source}`)
  if (source !== null) continue
  for (const { name: used, req, path } of dependencies) {
    if (req === '*' && path === undefined) problems.push(`${crate}: any version of ${used}`)
  }
}

// what is linked into an addon goes with its licence's text
const { napi } = JSON.parse(readFileSync('package.json', 'utf8'))
try {
  noticesOf(cratesOf(napi.targets))
} catch (error) {
  problems.push(error.message)
}

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'))
const { '': root, ...packages } = lock.packages
for (const kind of ['dependencies', 'optionalDependencies', 'peerDependencies']) {
  if (root[kind] !== undefined) problems.push(`package.json has ${kind}`)
}
const shipped = new Set(BUNDLED.flatMap((name) => withDependencies('', name)))
const tools = new Set([...allowed, ...TOOLS])
for (const [path, { version, license, integrity, link, optional, resolved }] of Object.entries(
  packages,
)) {
  const name = `package ${path.replace(/^.*node_modules\//, '')} ${version}`
  if (!isAllowed(license, shipped.has(path) ? allowed : tools))
    problems.push(`${name}: licence ${license}`)
  // registries alone give a digest; a platform package of another machine may be listed by its name alone
  const listed = optional === true && resolved === undefined
  if (link || (integrity === undefined && !listed)) problems.push(`${name}: comes from no registry`)
}

for (const problem of problems) console.error(problem)
console.log(
  `${crates.length} crates and ${Object.keys(packages).length} npm packages: ${problems.length} problems`,
)
process.exitCode = problems.length > 0 ? 1 : 0

/** Where the lock has the package `name` that the one at `from` uses, and all that it needs itself. */
function withDependencies(from, name) {
  const path = `${from === '' ? '' : `${from}/`}node_modules/${name}`
  if (packages[path] === undefined) {
    if (from === '') throw new Error(`package-lock.json has no ${name}`)
    return withDependencies(from.replace(/\/?node_modules\/(?:@[^/]+\/)?[^/]+$/, ''), name)
  }
  const { dependencies = {} } = packages[path]
  return [path, ...Object.keys(dependencies).flatMap((needed) => withDependencies(path, needed))]
}

function cargoMetadata() {
  const { status, stdout, stderr, error } = spawnSync(
    'cargo',
    ['metadata', '--format-version', '1', '--locked', '--all-features'],
    { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  )
  if (error) throw error
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}

/** Whether one may choose allowed licences only: an SPDX expression, or crates' older spelling of OR, `/`. */
function isAllowed(expression, licences) {
  if (typeof expression !== 'string') return false
  const words = expression.replace(/\//g, ' OR ').match(/[()]|[^\s()]+/g) ?? []
  const answer = any()
  return words.length === 0 && answer

  function any() {
    let answer = all()
    while (words[0] === 'OR') {
      words.shift()
      answer = all() || answer
    }
    return answer
  }
  function all() {
    let answer = one()
    while (words[0] === 'AND') {
      words.shift()
      answer = one() && answer
    }
    return answer
  }
  function one() {
    const word = words.shift()
    if (word === '(') {
      const answer = any()
      return words.shift() === ')' && answer
    }
    if (words[0] !== 'WITH') return licences.has(word)
    words.splice(0, 2) // an exception allows more, never less
    return licences.has(word)
  }
}
