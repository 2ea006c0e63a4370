import { PassThrough } from 'node:stream'
import { WriteStream } from 'node:tty'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { inUnits, showProgress, Tally } from '../../src/cli/progress.js'

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'Date'],
  })
})

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** What looks like a terminal to what writes to it, and what was written. */
function fakeTerminal(): { stream: NodeJS.WriteStream; shown: () => string } {
  let shown = ''
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 120, rows: 40 })
  stream.setEncoding('utf8').on('data', (text: string) => {
    shown += text
  })
  for (const name of ['cursorTo', 'clearLine', 'moveCursor'] as const) {
    Object.assign(stream, { [name]: WriteStream.prototype[name] })
  }
  return { stream: stream as unknown as NodeJS.WriteStream, shown: () => shown } // as far as a bar asks
}

test('on a terminal a bar grows with the share of the inputs, and is gone at the end', async () => {
  const tally = new Tally()
  const inputs = { share: 0 }
  const { stream, shown } = fakeTerminal()

  const hide = await showProgress({ tally, inputs }, stream, true)
  tally.succeed(200, 2048)
  inputs.share = 0.5
  await vi.advanceTimersByTimeAsync(1000)
  expect(shown()).toContain(`[${'-'.repeat(24)}] 0% | 0 done, 0 errors, 0 B, `)
  expect(shown()).toContain(
    `[${'='.repeat(12)}${'-'.repeat(12)}] 50% | 1 done, 0 errors, 2.0 KiB, `,
  )

  hide()
  hide() // as after SIGINT
  const length = shown().length
  await vi.advanceTimersByTimeAsync(60_000)
  expect(shown().length).toBe(length)
  expect(shown().endsWith('\u001b[2K')).toBe(true)
  expect(vi.getTimerCount()).toBe(0)
})

test('where nobody can tell the share, the bar is left out', async () => {
  const tally = new Tally()
  const { stream, shown } = fakeTerminal()

  const hide = await showProgress({ tally, inputs: { share: null } }, stream, true)
  tally.fail(Object.assign(new Error('reason'), { code: 'ERR_TIMEOUT' }))
  await vi.advanceTimersByTimeAsync(1000)
  hide()

  expect(shown()).toContain('1 done, 1 error, 0 B, ')
  expect(shown()).not.toContain('%')
})

test('elsewhere there is a plain line every five seconds', async () => {
  const tally = new Tally()
  let written = ''
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written += text
    return true
  })

  const hide = await showProgress({ tally, inputs: { share: 0 } }, process.stderr, false)
  tally.passOver()
  await vi.advanceTimersByTimeAsync(4999)
  expect(written).toBe('')
  await vi.advanceTimersByTimeAsync(5001)
  hide()
  await vi.advanceTimersByTimeAsync(60_000)

  const line = /^pinfetch: 0 done, 1 done before, 0 errors, 0 B, 0\.0\/s$/
  expect(written.split('\n')).toEqual([
    expect.stringMatching(line),
    expect.stringMatching(line),
    '',
  ])
})

test('statuses are counted by class, and errors by code', () => {
  const tally = new Tally()
  for (const status of [200, 204, 301, 404, 500, 599]) tally.succeed(status, 512)
  for (const code of ['ERR_TIMEOUT', 'ERR_BAD_PIN', 'ERR_TIMEOUT']) {
    tally.fail(Object.assign(new Error('reason'), { code }))
  }

  expect(tally.summary).toEqual([
    expect.stringMatching(/^9 requested, 3\.0 KiB in \d+\.\d s, [\d.]+\/s$/),
    'statuses: 2xx 2, 3xx 1, 4xx 1, 5xx 2',
    'bad pins: 1',
    'errors: ERR_BAD_PIN 1, ERR_TIMEOUT 2',
  ])
  expect(tally.exitCode).toBe(5)
  expect(new Tally().exitCode).toBe(0)
})

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1536 * 1024, '1.5 MiB'],
  [2 ** 50, '1024.0 TiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(inUnits(bytes)).toBe(text)
})
