// What `npm run bench` needs besides pinfetch itself: the other clients, the limit and, where there is a Go, its client.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
mkdirSync('benchmark/dist', { recursive: true })

// as the lock file has it, which it leaves alone; `npm ci` wants the packages of all other platforms in it, too
must('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], 'benchmark')
must('cargo', ['build', '--release', '-p', 'pinfetch-limit'], '.')
const go = run('go', ['build', '-o', '../../dist/go-client', '.'], 'benchmark/clients/go')
if (go !== 0)
  console.error('The Go client is not there: it needs Go 1.25. The others are measured.')

function must(program, args, cwd) {
  const status = run(program, args, cwd)
  if (status !== 0) {
    console.error(`${program} ${args.join(' ')} failed`)
    process.exit(status)
  }
}

function run(program, args, cwd) {
  const { status, error } = spawnSync(program, args, { cwd, stdio: ['ignore', 2, 2] })
  if (error !== undefined) console.error(`${program} cannot be run: ${error.message}`)
  return status ?? 1
}
