// Counts instructions with valgrind and compares them with benchmark/instructions/baseline.json:
// `node benchmark/instructions/count.mjs [--update]`.
//
// Counts don't depend on what else the machine does, and hardly on which it is: more than the tolerance is a change of
// the code, or of the compiler. What got dearer fails; a change that is worth its price, or that made something cheaper,
// is recorded with --update in the commit that makes it, which says why.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('../..', import.meta.url)))
const BASELINE = 'benchmark/instructions/baseline.json'
/** How often each is done: enough that what differs between two starts is lost in it. */
const TIMES = {
  'policy look-up': 20_000,
  'SPKI hash': 500,
  'verified path': 40,
  'record of a response': 2000,
  'record of texts': 2000,
}

// built for a named target as the addon is, whose dependencies are there already
const [, host = ''] = /^host: (.+)$/m.exec(must('rustc', ['-vV']).stdout) ?? []
must('cargo', ['build', '--release', '--target', host, '-p', 'pinfetch-instructions'])
const program = `${process.env.CARGO_TARGET_DIR ?? 'target'}/${host}/release/pinfetch-instructions`
const baseline = JSON.parse(readFileSync(BASELINE, 'utf8'))
const counted = {}
for (const [name, times] of Object.entries(TIMES)) {
  counted[name] = Math.round((instructions(name, times) - instructions(name, 0)) / times)
}

if (process.argv.includes('--update')) {
  const updated = { ...baseline, instructions: counted }
  writeFileSync(BASELINE, `${JSON.stringify(updated, null, 2)}\n`)
}
let failed = false
for (const [name, count] of Object.entries(counted)) {
  const expected = process.argv.includes('--update') ? count : baseline.instructions[name]
  const change = (count / expected - 1) * 100
  const isDearer = !(change <= baseline.tolerancePercent) // nor is what has no count yet
  failed ||= isDearer
  const verdict = isDearer ? 'DEARER' : change < -baseline.tolerancePercent ? 'cheaper' : 'ok'
  console.log(`${verdict} · ${name}: ${count} instructions, ${expected} in the baseline`)
}
if (failed) {
  console.error(
    `More than ${baseline.tolerancePercent} % above ${BASELINE}: mend it, or record it with --update and say why.`,
  )
  process.exitCode = 1
}

function instructions(name, times) {
  const { stderr } = must('valgrind', [
    '--tool=callgrind',
    '--callgrind-out-file=/dev/null',
    program,
    name,
    String(times),
  ])
  const [, count] = /Collected : (\d+)/.exec(stderr) ?? []
  if (count === undefined) throw new Error(`valgrind counted nothing: ${stderr}`)
  return Number(count)
}

function must(program, args) {
  const result = spawnSync(program, args, { encoding: 'utf8' })
  if (result.error) throw new Error(`${program} cannot be run`, { cause: result.error })
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}:\n${result.stderr}`)
  return result
}
