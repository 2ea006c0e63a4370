/** Hosts as `pinfetch check --json` prints them, without a server: for tests of what is made of them. */
import { createHash } from 'node:crypto'
import type { SurveyedHost } from '../../src/cli/survey/record.js'

const DAY = 24 * 60 * 60 * 1000
/** When all of them were asked. */
export const CHECKED = '2026-11-25T22:00:00.000Z'

/** What a certificate may say of itself, where nobody has verified it. */
export const HOSTILE =
  'CN=<script>document.title="owned"</script><!--,O=\u202egnp.exe\u0007\u2028</script>'

/** A pin for a number. */
export function pinOf(number: number): string {
  return `sha256/${createHash('sha256').update(String(number)).digest('base64')}`
}

/** `count` hosts of three domains, of which some are refused, some end soon, and one is hostile. */
export function surveyLines(count: number): string {
  return Array.from({ length: count }, (_, index) => `${JSON.stringify(hostOf(index))}\n`).join('')
}

function hostOf(index: number): SurveyedHost & { findings: [] } {
  const name = ['api', 'cdn', 'login', 'pay', 'static', 'img', 'search', 'edge'][index % 8]
  const domain = ['shop.example', 'bank.example', 'news.example'][index % 3] ?? ''
  const host = `${name}${index > 7 ? `-${index}` : ''}.${domain}`
  const isBad = index % 41 === 3
  const isFailed = index % 67 === 5
  const isAlone = index % 13 === 4
  const days = index % 17 === 0 ? 5 + (index % 9) : 30 + ((index * 37) % 340)
  const [leaf, other, root] = [pinOf(index), pinOf(90_000 + index), pinOf(99_000 + (index % 3))]
  const certificates = [
    ['end entity', index === 3 ? HOSTILE : `CN=${host}`, leaf, days],
    [
      'intermediate',
      `CN=Example CA ${index % 5},O=Example Trust,C=DE`,
      pinOf(80_000 + (index % 5)),
      700,
    ],
    ['trust anchor', `CN=Example Root ${index % 3},O=Example Trust,C=DE`, root, 4000],
  ] as const
  const isPinned = (role: string) =>
    !isBad && (role === 'end entity' || (role === 'trust anchor' && !isAlone))
  const path = certificates.map(([role, subject, pin, daysLeft]) => ({
    role,
    subject,
    pin,
    notAfter: later(daysLeft),
    daysLeft,
    pinned: isPinned(role),
  }))
  const known = { at: null, added: null, expires: null, pointer: `/hosts/${host}/0` } as const
  const seen = (role: 'end entity' | 'trust anchor') =>
    isBad || isFailed ? [] : [{ via: 'direct', role }]
  const hint = 'looks like interception: the issuer is seen nowhere else'
  const error = isBad
    ? {
        code: 'ERR_BAD_PIN',
        message: `bad ssl pin detected, found pins: [${path.map(({ pin }) => pin.slice(7)).join(' ')}]`,
        hint,
      }
    : { code: 'ERR_CERT_EXPIRED', message: 'the certificate expired on 2026-11-01' }
  const verdict = isBad ? 'bad-pin' : isFailed ? 'failed' : 'pinned'
  return {
    authority: `${host}:443`,
    host,
    port: 443,
    checked: CHECKED,
    environment: 'production',
    patterns: [
      {
        pattern: host,
        mode: 'enforce',
        require: 1,
        expires: index % 6 === 0 ? { at: later(((index * 11) % 380) + 3), then: 'enforce' } : null,
        pointer: `/hosts/${host}`,
      },
    ],
    pins: [
      {
        ...known,
        pin: isBad ? pinOf(70_000) : leaf,
        pattern: host,
        role: 'current',
        label: `${name} 2026`,
        seen: seen('end entity'),
      },
      ...(isAlone
        ? []
        : [
            {
              ...known,
              pin: other,
              pattern: host,
              role: 'backup',
              label: 'in the safe',
              seen: [],
            } as const,
            {
              ...known,
              pin: isBad ? pinOf(71_000) : root,
              pattern: `**.${domain}`,
              role: 'root',
              label: `Example Root ${index % 3}`,
              seen: seen('trust anchor'),
            } as const,
          ]),
    ],
    sights: [
      {
        via: 'direct',
        verdict,
        remoteAddress: `192.0.2.${index % 250}`,
        path: isFailed ? [] : path,
        ...(verdict === 'pinned' ? {} : { error }),
      },
    ],
    forecast:
      verdict === 'pinned'
        ? {
            by: later(days),
            newKey: isAlone ? 'no' : 'with-backup',
            newIntermediate: 'yes',
            newAuthority: isAlone ? 'no' : 'with-backup',
          }
        : null,
    findings: [],
  }
}

function later(days: number): string {
  return new Date(Date.parse(CHECKED) + days * DAY).toISOString()
}
