/** The name that `text` is nearest to, if it is a misspelling of any: a third of it may be wrong. */
export function nearestOf<Name extends string>(
  text: string,
  names: readonly Name[],
): Name | undefined {
  let nearest: Name | undefined
  let least = Math.max(2, Math.ceil(text.length / 3)) + 1
  for (const name of names) {
    const distance = editDistance(text.toLowerCase(), name.toLowerCase())
    if (distance < least) {
      least = distance
      nearest = name
    }
  }
  return nearest
}

/** What is said of an option `name` that `place`, whose options are `known`, does not have. */
export function noOption(place: string, name: string, known: readonly string[]): string {
  const nearest = nearestOf(name, known)
  const there = known.length === 1 ? 'there is' : 'there are'
  const mend = nearest === undefined ? `${there} ${known.join(', ')}` : `did you mean ${nearest}?`
  return `${place} has no option ${JSON.stringify(name)}: ${mend}`
}

/** Levenshtein's, a row at a time. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const swap = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}
