// Which hosts a survey asks: those that patterns name, and those that the user names for wildcards.

import { hasPins, type PatternIndex, type PatternSet } from '../../policy/patterns.js'
import { readNamedText } from '../arguments.js'
import { type Authority, bare, format, readAuthority } from '../authority.js'
import { FileError, messageOf } from '../exit.js'

/** What there is to ask. */
export interface Hosts {
  /** In the order of the policy, then of the names; each once. */
  readonly asked: readonly Authority[]
  /** Wildcards with pins that none of the hosts comes under: nothing can be said of them. */
  readonly unnamed: readonly PatternSet[]
}

/** The hosts of a policy, and `names`; of all those that one of `patterns` (canonical) contributes to, if it is given. */
export function hostsOf(
  index: PatternIndex,
  names: readonly Authority[],
  patterns?: ReadonlySet<string>,
): Hosts {
  const asked = new Map<string, Authority>()
  for (const entry of index.all) {
    const { pattern } = entry
    if (pattern.scope !== '' || !hasPins(entry)) continue
    const host = pattern.base.includes(':') ? `[${pattern.base}]` : pattern.base
    const authority = { host, port: pattern.port ?? 443 }
    asked.set(format(authority), authority)
  }
  for (const name of names) asked.set(format(name), name)
  const isMeant = ({ pattern }: PatternSet): boolean => patterns?.has(pattern.text) ?? true
  for (const [key, { host, port }] of asked) {
    if (patterns !== undefined && !index.inForce(bare(host), port).some(isMeant)) asked.delete(key)
  }
  const reached = new Set<string>()
  for (const { host, port } of asked.values()) {
    for (const { pattern } of index.matching(bare(host), port)) reached.add(pattern.text)
  }
  const unnamed = index.all.filter((entry) => {
    const { pattern } = entry
    return pattern.scope !== '' && hasPins(entry) && !reached.has(pattern.text) && isMeant(entry)
  })
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
