// `--connect`: other machines than names lead to. The engine's own look-up says which address, not which port, and pins
// may be of one port; so a proxy of our own, on loopback, leads its tunnels where they shall go.

import { randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Authority, bare, format, readAuthority, readConnect } from '../authority.js'
import { codeOf, messageOf, UsageError } from '../exit.js'

/** Where hosts are, by `host:port`, and by `*` for all others; a host that is neither is where its name leads. */
export type Targets = ReadonlyMap<string, Authority>

/** Reads `host:port` (for all) and `name[:port]=host:port`. */
export function readTargets(given: readonly string[]): Targets {
  const targets = new Map<string, Authority>()
  for (const text of given) {
    const [, name, to = ''] = /^(?:([^=]+)=)?(.*)$/.exec(text) ?? []
    const key = name === undefined ? '*' : format(readAuthority(name, '--connect name=host:port'))
    if (targets.has(key)) throw new UsageError(`--connect says twice where ${key} is`)
    targets.set(key, readConnect(to))
  }
  return targets
}

/** A proxy that leads tunnels to their {@link Targets}; nobody else can use it. */
export class Forwarder {
  readonly #targets: Targets
  readonly #server: Server
  readonly #credentials = randomBytes(16).toString('hex')
  readonly #sockets = new Set<Duplex>()
  readonly #failures = new Map<string, Error>()
  readonly #addresses = new Map<string, string>()

  constructor(targets: Targets) {
    this.#targets = targets
    this.#server = createServer((_request, response) => response.writeHead(405).end())
    this.#server.on('connect', (request, socket: Duplex) => {
      const given = Buffer.from(request.headers['proxy-authorization'] ?? '')
      const wanted = Buffer.from(`Basic ${btoa(`survey:${this.#credentials}`)}`)
      if (given.length === wanted.length && timingSafeEqual(given, wanted))
        this.#lead(request.url ?? '', socket)
      else socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    })
  }

  /** Begins to listen; resolves to what clients take for a proxy. */
  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#server.unref()
    const { port } = this.#server.address() as AddressInfo // of a server that listens on TCP
    return `http://survey:${this.#credentials}@127.0.0.1:${port}`
  }

  /** Why `authority` could not be reached last time; its code is one of the library's. */
  failureOf(authority: string): Error | undefined {
    return this.#failures.get(authority)
  }

  /** Who was reached for `authority`. */
  addressOf(authority: string): string | undefined {
    return this.#addresses.get(authority)
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #lead(authority: string, client: Duplex): void {
    const target =
      this.#targets.get(authority) ?? this.#targets.get('*') ?? readAuthority(authority)
    const server = connect({ host: bare(target.host), port: target.port })
    this.#failures.delete(authority)
    this.#hold(client, server)
    this.#hold(server, client)
    server.once('error', (cause) => {
      if (server.bytesRead > 0 || this.#addresses.has(authority)) return
      const isName = codeOf(cause)?.startsWith('EAI_') || codeOf(cause) === 'ENOTFOUND'
      const code = isName ? 'ERR_DNS' : 'ERR_CONNECT'
      const error = new Error(`${format(target)}: ${messageOf(cause)}`, { cause })
      this.#failures.set(authority, Object.assign(error, { code }))
      client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    })
    server.once('connect', () => {
      const { remoteAddress = '', remotePort, remoteFamily } = server as Socket
      const host = remoteFamily === 'IPv6' ? `[${remoteAddress}]` : remoteAddress
      this.#addresses.set(authority, `${host}:${remotePort}`)
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      client.pipe(server)
      server.pipe(client)
    })
  }

  /** Ends with the other side of its tunnel. */
  #hold(socket: Duplex, other: Duplex): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#sockets.delete(socket)
      other.destroy()
    })
  }
}
