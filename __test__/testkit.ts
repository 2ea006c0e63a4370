/**
 * Certificate authorities, TLS servers and interceptors for tests, on loopback and in a process of their own.
 *
 * A test asks for a scenario (`startGenuine`, `startInterceptor`, `startProxy`), or for exactly the certificates,
 * servers and proxies that its case needs (`startKit`, `standardPki`, `Kit.issue`, `Kit.serve`, `Kit.proxy`). Clients
 * reach a server by its real name with `lookup: server.lookup`. The process ends with the one that started it and never
 * keeps it alive.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** What a certificate shall say; `crates/pinfetch-testkit/src/authority.rs` documents each field and default. */
export interface CertificateRequest<Name extends string = string> {
  name: Name
  /** The common name. The same as another's makes the two same-name twins. */
  subject?: string
  /** The certificate that it names as its issuer, and whose key signs it; by default itself. */
  issuer?: string
  /** The certificate whose key signs it instead of the issuer's. */
  signer?: string
  ca?: boolean
  pathLength?: number
  /** DNS names and IP addresses. */
  names?: readonly string[]
  /** Unix seconds. */
  notBefore?: number
  /** Unix seconds. */
  notAfter?: number
  /** The certificate whose key it shares. */
  key?: string
  keyType?: 'p256' | 'p384' | 'ed25519' | 'rsa2048'
  permitted?: readonly string[]
  excluded?: readonly string[]
  /** Hex. */
  keyIdentifier?: string
  eku?: readonly ('serverAuth' | 'clientAuth' | 'codeSigning' | 'any')[]
}

/** An issued certificate with its keys. */
export interface Certificate {
  /** The subject's common name. */
  subject: string
  der: Buffer
  pem: string
  /** `sha256/` + base64. */
  pin: string
  keyPem: string
  spkiPem: string
}

/** What a certificate revocation list shall say; certificates go by the names that the kit knows them by. */
export interface RevocationRequest {
  issuer: string
  /** The certificate whose key signs it instead of the issuer's. */
  signer?: string
  certificates: readonly string[]
  /** Unix seconds. */
  thisUpdate?: number
  /** Unix seconds. */
  nextUpdate?: number
}

/** A certificate revocation list. */
export interface RevocationList {
  der: Buffer
  pem: string
}

/** A certificate of a presented chain: an issued one's name, or any bytes at all. */
export type ChainEntry = string | { der: Buffer | string }

export type Behaviour =
  | 'normal'
  | 'plain'
  | 'early-writer'
  | 'speaks-first'
  | 'stall-response'
  | 'stall-body'
  | 'cut-response'
  | 'garbage'
  | 'close-after-request'
  | 'close-after-response'
  | 'origin-frame'
  | 'stall-handshake'
  | 'garbage-handshake'
  | 'close-handshake'

/** How a server listens and behaves, whatever it presents. */
export interface ServerOptions {
  /** What it calls itself in `hello from NAME` and in the `server-name` field. */
  name?: string
  /** @default ['h2', 'http/1.1'] */
  alpn?: readonly ('h2' | 'http/1.1')[]
  /** @default ['1.2', '1.3'] */
  versions?: readonly ('1.2' | '1.3')[]
  /** Whether sessions travel in tickets. @default true */
  tickets?: boolean
  /** Whether sessions are remembered by id. @default the value of `tickets` */
  sessions?: boolean
  /** A server whose sessions this one resumes, too. */
  ticketKeyOf?: Server
  /** @default '127.0.0.1' */
  host?: '127.0.0.1' | '::1'
  /** @default 0, any free one */
  port?: number
  /** @default 'normal' */
  behaviour?: Behaviour
  /** The origins that 'origin-frame' claims. */
  origins?: readonly string[]
  /** Milliseconds before 'early-writer' writes out of turn. @default 20 */
  delay?: number
  /** Requests in flight on one HTTP/2 connection. @default 256 */
  streams?: number
  /** Whether to count datagrams at the same UDP port. @default false */
  udp?: boolean
}

