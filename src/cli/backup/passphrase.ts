// What a private key is encrypted with: from a file, the environment, or somebody at the terminal.

import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { readNamedText } from '../arguments.js'
import { FileError, UsageError } from '../exit.js'

/** Where it is to come from. */
export interface PassphraseValues {
  readonly 'passphrase-file'?: string
  readonly 'passphrase-env'?: string
  readonly unencrypted: boolean
}

/** The passphrase; null where there shall be none. */
export async function readPassphrase(values: PassphraseValues): Promise<string | null> {
  const { 'passphrase-file': file, 'passphrase-env': variable, unencrypted } = values
  const given = [file !== undefined, variable !== undefined, unencrypted]
  if (given.filter(Boolean).length > 1)
    throw new UsageError('give one of --passphrase-file, --passphrase-env and --unencrypted')
  if (unencrypted) return null
  if (file !== undefined) {
    const [line = ''] = (await readNamedText(file)).split(/\r?\n/)
    if (line === '') throw new FileError(`${file}: its first line is empty`, 'ERR_INVALID_ARGUMENT')
    return line
  }
  if (variable !== undefined) {
    const value = process.env[variable] ?? ''
    if (value === '') throw new UsageError(`--passphrase-env: ${variable} is not set, or empty`)
    return value
  }
  if (!process.stdin.isTTY)
    throw new UsageError(
      'give --passphrase-file or --passphrase-env, or --unencrypted for a key that anybody with the file can use',
    )
  const [first, again] = await askHidden(['Passphrase: ', 'Once more: '])
  if (first === '')
    throw new UsageError('the passphrase is empty: give --unencrypted if that is meant')
  if (first !== again) throw new UsageError('the two passphrases differ')
  return first ?? null
}

/** Asks at the terminal, which shows nothing of what is typed from the first question to the end of the last answer. */
async function askHidden(questions: readonly string[]): Promise<string[]> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true })
  terminal.once('SIGINT', () => process.kill(process.pid, 'SIGINT'))
  const answers: string[] = []
  try {
    for (const question of questions) {
      process.stderr.write(question)
      answers.push(await terminal.question(''))
      process.stderr.write('\n')
    }
  } finally {
    terminal.close()
  }
  return answers
}
