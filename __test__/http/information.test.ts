import { expect, test } from 'vitest'
import { Client, type Information } from '../../src/index.js'
import { startRaw } from '../raw.js'
import { END_STREAM, field, frame, headers, OK, startRawHttp2 } from '../raw-http2.js'

const FINE = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.js>\r\n\r\n'

/** What a handler hears: a status and the `link` fields each. */
function listener(): { heard: [number, string[]][]; listen: (information: Information) => void } {
  const heard: [number, string[]][] = []
  return {
    heard,
    listen: ({ status, headers }) => heard.push([status, headers.getAll('link')]),
  }
}

test('interim responses are told in their order, before the response', async () => {
  await using server = await startRaw((socket) =>
    socket.write(
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${HINTS}HTTP/1.1 199 Odd\r\n\r\n${FINE}`,
    ),
  )
  await using client = new Client()
  const { heard, listen } = listener()
  let heardBefore = 0
  const pending = client.get(server.url, { onInformation: listen }).then((response) => {
    heardBefore = heard.length
    return response
  })
  expect(await (await pending).text()).toBe('ok')
  expect(heardBefore).toBe(4)
  expect(heard).toEqual([
    [100, []],
    [102, []],
    [103, ['</a.css>; rel=preload', '</b.js>']],
    [199, []],
  ])
  expect(await (await client.get(server.url)).text()).toBe('ok') // who doesn't ask isn't told
  expect(heard).toHaveLength(4)
})

test('an early hint is told while the response is still to come', async () => {
  let answer = () => {}
  await using server = await startRaw((socket) => {
    answer = () => socket.write(FINE)
    socket.write(HINTS)
  })
  await using client = new Client()
  const response = await client.get(server.url, {
    onInformation: ({ headers }) => {
      expect(headers.get('link')).toBe('</a.css>; rel=preload, </b.js>')
      answer() // or no response would ever come
    },
  })
  expect(await response.text()).toBe('ok')
})

test('each hop of a redirect is listened to', async () => {
  await using server = await startRaw((socket, head) =>
    socket.write(
      head.startsWith('GET / ')
        ? `${HINTS}HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n`
        : `HTTP/1.1 102 Processing\r\n\r\n${FINE}`,
    ),
  )
  await using client = new Client()
  const { heard, listen } = listener()
  const response = await client.get(server.url, { onInformation: listen })
  expect(response.redirected).toBe(true)
  expect(heard.map(([status]) => status)).toEqual([103, 102])
})

test('32 interim responses may precede a response, and no more', async () => {
  let count = 32
  await using server = await startRaw((socket) => socket.write(HINTS.repeat(count) + FINE))
  await using client = new Client()
  const { heard, listen } = listener()
  expect((await client.get(server.url, { onInformation: listen })).status).toBe(200)
  expect(heard).toHaveLength(32)
  count = 33
  await expect(client.get(server.url, { onInformation: listen })).rejects.toMatchObject({
    code: 'ERR_HTTP_PROTOCOL',
    message: expect.stringContaining('more than 32 interim responses'),
  })
  expect(heard).toHaveLength(64)
})

test('a request that was given up hears nothing more', async () => {
  const controller = new AbortController()
  await using server = await startRaw((socket) => socket.write(HINTS + HINTS))
  await using client = new Client()
  let calls = 0
  const given = client.get(server.url, {
    signal: controller.signal,
    onInformation: () => {
      calls += 1
      controller.abort()
    },
  })
  await expect(given).rejects.toMatchObject({ name: 'AbortError' })
  expect(calls).toBe(1)
})

test.each([
  [
    'throws',
    () => {
      throw new Error('handler broke')
    },
  ],
  ['rejects', () => Promise.reject(new Error('handler broke'))],
])('a handler that %s makes a warning, and the response comes', async (_what, onInformation) => {
  await using server = await startRaw((socket) => socket.write(HINTS + FINE))
  await using client = new Client()
  const seen: Error[] = []
  const listen = (warning: Error) => seen.push(warning)
  process.on('warning', listen)
  try {
    expect(await (await client.get(server.url, { onInformation })).text()).toBe('ok')
    await new Promise((resolve) => setImmediate(resolve))
  } finally {
    process.off('warning', listen)
  }
  expect(seen).toEqual([
    expect.objectContaining({
      name: 'PinfetchWarning',
      code: 'PINFETCH_HANDLER',
      message: expect.stringContaining('the onInformation handler failed: Error: handler broke'),
    }),
  ])
})

test('those of HTTP/2 are told as well, whoever listens', async () => {
  await using server = await startRawHttp2((peer, stream) =>
    peer.write(
      headers(stream, 0, field(':status', '103'), field('link', '</a.css>')),
      headers(stream, 0, field(':status', '102')),
      headers(stream, 0, OK),
      frame(0, END_STREAM, stream, Buffer.from('ok')),
    ),
  )
  const { hostname, ca } = server.pki
  await using client = new Client({ ca, lookup: { [hostname]: '127.0.0.1' } })
  const { heard, listen } = listener()
  const response = await client.get(server.url, { onInformation: listen })
  expect([await response.text(), response.httpVersion]).toEqual(['ok', '2'])
  expect(heard).toEqual([
    [103, ['</a.css>']],
    [102, []],
  ])
  expect(await (await client.get(server.url)).text()).toBe('ok') // nobody listens
})
