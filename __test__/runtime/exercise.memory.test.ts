import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parseXml, XmlElement } from '@rgrove/parse-xml'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Endpoint, startGenuine, startInterceptor } from '../testkit.ts'
import { failureOf } from './cases.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

/** For one case: Node.js needs most of a minute to start and end under valgrind. */
const PATIENCE_MS = 500_000
/** Bytes of the tag at the end of an encrypted record (RFC 8446 §5.2, of the suites that are offered). */
const TAG = 16

/** `process.exit` leaves to the system what JavaScript still holds: an engine's handle of 32 bytes. */
const EXITS = 'the process exits with requests in flight'

/** What ends in each of the ways in which a request, a worker or a process can end. */
const CASES = [
  'a pinned request',
  'a bad pin',
  'a large body is streamed',
  'a request is given up',
  'the process ends by itself',
  EXITS,
  'a worker has an engine of its own',
  'four workers are terminated in the middle',
]

/** What valgrind has found, as far as it is read. */
interface Finding {
  kind: string
  what: string
  /** Where it was found, then where its memory was allocated, innermost first: function and file. */
  stacks: { fn: string; obj: string }[][]
}

let genuine: Endpoint
let interceptor: Endpoint
let folder: string
let addon: string

beforeAll(async () => {
  genuine = await startGenuine()
  interceptor = await startInterceptor({ of: genuine })
  folder = await mkdtemp(join(tmpdir(), 'pinfetch-memory-'))
  addon = join(folder, 'pinfetch.node')
  const { CARGO_TARGET_DIR = join(root, 'target') } = process.env
  await copyFile(join(CARGO_TARGET_DIR, 'debug/libpinfetch_node.so'), addon) // which has its functions' names
})

afterAll(() => rm(folder, { recursive: true }))

test.each(CASES)(
  'valgrind finds nothing of ours: %s',
  async (name) => {
    const report = join(folder, `${CASES.indexOf(name)}.xml`)
    const command = [
      'env',
      `NAPI_RS_NATIVE_LIBRARY_PATH=${addon}`,
      'valgrind',
      ...['--tool=memcheck', '--smc-check=all-non-file', '--num-callers=60'],
      ...['--leak-check=full', '--show-leak-kinds=definite', '--errors-for-leak-kinds=definite'],
      ...['--xml=yes', `--xml-file=${report}`],
      process.execPath,
    ]
    expect(await failureOf(command, name, { genuine, interceptor }, PATIENCE_MS)).toBeUndefined()
    const findings = findingsIn(await readFile(report, 'utf8'))
    const ours = findings.filter(({ stacks }) => stacks.flat().some(({ obj }) => obj === addon))
    // a control: a report that was not understood would have nothing of ours in it
    expect(ours.some(isOfTheTag), 'what is known to be found was not').toBe(true)
    const isKnown = (finding: Finding) =>
      isOfTheTag(finding) ||
      isOfTheRegistration(finding) ||
      (name === EXITS && finding.kind.startsWith('Leak_'))
    expect(ours.filter((finding) => !isKnown(finding))).toEqual([])
  },
  PATIENCE_MS + 30_000,
)

test('valgrind is there', async () => {
  expect((await run('valgrind', ['--version'])).stdout).toMatch(/^valgrind-/)
})

/**
 * Whether it is the tag of AES-GCM, which ring's assembly computes in ways that valgrind loses track of. That the peer takes the
 * records shows it to be defined. What is undefined before the tag would be ours.
 */
function isOfTheTag({ kind, what, stacks: [found = [], allocated = []] }: Finding): boolean {
  if (kind === 'UninitCondition') return found[0]?.fn.startsWith('ring::aead::') ?? false
  if (kind !== 'SyscallParam') return false
  const [, offset, size] = /is (\d+) bytes inside a block of size (\d+) alloc'd/.exec(what) ?? []
  return (
    Number(size) - Number(offset) === TAG &&
    allocated.some(({ fn }) => fn.includes('rustls::crypto::cipher::MessageEncrypter'))
  )
}

/** napi-rs 3.16 makes a reference in each environment that loads an addon, and never gives it back: 40 bytes a worker. */
function isOfTheRegistration({ kind, stacks: [found = []] }: Finding): boolean {
  return (
    kind === 'Leak_DefinitelyLost' &&
    found[1]?.fn === 'napi_create_reference' &&
    found[2]?.fn === 'napi_register_module_v1'
  )
}

function findingsIn(report: string): Finding[] {
  const { root } = parseXml(report)
  return childrenOf(root, 'error').map((error) => ({
    kind: textOf(error, 'kind'),
    what: ['what', 'xwhat', 'auxwhat'].map((name) => textOf(error, name)).join(' '),
    stacks: childrenOf(error, 'stack').map((stack) =>
      childrenOf(stack, 'frame').map((frame) => ({
        fn: textOf(frame, 'fn'),
        obj: textOf(frame, 'obj'),
      })),
    ),
  }))
}

function childrenOf(element: XmlElement | null, name: string): XmlElement[] {
  return (element?.children ?? []).filter(
    (child): child is XmlElement => child instanceof XmlElement && child.name === name,
  )
}

function textOf(element: XmlElement, name: string): string {
  return childrenOf(element, name)
    .map(({ text }) => text)
    .join(' ')
}
