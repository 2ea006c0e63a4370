import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('what a release asks of each addon before anything is published holds of this one', () => {
  // those of other platforms may lie beside it, as test:platforms leaves them
  const ours = `pinfetch.${process.platform}-${process.arch}`
  const [file = 'no addon'] = readdirSync(root)
    .filter((name) => name.startsWith(ours))
    .sort()
  const told = execFileSync(process.execPath, ['scripts/smoke.mjs', file], {
    cwd: root,
    encoding: 'utf8',
  })
  expect(told).toMatch(/^pinfetch\.\S+\.node: pinfetch \d+\.\d+\.\d+ for \S+ runs on Node\.js v/)
})
