import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { sharedKit, standardPki } from './testkit.js'

/** A server of Node's that speaks HTTP/2 over TLS, with a certificate of the kit's. */
export interface Http2Server {
  readonly server: Http2SecureServer
  readonly url: string
  /** What clients need to reach and trust it. */
  readonly ca: string
  readonly lookup: { readonly [hostname: string]: string }
  close(): void
}

export async function startHttp2Server(
  answer: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
): Promise<Http2Server> {
  const { hostname, certificates, ca } = await standardPki(sharedKit())
  const cert = certificates.leaf.pem + certificates.a1.pem
  const server = createSecureServer(
    { cert, key: certificates.leaf.keyPem, allowHTTP1: true },
    answer,
  )
  const sessions = new Set<{ destroy(): void }>()
  server.on('session', (session) => {
    sessions.add(session)
    session.on('error', () => {})
    session.on('close', () => sessions.delete(session))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    server,
    url: `https://${hostname}:${(server.address() as AddressInfo).port}`,
    ca,
    lookup: { [hostname]: '127.0.0.1' },
    close() {
      for (const session of sessions) session.destroy()
      server.close()
    },
  }
}
