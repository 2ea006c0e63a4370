// An HTTP/2 server that writes what frames a test likes (RFC 9113), for what no well-behaved server says.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { type Pki, sharedKit, standardPki } from './testkit.js'

/** Frame types (RFC 9113 §6). */
export const DATA = 0
export const HEADERS = 1
export const PRIORITY = 2
export const RST_STREAM = 3
export const SETTINGS = 4
export const PUSH_PROMISE = 5
export const PING = 6
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9
/** Flags. */
export const ACK = 1
export const END_STREAM = 1
export const END_HEADERS = 4
/** `:status: 200` of HPACK's static table (RFC 7541 appendix A). */
export const OK = Buffer.of(0x88)

const PREFACE_LENGTH = 24

/** Writes a frame (RFC 9113 §4.1). */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A header section of one frame. */
export function headers(stream: number, flags: number, ...fields: Uint8Array[]): Buffer {
  return frame(HEADERS, END_HEADERS | flags, stream, Buffer.concat(fields))
}

/** A field as an HPACK literal without indexing (RFC 7541 §6.2.2); name and value of up to 126 octets. */
export function field(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.of(0, name.length),
    Buffer.from(name, 'latin1'),
    Buffer.of(value.length),
    Buffer.from(value, 'latin1'),
  ])
}

/** A big-endian number of 32 bits, of which the payloads of most frames consist. */
export function word(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value, 4 * index)
  })
  return bytes
}

/** A setting of a SETTINGS frame (RFC 9113 §6.5.1). */
export function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.of(id >> 8, id & 0xff), word(value)])
}

/** The server's side of a connection. */
export interface Peer {
  readonly socket: TLSSocket
  /** Which connection of the server's it is, from 0. */
  readonly index: number
  write(...frames: Uint8Array[]): void
  /** Writes `piece` again and again for as long as the client takes it: the same bytes, so that it is no garbage. */
  flood(piece: Uint8Array): void
}

export interface RawHttp2 extends AsyncDisposable {
  readonly url: string
  readonly pki: Pki
  /** The streams on which requests came, a list a connection. */
  readonly requests: readonly number[][]
  /** Connections that are open. */
  readonly open: ReadonlySet<TLSSocket>
}

/** What else such a server does. */
export interface RawHttp2Options {
  /** What its first SETTINGS frame has. @default nothing */
  readonly settings?: Uint8Array
  /** Told of every frame. */
  readonly heard?: (
    peer: Peer,
    type: number,
    flags: number,
    stream: number,
    payload: Buffer,
  ) => void
}

/** Does the connection's opening properly, and calls `answer` for the HEADERS frame of each request. */
export async function startRawHttp2(
  answer: (peer: Peer, stream: number) => void,
  { settings, heard }: RawHttp2Options = {},
): Promise<RawHttp2> {
  const pki = await standardPki(sharedKit())
  const { leaf, a1 } = pki.certificates
  const open = new Set<TLSSocket>()
  const requests: number[][] = []
  const server = createServer(
    { cert: leaf.pem + a1.pem, key: leaf.keyPem, ALPNProtocols: ['h2'] },
    (socket) => {
      const streams: number[] = []
      const peer = peerOf(socket, requests.push(streams) - 1)
      open.add(socket)
      socket.on('error', () => {}) // a client that hangs up is what many tests want
      socket.on('close', () => open.delete(socket))
      peer.write(frame(SETTINGS, 0, 0, settings))
      let left: Buffer = Buffer.alloc(0)
      let skip = PREFACE_LENGTH
      socket.on('data', (data: Buffer) => {
        left = Buffer.concat([left, data])
        if (left.length < skip) return
        left = left.subarray(skip)
        skip = 0
        while (left.length >= 9 && left.length >= 9 + left.readUIntBE(0, 3)) {
          const [type, flags, stream] = [left[3] ?? 0, left[4] ?? 0, left.readUInt32BE(5)]
          const end = 9 + left.readUIntBE(0, 3)
          const payload = left.subarray(9, end)
          left = left.subarray(end)
          heard?.(peer, type, flags, stream, payload)
          if (type === SETTINGS && !(flags & ACK)) peer.write(frame(SETTINGS, ACK, 0))
          if (type !== HEADERS) continue
          streams.push(stream)
          answer(peer, stream)
        }
      })
    },
  )
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `https://${pki.hostname}:${(server.address() as AddressInfo).port}/`,
    pki,
    requests,
    open,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function peerOf(socket: TLSSocket, index: number): Peer {
  return {
    socket,
    index,
    write(...frames) {
      if (socket.writable) socket.write(Buffer.concat(frames))
    },
    flood(piece) {
      const pour = (): void => {
        while (socket.writable) {
          if (!socket.write(piece)) {
            socket.once('drain', () => setImmediate(pour))
            return
          }
        }
      }
      pour()
    },
  }
}
