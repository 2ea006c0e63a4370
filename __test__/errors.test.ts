import { readFileSync } from 'node:fs'
import * as pinfetch from 'pinfetch'
import { expect, test } from 'vitest'
import { errorCodes, errorOf } from '../src/errors.js'

const manual = read('docs/errors.md')
const engine = Array.from(
  read('crates/pinfetch-client/src/error.rs')
    .split('\ncodes! {')[1]
    ?.matchAll(/^ {4}\w+ = (\d+), "(\w+)";/gm) ?? [],
  ([, number, code]) => [Number(number), code],
)

test('engine and TypeScript have the same codes, with the same numbers', () => {
  expect(engine.length).toBeGreaterThan(30)
  expect(errorCodes).toEqual(engine)
})

test('the manual has a section for each code and no other', () => {
  const headings = Array.from(manual.matchAll(/^## (.+)$/gm), ([, heading]) => heading)
  expect(headings).toEqual(engine.map(([, code]) => code))
})

test.each(errorCodes)(
  'number %i is %s, of the class and with the advice in its section',
  (number, code) => {
    const [, section = ''] = manual.split(`\n## ${code}\n\n`)
    const [text = ''] = section.split('\n## ')
    const [, name = ''] = /^`(\w+)`\. \S/.exec(text) ?? []
    const error = errorOf({ code: number, message: 'reason' }, [])
    expect(error).toMatchObject({ code, name })
    expect(error).toBeInstanceOf(name === 'TypeError' ? TypeError : Reflect.get(pinfetch, name))
    for (const part of ['Usual causes', 'What to do', 'A retry']) {
      expect(text).toMatch(new RegExp(`^- \\*\\*${part}\\*\\*: \\S`, 'm'))
    }
  },
)

function read(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
}
