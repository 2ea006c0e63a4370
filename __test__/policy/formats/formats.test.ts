import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { PolicyError, PolicyFile } from 'pinfetch'
import {
  type Conversion,
  exportPolicy,
  type FormatOptions,
  importPolicy,
  type PolicyFormat,
} from 'pinfetch/formats'
import { describe, expect, test } from 'vitest'
import { FORMATS } from '../../../src/policy/formats/formats.js'
import { codeBlocks, root, runNode } from '../../examples.js'

const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`
const [P1, P2, P3, P4, P5] = [pinOf(1), pinOf(2), pinOf(3), pinOf(4), pinOf(5)]
const bare = (byte: number) => pinOf(byte).slice('sha256/'.length)
const read = (name: string) => readFileSync(join(import.meta.dirname, name), 'utf8')
const hostsOf = ({ text }: Conversion): Record<string, unknown> => JSON.parse(text).hosts
const losses = ({ remarks }: Conversion) =>
  remarks.flatMap(({ kind, line, message }) => (kind === 'loss' ? [`${line}: ${message}`] : []))
const notes = ({ remarks }: Conversion) =>
  remarks.flatMap(({ kind, line, message }) => (kind === 'note' ? [`${line}: ${message}`] : []))
const fileOf = (hosts: object, more: object = {}) =>
  new PolicyFile(JSON.stringify({ version: 1, hosts, ...more }))

describe('an Android configuration', () => {
  const imported = importPolicy('android', read('network_security_config.xml'))

  test('becomes sets of which the most specific one holds', () => {
    expect(hostsOf(imported)).toEqual({
      '**.bank.example': { pins: [P1, P2], expires: { at: '2027-06-30', then: 'report' } },
      '**.bank.example.net': { pins: [P1, P2], expires: { at: '2027-06-30', then: 'report' } },
      '**.pay.bank.example': { pins: [P3], exclude: true },
      'static.bank.example': {
        pins: [P1, P2],
        exclude: true,
        expires: { at: '2027-06-30', then: 'report' },
      },
      '**.status.bank.example': { exclude: true },
    })
  })

  test.each([
    ['bank.example', [P1, P2]],
    ['a.b.bank.example', [P1, P2]],
    ['pay.bank.example', [P3]],
    ['a.b.pay.bank.example', [P3]],
    ['a.static.bank.example', [P1, P2]],
    ['a.status.bank.example', []],
    ['partner.example', []],
  ])('has the pins of %s', (host, pins) => {
    expect(new PolicyFile(imported.text).in().lookup(host).pins.toSorted()).toEqual(pins)
  })

  test('tells what is lost, and what is to be known, with its line', () => {
    expect(losses(imported)).toEqual([
      '26: overridePins lets @raw/extra pass without a pin: not here',
      expect.stringMatching(/^26: <domain-config> trusts @raw\/extra: give its certificates/),
    ])
    expect(notes(imported)).toEqual([
      expect.stringMatching(/^12: the set ends at midnight of 2027-06-30/),
      '35: partner.example has no pins: left out',
      '37: <debug-overrides> holds in debug builds only: left out',
    ])
  })

  const config = (inside: string) => `<network-security-config>${inside}</network-security-config>`
  const domain = (inside: string) =>
    config(`<domain-config><domain>a.test</domain>${inside}</domain-config>`)
  test.each([
    ['what is no XML', '<a', 'no XML: '],
    ['another document', '<a/>', 'it is a <a>: give a <network-security-config>'],
    ['a document without pins', config(''), 'it pins no host'],
    ['a domain twice', domain('<domain>A.test.</domain>'), 'a.test stands there twice'],
    ['no domain', config('<domain-config/>'), 'a <domain-config> without a <domain>'],
    ['a star', config('<domain-config><domain>*.a.test</domain></domain-config>'), 'it has a star'],
    [
      'another digest',
      domain('<pin-set><pin digest="SHA-1">AAAA</pin></pin-set>'),
      'digest is "SHA-1": only SHA-256 is read',
    ],
    [
      'a pin that is none',
      domain('<pin-set><pin digest="SHA-256">AAAA</pin></pin-set>'),
      '3 bytes',
    ],
    [
      'a day that is none',
      domain('<pin-set expiration="2027-02-30"/>'),
      'expiration is "2027-02-30": give yyyy-MM-dd',
    ],
    ['two pin sets', domain('<pin-set/><pin-set/>'), 'a second <pin-set>'],
    [
      'another word for true',
      config('<domain-config><domain includeSubdomains="yes">a.test</domain></domain-config>'),
      'includeSubdomains is "yes": give true or false',
    ],
    [
      'names below a public suffix',
      config(
        `<domain-config><domain includeSubdomains="true">co.uk</domain><pin-set><pin digest="SHA-256">${bare(1)}</pin></pin-set></domain-config>`,
      ),
      'co.uk',
    ],
  ])('is refused for %s', (_name, text, message) => {
    const error = thrownBy(() => importPolicy('android', text))
    expect(error.message).toContain(message)
  })

  test('tells elements that it does not know, and cleartext that goes on', () => {
    const text = config(`
