import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Client } from '../../src/index.js'
import { visitWithChromium } from '../chromium.js'
import { compare } from '../compare-profiles.js'
import { startRecorder } from '../recorder.js'
import { sharedKit, standardPki } from '../testkit.js'

const LONGEST_MS = 90_000

test('docs/profiles.md has what a client of the profile and Chromium say of themselves, side by side', {
  timeout: LONGEST_MS,
}, async () => {
  const pki = await standardPki(sharedKit())
  await using recorder = await startRecorder(pki)
  const origin = `https://${pki.hostname}:${recorder.port}`
  const lookup = { [pki.hostname]: '127.0.0.1' }
  await using client = new Client({ ca: pki.ca, lookup, profile: 'chrome_156' })
  await client.get(`${origin}/ours`)
  await visitWithChromium(`${origin}/theirs`, pki)
  const [ours, theirs] = await Promise.all(
    ['/ours', '/theirs'].map((path) => recorder.introduction(path)),
  )
  if (ours === undefined || theirs === undefined) throw new Error('both were asked for')

  const manual = readFileSync(new URL('../../docs/profiles.md', import.meta.url), 'utf8')
  const version = /\d+/.exec(execFileSync('chromium', ['--version'], { encoding: 'utf8' }))?.[0]
  const table = compare(ours, theirs)
  const outdated = table.filter((row) => !manual.includes(row))
  expect(
    outdated,
    `rows that differ with Chromium ${version}; those of docs/profiles.md are of 156`,
  ).toEqual([])
  expect(theirs.http2.settings).toEqual(ours.http2.settings)
  expect(theirs.hello.groups).toEqual(ours.hello.groups)
})
