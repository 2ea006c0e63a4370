import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Pki } from './testkit.js'

const LONGEST_VISIT_MS = 60_000

/** Has Debian's Firefox load `url`, a page of a server of `pki`'s, until `isDone`; resolves when the browser has ended. */
export async function visitWithFirefox(
  url: string,
  pki: Pki,
  isDone: () => boolean,
): Promise<void> {
  const profile = mkdtempSync(join(tmpdir(), 'pinfetch-firefox-'))
  const root = join(profile, 'root.pem')
  writeFileSync(root, pki.ca)
  const database = ['-d', `sql:${profile}`]
  execFileSync('certutil', ['-N', ...database, '--empty-password'])
  execFileSync('certutil', ['-A', ...database, '-n', 'test', '-t', 'C,,', '-i', root])
  const preferences = {
    'network.dns.localDomains': pki.hostname,
    'browser.shell.checkDefaultBrowser': false,
    'datareporting.policy.dataSubmissionEnabled': false,
    'toolkit.telemetry.enabled': false,
    'app.update.enabled': false,
    'network.captive-portal-service.enabled': false,
    'network.connectivity-service.enabled': false,
  }
  const lines = Object.entries(preferences).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`,
  )
  writeFileSync(join(profile, 'user.js'), lines.join('\n'))
  const browser = spawn('firefox-esr', ['--headless', '--no-remote', '--profile', profile, url], {
    stdio: 'ignore',
    env: { ...process.env, HOME: profile },
  })
  const ended = once(browser, 'exit')
  try {
    const latest = Date.now() + LONGEST_VISIT_MS
    while (!isDone()) {
      if (Date.now() > latest) throw new Error(`Firefox has not loaded ${url}`)
      if (browser.exitCode !== null) throw new Error(`Firefox ended with ${browser.exitCode}`)
      await pause(50)
    }
  } finally {
    browser.kill()
    await ended
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  }
}
