import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { EXIT, exitCodeOf, FileError, gravest, UsageError } from '../../src/cli/exit.js'
import { columns, printable } from '../../src/cli/output.js'
import { Command } from './command.js'

const command = new Command()

test('--version is the version of the package', async () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const expected = { code: 0, stdout: `pinfetch ${manifest.version}\n`, stderr: '' }
  expect(await command.run(['--version'])).toEqual(expected)
})

test('--help tells every command, and every option of a command that the manual has', async () => {
  const manual = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
  const help = await command.run(['--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  for (const name of ['pins', 'fetch', 'verify', 'lint', 'explain', 'doctor']) {
    expect(help.stdout).toContain(`\n  ${name} `)
    const told = await command.run([name, '--help'])
    expect(told).toMatchObject({ code: 0, stderr: '' })
    const options = (text: string) => new Set(text.match(/(?<=^ {2}|^\| `)--[a-z-]+/gm))
    const [, section = ''] = manual.split(`\n## pinfetch ${name}\n`)
    const [documented = ''] = section.split('\n## ')
    expect(options(told.stdout)).toEqual(options(documented).add('--help'))
  }
})

test('what is wrong with the command line is told whole', async () => {
  const { stderr } = await command.run(['check', 'a.json', 'b. c.json'])
  expect(stderr).toContain('"b. c.json" (see pinfetch check --help)')
})

test('the exit code is told by the code of the error', () => {
  for (const [code, exit] of [
    ['ERR_BAD_PIN', 5],
    ['ERR_CERT_EXPIRED', 4],
    ['ERR_TLS_ALERT', 4],
    ['ERR_DNS', 3],
    ['ERR_CONNECT', 3],
    ['ERR_CONNECTION_CLOSED', 3],
    ['ERR_SOCKET', 3],
    ['ERR_TIMEOUT', 3],
    ['ERR_PROXY', 3],
    ['ERR_HTTP_PROTOCOL', 3],
    ['ERR_HTTP2', 3],
    ['ERR_FILE', 6],
    ['ERR_INVALID_URL', 2],
    ['ERR_POLICY_UNPINNED', 2],
    ['ERR_POLICY_PLAINTEXT', 2],
    ['ERR_INTERNAL', 1],
    ['ERR_ADDON', 1],
  ] as const) {
    expect(exitCodeOf(Object.assign(new Error('reason'), { code })), code).toBe(exit)
  }
  expect(exitCodeOf(new UsageError('reason'))).toBe(2)
  expect(exitCodeOf(new FileError('a: reason', 'ENOENT'))).toBe(6)
  expect(exitCodeOf(new Error('no code'))).toBe(1)
  expect(exitCodeOf(undefined)).toBe(1)
})

test('of several failures the one that bears most on trust gives the exit code', () => {
  const order = [
    EXIT.badPin,
    EXIT.tls,
    EXIT.network,
    EXIT.file,
    EXIT.usage,
    EXIT.other,
    EXIT.findings,
  ]
  for (let index = 0; index < order.length; index++) {
    expect(gravest(order.slice(index).reverse())).toBe(order[index])
  }
  expect(gravest([])).toBe(0)
})

test('what a server says cannot drive a terminal', () => {
  expect(printable('CN=\u001b[2Ja\r\nb\u202ec é')).toBe('CN=\\u{1b}[2Ja\\u{d}\\u{a}b\\u{202e}c é')
})

test('columns are as wide as their widest cell, and no row ends in spaces', () => {
  expect(
    columns([
      ['a', 'bb', ''],
      ['aaa', 'b', 'c'],
    ]),
  ).toEqual(['a    bb', 'aaa  b   c'])
})
