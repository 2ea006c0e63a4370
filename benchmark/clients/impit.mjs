// It takes neither pins nor a root of one's own, and so verifies nothing here.
import { Impit } from 'impit'
import { carryOut } from '../plan.mjs'
import { byFetch } from './undici.mjs'

await carryOut((plan) => {
  const client = new Impit({
    ignoreTlsErrors: true,
    ...(plan.proxy === null ? {} : { proxyUrl: plan.proxy }),
  })
  return byFetch((url, init) => client.fetch(url, init), {})
})
