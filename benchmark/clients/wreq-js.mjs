// It takes neither pins nor a root of one's own, and so verifies nothing here.
import { createSession, createTransport } from 'wreq-js'
import { carryOut } from '../plan.mjs'
import { byFetch } from './undici.mjs'

await carryOut(async (plan) => {
  const transport = await createTransport({
    insecure: true,
    poolMaxIdlePerHost: 1024,
    ...(plan.proxy === null ? {} : { proxy: plan.proxy }),
  })
  const session = await createSession()
  return byFetch((url, init) => session.fetch(url, { ...init, transport }), {})
})