/** What a server presents: certificates in that order, and the certificate whose key signs handshakes. */
export interface Identity {
  chain: readonly ChainEntry[]
  key: string
}

export interface ServeRequest extends ServerOptions, Partial<Identity> {
  /** Presents something else to every connection past the first so many. */
  swapAfter?: Identity & { connections: number }
}

/** What reached a server so far; `crates/pinfetch-testkit/src/server.rs` documents each number. */
export interface ServerStats {
  accepted: number
  open: number
  handshakes: number
  resumed: number
  failures: number
  failureReasons: string[]
  applicationBytes: number
  requests: number
  unsolicited: number
  datagrams: number
  serverNames: string[]
  settled: boolean
}

/** What a forward proxy speaks, and whom it lets through. */
export interface ProxyOptions {
  /** 'connect' takes requests for `http:` in absolute form, too, one a connection. */
  kind: 'connect' | 'socks5'
  /** `user:password` that clients must give. */
  credentials?: string
  /** What clients that are let in are refused with: a status ('connect') or a reply code ('socks5'). */
  refuse?: number
  /** Where every tunnel leads, whatever was asked for. @default '127.0.0.1' and the port asked for */
  host?: '127.0.0.1' | '::1'
  /** The port of an interceptor makes this a proxy that reads what it carries. */
  port?: number
}

export interface ProxyRequest extends ProxyOptions, Partial<Identity> {}

/** What reached a proxy so far; `crates/pinfetch-testkit/src/proxy.rs` documents each number. */
export interface ProxyStats {
  accepted: number
  open: number
  handshakes: number
  tunnels: number
  forwarded: number
  unauthorised: number
  refused: number
  bytesToServers: number
  bytesToClients: number
  authorities: string[]
}

/** A started server. */
export class Server {
  readonly number: number
  readonly port: number
  readonly host: string
  readonly #kit: Kit

  constructor(kit: Kit, number: number, port: number, host: string) {
    this.#kit = kit
    this.number = number
    this.port = port
    this.host = host
  }

  /** Presents something else in new handshakes; live connections stay as they are. */
  async swap(identity: Identity): Promise<void> {
    await this.#kit.command('swap', { server: this.number, ...encodeIdentity(identity) })
  }

  /** The numbers of this moment, or those once every connection is closed, if that takes at most `settle` ms. */
  stats(options: { settle?: number } = {}): Promise<ServerStats> {
    return this.#kit.command('stats', { server: this.number, ...options })
  }

  /**
   * Plaintext bytes that clients sent after their handshakes.
   *
   * Exact: waits until every connection made so far is closed, and rejects when one stays open for 5 seconds.
   */
  async applicationBytes(): Promise<number> {
    const stats = await this.stats({ settle: 5000 })
    if (!stats.settled)
      throw new Error(`still open after 5 s: ${stats.open} connections to port ${this.port}`)
    return stats.applicationBytes
  }

  /** Closes the live connections; resolves to how many there were. */
  async kick(): Promise<number> {
    return (await this.#kit.command<{ closed: number }>('kick', { server: this.number })).closed
  }

  /** Closes everything; the port is free afterwards. */
  async stop(): Promise<void> {
    await this.#kit.command('stop', { server: this.number })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {}) // stopped by the test, or gone with the kit
  }
}

/** A started forward proxy. */
export class ForwardProxy {
  readonly number: number
  readonly port: number
  readonly request: ProxyRequest
  readonly #kit: Kit

  constructor(kit: Kit, number: number, port: number, request: ProxyRequest) {
    this.#kit = kit
    this.number = number
    this.port = port
    this.request = request
  }

  /** What a client's `proxy` option wants: the credentials in it, names resolved by the proxy. */
  get url(): string {
    return this.at('127.0.0.1')
  }

  /** The same by a hostname that leads to 127.0.0.1, and with other credentials, '' for none. */
  at(hostname: string, credentials = this.request.credentials ?? ''): string {
    const { kind, key } = this.request
    const scheme = kind === 'socks5' ? 'socks5h' : key === undefined ? 'http' : 'https'
    const [user = '', ...password] = credentials.split(':')
    const encoded = [user, password.join(':')].map(encodeURIComponent).join(':')
    return `${scheme}://${credentials && `${encoded}@`}${hostname}:${this.port}`
  }

