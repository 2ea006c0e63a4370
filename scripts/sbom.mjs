// Bills of materials in CycloneDX 1.6: of an addon its crates, of the main package what is bundled in it.
import { Enums, Models, Serialize, Spec, Validation } from '@cyclonedx/cyclonedx-library'

/**
 * The bill of the npm package `manifest`, as JSON.
 *
 * @param parts what it holds: `{ kind: 'cargo' | 'npm', name, version, licence, digest }`, the digest being
 *   `{ algorithm: 'SHA-256' | 'SHA-512', hex }` of what the registry serves
 * @throws {Error} When what comes of it is not as the schema of CycloneDX has it.
 */
export async function billOf(manifest, parts) {
  const bom = new Models.Bom()
  bom.metadata.component = componentOf({ kind: 'npm', licence: manifest.license, ...manifest })
  // the parts of one package are all that it depends on: how they use each other is in the lock files
  for (const part of parts) {
    const component = componentOf(part)
    bom.components.add(component)
    bom.metadata.component.dependencies.add(component.bomRef)
  }
  const normalizer = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6)
  const text = new Serialize.JsonSerializer(normalizer).serialize(bom, {
    sortLists: true,
    space: 2,
  })
  const problem = await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text)
  if (problem !== null) throw new Error(`no valid bill of materials: ${JSON.stringify(problem)}`)
  return `${text}\n`
}

function componentOf({ kind, name, version, licence, digest }) {
  const [, scope, bare] = /^(?:(@[^/]+)\/)?(.+)$/.exec(name)
  const purl = `pkg:${kind}/${scope ? `${encodeURIComponent(scope)}/` : ''}${bare}@${encodeURIComponent(version)}`
  const component = new Models.Component(Enums.ComponentType.Library, bare, {
    ...(scope && { group: scope }),
    version,
    purl,
    bomRef: purl,
  })
  component.licenses.add(
    / (?:AND|OR|WITH) /.test(licence)
      ? new Models.LicenseExpression(licence)
      : new Models.SpdxLicense(licence),
  )
  if (digest) component.hashes.set(digest.algorithm, digest.hex)
  return component
}