<domain-config cleartextTrafficPermitted="true"><certificateTransparency enabled="true"/>
<domain>a.test</domain><pin-set><pin digest="SHA-256">${bare(1)}</pin></pin-set>
<domain-config cleartextTrafficPermitted="false"><domain>b.test</domain><pin-set/></domain-config>
</domain-config>`)
    expect(losses(importPolicy('android', text))).toEqual([
      '2: <certificateTransparency> is not read: left out',
      '3: a.test permits cleartext: http: to a pinned host is refused here',
      '4: b.test permits no cleartext: http: to a host without pins goes on here',
    ])
  })

  test('gives the place where it stands, behind lines of other scripts', () => {
    const text = config(`\r\n<!-- « é » -->\r\n<!-- 日 --> <domain-config/>`)
    const error = thrownBy(() => importPolicy('android', text))
    expect(error).toMatchObject({ line: 3, column: 12 })
  })
})

describe('a TrustKit configuration', () => {
  const imported = importPolicy('trustkit', read('Info.plist'))

  test('becomes sets of which the most specific one holds', () => {
    expect(hostsOf(imported)).toEqual({
      '**.bank.example': { pins: [P1, P2], expires: { at: '2027-06-30', then: 'report' } },
      'pay.bank.example': { pins: [P3, P4], exclude: true },
      '**.status.bank.example': { exclude: true },
      'beta.example': { pins: [P5, P4], mode: 'report' },
    })
    expect(losses(imported)).toEqual([])
    expect(notes(imported).map((note) => note.replace(/:.*/s, ''))).toEqual([
      '12',
      '20',
      '27',
      '59',
    ])
  })

  const plist = (inside: string) => `<plist><dict>${inside}</dict></plist>`
  const domains = (inside: string) =>
    plist(`<key>kTSKPinnedDomains</key><dict><key>a.test</key><dict>${inside}</dict></dict>`)
  test.each([
    ['a binary one', 'bplist00\u0001', 'plutil -convert xml1'],
    ['an old one', '{ a = b; }', 'plutil -convert xml1'],
    ['one without domains', plist(''), 'no kTSKPinnedDomains'],
    ['a domain without hashes', domains(''), 'a.test has no kTSKPublicKeyHashes'],
    [
      'hashes that are no list',
      domains('<key>kTSKPublicKeyHashes</key><string/>'),
      'kTSKPublicKeyHashes is no list',
    ],
    [
      'no hashes in the list',
      domains('<key>kTSKPublicKeyHashes</key><array/>'),
      'kTSKPublicKeyHashes is empty',
    ],
    [
      'a hash that is none',
      domains('<key>kTSKPublicKeyHashes</key><array><string>x</string></array>'),
      'line 1',
    ],
    [
      'a text for a boolean',
      domains('<key>kTSKIncludeSubdomains</key><string>YES</string>'),
      'neither <true/> nor <false/>',
    ],
    ['a key without a value', domains('<key>kTSKIncludeSubdomains</key>'), 'has no value'],
    [
      'a key twice',
      domains('<key>kTSKEnforcePinning</key><true/><key>kTSKEnforcePinning</key><true/>'),
      'stands there twice',
    ],
  ])('is refused: %s', (_name, text, message) => {
    expect(thrownBy(() => importPolicy('trustkit', text)).message).toContain(message)
  })

  test('tells what it does not read', () => {
    const text = domains(
      `<key>kTSKOther</key><true/><key>kTSKPublicKeyHashes</key><array><string>${bare(1)}</string></array>`,
    )
    expect(losses(importPolicy('trustkit', text))).toEqual([
      '1: a.test: kTSKOther is not read: left out',
    ])
  })
})

describe('NSPinnedDomains', () => {
  test('become sets with places, one label deep', () => {
    const imported = importPolicy('ios', read('Info.plist'))
    expect(hostsOf(imported)).toEqual({
      'bank.example': { pins: [P1, P2], require: ['ca'] },
      '*.bank.example': { pins: [P1, P2], require: ['ca'] },
      'pay.bank.example': {
        pins: [{ pin: P3, at: 'leaf' }, P1],
        exclude: true,
        require: ['leaf', 'ca'],
      },
    })
    expect(losses(imported)).toEqual([])
  })

  test('are written again as they were read', () => {
    const { text } = importPolicy('ios', read('Info.plist'))
    const exported = exportPolicy('ios', new PolicyFile(text))
    expect(losses(exported)).toEqual([])
    expect(importPolicy('ios', exported.text).text).toBe(text)
  })

  test('cannot leave a name out, nor tell pins of any place apart', () => {
    const exported = exportPolicy(
      'ios',
      fileOf({ '*.a.test': [P1], 'b.a.test': { exclude: true }, 'c.test': [P2] }),
    )
    expect(losses(exported).join('\n')).toMatch(/b\.a\.test cannot be taken out/)
    expect(losses(exported).join('\n')).toMatch(
      /c\.test: pins of any place are written as those of/,
    )
  })
})

describe('code that builds a CertificatePinner', () => {
  test('is read for its calls of add', () => {
    const imported = importPolicy('okhttp', read('Pins.kt'))
    expect(hostsOf(imported)).toEqual({
      'bank.example': [P1, P2],
      '**.pay.bank.example': [P3, P4],
      '*.bank.example': [P1],
    })
    expect(imported.remarks).toEqual([])
  })

  const add = (args: string) => `CertificatePinner.Builder().add(${args}).build()`
  test.each([
    ['no call', 'fun main() {}', 'it has no call of .add('],
    ['a name in place of a text', add(`HOST, "${P1}"`), 'HOST in a call of add'],
    ['texts that are put together', add(`"a." + "test", "${P1}"`), '+ in a call of add'],
    ['a text with something put in', add(`"\${host}", "${P1}"`), 'host}" in a call of add'],
    ['a name for an argument', add(`pattern = "a.test", "${P1}"`), 'pattern in a call of add'],
    ['pins alone', add(`"${P1}"`), 'a call of add without a pattern'],
    ['a pin that is none', add('"a.test", "sha256/AAAA"'), '3 bytes'],
    ['SHA-1 alone', add('"a.test", "sha1/AAAAAAAAAAAAAAAAAAAAAAAAAAA="'), 'no pin of SHA-256'],
    ['a text that does not end', 'val a = "', 'a text that does not end'],
  ])('is refused for %s', (_name, text, message) => {
    expect(thrownBy(() => importPolicy('okhttp', text)).message).toContain(message)
  })

  test('tells pins that stand elsewhere, and those of SHA-1', () => {
    const text = `val spare = "${P2}"\n${add(`"a.test", "${P1}", "sha1/AAAAAAAAAAAAAAAAAAAAAAAAAAA="`)}`
    expect(losses(importPolicy('okhttp', text))).toEqual([
      `1: ${P2} is in no call of .add("…", "sha256/…"): left out`,
      '2: a.test: a pin of SHA-1 is not read: left out',
    ])
  })
})

describe('a Public-Key-Pins header', () => {
  const host = 'a.test'
  const pins = `pin-sha256="${bare(1)}"; pin-sha256="${bare(2)}"`
  test.each<[name: string, header: string, hosts: object]>([
    ['the field', `Public-Key-Pins: ${pins}; max-age=60`, { 'a.test': [P1, P2] }],
    ['its value alone', `${pins}; max-age=60`, { 'a.test': [P1, P2] }],
    [
      'names below',
      `max-age="60" ;includeSubDomains; PIN-SHA256="${bare(1)}"`,
      { '**.a.test': [P1] },
    ],
    ['other directives', `${pins}; max-age=60; x-y; z="a;b\\"c"`, { 'a.test': [P1, P2] }],
    [
      'report only',
      `Public-Key-Pins-Report-Only: ${pins}`,
      { 'a.test': { pins: [P1, P2], mode: 'report' } },
    ],
    [
      'a report-uri that looks like a pin',
      `pin-sha256="${bare(1)}"; max-age=60; report-uri="https://r.test/?pin-sha256=${bare(2)}"`,
      { 'a.test': [P1] },
    ],
    ['other algorithms', `${pins}; pin-sha512="AAAA"; max-age=60`, { 'a.test': [P1, P2] }],
  ])('is read: %s', (_name, header, hosts) => {
    expect(hostsOf(importPolicy('hpkp', header, { host }))).toEqual(hosts)
  })

  test.each([
    ['no max-age', pins, 'no max-age'],
    ['max-age twice', `${pins}; max-age=1; Max-Age=1`, 'max-age stands there twice'],
    ['max-age of 0', `${pins}; max-age=0`, 'takes pins away'],
    ['max-age that is no number', `${pins}; max-age=-1`, 'no number of seconds'],
    ['a pin without quotes', `pin-sha256=${bare(1).replace('=', '')}; max-age=1`, 'in quotes'],
    ['a pin that is none', 'pin-sha256="AAAA"; max-age=1', '3 bytes'],
    ['no pin', 'max-age=1', 'no pin-sha256'],
    ['an empty directive', `${pins};; max-age=1`, 'no directive where one should be'],
    ['a semicolon at the end', `${pins}; max-age=1;`, 'no directive where one should be'],
    ['a comma', `${pins}, max-age=1`, 'something other than ";"'],
    ['white space around =', `${pins}; max-age = 1`, 'something other than ";"'],
    ['a quote that does not end', `${pins}; max-age=1; a="b`, 'has no value behind its "="'],
    ['includeSubDomains with a value', `${pins}; max-age=1; includeSubDomains=1`, 'has no value'],
    ['nothing', ' ', 'it is empty'],
  ])('does not count as a whole for %s', (_name, header, message) => {
    expect(thrownBy(() => importPolicy('hpkp', header, { host })).message).toContain(message)
  })

  test('needs a host, and only the first one counts', () => {
    expect(() => importPolicy('hpkp', `${pins}; max-age=1`)).toThrow('names no host')
    const two = importPolicy('hpkp', `${pins}; max-age=1\nPublic-Key-Pins: max-age=0\n`, { host })
    expect(hostsOf(two)).toEqual({ 'a.test': [P1, P2] })
    expect(losses(two)).toEqual([expect.stringMatching(/^2: only the first header counts/)])
  })
})

