// A file replaced whole: nobody reads half of it, and nobody's edit is lost.

import { randomBytes } from 'node:crypto'
import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { FileError } from './exit.js'

/**
 * Puts `content` in place of what the file `name` holds, which is still to be `expected`; its mode stays, and a symbolic
 * link stays one.
 */
export async function replaceFile(name: string, expected: Buffer, content: string): Promise<void> {
  try {
    const path = await realpath(name)
    const { mode } = await stat(path)
    const beside = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
    try {
      const file = await open(beside, 'wx', mode & 0o7777)
      try {
        await file.chmod(mode & 0o7777) // whatever the umask is
        await file.writeFile(content)
        await file.sync()
      } finally {
        await file.close()
      }
      // looked at last, so that the gap in which an edit could be lost is as small as it can be
      if (!(await readFile(path)).equals(expected))
        throw new FileError(`${name}: has changed meanwhile: nothing was written`, 'ERR_FILE')
      await rename(beside, path)
    } finally {
      await rm(beside, { force: true })
    }
  } catch (cause) {
    throw cause instanceof FileError ? cause : FileError.of(name, cause)
  }
}
