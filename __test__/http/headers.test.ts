import { expect, test } from 'vitest'
import { Headers } from '../../src/headers.js'

const headers = new Headers([
  ...['content-type', 'text/html'],
  ...['set-cookie', 'b=1, c'],
  ...['x-repeat', 'one'],
  ...['set-cookie', 'a=2'],
  ...['x-repeat', 'two'],
  ...['accept-ranges', ''],
])

test('names are found in any case', () => {
  for (const name of ['content-type', 'Content-Type', 'CONTENT-TYPE']) {
    expect(headers.get(name), name).toBe('text/html')
    expect(headers.has(name), name).toBe(true)
  }
  expect(headers.get('x-missing')).toBeNull()
  expect(headers.has('x-missing')).toBe(false)
})

test('an empty value is a value', () => {
  expect(headers.get('accept-ranges')).toBe('')
  expect(headers.has('accept-ranges')).toBe(true)
})

test('repeats are joined where one text is asked for, and kept where all are', () => {
  expect(headers.get('x-repeat')).toBe('one, two')
  expect(headers.getAll('X-Repeat')).toEqual(['one', 'two'])
  expect(headers.getSetCookie()).toEqual(['b=1, c', 'a=2'])
})

test('iteration is the fetch standard’s: sorted, joined, each set-cookie apart', () => {
  const entries = [
    ['accept-ranges', ''],
    ['content-type', 'text/html'],
    ['set-cookie', 'b=1, c'],
    ['set-cookie', 'a=2'],
    ['x-repeat', 'one, two'],
  ]
  expect([...headers]).toEqual(entries)
  expect([...headers.entries()]).toEqual(entries)
  expect([...headers.keys()]).toEqual(entries.map(([name]) => name))
  expect([...headers.values()]).toEqual(entries.map(([, value]) => value))
  const seen: string[][] = []
  headers.forEach((value, name) => {
    seen.push([name, value])
  })
  expect(seen).toEqual(entries)
  expect([...new globalThis.Headers([...headers])]).toEqual(entries)
})

test('lines are every field as it came', () => {
  expect(headers.lines().map(([name]) => name)).toEqual([
    'content-type',
    'set-cookie',
    'x-repeat',
    'set-cookie',
    'x-repeat',
    'accept-ranges',
  ])
})
