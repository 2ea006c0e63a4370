// A certificate request (PKCS #10, RFC 2986) for a key that is made here.
//
// Written by hand: packages that do it weigh several times the whole command line, since they read what they write and a
// great deal besides. openssl judges the result in a test, and the engine reads it before anybody gets it.

import { type KeyObject, sign } from 'node:crypto'
import { isIP } from 'node:net'
import {
  around,
  bitString,
  inPlaceOf,
  nothing,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
  smallInteger,
  utf8String,
} from './der.js'

/** How requests are signed, by the kind of key. */
const SIGNATURES = {
  p256: { algorithm: sequence(objectIdentifier('1.2.840.10045.4.3.2')), hash: 'sha256' },
  p384: { algorithm: sequence(objectIdentifier('1.2.840.10045.4.3.3')), hash: 'sha384' },
  rsa: {
    algorithm: sequence(objectIdentifier('1.2.840.113549.1.1.11'), nothing()),
    hash: 'sha256',
  },
  ed25519: { algorithm: sequence(objectIdentifier('1.3.101.112')), hash: null },
} as const

/** The kinds of keys that requests can be made for. */
export type KeyType = keyof typeof SIGNATURES

const COMMON_NAME = objectIdentifier('2.5.4.3')
const EXTENSION_REQUEST = objectIdentifier('1.2.840.113549.1.9.14')
const SUBJECT_ALT_NAME = objectIdentifier('2.5.29.17')
/** RFC 5280, appendix A: ub-common-name. */
const LONGEST_COMMON_NAME = 64

/** The two halves of a key. */
export interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

/** A request in PEM for `names`: DNS names, and IP addresses without brackets. */
export function certificateRequest(
  { publicKey, privateKey }: KeyPair,
  type: KeyType,
  names: readonly string[],
): string {
  const { algorithm, hash } = SIGNATURES[type]
  const information = sequence(
    smallInteger(0),
    subjectOf(names),
    publicKey.export({ type: 'spki', format: 'der' }),
    around(
      0,
      sequence(
        EXTENSION_REQUEST,
        setOf(
          sequence(sequence(SUBJECT_ALT_NAME, octetString(sequence(...names.map(generalName))))),
        ),
      ),
    ),
  )
  const request = sequence(information, algorithm, bitString(sign(hash, information, privateKey)))
  const lines = request.toString('base64').replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines}\n-----END CERTIFICATE REQUEST-----\n`
}

/** The first name for those who still look there; none if it is too long for that. */
function subjectOf([name = '']: readonly string[]): Buffer {
  if (name.length > LONGEST_COMMON_NAME) return sequence()
  return sequence(setOf(sequence(COMMON_NAME, utf8String(name))))
}

/** RFC 5280 §4.2.1.6. */
function generalName(name: string): Buffer {
  return isIP(name) === 0
    ? inPlaceOf(2, Buffer.from(name, 'latin1'))
    : inPlaceOf(7, addressOf(name))
}

function addressOf(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail] = address.split('::')
  const words = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16))
  const [first, last] = [words(head), words(tail ?? '')]
  const gap = tail === undefined ? 0 : 8 - first.length - last.length
  const bytes = Buffer.alloc(16)
  for (const [index, word] of [...first, ...new Array<number>(gap).fill(0), ...last].entries())
    bytes.writeUInt16BE(word, index * 2)
  return bytes
}
