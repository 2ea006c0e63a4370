import { chrome133 } from './chrome-133.js'
import type { Profile } from './profile.js'

/** Chrome 156 on Linux, as Debian's Chromium 156 was recorded, with Google's brand. */
export const chrome156: Profile = {
  ...chrome133,
  headers: [
    ['sec-ch-ua', '"Not:A-Brand";v="8", "Chromium";v="156", "Google Chrome";v="156"'],
    ['sec-ch-ua-mobile', '?0'],
    ['sec-ch-ua-platform', '"Linux"'],
    ['Upgrade-Insecure-Requests', '1'],
    [
      'User-Agent',
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36',
    ],
    [
      'Accept',
      'text/html,application/xhtml+xml,application/xml;q=0.9,image/jxl,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7',
    ],
    ['Sec-Fetch-Site', 'none'],
    ['Sec-Fetch-Mode', 'navigate'],
    ['Sec-Fetch-User', '?1'],
    ['Sec-Fetch-Dest', 'document'],
    ['Accept-Encoding', 'gzip, deflate, br, zstd'],
    ['Accept-Language', 'en-US,en;q=0.9'],
    ['priority', 'u=0, i'],
  ],
  // ML-DSA (0x0904 to 0x0906) before the others
  signatureSchemes: [0x0904, 0x0905, 0x0906, ...chrome133.signatureSchemes],
}
