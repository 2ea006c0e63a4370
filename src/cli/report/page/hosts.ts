// A host: one line, and behind it its paths, pins and what was found.

import type { PageCertificate, PageHost, PagePin, PageSight } from '../model.js'
import { element, foreign } from './dom.js'

const NAMES = { error: 'refused', warning: 'look at it', healthy: 'in order' } as const

/** The line of a host. What is behind it is made when it is opened. */
export function hostElement(host: PageHost): HTMLDetailsElement {
  const days = host.daysLeft
  const details = element(
    'details',
    { class: `host ${host.health}` },
    element(
      'summary',
      {},
      element('span', { class: 'health' }, NAMES[host.health]),
      foreign(host.authority, 'authority'),
      foreign(host.summary, 'summary'),
      element(
        'span',
        { class: 'days' },
        days === null ? '' : `${days.toLocaleString('en')} ${days === 1 ? 'day' : 'days'}`,
      ),
    ),
  )
  details.addEventListener('toggle', () => fill(details, host))
  return details
}

/** Makes what is behind the line of `host`, once. */
export function fill(details: HTMLDetailsElement, host: PageHost): void {
  if (details.childElementCount > 1) return
  details.append(
    element(
      'div',
      { class: 'inside' },
      host.findings.length === 0 ? null : findings(host),
      ...host.sights.map((sight) => path(sight, host.sights.length > 1)),
      host.pins.length === 0 ? null : pins(host),
    ),
  )
}

function findings({ findings: found }: PageHost): HTMLElement {
  return element(
    'ul',
    { class: 'findings' },
    ...found.map(({ severity, rule, message }) =>
      element(
        'li',
        { class: severity },
        element('strong', {}, severity),
        ' ',
        foreign(message),
        ' ',
        element('code', {}, rule),
      ),
    ),
  )
}

/** The verified path, end entity first: an arrow leads to who has signed. */
function path(
  { via, verdict, address, path: certificates, code }: PageSight,
  isOneOfMany: boolean,
): HTMLElement {
  const from = isOneOfMany ? `${via}: ` : ''
  const what = code === null ? verdict : `${verdict} (${code})`
  const title = `${from}${what}${address === null ? '' : ` at ${address}`}`
  return element(
    'section',
    { class: `sight ${verdict}` },
    element('h3', {}, foreign(title)),
    certificates.length === 0
      ? element('p', { class: 'none' }, 'no path verified')
      : element(
          'ol',
          { class: 'path', 'aria-label': 'verified path' },
          ...certificates.map(certificate),
        ),
  )
}

function certificate({
  role,
  subject,
  pin,
  ends,
  daysLeft,
  isPinned,
  label,
}: PageCertificate): HTMLElement {
  const left = daysLeft === null ? '' : daysLeft < 0 ? ', ended' : `, ${daysLeft} days left`
  return element(
    'li',
    { class: isPinned ? 'certificate pinned' : 'certificate' },
    element(
      'div',
      { class: 'role' },
      role,
      isPinned
        ? element(
            'span',
            { class: 'match' },
            label === null ? 'pinned' : 'pinned: ',
            label === null ? null : foreign(label),
          )
        : null,
    ),
    element('div', { class: 'subject' }, foreign(subject === '' ? '(no subject)' : subject)),
    element('code', { class: 'pin' }, pin),
    element('div', { class: 'ends' }, ends === null ? 'no end known' : `ends ${ends}${left}`),
  )
}

function pins({ pins: all, sets }: PageHost): HTMLElement {
  const cell = (text: string) => element('td', {}, foreign(text))
  const row = ({ pin, pattern, about, seen }: PagePin) =>
    element(
      'tr',
      { class: seen === '' ? 'unseen' : null },
      element('td', {}, element('code', { class: 'pin' }, pin)),
      cell(pattern),
      cell(about),
      cell(seen === '' ? 'not served' : seen),
    )
  const settings = sets
    .filter(({ mode, ends }) => mode !== 'enforce' || ends !== null)
    .map(({ pattern, mode, ends, then }) =>
      element(
        'li',
        {},
        foreign(pattern),
        `: ${[mode === 'enforce' ? '' : 'reported only', ends === null ? '' : `ends ${ends}, then ${then}`].filter((fact) => fact !== '').join(', ')}`,
      ),
    )
  return element(
    'section',
    { class: 'pins' },
    element('h3', {}, 'Pins in force'),
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          ...['Pin', 'Pattern', 'What it is', 'Seen at'].map((name) =>
            element('th', { scope: 'col' }, name),
          ),
        ),
      ),
      element('tbody', {}, ...all.map(row)),
    ),
    settings.length === 0 ? null : element('ul', { class: 'settings' }, ...settings),
  )
}
