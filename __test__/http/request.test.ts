import { expect, test } from 'vitest'
import { readCall, splitInput } from '../../src/request.js'

const url = 'https://api.example.test/'

test('a URL is passed on as it is written, for the engine to read', () => {
  for (const text of ['https://API.example.test./ä', 'not a url', '']) {
    expect(readCall('GET', text, undefined, false).url).toBe(text)
  }
  expect(readCall('GET', new URL(url), undefined, false).url).toBe(url)
})

test.each([
  ['get', 'GET'],
  ['Post', 'POST'],
  ['delete', 'DELETE'],
  ['patch', 'patch'], // the fetch standard leaves it: methods differ by case
  ['QUERY', 'QUERY'],
])('the method %s is %s', (given, method) => {
  expect(readCall(null, url, { method: given }, false).method).toBe(method)
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
  [{ method: 'POST', body: new Blob(['x']) }, /the body is a Blob.*await blob.bytes/],
  [{ method: 'POST', body: new FormData() }, /the body is a FormData/],
  [{ method: 'POST', body: new ReadableStream() }, /the body is a ReadableStream/],
  [{ method: 'POST', body: { a: 1 } }, /the body is an object/],
  [{ method: 'POST', body: 7 }, /the body is a number/],
  [{ timeout: -1 }, /timeout is -1/],
  [{ timeout: Number.NaN }, /timeout is NaN/],
  [{ timeout: Number.POSITIVE_INFINITY }, /timeout is Infinity/],
  [{ timeout: '5' }, /timeout is a string/],
  [{ signal: {} }, /signal is an object/],
  [{ credentials: 'include' }, /unknown request option "credentials"/],
  [null, /options are null/],
  ['GET', /options are a string/],
])('%j is refused as the caller’s mistake', (init, message) => {
  // what TypeScript would refuse, JavaScript can give
  const call = () => readCall(null, url, init as never, false)
  expect(call).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', name: 'TypeError' }))
  expect(call).toThrow(message)
})

test('a function’s own method can’t be contradicted', () => {
  expect(() => readCall('GET', url, { method: 'POST' }, false)).toThrow(
    /GET by the function’s name|GET by the function's name/,
  )
  expect(readCall('GET', url, { method: 'get' }, false).method).toBe('GET')
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
  const call = readCall('GET', url, { headers: headers as never }, false)
  expect(call.headers?.slice(0, 4)).toEqual(['X-A', '1', 'x-b', '2'])
  expect(call.headers?.slice(-2)).toEqual(['x-n', '4'])
})

test('header fields are an object’s own: what it inherits is not sent', () => {
  const headers = Object.create({ 'x-inherited': '1' })
  headers['x-own'] = '2'
  expect(readCall('GET', url, { headers }, false).headers).toEqual(['x-own', '2'])
})

test('white space around a value is no part of it', () => {
  expect(readCall('GET', url, { headers: { 'x-a': ' \tb c\r\n' } }, false).headers).toEqual([
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
    const plain = readCall('POST', url, { body }, false)
    expect(plain.headers).toEqual(type === null ? null : ['content-type', type])
    const named = readCall('POST', url, { body, headers: { 'Content-Type': 'x/y' } }, false)
    expect(named.headers).toEqual(['Content-Type', 'x/y'])
    expect(readCall('POST', url, { body }, true).headers).toBeNull()
  },
)

test('a view’s bytes are those that it shows', () => {
  const bytes = Uint8Array.of(0, 1, 2, 3, 4, 5)
  expect(readCall('POST', url, { body: new DataView(bytes.buffer, 2, 3) }, false).body).toEqual(
    Uint8Array.of(2, 3, 4),
  )
})

test('less than a millisecond is still a limit', () => {
  expect(readCall('GET', url, { timeout: 0.2 }, false).timeout).toBe(1)
  expect(readCall('GET', url, { timeout: 0 }, false).timeout).toBe(0)
  expect(readCall('GET', url, {}, false).timeout).toBeNull()
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
  expect(readCall(null, given, init, false)).toMatchObject({
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
