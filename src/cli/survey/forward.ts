// `--connect`: other machines than names lead to. The engine's own look-up says which address, not which port, and pins
// may be of one port; so a proxy of our own, on loopback, leads its tunnels where they shall go.

import { randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Authority, bare, format, readAuthority, readConnect } from '../authority.js'
import { codeOf, messageOf } from '../exit.js'

/**
 * The machines of hosts, by `host:port`, and by `*` for all others; a host that is neither is where its name leads. There
 * may be several behind one name.
 */
export type Targets = ReadonlyMap<string, readonly Authority[]>

/** The proxy's host: a name of nobody (RFC 6761 §6.4), which no policy has pins for as it may for loopback. */
const NAME = 'survey.pinfetch.invalid'
/** Where clients find it: for their `lookup`. */
export const FORWARDER_LOOKUP = { [NAME]: '127.0.0.1' } as const

/** Reads `host:port` (for all) and `name[:port]=host:port`. */
export function readTargets(given: readonly string[]): Targets {
  const targets = new Map<string, Authority[]>()
  for (const text of given) {
    const [, name, to = ''] = /^(?:([^=]+)=)?(.*)$/.exec(text) ?? []
    const key = name === undefined ? '*' : format(readAuthority(name, '--connect name=host:port'))
    targets.set(key, [...(targets.get(key) ?? []), readConnect(to)])
  }
  return targets
}

/** A way to a host: to one of its machines. */
export interface Way {
  /** The machine, `host:port`. */
  readonly machine: string
  /** What clients take for a proxy. */
  readonly proxy: string
}

/** A proxy that leads tunnels to their {@link Targets}; nobody else can use it. */
export class Forwarder {
  readonly #targets: Targets
  readonly #server: Server
  readonly #secret = randomBytes(16).toString('hex')
  readonly #sockets = new Set<Duplex>()
  /** By host and machine. */
  readonly #failures = new Map<string, Error>()
  readonly #addresses = new Map<string, string>()
  #origin = ''

  constructor(targets: Targets) {
    this.#targets = targets
    this.#server = createServer((_request, response) => response.writeHead(405).end())
    this.#server.on('connect', (request, socket: Duplex) => {
      const machine = this.#admit(request.headers['proxy-authorization'])
      if (machine !== null) this.#lead(request.url ?? '', machine, socket)
      else socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    })
  }

  /** Begins to listen. */
  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#server.unref()
    const { port } = this.#server.address() as AddressInfo // of a server that listens on TCP
    this.#origin = `${NAME}:${port}`
  }

  /** The ways to `authority`, one for each of its machines; which one is meant is in the proxy's password. */
  waysTo(authority: string): Way[] {
    const targets = this.#targets.get(authority) ?? this.#targets.get('*')
    const machines = targets?.map(format) ?? [authority]
    return machines.map((machine) => ({
      machine,
      proxy: `http://survey:${this.#secret}${encodeURIComponent(machine)}@${this.#origin}`,
    }))
  }

  /** Why `authority` could not be reached on that way; its code is one of the library's. */
  failureOf(authority: string, { machine }: Way): Error | undefined {
    return this.#failures.get(`${authority} ${machine}`)
  }

  /** Who was reached on it. */
  addressOf(authority: string, { machine }: Way): string | undefined {
    return this.#addresses.get(`${authority} ${machine}`)
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  /** The machine that a client asks for, if it may. */
  #admit(field: string | undefined): string | null {
    const [, encoded = ''] = /^Basic (.+)$/.exec(field ?? '') ?? []
    const credentials = Buffer.from(encoded, 'base64')
    const secret = Buffer.from(`survey:${this.#secret}`)
    const given = credentials.subarray(0, secret.length)
    if (given.length !== secret.length || !timingSafeEqual(given, secret)) return null
    return credentials.toString('utf8', secret.length)
  }

  #lead(authority: string, machine: string, client: Duplex): void {
    const key = `${authority} ${machine}`
    const { host, port } = readAuthority(machine)
    const server = connect({ host: bare(host), port })
    this.#failures.delete(key)
    this.#addresses.delete(key)
    this.#hold(client, server)
    this.#hold(server, client)
    server.once('error', (cause) => {
      if (this.#addresses.has(key)) return
      const isName = codeOf(cause)?.startsWith('EAI_') || codeOf(cause) === 'ENOTFOUND'
      const error = new Error(`${machine}: ${messageOf(cause)}`, { cause })
      this.#failures.set(key, Object.assign(error, { code: isName ? 'ERR_DNS' : 'ERR_CONNECT' }))
      client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    })
    server.once('connect', () => {
      const { remoteAddress = '', remotePort, remoteFamily } = server as Socket
      const address = remoteFamily === 'IPv6' ? `[${remoteAddress}]` : remoteAddress
      this.#addresses.set(key, `${address}:${remotePort}`)
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
