// The number of the interface between the addon and the code: build.rs of pinfetch-node puts the same into the addon. It
// differs where the golden records or the addon's functions do.
import { readFileSync } from 'node:fs'

const FILES = ['wire-vectors.json', 'src/lib.rs']

/** FNV-1a over the lines of the files, whatever their ends; eight hexadecimal digits. */
export function interfaceNumber() {
  let hash = 0x811c9dc5
  for (const name of FILES) {
    const bytes = readFileSync(new URL(`../crates/pinfetch-node/${name}`, import.meta.url))
    for (const byte of bytes) {
      if (byte !== 0x0d) hash = Math.imul(hash ^ byte, 0x01000193)
    }
  }
  return (hash >>> 0).toString(16).padStart(8, '0')
}
