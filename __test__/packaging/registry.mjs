// A registry on loopback that knows nothing of any other: `node registry.mjs FOLDER` keeps what is published in FOLDER
// and prints its port. It ends with whoever reads its output.
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [folder] = process.argv.slice(2)
const { runServer } = createRequire(new URL('tools/package.json', import.meta.url))('verdaccio')

const everybody = { access: '$all', publish: '$authenticated' }
const app = await runServer({
  storage: join(folder, 'storage'),
  self_path: join(folder, 'config.yaml'),
  auth: { htpasswd: { file: join(folder, 'htpasswd'), algorithm: 'bcrypt', rounds: 4 } },
  uplinks: {},
  packages: { '@pinfetch/*': everybody, '**': everybody },
  max_body_size: '50mb',
  web: { enable: false },
  log: { type: 'stdout', format: 'json', level: 'fatal' },
})
const server = app.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
process.stdin.resume().on('end', () => process.exit())
