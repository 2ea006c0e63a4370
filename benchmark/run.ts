/**
 * `npm run bench [-- --quick | --full] [--only TEST] [--clients CLIENT] [--rounds N] [--out FOLDER]`
 *
 * What a request costs: CPU of the whole client process, side by side. Each round runs every client at every test, one
 * after the other, so that what else the machine does hits all alike; server, proxy and this program have one core, the
 * clients another. A client pins in the way its users pin, which is tried before: with a wrong pin it must refuse.
 *
 * `--quick` is one small round without plots, to see that all is well; `--full` is what is published.
 *
 * A run of everything writes benchmark/RESULTS.md and benchmark/results/; any other writes to benchmark/dist/results/
 * unless `--out` names a folder. `--only TEST` and `--clients CLIENT` take a part of a name, and may stand several times.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, release, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { standardPki, startKit } from '../__test__/testkit.ts'
import { type Client, clientsOf, versions } from './clients.ts'
import { footprints } from './footprint.ts'
import type { Outcome, Plan } from './plan.mjs'
import { plot } from './plots.ts'
import { type Absence, cheat, FIGURES, figureOf, rowsOf, type Sample, tableOf } from './report.ts'
import { PATHS, startServer } from './server.ts'
import { TESTS, type Test } from './tests.ts'

const SERVER_CORE = 0
const CLIENT_CORE = cpus().length > 1 ? 1 : 0
/** A client that takes longer than this for one test is given up. */
const PATIENCE_MS = 180_000
/** The domain of the many names. */
const NAMED = 'bench.example'
/** The tests that are drawn. */
const DRAWN = [
  'HTTP/1.1, 64 in flight',
  'HTTP/2, 64 in flight',
  'HTTP/1.1, one at a time',
  'cold handshake + GET',
  '64 MiB to a buffer',
  '64 MiB streamed',
]

const USAGE = `npm run bench [-- --quick | --full] [--only TEST] [--clients CLIENT] [--rounds N] [--out FOLDER]

  --quick           one small round: five minutes
  --full            eleven rounds with more requests
  --only TEST       tests with this in their name; may stand several times
  --clients CLIENT  clients with this in their name; may stand several times
  --rounds N        how often all is measured: 5 unless it says otherwise
  --out FOLDER      where tables, samples and plots go
  --help

Tests:   ${TESTS.map(({ name }) => name).join('\n         ')}
`
const options = readOptions()
const scale = options.full ? 1 : options.quick ? 0.05 : 0.2
const rounds = Number(options.rounds ?? (options.full ? 11 : options.quick ? 1 : 5))
const isWhole = options.only.length + options.clients.length === 0 && !options.quick
const page = isWhole && options.out === undefined ? 'benchmark/RESULTS.md' : undefined
const out = options.out ?? (isWhole ? 'benchmark/results' : 'benchmark/dist/results')

const tests = TESTS.filter(({ name }) => isNamed(name, options.only))
const target = process.env.CARGO_TARGET_DIR ?? 'target'
const clients = clientsOf(target).filter(({ name }) => isNamed(name, options.clients))
if (tests.length === 0 || clients.length === 0 || !(rounds >= 1)) {
  throw new Error('nothing to measure: see --only, --clients and --rounds')
}

const samples: Sample[] = []
const absences: Absence[] = []
const notes = new Map<string, string[]>()