  /** Refuses what clients ask for from now on, or no longer; open tunnels stay. See `ProxyOptions.refuse`. */
  async refuse(refusal: number | null): Promise<void> {
    await this.#kit.command('refuse', { server: this.number, with: refusal })
  }

  /** The numbers of this moment. A byte is counted before it is passed on. */
  stats(): Promise<ProxyStats> {
    return this.#kit.command('stats', { server: this.number })
  }

  /** Closes everything, open tunnels included; the port is free afterwards. */
  async stop(): Promise<void> {
    await this.#kit.command('stop', { server: this.number })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {}) // stopped by the test, or gone with the kit
  }
}

interface Pending {
  resolve: (ok: unknown) => void
  reject: (error: Error) => void
}

/** The process that holds authorities and servers. */
export class Kit {
  readonly #child: ChildProcess
  readonly #pending = new Map<number, Pending>()
  #commands = 0
  #pkis = 0
  #ended: Error | undefined

  constructor(binary: string) {
    this.#child = spawn(binary, { stdio: ['pipe', 'pipe', 'inherit'] })
    const { stdin, stdout } = this.#child
    if (stdin === null || stdout === null) throw new Error('the test kit has no pipes')
    stdin.on('error', () => {}) // its end is told by 'exit'
    createInterface({ input: stdout }).on('line', (line) => this.#answer(line))
    this.#child.on('error', (cause) =>
      this.#end(new Error('the test kit did not start', { cause })),
    )
    this.#child.on('exit', (code, signal) =>
      this.#end(new Error(`the test kit ended: ${code ?? signal}`)),
    )
    this.#hold(false)
  }

  /** Issues certificates, each of which may refer to earlier ones by name. */
  async issue<const Name extends string>(
    certificates: readonly CertificateRequest<Name>[],
  ): Promise<Record<Name, Certificate>> {
    type Issued = Record<Name, Omit<Certificate, 'der'> & { der: string | Buffer }>
    const issued = await this.command<Issued>('issue', { certificates })
    for (const name of Object.keys(issued) as Name[]) {
      issued[name].der = Buffer.from(String(issued[name].der), 'base64')
    }
    return issued as Record<Name, Certificate> // every `der` is a Buffer now
  }

  /** Makes a certificate revocation list. */
  async revoke(request: RevocationRequest): Promise<RevocationList> {
    const { der, pem } = await this.command<{ der: string; pem: string }>('revoke', request)
    return { der: Buffer.from(der, 'base64'), pem }
  }

  async serve(request: ServeRequest): Promise<Server> {
    const { chain = [], key, swapAfter, ticketKeyOf, ...options } = request
    const { server, port } = await this.command<{ server: number; port: number }>('serve', {
      ...options,
      chain: chain.map(encodeEntry),
      key,
      swapAfter: swapAfter && { connections: swapAfter.connections, ...encodeIdentity(swapAfter) },
      ticketKeyOf: ticketKeyOf?.number,
    })
    return new Server(this, server, port, request.host ?? '127.0.0.1')
  }

  /** Starts a forward proxy; with a `chain` and its `key`, TLS is spoken to the proxy itself. */
  async proxy(request: ProxyRequest): Promise<ForwardProxy> {
    const { chain = [], ...options } = request
    const { server, port } = await this.command<{ server: number; port: number }>('proxy', {
      ...options,
      chain: chain.map(encodeEntry),
    })
    return new ForwardProxy(this, server, port, request)
  }

