// A server that records how a client introduces itself: its ClientHello (RFC 8446 §4.1.2), and what it sends over HTTP/2 up
// to its first request. By these JA4 and Akamai's fingerprint of HTTP/2 tell clients apart.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Stream,
} from 'node:http2'
import { type AddressInfo, createServer } from 'node:net'
import { Duplex } from 'node:stream'
import { createSecureContext, TLSSocket } from 'node:tls'
import { HEADERS, PRIORITY, SETTINGS, WINDOW_UPDATE } from './raw-http2.js'
import type { Pki } from './testkit.js'

/** What a ClientHello says, in its order. GREASE (RFC 8701) is left out, and told as a flag. */
export interface HelloRecord {
  readonly hasGrease: boolean
  readonly hasServerName: boolean
  readonly versions: readonly number[]
  readonly cipherSuites: readonly number[]
  readonly extensions: readonly number[]
  readonly groups: readonly number[]
  readonly keyShares: readonly number[]
  readonly signatureSchemes: readonly number[]
  readonly alpn: readonly string[]
  readonly certificateCompression: readonly number[]
}

/** What a client says over HTTP/2 up to its first request. */
export interface Http2Record {
  readonly settings: readonly (readonly [id: number, value: number])[]
  /** How far the connection's window is opened; 0 if it isn't. */
  readonly windowUpdate: number
  /** Streams that PRIORITY frames (RFC 7540 §6.3) name. */
  readonly priorities: readonly number[]
  /** Pseudo-header fields in their order. */
  readonly pseudo: readonly string[]
  /** The other fields in their order. */
  readonly fields: readonly (readonly [name: string, value: string])[]
}

/** How a client introduced itself. */
export interface Introduction {
  readonly hello: HelloRecord
  readonly http2: Http2Record
}

export interface Recorder extends AsyncDisposable {
  readonly port: number
  /** How the client introduced itself that asked for `path` first. */
  introduction(path: string): Promise<Introduction>
}

