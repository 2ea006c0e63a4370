// What several commands read from the command line alike.

import { readFile } from 'node:fs/promises'
import {
  Client,
  type ClientOptions,
  type DescribedInput,
  describeInputs,
  type FilePolicy,
  PolicyError,
  PolicyFile,
  type VerifyPolicy,
} from '../index.js'
import { FileError, UsageError } from './exit.js'

/** What the file `name` holds. */
export async function readNamed(name: string): Promise<Buffer> {
  try {
    return await readFile(name)
  } catch (cause) {
    throw FileError.of(name, cause)
  }
}

/** What the file `name` holds, which is text. */
export async function readNamedText(name: string): Promise<string> {
  const bytes = await readNamed(name)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new FileError(`${name}: is no UTF-8`, 'ERR_INVALID_ARGUMENT', { cause })
  }
}

/** The keys of the certificates, keys and certificate requests in the file `name`. */
export async function readKeys(name: string): Promise<DescribedInput[]> {
  const file = await readNamed(name)
  try {
    return describeInputs(file, name)
  } catch (cause) {
    throw FileError.of(name, cause)
  }
}

/** For `parseArgs`: whose signatures a policy file must have. */
export const VERIFY_OPTIONS = {
  'verify-key': { type: 'string', multiple: true, default: [] as string[] },
  'verify-name': { type: 'string' },
} as const

/** For `--help`. */
export const VERIFY_HELP = `\
  --verify-key FILE     the policy file must be signed with this public key; repeatable,
                        one of them is enough
  --verify-name NAME    and it must be the policy of this name, as pinfetch sign was given
`

/** Reads them; undefined where nothing is asked for. */
export async function readVerify(values: {
  readonly 'verify-key': readonly string[]
  readonly 'verify-name'?: string | undefined
}): Promise<VerifyPolicy | undefined> {
  const { 'verify-key': files, 'verify-name': name } = values
  if (files.length === 0 && name === undefined) return undefined
  if (files.length === 0 || name === undefined)
    throw new UsageError('--verify-key and --verify-name go together: give both')
  return {
    keys: await Promise.all(files.map(readNamed)),
    name: readPolicyName('--verify-name', name),
  }
}

/** The name of a policy, the value of `option`. */
export function readPolicyName(option: string, name: string): string {
  if (!/^[!-~]{1,100}$/.test(name))
    throw new UsageError(
      `${option} is ${JSON.stringify(name)}: give 1 to 100 visible characters of ASCII`,
    )
  return name
}

/** The policy file `name`; signed as `verify` has it. */
export async function readPolicyFile(name: string, verify?: VerifyPolicy): Promise<PolicyFile> {
  try {
    return await PolicyFile.read(name, { verify })
  } catch (cause) {
    if (cause instanceof PolicyError && cause.option === 'verify')
      throw new UsageError(`a public key: ${cause.message}`, { cause })
    throw FileError.of(name, cause)
  }
}

/** What the policy file `name`, signed as `verify` has it, says for `environment`. */
export async function readNamedPolicy(
  name: string,
  environment: string | undefined,
  verify?: VerifyPolicy,
): Promise<FilePolicy> {
  const file = await readPolicyFile(name, verify)
  try {
    return file.in(environment)
  } catch (cause) {
    throw FileError.of(name, cause)
  }
}

/** The milliseconds of `--timeout SECONDS`, or of another `option`. */
export function readSeconds(text: string, option = '--timeout'): number {
  if (!/^\d+(?:\.\d+)?$/.test(text))
    throw new UsageError(`${option} is ${JSON.stringify(text)}: give a number of seconds`)
  return Math.ceil(Number(text) * 1000)
}

/** The number of `option`: from 1 to 999999. */
export function readCount(option: string, text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new UsageError(
      `${option} is ${JSON.stringify(text)}: give a whole number from 1 to 999999`,
    )
  return Number(text)
}

/** How far ahead ends are told: the number of `--days`, or a month. */
export function readDays(text: string | undefined): number {
  if (text === undefined) return 30
  if (!/^\d{1,5}$/.test(text))
    throw new UsageError(`--days is ${JSON.stringify(text)}: give a whole number of days`)
  return Number(text)
}

/** The date of `option`: a day, or a moment with its zone. */
export function readDate(option: string, text: string): Date {
  const date = new Date(text)
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(date.getTime()))
    throw new UsageError(`${option} is ${JSON.stringify(text)}: give a date such as 2027-03-01`)
  return date
}

/** Throws what a client with `options` would throw. */
export async function prove(options: ClientOptions): Promise<void> {
  await new Client(options).close()
}

/** `options` that trust the certificates in `file`; those that nothing is wrong with are as they were without one. */
export async function trusting(
  options: ClientOptions,
  file: string | undefined,
): Promise<ClientOptions> {
  if (file === undefined) return options
  const more: ClientOptions = { ...options, ca: await readNamed(file) }
  try {
    await prove(more)
  } catch (cause) {
    throw FileError.of(file, cause)
  }
  return more
}

/** The one policy file that was given. */
export function onlyFile(positionals: readonly string[], option?: string): string {
  const [name, another] = option === undefined ? positionals : [option, ...positionals]
  if (name === undefined) throw new UsageError('give a policy file')
  if (another !== undefined)
    throw new UsageError(`give one policy file, and hosts with --host: ${JSON.stringify(another)}`)
  return name
}
