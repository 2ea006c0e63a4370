import { carryOut } from '../plan.mjs'
import { pinned } from './pin.mjs'
import { byFetch } from './undici.mjs'

await carryOut((plan) => {
  if (plan.http2) throw new Error('its fetch has no HTTP/2')
  const { ca, checkServerIdentity } = pinned(plan)
  return byFetch(fetch, {
    tls: { ca, checkServerIdentity },
    ...(plan.proxy === null ? {} : { proxy: plan.proxy }),
  })
})
