import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { carryOut } from '../plan.mjs'
import { pinned } from './pin.mjs'

/** undici of any version, by `request` or by `fetch`. */
export async function carryOutWith({ Agent, ProxyAgent, request }, fetch) {
  await carryOut((plan) => {
    const connect = pinned(plan)
    const limits = {
      allowH2: plan.http2,
      connections: plan.http2 ? 1 : plan.concurrency,
      pipelining: plan.http2 ? plan.concurrency : 1,
    }
    const dispatcher =
      plan.proxy === null
        ? new Agent({ ...limits, connect })
        : new ProxyAgent({ ...limits, uri: plan.proxy, requestTls: connect })
    return fetch === undefined ? byRequest(request, dispatcher) : byFetch(fetch, { dispatcher })
  })
}

function byRequest(request, dispatcher) {
  const get = async (url) => (await request(url, { dispatcher })).body
  return {
    async text(url) {
      return (await (await get(url)).text()).length
    },
    async post(url, body) {
      const response = await request(url, { dispatcher, method: 'POST', body })
      return (await response.body.text()).length
    },
    async json(url) {
      // `request` undoes no content coding
      const { gunzipSync } = await import('node:zlib')
      const packed = await (await get(url)).arrayBuffer()
      return JSON.parse(gunzipSync(packed).toString()).length
    },
    async buffer(url) {
      return (await (await get(url)).bytes()).length
    },
    async stream(url) {
      let bytes = 0
      for await (const piece of await get(url)) bytes += piece.length
      return bytes
    },
    save: (url, path) => saved(get(url), path),
  }
}

/** Any `fetch`; `init` holds what makes it pin. */
export function byFetch(fetch, init) {
  const get = (url) => fetch(url, init)
  return {
    async text(url) {
      return (await (await get(url)).text()).length
    },
    async post(url, body) {
      return (await (await fetch(url, { ...init, method: 'POST', body })).text()).length
    },
    async json(url) {
      return (await (await get(url)).json()).length
    },
    async buffer(url) {
      return (await (await get(url)).arrayBuffer()).byteLength
    },
    async stream(url) {
      let bytes = 0
      for await (const piece of (await get(url)).body) bytes += piece.length
      return bytes
    },
    save: (url, path) =>
      saved(
        get(url).then((response) => response.body),
        path,
      ),
  }
}

/** Writes a stream into a file; resolves with its length. */
export async function saved(stream, path) {
  const file = createWriteStream(path)
  await pipeline(await stream, file)
  return file.bytesWritten
}
