import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PolicyFile } from '../../src/index.js'
import { compare, PatternIndex, readPattern } from '../../src/policy/patterns.js'

const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`

test.each([
  ['api.example.com', 'api.example.com', '', 'api.example.com', null],
  ['*.example.com', '*.example.com', '*.', 'example.com', null],
  ['**.Example.com.:8443', '**.example.com:8443', '**.', 'example.com', 8443],
  ['*.bücher.example', '*.xn--bcher-kva.example', '*.', 'xn--bcher-kva.example', null],
  ['127.0.0.1:8443', '127.0.0.1:8443', '', '127.0.0.1', 8443],
  ['::1', '::1', '', '::1', null],
  ['[0:0::1]:8443', '[::1]:8443', '', '::1', 8443],
  ['localhost', 'localhost', '', 'localhost', null],
])('the pattern %s is %s', (text, canonical, scope, base, port) => {
  expect(readPattern(text)).toEqual({ text: canonical, scope, base, port })
})

const host = fc
  .array(fc.constantFrom('a', 'b', 'c'), { minLength: 0, maxLength: 3 })
  .map((labels) => [...labels, 'example', 'com'].join('.'))
const port = fc.constantFrom('', ':443', ':8443')
const pattern = fc
  .tuple(fc.constantFrom('', '*.', '**.'), host, port)
  .map((parts) => parts.join(''))
const policy = fc.uniqueArray(fc.tuple(pattern, fc.integer({ min: 0, max: 4 }), fc.boolean()), {
  selector: ([text]) => text,
  minLength: 1,
  maxLength: 12,
})

/** A set with one pin, or an exclusion. */
function setOf(byte: number, isAlone: boolean): object {
  if (byte === 0) return { exclude: true }
  return isAlone ? { pins: [pinOf(byte)], exclude: true } : [pinOf(byte)]
}

describe('what is told of a host', () => {
  test('is what the engine decides, whatever the patterns', () => {
    fc.assert(
      fc.property(policy, host, fc.constantFrom(443, 8443), (sets, name, at) => {
        const hosts = Object.fromEntries(
          sets.map(([text, byte, isAlone]) => [text, setOf(byte, isAlone)]),
        )
        const read = new PolicyFile(JSON.stringify({ version: 1, hosts })).in()
        const inForce = new PatternIndex(read.sets.values()).inForce(name, at)
        const engine = read.lookup(`${name}:${at}`)
        expect(inForce.map((entry) => entry.pattern.text).sort()).toEqual(
          [...engine.patterns].sort(),
        )
        const pins = new Set(inForce.flatMap(({ set }) => set.pins.map(({ pin }) => pin)))
        expect([...pins].sort()).toEqual([...engine.pins].sort())
      }),
      { numRuns: 500 },
    )
  })

  test('begins with the most specific pattern', () => {
    const texts = ['**.a.test', '*.a.test', 'b.a.test', '**.b.a.test', 'b.a.test:443', 'a.test']
    const order = texts.map(readPattern).sort(compare)
    expect(order.map(({ text }) => text)).toEqual([
      '**.a.test',
      '*.a.test',
      'a.test',
      '**.b.a.test',
      'b.a.test',
      'b.a.test:443',
    ])
  })
})
