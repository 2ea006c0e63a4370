// `pinfetch doctor`: what is installed, and whether it runs. For a look before a report.

import { parseArgs } from 'node:util'
import { Client, versions } from '../index.js'
import { EXIT, exitCodeOf } from './exit.js'
import { columns, complain, print } from './output.js'

export const DOCTOR_HELP = `Usage: pinfetch doctor [--json]

Prints the version, the package that the binary is from, what it is made of, and the variables of
the environment that bear on requests, by name alone. Loads the binary and starts the engine to see
that it runs; asks no server.

  --json   one line of JSON
  --help   show this
`

/** What the binary can speak and read, whatever is asked for. */
const FEATURES = {
  protocols: ['HTTP/1.1', 'HTTP/2', 'TLS 1.2', 'TLS 1.3'],
  keyExchange: ['X25519', 'secp256r1', 'secp384r1', 'X25519MLKEM768'],
  contentCodings: ['gzip', 'deflate', 'br', 'zstd'],
  proxies: ['http', 'https', 'socks5', 'socks5h'],
}

/** Variables that change what happens, some of them only where an option says so. Their values may hold secrets. */
const VARIABLES = [
  ...['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy', 'REQUEST_METHOD'].flatMap((name) =>
    name === name.toUpperCase() ? [name] : [name, name.toUpperCase()],
  ),
  'SSLKEYLOGFILE',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'NAPI_RS_NATIVE_LIBRARY_PATH',
]

/** Prints what is installed; the exit code tells whether it runs. */
export async function doctor(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(DOCTOR_HELP)
    return EXIT.ok
  }
  const runtime = {
    runtime: runtimeName(),
    platform: `${process.platform}-${process.arch}`,
  }
  const environment = VARIABLES.filter((name) => process.env[name] !== undefined)
  try {
    const found = versions()
    await new Client().close() // starts the engine
    const { pinfetch, package: from, target, tls, paths, crypto, roots, http } = found
    const facts = { pinfetch, binary: from, target, ...runtime, tls, paths, crypto, roots, http }
    await show({ ...facts, ...FEATURES, environment }, values.json)
    return EXIT.ok
  } catch (error) {
    await show({ ...runtime, environment }, values.json)
    complain(error)
    return exitCodeOf(error)
  }
}

async function show(facts: Record<string, string | string[] | undefined>, isJson: boolean) {
  if (isJson) {
    await print(`${JSON.stringify(facts)}\n`)
    return
  }
  const rows = Object.entries(facts).map(([name, value]) => [
    NAMES[name] ?? name,
    Array.isArray(value) ? value.join(', ') || 'none' : (value ?? 'unknown'),
  ])
  await print(`${columns(rows).join('\n')}\n`)
}

/** What facts are called for people, where it is not as for programs. */
const NAMES: Readonly<Record<string, string>> = {
  tls: 'TLS',
  paths: 'path building',
  crypto: 'cryptography',
  http: 'HTTP',
  roots: 'trust anchors',
  keyExchange: 'key exchange',
  contentCodings: 'content codings',
}

/** Node.js, or what runs its programs: both have `process.versions.node`. */
function runtimeName(): string {
  const { bun, deno, electron, node } = process.versions
  if (bun !== undefined) return `Bun ${bun}`
  if (deno !== undefined) return `Deno ${deno}`
  return electron === undefined ? `Node.js ${node}` : `Electron ${electron} (Node.js ${node})`
}
