// What `pinfetch check` prints for people: a line for a host that is in order, its path for one that is not.

import type { PolicyFile, Role } from '../../index.js'
import { columns, printable } from '../output.js'
import type { SeenCertificate, Sight, SurveyedHost, SurveyedPin } from '../survey/record.js'
import { dayOf } from '../wording.js'
import { type CheckFinding, nameOf } from './rules.js'

/** A host, with `isLong` or for its findings with what it serves. */
export function textOf(
  host: SurveyedHost,
  findings: readonly CheckFinding[],
  file: PolicyFile,
  name: string,
  isLong: boolean,
): string {
  const lines = [`${host.authority}: ${standing(host)}`]
  if (isLong || findings.length > 0) {
    lines.push(
      ...host.patterns.map(({ pattern, pointer }) => placeOf(file, name, pattern, pointer)),
    )
    for (const sight of host.sights) lines.push(...blockOf(sight, host))
    const unseen = host.pins.filter(({ seen }) => seen.length === 0)
    lines.push(...columns(unseen.map(cellsOfUnseen)).map((row) => `  not served: ${row}`))
  }
  return textWith(lines, findings)
}

/** A wildcard that no host was named for. */
export function textOfUnnamed(pattern: string, findings: readonly CheckFinding[]): string {
  return textWith([`${pattern}: not asked`], findings)
}

function textWith(lines: readonly string[], findings: readonly CheckFinding[]): string {
  const told = findings.map(({ severity, message, rule }) => `  ${severity}: ${message} (${rule})`)
  return `${[...lines, ...told].map(printable).join('\n')}\n`
}

/** In a few words: whether the host is pinned, where, and for how long its certificates last. */
function standing({ sights }: SurveyedHost): string {
  const verdicts = new Set(sights.map(({ verdict }) => verdict))
  if (verdicts.size > 1) return sights.map(({ via, verdict }) => `${verdict} (${via})`).join(', ')
  const [sight] = sights
  if (sight === undefined || sight.verdict !== 'pinned') return sight?.verdict ?? 'not asked'
  const places: Role[] = sight.path.filter(({ pinned }) => pinned).map(({ role }) => role)
  const days = sight.path.flatMap(({ daysLeft }) => (daysLeft === null ? [] : [daysLeft]))
  const left = days.length === 0 ? '' : `, ${Math.min(...days)} days left`
  return `pinned by ${[...new Set(places)].join(' and ')}${left}`
}

function placeOf(file: PolicyFile, name: string, pattern: string, pointer: string): string {
  const { line, column } = file.positionOf(pointer)
  return `  ${pattern} (${name}:${line}:${column})`
}

/** A path, and from where it was seen if there is more than one vantage point. */
function blockOf({ via, remoteAddress, path }: Sight, { sights, pins }: SurveyedHost): string[] {
  const from = remoteAddress === null ? '' : `, from ${remoteAddress}`
  const rows = columns(path.map((certificate) => cellsOf(certificate, pins)))
  return sights.length === 1
    ? rows.map((row) => `  ${row}`)
    : [`  ${via}${from}:`, ...rows.map((row) => `    ${row}`)]
}

function cellsOf(certificate: SeenCertificate, pins: readonly SurveyedPin[]): string[] {
  const { pin, role, subject, notAfter, daysLeft, pinned } = certificate
  const end = notAfter === null ? '' : `ends ${dayOf(new Date(notAfter))} (${daysLeft} days)`
  const names = pins.filter((of) => of.pin === pin && of.seen.some((at) => at.role === role))
  const notes = new Set(names.map(({ role, label }) => [role, label].filter(Boolean).join(' ')))
  const told = [...notes].filter((note) => note !== '').join(', ')
  return [pinned ? '=' : '-', pin, role, subject, end, told]
}

function cellsOfUnseen(pin: SurveyedPin): string[] {
  const facts = [pin.role ?? '', pin.at === null ? '' : `at the ${pin.at} only`]
  return [nameOf(pin), facts.filter((fact) => fact !== '').join(', ')]
}
