// Runs a TypeScript program of this checkout: `node scripts/run-ts.mjs PROGRAM [arguments]`.
//
// The program imports `pinfetch` as users do, which is what dist/ holds: build first.
import { register } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const [program] = process.argv.splice(2, 1)
if (program === undefined) {
  console.error('Usage: node scripts/run-ts.mjs PROGRAM [arguments]')
  process.exit(2)
}
register('./ts-loader.mjs', import.meta.url)
await import(pathToFileURL(resolve(program)).href)