describe('the value of --pinnedpubkey', () => {
  const host = 'a.test'
  const value = `sha256//${bare(1)};sha256//${bare(2)}`
  test.each([value, `--pinnedpubkey '${value}'\n`, `--pinnedpubkey "${value}"`])(
    'is read: %s',
    (text) => {
      expect(hostsOf(importPolicy('curl', text, { host }))).toEqual({ 'a.test': [P1, P2] })
    },
  )
  test.each([
    ['key.pem', 'pinfetch pins --file'],
    [`sha256/${bare(1)}`, 'is no sha256//…'],
    ['sha256//AAAA', '3 bytes'],
    [`${value};`, 'is no sha256//…'],
    ['', 'it is empty'],
  ])('is refused: %s', (text, message) => {
    expect(thrownBy(() => importPolicy('curl', text, { host })).message).toContain(message)
  })
  test('needs a host', () => {
    expect(() => importPolicy('curl', value)).toThrow('names no host')
  })
})

describe('the map of the Go client', () => {
  test('is read as documented, or as the client takes it', () => {
    const documented = importPolicy('go', read('pins.go'))
    expect(hostsOf(documented)).toEqual({ 'bank.example': [P1, P2], '*.pay.example': [P3] })
    expect(losses(documented)).toEqual([
      expect.stringMatching(/^9: \*\.pay\.example is taken as documented, .*--wildcard actual/),
    ])
    const actual = importPolicy('go', read('pins.go'), { wildcard: 'actual' })
    expect(hostsOf(actual)).toEqual({ 'bank.example': [P1, P2], '**.pay.example': [P3] })
    expect(losses(actual)).toEqual([])
  })

  test('is found among other maps and types, and pins elsewhere are told', () => {
    const source = `type pins map[string][]string
var header = map[string][]string{"accept": {"*/*"}}
var p = map[string][]string{"a.test": {"${bare(1)}"}}
func init() { p["b.test"] = []string{"${bare(2)}"} }`
    const imported = importPolicy('go', source)
    expect(hostsOf(imported)).toEqual({ 'a.test': [P1] })
    expect(losses(imported)).toEqual([`4: ${bare(2)} is not in the map that is read: left out`])
  })

  test('is read as JSON', () => {
    const json = JSON.stringify({ 'a.test': [bare(1)], 'b.test': [P2] })
    expect(hostsOf(importPolicy('go', json))).toEqual({ 'a.test': [P1], 'b.test': [P2] })
  })

  test('tells where one entry holds there and both hold here', () => {
    const source = `map[string][]string{"*.a.test": {"${bare(1)}"}, "b.a.test": {"${bare(2)}"}}`
    expect(losses(importPolicy('go', source, { wildcard: 'actual' }))).toEqual([
      '1: b.a.test and **.a.test match the same names: the pins of both hold here',
    ])
  })

  const map = (inside: string) => `map[string][]string{${inside}}`
  test.each([
    ['no map', 'package a', 'give map[string][]string{…} or a JSON object'],
    ['an empty map', map(''), 'the map is empty'],
    ['no pins', map('"a.test": {}'), 'a.test has no pins'],
    ['a name for a pin', map('"a.test": {pin}'), 'a pin: "pin" instead of a text in quotes'],
    ['a call', map('"a.test": pins()'), 'a list of pins: "pins" instead of {'],
    ['a pin that is none', map('"a.test": {"wrong-pin..."}'), 'line 1'],
    ['a host twice', map(`"a.test": {"${bare(1)}"}, "A.test": {"${bare(1)}"}`), 'twice'],
    ['what does not end', map('"a.test": {').slice(0, -1), 'instead of a text'],
    ['something behind JSON', '{} 1', 'the map is empty'],
  ])('is refused for %s', (_name, text, message) => {
    const error = thrownBy(() => importPolicy('go', text))
    expect(error.message).toMatch(
      new RegExp(
        `${message.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}|there is something behind the map`,
      ),
    )
  })
})

