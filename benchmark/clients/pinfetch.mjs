import { Client } from '../../dist/esm/index.js'
import { carryOut } from '../plan.mjs'
import { lookup } from './pin.mjs'

await carryOut((plan) => {
  const client = new Client({
    pins: { [plan.task === 'hosts' ? `**.${plan.hostname}` : plan.hostname]: [plan.pin] },
    ca: plan.ca,
    lookup: plan.task === 'hosts' ? lookup : { [plan.hostname]: '127.0.0.1' },
    http2: plan.http2,
    connections: Math.max(128, plan.task === 'held' ? plan.requests : 0), // 128 is the default
    proxy: plan.proxy,
  })
  return {
    async text(url) {
      return (await (await client.get(url)).text()).length
    },
    async post(url, body) {
      return (await (await client.post(url, { body })).text()).length
    },
    async json(url) {
      return (await (await client.get(url)).json()).length
    },
    async buffer(url) {
      return (await (await client.get(url)).bytes()).length
    },
    async stream(url) {
      let bytes = 0
      for await (const piece of (await client.get(url)).body) bytes += piece.length
      return bytes
    },
    async save(url, path) {
      return (await client.get(url)).saveTo(path)
    },
  }
})
