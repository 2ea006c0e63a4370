// Which hosts a survey asks: those that patterns name, and those that the user names for wildcards.

import { readNamedText } from '../arguments.js'
import { type Authority, bare, format, readAuthority } from '../authority.js'
import { FileError, messageOf } from '../exit.js'
import type { PatternIndex, PatternSet } from '../patterns.js'

/** What there is to ask. */
export interface Hosts {
  /** In the order of the policy, then of the names; each once. */
  readonly asked: readonly Authority[]
  /** Wildcards with pins that none of the hosts comes under: nothing can be said of them. */
  readonly unnamed: readonly PatternSet[]
}

/** The hosts of a policy, and `names`. */
export function hostsOf(index: PatternIndex, names: readonly Authority[]): Hosts {
  const asked = new Map<string, Authority>()
  for (const { pattern, set } of index.all) {
    if (pattern.scope !== '' || set.exclude) continue
    const host = pattern.base.includes(':') ? `[${pattern.base}]` : pattern.base
    const authority = { host, port: pattern.port ?? 443 }
    asked.set(format(authority), authority)
  }
  for (const name of names) asked.set(format(name), name)
  const reached = new Set<string>()
  for (const { host, port } of asked.values()) {
    for (const { pattern } of index.matching(bare(host), port)) reached.add(pattern.text)
  }
  const unnamed = index.all.filter(
    ({ pattern, set }) => pattern.scope !== '' && !set.exclude && !reached.has(pattern.text),
  )
  return { asked: [...asked.values()], unnamed }
}

/** The names of `--host` and of the file of `--hosts`, a name a line; blank lines and those with `#` are passed over. */
export async function readNames(
  given: readonly string[],
  file: string | undefined,
): Promise<Authority[]> {
  const names = given.map((text) => readAuthority(text, '--host host[:port]'))
  if (file === undefined) return names
  const lines = (await readNamedText(file)).split('\n').map((line) => line.trim())
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue
    try {
      names.push(readAuthority(line))
    } catch (cause) {
      const message = `${file}:${index + 1}: ${messageOf(cause)}`
      throw new FileError(message, 'ERR_INVALID_ARGUMENT', { cause })
    }
  }
  return names
}
