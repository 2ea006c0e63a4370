// How Node's users pin: the end entity's key, in `checkServerIdentity`.
import { createHash, X509Certificate } from 'node:crypto'
import { checkServerIdentity } from 'node:tls'

/** TLS options of Node, Bun and undici that trust the plan's root and accept its pin alone. */
export function pinned(plan) {
  const wanted = plan.pin.slice('sha256/'.length)
  return {
    ca: plan.ca,
    lookup,
    checkServerIdentity(hostname, certificate) {
      const mismatch = checkServerIdentity(hostname, certificate)
      if (mismatch !== undefined) return mismatch
      const { publicKey } = new X509Certificate(certificate.raw)
      const spki = publicKey.export({ type: 'spki', format: 'der' })
      const found = createHash('sha256').update(spki).digest('base64')
      return found === wanted ? undefined : new Error(`bad pin ${found}`)
    },
  }
}

/** Node's `dns.lookup` for a world with one address. */
export function lookup(_hostname, options, callback) {
  if (options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }])
  else callback(null, '127.0.0.1', 4)
}
