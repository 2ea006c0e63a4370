// A file that takes another's place when it is whole, as crates/pinfetch-node/src/file.rs does for bodies that JavaScript
// never sees.

import { promises as files } from 'node:fs'
import { dirname, isAbsolute, sep } from 'node:path'
import { codeOfThrown } from './errors.js'
import { nodeCrypto } from './node-modules.js'

/** How many symbolic links are followed, as Linux does it. */
const MOST_LINKS = 40

/** How a file is put in the place of another. */
export interface Replacing {
  /** The mode of a file that is not there yet; one that is there keeps its own. @default 0o666 without the umask */
  readonly mode?: number
  /** Whether the disk has it before it takes the other's place. @default false */
  readonly isSynced?: boolean
  /** Asked when all is written: where it rejects, the other stays. */
  readonly check?: () => Promise<void>
}

/**
 * Puts `content` in place of what the file `name` holds. Its mode stays, and a symbolic link stays one; what is no file,
 * such as `/dev/stdout`, is written to.
 */
export async function putFile(
  name: string,
  content: string | Uint8Array,
  { mode, isSynced = false, check }: Replacing = {},
): Promise<void> {
  const path = await target(name)
  const known = await files.stat(path).catch((cause: unknown) => {
    if (codeOfThrown(cause) === 'ENOENT') return null
    throw cause
  })
  if (known !== null && !known.isFile()) return files.writeFile(path, content)
  const exact = known === null ? mode : known.mode & 0o7777
  const beside = `${path}.${nodeCrypto().randomBytes(6).toString('hex')}.part`
  try {
    const file = await files.open(beside, 'wx', exact)
    try {
      if (exact !== undefined) await file.chmod(exact) // whatever the umask is
      await file.writeFile(content)
      if (isSynced) await file.sync()
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

/** Where the symbolic link `name` leads, be there a file yet or not; `name` where it is none. */
async function target(name: string): Promise<string> {
  let path = name
  for (let links = 0; links < MOST_LINKS; links += 1) {
    const next = await files.readlink(path).catch(() => null)
    if (next === null) break
    path = isAbsolute(next) ? next : `${dirname(path)}${sep}${next}` // `..` is the file system's to resolve
  }
  return path
}
