import { Client } from 'pinfetch'
import { describe, test } from 'vitest'
import { type Nginx, startNginx } from '../nginx.js'
import { type Pki, type Role, sharedKit, standardPki } from '../testkit.js'
import { type Drill, rotate, rotateUnprepared } from './drill.ts'

const CERTIFICATE = 'server.pem'
const KEY = 'server.key'

/** A server whose connections end after 20 requests, in an orderly way. */
function start(pki: Pki, http2: boolean): Promise<Nginx<'server'>> {
  return startNginx({
    servers: {
      server: (port) => `server {
        listen 127.0.0.1:${port} ssl ${http2 ? 'http2' : ''};
        keepalive_requests 20;
        ssl_certificate ${CERTIFICATE};
        ssl_certificate_key ${KEY};
        location / { return 200 "hello"; }
      }`,
    },
    files: identity(pki, 'leaf'),
  })
}

function identity({ certificates }: Pki, role: Role): Record<string, string> {
  const { pem, keyPem } = certificates[role]
  return { [CERTIFICATE]: pem + certificates.a1.pem, [KEY]: keyPem }
}

function drillOf(pki: Pki, nginx: Nginx<'server'>): Drill {
  const { hostname, ca, certificates } = pki
  const url = `https://${hostname}:${nginx.ports.server}/`
  const lookup = { [hostname]: '127.0.0.1' }
  return {
    hostname,
    url,
    farewell: url,
    methods: ['GET'], // an idle connection that nginx closes may have a request on its way: one of these is sent again
    currentPin: certificates.leaf.pin,
    nextPin: certificates.nextLeaf.pin,
    client: (live) => new Client({ ca, lookup, pins: live, connections: 16 }),
    switchCertificate: () => nginx.reload(identity(pki, 'nextLeaf')),
  }
}

describe.each([true, false])('nginx, HTTP/2 %s, with 64 requests in flight', (http2) => {
  test('reloads with the next key, pin by pin, and no request fails', async () => {
    const pki = await standardPki(sharedKit())
    await using nginx = await start(pki, http2)
    await rotate(drillOf(pki, nginx))
  })

  test('reloads with a key that was not pinned before, and no request passes', async () => {
    const pki = await standardPki(sharedKit())
    await using nginx = await start(pki, http2)
    await rotateUnprepared(drillOf(pki, nginx))
  })
})
