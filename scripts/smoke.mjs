// Whether an addon in the checkout's root runs here: `node scripts/smoke.mjs [FILE]`. It needs nothing but Node.js 20: no build, no
// npm ci. Loads it, asks its versions, has it judge a chain, and starts and ends an engine.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const [file = readdirSync(root).find((name) => /^pinfetch\..+\.node$/.test(name))] =
  process.argv.slice(2)
if (file === undefined) throw new Error(`no addon in ${root}`)

const addon = createRequire(import.meta.url)(resolve(root, file))
const { target, pinfetch } = JSON.parse(addon.versions())
assert.match(pinfetch, /^\d+\.\d+\.\d+/)
assert.throws(() => addon.verifyChain('no record'))
const engine = new addon.Engine(() => {}, true, 1)
engine.ref()
engine.unref()
engine.shutdown()
process.stdout.write(
  `${file}: pinfetch ${pinfetch} for ${target} runs on Node.js ${process.version}\n`,
)
