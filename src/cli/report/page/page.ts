// The page: counts, a time line, and hosts that are searched and filtered. All of it is made from the data in it.

import type { Health, Page, PageHost } from '../model.js'
import { count, element, foreign } from './dom.js'
import { fill, hostElement } from './hosts.js'
import { type Period, timeline } from './timeline.js'

/** As many hosts are shown at first, and more as one reads on. */
const BATCH = 100
/** No more are opened for a printer. */
const PRINTED_OPEN = 200

const HEALTHS: readonly (readonly [health: Health, name: string])[] = [
  ['error', 'Refused'],
  ['warning', 'Look at it'],
  ['healthy', 'In order'],
]

const THEMES = ['auto', 'light', 'dark'] as const

// the page that has this script has the data, too
const data = JSON.parse(document.querySelector('#data')?.textContent ?? '') as Page
const texts = new Map(data.hosts.map((host) => [host, textOf(host)]))
const chosen = new Set<Health>()
let period: Period | null = null
let found: readonly PageHost[] = data.hosts
let shown = 0

const search = element('input', {
  type: 'search',
  id: 'search',
  placeholder: 'host, subject, pin, pattern …',
  autocomplete: 'off',
  spellcheck: 'false',
  'aria-keyshortcuts': '/',
  'aria-describedby': 'search-hint',
})
const told = element('p', { class: 'told', role: 'status', 'aria-live': 'polite' })
const list = element('div', { class: 'hosts', id: 'hosts', tabindex: '-1' })
const more = element('button', { type: 'button', class: 'more' })
const periodButton = element('button', { type: 'button', class: 'period', hidden: '' })
const filters = HEALTHS.map(([health, name]) => filter(health, name))
const theme = element('button', { type: 'button', class: 'theme' })

document.body.append(
  element('a', { class: 'skip', href: '#hosts' }, 'Skip to the hosts'),
  element(
    'header',
    {},
    element(
      'div',
      { class: 'title' },
      element('h1', {}, 'Pins: ', foreign(data.source)),
      element(
        'p',
        {},
        `${count(data.hosts.length, 'host')} asked ${data.checked.slice(0, 16).replace('T', ' ')} UTC`,
        ...(data.environment === null ? [] : [', environment ', foreign(data.environment)]),
      ),
    ),
    theme,
  ),
  element(
    'main',
    {},
    data.unnamed.length === 0
      ? null
      : element(
          'p',
          { class: 'unnamed' },
          'No host was named for ',
          foreign(data.unnamed.join(', ')),
          ': nothing is known of them.',
        ),
    timeline(data.hosts, data.checked, data.days, (choice) => {
      period = period?.text === choice.text ? null : choice
      show()
    }),
    element(
      'section',
      { class: 'all', 'aria-labelledby': 'hosts-title' },
      element('h2', { id: 'hosts-title' }, 'Hosts, the worst first'),
      element(
        'search',
        { class: 'controls' },
        element('label', { for: 'search' }, 'Search'),
        search,
        element(
          'span',
          { id: 'search-hint', class: 'hint' },
          element('kbd', {}, '/'),
          ' to search, ',
          element('kbd', {}, 'Esc'),
          ' to clear, ',
          element('kbd', {}, '↓'),
          element('kbd', {}, '↑'),
          ' from host to host',
        ),
        element(
          'div',
          { class: 'filters', role: 'group', 'aria-label': 'Filter by health' },
          ...filters,
        ),
        periodButton,
      ),
      told,
      list,
      more,
    ),
  ),
)

search.addEventListener('input', show)
more.addEventListener('click', () => append(BATCH))
periodButton.addEventListener('click', () => {
  period = null
  show()
  search.focus()
})
document.addEventListener('keydown', onKey)
new IntersectionObserver(([entry]) => {
  if (entry?.isIntersecting) append(BATCH)
}).observe(more)
addEventListener('beforeprint', () => {
  append(found.length)
  const all = [...list.querySelectorAll('details')]
  if (all.length > PRINTED_OPEN) return
  for (const [index, details] of all.entries()) {
    const host = found[index]
    if (host !== undefined) fill(details, host)
    details.open = true
  }
})
let at = 0
setTheme()
theme.addEventListener('click', () => {
  at = (at + 1) % THEMES.length
  setTheme()
})
show()

/** Shows the hosts that are asked for. */
function show(): void {
  const words = search.value
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
  found = data.hosts.filter(
    (host) =>
      (chosen.size === 0 || chosen.has(host.health)) &&
      (period === null || period.hosts.has(host)) &&
      words.every((word) => texts.get(host)?.includes(word)),
  )
  shown = 0
  list.replaceChildren()
  append(BATCH)
  const all = found.length === data.hosts.length
  told.textContent = all
    ? `All ${count(found.length, 'host')}`
    : `${found.length.toLocaleString('en')} of ${count(data.hosts.length, 'host')}`
  periodButton.hidden = period === null
  periodButton.textContent = period === null ? '' : `${period.text} ✕`
  periodButton.setAttribute('aria-label', period === null ? '' : `${period.text}: show all again`)
}

/** Shows as many more. */
function append(number: number): void {
  const next = found.slice(shown, shown + number)
  list.append(...next.map(hostElement))
  shown += next.length
  more.hidden = shown >= found.length
  more.textContent = `Show more: ${count(found.length - shown, 'host')} left`
}

function filter(health: Health, name: string): HTMLButtonElement {
  const number = data.hosts.filter((host) => host.health === health).length
  const button = element(
    'button',
    { type: 'button', class: `filter ${health}`, 'aria-pressed': 'false' },
    element('span', { class: 'name' }, name),
    ' ',
    element('span', { class: 'number' }, number.toLocaleString('en')),
  )
  button.addEventListener('click', () => {
    if (!chosen.delete(health)) chosen.add(health)
    button.setAttribute('aria-pressed', String(chosen.has(health)))
    show()
  })
  return button
}

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const { activeElement } = document
  if (event.key === '/' && activeElement !== search) {
    event.preventDefault()
    search.focus()
    search.select()
  } else if (event.key === 'Escape' && activeElement === search && search.value !== '') {
    search.value = ''
    show()
  } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    const lines = [...list.querySelectorAll('summary')]
    const from = activeElement === search ? -1 : lines.findIndex((line) => line.matches(':focus'))
    if (from === -1 && activeElement !== search) return
    const to = event.key === 'ArrowDown' ? from + 1 : from - 1
    if (to >= lines.length) append(BATCH)
    const line = list.querySelectorAll('summary')[to] ?? (to < 0 ? search : undefined)
    if (line === undefined) return
    event.preventDefault()
    line.focus()
  }
}

function setTheme(): void {
  const name = THEMES[at] ?? 'auto'
  if (name === 'auto') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = name
  theme.textContent = { auto: '◐ Auto', light: '☀ Light', dark: '☾ Dark' }[name]
  theme.setAttribute('aria-label', `Colours: ${name}. Press for the next`)
}

/** What a search looks at. */
function textOf(host: PageHost): string {
  return [
    host.authority,
    host.summary,
    ...host.findings.flatMap(({ rule, message }) => [rule, message]),
    ...host.sets.map(({ pattern }) => pattern),
    ...host.sights.flatMap(({ via, verdict, code, path }) => [
      via,
      verdict,
      code ?? '',
      ...path.flatMap(({ subject, pin }) => [subject, pin]),
    ]),
    ...host.pins.flatMap(({ pin, about }) => [pin, about]),
  ]
    .join('\n')
    .toLowerCase()
}