  /** Sends any command; rejects with what the kit says is wrong with it. */
  command<Ok>(cmd: string, fields: object): Promise<Ok> {
    if (this.#ended) return Promise.reject(this.#ended)
    const id = ++this.#commands
    const { promise, resolve, reject } = withResolvers<Ok>()
    // The kit's answers are typed by what it was asked: `Ok` is what `cmd` is documented to answer with.
    this.#pending.set(id, { resolve: resolve as (ok: unknown) => void, reject })
    this.#hold(true)
    this.#child.stdin?.write(`${JSON.stringify({ id, cmd, ...fields })}\n`)
    return promise
  }

  /** A prefix for certificate names that no other public key infrastructure of this kit has. */
  uniquePrefix(): string {
    return `pki ${++this.#pkis}/`
  }

  /** Ends the process and all that it started. */
  async close(): Promise<void> {
    if (this.#ended) return
    const exited = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()))
    this.#hold(true)
    this.#child.stdin?.end()
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #answer(line: string): void {
    const { re, ok, error } = JSON.parse(line) as { re: number; ok?: unknown; error?: string }
    const pending = this.#pending.get(re)
    this.#pending.delete(re)
    if (this.#pending.size === 0) this.#hold(false)
    if (error === undefined) pending?.resolve(ok)
    else pending?.reject(new Error(`test kit: ${error}`))
  }

  #end(error: Error): void {
    this.#ended ??= error
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
  }

  /** Keeps this process alive for as long as an answer is awaited, and no longer. */
  #hold(held: boolean): void {
    const method = held ? 'ref' : 'unref'
    this.#child[method]()
    // Pipes of a child are sockets, which @types/node doesn't say; Bun's are not, and keep no process.
    for (const pipe of [this.#child.stdin, this.#child.stdout]) {
      ;(pipe as Partial<Socket> | null)?.[method]?.()
    }
  }
}

/**
 * Starts a test kit of its own.
 *
 * The binary is `PINFETCH_TESTKIT`, or else what cargo built last, for release or for debugging.
 */
export async function startKit(): Promise<Kit> {
  return new Kit(findBinary())
}

let shared: Kit | undefined

/** The one kit that the scenarios of this file share unless they are given another. */
export function sharedKit(): Kit {
  shared ??= new Kit(findBinary())
  return shared
}

// --- scenarios ------------------------------------------------------------------------------------------------

/** Every certificate of `standardPki`. Unless it says otherwise, a leaf is for the hostname and has its own key. */
export type Role =
  /** Trusted roots. */
  | 'rootA'
  | 'rootB'
  /** A root that nobody trusts. */
  | 'rootC'
  /** Under A: the genuine server's intermediate. */
  | 'a1'
  /** Under A1: what the genuine server presents. */
  | 'leaf'
  /** Under A1, with the backup key. */
  | 'nextLeaf'
  /** Under A1, with the key of `leaf`: a renewal. */
  | 'renewedLeaf'
  /** Under A1, with the key of `leaf`, expired. */
  | 'expiredLeaf'
  /** Under A1, with the key of `leaf`, for other.example.test. */
  | 'otherNameLeaf'
  /** With the key of `leaf`, signed by itself. */
  | 'selfSigned'
  /** With a key of its own, signed by itself. */
  | 'selfSignedRogue'
  /** Names A1 as its issuer, but is signed with its own key. */
  | 'forgedLeaf'
  /** Signed by `leaf`, which is no authority. */
  | 'leafOfLeaf'
  /** Under B, and under B1: a rogue but valid certificate. */
  | 'b1'
  | 'rogueLeaf'
  /** Under C, and under C1: with its own key, and with the key of `leaf`. */
  | 'c1'
  | 'untrustedLeaf'
  | 'untrustedRightKey'
  /** Under B: the subject and key identifier of A1, another key; and a leaf under it. */
  | 'a1Twin'
  | 'twinLeaf'
  /** The same twin, expired. */
  | 'a1TwinExpired'
  /** A1 itself (subject and key), under A, expired. */
  | 'a1Expired'
  /** A1 itself, under B: a cross-sign. */
  | 'a1CrossB'
  /** Root A itself, under B: a cross-sign. */
  | 'rootACrossB'

export interface PkiOptions {
  /** @default 'api.example.test' */
  hostname?: string
  /** The names in the leaves. @default [hostname] */
  names?: readonly string[]
  keyType?: CertificateRequest['keyType']
}