describe('an export', () => {
  const everything = {
    unpinned: 'refuse',
    blocked: [P5],
  }
  const hosts = {
    'a.test:8443': [P1],
    'b.test': { pins: [P1], trust: 'pinned-key' },
    'c.test': { pins: [P1, P2], require: 2 },
    'd.test': [{ pin: P1, at: 'root', label: 'the root' }],
    'e.test': { pins: [P1], expires: { at: '2027-01-01', then: 'refuse' } },
    'f.test': { pins: [P1], mode: 'report' },
    'g.test': { pins: [P1], expires: { at: '2027-01-01' } },
  }

  test.each<[format: PolicyFormat, lost: string[]]>([
    ['android', ['a.test:8443', 'b.test', 'c.test', 'd.test', 'e.test', 'f.test']],
    ['trustkit', ['a.test:8443', 'b.test', 'c.test', 'd.test', 'e.test']],
    ['okhttp', ['a.test:8443', 'b.test', 'c.test', 'd.test', 'e.test', 'f.test']],
    ['go', ['a.test:8443', 'b.test', 'c.test', 'd.test', 'e.test', 'f.test']],
  ])('as %s tells all that is lost', (format, lost) => {
    const exported = exportPolicy(format, fileOf(hosts, everything))
    const told = losses(exported)
    for (const name of lost)
      expect(
        told.some((loss) => loss.includes(name)),
        name,
      ).toBe(true)
    expect(told.length).toBe(lost.length + 2) // unpinned and blocked
    expect(notes(exported).join('\n')).toContain('g.test: the reminder of 2027-01-01 is left out')
    expect(notes(exported).join('\n')).toContain('labels, roles and notes of pins are left out')
  })

  test('names the place in the policy file', () => {
    const file = new PolicyFile(
      `{ "version": 1,\n  "hosts": {\n    "a.test": ["${P1}"],\n    "b.test:8443": ["${P1}"] } }`,
    )
    expect(exportPolicy('android', file).remarks).toMatchObject([{ kind: 'loss', line: 4 }])
  })

  test('of an environment is of that one', () => {
    const file = new PolicyFile(
      JSON.stringify({
        version: 1,
        environments: { one: { hosts: { 'a.test': [P1] } }, two: { hosts: { 'b.test': [P2] } } },
      }),
    )
    const { text } = exportPolicy('go', file, { environment: 'two' })
    expect(text).toBe(`map[string][]string{\n\t"b.test": {\n\t\t"${bare(2)}",\n\t},\n}\n`)
    expect(() => exportPolicy('go', file)).toThrow('it has environments')
  })

  test.each<PolicyFormat>(['hpkp', 'curl'])('as %s is of one host', (format) => {
    const file = fileOf({ '**.a.test': [P1], 'b.test': [P2] })
    expect(() => exportPolicy(format, file)).toThrow('say which with host')
    expect(() => exportPolicy(format, file, { host: 'c.test' })).toThrow('c.test has no pins')
    expect(exportPolicy(format, file, { host: 'b.test' }).text).toContain(bare(2))
  })

  test('writes names in other scripts and addresses so that they are read again', () => {
    const file = fileOf({ 'bücher.example': [P1], '192.0.2.1': [P2], '::1': [P3] })
    for (const format of ['android', 'trustkit', 'okhttp', 'go'] as const) {
      const exported = exportPolicy(format, file)
      const again = new PolicyFile(importPolicy(format, exported.text).text).in()
      expect(again.lookup('bücher.example').pins, format).toEqual([P1])
      expect(again.lookup('192.0.2.1').pins, format).toEqual([P2])
      expect(again.lookup('[::1]').pins, format).toEqual([P3])
    }
  })
})

