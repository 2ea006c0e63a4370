// The value of curl's --pinnedpubkey: https://curl.se/docs/manpage.html#--pinnedpubkey

import { type FormatOptions, malformed, type Remarks, readHost, readPin } from './conversion.js'
import type { Hosts } from './entries.js'
import type { Exported } from './exported.js'
import { onlyHost } from './one-host.js'

export const CURL = { name: '--pinnedpubkey' } as const

/** The host that `options.host` names, with the pins of a value such as `sha256//…;sha256//…`. */
export function importCurl(text: string, _remarks: Remarks, { host }: FormatOptions): Hosts {
  const start = { line: 1, column: 1 }
  if (host === undefined)
    throw malformed(start, 'the value names no host: give the host of the URL')
  const value = text
    .trim()
    .replace(/^--pinnedpubkey(?:[ \t]+|=)/, '')
    .replace(/^(['"])(.*)\1$/s, '$2')
  if (value === '') throw malformed(start, 'it is empty')
  const pins = value.split(';').map((part) => {
    if (!part.startsWith('sha256//'))
      throw malformed(
        start,
        `${JSON.stringify(part.slice(0, 60))} is no sha256//…: of a file with a key, pinfetch pins --file prints the pin`,
      )
    return readPin(part, start)
  })
  return { [readHost(host, start)]: [...new Set(pins)] }
}

/** The value for one host. */
export function exportCurl(exported: Exported, options: FormatOptions): string {
  const { rules } = onlyHost(exported, options, false)
  return `${rules.pins.map(({ pin }) => pin.replace('sha256/', 'sha256//')).join(';')}\n`
}
