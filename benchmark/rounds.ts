/**
 * `npm run bench [-- --quick] [--rounds N] [--only TEST]`: CPU of the whole client process for each request, side by
 * side. Each round runs every client once, one after the other, so that what else the machine does hits all alike;
 * the server has one core, the client the other.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, release } from 'node:os'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { standardPki, startKit } from '../__test__/testkit.ts'
import { startServer } from './nginx.ts'
import type { Outcome, Plan } from './plan.ts'
import { type Sample, table } from './report.ts'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string' },
  },
})

interface Test {
  name: string
  http2: boolean
  cold: boolean
  concurrency: number
  requests: number
}

const scale = options.quick ? 0.2 : 1
const rounds = Number(options.rounds ?? (options.quick ? 5 : 11))
const tests: Test[] = [
  { name: 'HTTP/1.1, 64 in flight', http2: false, cold: false, concurrency: 64, requests: 40_000 },
  { name: 'HTTP/2, 64 in flight', http2: true, cold: false, concurrency: 64, requests: 40_000 },
  { name: 'HTTP/1.1, one at a time', http2: false, cold: false, concurrency: 1, requests: 10_000 },
  { name: 'HTTP/2, one at a time', http2: true, cold: false, concurrency: 1, requests: 10_000 },
  { name: 'cold handshake + GET', http2: false, cold: true, concurrency: 1, requests: 1_500 },
].filter((test) => options.only === undefined || test.name.includes(options.only))

/** What runs a client: a bundled program on this Node, or the limit's own binary. */
const clients: Record<string, string[]> = {
  pinfetch: [process.execPath, 'benchmark/dist/pinfetch.mjs'],
  'undici request': [process.execPath, 'benchmark/dist/undici-request.mjs'],
  'undici fetch': [process.execPath, 'benchmark/dist/undici-fetch.mjs'],
  'bare hyper + rustls': ['target/release/pinfetch-limit'],
}

await build({
  entryPoints: ['pinfetch', 'undici-request', 'undici-fetch'].map(
    (name) => `benchmark/clients/${name}.ts`,
  ),
  outdir: 'benchmark/dist',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  format: 'esm',
  platform: 'node',
  packages: 'external',
})

await using kit = await startKit()
const pki = await standardPki(kit)
const body = 'x'.repeat(1024)
const { leaf, a1, rootA } = pki.certificates
const server = await startServer(leaf.pem + a1.pem, leaf.keyPem, body)
const samples: Sample[] = []
try {
  for (let round = 0; round < rounds; round += 1) {
    for (const test of tests) {
      const requests = Math.ceil(test.requests * scale)
      for (const [client, command] of Object.entries(clients)) {
        const outcome = await run(command, {
          hostname: pki.hostname,
          port: test.cold ? server.coldPort : test.http2 ? server.port : server.http1Port,
          path: '/index.html',
          ca: rootA.pem,
          pin: leaf.pin,
          http2: test.http2,
          cold: test.cold,
          concurrency: test.concurrency,
          warmup: Math.ceil(requests / 4),
          requests,
        })
        if (outcome.bytes !== requests * body.length) {
          throw new Error(
            `${client}, ${test.name}: ${outcome.bytes} bytes instead of ${requests * body.length}`,
          )
        }
        samples.push({ test: test.name, round, client, requests, outcome })
        process.stderr.write(
          `round ${round + 1}/${rounds} · ${test.name} · ${client}: ${(outcome.cpuUs / requests).toFixed(1)} µs\n`,
        )
      }
    }
  }
} finally {
  await server.close()
}

const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, Linux ${release()}`
const text = `# Results\n\n${machine}; ${rounds} interleaved rounds; server nginx on core 0, client on core 1; TLS 1.3, ECDSA P-256, 1 KiB bodies.\n\n${table(samples, 'pinfetch')}\n`
await mkdir('benchmark/results', { recursive: true })
await writeFile(
  'benchmark/results/samples.jsonl',
  samples.map((sample) => `${JSON.stringify(sample)}\n`).join(''),
)
await writeFile('benchmark/RESULTS.md', text)
process.stdout.write(text)

async function run(command: readonly string[], plan: Plan): Promise<Outcome> {
  const child = spawn('taskset', ['-c', '1', ...command, JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [code] = await once(child, 'close')
  if (code !== 0) {
    throw new Error(`${command.join(' ')} ended with ${String(code)}`)
  }
  return JSON.parse(output) as Outcome // printed by carryOut or the limit
}