execFileSync('taskset', ['-a', '-cp', String(SERVER_CORE), String(process.pid)], {
  stdio: 'ignore',
})
const folder = await mkdtemp(`${tmpdir()}/pinfetch-bench-`)
await using kit = await startKit()
const pki = await standardPki(kit, { hostname: NAMED, names: ['localhost', NAMED, `*.${NAMED}`] })
const { leaf, nextLeaf, a1, rootA } = pki.certificates
const server = await startServer(leaf.pem + a1.pem, leaf.keyPem, SERVER_CORE)
try {
  await using proxy = await kit.proxy({ kind: 'connect' })
  await using held = await kit.serve({
    chain: [pki.nameOf('leaf'), pki.nameOf('a1')],
    key: pki.nameOf('leaf'),
    behaviour: 'stall-response',
    alpn: ['http/1.1'],
  })
  const planOf = (test: Test): Plan => {
    const requests = test.fixed ? test.requests : Math.ceil(test.requests * scale)
    // every client finds localhost; for many names it has to take addresses from its user
    const hostname = test.task === 'hosts' ? NAMED : 'localhost'
    return {
      task: test.task,
      what: test.what,
      hostname,
      port: test.listener === 'held' ? held.port : server.ports[test.listener],
      path: test.path,
      ca: rootA.pem,
      pin: leaf.pin,
      http2: test.listener === 'http2',
      proxy: test.proxied ? proxy.url : null,
      concurrency: test.concurrency,
      warmup: warmupOf(test, requests),
      requests,
      watchLoop: test.figure === 'loop',
      folder,
      startedAt: 0,
    }
  }
  const present = await presentClients(planOf)
  const failed = new Set<string>()
  for (let round = 0; round < rounds; round += 1) {
    for (const test of tests) {
      for (const client of present) {
        const key = `${test.name} ${client.name}`
        if (failed.has(key)) continue
        const reason = await measure(test, client, planOf(test), round)
        if (reason === null) continue
        failed.add(key)
        absences.push({ test: test.name, client: client.name, reason })
        process.stderr.write(`${test.name} · ${client.name}: not run: ${reason}\n`)
      }
    }
  }
} finally {
  await server.close()
  await rm(folder, { recursive: true, force: true })
}
await report()

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        full: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        only: { type: 'string', multiple: true, default: [] },
        clients: { type: 'string', multiple: true, default: [] },
        out: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) {
      process.stdout.write(USAGE)
      process.exit(0)
    }
    return values
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`) // parseArgs throws nothing else
    process.exit(2)
  }
}

function warmupOf({ fixed, warmup }: Test, requests: number): number {
  if (warmup !== undefined && !options.quick) return warmup
  return fixed ? 1 : Math.ceil(requests / 4)
}

/** Those that run at all; notes of each whether it pins. */
async function presentClients(planOf: (test: Test) => Plan): Promise<Client[]> {
  const [first] = TESTS
  if (first === undefined) throw new Error('there is no test')
  const plan = { ...planOf(first), warmup: 0, requests: 2 }
  const present: Client[] = []
  for (const client of clients) {
    const reason = client.absent ?? (await refusal(client, plan))
    if (reason === null) {
      present.push(client)
      const refuses = (await refusal(client, { ...plan, pin: nextLeaf.pin })) !== null
      notes.set(client.name, refuses ? [] : ['no pinning'])
    } else {
      for (const test of tests) absences.push({ test: test.name, client: client.name, reason })
      process.stderr.write(`${client.name}: not run: ${reason}\n`)
    }
  }
  return present
}

/** Why a client cannot carry a plan out; null if it can. */
async function refusal(client: Client, plan: Plan): Promise<string | null> {
  const outcome = await run(client, plan)
  return typeof outcome === 'string' ? outcome : null
}

/** Adds a sample, or says why there is none. */
async function measure(
  test: Test,
  client: Client,
  plan: Plan,
  round: number,
): Promise<string | null> {
  await server.counts()
  const outcome = await run(client, plan)
  if (typeof outcome === 'string') return outcome
  const { requests } = plan
  const expected = test.task === 'held' || test.task === 'clients' ? 0 : requests * PATHS[test.path]
  if (outcome.bytes !== expected) return `${outcome.bytes} bytes of ${expected} came`
  const sample: Sample = {
    test: test.name,
    round,
    client: client.name,
    requests,
    outcome,
    counts: await server.counts(),
  }
  const figure = figureOf(test, sample)
  if (Number.isNaN(figure)) return 'it cannot tell'
  const offence = cheat(test, sample)
  if (offence !== null) return offence
  samples.push(sample)
  process.stderr.write(
    `round ${round + 1}/${rounds} · ${test.name} · ${client.name}: ${figure.toFixed(1)} ${FIGURES[test.figure ?? 'cpu']}\n`,
  )
  return null
}

/** What a client says, or why it says nothing. */
async function run(client: Client, plan: Plan): Promise<Outcome | string> {
  const startedAt = performance.timeOrigin + performance.now()
  const child = spawn(
    'taskset',
    ['-c', String(CLIENT_CORE), ...client.command, JSON.stringify({ ...plan, startedAt })],
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: PATIENCE_MS, killSignal: 'SIGKILL' },
  )
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const [code, signal] = await once(child, 'close')
  if (signal !== null) return `took more than ${PATIENCE_MS / 1000} s`
  if (code !== 0) return whyOf(errors) ?? `ended with ${String(code)}`
  return JSON.parse(output) as Outcome // printed by plan.mjs, the limit or the Go program
}

/** The line of a program's last words that says what is wrong. */
function whyOf(errors: string): string | undefined {
  const lines = errors.split('\n').filter((line) => line.trim() !== '')
  const error = lines.find((line) => /^\s*(?:Uncaught )?[\w ]*(?:Error|error)\b.*:/.test(line))
  return (error ?? lines[0])?.trim().slice(0, 160)
}

function isNamed(name: string, parts: readonly string[]): boolean {
  return parts.length === 0 || parts.some((part) => name.includes(part))
}

async function report(): Promise<void> {
  const ours = new Map(clients.map((client) => [client.name, client.ours]))
  const rows = (test: Test) =>
    rowsOf(
      test,
      samples,
      (client) => ours.get(client),
      (client) => notes.get(client) ?? [],
    )
  const machine = {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    system: `Linux ${release()}`,
    rounds,
    scale,
    versions: versions(),
  }
  await mkdir(out, { recursive: true })
  const lines = [{ machine }, ...samples, ...absences]
  await writeFile(`${out}/samples.jsonl`, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))

  const panels = tests
    .filter(({ name }) => DRAWN.includes(name))
    .map((test) => ({ title: test.name, rows: rows(test) }))
    .filter((panel) => panel.rows.length > 0)
  const pictures = isWhole ? await plot(panels) : null
  if (pictures !== null) {
    await writeFile(`${out}/cpu-light.svg`, pictures.light)
    await writeFile(`${out}/cpu-dark.svg`, pictures.dark)
  }

  const folderOfPage = page === undefined ? '.' : 'results'
  const text = `# Results

${machine.cpu}, ${machine.system}, ${machine.date}; Node ${machine.node}, ${Object.entries(
    machine.versions,
  )
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')}.

${rounds} interleaved rounds; nginx on one core, the client on another; TLS 1.3, ECDSA P-256, bodies of 1 KiB unless the
test says otherwise. A figure is the median of the rounds; "pinfetch ÷ this" is the median of the ratios within a round,
to pinfetch on the same Node (on the Node of this program for what runs without it). Each client pins in the way its
users pin, and was seen to refuse a wrong pin, or has "no pinning" beside it. How it is measured:
[docs/performance.md](${page === undefined ? '' : '../'}docs/performance.md).
${
  pictures === null
    ? ''
    : `
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="${folderOfPage}/cpu-dark.svg">
  <img alt="CPU of a request by client, in multiples of pinfetch's" src="${folderOfPage}/cpu-light.svg">
</picture>
`
}
${tests.map((test) => tableOf(test, rows(test), absences)).join('\n\n')}
${isWhole ? `\n${await footprints()}\n` : ''}`
  await writeFile(page ?? `${out}/RESULTS.md`, text)
  process.stdout.write(text)
}
