import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Client, type ProfileName } from '../../src/index.js'
import { visitWithChromium } from '../chromium.js'
import { compare } from '../compare-profiles.js'
import { visitWithFirefox } from '../firefox.js'
import { startRecorder } from '../recorder.js'
import { type Pki, sharedKit, standardPki } from '../testkit.js'

const LONGEST_MS = 90_000

interface Browser {
  readonly profile: ProfileName
  readonly program: string
  /** Resolves when the browser has ended, which it need not before `isDone`. */
  visit(url: string, pki: Pki, isDone: () => boolean): Promise<void>
}

const BROWSERS: readonly Browser[] = [
  { profile: 'chrome_156', program: 'chromium', visit: visitWithChromium },
  { profile: 'firefox_153', program: 'firefox-esr', visit: visitWithFirefox },
]

test.each(BROWSERS)(
  'docs/profiles.md has what a client of $profile and $program say of themselves, side by side',
  {
    timeout: LONGEST_MS,
  },
  async ({ profile, program, visit }) => {
    const pki = await standardPki(sharedKit())
    await using recorder = await startRecorder(pki)
    const origin = `https://${pki.hostname}:${recorder.port}`
    const lookup = { [pki.hostname]: '127.0.0.1' }
    await using client = new Client({ ca: pki.ca, lookup, profile })
    await client.get(`${origin}/ours`)
    let isDone = false
    const seen = recorder.introduction('/theirs')
    void seen.then(() => {
      isDone = true
    })
    await visit(`${origin}/theirs`, pki, () => isDone)
    if (!isDone) throw new Error(`${program} did not ask for the page`)
    const [ours, theirs] = await Promise.all([recorder.introduction('/ours'), seen])

    const manual = readFileSync(new URL('../../docs/profiles.md', import.meta.url), 'utf8')
    const version = execFileSync(program, ['--version'], { encoding: 'utf8' }).trim()
    const table = compare(ours, theirs)
    const outdated = table.filter((row) => !manual.includes(row))
    expect(outdated, `rows of docs/profiles.md for ${profile} that differ with ${version}`).toEqual(
      [],
    )
    expect(theirs.http2.settings).toEqual(ours.http2.settings)
  },
)
