import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

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
    writeFileSync(
      file,
      `${imports.replace('Client', 'Client as Original')}
class Client extends Original {
  constructor(options) {
    super({ ...options, ...${here} })
  }
}
${body.join('\n')}`,
    )
    return (await runNode([file])).replaceAll(`:${this.#port}/`, '/')
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
