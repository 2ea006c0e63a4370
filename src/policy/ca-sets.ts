// Named sets of a CA's root keys, to be written where a pin may stand: `ca:letsencrypt`. They are made of the trust
// anchors that are built in, which change with the package: so nobody gets them without saying as of when.

import { invalidOption, nameOf, PolicyError } from '../errors.js'
import { builtInAnchors } from '../native.js'
import { nearestOf } from '../nearest.js'

/** A root key of a CA. */
export interface CaSetPin {
  /** `sha256/` + base64. */
  readonly pin: string
  /** The root's subject (RFC 4514). */
  readonly subject: string
}

/** The root keys of a CA that are among the built-in trust anchors. */
export interface CaSet {
  /** What stands after `ca:` where a pin may stand. */
  readonly name: string
  /** The CA's name, for people. */
  readonly title: string
  /** At least one. */
  readonly pins: readonly CaSetPin[]
}

/** Every named set of this version of pinfetch. */
export interface CaSets {
  /** What they are made of, with its version: `webpki-roots 1.0.10`. */
  readonly roots: string
  /** By name. */
  readonly sets: readonly CaSet[]
}

/** Which pins each named set stands for: what `pinfetch lock` writes beside a policy file. */
export interface CaSetLock {
  /** The version of the format: 1. */
  readonly version: number
  /** What the sets were made of, for people. */
  readonly roots: string
  /** The root keys of each set: their subjects by pin. */
  readonly caSets: { readonly [name: string]: { readonly [pin: string]: string } }
}

/** What a set of a lock has, against what this version of pinfetch would have. */
export interface CaSetChange {
  readonly name: string
  /** Roots that this version has and the lock does not. */
  readonly added: readonly CaSetPin[]
  /** Roots that the lock has and this version does not: all of them, of a set that it does not know. */
  readonly removed: readonly CaSetPin[]
}

/** As of when sets are taken: as this version of pinfetch has them, or as a lock does. */
export type CaSetsInput = 'current' | CaSetLock

/** The roots of a CA, by what their subjects say. */
interface Roots {
  readonly title: string
  /** The organisation (`O`), as RFC 4514 writes it. */
  readonly organisations: readonly string[]
  /** Roots that bear another's name. */
  readonly also?: readonly string[]
  /** Roots that bear its name and are another's. */
  readonly except?: readonly string[]
}

/** Google's since 2016, when it took two roots over from GlobalSign. */
const GLOBALSIGN_R4 = 'CN=GlobalSign,O=GlobalSign,OU=GlobalSign ECC Root CA - R4'
/** Amazon's since 2015. */
const STARFIELD_SERVICES =
  'CN=Starfield Services Root Certificate Authority - G2,O=Starfield Technologies\\, Inc.,L=Scottsdale,ST=Arizona,C=US'

const ROOTS: { readonly [name: string]: Roots } = {
  actalis: { title: 'Actalis', organisations: ['Actalis S.p.A./03358520967'] },
  amazon: {
    title: 'Amazon Trust Services',
    organisations: ['Amazon'],
    also: [STARFIELD_SERVICES],
  },
  buypass: { title: 'Buypass', organisations: ['Buypass AS-983163327'] },
  certainly: { title: 'Certainly (Fastly)', organisations: ['Certainly'] },
  certigna: { title: 'Certigna', organisations: ['Dhimyotis'] },
  certum: {
    title: 'Certum (Asseco)',
    organisations: ['Asseco Data Systems S.A.', 'Unizeto Technologies S.A.'],
  },
  'd-trust': { title: 'D-Trust', organisations: ['D-Trust GmbH'] },
  digicert: { title: 'DigiCert', organisations: ['DigiCert Inc', 'DigiCert\\, Inc.'] },
  globalsign: {
    title: 'GlobalSign',
    organisations: ['GlobalSign', 'GlobalSign nv-sa'],
    except: [GLOBALSIGN_R4],
  },
  godaddy: {
    title: 'GoDaddy and Starfield',
    organisations: ['GoDaddy.com\\, Inc.', 'Starfield Technologies\\, Inc.'],
    except: [STARFIELD_SERVICES],
  },
  google: {
    title: 'Google Trust Services',
    organisations: ['Google Trust Services LLC'],
    also: [GLOBALSIGN_R4],
  },
  harica: {
    title: 'HARICA',
    organisations: [
      'Hellenic Academic and Research Institutions CA',
      'Hellenic Academic and Research Institutions Cert. Authority',
    ],
  },
  identrust: { title: 'IdenTrust', organisations: ['IdenTrust'] },
  letsencrypt: {
    title: "Let's Encrypt (ISRG)",
    organisations: ['Internet Security Research Group'],
  },
  microsoft: { title: 'Microsoft', organisations: ['Microsoft Corporation'] },
  quovadis: { title: 'QuoVadis', organisations: ['QuoVadis Limited'] },
  secom: {
    title: 'SECOM Trust Systems',
    organisations: ['SECOM Trust Systems CO.\\,LTD.', 'SECOM Trust Systems Co.\\, Ltd.'],
  },
  sectigo: {
    title: 'Sectigo (COMODO, USERTrust)',
    organisations: ['Sectigo Limited', 'COMODO CA Limited', 'The USERTRUST Network'],
  },
  sslcom: { title: 'SSL.com', organisations: ['SSL Corporation'] },
  swisssign: { title: 'SwissSign', organisations: ['SwissSign AG'] },
  telekom: {
    title: 'Telekom Security',
    organisations: ['Deutsche Telekom Security GmbH', 'T-Systems Enterprise Services GmbH'],
  },
  telia: { title: 'Telia', organisations: ['Telia Company AB', 'Telia Finland Oyj'] },
}

