import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What an nginx shall be. */
export interface NginxOptions<Name extends string> {
  /** The listeners: each gets a free port of loopback, which its `server` block is given. */
  servers: Record<Name, (port: number) => string>
  /** Files in its folder, which `root` and relative paths mean: certificates, keys, what it serves. */
  files: Record<string, string | Buffer>
  /** Directives of the `http` block, before the servers. */
  http?: string
  /** The core that it runs on; any by default. */
  core?: number
}

/** A running nginx. */
export interface Nginx<Name extends string> extends AsyncDisposable {
  ports: Record<Name, number>
  /** Its folder: logs that it writes are there. */
  folder: string
  /** Has it read `files` again, new ones in their place; connections that there are end in an orderly way. */
  reload(files: Record<string, string | Buffer>): Promise<void>
  close(): Promise<void>
}

/** Starts nginx with one worker in a folder of its own; rejects with its error log when it doesn't start. */
export async function startNginx<Name extends string>(
  options: NginxOptions<Name>,
): Promise<Nginx<Name>> {
  const folder = await mkdtemp(join(tmpdir(), 'pinfetch-nginx-'))
  const ports = {} as Record<Name, number> // filled below, a port for each name
  const servers: string[] = []
  for (const name of Object.keys(options.servers) as Name[]) {
    ports[name] = await freePort()
    servers.push(options.servers[name](ports[name]))
  }
  for (const [name, content] of Object.entries(options.files)) {
    await writeFile(join(folder, name), content)
  }
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off;
worker_processes 1;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid pid;
error_log error.log;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  root ${folder};
  ${options.http ?? ''}
  ${servers.join('\n  ')}
}
`,
  )
  const command = ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'error.log']
  const [program = '', ...rest] =
    options.core === undefined ? command : ['taskset', '-c', String(options.core), ...command]
  const child = spawn(program, rest, { stdio: 'ignore' })
  const failed = once(child, 'error').then(([cause]) => {
    throw new Error(`${program} cannot be run: apt-get install nginx-light`, { cause })
  })
  const ended = once(child, 'exit').then(async () => {
    const log = await readFile(join(folder, 'error.log'), 'utf8').catch(() => '')
    throw new Error(`nginx has ended: ${log}`)
  })
  ended.catch(() => {}) // it also ends when it is closed
  failed.catch(() => {})
  await Promise.race([
    failed,
    ended,
    Promise.all(Object.values<number>(ports).map((port) => listening(port))),
  ])
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    await rm(folder, { recursive: true, force: true })
  }
  const reload = async (files: Record<string, string | Buffer>) => {
    for (const [name, content] of Object.entries(files))
      await writeFile(join(folder, name), content)
    child.kill('SIGHUP')
  }
  return { ports, folder, reload, close, [Symbol.asyncDispose]: close }
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
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const socket = connect(port, '127.0.0.1')
    const answered = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    socket.destroy()
    if (answered) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`nobody listens at port ${port}`)
}
