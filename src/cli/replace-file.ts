// A file replaced whole: nobody reads half of it, and nobody's edit is lost.

import { randomBytes } from 'node:crypto'
import { type FileHandle, readFile, realpath, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { putInPlace } from '../replace-file.js'
import { FileError } from './exit.js'

/**
 * Puts `content` in place of what the file `name` holds, which is still to be `expected`; its mode stays, and a symbolic
 * link stays one.
 */
export async function replaceFile(name: string, expected: Buffer, content: string): Promise<void> {
  try {
    const path = await realpath(name)
    const { mode } = await stat(path)
    await writeWhole(path, content, mode & 0o7777, async () => {
      // looked at last, so that the gap in which an edit could be lost is as small as it can be
      if ((await readFile(path)).equals(expected)) return
      throw new FileError(`${name}: has changed meanwhile: nothing was written`, 'ERR_FILE')
    })
  } catch (cause) {
    throw cause instanceof FileError ? cause : FileError.of(name, cause)
  }
}

/**
 * Puts `content` in place of what the file `name` holds; one that is not there yet gets `mode`. What is no file, such as
 * `/dev/stdout`, is written to.
 */
export async function putFile(
  name: string,
  content: string,
  mode: number = 0o666 & ~process.umask(),
): Promise<void> {
  const path = await realpath(name).catch(() => name) // a symbolic link stays one
  const known = await stat(path).catch(() => null)
  if (known !== null && !known.isFile()) return writeFile(path, content)
  await writeWhole(path, content, known === null ? mode : known.mode & 0o7777)
}

/** Writes the file `path` beside its place, and puts it there once all of it is written and `check` resolves. */
async function writeWhole(
  path: string,
  content: string,
  mode: number,
  check: () => Promise<void> = async () => {},
): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  const write = async (file: FileHandle) => {
    await file.chmod(mode) // whatever the umask is
    await file.writeFile(content)
    await file.sync()
  }
  await putInPlace(path, beside, write, { mode, check })
}
