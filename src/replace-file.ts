// A file that takes another's place when it is whole, as crates/pinfetch-node/src/file.rs does for bodies that JavaScript
// never sees.

import { promises as files } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { PinfetchError } from './errors.js'
import { nodeCrypto } from './node-modules.js'

/** Has `write` fill the new file `beside`, which takes the place of `path` once `check` resolves, and is removed otherwise. */
export async function putInPlace(
  path: string,
  beside: string,
  write: (file: FileHandle) => Promise<void>,
  { mode, check }: { readonly mode?: number; readonly check?: () => Promise<void> } = {},
): Promise<void> {
  try {
    const file = await files.open(beside, 'wx', mode)
    try {
      await write(file)
    } finally {
      await file.close()
    }
    await check?.()
    await files.rename(beside, path)
  } catch (cause) {
    await files.rm(beside, { force: true }).catch(() => {}) // what can't be removed is named as what it is
    throw cause
  }
}

/** Writes `bytes` in place of what the file `path` holds; rejects with `ERR_FILE` where that fails. */
export async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const beside = `${path}.${nodeCrypto().randomBytes(6).toString('hex')}.part`
  try {
    await putInPlace(path, beside, (file) => file.writeFile(bytes))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new PinfetchError('ERR_FILE', `cannot save the body as ${path}: ${reason}`, { cause })
  }
}
