// A server that says exactly what a test wants said, for what no well-behaved server says.

import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Socket } from 'node:net'

/** A plain TCP server on loopback. */
export interface RawServer extends AsyncDisposable {
  readonly url: string
  /** The header section of each request that came, as it was sent. */
  readonly heads: readonly string[]
  /** Connections that are open. */
  readonly open: ReadonlySet<Socket>
}

/** Answers each header section that comes by calling `answer`; request bodies are not looked at. */
export async function startRaw(answer: (socket: Socket, head: string) => void): Promise<RawServer> {
  const heads: string[] = []
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    let text = ''
    socket.on('error', () => {}) // a client that gives up is part of the game
    socket.on('close', () => open.delete(socket))
    socket.on('data', (data) => {
      text += data.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end)
        text = text.slice(end + 4)
        heads.push(head)
        answer(socket, head)
      }
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/`,
    heads,
    open,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Node's own HTTP/1.1 server, which sends back each request's body while it comes. */
export async function startEcho(): Promise<{ readonly url: string } & AsyncDisposable> {
  const server = createHttpServer((request, response) => {
    request.pipe(response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
