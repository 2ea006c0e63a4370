import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { Pki } from './testkit.js'

/** The checkout. */
export const root = fileURLToPath(new URL('..', import.meta.url))

/** The fenced blocks of `language` in a Markdown text. */
export function codeBlocks(markdown: string, language: string): string[] {
  const fenced = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms')
  return Array.from(markdown.matchAll(fenced), ([, block = '']) => block)
}

/** Runs node in the checkout; gives what it printed, and fails when it fails. */
export async function runNode(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  expect(code, stderr).toBe(0)
  return stdout
}

/**
 * Runs examples for `api.example.com` as they stand, but for where their server is: at `port` of this machine, under
 * another root, and with `replacements`.
 */
export class Examples {
  readonly folder: string
  readonly #ca: string
  readonly #port: number
  readonly #replacements: readonly (readonly [from: string, to: string])[]
  #count = 0

  constructor(ca: string, port: number, replacements: readonly (readonly [string, string])[]) {
    this.#ca = ca
    this.#port = port
    this.#replacements = replacements
    mkdirSync(join(root, 'dist'), { recursive: true })
    this.folder = mkdtempSync(join(root, 'dist', 'examples-')) // within the package, which may then import itself by name
  }

  /** What `source` prints. */
  async run(source: string): Promise<string> {
    this.#count += 1
    const file = join(this.folder, `example-${this.#count}.mjs`)
    const here = JSON.stringify({ ca: this.#ca, lookup: { 'api.example.com': '127.0.0.1' } })
    let text = source
      .replaceAll('https://api.example.com/', `https://api.example.com:${this.#port}/`)
      .replaceAll("'api.example.com')", `'api.example.com:${this.#port}')`)
    for (const [from, to] of this.#replacements) text = text.replaceAll(from, to)
    const [imports = '', ...body] = text.split('\n')
    const client = `
class Client extends Original {
  constructor(options) {
    super({ ...options, ...${here} })
  }
}`
    const hasClient = /\bClient\b/.test(imports)
    const head = hasClient ? imports.replace(/\bClient\b/, 'Client as Original') + client : imports
    writeFileSync(file, [head, ...body].join('\n'))
    return (await runNode([file])).replaceAll(`:${this.#port}/`, '/')
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** The server that examples talk to. */
export interface ExampleServer {
  readonly port: number
  close(): void
}

/** Starts what `api.example.com` is in examples, over HTTP/2 and HTTP/1.1. */
export async function startExampleServer({ certificates }: Pki): Promise<ExampleServer> {
  let failures = 0
  const answer = async (request: Http2ServerRequest, response: Http2ServerResponse) => {
    const { pathname, searchParams } = new URL(request.url, 'https://api.example.com')
    const body = await text(request).catch(() => null)
    if (body === null) return // given up
    switch (pathname) {
      case '/v1/items':
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify({ tags: searchParams.getAll('tag'), ...JSON.parse(body) }))
        break
      case '/echo':
        response.end(body)
        break
      case '/form':
        response.end(Array.from(body.matchAll(/name="([^"]*)"/g), ([, name]) => name).join(' '))
        break
      case '/large':
        response.end(Buffer.alloc(1_000_000))
        break
      case '/lines':
        for (let number = 1; number <= 100; number++) response.write(`{"number":${number}}\n`)
        response.end()
        break
      case '/login':
        response.setHeader('set-cookie', 'session=4711; Path=/; Secure; HttpOnly')
        response.end()
        break
      case '/whoami':
        response.end(request.headers.cookie ?? 'nobody')
        break
      case '/page':
        response.writeEarlyHints({ link: '</style.css>; rel=preload' })
        response.end()
        break
      case '/flaky':
        failures += 1
        response.statusCode = failures % 3 === 0 ? 200 : 503
        response.end()
        break
      case '/missing':
        response.statusCode = 404
        response.end()
        break
      case '/silence':
        break
      case '/cut':
        response.write('half', () => response.stream.destroy())
        break
      default:
        response.end(pathname)
    }
  }
  const { leaf, a1 } = certificates
  const cert = leaf.pem + a1.pem
  const server = createSecureServer({ cert, key: leaf.keyPem, allowHTTP1: true }, answer)
  const sessions = new Set<{ destroy(): void }>()
  server.on('session', (session) => sessions.add(session))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      for (const session of sessions) session.destroy()
      server.close()
    },
  }
}
