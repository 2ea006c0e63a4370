import { chmodSync, lstatSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { expect, test } from 'vitest'
import { caSets, lockCaSets } from '../../src/index.js'
import { Command } from './command.js'

const command = new Command()
const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [A, B] = [pinOf(1), pinOf(2)]
const setOf = (name: string) => caSets().sets.find((set) => set.name === name)?.pins ?? []
const lines = (mark: string, name: string) =>
  setOf(name)
    .map(({ pin, subject }) => `${mark} ca:${name} ${pin} ${subject}\n`)
    .join('')

const policy = (...pins: string[]) =>
  JSON.stringify({ version: 1, hosts: { 'a.test': [A, ...pins] } })
const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'))

test('a lock is written, kept, and followed', async () => {
  const path = command.file('new.json', policy('ca:letsencrypt'))
  const lockName = command.path('new.lock.json')
  expect((await command.run(['lint', path])).stdout).toContain(`pinfetch lock ${path}`)
  expect(await command.run(['lock', path])).toEqual({
    code: 0,
    stdout: lines('+', 'letsencrypt'),
    stderr: '',
  })
  expect(read(lockName)).toEqual(lockCaSets(['letsencrypt']))
  expect(await command.run(['lock', path])).toEqual({
    code: 0,
    stdout: lines(' ', 'letsencrypt'),
    stderr: '',
  })
  expect((await command.run(['lint', path])).stdout).not.toContain('lock')
  expect((await command.run(['explain', '--policy', path, 'https://a.test/'])).code).toBe(0)
})

test.skipIf(process.platform === 'win32')(
  'a lock keeps its mode, and a link stays one',
  async () => {
    const path = command.file('linked.json', policy('ca:letsencrypt'))
    const lockName = command.path('linked.lock.json')
    const target = command.file('target.lock.json', JSON.stringify(lockCaSets(['letsencrypt'])))
    chmodSync(target, 0o600)
    symlinkSync(target, lockName)
    command.file('linked.json', policy('ca:letsencrypt', 'ca:sectigo'))
    expect(await command.run(['lock', path])).toMatchObject({ code: 0 })
    expect(lstatSync(lockName).isSymbolicLink()).toBe(true)
    expect(statSync(target).mode & 0o777).toBe(0o600)
    expect(read(target)).toEqual(lockCaSets(['letsencrypt', 'sectigo']))
  },
)

test('what is locked stays until it is asked for, and the difference is shown', async () => {
  const path = command.file('old.json', policy('ca:letsencrypt'))
  const [first, ...others] = setOf('letsencrypt')
  const old = {
    version: 1,
    roots: 'webpki-roots 1.0.0',
    caSets: { letsencrypt: { [first?.pin ?? '']: first?.subject, [B]: 'CN=Old Root' } },
  }
  const lockName = command.file('old.lock.json', JSON.stringify(old))
  const kept = `  ca:letsencrypt ${first?.pin} ${first?.subject}\n`
  const [newer] = others.map(({ pin, subject }) => `ca:letsencrypt ${pin} ${subject}\n`)
  const gone = `ca:letsencrypt ${B} CN=Old Root\n`

  expect(await command.run(['lock', path])).toEqual({
    code: 7,
    stdout: `${kept}< ${gone}> ${newer}`,
    stderr: `pinfetch: ${caSets().roots} has other roots: pinfetch lock --update ${path} takes them\n`,
  })
  expect(read(lockName)).toEqual(old)
  const linted = await command.run(['lint', path])
  expect(linted.code).toBe(7)
  expect(linted.stdout).toContain('CN=Old Root no longer')
  expect(linted.stdout).toContain('(ca-set-changed)\n')

  const checked = await command.run(['lock', '--update', '--check', path])
  expect(checked.code).toBe(7)
  expect(read(lockName)).toEqual(old)
  expect(await command.run(['lock', '--update', path])).toEqual({
    code: 0,
    stdout: `${kept}+ ${newer}- ${gone}`,
    stderr: '',
  })
  expect(read(lockName)).toEqual(lockCaSets(['letsencrypt']))
  expect((await command.run(['lint', path])).stdout).not.toContain('ca-set-changed')
})

test('sets come and go with the file, and the others stay', async () => {
  const path = command.file('more.json', policy('ca:letsencrypt', 'ca:amazon'))
  const lockName = command.file('more.lock.json', JSON.stringify(lockCaSets(['amazon', 'google'])))
  const checked = await command.run(['lock', '--check', path])
  expect(checked).toMatchObject({
    code: 7,
    stderr: `pinfetch: ${lockName} is out of date: pinfetch lock ${path}\n`,
  })
  expect(await command.run(['lock', path])).toMatchObject({
    code: 0,
    stdout: lines(' ', 'amazon') + lines('-', 'google') + lines('+', 'letsencrypt'),
  })
  expect(read(lockName)).toEqual(lockCaSets(['letsencrypt', 'amazon']))
})

test('what is noted of a set is told once by lint, and not for each of its roots', async () => {
  const retired = { pin: 'ca:google', role: 'retired', expires: '2026-01-01' }
  const text = JSON.stringify({ version: 1, hosts: { 'a.test': [A, 'ca:letsencrypt', retired] } })
  const path = command.file('retired.json', text)
  await command.run(['lock', path])
  const { stdout } = await command.run(['lint', '--at', '2027-01-01', path])
  expect(stdout.match(/retired-pin/g)).toHaveLength(1)
  expect(stdout).toContain('ca:google is retired, and was to go on 2026-01-01')
})

test('prints lines of JSON', async () => {
  const path = command.file('json.json', policy('ca:letsencrypt'))
  rmSync(command.path('json.lock.json'), { force: true })
  const { stdout } = await command.run(['lock', '--json', path])
  const rows = stdout.trimEnd().split('\n')
  expect(rows.map((row) => JSON.parse(row))).toEqual(
    setOf('letsencrypt').map((pin) => ({ set: 'letsencrypt', ...pin, change: 'added' })),
  )
})

test.each([
  ['a file without sets', policy(), 2, 'has no named sets'],
  ['a name that is none', policy('ca:letsencript'), 6, 'did you mean "ca:letsencrypt"?'],
  ['a file that is none', '{', 6, 'no JSON'],
])('refuses %s', async (_name, text, code, message) => {
  const told = await command.run(['lock', command.file('wrong.json', text)])
  expect(told).toMatchObject({ code, stdout: '' })
  expect(told.stderr).toContain(message)
})

test.each([[[]], [['a.json', 'b.json']]])('refuses the command line %j', async (args) => {
  expect(await command.run(['lock', ...args])).toMatchObject({
    code: 2,
    stderr: 'pinfetch: give one policy file (see pinfetch lock --help)\n',
  })
})
