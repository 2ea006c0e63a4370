import type { Profile } from './profile.js'

/** Firefox 153 on Linux, as Debian's Firefox ESR has introduced itself: docs/profiles.md has the comparison. */
export const firefox153: Profile = {
  headers: [
    ['User-Agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0'],
    ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
    ['Accept-Language', 'en-US,en;q=0.5'],
    ['Accept-Encoding', 'gzip, deflate, br, zstd'],
    ['Upgrade-Insecure-Requests', '1'],
    ['Sec-Fetch-Dest', 'document'],
    ['Sec-Fetch-Mode', 'navigate'],
    ['Sec-Fetch-Site', 'none'],
    ['Sec-Fetch-User', '?1'],
    ['Priority', 'u=0, i'],
  ],
  cipherSuites: [
    0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030, 0xc00a, 0xc013, 0xc014,
    0x009c, 0x009d, 0x002f, 0x0035,
  ],
  // X25519MLKEM768, X25519, P-256, P-384, P-521, ffdhe2048, ffdhe3072
  groups: [0x11ec, 0x001d, 0x0017, 0x0018, 0x0019, 0x0100, 0x0101],
  signatureSchemes: [
    0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
  ],
  certificateCompression: [1, 2, 3], // zlib, brotli, zstd
  http2: {
    headerTableSize: 65_536,
    maxPushedStreams: null,
    initialWindowSize: 131_072,
    maxFrameSize: 16_384,
    maxHeaderListSize: null,
    connectionWindowSize: 12_582_912,
  },
}
