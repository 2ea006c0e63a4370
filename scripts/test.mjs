// `npm test`: builds all that is tested from what the sources are now, then runs Rust's tests and TypeScript's.
// `npm run test:peers`: builds the same, then runs the tests against other programs; `test:install` those that publish and
// install the packages, `test:runtimes` those in other runtimes, after installing what they need, and `test:platforms` those on
// other kinds of Linux, after building the addons of a release for them; `test:memory` those under valgrind, with an addon that
// has the names of its functions.
//
// Ends with the line `N passed, N failed`, vitest's count of its tests.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PEERS = {
  nginx: ['-v'],
  openssl: ['version'],
  script: ['--version'],
  chromium: ['--version'],
  'firefox-esr': ['--version'],
  certutil: ['--version'],
}

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const [, project = 'tests'] =
  process.argv
    .map((argument) => /^--(peers|install|runtimes|platforms|memory)$/.exec(argument))
    .find(Boolean) ?? []
const filters = process.argv.slice(2).filter((argument) => argument !== `--${project}`)
const tools = { install: '__test__/packaging/tools', runtimes: '__test__/runtime/tools' }[project]

if (project === 'peers') {
  const missing = Object.entries(PEERS)
    .filter(([program, version]) => spawnSync(program, version, { stdio: 'ignore' }).error)
    .map(([program]) => program)
  if (missing.length > 0) {
    console.error(
      `npm run test:peers needs ${missing.join(' and ')}. On Debian: apt-get install nginx-light openssl bsdutils chromium firefox-esr libnss3-tools`,
    )
    process.exit(1)
  }
}

for (const target of ['build:native', 'build:testkit', 'build:ts']) {
  if (run('npm', ['run', '--silent', target]) !== 0) {
    console.error(`npm run ${target} failed: nothing was tested`)
    process.exit(1)
  }
}

// too much for everyone's `npm ci`; what runs is programs in packages, so no script is needed
if (tools && run('npm', ['--prefix', tools, 'ci', '--ignore-scripts', '--no-audit']) !== 0) {
  console.error(`npm ci failed in ${tools}: nothing was tested`)
  process.exit(1)
}

if (project === 'platforms' && run('node', ['scripts/platforms.mjs']) !== 0) {
  console.error('the addons of other platforms cannot be built or run: nothing was tested')
  process.exit(1)
}

if (project === 'memory' && run('cargo', ['build', '--package', 'pinfetch-node']) !== 0) {
  console.error('the addon cannot be built: nothing was tested')
  process.exit(1)
}

let failed = false
if (project === 'tests' && filters.length === 0) {
  failed = run('cargo', ['test', '--workspace']) !== 0
}

const folder = mkdtempSync(join(tmpdir(), 'pinfetch-report-'))
const report = join(folder, 'report.json')
const status = run('vitest', [
  'run',
  '--project',
  project,
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${report}`,
  ...filters,
])
const result = readReport()
rmSync(folder, { recursive: true, force: true })

// a file that cannot be loaded has no tests to count; neither has a crash
const failures = result.numFailedTests || (status === 0 ? 0 : 1)
const skipped = result.numPendingTests + result.numTodoTests
if (skipped > 0) console.error(`${skipped} tests were skipped: every test is run`)
if (failed) console.error("Rust's tests failed: see above")
console.log(`\n${result.numPassedTests} passed, ${failures} failed`)
const complete = filters.length > 0 || (result.numPassedTests > 0 && skipped === 0)
process.exitCode = failed || failures > 0 || !complete ? 1 : 0

function run(program, args) {
  const { status, error } = spawnSync(program, args, {
    stdio: 'inherit',
    shell: process.platform === 'win32', // npm and vitest are .cmd there
  })
  if (error) console.error(`${program} cannot be run: ${error.message}`)
  return status ?? 1
}

function readReport() {
  try {
    return JSON.parse(readFileSync(report, 'utf8'))
  } catch {
    return { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 }
  }
}
