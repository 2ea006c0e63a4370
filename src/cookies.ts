import { engine } from './engine.js'
import { invalidArgument, nameOf } from './errors.js'
import { Jar, type Reader, Writer } from './wire.js'

/** A cookie, as tough-cookie writes one. */
export interface Cookie {
  /** The name; a character stands for one byte, as in header values. */
  readonly key: string
  readonly value: string
  /** The host in its canonical form. */
  readonly domain: string
  readonly path: string
  /** Whether only `domain` itself gets the cookie, and no host below it. */
  readonly hostOnly: boolean
  readonly secure?: boolean
  readonly httpOnly?: boolean
  readonly sameSite?: 'strict' | 'lax' | 'none'
  /** ISO 8601; a session's cookie has none. */
  readonly expires?: string
  /** ISO 8601. */
  readonly creation: string
  /** ISO 8601. */
  readonly lastAccessed: string
}

/** A jar as JSON, in the shape of tough-cookie's `jar.toJSON()`. **It holds secrets**: whoever reads it has the sessions. */
export interface SerializedCookieJar {
  readonly cookies: readonly Cookie[]
  readonly [more: string]: unknown
}

/** A cookie jar of another make, such as tough-cookie's. It is asked for each hop of each request. */
export interface ForeignCookieJar {
  /** The `cookie` field of a request to `url`; empty for no cookies. */
  getCookieString(url: string): string | PromiseLike<string>
  /** Takes in a `set-cookie` field's value; what it throws is ignored, as bad cookies are. */
  setCookie(cookie: string, url: string): unknown
}

/** The number by which the engine knows a jar. */
export let handleOf: (jar: CookieJar) => number

/**
 * Cookies by RFC 6265bis, with the public suffix list, prefixes and limits (180 a domain, 3000 in all, 400 days).
 *
 * Each client has a jar of its own unless it is given another; clients that are given the same jar share its cookies.
 * The methods are tough-cookie's, each with a `Sync` twin.
 *
 * @example
 * ```ts
 * import { readFile, writeFile } from 'node:fs/promises'
 * import { Client, CookieJar } from 'pinfetch'
 *
 * const jar = CookieJar.fromJSON(await readFile('jar.json', 'utf8'))
 * await using client = new Client({ cookieJar: jar })
 * await client.get('https://shop.example.com/account')
 * await writeFile('jar.json', JSON.stringify(jar), { mode: 0o600 })
 * ```
 */
export class CookieJar {
  static readonly #dropped = new FinalizationRegistry<number>((handle) =>
    engine().releaseJar(handle),
  )

  static {
    handleOf = (jar) => jar.#handle
  }

  readonly #handle: number

  /** An empty jar. */
  constructor() {
    this.#handle = chosenHandle ?? ask((out) => out.u8(Jar.create)).u32()
    CookieJar.#dropped.register(this, this.#handle)
  }

  /**
   * A jar from what `JSON.stringify(jar)` gave, of this class or tough-cookie's: the text, or the object.
   *
   * Throws a TypeError that names the cookie and the field that are wrong.
   */
  static fromJSON(json: string | SerializedCookieJar): CookieJar {
    const text = typeof json === 'string' ? json : JSON.stringify(json)
    if (typeof text !== 'string') throw invalidArgument(`the jar is ${nameOf(json)}: give JSON`)
    return jarOf(
      ask((out) => {
        out.u8(Jar.fromJson)
        out.str(text)
      }).u32(),
    )
  }

  static deserializeSync(json: string | SerializedCookieJar): CookieJar {
    return CookieJar.fromJSON(json)
  }

  static async deserialize(json: string | SerializedCookieJar): Promise<CookieJar> {
    return CookieJar.fromJSON(json)
  }

  /**
   * Sets a cookie, written like a `set-cookie` field's value, as if `url` had sent it. An expired one takes its
   * predecessor out.
   *
   * Throws a TypeError that names the rule that it breaks.
   */
  setCookieSync(cookie: string | { toString(): string }, url: string | URL): void {
    const text = String(cookie)
    if (typeof cookie !== 'string' && text.startsWith('[object'))
      throw invalidArgument(
        `the cookie is ${nameOf(cookie)}: write it as a set-cookie field has it`,
      )
    this.#ask(Jar.set, (out) => {
      out.str(hrefOf(url))
      out.data(bytesOf(text))
    })
  }

  async setCookie(cookie: string | { toString(): string }, url: string | URL): Promise<void> {
    this.setCookieSync(cookie, url)
  }

  /** The `cookie` field of a request to `url`; empty for no cookies. */
  getCookieStringSync(url: string | URL): string {
    return this.#ask(Jar.header, (out) => out.str(hrefOf(url)))
      .data()
      .toString('latin1')
  }

  async getCookieString(url: string | URL): Promise<string> {
    return this.getCookieStringSync(url)
  }

  /** The cookies of a request to `url`, in the order in which they are sent. */
  getCookiesSync(url: string | URL): Cookie[] {
    return [...this.#serialized(hrefOf(url)).cookies]
  }

  async getCookies(url: string | URL): Promise<Cookie[]> {
    return this.getCookiesSync(url)
  }

  /** Takes a cookie out; says whether it was there. `domain` and `path` as {@link getCookies} gives them. */
  removeCookie(domain: string, path: string, key: string): boolean {
    return this.#ask(Jar.remove, (out) => {
      out.str(domain)
      out.str(path)
      out.data(bytesOf(key))
    }).flag()
  }

  removeAllCookiesSync(): void {
    this.#ask(Jar.clear, () => {})
  }

  async removeAllCookies(): Promise<void> {
    this.removeAllCookiesSync()
  }

  /** What {@link fromJSON} reads, and tough-cookie's `CookieJar.fromJSON` too; session cookies included. */
  toJSON(): SerializedCookieJar {
    return this.#serialized(null)
  }

  serializeSync(): SerializedCookieJar {
    return this.toJSON()
  }

  async serialize(): Promise<SerializedCookieJar> {
    return this.toJSON()
  }

  #serialized(url: string | null): SerializedCookieJar {
    return JSON.parse(
      this.#ask(Jar.cookies, (out) => {
        out.flag(url !== null)
        if (url !== null) out.str(url)
      }).str(),
    )
  }

  #ask(operation: number, write: (out: Writer) => void): Reader {
    return ask((out) => {
      out.u8(operation)
      out.u32(this.#handle)
      write(out)
    })
  }

  get [Symbol.toStringTag](): string {
    return 'CookieJar'
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `CookieJar { ${this.toJSON().cookies.length} cookies }` // never what they hold
  }
}

/** The handle of the jar that the constructor is to take over. */
let chosenHandle: number | null = null

/** The jar that the engine knows by `handle`. */
function jarOf(handle: number): CookieJar {
  chosenHandle = handle
  try {
    return new CookieJar()
  } finally {
    chosenHandle = null
  }
}

/** The jar of the client that the engine knows by `client`. */
export function jarOfClient(client: number): CookieJar {
  return jarOf(
    ask((out) => {
      out.u8(Jar.ofClient)
      out.u32(client)
    }).u32(),
  )
}

function ask(write: (out: Writer) => void): Reader {
  const out = new Writer(256)
  write(out)
  return engine().cookieJar(out.written())
}

function hrefOf(url: unknown): string {
  if (url instanceof URL) return url.href
  if (typeof url === 'string') return url
  throw invalidArgument(`the URL is ${nameOf(url)}: give a string or a URL`)
}

/** A character up to U+00FF is a byte, as in header values; a text with others is UTF-8. */
function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, /^[\0-\xff]*$/.test(text) ? 'latin1' : 'utf8')
}
