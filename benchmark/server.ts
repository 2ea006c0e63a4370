import { readFile, truncate } from 'node:fs/promises'
import { request } from 'node:http'
import { gzipSync } from 'node:zlib'
import { startNginx } from '../__test__/nginx.ts'

/** What a listener does with connections. */
export type Listener = 'http1' | 'http2' | 'cold' | 'resumed'

/** What reached the server. */
export interface Counts {
  accepted: number
  /** Of the listeners that close after each response: handshakes in full, and those that resumed a session. */
  full: number
  resumed: number
}

/** The nginx that every client is measured against, on a core of its own. */
export interface Server {
  ports: Record<Listener, number>
  /** What has reached it since this was last asked. */
  counts(): Promise<Counts>
  close(): Promise<void>
}

export const MEBIBYTE = 1024 * 1024
/** Paths and the length of what a client makes of each: characters, bytes, items of JSON. */
export const PATHS = {
  '/small': 1024,
  '/post': 2,
  '/items': 1000,
  '/large': 64 * MEBIBYTE,
} as const

/**
 * Starts the server.
 *
 * @param chain PEM: end entity first, then intermediates
 * @param key PEM of the end entity's private key
 */
export async function startServer(chain: string, key: string, core: number): Promise<Server> {
  // `return` and `alias` want a place of their own in each server
  const places = `location = /post { return 200 "ok"; }
    location = /items { rewrite ^ /items.gz break; default_type application/json; add_header Content-Encoding gzip; }`
  const closing = (port: number, tickets: 'on' | 'off') =>
    `server { listen 127.0.0.1:${port} ssl backlog=4096; keepalive_timeout 0; ssl_session_tickets ${tickets}; access_log handshakes.log handshake; ${places} }`
  const nginx = await startNginx({
    core,
    files: {
      'chain.pem': chain,
      'key.pem': key,
      small: 'x'.repeat(PATHS['/small']),
      'items.gz': gzipSync(items()),
      large: Buffer.alloc(PATHS['/large'], 'x'),
      'handshakes.log': '',
    },
    http: `ssl_certificate chain.pem;
  ssl_certificate_key key.pem;
  ssl_protocols TLSv1.3;
  ssl_session_cache off;
  ssl_session_tickets off;
  keepalive_requests 100000000;
  keepalive_timeout 600;
  open_file_cache max=10;
  log_format handshake "$ssl_session_reused";
  types { } default_type text/plain;`,
    servers: {
      http1: (port) => `server { listen 127.0.0.1:${port} ssl backlog=4096; ${places} }`,
      http2: (port) => `server { listen 127.0.0.1:${port} ssl http2 backlog=4096; ${places} }`,
      cold: (port) => closing(port, 'off'),
      resumed: (port) => closing(port, 'on'),
      status: (port) => `server { listen 127.0.0.1:${port}; location / { stub_status; } }`,
    },
  })
  const accepted = async () => {
    const [, count = ''] =
      /accepts handled requests\s+(\d+)/.exec(await get(nginx.ports.status)) ?? []
    return Number(count)
  }
  let last = await accepted()
  const log = `${nginx.folder}/handshakes.log`
  return {
    ports: nginx.ports,
    async counts() {
      const now = await accepted()
      const handshakes = await readFile(log, 'latin1')
      await truncate(log)
      const resumed = handshakes.split('r\n').length - 1
      const lines = handshakes.split('\n').length - 1
      const counts = { accepted: now - last - 1, full: lines - resumed, resumed } // less the question itself
      last = now
      return counts
    },
    close: nginx.close,
  }
}

/** About 100 KiB of JSON. */
function items(): string {
  const item = (id: number) => ({
    id,
    name: `item number ${id}`,
    price: id * 1.25,
    available: id % 3 > 0,
    tags: ['first', 'second'],
  })
  return JSON.stringify(Array.from({ length: PATHS['/items'] }, (_, id) => item(id)))
}

function get(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      response.on('end', () => resolve(text)).on('error', reject)
    })
    asked.on('error', reject).end()
  })
}
