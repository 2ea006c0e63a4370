// What is loaded with pinfetch is paid for by whoever imports it: so no module of Node's that only some need. (`promises` of
// `node:fs` is a getter, and loads when it is read.)

import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

type NodeCrypto = typeof import('node:crypto')

let loaded: NodeCrypto | undefined

/** `node:crypto`, loaded when it is first asked for: it would be a third of what importing pinfetch takes. */
export function nodeCrypto(): NodeCrypto {
  if (loaded === undefined) {
    // as in addon.ts: the bundle knows its file, the source its URL
    const own = typeof __filename === 'string' ? __filename : fileURLToPath(import.meta.url)
    loaded = createRequire(own)('node:crypto') as NodeCrypto
  }
  return loaded
}
