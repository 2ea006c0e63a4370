// Other programs' formats of pins, read into policy files and written from them. docs/formats.md is the manual.

import { PolicyFile } from '../../index.js'
import { nearestOf } from '../../nearest.js'
import { ANDROID, exportAndroid, importAndroid } from './android.js'
import { APPLE, exportApple, importApple } from './apple.js'
import { type Conversion, type FormatOptions, malformed, Remarks } from './conversion.js'
import { CURL, exportCurl, importCurl } from './curl.js'
import type { Hosts } from './entries.js'
import { type Abilities, Exported } from './exported.js'
import { exportGo, GO, importGo } from './go.js'
import { exportHpkp, HPKP, importHpkp } from './hpkp.js'
import { exportOkHttp, importOkHttp, OKHTTP } from './okhttp.js'
import { exportTrustKit, importTrustKit, TRUSTKIT } from './trustkit.js'

/** The name of a format: docs/formats.md. */
export type PolicyFormat = 'android' | 'trustkit' | 'ios' | 'okhttp' | 'hpkp' | 'curl' | 'go'

interface Converter {
  /** What it is, for people. */
  readonly title: string
  readonly abilities: Abilities
  readonly import: (text: string, remarks: Remarks, options: FormatOptions) => Hosts
  readonly export: (exported: Exported, options: FormatOptions) => string
}

/** Every format by its name. */
export const FORMATS: Readonly<Record<PolicyFormat, Converter>> = {
  android: {
    title: 'Android network security configuration (XML)',
    abilities: ANDROID,
    import: importAndroid,
    export: exportAndroid,
  },
  trustkit: {
    title: 'TrustKit configuration (property list)',
    abilities: TRUSTKIT,
    import: importTrustKit,
    export: exportTrustKit,
  },
  ios: {
    title: 'NSPinnedDomains of an Info.plist',
    abilities: APPLE,
    import: importApple,
    export: exportApple,
  },
  okhttp: {
    title: 'code that builds OkHttp’s CertificatePinner',
    abilities: OKHTTP,
    import: importOkHttp,
    export: exportOkHttp,
  },
  hpkp: {
    title: 'Public-Key-Pins header (RFC 7469)',
    abilities: HPKP,
    import: importHpkp,
    export: exportHpkp,
  },
  curl: {
    title: 'value of curl’s --pinnedpubkey',
    abilities: CURL,
    import: importCurl,
    export: exportCurl,
  },
  go: {
    title: 'map[string][]string of the Go client, or its JSON',
    abilities: GO,
    import: importGo,
    export: exportGo,
  },
}

/**
 * Reads another program's pins into a policy file that says the same.
 *
 * Throws a {@link PolicyError} with line and column for a text that is not of the format. What the file says otherwise
 * than the text is among the remarks.
 */
export function importPolicy(
  format: PolicyFormat,
  text: string,
  options: FormatOptions = {},
): Conversion {
  const remarks = new Remarks()
  const hosts = converterOf(format).import(text, remarks, options)
  if (Object.keys(hosts).length === 0) throw malformed({ line: 1, column: 1 }, 'it pins no host')
  const file = `${JSON.stringify({ $schema: SCHEMA, version: 1, hosts }, null, 2)}\n`
  new PolicyFile(file).in() // whatever it was made of, it can be used
  return { text: file, remarks: remarks.sorted() }
}

/** Where the schema is, from a package that has pinfetch. */
const SCHEMA = './node_modules/pinfetch/schema/policy.schema.json'

/**
 * Writes what a policy file says for another program.
 *
 * Throws a {@link PolicyError} for what cannot be written at all, such as several hosts in a format of one. What the format
 * cannot say is among the remarks, with its place in the policy file.
 *
 * @param options.environment which environment of the file: to be given for a file that has some
 */
export function exportPolicy(
  format: PolicyFormat,
  file: PolicyFile,
  options: FormatOptions & { readonly environment?: string | undefined } = {},
): Conversion {
  const remarks = new Remarks()
  const { abilities, export: write } = converterOf(format)
  const exported = new Exported(file, file.in(options.environment), abilities, remarks)
  const text = write(exported, options)
  return { text, remarks: remarks.sorted() }
}

function converterOf(format: PolicyFormat): Converter {
  if (Object.hasOwn(FORMATS, format)) return FORMATS[format]
  const names = Object.keys(FORMATS)
  const nearest = typeof format === 'string' ? nearestOf(format, names) : undefined
  const mend = nearest === undefined ? `there are ${names.join(', ')}` : `did you mean ${nearest}?`
  throw new TypeError(`unknown format ${JSON.stringify(format)}: ${mend}`)
}
