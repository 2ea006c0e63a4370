import { spawn } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pki } from './testkit.js'

const LONGEST_VISIT_MS = 60_000

/** Has Debian's Chromium load `url`, a page of a server of `pki`'s; resolves when it has ended. */
export async function visitWithChromium(url: string, pki: Pki): Promise<void> {
  const profile = mkdtempSync(join(tmpdir(), 'pinfetch-chromium-'))
  const key = new X509Certificate(pki.certificates.leaf.pem).publicKey
  const spki = createHash('sha256').update(key.export({ type: 'spki', format: 'der' }))
  const browser = spawn(
    'chromium',
    [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--user-data-dir=${profile}`,
      `--host-resolver-rules=MAP ${pki.hostname} 127.0.0.1`,
      `--ignore-certificate-errors-spki-list=${spki.digest('base64')}`,
      '--dump-dom',
      url,
    ],
    { stdio: 'ignore', timeout: LONGEST_VISIT_MS },
  )
  try {
    await once(browser, 'exit')
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}
