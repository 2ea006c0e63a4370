import { startNginx } from '../__test__/nginx.ts'

/** The nginx that every client is measured against, on its own core. */
export interface Server {
  /** Keeps connections alive; speaks HTTP/1.1 or HTTP/2 by ALPN. */
  port: number
  /** The same with HTTP/1.1 only. */
  http1Port: number
  /** Closes after each response and resumes no session: each request is a cold handshake. */
  coldPort: number
  close(): Promise<void>
}

/**
 * Starts the server.
 *
 * @param chain PEM: end entity first, then intermediates
 * @param key PEM of the end entity's private key
 * @param body what `/index.html` answers with
 */
export async function startServer(chain: string, key: string, body: string): Promise<Server> {
  const nginx = await startNginx({
    core: 0,
    files: { 'chain.pem': chain, 'key.pem': key, 'index.html': body },
    http: `ssl_certificate chain.pem;
  ssl_certificate_key key.pem;
  ssl_protocols TLSv1.3;
  ssl_session_cache off;
  ssl_session_tickets off;
  keepalive_requests 100000000;
  open_file_cache max=10;`,
    servers: {
      both: (port) => `server { listen 127.0.0.1:${port} ssl http2 backlog=4096; }`,
      http1: (port) => `server { listen 127.0.0.1:${port} ssl backlog=4096; }`,
      cold: (port) => `server { listen 127.0.0.1:${port} ssl backlog=4096; keepalive_timeout 0; }`,
    },
  })
  const { both, http1, cold } = nginx.ports
  return { port: both, http1Port: http1, coldPort: cold, close: nginx.close }
}
