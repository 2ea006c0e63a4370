import { createHash, X509Certificate } from 'node:crypto'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { Agent } from 'undici'
import type { Plan } from '../plan.ts'

/** An undici agent that pins in the way its users do: the end entity's key, in `checkServerIdentity`. */
export function pinnedAgent(plan: Plan): Agent {
  const wanted = plan.pin.slice('sha256/'.length)
  return new Agent({
    allowH2: plan.http2,
    connections: plan.http2 ? 1 : plan.concurrency,
    pipelining: plan.http2 ? plan.concurrency : 1,
    connect: {
      ca: plan.ca,
      lookup: (_hostname, options, callback) => {
        if (options.all === true) {
          callback(null, [{ address: '127.0.0.1', family: 4 }])
        } else {
          callback(null, '127.0.0.1', 4)
        }
      },
      checkServerIdentity: (hostname: string, certificate: PeerCertificate) => {
        const mismatch = checkServerIdentity(hostname, certificate)
        if (mismatch !== undefined) {
          return mismatch
        }
        const { publicKey } = new X509Certificate(certificate.raw)
        const spki = publicKey.export({ type: 'spki', format: 'der' })
        const found = createHash('sha256').update(spki).digest('base64')
        return found === wanted ? undefined : new Error(`bad pin ${found}`)
      },
    },
  })
}
