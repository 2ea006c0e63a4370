import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { compiler, flagsOf, profileOf, withFlags } from '../../scripts/pgo.mjs'

const TRIPLE = 'x86_64-unknown-linux-gnu'
const folder = mkdtempSync(join(tmpdir(), 'pinfetch-pgo-'))
afterAll(() => rmSync(folder, { recursive: true }))

const note = JSON.parse(readFileSync(profileOf(TRIPLE).note, 'utf8'))

test('the profile is for the compiler with which releases are built', () => {
  const workflow = readFileSync(
    new URL('../../.github/workflows/release.yml', import.meta.url),
    'utf8',
  )
  const [, version] = /rust-toolchain@(\S+)/.exec(workflow) ?? []
  expect(note.rustc).toMatch(new RegExp(`^rustc ${version?.replaceAll('.', '\\.')} \\(`))
})

test('an addon is optimised by the profile of its target, for this very compiler, or by none', () => {
  const compact = flagsOf('aarch64-apple-darwin', folder)
  expect(compact.every((flag) => flag.startsWith('--cfg='))).toBe(true)
  const flags = flagsOf(TRIPLE, folder)
  if (compiler().rustc !== note.rustc) {
    expect(flags).toEqual(compact)
    return
  }
  expect(flags.slice(0, compact.length)).toEqual(compact)
  const isUse = (flag: string) => flag.startsWith('-Cprofile-use=')
  const [use = ''] = flags.filter(isUse)
  const others = flags.slice(compact.length).filter((flag) => !isUse(flag))
  const copy = use.replace('-Cprofile-use=', '')
  expect(copy.startsWith(join(folder, 'pgo'))).toBe(true)
  expect(readFileSync(copy).equals(readFileSync(profileOf(TRIPLE).data))).toBe(true)
  expect(others.every((flag) => flag.startsWith('-Cllvm-args=-'))).toBe(true)
})

test('flags of the caller stay', () => {
  const flags = ['-Cone', '-Ctwo=a b']
  const joined = (env: NodeJS.ProcessEnv) => withFlags(flags, env).CARGO_ENCODED_RUSTFLAGS
  expect(joined({})).toBe('-Cone\x1f-Ctwo=a b')
  expect(joined({ RUSTFLAGS: '-Cgiven  -g' })).toBe('-Cgiven\x1f-g\x1f-Cone\x1f-Ctwo=a b')
  expect(joined({ CARGO_ENCODED_RUSTFLAGS: '-Cx=y z', RUSTFLAGS: '-Cnot' })).toBe(
    '-Cx=y z\x1f-Cone\x1f-Ctwo=a b',
  )
})
