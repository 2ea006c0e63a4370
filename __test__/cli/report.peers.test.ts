// The page of `pinfetch report --html`, in Chromium.

import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import {
  type Browser,
  type BrowserContextOptions,
  chromium,
  type Locator,
  type Page,
} from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Command } from './command.js'
import { surveyLines } from './survey-lines.js'

const command = new Command()
const MANY = 5000

let browser: Browser

beforeAll(async () => {
  const { stdout } = spawnSync('which', ['chromium'], { encoding: 'utf8' })
  browser = await chromium.launch({
    executablePath: stdout.trim(),
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
      ...['--disable-background-networking', '--disable-component-update'],
    ],
  })
  for (const [name, count] of [
    ['few', 60],
    ['many', MANY],
  ] as const) {
    const saved = command.file(`${name}.jsonl`, surveyLines(count))
    const ended = await command.run([
      'report',
      '--html',
      saved,
      '--out',
      command.path(`${name}.html`),
    ])
    expect(ended.code, ended.stderr).toBe(0)
  }
})

afterAll(() => browser.close())

/** The page, and what went wrong on it: messages of the console, errors, requests for anything but the file. */
async function open(
  name: string,
  options: BrowserContextOptions = {},
): Promise<Page & AsyncDisposable & { troubles: string[] }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  const page = await context.newPage()
  const troubles: string[] = []
  const url = pathToFileURL(command.path(`${name}.html`)).href
  page.on('console', (message) => troubles.push(message.text()))
  page.on('pageerror', (error) => troubles.push(error.message))
  page.on('request', (request) => {
    if (request.url() !== url) troubles.push(request.url())
  })
  await page.goto(url)
  return Object.assign(page, { troubles, [Symbol.asyncDispose]: () => context.close() })
}

const told = (page: Page) => page.textContent('.told')
/** Opens a host, and waits for what is behind its line: it is made when the element tells that it is open. */
async function unfold(host: Locator): Promise<void> {
  await host.locator('summary').click()
  await host.locator('.inside').waitFor()
}
const focused = (page: Page) =>
  page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent)

test('hosts stand there by their health, the worst first, and the page asks for nothing', async () => {
  await using page = await open('few')
  expect(await told(page)).toBe('All 60 hosts')
  const healths = await page.locator('.host .health').allTextContents()
  expect(healths).toHaveLength(60)
  expect([...new Set(healths)]).toEqual(['refused', 'look at it', 'in order'])
  expect(healths.indexOf('look at it')).toBe(healths.lastIndexOf('refused') + 1)
  expect(healths.indexOf('in order')).toBe(healths.lastIndexOf('look at it') + 1)
  expect(page.troubles).toEqual([])
})

test('a host opens to its path with the matching pins marked, its pins and its findings', async () => {
  await using page = await open('few')
  const host = page.locator('.host', { hasText: 'cdn.bank.example:443' })
  await unfold(host)
  expect(await host.locator('.certificate .role').allTextContents()).toEqual([
    'end entitypinned: cdn 2026',
    'intermediate',
    'trust anchorpinned: Example Root 1',
  ])
  expect(await host.locator('.certificate.pinned').count()).toBe(2)
  expect(await host.locator('.unseen').allTextContents()).toEqual([
    expect.stringContaining('in the safe'),
  ])
  const refused = page.locator('.host.error', { hasText: 'pay.shop.example' })
  await unfold(refused)
  expect(await refused.locator('.findings li').allTextContents()).toEqual([
    expect.stringMatching(/^error bad ssl pin detected.*looks like interception/),
  ])
  expect(page.troubles).toEqual([])
})

test('what a certificate says is text: no script runs, and nothing turns or hides', async () => {
  await using page = await open('few')
  const host = page.locator('.host', { hasText: 'pay.shop.example' })
  await unfold(host)
  expect(await host.locator('.subject').first().textContent()).toBe(
    'CN=<script>document.title="owned"</script><!--,O=\\u{202e}gnp.exe\\u{7}\\u{2028}</script>',
  )
  expect(await page.title()).toMatch(/^Pins: .*few\.jsonl$/)
  expect(await page.locator('script').count()).toBe(2)
  // a script that came in all the same would be refused: it is none that the page's policy names
  const ran = page.evaluate(() => {
    const script = document.createElement('script')
    script.textContent = 'document.title = "owned"'
    document.body.append(script)
    return document.title
  })
  expect(await ran).toMatch(/^Pins: /)
  expect(page.troubles.join()).toContain('Content Security Policy')
})