/** The certificates that most cases are made of. */
export interface Pki {
  hostname: string
  certificates: Record<Role, Certificate>
  /** Roots A and B in PEM: what clients trust. */
  ca: string
  /** The name by which the kit knows a certificate, for `chain` and `key`. */
  nameOf(role: Role): string
  /** Pins of the path that the role's certificate was issued by, itself first, root last. */
  pathPins(role: Role): string[]
}

const issuers: Partial<Record<Role, Role>> = {
  a1: 'rootA',
  leaf: 'a1',
  nextLeaf: 'a1',
  renewedLeaf: 'a1',
  expiredLeaf: 'a1',
  otherNameLeaf: 'a1',
  leafOfLeaf: 'leaf',
  b1: 'rootB',
  rogueLeaf: 'b1',
  c1: 'rootC',
  untrustedLeaf: 'c1',
  untrustedRightKey: 'c1',
  a1Twin: 'rootB',
  twinLeaf: 'a1Twin',
  a1TwinExpired: 'rootB',
  a1Expired: 'rootA',
  a1CrossB: 'rootB',
  rootACrossB: 'rootB',
}

export async function standardPki(kit: Kit, options: PkiOptions = {}): Promise<Pki> {
  const { hostname = 'api.example.test', names = [hostname], keyType } = options
  const prefix = kit.uniquePrefix()
  const nameOf = (role: Role): string => prefix + role
  const day = 86_400
  const now = Math.floor(Date.now() / 1000)
  const expired = { notBefore: now - 60 * day, notAfter: now - 30 * day }
  const a1 = { subject: 'Test Intermediate A1', ca: true, keyIdentifier: 'a1'.repeat(20) }
  const key = keyType && { keyType }
  const requests: [
    Role,
    Omit<CertificateRequest, 'name' | 'issuer' | 'key' | 'signer'>,
    { key?: Role; names?: Role }?,
  ][] = [
    ['rootA', { subject: 'Test Root A', ca: true }],
    ['rootB', { subject: 'Test Root B', ca: true }],
    ['rootC', { subject: 'Untrusted Root C', ca: true }],
    ['a1', a1],
    ['b1', { subject: 'Test Intermediate B1', ca: true }],
    ['c1', { subject: 'Untrusted Intermediate C1', ca: true }],
    ['leaf', { names, ...key }],
    ['nextLeaf', { names, ...key }],
    ['renewedLeaf', { names }, { key: 'leaf' }],
    ['expiredLeaf', { names, ...expired }, { key: 'leaf' }],
    [
      'otherNameLeaf',
      { subject: 'other.example.test', names: ['other.example.test'] },
      { key: 'leaf' },
    ],
    ['selfSigned', { names }, { key: 'leaf' }],
    ['selfSignedRogue', { names }],
    ['leafOfLeaf', { names }],
    ['rogueLeaf', { names, ...key }],
    ['untrustedLeaf', { names, ...key }],
    ['untrustedRightKey', { names }, { key: 'leaf' }],
    ['a1Twin', a1],
    ['twinLeaf', { names, ...key }],
    ['a1TwinExpired', { ...a1, ...expired }, { key: 'a1Twin' }],
    ['a1Expired', { ...a1, ...expired }, { key: 'a1' }],
    ['a1CrossB', a1, { key: 'a1' }],
    ['rootACrossB', { subject: 'Test Root A', ca: true }, { key: 'rootA' }],
  ]
  const issued = await kit.issue([
    ...requests.map(([role, request, shared]) => ({
      subject: hostname,
      ...request,
      name: nameOf(role),
      ...(issuers[role] && { issuer: nameOf(issuers[role]) }),
      ...(shared?.key && { key: nameOf(shared.key) }),
    })),
    // Its signer would have to exist before itself: it shares the rogue's key and is signed with it.
    {
      name: nameOf('forgedLeaf'),
      subject: hostname,
      names,
      issuer: nameOf('a1'),
      key: nameOf('rogueLeaf'),
      signer: nameOf('rogueLeaf'),
    },
  ])
  const roles = [...requests.map(([role]) => role), 'forgedLeaf' as const]
  // Every role is in `requests`, but for the one added here.
  const certificates = Object.fromEntries(
    roles.map((role) => [role, issued[nameOf(role)]]),
  ) as Record<Role, Certificate>
  const pathPins = (role: Role): string[] => {
    const issuer = issuers[role]
    return [certificates[role].pin, ...(issuer ? pathPins(issuer) : [])]
  }
  const ca = certificates.rootA.pem + certificates.rootB.pem
  return { hostname, certificates, ca, nameOf, pathPins }
}

