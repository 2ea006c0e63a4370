import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { CookieJar as ToughJar } from 'tough-cookie'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Client, CookieJar } from '../../src/index.js'
import { sharedKit, standardPki } from '../testkit.js'

/** `host path cookie` of each request. */
let arrivals: string[] = []
const server = createServer(answer)
let port: number

/** `/set?COOKIE&COOKIE` sets cookies, `/to?URL&COOKIE` sets one and redirects. */
function answer(
  request: Pick<IncomingMessage, 'headers' | 'url'>,
  response: Pick<ServerResponse, 'writeHead'>,
): void {
  const { headers, url = '' } = request
  const [path = '', query = ''] = url.split('?')
  const host = headers.host ?? headers[':authority']
  arrivals.push(`${String(host).split(':')[0]} ${path} ${headers.cookie ?? '-'}`)
  const values = query.split('&').map(decodeURIComponent)
  if (path === '/to') {
    const [location = '', ...cookies] = values
    response.writeHead(302, { location, 'set-cookie': cookies }).end()
  } else {
    response.writeHead(200, path.startsWith('/set') ? { 'set-cookie': values } : {}).end('ok')
  }
}

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})

beforeEach(() => {
  arrivals = []
})

afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const lookup = {
  'shop.example': '127.0.0.1',
  'www.shop.example': '127.0.0.1',
  'other.example': '127.0.0.1',
}

/** A URL of `host` that has the server set `cookies`. */
function setting(host: string, ...cookies: string[]): string {
  return `http://${host}:${port}/set?${cookies.map(encodeURIComponent).join('&')}`
}

function at(host: string, path = '/'): string {
  return `http://${host}:${port}${path}`
}

test('a client sends what servers set, where it belongs, and nowhere else', async () => {
  await using client = new Client({ lookup })
  await using stranger = new Client({ lookup })
  await client.get(
    setting('shop.example', 'a=1', 'b=2; Domain=shop.example', 'c=3; Path=/deep', 'd=4; Secure'),
  )
  await client.get(at('shop.example'))
  await client.get(at('shop.example', '/deep/er'))
  await client.get(at('www.shop.example'))
  await client.get(at('other.example'))
  await stranger.get(at('shop.example'))
  expect(arrivals).toEqual([
    'shop.example /set -',
    'shop.example / a=1; b=2',
    'shop.example /deep/er c=3; a=1; b=2',
    'www.shop.example / b=2',
    'other.example / -',
    'shop.example / -',
  ])
})

test('each hop of a redirect has its own cookies, and its own are kept', async () => {
  await using client = new Client({ lookup })
  await client.get(setting('other.example', 'there=1'))
  arrivals = []
  const back = `${at('shop.example', '/end')}`
  const to = (host: string, location: string, cookie: string) =>
    `${at(host, '/to')}?${encodeURIComponent(location)}&${encodeURIComponent(cookie)}`
  await client.get(
    to('shop.example', to('other.example', back, 'there=2; Path=/'), 'here=1; Path=/'),
  )
  expect(arrivals).toEqual([
    'shop.example /to -',
    'other.example /to there=1',
    'shop.example /end here=1',
  ])
  expect(client.cookieJar?.getCookieStringSync(at('other.example'))).toBe('there=2')
})

test("the caller's own cookie field goes before the jar, which learns all the same", async () => {
  await using client = new Client({ lookup })
  await client.get(setting('shop.example', 'a=1; Path=/'))
  await client.get(setting('shop.example', 'b=2; Path=/'), { headers: { Cookie: 'mine=1' } })
  await client.get(at('shop.example'))
  expect(arrivals.slice(1)).toEqual(['shop.example /set mine=1', 'shop.example / a=1; b=2'])
})

test('a jar may be shared, be another for one request, or be none', async () => {
  const cookieJar = new CookieJar()
  await using one = new Client({ lookup, cookieJar })
  await using two = new Client({ lookup, cookieJar })
  await using none = new Client({ lookup, cookieJar: false })
  expect(one.cookieJar).toBe(cookieJar)
  expect(none.cookieJar).toBeNull()
  await one.get(setting('shop.example', 'a=1; Path=/'))
  await two.get(at('shop.example'))
  await two.get(at('shop.example'), { cookieJar: false })
  const own = new CookieJar()
  own.setCookieSync('own=1', at('shop.example'))
  await two.get(at('shop.example'), { cookieJar: own })
  await none.get(setting('shop.example', 'x=1; Path=/'))
  await none.get(at('shop.example'))
  expect(arrivals).toEqual([
    'shop.example /set -',
    'shop.example / a=1',
    'shop.example / -',
    'shop.example / own=1',
    'shop.example /set -',
    'shop.example / -',
  ])
})

test('cookies go over HTTP/2 and TLS, Secure ones too', async () => {
  const pki = await standardPki(sharedKit())
  const { hostname, certificates, ca } = pki
  const cert = certificates.leaf.pem + certificates.a1.pem
  const secure = createSecureServer(
    { cert, key: certificates.leaf.keyPem, allowHTTP1: true },
    (request, response) => answer(request, response as unknown as ServerResponse),
  )
  await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve))
  const { port } = secure.address() as AddressInfo
  try {
    for (const http2 of [true, false]) {
      arrivals = []
      await using client = new Client({ ca, lookup: { [hostname]: '127.0.0.1' }, http2 })
      const set = `https://${hostname}:${port}/set?${encodeURIComponent('__Host-s=1; Secure; Path=/')}`
      expect((await client.get(set)).httpVersion).toBe(http2 ? '2' : '1.1')
      await client.get(`https://${hostname}:${port}/`)
      expect(arrivals).toEqual([`${hostname} /set -`, `${hostname} / __Host-s=1`])
    }
  } finally {
    secure.close()
  }
})