test('thousands of hosts are searched by every word, and filtered by health and week', async () => {
  await using page = await open('many')
  expect(await told(page)).toBe('All 5,000 hosts')
  await page.keyboard.press('/')
  await page.keyboard.type('PAY-77 shop')
  expect(await told(page)).toBe('1 of 5,000 hosts')
  expect(await page.locator('.host .authority').allTextContents()).toEqual([
    'pay-771.shop.example:443',
  ])
  await page.keyboard.press('Escape')
  expect(await told(page)).toBe('All 5,000 hosts')

  const filter = page.getByRole('button', { name: 'Refused' })
  const number = (await filter.locator('.number').textContent()) ?? ''
  await filter.click()
  expect(await filter.getAttribute('aria-pressed')).toBe('true')
  expect(await told(page)).toBe(`${number} of 5,000 hosts`)
  await filter.click()

  const week = page.locator('.mark').first()
  const name = (await week.getAttribute('aria-label')) ?? ''
  await week.click()
  const [, hosts] = /: ([\d,]+) hosts?, end in the week from 2026-11-25$/.exec(name) ?? []
  expect(await told(page)).toBe(`${hosts} of 5,000 hosts`)
  await page.locator('.period').click()
  expect(await told(page)).toBe('All 5,000 hosts')
  expect(page.troubles).toEqual([])
})

test('more hosts come as one reads on', async () => {
  await using page = await open('many')
  const hosts = page.locator('.host')
  const before = await hosts.count()
  expect(before).toBeLessThan(1000)
  await hosts.last().scrollIntoViewIfNeeded()
  await page.waitForFunction((count) => document.querySelectorAll('.host').length > count, before)
})

test('the keyboard reaches everything, and one sees where it is', async () => {
  await using page = await open('few')
  await page.keyboard.press('Tab')
  expect(await focused(page)).toBe('Skip to the hosts')
  await page.keyboard.press('Tab')
  expect(await focused(page)).toContain('Auto')
  await page.keyboard.press('Tab') // one mark of a lane, and arrows for the others
  const first = await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))
  await page.keyboard.press('ArrowRight')
  const second = await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))
  expect([first, second]).toEqual([
    expect.stringMatching(/^Certificates: /),
    expect.stringMatching(/^Certificates: /),
  ])
  expect(second).not.toBe(first)
  await page.keyboard.press('Tab')
  await page.keyboard.press('Tab')
  expect(await focused(page)).toBe('search')
  const outline = () =>
    page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle)
  expect(await outline()).toBe('solid')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('ArrowDown')
  expect(await outline()).toBe('solid')
  await page.keyboard.press('Enter')
  expect(await page.locator('.host').nth(1).getAttribute('open')).toBe('')
  await page.keyboard.press('ArrowUp')
  await page.keyboard.press('ArrowUp')
  expect(await focused(page)).toBe('search')
})

test('it is dark where the system is, and as one asks for', async () => {
  const ground = (page: Page) =>
    page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  await using dark = await open('few', { colorScheme: 'dark' })
  expect(await ground(dark)).toBe('rgb(18, 21, 28)')
  await using light = await open('few', { colorScheme: 'light' })
  expect(await ground(light)).toBe('rgb(255, 255, 255)')
  const theme = light.locator('.theme')
  await theme.click() // light
  await theme.click() // dark
  expect(await ground(light)).toBe('rgb(18, 21, 28)')
  await theme.click()
  expect(await ground(light)).toBe('rgb(255, 255, 255)')
})

test('a printer gets all hosts, opened, and no controls', async () => {
  await using page = await open('few')
  await page.emulateMedia({ media: 'print' })
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')))
  expect(await page.locator('.host[open]').count()).toBe(60)
  expect(await page.locator('.controls').isVisible()).toBe(false)
  expect((await page.pdf()).length).toBeGreaterThan(10_000)
})
