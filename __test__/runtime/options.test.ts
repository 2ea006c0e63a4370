import { describe, expect, test } from 'vitest'
import { configureEngine, Policy, PolicyFile, parsePolicy, Reporter } from '../../src/index.js'
import { DEFAULTS, readOptions } from '../../src/options.js'

const pin = `sha256/${Buffer.alloc(32, 1).toString('base64')}`

function config(options: unknown): string {
  return Buffer.from(readOptions(options).config).toString('hex')
}

describe('refused, with the place named', () => {
  test.each([
    [{ pin: {} }, 'pin', /unknown option "pin": did you mean "pins"\?/],
    [{ Timeout: 1 }, 'Timeout', /did you mean "timeout"\?/],
    [{ maxResponseSize: 1 }, 'maxResponseSize', /did you mean "maxResponseBytes"\?/],
    [{ rejectUnauthorized: false }, 'rejectUnauthorized', /did you mean "insecureSkipVerify"\?/],
    [{ quiteElse: 1 }, 'quiteElse', /unknown option "quiteElse"$/],
    [JSON.parse('{"__proto__":1}'), '__proto__', /unknown option "__proto__"/],
    [{ constructor: 1 }, 'constructor', /unknown option "constructor"/],
    [{ pins: undefined }, 'pins', /pins is undefined: leave it out/],
    [{ pins: null }, 'pins', /pins is null/],
    [{ pins: 'sha256/…' }, 'pins', /pins is a string/],
    [{ pins: [['a.test']] }, 'pins', /entry 0 of pins is no pair/],
    [{ pins: { 'a.test': null } }, 'pins', /pins\["a.test"\]: it is null/],
    [{ pins: { 'a.test': {} } }, 'pins', /neither pins nor exclude: true/],
    [{ pins: { 'a.test': { exclude: false } } }, 'pins', /neither pins nor exclude: true/],
    [{ pins: { 'a.test': { exclude: 'yes' } } }, 'pins', /exclude is a string/],
    [{ pins: { 'a.test': { pin: [pin] } } }, 'pins', /unknown property "pin"/],
    [{ ca: undefined }, 'ca', /ca is undefined/],
    [{ ca: 7 }, 'ca', /ca is a number/],
    [{ extraCa: [7] }, 'extraCa', /extraCa is a number/],
    [{ crl: undefined }, 'crl', /crl is undefined/],
    [{ crl: ['x', 7] }, 'crl', /crl is a number: give certificate revocation lists in PEM or DER/],
    [{ systemCa: 1 }, 'systemCa', /systemCa is a number/],
    [{ insecureSkipVerify: 'true' }, 'insecureSkipVerify', /insecureSkipVerify is a string/],
    [{ http2: null }, 'http2', /http2 is null: give true, false, 'only' or an object/],
    [{ extraCa: null }, 'extraCa', /extraCa is null/],
    [{ headers: null }, 'headers', /headers is null/],
    [{ unpinned: 'deny' }, 'unpinned', /unpinned is "deny": give "allow" or "warn" or "refuse"/],
    [{ unpinned: 'constructor' }, 'unpinned', /unpinned is "constructor"/],
    [{ minVersion: 'TLSv1.1' }, 'minVersion', /give "TLSv1.2" or "TLSv1.3"/],
    [{ connections: 0 }, 'connections', /connections is 0/],
    [{ connections: 1.5 }, 'connections', /connections is 1.5/],
    [{ connections: '4' }, 'connections', /connections is a string/],
    [{ timeout: -1 }, 'timeout', /timeout is -1/],
    [{ timeout: '30' }, 'timeout', /timeout is a string/],
    [{ idleTimeout: Number.NaN }, 'idleTimeout', /idleTimeout is NaN/],
    [{ maxResponseBytes: -1 }, 'maxResponseBytes', /maxResponseBytes is -1/],
    [{ serverName: 7 }, 'serverName', /serverName is a number/],
    [{ headers: { 'x y': '1' } }, 'headers', /header name "x y"/],
    [{ lookup: 'dns' }, 'lookup', /lookup is a string/],
    [{ lookup: { 'a.test': 7 } }, 'lookup', /lookup\["a.test"\] is a number/],
    [{ onBadPin: 'print' }, 'onBadPin', /onBadPin is a string/],
  ] as [object, string, RegExp][])('%o', (options, option, message) => {
    expect(() => readOptions(options)).toThrow(
      expect.objectContaining({ name: 'PolicyError', code: 'ERR_POLICY_INVALID_OPTION', option }),
    )
    expect(() => readOptions(options)).toThrow(message)
  })

  test.each([
    [7, undefined, /pins\["a.test"\]: it is a number/],
    [{ pins: 7 }, undefined, /pins\["a.test"\] is a number/],
    [[pin, 7], 1, /pins\["a.test"\]\[1\] is a number/],
    [[Buffer.from('x')], 0, /pins\["a.test"\]\[0\] is a byte array/],
    [[{}], 0, /is an empty object/],
    [[{ certificate: 'x', publicKey: 'y' }], 0, /certificate, publicKey/],
    [[{ certificate: 7 }], 0, /has a certificate that is a number/],
  ])('the pin %o', (value, index, message) => {
    const read = () => readOptions({ pins: { 'a.test': value } })
    expect(read).toThrow(
      expect.objectContaining({
        name: 'PolicyError',
        pattern: 'a.test',
        ...(index === undefined ? {} : { index }),
      }),
    )
    expect(read).toThrow(message)
  })

  test.each([null, 7, 'x', []])('options that are %j', (options) => {
    expect(() => readOptions(options)).toThrow(/the options are/)
  })
})

