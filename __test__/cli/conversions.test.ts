import { execFileSync } from 'node:child_process'
import { linkSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FORMATS } from '../../src/policy/formats/formats.js'
import { Command } from './command.js'

const command = new Command()
const samples = join(import.meta.dirname, '..', 'policy', 'formats')
const android = join(samples, 'network_security_config.xml')
const [P1, P2] = [1, 2].map((byte) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`)
const policy = JSON.stringify({ version: 1, hosts: { 'a.test': [P1], '*.b.test': [P2] } })

describe('pinfetch import', () => {
  test('prints a policy file, and tells what is lost with its place', async () => {
    const told = await command.run(['import', 'android', android])
    expect(told.code).toBe(7)
    const { hosts } = JSON.parse(told.stdout)
    expect(Object.keys(hosts)).toContain('**.pay.bank.example')
    expect(told.stderr).toContain(
      `pinfetch: ${android}:26:17: warning: overridePins lets @raw/extra pass without a pin: not here\n`,
    )
    expect(told.stderr).toContain(`:37:5: note: <debug-overrides> holds in debug builds only`)
  })

  test('writes what pinfetch reads, and never over a file that is there', async () => {
    const out = command.path('imported.json')
    const kt = join(samples, 'Pins.kt')
    const args = ['import', 'okhttp', kt, '--out', out]
    expect(await command.run(args)).toEqual({ code: 0, stdout: '', stderr: '' })
    const explained = await command.run(['explain', '--policy', out, 'https://a.pay.bank.example/'])
    expect(explained).toMatchObject({ code: 0, stderr: '' })
    expect(explained.stdout).toContain('pinned: by 2 pins of 1 pattern')
    expect(await command.run(args)).toMatchObject({
      code: 6,
      stderr: `pinfetch: ${out}: is there already: give another name, or --force (EEXIST)\n`,
    })
    expect(await command.run([...args, '--force'])).toMatchObject({ code: 0 })
  })

  test('puts what it writes by --force in place whole', async () => {
    const [out, old] = [command.path('whole.json'), command.path('old.json')]
    writeFileSync(out, 'before', { mode: 0o640 })
    linkSync(out, old) // has what `out` had, unless that was written over
    const args = ['import', 'okhttp', join(samples, 'Pins.kt'), '--force', '--out']
    expect(await command.run([...args, out])).toMatchObject({ code: 0 })
    expect(JSON.parse(readFileSync(out, 'utf8'))).toHaveProperty('hosts')
    expect([readFileSync(old, 'utf8'), statSync(out).mode & 0o777]).toEqual(['before', 0o640])
    const pipe = command.path('pipe') // is no file, and stays
    execFileSync('mkfifo', [pipe])
    const [told, read] = await Promise.all([command.run([...args, pipe]), readFile(pipe, 'utf8')])
    expect(told).toEqual({ code: 0, stdout: '', stderr: '' })
    expect([read, statSync(pipe).isFIFO()]).toEqual([readFileSync(out, 'utf8'), true])
  })

  test('writes nothing where something is lost and --strict', async () => {
    const out = command.path('strict.json')
    const told = await command.run(['import', 'android', android, '--strict', '--out', out])
    expect(told).toMatchObject({ code: 6, stdout: '' })
    expect(told.stderr).toContain('2 losses and --strict: nothing is written')
    expect(() => readFileSync(out)).toThrow('ENOENT')
    const control = await command.run([
      'import',
      'trustkit',
      join(samples, 'Info.plist'),
      '--strict',
    ])
    expect(control.code).toBe(0)
  })

  test('reads stdin, and prints JSON', async () => {
    const value = `${P1};${P2}`.replaceAll('sha256/', 'sha256//')
    const told = await command.run(['import', 'curl', '-', '--host', 'a.test', '--json'], value)
    expect(told).toMatchObject({ code: 0, stderr: '' })
    const { format, file, text, remarks } = JSON.parse(told.stdout)
    expect([format, file, remarks]).toEqual(['curl', 'stdin', []])
    expect(JSON.parse(text).hosts).toEqual({ 'a.test': [P1, P2] })
  })

  test('takes a star as documented, or as it is taken', async () => {
    const go = join(samples, 'pins.go')
    const documented = await command.run(['import', 'go', go])
    expect(documented.code).toBe(7)
    expect(documented.stdout).toContain('"*.pay.example"')
    const actual = await command.run(['import', 'go', go, '--wildcard', 'actual'])
    expect(actual).toMatchObject({ code: 0, stderr: '' })
    expect(actual.stdout).toContain('"**.pay.example"')
  })

  test('names the place of what it cannot read', async () => {
    const path = command.file('broken.xml', '<network-security-config>\n  <domain-config/>\n')
    expect(await command.run(['import', 'android', path])).toEqual({
      code: 6,
      stdout: '',
      stderr: `pinfetch: ${path}:2:19: no XML: Missing end tag for element network-security-config (ERR_POLICY_INVALID_OPTION)\n`,
    })
    const missing = command.path('none')
    expect(await command.run(['import', 'android', missing])).toMatchObject({ code: 6, stdout: '' })
  })
})

describe('pinfetch export', () => {
  test('prints what others read, and tells what is lost with its place', async () => {
    const path = command.file('policy.json', policy)
    const told = await command.run(['export', 'android', path])
    expect(told.code).toBe(7)
    expect(told.stdout).toContain('<domain includeSubdomains="true">b.test</domain>')
    expect(told.stderr).toMatch(
      /^pinfetch: .*policy\.json:1:\d+: warning: \*\.b\.test: an entry is for b\.test/,
    )
    expect(await command.run(['export', 'okhttp', path])).toMatchObject({
      code: 0,
      stderr: '',
      stdout: `import okhttp3.CertificatePinner

val certificatePinner: CertificatePinner = CertificatePinner.Builder()
    .add("a.test",
        "${P1}")
    .add("*.b.test",
        "${P2}")
    .build()
`,
    })
    expect(await command.run(['export', 'curl', path, '--host', 'x.b.test'])).toMatchObject({
      stdout: `${P2?.replace('sha256/', 'sha256//')}\n`,
    })
  })

  test('is of an environment', async () => {
    const environments = { staging: { hosts: { 'a.test': [P1] } } }
    const path = command.file('environments.json', JSON.stringify({ version: 1, environments }))
    const args = ['export', 'go', path]
    expect((await command.run([...args, '--environment', 'staging'])).stdout).toContain('"a.test"')
    expect(await command.run(args)).toMatchObject({
      code: 6,
      stderr: `pinfetch: ${path}: it has environments: give one of "staging" (ERR_POLICY_INVALID_OPTION)\n`,
    })
  })
})

test('a named set is written as the roots that its lock has', async () => {
  const content = JSON.stringify({ version: 1, hosts: { 'a.test': ['ca:letsencrypt'] } })
  const path = command.file('sets.json', content)
  expect(await command.run(['export', 'okhttp', path])).toMatchObject({ code: 6, stdout: '' })
  expect((await command.run(['lock', path])).code).toBe(0)
  const told = await command.run(['export', 'okhttp', path])
  expect(told.code).toBe(0)
  expect(told.stdout).toContain('sha256/C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=') // ISRG Root X1
  expect(told.stderr).toContain('note: a.test: ca:letsencrypt is written as the pins')
})

test.each([
  [['import'], 'give a format: there are android, '],
  [['import', 'andriod', 'x'], 'unknown format "andriod": did you mean android?'],
  [['export', 'android'], 'give the policy file, or - for stdin'],
  [['import', 'android', 'a', 'b'], 'give one file: "b"'],
  [['import', 'android', 'a', '--host', 'b'], '--host is for hpkp and curl'],
  [['import', 'okhttp', 'a', '--wildcard', 'actual'], '--wildcard is for go'],
  [['import', 'go', 'a', '--wildcard', 'all'], 'give documented or actual'],
])('refuses the command line %j', async (args, message) => {
  const told = await command.run(args)
  expect(told).toMatchObject({ code: 2, stdout: '' })
  expect(told.stderr).toContain(message)
})

test.each(['import', 'export'])('the help of %s names every format', async (name) => {
  const { stdout } = await command.run([name, '--help'])
  for (const format of Object.keys(FORMATS)) expect(stdout).toContain(`\n  ${format} `)
})
