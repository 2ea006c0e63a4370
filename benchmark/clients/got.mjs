import https from 'node:https'
import got from 'got'
import { carryOut } from '../plan.mjs'
import { pinned } from './pin.mjs'
import { saved } from './undici.mjs'

await carryOut((plan) => {
  if (plan.http2 || plan.proxy !== null)
    throw new Error('it has neither HTTP/2 nor proxies without further packages')
  const { ca, lookup, checkServerIdentity } = pinned(plan)
  const maxSockets = plan.task === 'held' ? Infinity : plan.concurrency
  const client = got.extend({
    https: { certificateAuthority: ca, checkServerIdentity },
    dnsLookup: lookup,
    agent: { https: new https.Agent({ keepAlive: true, maxSockets }) },
    retry: { limit: 0 },
  })
  return {
    async text(url) {
      return (await client(url).text()).length
    },
    async post(url, body) {
      return (await client.post(url, { body }).text()).length
    },
    async json(url) {
      return (await client(url).json()).length
    },
    async buffer(url) {
      return (await client(url).buffer()).length
    },
    async stream(url) {
      let bytes = 0
      for await (const piece of client.stream(url)) bytes += piece.length
      return bytes
    },
    save: (url, path) => saved(client.stream(url), path),
  }
})
