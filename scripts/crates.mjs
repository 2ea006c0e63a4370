// The crates that an addon is made of: what Cargo links into it, without what only builds or tests.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * The crates of the registry that the addon for any of `triples` holds, by name and version:
 * `{ name, version, licence, repository, folder, checksum }`, the checksum being the SHA-256 of the packed crate.
 */
export function cratesOf(triples) {
  const linked = new Set()
  for (const triple of triples) {
    const tree = cargo(
      ['tree', '--locked', '--package', 'pinfetch-node', '--edges', 'normal,no-proc-macro'],
      ['--target', triple, '--prefix', 'none', '--no-dedupe', '--format', '{p}'],
    )
    for (const [, name, version] of tree.matchAll(/^(\S+) v(\S+)/gm))
      linked.add(`${name} ${version}`)
  }
  const locked = new Map(
    Array.from(
      readFileSync('Cargo.lock', 'utf8').matchAll(
        /^name = "(.+)"\nversion = "(.+)"\nsource = .+\nchecksum = "(.+)"$/gm,
      ),
      ([, name, version, checksum]) => [`${name} ${version}`, checksum],
    ),
  )
  const { packages } = JSON.parse(
    cargo(['metadata', '--format-version', '1', '--locked', '--all-features']),
  )
  return packages
    .filter(({ name, version, source }) => source !== null && linked.has(`${name} ${version}`))
    .map(({ name, version, license, repository, manifest_path }) => {
      const checksum = locked.get(`${name} ${version}`)
      if (checksum === undefined)
        throw new Error(`Cargo.lock has no checksum of ${name} ${version}`)
      const folder = dirname(manifest_path)
      return { name, version, licence: spdxOf(license), repository, folder, checksum }
    })
    .sort((a, b) => byText(a.name, b.name) || byText(a.version, b.version))
}

/** Orders by code units, in whatever language the machine is. */
export function byText(a, b) {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Crates' older spelling of OR, `/`, is no SPDX expression. */
function spdxOf(licence) {
  return licence.replace(/ ?\/ ?/g, ' OR ')
}

function cargo(...args) {
  const { status, stdout, stderr, error } = spawnSync('cargo', args.flat(), {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  })
  if (error) throw error
  if (status !== 0) throw new Error(stderr)
  return stdout
}