const PREFIX = 'ca:'

let known: CaSets | undefined

/** The named sets of this version of pinfetch, each with the root keys that it stands for. */
export function caSets(): CaSets {
  if (known === undefined) {
    const { version, anchors } = builtInAnchors()
    const sets = Object.entries(ROOTS).map(([name, roots]): CaSet => {
      const pins = anchors.filter(({ subject }) => isOf(roots, subject))
      return { name, title: roots.title, pins }
    })
    known = { roots: version, sets }
  }
  return known
}

function isOf({ organisations, also, except }: Roots, subject: string): boolean {
  if (also?.includes(subject)) return true
  if (except?.includes(subject)) return false
  return organisations.some((name) => `,${subject},`.includes(`,O=${name},`))
}

/** The name of the set that stands in a pin's place; null where a pin stands there. */
export function caSetOf(pin: unknown): string | null {
  const isObject = typeof pin === 'object' && pin !== null && Object.hasOwn(pin, 'pin')
  const text: unknown = isObject ? Reflect.get(pin, 'pin') : pin
  return typeof text === 'string' && text.startsWith(PREFIX) ? text.slice(PREFIX.length) : null
}

/** Why a set cannot be had. */
export class NoSuchSet extends Error {}

/** What named sets stand for. */
export interface CaSetSource {
  /** The pins of a set, at least one; throws {@link NoSuchSet} for one that cannot be had. */
  pinsOf(name: string): readonly string[]
}

/** Sets as of `input`, which is the option `caSets`; those of whoever did not say as of when are refused. */
export function caSetSource(input: unknown): CaSetSource {
  if (input === undefined) return UNDATED
  if (input === 'current') return CURRENT
  return new Locked(readCaSetLock(input, (message) => invalidOption('caSets', message)))
}

/** Sets of a policy file as of `lock`, a lock file's; without one, none can be had. */
export function caSetsOfFile(lock: CaSetsInput | undefined, file: string | null): CaSetSource {
  if (lock === 'current') return CURRENT
  if (lock === undefined) return new Unlocked(file)
  return new Locked(lock, file)
}

const CURRENT: CaSetSource = {
  pinsOf(name) {
    const set = caSets().sets.find((set) => set.name === name)
    if (set === undefined) throw new NoSuchSet(unknownSet(name))
    return set.pins.map(({ pin }) => pin)
  },
}

const UNDATED: CaSetSource = {
  pinsOf(name) {
    CURRENT.pinsOf(name) // a misspelt name is told first
    throw new NoSuchSet(
      'is a set of roots that another version of pinfetch may have changed: make a policy of your pins, ' +
        'new Policy(pins, { caSets: "current" }), or give a lock in place of "current"',
    )
  },
}

class Unlocked implements CaSetSource {
  readonly #file: string | null
  constructor(file: string | null) {
    this.#file = file
  }
  pinsOf(name: string): never {
    CURRENT.pinsOf(name)
    throw new NoSuchSet(
      `is a set of roots, and no lock says which ones: pinfetch lock ${this.#file ?? 'FILE'}`,
    )
  }
}

class Locked implements CaSetSource {
  readonly #lock: CaSetLock
  readonly #file: string | null
  constructor(lock: CaSetLock, file: string | null = null) {
    this.#lock = lock
    this.#file = file
  }
  pinsOf(name: string): readonly string[] {
    const { caSets } = this.#lock
    if (Object.hasOwn(caSets, name)) return Object.keys(caSets[name] ?? {})
    CURRENT.pinsOf(name)
    throw new NoSuchSet(`is not in the lock: pinfetch lock ${this.#file ?? 'FILE'}`)
  }
}

/**
 * `pins` with those of named sets. Of a set the first stands in its place and the others at the end, so that every other
 * pin keeps its index. Throws a {@link PolicyError} that names `pattern` and index.
 */
export function expandSets(
  pattern: string,
  pins: readonly unknown[],
  caSets: CaSetSource,
): readonly unknown[] {
  if (pins.every((pin) => caSetOf(pin) === null)) return pins
  const others: unknown[] = []
  const expanded = pins.map((pin, index) => {
    const name = caSetOf(pin)
    if (name === null) return pin
    const all = pinsOfSet(name, caSets, pattern, index)
    const [first, ...rest] =
      typeof pin === 'object' ? all.map((own) => ({ ...pin, pin: own })) : all
    others.push(...rest)
    return first
  })
  return [...expanded, ...others]
}

