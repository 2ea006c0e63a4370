import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { type Pki, type Role, sharedKit, standardPki } from '../testkit.js'
import { Command } from './command.js'

const command = new Command()

interface Line {
  [field: string]: unknown
}

function requestOf(pki: Pki, chain: readonly Role[], fields: Line = {}): Line {
  const base64 = (role: Role) => pki.certificates[role].der.toString('base64')
  return {
    chain: chain.map(base64),
    trustAnchors: [base64('rootA'), base64('rootB')],
    hostname: pki.hostname,
    ...fields,
  }
}

function lines(values: readonly Line[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join('')
}

function answersOf(stdout: string): Line[] {
  expect(stdout === '' || stdout.endsWith('\n')).toBe(true)
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}

const us = expect.any(Number)
const message = expect.any(String)

test('each request is answered by its verdict', async () => {
  const pki = await standardPki(sharedKit())
  const { leaf, nextLeaf } = pki.certificates
  const path = pki.pathPins('leaf')
  const then = Math.floor(Date.now() / 1000) - 45 * 86_400 // when the expired one was valid
  const cases: [request: Line, answer: Line][] = [
    [{ id: 1 }, { id: 1, ok: true, path, us }],
    [
      { id: 'p', pins: [leaf.pin] },
      { id: 'p', ok: true, path, matchedPin: leaf.pin, us },
    ],
    [
      { id: { any: 'JSON' }, pins: [nextLeaf.pin] },
      { id: { any: 'JSON' }, ok: false, code: 'ERR_BAD_PIN', found: path, path, us },
    ],
    [{ _comment: 'passed over' }, { ok: true, path, us }],
    [
      { id: 5, hostname: 'other.example.test' },
      { id: 5, ok: false, code: 'ERR_CERT_NAME_MISMATCH', found: [], us },
    ],
    [
      { id: 6, hostname: 7 },
      { id: 6, ok: false, code: 'ERR_INVALID_ARGUMENT', message, us },
    ],
    [
      { id: 7, pins: ['sha256/short'] },
      { id: 7, ok: false, code: 'ERR_POLICY_INVALID_PIN', message, us },
    ],
    [
      { id: 8, trustAnchors: ['AAAA'] },
      { id: 8, ok: false, code: 'ERR_POLICY_INVALID_CA', message, us },
    ],
  ]
  const expired = requestOf(pki, ['expiredLeaf', 'a1'], { id: 'e' })
  const input = cases.map(([fields]) => requestOf(pki, ['leaf', 'a1'], fields))
  const ended = await command.run(
    ['verify', '--jsonl'],
    lines([...input, expired, { ...expired, time: then }]),
  )

  expect(ended).toMatchObject({ code: 0, stderr: '' })
  const answers = answersOf(ended.stdout)
  expect(answers.slice(0, cases.length)).toEqual(cases.map(([, answer]) => answer))
  expect(answers.slice(cases.length)).toEqual([
    { id: 'e', ok: false, code: 'ERR_CERT_EXPIRED', found: [], us },
    // the intermediate did not exist then: what was judged is that time, not now
    { id: 'e', ok: false, code: 'ERR_CERT_NOT_YET_VALID', found: [], us },
  ])
})

test('a malformed line is answered, and the next one judged', async () => {
  const pki = await standardPki(sharedKit())
  const good = JSON.stringify(requestOf(pki, ['leaf', 'a1'], { id: 'good' }))
  const refused = { ok: false, code: 'ERR_INVALID_ARGUMENT', message }
  const cases: [line: string, answer: Line | undefined][] = [
    ['{', refused],
    ['', undefined], // a blank line is no request
    ['[]', refused],
    ['null', refused],
    ['{"id":1}', { id: 1, ...refused, us }],
    ['{"id":2,"chain":["%%%"]}', { id: 2, ...refused }],
    ['{"id":3,"chain":["AAA"]}', { id: 3, ...refused }],
    ['{"id":4,"chain":"AAAA"}', { id: 4, ...refused, us }],
    [good.replace('"hostname"', '"host"'), { id: 'good', ...refused, us }],
    [good.replace('{', '{"unknown":1,'), { id: 'good', ...refused, us }],
    [
      good.replace('{', '{"_separators":"\u2028\u2029",'),
      { id: 'good', ok: true, path: pki.pathPins('leaf'), us },
    ],
    [good, { id: 'good', ok: true, path: pki.pathPins('leaf'), us }],
  ]
  const input = cases.map(([line]) => line).join('\r\n') // and no line feed after the last

  const ended = await command.run(['verify', '--jsonl'], input)

  expect(ended).toMatchObject({ code: 0, stderr: '' })
  const expected = cases.flatMap(([, answer]) => (answer === undefined ? [] : [answer]))
  expect(answersOf(ended.stdout)).toEqual(expected)
})

test('bytes that are no UTF-8 are a malformed line', async () => {
  const path = command.file('latin1.jsonl', Buffer.from('{"id":"\xff"}\n{"id":2}\n', 'latin1'))

  const ended = await command.run(['verify', '--jsonl', path])

  expect(ended.code).toBe(0)
  const answers = answersOf(ended.stdout)
  expect(answers.map(({ id, code }) => [id, code])).toEqual([
    [undefined, 'ERR_INVALID_ARGUMENT'],
    [2, 'ERR_INVALID_ARGUMENT'],
  ])
})

test('two thousand lines of a file are answered in order', async () => {
  const pki = await standardPki(sharedKit())
  const kinds = [
    [['leaf', 'a1'], [], true, undefined],
    [['leaf', 'a1'], [pki.certificates.rootA.pin], true, undefined],
    [['rogueLeaf', 'b1', 'leaf', 'a1'], [pki.certificates.leaf.pin], false, 'ERR_BAD_PIN'],
    [['untrustedLeaf', 'c1'], [], false, 'ERR_CERT_UNKNOWN_ISSUER'],
  ] as const
  const kindOf = (id: number) => kinds[id % kinds.length] ?? kinds[0]
  const ids = Array.from({ length: 2000 }, (_, id) => id)
  const path = command.file(
    'many.jsonl',
    lines(ids.map((id) => requestOf(pki, kindOf(id)[0], { id, pins: kindOf(id)[1] }))),
  )

  const ended = await command.run(['verify', '--jsonl', path])

  expect(ended).toMatchObject({ code: 0, stderr: '' })
  expect(answersOf(ended.stdout).map(({ id, ok, code }) => [id, ok, code])).toEqual(
    ids.map((id) => [id, kindOf(id)[2], kindOf(id)[3]]),
  )
})

test('a line is answered before the next one comes; SIGINT then ends the command with 130', async () => {
  const child = command.start('verify', '--jsonl')
  const closed = once(child, 'close')

  for (const id of [1, 2]) {
    child.stdin.write(`{"id":${id}}\n`)
    const [chunk] = await once(child.stdout, 'data')
    expect(JSON.parse(String(chunk))).toMatchObject({ id, ok: false })
  }
  child.kill('SIGINT')

  expect(await closed).toEqual([130, null])
})

test('a reader that goes away ends the command quietly', async () => {
  const child = command.start('verify', '--jsonl')
  const closed = once(child, 'close')
  const stderr = text(child.stderr)
  child.stdin.on('error', () => {}) // it ends while it is being written to

  child.stdin.write(`${JSON.stringify({ id: 'x'.repeat(1000) })}\n`.repeat(10_000))
  await once(child.stdout, 'readable')
  child.stdout.destroy()

  expect(await closed).toEqual([141, null])
  expect(await stderr).toBe('')
})

test.each([
  ['no --jsonl', ['verify'], 2],
  ['two files', ['verify', '--jsonl', 'a', 'b'], 2],
  ['an unknown option', ['verify', '--json'], 2],
  ['a file that is not there', ['verify', '--jsonl', 'none.jsonl'], 6],
] as const)('the exit code tells %s', async (_name, args, code) => {
  const ended = await command.run(args)

  expect(ended).toMatchObject({ code, stdout: '' })
  expect(ended.stderr).toMatch(/^pinfetch: [^\n]+\n$/)
})