describe('whatever stands there', () => {
  const samples: Readonly<Record<PolicyFormat, string>> = {
    android: read('network_security_config.xml'),
    trustkit: read('Info.plist'),
    ios: read('Info.plist'),
    okhttp: read('Pins.kt'),
    hpkp: `Public-Key-Pins: pin-sha256="${bare(1)}"; max-age=60; includeSubDomains`,
    curl: `--pinnedpubkey 'sha256//${bare(1)};sha256//${bare(2)}'`,
    go: read('pins.go'),
  }
  const formats = Object.keys(samples) as PolicyFormat[] // its own keys

  test.each(formats)('an import of %s ends with a policy or with a place', (format) => {
    const sample = samples[format]
    /** The sample with a piece of it taken out, doubled or replaced. */
    const mangled = fc
      .tuple(
        fc.nat(sample.length),
        fc.nat(40),
        fc.oneof(
          fc.string({ unit: 'grapheme', maxLength: 6 }),
          fc.constantFrom('"', '<', '{', '}', '//', '/*', '<dict/>', '\u0000', '&#0;', '*.'),
        ),
        fc.boolean(),
      )
      .map(([at, length, put, isKept]) =>
        [sample.slice(0, at), put, sample.slice(isKept ? at : at + length)].join(''),
      )
    fc.assert(
      fc.property(fc.oneof(mangled, fc.string()), (text) => {
        try {
          new PolicyFile(importPolicy(format, text, { host: 'a.test' }).text).in()
        } catch (error) {
          expect(error).toBeInstanceOf(PolicyError)
          expect(error).toMatchObject({ line: expect.any(Number), column: expect.any(Number) })
        }
      }),
      { numRuns: 200 },
    )
  })

  test.each(['android', 'trustkit', 'ios'] as const)(
    '%s nested without end is an error',
    (format) => {
      const text = '<dict>'.repeat(100_000) + '</dict>'.repeat(100_000)
      expect(() => importPolicy(format, text)).toThrow(PolicyError)
    },
  )

  test('a format that is none suggests the nearest', () => {
    const format = 'okhtp' as PolicyFormat // as a caller without types gives it
    expect(() => importPolicy(format, '')).toThrow('unknown format "okhtp": did you mean okhttp?')
    expect(() => importPolicy('toString' as PolicyFormat, '')).toThrow('unknown format')
  })
})

