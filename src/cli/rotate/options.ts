// What `pinfetch rotate` reads from the command line: which sets, which new pins, which dates.

import { type FilePolicy, type PinRole, policyLookup, type Role } from '../../index.js'
import { readPattern } from '../../policy/patterns.js'
import { prove, readDate, readKeys, readSeconds, trusting } from '../arguments.js'
import { ask } from '../ask.js'
import { readAuthority, readConnect } from '../authority.js'
import { FileError, messageOf, UsageError } from '../exit.js'
import type { NewPin, Rotation } from './plan.js'

/** For `parseArgs`. */
export const ROTATION_OPTIONS = {
  server: { type: 'string' },
  take: { type: 'string' },
  file: { type: 'string', multiple: true, default: [] as string[] },
  role: { type: 'string' },
  label: { type: 'string' },
  replace: { type: 'string', multiple: true, default: [] as string[] },
  from: { type: 'string' },
  until: { type: 'string' },
} as const

interface RotationValues {
  readonly pattern: readonly string[]
  readonly pin: readonly string[]
  readonly server?: string
  readonly take?: string
  readonly file: readonly string[]
  readonly role?: string
  readonly label?: string
  readonly replace: readonly string[]
  readonly from?: string
  readonly until?: string
  readonly connect: readonly string[]
  readonly ca?: string
  readonly timeout?: string
}

/** How long old pins stay, unless told otherwise. */
const DAYS = 30
const DAY = 24 * 60 * 60 * 1000

const ROLES = ['current', 'backup', 'root'] as const satisfies readonly PinRole[]
const PLACES = {
  leaf: 'end entity',
  intermediate: 'intermediate',
  root: 'trust anchor',
} as const satisfies Record<string, Role>

/** The patterns of `--pattern`, in canonical form. */
export function readPatterns(given: readonly string[]): ReadonlySet<string> {
  return new Set(
    given.map((text) => {
      try {
        return readPattern(text).text
      } catch (cause) {
        throw new UsageError(`--pattern ${JSON.stringify(text)}: ${messageOf(cause)}`, { cause })
      }
    }),
  )
}

/** The pins of `option`, in their one form. */
export function readPins(option: string, given: readonly string[]): string[] {
  return given.map((text) => {
    try {
      const [pin = text] = policyLookup([['pin.invalid', text]], 'pin.invalid').pins
      return pin
    } catch (cause) {
      throw new UsageError(`${option}: ${withoutPlace(messageOf(cause))}`, { cause })
    }
  })
}

/** What is to be rotated to what; a staging server is asked here. */
export async function readRotation(
  values: RotationValues,
  policy: FilePolicy,
  now: Date,
): Promise<Rotation> {
  const role = ROLES.find((known) => known === (values.role ?? 'current'))
  if (role === undefined)
    throw new UsageError(`--role is ${JSON.stringify(values.role)}: give ${ROLES.join(', ')}`)
  const patterns = readPatterns(values.pattern)
  const replaced = new Set(values.replace.flatMap((text) => readReplaced(text, policy)))
  if (patterns.size === 0 && replaced.size === 0)
    throw new UsageError(
      'give the host patterns with --pattern, or the pin that goes with --replace',
    )
  const from = values.from === undefined ? now : readDate('--from', values.from)
  const until =
    values.until === undefined
      ? new Date(from.getTime() + DAYS * DAY)
      : readDate('--until', values.until)
  if (until < from) throw new UsageError('--until is before the new pins come')
  const pins = await readNewPins(values)
  return { pins, role, label: values.label ?? null, from, until, patterns, replaced }
}

/** The pins that `--replace` means: a pin, or all that have a label. */
function readReplaced(text: string, policy: FilePolicy): string[] {
  const pins = [...policy.sets.values()].flatMap((set) => set.pins)
  const labelled = pins.filter(({ label }) => label === text).map(({ pin }) => pin)
  return labelled.length > 0 ? labelled : readPins('--replace', [text])
}

async function readNewPins(values: RotationValues): Promise<NewPin[]> {
  const { server, take } = values
  if (take !== undefined && server === undefined)
    throw new UsageError('--take is of a server: give --server')
  const pins = readPins('--pin', values.pin).map((pin): NewPin => ({ pin, source: null }))
  for (const name of values.file) pins.push(await keyOf(name))
  if (server !== undefined) pins.push(await keyOfServer(server, values))
  const distinct = [...new Map(pins.map((of) => [of.pin, of])).values()]
  if (distinct.length === 0) throw new UsageError('give the new key with --server, --file or --pin')
  return distinct
}

/** The one key of a file. */
async function keyOf(name: string): Promise<NewPin> {
  const keys = await readKeys(name)
  const [first] = keys
  const distinct = new Set(keys.map(({ pin }) => pin))
  if (first === undefined || distinct.size !== 1)
    throw new FileError(
      `${name}: holds ${distinct.size} keys: choose with --pin (pinfetch pins --file shows them)`,
      'ERR_INVALID_ARGUMENT',
    )
  const { pin, what, subject } = first
  return { pin, source: `the ${what} in ${name}${subject === '' ? '' : ` (${subject})`}` }
}

/** A key of a server's verified path. */
async function keyOfServer(text: string, values: RotationValues): Promise<NewPin> {
  const server = readAuthority(text, '--server host[:port]')
  const place = values.take ?? 'leaf'
  if (!Object.hasOwn(PLACES, place))
    throw new UsageError(
      `--take is ${JSON.stringify(place)}: give ${Object.keys(PLACES).join(', ')}`,
    )
  const role = PLACES[place as keyof typeof PLACES] // just seen to be one
  const [connect, another] = values.connect
  if (another !== undefined) throw new UsageError('--server is one machine: give --connect once')
  const options = {
    timeout: values.timeout === undefined ? undefined : readSeconds(values.timeout),
  }
  await prove(options)
  const { path } = await ask(server, {
    client: await trusting(options, values.ca),
    connect: connect === undefined ? undefined : readConnect(connect),
    isPresented: false,
  })
  const [found, more] = path.filter((of) => of.role === role)
  if (found === undefined || more !== undefined)
    throw new UsageError(
      `--take ${place}: the path of ${text} has ${more === undefined ? 'none' : 'several'}: choose with --pin`,
    )
  return { pin: found.pin, source: `the ${place} of ${text} (${found.subject})` }
}

/** `pins["pin.invalid"]: ` names nothing that anybody gave. */
function withoutPlace(message: string): string {
  return message.replace(/^pins\["pin\.invalid"\]:? ?/, '')
}
