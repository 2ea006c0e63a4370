/**
 * What a browser says of itself, by the numbers of IANA's registries, each list in the browser's order. What the TLS
 * library lacks stands here, too, and is left out when it is said (docs/profiles.md).
 */
export interface Profile {
  /** Of a navigation. Names in the spelling of HTTP/1.1. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** RFC 8446 §B.4 and before; without GREASE. */
  readonly cipherSuites: readonly number[]
  /** RFC 8446 §4.2.7. */
  readonly groups: readonly number[]
  /** RFC 8446 §4.2.3. */
  readonly signatureSchemes: readonly number[]
  /** RFC 8879 §3. */
  readonly certificateCompression: readonly number[]
  /** SETTINGS (RFC 9113 §6.5.2) and the connection's window; what is null is not said. */
  readonly http2: {
    readonly headerTableSize: number | null
    /** How many streams the server may push, of which none is allowed. */
    readonly maxPushedStreams: number | null
    readonly initialWindowSize: number
    readonly maxFrameSize: number | null
    readonly maxHeaderListSize: number | null
    readonly connectionWindowSize: number
  }
}