test('the example of the manual prints what is to be known, and writes the policy', async () => {
  mkdirSync(join(root, 'dist'), { recursive: true })
  const folder = mkdtempSync(join(root, 'dist', 'formats-')) // within the package, which it imports by name
  const [source = ''] = codeBlocks(readFileSync(join(root, 'docs/formats.md'), 'utf8'), 'js')
  const inside = (name: string) => JSON.stringify(join(folder, name))
  writeFileSync(
    join(folder, 'example.mjs'),
    source
      .replace("'network_security_config.xml'", inside('network_security_config.xml'))
      .replace("'policy.json'", inside('policy.json')),
  )
  writeFileSync(join(folder, 'network_security_config.xml'), read('network_security_config.xml'))
  const printed = await runNode([join(folder, 'example.mjs')])
  expect(printed).toContain('loss in line 26: overridePins lets @raw/extra pass without a pin')
  expect(readFileSync(join(folder, 'policy.json'), 'utf8')).toContain('**.pay.bank.example')
  rmSync(folder, { recursive: true })
})

describe('a round trip', () => {
  const name = fc
    .array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 })
    .map((labels) => [...labels, 'example', 'com'].join('.'))
  const pins = fc.uniqueArray(fc.integer({ min: 1, max: 6 }).map(pinOf), {
    minLength: 1,
    maxLength: 3,
  })
  const set = fc.oneof(
    { weight: 4, arbitrary: pins },
    { weight: 1, arbitrary: fc.constant({ exclude: true }) },
    { weight: 2, arbitrary: pins.map((list) => ({ pins: list, exclude: true })) },
  )
  /** Fewer patterns, and none that excludes, for formats that cannot tell which of several holds. */
  const policies = (scopes: readonly string[], isPlain: boolean) =>
    fc.dictionary(
      fc.tuple(fc.constantFrom(...scopes), name).map((parts) => parts.join('')),
      isPlain ? pins : set,
      { minKeys: 1, maxKeys: isPlain ? 3 : 8, noNullPrototype: true },
    )
  const asked = ['', 'a.', 'b.', 'a.b.', 'c.a.', 'b.c.a.', 'x.', 'x.y.', 'x.a.', 'x.y.a.', 'x.a.b.']

  /** Whether export and import together change which pins a host has. */
  function expectSame(
    format: PolicyFormat,
    hosts: object,
    options: FormatOptions = {},
  ): 'lost' | 'kept' {
    const file = fileOf(hosts)
    const exported = exportPolicy(format, file, options)
    if (losses(exported).length > 0) return 'lost'
    const pinned = asked.filter((start) => file.in().lookup(`${start}example.com`).pins.length > 0)
    if (pinned.length === 0) return 'lost'
    const again = new PolicyFile(importPolicy(format, exported.text, options).text).in()
    for (const start of asked) {
      const host = `${start}example.com`
      const [before, after] = [file.in().lookup(host), again.lookup(host)]
      expect(after.pins.toSorted(), `${host} of ${JSON.stringify(hosts)}`).toEqual(
        before.pins.toSorted(),
      )
    }
    return 'kept'
  }

  test.each<[format: PolicyFormat, scopes: string[], options?: FormatOptions]>([
    ['android', ['', '**.']],
    ['android', ['', '*.', '**.']],
    ['trustkit', ['', '**.']],
    ['trustkit', ['', '*.', '**.']],
    ['okhttp', ['', '*.', '**.']],
    ['go', ['', '*.'], { wildcard: 'documented' }],
    ['go', ['', '**.'], { wildcard: 'actual' }],
  ])('through %s changes no pins where nothing is lost: patterns %j', (format, scopes, options) => {
    let kept = 0
    fc.assert(
      fc.property(policies(scopes, format === 'go' || format === 'okhttp'), (hosts) => {
        if (expectSame(format, hosts, options) === 'kept') kept += 1
      }),
      { numRuns: 150 },
    )
    expect(kept).toBeGreaterThan(0) // else it says nothing
  })

  test('through ios keeps pins with their places, where nothing is lost', () => {
    const identities = fc.oneof(
      pins.map((list) => ({ pins: list, require: ['ca'] })),
      pins.map((list) => ({ pins: list.map((pin) => ({ pin, at: 'leaf' })) })),
      pins.map((list) => ({
        pins: [{ pin: pinOf(9), at: 'leaf' }, ...list],
        require: ['leaf', 'ca'],
      })),
    )
    let kept = 0
    fc.assert(
      fc.property(
        fc.dictionary(name, fc.tuple(identities, fc.boolean()), { minKeys: 1, maxKeys: 5 }),
        (entries) => {
          const hosts: Record<string, object> = {}
          for (const [host, [value, isBelow]] of Object.entries(entries)) {
            hosts[host] = { ...value, exclude: true }
            if (isBelow) hosts[`*.${host}`] = { ...value, exclude: true }
          }
          if (expectSame('ios', hosts) === 'kept') kept += 1
        },
      ),
      { numRuns: 200 },
    )
    expect(kept).toBeGreaterThan(0)
  })

  test.each<[format: PolicyFormat, sample: string]>([
    ['android', 'network_security_config.xml'],
    ['trustkit', 'Info.plist'],
    ['ios', 'Info.plist'],
    ['okhttp', 'Pins.kt'],
    ['go', 'pins.go'],
  ])('through %s leaves the pins of a real file as they are', (format, sample) => {
    const options: FormatOptions = format === 'go' ? { wildcard: 'actual' } : {}
    const file = new PolicyFile(importPolicy(format, read(sample), options).text)
    const exported = exportPolicy(format, file, options)
    expect(losses(exported)).toEqual([])
    const again = new PolicyFile(importPolicy(format, exported.text, options).text)
    const bases = [...file.in().sets.keys()].map((pattern) => pattern.replace(/^\*{1,2}\./, ''))
    for (const host of bases.flatMap((base) => [base, `x.${base}`, `x.y.${base}`])) {
      const [before, after] = [file, again].map((of) => of.in().lookup(host).pins.toSorted())
      expect(after, host).toEqual(before)
    }
  })

  test.each<PolicyFormat>(['hpkp', 'curl'])('through %s keeps the pins of one host', (format) => {
    fc.assert(
      fc.property(pins, (list) => {
        expect(expectSame(format, { 'example.com': list }, { host: 'example.com' })).toBe('kept')
      }),
      { numRuns: 20 },
    )
  })

  test('is tried for every format', () => {
    expect(Object.keys(FORMATS).sort()).toEqual(
      ['android', 'curl', 'go', 'hpkp', 'ios', 'okhttp', 'trustkit'].sort(),
    )
  })
})

function thrownBy(convert: () => unknown): PolicyError {
  try {
    convert()
  } catch (error) {
    expect(error).toBeInstanceOf(PolicyError)
    return error as PolicyError // seen to be one
  }
  throw new Error('nothing was thrown')
}
