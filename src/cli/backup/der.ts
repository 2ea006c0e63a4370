// DER (X.690 §10), as far as a certificate request needs it written. Nothing is read here.

/** What a tag and its content are on the wire. */
function tagged(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([Buffer.from([tag]), lengthOf(body.length), body])
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length)
  const significant = bytes.subarray(bytes.findIndex((byte) => byte !== 0))
  return Buffer.concat([Buffer.from([0x80 | significant.length]), significant])
}

export const sequence = (...items: readonly Uint8Array[]): Buffer => tagged(0x30, ...items)

/** A SET of one, which needs no sorting. */
export const setOf = (item: Uint8Array): Buffer => tagged(0x31, item)

/** An INTEGER from 0 to 127. */
export const smallInteger = (value: number): Buffer => tagged(0x02, Buffer.from([value]))

export const utf8String = (text: string): Buffer => tagged(0x0c, Buffer.from(text))

export const octetString = (bytes: Uint8Array): Buffer => tagged(0x04, bytes)

/** A BIT STRING of whole bytes. */
export const bitString = (bytes: Uint8Array): Buffer => tagged(0x03, Buffer.from([0]), bytes)

export const nothing = (): Buffer => tagged(0x05)

/** `[number]`, constructed: around another value. */
export const around = (number: number, ...items: readonly Uint8Array[]): Buffer =>
  tagged(0xa0 | number, ...items)

/** `[number] IMPLICIT`, primitive: in place of another tag. */
export const inPlaceOf = (number: number, content: Uint8Array): Buffer =>
  tagged(0x80 | number, content)

/** An OBJECT IDENTIFIER, as `1.2.840.10045.4.3.2`. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...arcs] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second, ...arcs].flatMap((arc) => {
    const digits = [arc & 0x7f]
    for (let rest = arc >>> 7; rest > 0; rest >>>= 7) digits.unshift((rest & 0x7f) | 0x80)
    return digits
  })
  return tagged(0x06, Buffer.from(bytes))
}
