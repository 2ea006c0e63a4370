import { Client, type ClientOptions } from '../src/index.js'
import type { Endpoint } from './testkit.js'

/** A client that reaches `server`, trusts its authorities and pins its leaf, unless `options` say otherwise. */
export function clientOf(server: Endpoint, options: ClientOptions = {}): Client {
  return new Client({
    ca: server.ca,
    lookup: server.lookup,
    pins: { [server.hostname]: [server.leafPin] },
    ...options,
  })
}
