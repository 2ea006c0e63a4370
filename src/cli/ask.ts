// One server, asked for its keys.

import { lookup } from 'node:dns/promises'
import { Client, type ClientOptions, type ServerPins } from '../index.js'
import { type Authority, bare, format } from './authority.js'

/** How a server is asked. */
export interface Asking {
  readonly client: ClientOptions
  /** Where it is; by default where its name leads. */
  readonly connect: Authority | undefined
  /** Whether whatever it presents is taken, unverified. */
  readonly isPresented: boolean
}

/** Shakes hands with `server`, wherever it shall be. */
export async function ask(
  server: Authority,
  { client: given, connect, isPresented }: Asking,
): Promise<ServerPins> {
  let options = given
  if (connect !== undefined) {
    const addresses = await lookup(bare(connect.host), { all: true }).catch((cause: unknown) => {
      throw Object.assign(new Error(`no address of ${connect.host}`, { cause }), {
        code: 'ERR_DNS',
      })
    })
    options = { ...options, lookup: { [bare(server.host)]: addresses.map((of) => of.address) } }
  }
  const client = new Client(options)
  try {
    return await client.serverPins(format({ ...server, port: connect?.port ?? server.port }), {
      presented: isPresented,
    })
  } finally {
    await client.close({ force: true })
  }
}
