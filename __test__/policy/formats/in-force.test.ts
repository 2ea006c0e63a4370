// Imported policies in front of servers: what a format says is what a client does.

import { BadPinError, Client, parsePolicy } from 'pinfetch'
import { importPolicy, type PolicyFormat } from 'pinfetch/formats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Endpoint, startGenuine } from '../../testkit.js'

const bare = (pin: string) => pin.slice('sha256/'.length)
const other = Buffer.alloc(32, 7).toString('base64')
let server: Endpoint
let leaf = ''
let root = ''

beforeAll(async () => {
  server = await startGenuine({ hostname: 'api.example.test' })
  leaf = bare(server.leafPin)
  root = bare(server.rootPin)
})
afterAll(() => server[Symbol.asyncDispose]())

/** Whether a client under the imported policy gets an answer from `api.example.test`. */
async function isAccepted(format: PolicyFormat, text: string): Promise<boolean> {
  const pins = parsePolicy(importPolicy(format, text).text)
  await using client = new Client({ ca: server.ca, lookup: server.lookup, pins })
  try {
    return (await client.get(server.url)).ok
  } catch (error) {
    expect(error).toBeInstanceOf(BadPinError)
    return false
  }
}

const android = (wide: string, own: string) => `<network-security-config><domain-config>
  <domain includeSubdomains="true">example.test</domain>
  <pin-set><pin digest="SHA-256">${wide}</pin></pin-set>
  <domain-config><domain>api.example.test</domain>
    <pin-set><pin digest="SHA-256">${own}</pin></pin-set></domain-config>
</domain-config></network-security-config>`

const ios = (leaves: readonly string[], authorities: readonly string[]) => {
  const list = (name: string, pins: readonly string[]) =>
    pins.length === 0
      ? ''
      : `<key>${name}</key><array>${pins.map((pin) => `<dict><key>SPKI-SHA256-BASE64</key><string>${pin}</string></dict>`).join('')}</array>`
  return `<plist><dict><key>NSPinnedDomains</key><dict><key>api.example.test</key><dict>${list(
    'NSPinnedLeafIdentities',
    leaves,
  )}${list('NSPinnedCAIdentities', authorities)}</dict></dict></dict></plist>`
}

describe('of Android, the most specific domain holds alone', () => {
  test.each([
    ['its own pin is the server’s', () => android(other, leaf), true],
    ['the wider one is, and its own is not', () => android(leaf, other), false],
    [
      'its own set is empty',
      () =>
        android(other, leaf).replace(
          /<pin-set><pin [^\n]*<\/pin-set><\/domain-config>/,
          '<pin-set/></domain-config>',
        ),
      true,
    ],
  ])('%s', async (_name, text, accepted) => {
    expect(await isAccepted('android', text())).toBe(accepted)
  })
})

describe('of NSPinnedDomains, pins hold at their places, and both kinds must match', () => {
  test.each<[name: string, text: () => string, accepted: boolean]>([
    ['a leaf', () => ios([leaf], []), true],
    ['a leaf that is an authority’s', () => ios([root], []), false],
    ['an authority', () => ios([], [other, root]), true],
    ['an authority that is a leaf’s', () => ios([], [leaf]), false],
    ['both', () => ios([leaf], [root]), true],
    ['both, of which one is another', () => ios([leaf], [other]), false],
    ['both, of which the other is another', () => ios([other], [root]), false],
  ])('%s', async (_name, text, accepted) => {
    expect(await isAccepted('ios', text())).toBe(accepted)
  })
})

test('what TrustKit does not enforce is let through, and what it enforces is not', async () => {
  const text = (isEnforced: boolean) =>
    `<plist><dict><key>kTSKPinnedDomains</key><dict><key>example.test</key><dict><key>kTSKIncludeSubdomains</key><true/><key>kTSKEnforcePinning</key><${isEnforced}/><key>kTSKPublicKeyHashes</key><array><string>${other}</string></array></dict></dict></dict></plist>`
  expect(await isAccepted('trustkit', text(false))).toBe(true)
  expect(await isAccepted('trustkit', text(true))).toBe(false)
})
