import { expect, test } from 'vitest'
import { type QueryInit, readCall, splitInput } from '../../src/request.js'

const url = 'https://api.example.test/'
const defaults = { baseUrl: null, hasDefaultType: false }
const withType = { ...defaults, hasDefaultType: true }

function lockedStream(): ReadableStream {
  const stream = new ReadableStream()
  stream.getReader()
  return stream
}

test.each([
  ['/a', { b: 1, c: ['x y', true], d: null, e: undefined }, '/a?b=1&c=x+y&c=true'],
  ['/a?z=1', { b: '&' }, '/a?z=1&b=%26'],
  ['/a?', { b: 1 }, '/a?b=1'],
  ['/a?z&#f?g', { b: 1 }, '/a?z&b=1#f?g'],
  [
    '/a#f',
    [
      ['b', '1'],
      ['b', '2'],
    ],
    '/a?b=1&b=2#f',
  ],
  ['/a', new URLSearchParams('b=ü'), '/a?b=%C3%BC'],
  ['/a', '?b=%20', '/a?b=%20'],
  ['/a', {}, '/a'],
] as const)('%s with the query %j is %s', (path, query, whole) => {
  const base = 'https://api.example.test'
  expect(readCall('GET', base + path, { query: query as QueryInit }, defaults).url).toBe(
    base + whole,
  )
})

test.each([
  ['users', 'https://api.example.test/v1/users'],
  ['/users?a', 'https://api.example.test/users?a'],
  ['?a=1', 'https://api.example.test/v1/?a=1'],
  ['https://other.example.test/x', 'https://other.example.test/x'],
  ['//other.example.test/x', 'https://other.example.test/x'],
  ['', 'https://api.example.test/v1/'],
  ['https://', 'https://'], // for the engine to refuse
])('under a base URL, %j is %s', (input, url) => {
  const withBase = { ...defaults, baseUrl: 'https://api.example.test/v1/' }
  expect(readCall('GET', input, undefined, withBase).url).toBe(url)
})

test('JSON is sent as such, unless the headers say what it is', () => {
  const call = readCall('POST', url, { json: { a: ['ü'] } }, defaults)
  expect([call.body, call.headers]).toEqual(['{"a":["ü"]}', ['content-type', 'application/json']])
  const headers = { 'content-type': 'application/ld+json' }
  expect(readCall('PUT', url, { json: null, headers }, defaults).headers).toEqual(
    Object.entries(headers).flat(),
  )
})

test('a URL is passed on as it is written, for the engine to read', () => {
  for (const text of ['https://API.example.test./ä', 'not a url', '']) {
    expect(readCall('GET', text, undefined, defaults).url).toBe(text)
  }
  expect(readCall('GET', new URL(url), undefined, defaults).url).toBe(url)
})

test.each([
  ['get', 'GET'],
  ['Post', 'POST'],
  ['delete', 'DELETE'],
  ['patch', 'patch'], // the fetch standard leaves it: methods differ by case
  ['QUERY', 'QUERY'],
])('the method %s is %s', (given, method) => {
  expect(readCall(null, url, { method: given }, defaults).method).toBe(method)
})

test.each([
  [{ method: 'GET ' }, /method "GET " is not a token/],
  [{ method: '' }, /method "" is not a token/],
  [{ method: 7 }, /method 7 is not a token/],
  [{ method: 'CONNECT' }, /CONNECT is forbidden/],
  [{ method: 'trace' }, /TRACE is forbidden/],
  [{ headers: { 'x y': '1' } }, /header name "x y" is not a token/],
  [{ headers: { '': '1' } }, /header name "" is not a token/],
  [{ headers: { 'x-a': 'a\r\nb: c' } }, /header x-a has a character/],
  [{ headers: { 'x-a': 'a\0' } }, /header x-a has a character/],
  [{ headers: { 'x-a': '…' } }, /header x-a has a character/],
  [{ headers: { 'x-a': null } }, /header x-a is null/],
  [{ headers: { 'x-a': undefined } }, /header x-a is undefined/],
  [{ headers: { 'x-a': {} } }, /header x-a is an object/],
  [{ headers: [['x-a']] }, /something else than a pair/],
  [{ headers: 'x-a: 1' }, /headers are a string/],
  [{ method: 'GET', body: 'x' }, /a GET request has no body/],
  [{ method: 'POST', body: lockedStream() }, /the body is a stream that is locked/],
  [{ method: 'POST', body: { a: 1 } }, /the body is an object: .*the option json/],
  [{ method: 'POST', body: ['a'] }, /the body is an array/],
  [{ method: 'POST', json: () => 1 }, /json is a function, for which JSON has no text/],
  [{ method: 'POST', json: 1, body: 'x' }, /both json and body are given/],
  [{ method: 'GET', json: 1 }, /a GET request has no body/],
  [{ duplex: 'full' }, /duplex is "full": give "half"/],
  [{ query: 7 }, /query is a number/],
  [{ query: { a: {} } }, /query\["a"\] is an object/],
  [{ query: [['a']] }, /query holds something else than a pair/],
  [{ maxResponseBytes: -1 }, /maxResponseBytes is -1/],
  [{ maxExpansion: 0 }, /maxExpansion is 0/],
  [{ onInformation: 'print' }, /onInformation is a string: give a function or null/],
  [{ method: 'POST', body: 7 }, /the body is a number/],
  [{ timeout: -1 }, /timeout is -1/],
  [{ timeout: Number.NaN }, /timeout is NaN/],
  [{ timeout: Number.POSITIVE_INFINITY }, /timeout is Infinity/],
  [{ timeout: '5' }, /timeout is a string/],
  [{ signal: {} }, /signal is an object/],
  [{ connectTimeout: -1 }, /connectTimeout is -1/],
  [{ http2: 'yes' }, /http2 is "yes": give true, false or "only"/],
  [{ http2: {} }, /http2 is an object: give/],
  [{ onBadPin: 'print' }, /onBadPin is a string: give a function or null/],
  [{ credentials: 'include' }, /unknown request option "credentials"/],
  [null, /options are null/],
  ['GET', /options are a string/],
])('%j is refused as the caller’s mistake', (init, message) => {
  // what TypeScript would refuse, JavaScript can give
  const call = () => readCall(null, url, init as never, defaults)
  expect(call).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', name: 'TypeError' }))
  expect(call).toThrow(message)
})

