import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

test('what a release asks of each addon before anything is published holds of this one', () => {
  const script = fileURLToPath(new URL('../../scripts/smoke.mjs', import.meta.url))
  const told = execFileSync(process.execPath, [script], { encoding: 'utf8' })
  expect(told).toMatch(/^pinfetch\.\S+\.node: pinfetch \d+\.\d+\.\d+ for \S+ runs on Node\.js v/)
})
