// When certificates and pin sets end: two lanes of weeks, whose marks filter the hosts.

import type { PageHost } from '../model.js'
import { count, element } from './dom.js'

/** What ends in a week of one lane. */
interface Mark {
  readonly from: number
  readonly hosts: ReadonlySet<PageHost>
}

/** A choice of the time line. */
export interface Period {
  readonly text: string
  readonly hosts: ReadonlySet<PageHost>
}

const DAY = 24 * 60 * 60 * 1000
const WEEK = 7 * DAY
/** What ends later stands at the end of the line. */
const WEEKS = 60

/** The time line of `hosts`. `choose` is called with the period whose mark is pressed. */
export function timeline(
  hosts: readonly PageHost[],
  checked: string,
  days: number,
  choose: (period: Period) => void,
): HTMLElement {
  const start = Date.parse(`${checked.slice(0, 10)}T00:00:00Z`)
  const lanes = [
    lane(
      'Certificates',
      marksOf(hosts, start, (host) => (host.ends === null ? [] : [host.ends])),
    ),
    lane(
      'Pin sets',
      marksOf(hosts, start, ({ sets }) =>
        sets.flatMap(({ ends }) => (ends === null ? [] : [ends])),
      ),
    ),
  ]
  return element(
    'section',
    { class: 'timeline', 'aria-labelledby': 'timeline-title' },
    element('h2', { id: 'timeline-title' }, 'What ends when'),
    element(
      'p',
      { class: 'hint' },
      'Weeks by the number of hosts. Choose one to see its hosts; arrow keys go from one to the next.',
    ),
    ...lanes,
    axis(start),
  )

  function lane(name: string, marks: readonly Mark[]): HTMLElement {
    const most = Math.max(1, ...marks.map((mark) => mark.hosts.size))
    const buttons = marks.map((mark, index) => button(name, mark, most, index))
    const group = element(
      'div',
      { class: 'marks', role: 'group', 'aria-label': `${name}: weeks in which some end` },
      ...buttons,
    )
    group.addEventListener('keydown', (event) => rove(event, buttons))
    return element(
      'div',
      { class: 'lane' },
      element('h3', {}, name),
      buttons.length === 0 ? element('p', { class: 'none' }, 'none has an end') : group,
    )
  }

  function button(
    name: string,
    { from, hosts: ending }: Mark,
    most: number,
    index: number,
  ): HTMLButtonElement {
    const week = Math.round((from - start) / WEEK)
    const level = from < start ? 'error' : from - start <= days * DAY ? 'warning' : 'healthy'
    const when =
      from < start
        ? 'ended'
        : week >= WEEKS
          ? `end after ${dayOf(from)}`
          : `end in the week from ${dayOf(from)}`
    const text = `${name}: ${count(ending.size, 'host')}, ${when}`
    const made = element(
      'button',
      {
        type: 'button',
        class: `mark ${level}`,
        title: text,
        'aria-label': text,
        tabindex: index === 0 ? '0' : '-1',
      },
      element('span', { class: 'bar' }),
      element('span', { class: 'count' }, ending.size.toLocaleString('en')),
    )
    const place = Math.min(Math.max(week, -1), WEEKS) + 1
    made.style.setProperty('--place', String(place / (WEEKS + 2)))
    made.style.setProperty('--height', String(Math.sqrt(ending.size / most)))
    made.addEventListener('click', () => choose({ text, hosts: ending }))
    return made
  }

  function axis(from: number): HTMLElement {
    const months: HTMLElement[] = []
    const first = new Date(from)
    for (let month = 1; month <= 14; month++) {
      const at = Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + month, 1)
      const place = ((at - from) / WEEK + 1) / (WEEKS + 2)
      if (place > 0.97) break
      const made = element('span', { class: 'month' }, dayOf(at).slice(0, 7))
      made.style.setProperty('--place', String(place))
      months.push(made)
    }
    return element('div', { class: 'axis', 'aria-hidden': 'true' }, ...months)
  }
}

/** The weeks in which something of a host ends, in their order. */
function marksOf(
  hosts: readonly PageHost[],
  start: number,
  ends: (host: PageHost) => readonly string[],
): Mark[] {
  const weeks = new Map<number, Set<PageHost>>()
  for (const host of hosts) {
    for (const end of ends(host)) {
      const at = Date.parse(`${end}T00:00:00Z`)
      const week = Math.min(Math.max(Math.floor((at - start) / WEEK), -1), WEEKS)
      const ending = weeks.get(week) ?? new Set()
      weeks.set(week, ending.add(host))
    }
  }
  return [...weeks]
    .sort(([a], [b]) => a - b)
    .map(([week, ending]) => ({ from: start + week * WEEK, hosts: ending }))
}

/** One mark of a lane is in the order of tabs; arrow keys, Home and End go to the others. */
function rove(event: KeyboardEvent, buttons: readonly HTMLButtonElement[]): void {
  const at = buttons.findIndex((button) => button.matches(':focus'))
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key]
  const next = to === undefined ? undefined : buttons[to]
  if (next === undefined) return
  event.preventDefault()
  for (const button of buttons) button.tabIndex = button === next ? 0 : -1
  next.focus()
}

function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}
