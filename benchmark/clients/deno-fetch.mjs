// It takes a root of one's own, and no pins.
import { carryOut } from '../plan.mjs'
import { byFetch } from './undici.mjs'

await carryOut((plan) => {
  const client = Deno.createHttpClient({
    caCerts: [plan.ca],
    http1: !plan.http2,
    http2: plan.http2,
    ...(plan.proxy === null ? {} : { proxy: { url: plan.proxy } }),
  })
  return byFetch(fetch, { client })
})