test('a jar travels as JSON to tough-cookie and back', async () => {
  const jar = new CookieJar()
  const url = 'https://www.shop.example/a/b'
  jar.setCookieSync('a=1; Max-Age=3600; HttpOnly; SameSite=Lax', url)
  jar.setCookieSync('b=2; Domain=shop.example; Path=/; Secure', url)
  jar.setCookieSync('grüße=😀', url)
  const tough = await ToughJar.deserialize(JSON.stringify(jar))
  expect(await tough.getCookieString(url)).toBe(jar.getCookieStringSync(url))
  await tough.setCookie('c=3', url)
  const back = CookieJar.fromJSON(JSON.stringify(tough))
  expect(await back.getCookieString(url)).toBe(await tough.getCookieString(url))
  expect((await back.getCookies(url)).map(({ key }) => key)).toEqual(
    (await tough.getCookies(url)).map(({ key }) => key),
  )
  expect(CookieJar.deserializeSync(back.serializeSync()).toJSON()).toEqual(back.toJSON())
})

test("tough-cookie's jar serves a client, at each hop", async () => {
  const cookieJar = new ToughJar()
  await using client = new Client({ lookup, cookieJar })
  expect(client.cookieJar).toBeNull()
  await client.get(
    `${at('shop.example', '/to')}?${encodeURIComponent(at('shop.example', '/end'))}&${encodeURIComponent('a=1; Path=/')}&${encodeURIComponent('bad=1; Domain=other.example')}`,
  )
  await client.get(at('other.example'))
  expect(arrivals).toEqual(['shop.example /to -', 'shop.example /end a=1', 'other.example / -'])
  expect(await cookieJar.getCookieString(at('shop.example'))).toBe('a=1')
})

test('a jar that fails ends the request before anything is sent', async () => {
  for (const [getCookieString, message] of [
    [() => Promise.reject(new Error('no disk')), 'the cookie jar failed: no disk'],
    [
      () => 'a=1\r\nx: y',
      'the cookie jar failed: getCookieString gave a character that no field may hold (RFC 9110 §5.5)',
    ],
    [
      () => 1 as unknown as string,
      'the cookie jar failed: getCookieString gave a number: a string is expected',
    ],
  ] as const) {
    await using client = new Client({ lookup, cookieJar: { getCookieString, setCookie() {} } })
    await expect(client.get(at('shop.example'))).rejects.toMatchObject({
      name: 'PinfetchError',
      code: 'ERR_COOKIE_JAR',
      message,
    })
  }
  expect(arrivals).toEqual([])
})

test('cookies can be set, listed and taken out by hand', () => {
  const jar = new CookieJar()
  const url = new URL('https://shop.example/a/b')
  jar.setCookieSync('a=1', url)
  jar.setCookieSync('b=2; Path=/; Max-Age=60', url)
  expect(jar.getCookiesSync(url)).toMatchObject([
    { key: 'a', value: '1', domain: 'shop.example', path: '/a', hostOnly: true },
    { key: 'b', value: '2', path: '/' },
  ])
  expect(jar.removeCookie('shop.example', '/a', 'a')).toBe(true)
  expect(jar.removeCookie('shop.example', '/a', 'a')).toBe(false)
  jar.setCookieSync('b=; Path=/; Max-Age=0', url)
  expect(jar.toJSON().cookies).toEqual([])
  jar.setCookieSync('secret=hunter2', url)
  expect(inspect(jar)).toBe('CookieJar { 1 cookies }')
  jar.removeAllCookiesSync()
  expect(jar.getCookieStringSync(url)).toBe('')
})

test.each([
  ['a=1; Domain=com', 'https://shop.com/', "the cookie's domain com is a public suffix"],
  [
    'a=1; Domain=b.example',
    'https://a.example/',
    "the cookie's domain b.example does not cover the host a.example",
  ],
  ['a=1; Secure', 'http://a.example/', 'a Secure cookie cannot be set over plain http'],
  [
    '__Host-a=1; Secure',
    'https://a.example/',
    'a name that begins with __Host- needs Secure, Path=/ and no Domain',
  ],
  ['a=1', 'ftp://a.example/', 'cookies belong to http: and https: URLs with a host'],
  ['a=1', 'a.example', 'invalid URL "a.example": relative URL without a base'],
])('%s from %s is refused: %s', (cookie, url, message) => {
  const jar = new CookieJar()
  expect(() => jar.setCookieSync(cookie, url)).toThrow(
    expect.objectContaining({ name: 'TypeError', message }),
  )
  expect(jar.toJSON().cookies).toEqual([])
})

test.each([
  ['{', 'line 1, column 1: not JSON'],
  ['{}', 'a cookie jar is an object with a list `cookies`'],
  [
    '{"cookies":[{"key":"a","domain":"a..b"}]}',
    "cookies[0].domain: a cookie's domain is a host's name or address",
  ],
])('the jar %s is refused: %s', (json, message) => {
  expect(() => CookieJar.fromJSON(json)).toThrow(
    expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARGUMENT', message }),
  )
})

test('what is no jar is refused, and named', async () => {
  for (const cookieJar of ['jar', 1, {}, [], { getCookieString() {} }] as unknown[]) {
    expect(() => new Client({ cookieJar: cookieJar as CookieJar })).toThrow(
      expect.objectContaining({ name: 'PolicyError', option: 'cookieJar' }),
    )
  }
  await using client = new Client()
  for (const cookieJar of [true, new ToughJar()] as unknown[]) {
    await expect(
      client.get(at('127.0.0.1'), { cookieJar: cookieJar as CookieJar }),
    ).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  }
  expect(arrivals).toEqual([])
})
