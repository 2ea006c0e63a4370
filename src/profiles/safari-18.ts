import type { Profile } from './profile.js'

/** Safari 18 on macOS, from what is publicly known of it; not compared with the browser. */
export const safari18: Profile = {
  headers: [
    ['Sec-Fetch-Dest', 'document'],
    [
      'User-Agent',
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15',
    ],
    ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
    ['Sec-Fetch-Site', 'none'],
    ['Sec-Fetch-Mode', 'navigate'],
    ['Accept-Language', 'en-US,en;q=0.9'],
    ['Priority', 'u=0, i'],
    ['Accept-Encoding', 'gzip, deflate, br'],
  ],
  cipherSuites: [
    0x1301, 0x1302, 0x1303, 0xc02c, 0xc02b, 0xcca9, 0xc030, 0xc02f, 0xcca8, 0xc00a, 0xc009, 0xc014,
    0xc013, 0x009d, 0x009c, 0x0035, 0x002f, 0xc008, 0xc012, 0x000a,
  ],
  // X25519, P-256, P-384, P-521
  groups: [0x001d, 0x0017, 0x0018, 0x0019],
  signatureSchemes: [
    0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201,
  ],
  certificateCompression: [1], // zlib
  http2: {
    headerTableSize: null,
    maxPushedStreams: 100,
    initialWindowSize: 2_097_152,
    maxFrameSize: null,
    maxHeaderListSize: null,
    connectionWindowSize: 10_485_760,
  },
}
