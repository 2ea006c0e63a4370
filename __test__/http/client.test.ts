import { channel } from 'node:diagnostics_channel'
import { describe, expect, test, vi } from 'vitest'
import { AbortError, Client, type ConnectionOpenMessage } from '../../src/index.js'
import { clientOf } from '../clients.js'
import { startGenuine, startInterceptor } from '../testkit.js'

interface Echo {
  method: string
  path: string
  headers: [string, string][]
  body: string
}

describe.each([
  ['HTTP/1.1', ['http/1.1'] as const, '1.1'],
  ['HTTP/2', ['h2'] as const, '2'],
])('over %s', (_name, alpn, httpVersion) => {
  test('a pinned request is answered, and tells how it was proved', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server)

    const response = await client.get(server.at('/bytes/1024'))

    expect(response).toMatchObject({
      status: 200,
      ok: true,
      httpVersion,
      url: server.at('/bytes/1024'),
    })
    expect(response.tls).toMatchObject({
      protocol: 'TLSv1.3',
      alpn: httpVersion === '2' ? 'h2' : 'http/1.1',
      resumed: false,
      matchedPin: server.leafPin,
    })
    expect(response.tls.verifiedPath.map(({ pin }) => pin)).toEqual(server.pathPins)
    expect(response.tls.verifiedPath.map(({ role }) => role)).toEqual([
      'end entity',
      'intermediate',
      'trust anchor',
    ])
    expect(response.remoteAddress).toBe(`127.0.0.1:${server.port}`)
    expect(response.headers.get('content-length')).toBe('1024')
    expect((await response.text()).length).toBe(1024)
  })

  test('method, fields and body arrive as they were given', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server, { headers: { 'x-default': 'd', 'x-both': 'client' } })

    const response = await client.post(server.at('/echo?q=1'), {
      headers: { 'X-Both': 'request', 'x-repeat': ['1', '2'] },
      body: 'grüße',
    })

    const echo = (await response.json()) as Echo
    expect(echo).toMatchObject({ method: 'POST', path: '/echo?q=1' })
    expect(Buffer.from(echo.body, 'base64').toString()).toBe('grüße')
    const sent = (name: string) =>
      echo.headers.filter(([key]) => key === name).map(([, value]) => value)
    expect(sent('x-default')).toEqual(['d'])
    expect(sent('x-both')).toEqual(['request'])
    expect(sent('x-repeat')).toEqual(['1', '2'])
    expect(sent('content-type')).toEqual(['text/plain;charset=UTF-8'])
  })

  test.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'])(
    '%s is sent',
    async (method) => {
      await using server = await startGenuine({ alpn })
      await using client = clientOf(server)
      const response = await client.request(server.at('/echo'), { method })
      expect(response.status).toBe(200)
      if (method === 'HEAD') expect(await response.text()).toBe('')
      else expect(await response.json()).toMatchObject({ method })
    },
  )

  test('bodies of every size arrive whole, inline or apart', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server)
    const sizes = [0, 1, 65_535, 65_536, 65_537, 300_000, 5_000_000]
    const bodies = await Promise.all(
      sizes.map(async (size) => (await client.get(server.at(`/bytes/${size}`))).bytes()),
    )
    for (const [index, size] of sizes.entries()) {
      const body = bodies[index] ?? new Uint8Array()
      expect(body.length).toBe(size)
      const sample = Math.max(0, size - 1)
      if (size > 0)
        expect(String.fromCharCode(body[sample] ?? 0).toLowerCase()).toBe(
          'abcdefghijklmnopqrstuvwxyz'[sample % 26],
        )
    }
    const sent = Buffer.alloc(1_000_000, 'pinfetch')
    const echo = (await (await client.put(server.at('/echo'), { body: sent })).json()) as Echo
    expect(Buffer.from(echo.body, 'base64').equals(sent)).toBe(true)
  })

  test('many responses that are kept are each their own', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server)
    const sizes = Array.from({ length: 200 }, (_, index) => 1000 + index)
    const responses = await Promise.all(
      sizes.map((size) => client.get(server.at(`/bytes/${size}`))),
    )
    await new Promise((resolve) => setTimeout(resolve, 5)) // the batches are over: each has copied its part
    for (const [index, response] of responses.entries()) {
      expect((await response.bytes()).length).toBe(sizes[index])
      expect(response.headers.get('content-length')).toBe(String(sizes[index]))
    }
  })

  test('a signal gives a request up, with its reason', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server)
    const controller = new AbortController()
    const slow = client.get(server.at('/slow/20000'), { signal: controller.signal })
    const other = client.get(server.at('/bytes/10'), { signal: controller.signal })
    await other
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(slow).rejects.toBe(reason)
    expect((await client.get(server.at('/bytes/3'))).status).toBe(200)
  })

  test('a time limit covers the whole request', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server, { timeout: 20_000 })
    await expect(client.get(server.at('/slow/20000'), { timeout: 150 })).rejects.toMatchObject({
      name: 'TimeoutError',
      code: 'ERR_TIMEOUT',
      limit: 150,
    })
    await using impatient = clientOf(server, { timeout: 150 })
    await expect(impatient.get(server.at('/slow/20000'))).rejects.toMatchObject({
      code: 'ERR_TIMEOUT',
      limit: 150,
    })
    expect((await impatient.get(server.at('/slow/400'), { timeout: 0 })).status).toBe(200)
  })

  test('a body past the limit is refused', async () => {
    await using server = await startGenuine({ alpn })
    await using client = clientOf(server, { maxResponseBytes: 1000 })
    for (const path of ['/bytes/1001', '/chunked/1001']) {
      const read = client.get(server.at(path)).then((response) => response.bytes())
      await expect(read, path).rejects.toMatchObject({
        code: 'ERR_HTTP_BODY_TOO_LARGE',
        limit: 1000,
      })
    }
    expect((await (await client.get(server.at('/bytes/1000'))).bytes()).length).toBe(1000)
  })
})