/** A server that has one of the certificates of a `Pki`, and all that a client's test wants to know about it. */
export class Endpoint extends Server {
  readonly pki: Pki
  readonly options: EndpointOptions
  /** The path that should verify: pins, end entity first, trust anchor last. */
  readonly pathPins: readonly string[]

  constructor(kit: Kit, server: Server, pki: Pki, options: EndpointOptions, leaf: Role) {
    super(kit, server.number, server.port, server.host)
    this.pki = pki
    this.options = options
    this.pathPins = pki.pathPins(leaf)
  }

  get hostname(): string {
    return this.pki.hostname
  }

  /** PEM of the trusted roots, A and B. */
  get ca(): string {
    return this.pki.ca
  }

  /** Where the hostname is: the client's `lookup` option. */
  get lookup(): Record<string, string> {
    return { [this.hostname]: this.host }
  }

  get url(): string {
    return this.at('/')
  }

  /** The URL of a path. */
  at(path: string): string {
    const scheme = this.options.behaviour === 'plain' ? 'http' : 'https'
    const host = this.hostname.includes(':') ? `[${this.hostname}]` : this.hostname
    return `${scheme}://${host}:${this.port}${path}`
  }

  get leafPin(): string {
    return this.pki.certificates.leaf.pin
  }

  /** The pin of the backup key, which `nextLeaf` has. */
  get backupPin(): string {
    return this.pki.certificates.nextLeaf.pin
  }

  get intermediatePin(): string {
    return this.pki.certificates.a1.pin
  }

  get rootPin(): string {
    return this.pki.certificates.rootA.pin
  }

  /** Presents other certificates of the same `Pki` in new handshakes. */
  async present(chain: readonly (Role | { der: Buffer })[], key?: Role): Promise<void> {
    await this.swap(identityOf(this.pki, chain, key))
  }
}

export interface EndpointOptions extends ServerOptions {
  /** What it presents, end entity first. @default ['leaf', 'a1'], for interceptors ['rogueLeaf', 'b1'] */
  chain?: readonly (Role | { der: Buffer })[]
  /** Whose key signs handshakes. @default the first certificate's */
  key?: Role
  /** Certificates to present after `chain`. */
  append?: readonly (Role | { der: Buffer })[]
  /** Presents something else to every connection past the first so many. */
  swapAfter?: { connections: number; chain: readonly (Role | { der: Buffer })[]; key?: Role }
}

export interface GenuineOptions extends EndpointOptions, PkiOptions {
  /** @default the kit that all scenarios share */
  kit?: Kit
  /** @default a new one for `hostname` and `names` */
  pki?: Pki
}

/** Starts the genuine server of a hostname: leaf, intermediate A1, and root A, which it doesn't send. */
export async function startGenuine(options: GenuineOptions = {}): Promise<Endpoint> {
  const { kit = sharedKit(), pki: given, hostname, names, keyType, ...rest } = options
  const pki =
    given ??
    (await standardPki(kit, {
      ...(hostname && { hostname }),
      ...(names && { names }),
      ...(keyType && { keyType }),
    }))
  return start(kit, pki, { name: 'genuine', ...rest }, 'leaf')
}

export interface InterceptorOptions extends EndpointOptions {
  /** The server whose name it answers to. */
  of: Endpoint
  /** @default the kit that all scenarios share */
  kit?: Kit
}

