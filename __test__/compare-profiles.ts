import { akamai, type Introduction, ja4 } from './recorder.js'

const hex = (numbers: readonly number[]): string =>
  numbers.length === 0
    ? '–'
    : numbers.map((number) => number.toString(16).padStart(4, '0')).join(' ')

/** The rows of docs/profiles.md, with what both sides say. Orders that a client draws anew each time are sorted. */
export function compare(ours: Introduction, theirs: Introduction): string[] {
  const row = (what: string, say: (one: Introduction) => string): string =>
    `| ${what} | ${say(ours)} | ${say(theirs)} |`
  const code = (text: string): string => `\`${text}\``
  return [
    row('JA4', ({ hello }) => code(ja4(hello).hashed)),
    row('HTTP/2 (Akamai)', ({ http2 }) => code(akamai(http2).replaceAll('|', '\\|'))),
    row('TLS versions', ({ hello }) => code(hex(hello.versions))),
    row('cipher suites', ({ hello }) => code(hex(hello.cipherSuites))),
    row('groups', ({ hello }) => code(hex(hello.groups))),
    row('key shares', ({ hello }) => code(hex(hello.keyShares))),
    row('signature schemes', ({ hello }) => code(hex(hello.signatureSchemes))),
    row('certificate compression', ({ hello }) => code(hex(hello.certificateCompression))),
    row('ALPN', ({ hello }) => code(hello.alpn.join(' '))),
    row('extensions, sorted', ({ hello }) =>
      code(hex([...hello.extensions].sort((one, other) => one - other))),
    ),
    row('GREASE', ({ hello }) => (hello.hasGrease ? 'yes' : 'no')),
    row('header fields', ({ http2 }) => code(http2.fields.map(([name]) => name).join(' '))),
  ]
}
