// The licence texts of what an addon is made of: it is distributed, and most of them ask to go with it.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { byText } from './crates.mjs'

const IS_TEXT = /^(?:licen[cs]e|copying|copyright|notice|unlicense)/i

/** Folders of crates whose licences are for what is not linked: test data, documentation. */
const ASIDE = new Set(['benches', 'docs', 'examples', 'fuzz', 'target', 'tests'])

/** Crates that come without their text, and where another package of the same repository has it. */
const ELSEWHERE = {
  'alloc-stdlib': (crates) => crates.find(({ name }) => name === 'alloc-no-stdlib')?.folder,
  napi: () => 'node_modules/@napi-rs/cli',
  'napi-sys': () => 'node_modules/@napi-rs/cli',
}

/** All texts of `crates`, each once, with the crates that it is of. The same crates give the same bytes. */
export function noticesOf(crates) {
  const texts = new Map()
  for (const crate of crates) {
    const found = textsIn(ELSEWHERE[crate.name]?.(crates) ?? crate.folder)
    // Apache's text is the same for everyone: a crate that may be had under it needs none of its own
    if (
      found.length === 0 &&
      /\bApache-2\.0\b/.test(crate.licence) &&
      !/\bAND\b/.test(crate.licence)
    )
      found.push(readFileSync('LICENSE-APACHE', 'utf8'))
    if (found.length === 0)
      throw new Error(`crate ${crate.name} ${crate.version} (${crate.licence}) has no licence text`)
    for (const text of new Set(found.map(normal))) {
      texts.set(text, [...(texts.get(text) ?? []), `${crate.name} ${crate.version}`])
    }
  }
  const list = crates.map(
    ({ name, version, licence, repository }) =>
      `${name} ${version}: ${licence}${repository ? ` (${repository})` : ''}`,
  )
  const sections = [...texts].map(([text, names]) => `${names.join(', ')}:\n\n${text}`).sort(byText)
  const rule = `\n\n${'-'.repeat(80)}\n\n`
  return `This binary of pinfetch holds these crates:\n\n${list.join('\n')}${rule}${sections.join(rule)}\n`
}

function textsIn(folder) {
  return readdirSync(folder)
    .sort(byText)
    .flatMap((name) => {
      const path = join(folder, name)
      if (statSync(path).isDirectory()) return ASIDE.has(name) ? [] : textsIn(path)
      // LICENSE.rs would be code
      return IS_TEXT.test(name) && !/\.(?:rs|c|h|py|toml)$/.test(name)
        ? [readFileSync(path, 'utf8')]
        : []
    })
}

function normal(text) {
  return text.replace(/\r\n/g, '\n').trim()
}