test('undefined is the default, where a lost variable does no harm', () => {
  expect(config({ timeout: undefined, http2: undefined, onBadPin: undefined })).toBe(config({}))
  expect(config(undefined)).toBe(config({}))
})

test('a default that is spelt out changes nothing', () => {
  expect(config({ ...DEFAULTS, pins: {}, extraCa: [], crl: [], headers: {}, onBadPin: null })).toBe(
    config({}),
  )
})

test('pins are the same as an object, a Map and pairs', () => {
  const wanted = config({ pins: { 'a.test': [pin], '*.b.test': { pins: [pin] } } })
  expect(
    config({
      pins: new Map<string, unknown>([
        ['a.test', [pin]],
        ['*.b.test', [pin]],
      ]),
    }),
  ).toBe(wanted)
  expect(
    config({
      pins: [
        ['a.test', pin],
        ['*.b.test', { pins: pin }],
      ],
    }),
  ).toBe(wanted)
})

test('pins are an object’s own: what it inherits is neither read nor called', () => {
  const inherited = {
    get 'evil.test'() {
      throw new Error('an inherited getter was called')
    },
  }
  const pins = Object.assign(Object.create(inherited), { 'a.test': [pin] })
  expect(config({ pins })).toBe(config({ pins: { 'a.test': [pin] } }))
})

test('__proto__ and constructor are hosts like any other', () => {
  const pins = Object.fromEntries([
    ['__proto__', [pin]],
    ['constructor', [pin]],
  ])
  const map = new Map([
    ['__proto__', [pin]],
    ['constructor', [pin]],
  ])
  expect(config({ pins })).toBe(config({ pins: map }))
  expect(Buffer.from(config({ pins }), 'hex').includes('__proto__')).toBe(true)
})

test('a polluted prototype adds no option and no pin', () => {
  const polluted = Object.prototype as Record<string, unknown>
  const before = config({ pins: { 'a.test': [pin] } })
  polluted.insecureSkipVerify = true
  polluted.exclude = true
  polluted.certificate = 'x'
  try {
    expect(config({ pins: { 'a.test': { pins: [pin] } } })).toBe(before)
  } finally {
    delete polluted.insecureSkipVerify
    delete polluted.exclude
    delete polluted.certificate
  }
})

test('getters are asked once', () => {
  let asked = 0
  const set = () => {
    asked += 1
    return [pin]
  }
  readOptions({
    get pins() {
      asked += 1
      return Object.defineProperty({}, 'a.test', { enumerable: true, get: set })
    },
  })
  expect(asked).toBe(2)
})

test('what happens to the options later changes nothing', () => {
  const pins: Record<string, string[]> = { 'a.test': [pin] }
  const { config: bytes } = readOptions({ pins })
  const before = Buffer.from(bytes)
  pins['a.test'] = []
  pins['b.test'] = [pin]
  expect(Buffer.from(bytes)).toEqual(before)
})

test.each([
  ['a policy', 'blockt', 'blocked', () => new Policy({}, { blockt: [] } as never)],
  ['a policy file', 'caSet', 'caSets', () => new PolicyFile('{}', { caSet: {} } as never)],
  [
    'a policy file',
    'enviroment',
    'environment',
    () => parsePolicy('{}', { enviroment: 'a' } as never),
  ],
  ['reportTo', 'urls', 'url', () => new Reporter({ urls: 'https://a.test/' } as never)],
  ['an engine', 'thread', 'threads', () => configureEngine({ thread: 1 } as never)],
  ['a watched policy', 'pol', 'poll', () => Policy.watch('a.json', { pol: 1 } as never)],
])('%s has no option %j: %s is meant', async (place, name, meant, make) => {
  const message = `${place} has no option ${JSON.stringify(name)}: did you mean ${meant}?`
  await expect((async () => make())()).rejects.toMatchObject({
    code: 'ERR_POLICY_INVALID_OPTION',
    message,
  })
})
