// What is loaded with pinfetch is paid for by whoever imports it: so no module of Node's that only some need. (`promises` of
// `node:fs` is a getter, and loads when it is read.)

import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

type NodeCrypto = typeof import('node:crypto')
type NodeStream = typeof import('node:stream')

/** `node:crypto`, loaded when it is first asked for: it would be a third of what importing pinfetch takes. */
export const nodeCrypto = later<NodeCrypto>('node:crypto')

/** `node:stream`, loaded when it is first asked for. */
export const nodeStream = later<NodeStream>('node:stream')

function later<T>(name: string): () => T {
  let loaded: T | undefined
  return () => {
    if (loaded === undefined) {
      // as in addon.ts: the bundle knows its file, the source its URL
      const own = typeof __filename === 'string' ? __filename : fileURLToPath(import.meta.url)
      loaded = createRequire(own)(name) as T
    }
    return loaded
  }
}