test('a function’s own method can’t be contradicted', () => {
  expect(() => readCall('GET', url, { method: 'POST' }, defaults)).toThrow(
    /GET by the function’s name|GET by the function's name/,
  )
  expect(readCall('GET', url, { method: 'get' }, defaults).method).toBe('GET')
})

test.each([
  ['an object', { 'X-A': '1', 'x-b': ['2', '3'], 'x-n': 4 }],
  [
    'pairs',
    [
      ['X-A', '1'],
      ['x-b', '2'],
      ['x-b', '3'],
      ['x-n', '4'],
    ],
  ],
  [
    'a Map',
    new Map<string, string>([
      ['X-A', '1'],
      ['x-b', '2'],
      ['x-n', '4'],
    ]),
  ],
])('header fields can be %s', (_kind, headers) => {
  const call = readCall('GET', url, { headers: headers as never }, defaults)
  expect(call.headers?.slice(0, 4)).toEqual(['X-A', '1', 'x-b', '2'])
  expect(call.headers?.slice(-2)).toEqual(['x-n', '4'])
})

test('header fields are an object’s own: what it inherits is not sent', () => {
  const headers = Object.create({ 'x-inherited': '1' })
  headers['x-own'] = '2'
  expect(readCall('GET', url, { headers }, defaults).headers).toEqual(['x-own', '2'])
})

test('white space around a value is no part of it', () => {
  expect(readCall('GET', url, { headers: { 'x-a': ' \tb c\r\n' } }, defaults).headers).toEqual([
    'x-a',
    'b c',
  ])
})

test.each([
  ['text', 'grüße', 'text/plain;charset=UTF-8'],
  [
    'form fields',
    new URLSearchParams({ a: '1' }),
    'application/x-www-form-urlencoded;charset=UTF-8',
  ],
  ['a Buffer', Buffer.from('a'), null],
  ['an ArrayBuffer', new ArrayBuffer(2), null],
  ['a view', new DataView(new ArrayBuffer(8), 2, 3), null],
])(
  'the content type of %s is the fetch standard’s unless another is given',
  (_kind, body, type) => {
    const plain = readCall('POST', url, { body }, defaults)
    expect(plain.headers).toEqual(type === null ? null : ['content-type', type])
    const named = readCall('POST', url, { body, headers: { 'Content-Type': 'x/y' } }, defaults)
    expect(named.headers).toEqual(['Content-Type', 'x/y'])
    expect(readCall('POST', url, { body }, withType).headers).toBeNull()
  },
)

test('a view’s bytes are those that it shows', () => {
  const bytes = Uint8Array.of(0, 1, 2, 3, 4, 5)
  expect(readCall('POST', url, { body: new DataView(bytes.buffer, 2, 3) }, defaults).body).toEqual(
    Uint8Array.of(2, 3, 4),
  )
})

test('less than a millisecond is still a limit', () => {
  expect(readCall('GET', url, { timeout: 0.2 }, defaults).timeout).toBe(1)
  expect(readCall('GET', url, { timeout: 0 }, defaults).timeout).toBe(0)
  expect(readCall('GET', url, {}, defaults).timeout).toBeNull()
})

test('a request as an object is taken apart, and options win over it', () => {
  const input = { url, method: 'POST', body: 'a', headers: { 'x-a': '1' } }
  expect(splitInput(input)).toEqual([
    url,
    { ...input, url: undefined, timeout: undefined, signal: undefined },
  ])
  const [, init] = splitInput(input, { method: 'PUT' })
  expect(init).toMatchObject({ method: 'PUT', body: 'a' })
})

test('a global Request is a request', () => {
  const [given, init] = splitInput(
    new Request(url, { method: 'DELETE', headers: { 'x-a': '1' } }) as never,
  )
  expect(readCall(null, given, init, defaults)).toMatchObject({
    method: 'DELETE',
    url,
    headers: ['x-a', '1'],
  })
})

test.each([null, 7, {}, undefined])('%j is no request', (input) => {
  expect(() => splitInput(input as never)).toThrow(
    expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
  )
})

test('an option that is undefined leaves what the request says', () => {
  const signal = AbortSignal.timeout(60_000)
  const input = new Request(url, { method: 'DELETE', headers: { 'x-a': '1' } })
  const [given, init] = splitInput(input as never, {
    method: undefined,
    headers: undefined,
    signal: undefined,
    redirect: 'error',
  })
  expect(readCall(null, given, init, defaults)).toMatchObject({
    method: 'DELETE',
    headers: ['x-a', '1'],
    signal: input.signal,
  })
  expect(splitInput({ url, signal }, { signal: null })[1]).toMatchObject({ signal: null })
})
