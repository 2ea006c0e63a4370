import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { codeBlocks, root } from '../examples.ts'

const guide = readFileSync(join(root, 'docs', 'guides', 'testing.md'), 'utf8')

test('the guide to testing works as it stands, with OpenSSL', () => {
  const [[commands = ''], [program = '']] = [codeBlocks(guide, 'sh'), codeBlocks(guide, 'js')]
  mkdirSync(join(root, 'dist'), { recursive: true })
  const cwd = mkdtempSync(join(root, 'dist', 'guide-')) // within the package, which may then import itself by name
  try {
    execFileSync('bash', ['-euc', commands], { cwd, stdio: 'pipe' })
    writeFileSync(join(cwd, 'test.mjs'), program)
    const output = execFileSync(process.execPath, ['test.mjs'], { cwd, encoding: 'utf8' })
    expect(output).toBe('200\nERR_BAD_PIN\n')
  } finally {
    rmSync(cwd, { recursive: true })
  }
})