/** Answers every request with a page, and remembers who asked. */
export async function startRecorder(pki: Pki): Promise<Recorder> {
  const { leaf, a1 } = pki.certificates
  const secureContext = createSecureContext({ cert: leaf.pem + a1.pem, key: leaf.keyPem })
  const seen = new Map<string, Introduction>()
  const waiting = new Map<string, (introduction: Introduction) => void>()
  const open = new Set<Duplex>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    const encrypted = new Tap(socket)
    const secure = new TLSSocket(encrypted, {
      isServer: true,
      secureContext,
      ALPNProtocols: ['h2'],
    })
    secure.on('error', () => {}) // a client that doesn't like what it sees
    const plain = new Tap(secure)
    const session = performServerHandshake(plain)
    session.on('error', () => {})
    session.on(
      'stream',
      (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
        stream.on('error', () => {})
        const path = String(headers[':path'])
        if (!seen.has(path)) {
          const introduction = {
            hello: readHello(encrypted.heard),
            http2: readHttp2(plain.heard, raw),
          }
          seen.set(path, introduction)
          waiting.get(path)?.(introduction)
        }
        stream.respond({ ':status': 200, 'content-type': 'text/html' })
        stream.end('<!doctype html><title>recorded</title>')
      },
    )
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    introduction(path) {
      const introduction = seen.get(path)
      if (introduction !== undefined) return Promise.resolve(introduction)
      return new Promise((resolve) => waiting.set(path, resolve))
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Passes everything on, and keeps a copy of what comes. */
class Tap extends Duplex {
  readonly #inner: Duplex
  #heard: Buffer[] = []

  constructor(inner: Duplex) {
    super()
    this.#inner = inner
    inner.on('data', (data: Buffer) => {
      this.#heard.push(data)
      this.push(data)
    })
    inner.on('end', () => this.push(null))
    inner.on('error', () => this.destroy())
    inner.on('close', () => this.destroy())
  }

  get heard(): Buffer {
    return Buffer.concat(this.#heard)
  }

  override _read(): void {
    this.#inner.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#inner.write(chunk, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#inner.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inner.destroy()
    done(error)
  }
}

/** Reads `bytes` front to back. */
class Cursor {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  number(size: number): number {
    this.#at += size
    return this.#bytes.readUIntBE(this.#at - size, size)
  }

  skip(size: number): void {
    this.#at += size
  }

  /** What follows its length, which has `size` bytes. */
  part(size: number): Cursor {
    const length = this.number(size)
    this.#at += length
    return new Cursor(this.#bytes.subarray(this.#at - length, this.#at))
  }

  /** The rest as numbers of `size` bytes. */
  numbers(size: number): number[] {
    const numbers: number[] = []
    while (!this.isAtEnd) numbers.push(this.number(size))
    return numbers
  }

  text(): string {
    return this.#bytes.toString('latin1')
  }
}

const isGrease = (value: number): boolean =>
  (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff)
const withoutGrease = (values: readonly number[]): number[] =>
  values.filter((value) => !isGrease(value))

const HANDSHAKE = 22

/** The ClientHello at the beginning of what a client has sent, in one record or several. */
function readHello(heard: Buffer): HelloRecord {
  const records = new Cursor(heard)
  const parts: Buffer[] = []
  while (!records.isAtEnd && records.number(1) === HANDSHAKE) {
    records.skip(2)
    parts.push(Buffer.from(records.part(2).text(), 'latin1'))
  }
  const message = new Cursor(Buffer.concat(parts))
  message.skip(1)
  const hello = message.part(3)
  hello.skip(2 + 32)
  hello.part(1)
  const cipherSuites = hello.part(2).numbers(2)
  hello.part(1)
  const extensions: number[] = []
  const content = new Map<number, Cursor>()
  for (const all = hello.part(2); !all.isAtEnd; ) {
    const type = all.number(2)
    extensions.push(type)
    content.set(type, all.part(2))
  }
  const keyShares: number[] = []
  for (const shares = content.get(51)?.part(2); shares !== undefined && !shares.isAtEnd; ) {
    keyShares.push(shares.number(2))
    shares.part(2)
  }
  const alpn: string[] = []
  for (const names = content.get(16)?.part(2); names !== undefined && !names.isAtEnd; )
    alpn.push(names.part(1).text())
  return {
    hasGrease: cipherSuites.some(isGrease),
    hasServerName: content.has(0),
    versions: withoutGrease(content.get(43)?.part(1).numbers(2) ?? []),
    cipherSuites: withoutGrease(cipherSuites),
    extensions: withoutGrease(extensions),
    groups: withoutGrease(content.get(10)?.part(2).numbers(2) ?? []),
    keyShares: withoutGrease(keyShares),
    signatureSchemes: withoutGrease(content.get(13)?.part(2).numbers(2) ?? []),
    alpn,
    certificateCompression: content.get(27)?.part(1).numbers(2) ?? [],
  }
}

const PREFACE_LENGTH = 24

function readHttp2(heard: Buffer, raw: readonly string[]): Http2Record {
  const settings: [number, number][] = []
  const priorities: number[] = []
  let windowUpdate = 0
  const frames = new Cursor(heard.subarray(PREFACE_LENGTH))
  for (let type = -1; type !== HEADERS; ) {
    const length = frames.number(3)
    type = frames.number(1)
    const flags = frames.number(1)
    const stream = frames.number(4)
    if (type === SETTINGS && flags === 0)
      for (let left = length; left > 0; left -= 6)
        settings.push([frames.number(2), frames.number(4)])
    else if (type === WINDOW_UPDATE && stream === 0) windowUpdate += frames.number(4)
    else frames.skip(length)
    if (type === PRIORITY) priorities.push(stream)
  }
  const fields: [string, string][] = []
  for (let index = 0; index + 1 < raw.length; index += 2)
    fields.push([raw[index] ?? '', raw[index + 1] ?? ''])
  const isPseudo = ([name]: [string, string]) => name.startsWith(':')
  return {
    settings,
    windowUpdate,
    priorities,
    pseudo: fields.filter(isPseudo).map(([name]) => name),
    fields: fields.filter((field) => !isPseudo(field)),
  }
}

const hex = (value: number): string => value.toString(16).padStart(4, '0')
const count = (values: readonly unknown[]): string =>
  String(Math.min(values.length, 99)).padStart(2, '0')
const hash = (text: string): string =>
  text === '' ? '000000000000' : createHash('sha256').update(text).digest('hex').slice(0, 12)

const SERVER_NAME = 0
const ALPN = 16

/** JA4 of a client over TCP (https://github.com/FoxIO-LLC/ja4), and the lists that it hashes. */
export function ja4(hello: HelloRecord): { hashed: string; raw: string } {
  const version = { 772: '13', 771: '12' }[Math.max(...hello.versions, 0)] ?? '00'
  const first = hello.alpn[0] ?? ''
  const alpn = first === '' ? '00' : `${first.at(0)}${first.at(-1)}`
  const head = `t${version}${hello.hasServerName ? 'd' : 'i'}${count(hello.cipherSuites)}${count(hello.extensions)}${alpn}`
  const ciphers = hello.cipherSuites.map(hex).sort().join(',')
  const extensions = hello.extensions
    .filter((extension) => extension !== SERVER_NAME && extension !== ALPN)
    .map(hex)
    .sort()
    .join(',')
  const rest = `${extensions}_${hello.signatureSchemes.map(hex).join(',')}`
  return { hashed: `${head}_${hash(ciphers)}_${hash(rest)}`, raw: `${head}_${ciphers}_${rest}` }
}

/** Akamai's fingerprint of HTTP/2: settings, window update, priorities, and the order of pseudo-header fields. */
export function akamai({ settings, windowUpdate, priorities, pseudo }: Http2Record): string {
  return [
    settings.map(([id, value]) => `${id}:${value}`).join(';'),
    windowUpdate === 0 ? '00' : windowUpdate,
    priorities.length === 0 ? 0 : priorities.join(','),
    pseudo.map((name) => name[1]).join(','),
  ].join('|')
}
