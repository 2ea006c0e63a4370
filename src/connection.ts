import { describePath } from './native.js'
import {
  type ConnectionRecord,
  type PathCertificate,
  Reader,
  readConnection,
  readPathPins,
  readRemoteAddress,
} from './wire.js'

/** What TLS proved of the connection that a response came over. */
export interface TlsFacts {
  /** Null over `http:`, where nothing was proved. */
  readonly protocol: 'TLSv1.3' | 'TLSv1.2' | null
  /** The cipher suite by its IANA name; null over `http:`. */
  readonly cipher: string | null
  /** The protocol that both sides chose by ALPN (RFC 7301), or would have without: `h2`, `http/1.1`. */
  readonly alpn: string
  /** Whether the session was resumed; its verified path is then the one of the session's full handshake. */
  readonly resumed: boolean
  /** The first pin of the verified path, end entity first, that the policy held; null for a host without pins. */
  readonly matchedPin: string | null
  /** The verified path, end entity first, trust anchor last; empty where nothing was verified. */
  readonly verifiedPath: readonly PathCertificate[]
  /** The patterns in report mode that would have refused the connection; empty where all is well. */
  readonly reportedPatterns: readonly string[]
}

/** A connection's facts, read when they are asked for. */
export class Connection {
  readonly #record: Buffer
  #facts: ConnectionRecord | null = null
  #tls: TlsFacts | null = null
  #pathPins: readonly string[] | null = null
  #remoteAddress: string | null = null

  /** Made from a CONNECTION's bytes after its connection number, which it keeps. */
  constructor(record: Buffer) {
    this.#record = record
  }

  /** Read alone: of most connections nobody asks for more. */
  get remoteAddress(): string {
    this.#remoteAddress ??= readRemoteAddress(new Reader(this.#record))
    return this.#remoteAddress
  }

  /** Microseconds: for the name, the connection, the handshake. */
  get times(): readonly [dns: number, connect: number, tls: number] {
    return this.#read().times
  }

  /** The pins of the verified path, end entity first; its certificates are not read for it. */
  get pathPins(): readonly string[] {
    this.#pathPins ??= readPathPins(this.#read().path)
    return this.#pathPins
  }

  get tls(): TlsFacts {
    if (this.#tls === null) {
      const facts = this.#read()
      let verifiedPath: readonly PathCertificate[] | null = null
      this.#tls = {
        protocol: facts.protocol === 13 ? 'TLSv1.3' : facts.protocol === 12 ? 'TLSv1.2' : null,
        cipher: facts.protocol === 0 ? null : cipherName(facts.cipherSuite),
        alpn: facts.alpn,
        resumed: facts.resumed,
        matchedPin: facts.matchedPin,
        reportedPatterns: facts.reportedPatterns,
        get verifiedPath() {
          verifiedPath ??= describePath(facts.path)
          return verifiedPath
        },
      }
    }
    return this.#tls
  }

  #read(): ConnectionRecord {
    this.#facts ??= readConnection(new Reader(this.#record))
    return this.#facts
  }
}

function cipherName(suite: number): string {
  return CIPHERS[suite] ?? `0x${suite.toString(16).padStart(4, '0').toUpperCase()}`
}

/** https://www.iana.org/assignments/tls-parameters, those that the engine offers. */
const CIPHERS: Readonly<Record<number, string>> = {
  4865: 'TLS_AES_128_GCM_SHA256',
  4866: 'TLS_AES_256_GCM_SHA384',
  4867: 'TLS_CHACHA20_POLY1305_SHA256',
  49195: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  49196: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  49199: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  49200: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  52392: 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
  52393: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
}
