// What the public surface promises to a type checker: `npm run types` reads this file, nobody runs it.

import {
  BadPinError,
  type BadPinEvent,
  Client,
  type ClientOptions,
  type Coverage,
  type ErrorCode,
  type FetchAllResult,
  type HandshakeMessage,
  LivePolicy,
  PinfetchError,
  Policy,
  type PolicyFaultEvent,
  type PolicySwap,
  type PolicySwapEvent,
  policyLookup,
  type Rehearsal,
  type Response,
  verifyChain,
} from 'pinfetch'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function same<A, B>(_proof: Same<A, B>): void {}

const client = new Client({
  pins: {
    'api.example.com': ['sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='],
    '*.example.com': [
      { certificate: '-----BEGIN CERTIFICATE-----' },
      { publicKey: new Uint8Array() },
    ],
    'dev.example.com': { exclude: true },
  },
  onBadPin: (event) => same<typeof event, BadPinEvent>(true),
  lookup: { 'api.example.com': ['127.0.0.1', '::1'] },
})

// @ts-expect-error an option that does not exist
new Client({ pin: {} })
// @ts-expect-error a time limit is a number of milliseconds
new Client({ timeout: '30s' })
// @ts-expect-error a host without pins is left out, not null
new Client({ pins: { 'api.example.com': null } })
// @ts-expect-error there is no third way
new Client({ unpinned: 'maybe' } satisfies ClientOptions)

same<ReturnType<typeof client.get>, Promise<Response>>(true)
same<ReturnType<Response['json']>, Promise<unknown>>(true)
same<Response['tls']['matchedPin'], string | null>(true)
same<BadPinError['code'], 'ERR_BAD_PIN'>(true)
same<BadPinError['foundPins'], readonly string[]>(true)

const live = new LivePolicy({ 'api.example.com': ['…'] })
new Client({ pins: live })
same<ReturnType<typeof live.set>, Promise<PolicySwap>>(true)
same<ReturnType<typeof client.setPins>, Promise<PolicySwap>>(true)
same<ReturnType<typeof live.metrics>, ReturnType<typeof client.metrics>>(true)
same<ReturnType<Rehearsal['report']>['isSafe'], boolean>(true)
same<PolicySwap['gained'], readonly string[]>(true)
same<Coverage['unpinned'][number]['firstSeen'], Date>(true)
same<HandshakeMessage['connection'], number | null>(true)
live.addEventListener('swap', (event) => same<typeof event, PolicySwapEvent>(true))
// @ts-expect-error an event that does not exist
live.addEventListener('swapped', () => {})
// @ts-expect-error whether it is forced is a boolean
void client.setPolicy(live.policy, { force: 'yes' })
// @ts-expect-error a live policy is given to a client when it is made
void client.setPins(live)

/** An error of any kind narrows by its class. */
export function narrowed(error: unknown): readonly string[] | string | undefined {
  if (error instanceof BadPinError) return error.foundPins
  if (error instanceof PinfetchError) return error.code
  return undefined
}

/** A result is a response or an error, never both. */
export function told(result: FetchAllResult<string>): string {
  return result.response === undefined
    ? result.request
    : `${result.request}: ${result.response.status}`
}

const looked = policyLookup({ 'api.example.com': ['…'] }, 'api.example.com:443')
same<typeof looked.pins, readonly string[]>(true)
const verdict = verifyChain({ chain: [], trustAnchors: [], hostname: 'api.example.com' })
if (verdict.ok) {
  same<typeof verdict.path, readonly string[]>(true)
} else {
  same<typeof verdict.code, ErrorCode>(true)
}

const watched = await Policy.watch('policy.json', { verify: { keys: new Uint8Array(), name: 'a' } })
watched.addEventListener('fault', (event) => same<typeof event, PolicyFaultEvent>(true))
watched.addEventListener('swap', (event) => same<typeof event, PolicySwapEvent>(true))
// @ts-expect-error a kind of event that there is not
watched.addEventListener('change', () => {})
new Client({ pins: watched, reportTo: { url: 'https://reports.example.com/', maxPerHour: 10 } })
new Policy({ 'api.example.com': 'ca:letsencrypt' }, { caSets: 'current' })
// @ts-expect-error sets are as they are now, or as a lock has them
new Policy({ 'api.example.com': 'ca:letsencrypt' }, { caSets: 'latest' })
