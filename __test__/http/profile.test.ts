import { describe, expect, test } from 'vitest'
import { Client, type ClientOptions, type ProfileName } from '../../src/index.js'
import { akamai, ja4, startRecorder } from '../recorder.js'
import { sharedKit, standardPki, startGenuine, startInterceptor } from '../testkit.js'

/** How a client with `options` introduces itself. */
async function introduction(options: ClientOptions, headers?: Record<string, string>) {
  const pki = await standardPki(sharedKit())
  await using recorder = await startRecorder(pki)
  const lookup = { [pki.hostname]: '127.0.0.1' }
  await using client = new Client({ ca: pki.ca, lookup, ...options })
  await client.get(`https://${pki.hostname}:${recorder.port}/`, { headers })
  return recorder.introduction('/')
}

const CHROME_SUITES = [
  0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x00ff,
]
const CHROME_SCHEMES = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]

const CHROME = {
  cipherSuites: CHROME_SUITES,
  groups: [0x11ec, 0x1d, 0x17, 0x18],
  keyShares: [0x11ec, 0x1d],
  signatureSchemes: CHROME_SCHEMES,
  certificateCompression: [2],
  akamai: '1:65536;2:0;4:6291456;6:262144|15663105|0|m,s,a,p',
  first: 'sec-ch-ua',
  last: 'priority',
} as const

const FIREFOX = {
  cipherSuites: [0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030, 0x00ff],
  groups: [0x11ec, 0x1d, 0x17, 0x18],
  keyShares: [0x11ec, 0x1d],
  signatureSchemes: [0x0403, 0x0503, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601],
  certificateCompression: [1, 2],
  akamai: '1:65536;2:0;4:131072;5:16384|12517377|0|m,s,a,p',
  first: 'user-agent',
  last: 'priority',
} as const

/** What is said of each, as far as rustls and h2 go. `0x00ff` is rustls' way to say `renegotiation_info`. */
const PROFILES = {
  chrome_133: CHROME,
  chrome_156: CHROME,
  firefox_135: FIREFOX,
  firefox_153: FIREFOX,
  safari_18: {
    cipherSuites: [0x1301, 0x1302, 0x1303, 0xc02c, 0xc02b, 0xcca9, 0xc030, 0xc02f, 0xcca8, 0x00ff],
    groups: [0x1d, 0x17, 0x18],
    keyShares: [0x1d],
    signatureSchemes: [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
    certificateCompression: [1],
    akamai: '2:0;3:100;4:2097152|10420225|0|m,s,a,p',
    first: 'sec-fetch-dest',
    last: 'accept-encoding',
  },
} as const satisfies Record<ProfileName, object>

describe.each(Object.keys(PROFILES) as ProfileName[])('%s', (profile) => {
  const { akamai: wanted, first, last, ...lists } = PROFILES[profile]

  test('offers in TLS what the browser does, in its order', async () => {
    const { hello } = await introduction({ profile })
    expect(hello).toMatchObject({ ...lists, versions: [0x304, 0x303], alpn: ['h2', 'http/1.1'] })
  })

  test('opens HTTP/2 as the browser does, and has its fields in their order', async () => {
    const { http2 } = await introduction({ profile })
    expect(akamai(http2)).toBe(wanted)
    expect([http2.fields.at(0)?.[0], http2.fields.at(-1)?.[0]]).toEqual([first, last])
  })
})

test('without a profile nothing is as a browser has it', async () => {
  const { hello, http2 } = await introduction({})
  expect(hello.groups).toEqual([0x1d, 0x17, 0x18])
  expect(http2.fields.map(([name]) => name)).toEqual(['accept', 'user-agent', 'accept-encoding'])
})

test('JA4 is read as its authors publish it', () => {
  // https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md
  const hello = {
    hasGrease: true,
    hasServerName: true,
    versions: [0x0304, 0x0303],
    cipherSuites: [
      0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c,
      0x9d, 0x2f, 0x35,
    ],
    extensions: [
      0x1b, 0x00, 0x33, 0x10, 0x4469, 0x17, 0x2d, 0x0d, 0x05, 0x23, 0x12, 0x2b, 0xff01, 0x0b, 0x0a,
      0x15,
    ],
    groups: [],
    keyShares: [],
    signatureSchemes: CHROME_SCHEMES,
    alpn: ['h2', 'http/1.1'],
    certificateCompression: [],
  }
  expect(ja4(hello).hashed).toBe('t13d1516h2_8daaf6152771_e5627efa2ab1')
})

test('fields that are given stand in the place of the profile’s, and others after them', async () => {
  const { http2 } = await introduction(
    { profile: 'chrome_156', headers: { 'x-client': '1', 'Accept-Language': 'de' } },
    { 'User-Agent': 'mine', 'x-request': '2' },
  )
  expect(http2.fields.map(([name]) => name)).toEqual([
    'sec-ch-ua',
    'sec-ch-ua-mobile',
    'sec-ch-ua-platform',
    'upgrade-insecure-requests',
    'user-agent',
    'accept',
    'sec-fetch-site',
    'sec-fetch-mode',
    'sec-fetch-user',
    'sec-fetch-dest',
    'accept-encoding',
    'accept-language',
    'priority',
    'x-client',
    'x-request',
  ])
  const values = Object.fromEntries(http2.fields)
  expect([values['user-agent'], values['accept-language']]).toEqual(['mine', 'de'])
})

test('options that are given go before the profile’s', async () => {
  const { hello, http2 } = await introduction({
    profile: 'safari_18',
    postQuantum: true,
    decompress: false,
    http2: { initialWindowSize: 100_000, headerTableSize: 4096 },
  })
  expect(hello.groups).toEqual([0x11ec, 0x1d, 0x17, 0x18])
  expect(akamai(http2)).toBe('1:4096;2:0;3:100;4:100000|10420225|0|m,s,a,p')
  expect(http2.fields.map(([name]) => name)).not.toContain('accept-encoding')
})

test('pins hold under a profile', async () => {
  await using genuine = await startGenuine()
  await using interceptor = await startInterceptor({ of: genuine })
  const { ca, lookup, hostname, leafPin } = genuine
  await using client = new Client({
    ca,
    lookup,
    pins: { [hostname]: [leafPin] },
    profile: 'chrome_156',
  })
  await expect(client.get(interceptor.url)).rejects.toMatchObject({ code: 'ERR_BAD_PIN' })
  expect(await interceptor.applicationBytes()).toBe(0)
  expect((await client.get(genuine.url)).tls?.matchedPin).toBe(leafPin)
})

test.each([
  ['chrome_155', 'there is no profile "chrome_155": did you mean "chrome_156"?'],
  ['netscape', 'there is no profile "netscape": give one of "chrome_133", "chrome_156"'],
  [7, 'profile is a number: give one of "chrome_133"'],
])('the profile %j is refused', (profile, message) => {
  expect(() => new Client({ profile: profile as ProfileName })).toThrow(
    expect.objectContaining({
      code: 'ERR_POLICY_INVALID_OPTION',
      option: 'profile',
      message: expect.stringContaining(message),
    }),
  )
})
