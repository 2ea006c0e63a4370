import { firefox135 } from './firefox-135.js'
import type { Profile } from './profile.js'

/** Firefox 153 on Linux, as Debian's Firefox ESR has introduced itself: docs/profiles.md has the comparison. */
export const firefox153: Profile = {
  ...firefox135,
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
  // without TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
  cipherSuites: firefox135.cipherSuites.filter((suite) => suite !== 0xc009),
}
