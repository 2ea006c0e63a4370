/** Runs the command line as users do: bundled, in a process of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect } from 'vitest'
import { pages } from '../../scripts/pages.mjs'
import { UsageError } from '../../src/cli/exit.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** What a command left behind. */
export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

/** Why `command` is refused as a wrong command line, which it must be before it does anything. */
export async function refusalOf(command: () => Promise<number>): Promise<string> {
  const refusal = await command().then(
    (code) => new Error(`it ended with ${code}`),
    (error: unknown) => error,
  )
  expect(refusal).toBeInstanceOf(UsageError)
  return refusal instanceof Error ? refusal.message : ''
}

/** The command line, for the tests of one file. */
export class Command {
  #folder = ''

  /** Builds it before the file's tests, and removes it and their files afterwards. */
  constructor() {
    beforeAll(async () => {
      // at the depth of the built command, from which the addon's loader is found
      mkdirSync(join(root, 'dist'), { recursive: true })
      this.#folder = mkdtempSync(join(root, 'dist', 'cli-'))
      await build({
        entryPoints: [join(root, 'src/cli/main.ts')],
        outfile: this.script,
        bundle: true,
        platform: 'node',
        format: 'esm',
        target: 'node20',
        mainFields: ['module', 'main'],
        banner: {
          js: "import { createRequire as requireOf } from 'node:module'\nconst require = requireOf(import.meta.url)",
        },
        logLevel: 'error',
        plugins: [pages],
      })
    })
    afterAll(() => rmSync(this.#folder, { recursive: true, force: true }))
  }

  /** The file that Node runs. */
  get script(): string {
    return this.path('cli.mjs')
  }

  /** Where a file of this name is. */
  path(name: string): string {
    return join(this.#folder, name)
  }

  /** Writes a file for the command to read; returns its path. */
  file(name: string, content: string | Uint8Array): string {
    const path = this.path(name)
    writeFileSync(path, content)
    return path
  }

  start(...args: string[]): ChildProcessWithoutNullStreams {
    return spawn(process.execPath, [this.script, ...args])
  }

  /** Runs it to its end. */
  async run(args: readonly string[], stdin: string | Uint8Array = ''): Promise<Ended> {
    const child = this.start(...args)
    const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
    child.stdin.on('error', () => {}) // a command that reads nothing may be gone before it is written
    child.stdin.end(stdin)
    const [stdout, stderr, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      closed,
    ])
    return { code, stdout, stderr }
  }
}