function pinsOfSet(
  name: string,
  caSets: CaSetSource,
  pattern: string,
  index: number,
): readonly string[] {
  try {
    return caSets.pinsOf(name)
  } catch (error) {
    if (!(error instanceof NoSuchSet)) throw error
    const input = PREFIX + name
    throw new PolicyError(
      'ERR_POLICY_CA_SET',
      `pins[${JSON.stringify(pattern)}][${index}] ${JSON.stringify(input)} ${error.message}`,
      { option: 'pins', pattern, index, input },
    )
  }
}

function unknownSet(name: string): string {
  const names = Object.keys(ROOTS)
  const nearest = nearestOf(name, names)
  const mend =
    nearest === undefined ? `there are ${names.join(', ')}` : `did you mean "${PREFIX}${nearest}"?`
  return `is no set of roots: ${mend}`
}

/**
 * A lock of the sets `names`, as this version of pinfetch has them; those that `keep` has are taken from there.
 *
 * Throws a {@link PolicyError} for a name that neither has.
 */
export function lockCaSets(names: Iterable<string>, keep?: CaSetLock): CaSetLock {
  const { roots, sets } = caSets()
  const locked: Record<string, Record<string, string>> = {}
  for (const name of [...new Set(names)].sort()) {
    const kept = keep !== undefined && Object.hasOwn(keep.caSets, name) && keep.caSets[name]
    if (kept) {
      locked[name] = { ...kept }
      continue
    }
    const set = sets.find((set) => set.name === name)
    if (set === undefined)
      throw new PolicyError('ERR_POLICY_CA_SET', `${PREFIX}${name} ${unknownSet(name)}`)
    locked[name] = Object.fromEntries(set.pins.map(({ pin, subject }) => [pin, subject]))
  }
  return { version: 1, roots, caSets: locked }
}

/** Where the sets of `lock` differ from those of this version of pinfetch. */
export function caSetChanges(lock: CaSetLock): CaSetChange[] {
  return Object.entries(lock.caSets).flatMap(([name, locked]) => {
    const now = caSets().sets.find((set) => set.name === name)?.pins ?? []
    const added = now.filter(({ pin }) => !Object.hasOwn(locked, pin))
    const removed = Object.entries(locked)
      .filter(([pin]) => !now.some((other) => other.pin === pin))
      .map(([pin, subject]) => ({ pin, subject }))
    return added.length + removed.length === 0 ? [] : [{ name, added, removed }]
  })
}

/** Reads the text of a lock file; throws a {@link PolicyError} that names `file`. */
export function parseCaSetLock(text: string, file: string): CaSetLock {
  const wrong = (message: string, cause?: unknown): PolicyError =>
    new PolicyError(
      'ERR_POLICY_INVALID_OPTION',
      `${file}: ${message}`,
      { file },
      cause === undefined ? undefined : { cause },
    )
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw wrong('no JSON: it is written by pinfetch lock', cause)
  }
  return readCaSetLock(value, wrong)
}

const PIN = /^sha256\/[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/

/** A copy of a lock, checked. */
function readCaSetLock(value: unknown, wrong: (message: string) => PolicyError): CaSetLock {
  const { version, roots, caSets } = members(value, ['version', 'roots', 'caSets'], 'it', wrong)
  if (version !== 1) throw wrong('the version of a lock is 1')
  if (typeof roots !== 'string') throw wrong(`roots is ${nameOf(roots)}: give a text`)
  const sets: Record<string, Record<string, string>> = {}
  for (const [name, pins] of Object.entries(members(caSets, null, 'caSets', wrong))) {
    const own: Record<string, string> = {}
    for (const [pin, subject] of Object.entries(members(pins, null, `caSets.${name}`, wrong))) {
      if (!PIN.test(pin))
        throw wrong(`caSets.${name} has ${JSON.stringify(pin.slice(0, 60))}, which is no pin`)
      if (typeof subject !== 'string')
        throw wrong(`caSets.${name}: the subject of ${pin} is ${nameOf(subject)}: give a text`)
      own[pin] = subject
    }
    if (Object.keys(own).length === 0) throw wrong(`caSets.${name} has no pin`)
    sets[name] = own
  }
  return { version, roots, caSets: sets }
}

/** The own members of an object, each read once; any but `known` is an error. */
function members(
  value: unknown,
  known: readonly string[] | null,
  what: string,
  wrong: (message: string) => PolicyError,
): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrong(`${what} is ${nameOf(value)}: give what pinfetch lock has written`)
  const own = { ...value } as Record<string, unknown> // just seen to be an object
  for (const name of Object.keys(own))
    if (known !== null && !known.includes(name))
      throw wrong(`a lock has no member ${JSON.stringify(name)}`)
  return own
}