test('a signal that has fired already sends nothing', async () => {
  await using server = await startGenuine()
  await using client = clientOf(server)
  const reason = new Error('too late')
  await expect(client.get(server.url, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  await expect(client.get(server.url, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    name: 'AbortError',
  })
  expect(await server.stats()).toMatchObject({ accepted: 0 })
})

test.each([
  ['before the request', true],
  ['while it is sent', false],
])('a signal without a reason, which fires %s, ends in an AbortError', async (_when, aborted) => {
  await using server = await startGenuine()
  await using client = clientOf(server)
  // what programs had before AbortSignal knew reasons
  const signal = Object.assign(new EventTarget(), { aborted }) as AbortSignal
  const request = client.get(server.at('/slow/60000'), { signal })
  signal.dispatchEvent(new Event('abort'))
  await expect(request).rejects.toThrow(AbortError)
  await expect(request).rejects.toMatchObject({ code: 'ABORT_ERR' })
})

test('a signal without a reason, which fires while a body is read, ends in an AbortError', async () => {
  await using server = await startGenuine()
  await using client = clientOf(server)
  const signal = Object.assign(new EventTarget(), { aborted: false }) as unknown as AbortSignal
  const response = await client.get(server.at('/bytes/100000000'), { signal })
  const reading = response.bytes()
  signal.dispatchEvent(new Event('abort'))
  await expect(reading).rejects.toThrow(AbortError)
})

test('the URL of a response is in canonical form, without a fragment', async () => {
  await using server = await startGenuine()
  await using client = clientOf(server)
  const plain = server.at('/a')
  const odd = plain.replace('https://', 'HTTPS://').replace(/a$/, 'b/../a')
  for (const url of [plain, `${plain}#f`, `${odd}#f`, odd]) {
    expect((await client.get(url)).url).toBe(plain)
  }
})

test('misuse rejects and never throws', async () => {
  await using server = await startGenuine()
  await using client = clientOf(server)
  for (const [input, init] of [
    [7, undefined],
    [server.url, { headers: { 'x y': '1' } }],
    [server.url, { headers: { host: 'other.example.test' } }],
    [server.url, { headers: { 'content-length': '7' } }],
  ]) {
    const promise = client.fetch(input as never, init as never)
    await expect(promise).rejects.toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARGUMENT' })
  }
  await expect(client.get('ftp://api.example.test/')).rejects.toMatchObject({
    name: 'TypeError',
    code: 'ERR_INVALID_URL',
  })
  await expect(client.get('/relative')).rejects.toMatchObject({ code: 'ERR_INVALID_URL' })
  const long = `https://api.example.test/${'a'.repeat(1_000_000)}`
  await expect(client.get(long)).rejects.toMatchObject({
    message: `invalid URL "${long.slice(0, 200)}"… (1000025 bytes): uri too long`,
    code: 'ERR_INVALID_URL',
    input: long,
  })
  expect(await server.stats()).toMatchObject({ accepted: 0 })
})

test('an answer names no request that was given up and another begun since', async () => {
  await using server = await startGenuine({ alpn: ['h2'] })
  await using client = clientOf(server)
  await client.get(server.url)
  for (let round = 0; round < 200; round++) {
    const controller = new AbortController()
    const dropped = client.get(server.at('/bytes/7'), { signal: controller.signal })
    if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    const kept = client.get(server.at(`/bytes/${1000 + round}`))
    await dropped.then(
      () => {},
      () => {},
    )
    expect((await (await kept).bytes()).length).toBe(1000 + round)
  }
})

describe('fetchAll', () => {
  test('gives every result as it finishes, errors included, with its place', async () => {
    await using server = await startGenuine()
    await using client = clientOf(server)
    const inputs = [
      server.at('/slow/300'),
      server.at('/bytes/5'),
      'nonsense',
      { url: server.at('/echo'), method: 'POST', body: 'x' },
    ]
    const order: number[] = []
    for await (const { index, request, response, error } of client.fetchAll(inputs)) {
      order.push(index)
      expect(request).toBe(inputs[index])
      if (index === 2) expect(error).toMatchObject({ code: 'ERR_INVALID_URL' })
      else expect(response?.status).toBe(200)
    }
    expect(order.toSorted()).toEqual([0, 1, 2, 3])
    expect(order.at(-1)).toBe(0)
  })

  test('pulls its input only as fast as results are consumed', async () => {
    await using server = await startGenuine()
    await using client = clientOf(server)
    let pulled = 0
    function* urls() {
      for (;;) {
        pulled += 1
        yield server.at('/bytes/1')
      }
    }
    const results = client.fetchAll(urls(), { concurrency: 4 })
    expect(pulled).toBe(0)
    let consumed = 0
    for await (const _result of results) {
      consumed += 1
      expect(pulled).toBeLessThanOrEqual(consumed + 4)
      if (consumed === 50) break
    }
  })

  test('leaving the loop gives up what is in flight and ends the input', async () => {
    await using server = await startGenuine()
    const client = clientOf(server)
    let isEnded = false
    async function* urls() {
      try {
        yield server.at('/bytes/1')
        for (;;) yield server.at('/slow/20000')
      } finally {
        isEnded = true
      }
    }
    for await (const _result of client.fetchAll(urls(), { concurrency: 8 })) break
    expect(isEnded).toBe(true)
    await client.close() // resolves, since nothing is in flight
  })

  test('an input that fails comes after the results of what had begun', async () => {
    await using server = await startGenuine()
    await using client = clientOf(server)
    async function* urls() {
      yield server.at('/bytes/1')
      yield server.at('/bytes/2')
      throw new Error('no more input')
    }
    const seen: number[] = []
    const loop = async () => {
      for await (const { index } of client.fetchAll(urls())) seen.push(index)
    }
    await expect(loop()).rejects.toThrow('no more input')
    expect(seen.toSorted()).toEqual([0, 1])
  })

  test.each([0, -1, 1.5, '4'])('a concurrency of %j is refused', async (concurrency) => {
    await using client = new Client()
    expect(() => client.fetchAll([], { concurrency: concurrency as number })).toThrow(
      /concurrency is/,
    )
  })
})

describe('close', () => {
  test('waits for what is in flight, and takes no more', async () => {
    await using server = await startGenuine()
    const client = clientOf(server)
    const slow = client.get(server.at('/slow/300'))
    let isOver = false
    void slow.then(() => {
      isOver = true
    })
    const closing = client.close()
    await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_CLIENT_CLOSED' })
    await expect(client.setPins({})).rejects.toMatchObject({ code: 'ERR_CLIENT_CLOSED' })
    await closing
    expect((await slow).status).toBe(200)
    expect(isOver).toBe(true)
    await client.close()
    expect(await server.stats({ settle: 2000 })).toMatchObject({ open: 0 })
  })

  test('by force gives it up, even while another close waits', async () => {
    await using server = await startGenuine()
    for (const waits of [false, true]) {
      const client = clientOf(server)
      const slow = client.get(server.at('/slow/20000'))
      const refused = expect(slow).rejects.toMatchObject({ code: 'ERR_CLIENT_CLOSED' })
      await new Promise((resolve) => setTimeout(resolve, 100))
      if (waits) void client.close()
      await client.close({ force: true })
      await refused
    }
  })
})

test('serverPins tells the verified path, or what is presented', async () => {
  await using server = await startGenuine()
  await using client = new Client({ ca: server.ca, lookup: server.lookup })
  const authority = `${server.hostname}:${server.port}`
  const verified = await client.serverPins(authority)
  expect(verified).toMatchObject({ verified: true, remoteAddress: `127.0.0.1:${server.port}` })
  expect(verified.path.map(({ pin }) => pin)).toEqual(server.pathPins)
  await using stranger = new Client({ lookup: server.lookup })
  await expect(stranger.serverPins(authority)).rejects.toMatchObject({
    code: 'ERR_CERT_UNKNOWN_ISSUER',
  })
  const presented = await stranger.serverPins(authority, { presented: true })
  expect(presented.verified).toBe(false)
  expect(presented.path.map(({ pin }) => pin)).toEqual(server.pathPins.slice(0, 2))
  expect(await server.applicationBytes()).toBe(0)
})

test('a lookup function says where hosts are, and its failure is told', async () => {
  await using server = await startGenuine()
  const asked: string[] = []
  await using client = clientOf(server, {
    lookup: (hostname, options, callback) => {
      asked.push(`${hostname} ${options.all}`)
      setImmediate(callback, null, [{ address: '127.0.0.1', family: 4 }])
    },
  })
  expect((await client.get(server.url)).status).toBe(200)
  expect(asked).toEqual([`${server.hostname} true`])
  for (const lookup of [
    (_hostname: string, _options: object, callback: (error: Error, addresses: []) => void) =>
      callback(Object.assign(new Error('not here'), { code: 'ENOTFOUND' }), []),
    () => {
      throw Object.assign(new Error('not here'), { code: 'ENOTFOUND' })
    },
    async () => {
      throw Object.assign(new Error('not here'), { code: 'ENOTFOUND' })
    },
  ]) {
    await using failing = clientOf(server, { lookup: lookup as never })
    await expect(failing.get(server.url)).rejects.toMatchObject({
      name: 'DnsError',
      code: 'ERR_DNS',
      systemCode: 'ENOTFOUND',
    })
  }
})

test('diagnostics channels tell of requests, responses, errors and bad pins', async () => {
  await using server = await startGenuine()
  await using interceptor = await startInterceptor({ of: server })
  await using client = clientOf(server)
  const seen: string[] = []
  const names = ['request:create', 'request:response', 'request:error', 'bad-pin'].map(
    (name) => `pinfetch:${name}`,
  )
  const listener = (message: unknown, name: string | symbol) => {
    const { request } = message as { request: { method: string; url: string } }
    seen.push(`${String(name)} ${request.method} ${new URL(request.url).port}`)
  }
  for (const name of names) channel(name).subscribe(listener)
  try {
    await client.get(server.url)
    await client.get(interceptor.url).catch(() => {})
  } finally {
    for (const name of names) channel(name).unsubscribe(listener)
  }
  await client.get(server.url)
  expect(seen).toEqual([
    `pinfetch:request:create GET ${server.port}`,
    `pinfetch:request:response GET ${server.port}`,
    `pinfetch:request:create GET ${interceptor.port}`,
    `pinfetch:bad-pin GET ${interceptor.port}`,
    `pinfetch:request:error GET ${interceptor.port}`,
  ])
})

test('connections are told of when they are new and when they have gone', async () => {
  await using server = await startGenuine()
  await using other = clientOf(server)
  const seen: [string, string, string | null][] = []
  const names = ['pinfetch:connection:open', 'pinfetch:connection:close']
  const listener = (message: unknown, name: string | symbol): void => {
    const { connection } = message as ConnectionOpenMessage
    if (!connection.remoteAddress.endsWith(`:${server.port}`)) return // of another test
    expect(connection.timings.tls).toBeGreaterThan(0)
    seen.push([String(name), connection.remoteAddress, connection.tls.protocol])
  }
  for (const name of names) channel(name).subscribe(listener)
  try {
    {
      await using client = clientOf(server)
      await (await client.get(server.url)).text()
      await (await client.get(server.url)).text()
    }
    // that one has gone is told with something else
    await vi.waitUntil(async () => {
      await (await other.get(server.url)).text()
      return seen.length > 2
    })
  } finally {
    for (const name of names) channel(name).unsubscribe(listener)
  }
  const address = `127.0.0.1:${server.port}`
  expect(seen.sort()).toEqual([
    ['pinfetch:connection:close', address, 'TLSv1.3'],
    ['pinfetch:connection:open', address, 'TLSv1.3'],
    ['pinfetch:connection:open', address, 'TLSv1.3'],
  ])
})
