import { channel } from 'node:diagnostics_channel'
import type { BadPinEvent } from './bad-pin.js'
import type { Connection, TlsFacts } from './connection.js'
import type { Policy } from './policy.js'
import type { Response } from './response.js'
import type { PolicySwap } from './swap.js'

/** The request that a message is about: credentials are taken out. */
export interface RequestFacts {
  readonly method: string
  readonly url: string
}

/** Published when a request is handed to the engine. */
export interface RequestCreateMessage {
  readonly request: RequestFacts
}

/** Published before a request's promise resolves. */
export interface RequestResponseMessage {
  readonly request: RequestFacts
  readonly response: Response
}

/** Published before a request's promise rejects. */
export interface RequestErrorMessage {
  readonly request: RequestFacts
  readonly error: unknown
}

/** Published when the first response of a connection has come, before its own message. */
export interface ConnectionOpenMessage {
  readonly connection: ConnectionFacts
}

/** Published when a connection that was told of is closed and no response can name it any more; no sooner than something
 * else is told. */
export interface ConnectionCloseMessage {
  readonly connection: ConnectionFacts
}

/** Published when a policy has been put in force, before the promise that tells of it resolves. */
export interface PolicySwapMessage {
  /** The policy, where it is a {@link LivePolicy}'s; else null. */
  readonly policy: Policy | null
  readonly swap: PolicySwap
}

/**
 * Published for each TLS handshake of a request that ended in a verdict on the server's path, with the next outcome of a
 * request, or soon after. Subscribers hear of the handshakes of requests that are made from then on.
 */
export interface HandshakeMessage {
  /** In canonical form. */
  readonly hostname: string
  readonly port: number
  /** The address and port of the connection's other end: the proxy's, where there is one. */
  readonly remoteAddress: string
  /** The number of the connection, as in {@link ConnectionFacts}; null where the path was refused for its pins. */
  readonly connection: number | null
  readonly protocol: 'TLSv1.3' | 'TLSv1.2'
  readonly resumed: boolean
  /** The first pin of the path, end entity first, that the host has; null without pins, or where none was met. */
  readonly matchedPin: string | null
  /** The patterns that gave it pins; empty for a host without. */
  readonly patterns: readonly string[]
  /** The pins of the verified path, end entity first; empty where nothing was verified. */
  readonly foundPins: readonly string[]
}

/** What is known of a connection. */
export interface ConnectionFacts {
  /** Its number, which no other open connection of this thread has. */
  readonly id: number
  /** The address and port of its other end: the proxy's, where there is one. */
  readonly remoteAddress: string
  readonly tls: TlsFacts
  /** Milliseconds that the host's name, the connection and the handshake took. */
  readonly timings: { readonly dns: number; readonly connect: number; readonly tls: number }
}

/** The facts of the connection of this number, for a message. */
export function connectionFacts(id: number, connection: Connection): ConnectionFacts {
  const [dns, connect, tls] = connection.times
  return {
    id,
    remoteAddress: connection.remoteAddress,
    tls: connection.tls,
    timings: { dns: dns / 1000, connect: connect / 1000, tls: tls / 1000 },
  }
}

/** Published for each request that is refused for its pins, or would be in report mode, before `onBadPin` is called. */
export type BadPinMessage = BadPinEvent

/** Published when a watched policy file says what cannot be put in force, before its event. */
export interface PolicyFaultMessage {
  /** The file, as it was named. */
  readonly file: string
  /** The system's error, or a {@link PolicyError}. */
  readonly error: unknown
}

/** Published when a host without pins is asked for the first time, where `unpinned` is `warn`. */
export interface UnpinnedMessage {
  readonly hostname: string
  readonly port: number
}

/** Published when a host is asked of whose pin sets one ends within 30 days, and again when it has ended. */
export interface PolicyExpiryMessage {
  readonly hostname: string
  readonly port: number
  /** The pattern of the set, in canonical form. */
  readonly pattern: string
  /** When it ends, or ended. */
  readonly at: Date
  /** What becomes of its hosts then (`then` in policies). */
  readonly afterwards: 'enforce' | 'report' | 'refuse'
  readonly hasEnded: boolean
}

/** Every `node:diagnostics_channel` of pinfetch. Nothing is made for a channel without subscribers. */
export const channels = {
  /** {@link RequestCreateMessage} */
  requestCreate: channel('pinfetch:request:create'),
  /** {@link RequestResponseMessage} */
  requestResponse: channel('pinfetch:request:response'),
  /** {@link RequestErrorMessage} */
  requestError: channel('pinfetch:request:error'),
  /** {@link ConnectionOpenMessage} */
  connectionOpen: channel('pinfetch:connection:open'),
  /** {@link ConnectionCloseMessage} */
  connectionClose: channel('pinfetch:connection:close'),
  /** {@link BadPinMessage} */
  badPin: channel('pinfetch:bad-pin'),
  /** {@link HandshakeMessage} */
  handshake: channel('pinfetch:handshake'),
  /** {@link PolicySwapMessage} */
  policySwap: channel('pinfetch:policy:swap'),
  /** {@link PolicyFaultMessage} */
  policyFault: channel('pinfetch:policy:fault'),
  /** {@link UnpinnedMessage} */
  unpinned: channel('pinfetch:unpinned'),
  /** {@link PolicyExpiryMessage} */
  policyExpiry: channel('pinfetch:policy:expiry'),
} as const
