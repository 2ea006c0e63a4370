import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import {
  type BadPinEvent,
  SECRET_FIELDS,
  tellBadPin,
  withoutCredentials,
} from '../../src/bad-pin.js'
import {
  AbortError,
  BadPinError,
  CertificateError,
  ConnectError,
  DnsError,
  errorCodes,
  errorOf,
  PinfetchError,
  PolicyError,
  ProtocolError,
  TimeoutError,
  TlsError,
} from '../../src/errors.js'
import { root } from '../examples.js'

const pinOf = (byte: number) => `sha256/${Buffer.alloc(32, byte).toString('base64')}`

const badPin = new BadPinError({
  hostname: 'api.example.test',
  port: 443,
  patterns: ['api.example.test'],
  expectedPins: [pinOf(1)],
  foundPins: [pinOf(2), pinOf(3), pinOf(4)],
  verifiedPath: [],
  presentedChain: [],
  remoteAddress: '127.0.0.1:443',
  blockedPin: null,
  expires: null,
  hint: 'look',
  diagnosis: { verdict: 'unknown', reasons: [] },
})

test('a bad pin’s message is the pins found, bare, in the order of the verified path', () => {
  const bare = [2, 3, 4].map((byte) => Buffer.alloc(32, byte).toString('base64'))
  expect(badPin.message).toBe(`bad ssl pin detected, found pins: [${bare.join(' ')}]`)
})

test('a blocked pin is named behind them', () => {
  const { message } = new BadPinError({ ...badPin, blockedPin: pinOf(3) })
  const bare = Buffer.alloc(32, 3).toString('base64')
  expect(message).toBe(`${badPin.message}, blocked pin: ${bare}`)
})

const classes = {
  AbortError,
  BadPinError,
  CertificateError,
  ConnectError,
  DnsError,
  PinfetchError,
  PolicyError,
  ProtocolError,
  TimeoutError,
  TlsError,
}

test('every code has its class', () => {
  const classOf = (code: string) => {
    if (code === 'ERR_BAD_PIN') return 'BadPinError'
    if (code.startsWith('ERR_CERT_')) return 'CertificateError'
    if (code.startsWith('ERR_TLS_')) return 'TlsError'
    if (code === 'ERR_DNS') return 'DnsError'
    if (code.startsWith('ERR_PROXY')) return 'ProxyError'
    if (['ERR_CONNECT', 'ERR_CONNECTION_CLOSED', 'ERR_SOCKET'].includes(code)) return 'ConnectError'
    if (code === 'ERR_TIMEOUT') return 'TimeoutError'
    if (code === 'ABORT_ERR') return 'AbortError'
    if (code.startsWith('ERR_HTTP')) return 'ProtocolError'
    if (code.startsWith('ERR_POLICY_')) return 'PolicyError'
    if (code.startsWith('ERR_INVALID_')) return 'TypeError'
    return 'PinfetchError'
  }
  for (const [number, code] of errorCodes) {
    const error = errorOf({ code: number, message: 'what happened' }, [])
    expect(error).toMatchObject({ code, name: classOf(code) })
    if (code !== 'ERR_BAD_PIN') expect(error.message).toBe('what happened')
    expect(error instanceof PinfetchError, code).toBe(!(error instanceof TypeError))
    for (const [name, kind] of Object.entries(classes)) {
      expect(error instanceof kind, `${code} ${name}`).toBe(
        name === error.name || (name === 'PinfetchError' && !(error instanceof TypeError)),
      )
    }
  }
})

test('instanceof holds between two installed versions', async () => {
  vi.resetModules()
  const other = await import('../../src/errors.js')
  expect(other.BadPinError).not.toBe(BadPinError)
  expect(badPin instanceof other.BadPinError).toBe(true)
  expect(badPin instanceof other.PinfetchError).toBe(true)
  expect(badPin instanceof other.PolicyError).toBe(false)
  expect(new Error('x') instanceof other.PinfetchError).toBe(false)
  expect((null as unknown) instanceof other.PinfetchError).toBe(false)
})

