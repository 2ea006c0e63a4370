// A file that takes another's place when it is whole: of a body that JavaScript has, what
// crates/pinfetch-node/src/file.rs does for one that it never sees.

import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { PinfetchError } from './errors.js'

/** Writes `bytes` into a file beside `path`, which then takes its place; rejects with `ERR_FILE` where that fails. */
export async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const beside = `${path}.${randomBytes(6).toString('hex')}.part`
  try {
    const file = await open(beside, 'wx')
    try {
      await file.writeFile(bytes)
    } finally {
      await file.close()
    }
    await rename(beside, path)
  } catch (cause) {
    await rm(beside, { force: true }).catch(() => {}) // what can't be removed is named as what it is
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new PinfetchError('ERR_FILE', `cannot save the body as ${path}: ${reason}`, { cause })
  }
}
