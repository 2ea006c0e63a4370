import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const runtime = `(Node ${process.versions.node.split('.')[0]})`

test('the benchmark measures clients side by side and tells what it saw', async () => {
  const out = await mkdtemp(`${tmpdir()}/pinfetch-bench-`)
  try {
    await promisify(execFile)(process.execPath, [
      'scripts/run-ts.mjs',
      'benchmark/run.ts',
      '--quick',
      ...['--only', 'HTTP/1.1, 8 in flight', '--only', 'resumed'],
      ...['--clients', `pinfetch ${runtime}`, '--clients', `node:https ${runtime}`],
      ...['--out', out],
    ])
    const lines = await readFile(`${out}/samples.jsonl`, 'utf8')
    const [machine, ...samples] = lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(machine).toMatchObject({ machine: { node: process.version, rounds: 1 } })
    const keepAlive = samples.filter((sample) => sample.test === 'HTTP/1.1, 8 in flight')
    expect(keepAlive.map((sample) => sample.client)).toEqual([
      `pinfetch ${runtime}`,
      `node:https ${runtime}`,
    ])
    for (const { outcome, requests, counts } of keepAlive) {
      expect(outcome).toMatchObject({ bytes: requests * 1024, cpuUs: expect.any(Number) })
      expect(counts.accepted).toBe(8)
    }
    const resumed = samples.filter((sample) => sample.test.startsWith('resumed'))
    for (const { requests, counts } of resumed) {
      expect(counts.resumed).toBeGreaterThan(requests * 0.95)
    }
    expect(resumed.map((sample) => sample.client)).toContain(`pinfetch ${runtime}`)
    // both refused a wrong pin: neither has a note that it doesn't pin
    const page = await readFile(`${out}/RESULTS.md`, 'utf8')
    expect(page).toContain(`| pinfetch ${runtime} |`)
    expect(page).not.toContain('no pinning |')
  } finally {
    await rm(out, { recursive: true, force: true })
  }
})