test('a class that a user derives has only its own instances', () => {
  class Mine extends PinfetchError {}
  expect(badPin instanceof Mine).toBe(false)
  expect(new Mine('ERR_INTERNAL', 'x') instanceof Mine).toBe(true)
  expect(new Mine('ERR_INTERNAL', 'x') instanceof PinfetchError).toBe(true)
})

test('logs show an error’s facts and not its name as one of them', () => {
  expect(Object.keys(new AbortError('x'))).toEqual(['code'])
})

test('the cause is kept, with the system’s code', () => {
  const failure = {
    code: 41,
    message: 'cannot connect',
    cause: 'refused',
    systemCode: 'ECONNREFUSED',
  }
  expect(errorOf(failure, [])).toMatchObject({
    systemCode: 'ECONNREFUSED',
    cause: { message: 'refused', code: 'ECONNREFUSED' },
  })
})

test.each([
  ['https://user:secret@api.example.test/a@b', 'https://api.example.test/a@b'],
  ['HTTPS:\\\\user@api.example.test', 'HTTPS:\\\\api.example.test'],
  [' https://u:p@h/', 'https://h/'],
  ['ht\ntps:/\t/u:p@h/', 'https://h/'],
  ['\u0001https://u:p@h/', 'https://h/'],
  ['no URL,\nbut me@here', 'no URL,\nbut me@here'],
  ['https:u:p@h/', 'https:h/'],
  ['https://api.example.test/?q=a@b', 'https://api.example.test/?q=a@b'],
  ['https://a@b:c@h/', 'https://h/'],
])('%s is shown as %s', (url, shown) => {
  expect(withoutCredentials(url)).toBe(shown)
})

test('the handler is told everything but credentials', () => {
  const events: unknown[] = []
  const headers = ['Authorization', 'a', 'Cookie', 'b', 'Proxy-Authorization', 'c', 'X-Name', 'd']
  tellBadPin(
    (event) => void events.push(event),
    badPin,
    'GET',
    'https://u:p@api.example.test/',
    headers,
  )
  expect(events).toHaveLength(1)
  expect(events[0]).toMatchObject({
    request: { method: 'GET', url: 'https://api.example.test/' },
    hostname: 'api.example.test',
    foundPins: badPin.foundPins,
    expires: null,
    hint: 'look',
    diagnosis: { verdict: 'unknown', reasons: [] },
    enforced: true,
    error: badPin,
  })
  const { request } = events[0] as { request: { headers: Iterable<[string, string]> } }
  expect([...request.headers]).toEqual([
    ['authorization', '[redacted]'],
    ['cookie', '[redacted]'],
    ['proxy-authorization', '[redacted]'],
    ['x-name', 'd'],
  ])
})

test.each(SECRET_FIELDS)(
  'the field %s is redacted, however it is spelt, and in the manual',
  (name) => {
    const events: BadPinEvent[] = []
    const spelt = name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())
    const fields = [spelt, 'hunter2', name, 'hunter3', `${name}-of`, 'shown']
    tellBadPin(
      (event) => void events.push(event),
      badPin,
      'GET',
      'https://api.example.test/',
      fields,
    )
    const { headers } = (events[0] as BadPinEvent).request
    expect([...headers].map(([, value]) => value).join()).not.toContain('hunter')
    expect(headers.get(name)).toContain('[redacted]')
    expect(headers.get(`${name}-of`)).toBe('shown')
    expect(readFileSync(join(root, 'docs', 'http.md'), 'utf8')).toContain(`\`${name}\``)
  },
)

test.each([
  [
    'throws',
    () => {
      throw new Error('handler broke')
    },
  ],
  ['rejects', () => Promise.reject(new Error('handler broke'))],
])('what a handler %s becomes a warning', async (_how, handler) => {
  const warning = new Promise<Error>((resolve) => process.once('warning', resolve))
  tellBadPin(handler, badPin, 'GET', 'https://api.example.test/', null)
  expect(await warning).toMatchObject({ name: 'PinfetchWarning', code: 'PINFETCH_HANDLER' })
  expect((await warning).message).toContain('handler broke')
})
