import https from 'node:https'
import { gunzipSync } from 'node:zlib'
import { carryOut } from '../plan.mjs'
import { pinned } from './pin.mjs'
import { saved } from './undici.mjs'

await carryOut((plan) => {
  if (plan.http2 || plan.proxy !== null) throw new Error('it has neither HTTP/2 nor proxies')
  const agent = new https.Agent({
    keepAlive: true,
    maxSockets: plan.task === 'held' ? Infinity : plan.concurrency,
    ...pinned(plan),
  })
  const send = (url, method, body) =>
    new Promise((resolve, reject) => {
      https.request(url, { agent, method }, resolve).on('error', reject).end(body)
    })
  const whole = async (response) => {
    const pieces = []
    for await (const piece of response) pieces.push(piece)
    return Buffer.concat(pieces)
  }
  return {
    async text(url) {
      return (await whole(await send(url, 'GET'))).toString().length
    },
    async post(url, body) {
      return (await whole(await send(url, 'POST', body))).toString().length
    },
    async json(url) {
      return JSON.parse(gunzipSync(await whole(await send(url, 'GET'))).toString()).length
    },
    async buffer(url) {
      return (await whole(await send(url, 'GET'))).length
    },
    async stream(url) {
      let bytes = 0
      for await (const piece of await send(url, 'GET')) bytes += piece.length
      return bytes
    },
    save: (url, path) => saved(send(url, 'GET'), path),
  }
})