/**
 * Starts a man in the middle: by default one with a valid certificate for the name, from another trusted authority.
 *
 * Speaks the protocols and TLS versions of the server that it stands in for, unless told otherwise.
 */
export async function startInterceptor(options: InterceptorOptions): Promise<Endpoint> {
  const { of, kit = sharedKit(), ...rest } = options
  const { alpn, versions } = of.options
  const spoken = { ...(alpn && { alpn }), ...(versions && { versions }) }
  return start(kit, of.pki, { name: 'interceptor', ...spoken, ...rest }, 'rogueLeaf')
}

export interface ForwardProxyOptions extends ProxyOptions {
  /** Speaks TLS to its clients with certificates of this `Pki`. @default in the clear */
  pki?: Pki
  /** What it presents, end entity first. @default ['leaf', 'a1'] */
  chain?: readonly (Role | { der: Buffer })[]
  /** Whose key signs handshakes. @default the first certificate's */
  key?: Role
  /** Where every tunnel leads, in place of `host` and `port`: an interceptor, for a proxy that reads what it carries. */
  to?: Endpoint
  /** @default the kit that all scenarios share */
  kit?: Kit
}

/** Starts a forward proxy: HTTP, in the clear or over TLS, or SOCKS5. */
export async function startProxy(options: ForwardProxyOptions): Promise<ForwardProxy> {
  const { pki, chain = ['leaf', 'a1'], key, to, kit = sharedKit(), ...rest } = options
  return kit.proxy({
    ...rest,
    ...(pki && identityOf(pki, chain, key)),
    ...(to && { host: to.host === '::1' ? '::1' : '127.0.0.1', port: to.port }),
  })
}

async function start(kit: Kit, pki: Pki, options: EndpointOptions, leaf: Role): Promise<Endpoint> {
  const { chain: given, key, append = [], swapAfter, ...rest } = options
  const chain = given ?? [leaf, issuers[leaf] ?? leaf]
  const server = await kit.serve({
    ...rest,
    ...identityOf(
      pki,
      [...chain, ...append],
      key ?? (typeof chain[0] === 'string' ? chain[0] : leaf),
    ),
    ...(swapAfter && {
      swapAfter: {
        connections: swapAfter.connections,
        ...identityOf(pki, swapAfter.chain, swapAfter.key),
      },
    }),
  })
  return new Endpoint(kit, server, pki, options, typeof chain[0] === 'string' ? chain[0] : leaf)
}

function identityOf(pki: Pki, chain: readonly (Role | { der: Buffer })[], key?: Role): Identity {
  const signer = key ?? chain.find((entry) => typeof entry === 'string')
  if (signer === undefined) throw new TypeError('a chain without an issued certificate needs `key`')
  return {
    chain: chain.map((entry) => (typeof entry === 'string' ? pki.nameOf(entry) : entry)),
    key: pki.nameOf(signer),
  }
}

function encodeIdentity({ chain, key }: Identity): { chain: unknown[]; key: string } {
  return { chain: chain.map(encodeEntry), key }
}

function encodeEntry(entry: ChainEntry): unknown {
  if (typeof entry === 'string') return entry
  return { der: typeof entry.der === 'string' ? entry.der : entry.der.toString('base64') }
}

function findBinary(): string {
  const named = process.env.PINFETCH_TESTKIT
  const root = fileURLToPath(new URL('..', import.meta.url))
  const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target')
  const file = process.platform === 'win32' ? 'pinfetch-testkit.exe' : 'pinfetch-testkit'
  const candidates = named
    ? [named]
    : ['release', 'debug'].map((profile) => join(target, profile, file))
  const built = candidates.filter((path) => existsSync(path))
  const [found] = built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)
  if (found !== undefined) return found
  const build = 'cargo build -p pinfetch-testkit --release'
  throw new Error(`no test kit at ${candidates.join(' or ')}: build it with \`${build}\``)
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function withResolvers<T>(): {
  promise: Promise<T>
  resolve: (value: T) => void
  reject: (error: Error) => void
} {
  let resolve: (value: T) => void = () => {}
  let reject: (error: Error) => void = () => {}
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}
