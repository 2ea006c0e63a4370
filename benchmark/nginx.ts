import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The nginx that every client is measured against. */
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
 * Starts nginx on free ports of loopback, on its own core.
 *
 * @param chain PEM: end entity first, then intermediates
 * @param key PEM of the end entity's private key
 * @param body what `/` answers with
 */
export async function startNginx(chain: string, key: string, body: string): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'pinfetch-bench-'))
  const [port, http1Port, coldPort] = [await freePort(), await freePort(), await freePort()]
  await writeFile(join(folder, 'chain.pem'), chain)
  await writeFile(join(folder, 'key.pem'), key)
  await writeFile(join(folder, 'index.html'), body)
  await writeFile(
    join(folder, 'nginx.conf'),
    `
daemon off;
worker_processes 1;
user root;
pid ${folder}/pid;
error_log ${folder}/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  ssl_certificate ${folder}/chain.pem;
  ssl_certificate_key ${folder}/key.pem;
  ssl_protocols TLSv1.3;
  ssl_session_cache off;
  ssl_session_tickets off;
  keepalive_requests 100000000;
  root ${folder};
  open_file_cache max=10;
  server { listen 127.0.0.1:${port} ssl http2 backlog=4096; }
  server { listen 127.0.0.1:${http1Port} ssl backlog=4096; }
  server { listen 127.0.0.1:${coldPort} ssl backlog=4096; keepalive_timeout 0; }
}
`,
  )
  const nginx = spawn(
    'taskset',
    ['-c', '0', 'nginx', '-c', join(folder, 'nginx.conf'), '-p', folder],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  )
  nginx.once('error', (error) => {
    throw new Error('nginx and taskset are needed: apt-get install nginx-light util-linux', {
      cause: error,
    })
  })
  await listening(port)
  return {
    port,
    http1Port,
    coldPort,
    async close() {
      nginx.kill('SIGTERM')
      await once(nginx, 'exit')
      await rm(folder, { recursive: true })
    },
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  if (address === null || typeof address === 'string') {
    throw new Error('a TCP server has an address with a port')
  }
  return address.port
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const socket = connect(port, '127.0.0.1')
    const answered = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    socket.destroy()
    if (answered) {
      return
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('nginx did not start; its error log says why')
}
