import { execFile } from 'node:child_process'
import { expect, test } from 'vitest'
import { root } from '../examples.ts'

const LONGEST_MS = 120_000

test('the public types are those that api/ has', { timeout: LONGEST_MS }, async () => {
  const [code, told] = await new Promise<[unknown, string]>((resolve) => {
    execFile(process.execPath, ['scripts/api.mjs', '--check'], { cwd: root }, (error, out, err) =>
      resolve([error?.code ?? 0, out + err]),
    )
  })
  expect(told).toBe('')
  expect(code).toBe(0)
})
