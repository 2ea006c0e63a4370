import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch } from 'node:os'

/** A program that carries plans out. */
export interface Client {
  name: string
  command: readonly string[]
  /** The pinfetch on the same runtime, which it is compared with. */
  ours: string
  /** Why it cannot run, where that is known beforehand. */
  absent?: string
}

const HERE = 'benchmark/node_modules'
const NODE_24 = `${HERE}/node-24-linux-${arch()}/bin/node`
export const NAMES_OF_NODE = {
  current: `Node ${process.versions.node.split('.')[0]}`,
  newer: 'Node 24',
}

/** Clients in JavaScript, by their program; each runs on both Nodes, `newer` says which of them matter on the second. */
const ON_NODE = [
  { name: 'pinfetch', program: 'pinfetch', newer: true },
  { name: 'undici 7 request', program: 'undici7-request', newer: true },
  { name: 'undici 7 fetch', program: 'undici7-fetch', newer: false },
  { name: 'undici 8 request', program: 'undici8-request', newer: true },
  { name: 'undici 8 fetch', program: 'undici8-fetch', newer: true },
  { name: 'Node fetch', program: 'node-fetch', newer: true },
  { name: 'node:https', program: 'node-https', newer: true },
  { name: 'got', program: 'got', newer: false },
  { name: 'impit', program: 'impit', newer: false },
  { name: 'wreq-js', program: 'wreq-js', newer: false },
]

export function clientsOf(target: string): Client[] {
  const { current, newer } = NAMES_OF_NODE
  const clients: Client[] = [
    ...ON_NODE.map(({ name, program }) => onNode(process.execPath, current, name, program)),
    ...ON_NODE.filter((client) => client.newer).map(({ name, program }) =>
      onNode(NODE_24, newer, name, program),
    ),
    {
      name: 'Bun fetch',
      command: [`${HERE}/.bin/bun`, 'run', '--expose-gc', 'benchmark/clients/bun-fetch.mjs'],
      ours: `pinfetch (${current})`,
    },
    {
      name: 'Deno fetch',
      command: [
        `${HERE}/.bin/deno`,
        'run',
        '--allow-all',
        '--no-lock',
        '--quiet',
        '--v8-flags=--expose-gc',
        'benchmark/clients/deno-fetch.mjs',
      ],
      ours: `pinfetch (${current})`,
    },
    {
      name: 'node-tls-client',
      command: [],
      ours: `pinfetch (${current})`,
      absent: 'fetches its Go library from the network when it is first used',
    },
    { name: 'Go tls-client', command: ['benchmark/dist/go-client'], ours: `pinfetch (${current})` },
    {
      name: 'bare hyper + rustls',
      command: [`${target}/release/pinfetch-limit`],
      ours: `pinfetch (${current})`,
    },
  ]
  return clients.map((client) => {
    const [program = ''] = client.command
    if (client.absent !== undefined || existsSync(program)) return client
    return { ...client, absent: `${program} is not there` }
  })
}

/** Versions of the packages that are measured. */
export function versions(): Record<string, string> {
  const require = createRequire(`${process.cwd()}/benchmark/package.json`)
  const { dependencies, optionalDependencies } = require('./package.json') as Record<
    string,
    Record<string, string>
  >
  const found: Record<string, string> = {}
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
    const place = `${process.cwd()}/${HERE}/${name}/package.json`
    if (!name.startsWith('vega') && existsSync(place)) {
      found[name] = (require(place) as { version: string }).version
    }
  }
  return found
}

function onNode(node: string, runtime: string, name: string, program: string): Client {
  return {
    name: `${name} (${runtime})`,
    command: [node, '--expose-gc', `benchmark/clients/${program}.mjs`],
    ours: `pinfetch (${runtime})`,
  }
}
