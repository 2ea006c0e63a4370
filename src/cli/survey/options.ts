// What commands that survey a policy's hosts read from the command line alike.

import type { ClientOptions } from '../../index.js'
import { prove, readCount, readSeconds, trusting } from '../arguments.js'
import { codeOf, messageOf, UsageError } from '../exit.js'
import { readTargets } from './forward.js'
import { readNames } from './hosts.js'
import type { SurveyPlan } from './survey.js'

/** For `parseArgs`. */
export const SURVEY_OPTIONS = {
  environment: { type: 'string' },
  host: { type: 'string', multiple: true, default: [] as string[] },
  hosts: { type: 'string' },
  connect: { type: 'string', multiple: true, default: [] as string[] },
  via: { type: 'string', multiple: true, default: [] as string[] },
  ca: { type: 'string' },
  timeout: { type: 'string' },
  concurrency: { type: 'string' },
} as const

/** For `--help`. */
export const SURVEY_HELP = `\
  --environment NAME    which environment of the policy file
  --host NAME           a host[:port] to ask besides those that the file names; repeatable
  --hosts FILE          the same, a name a line
  --connect HOST:PORT   connect there; NAME=HOST:PORT for one host alone; repeatable, for
                        several machines behind a name: each is asked
  --via PROXY           ask through an http:, https:, socks5: or socks5h: proxy; repeatable,
                        and direct for none: what they see is compared
  --ca FILE             trust the certificates in FILE instead of the built-in roots
  --timeout SECONDS     for each host, look-up to handshake; 0 for none (default 30)
  --concurrency N       hosts at a time (default 256)
`

/** What the command line says of a survey. */
export type SurveyOptions = Omit<SurveyPlan, 'policy' | 'patterns' | 'now'>

/** As `parseArgs` gives them. */
export interface SurveyValues {
  readonly host: readonly string[]
  readonly hosts?: string
  readonly connect: readonly string[]
  readonly via: readonly string[]
  readonly ca?: string
  readonly timeout?: string
  readonly concurrency?: string
}

/** Reads them; everything that can be wrong is said before a host is asked. */
export async function readSurveyOptions(values: SurveyValues): Promise<SurveyOptions> {
  const vias = values.via.length === 0 ? ['direct'] : [...new Set(values.via)]
  const targets = readTargets(values.connect)
  if (targets.size > 0 && !vias.includes('direct'))
    throw new UsageError('--connect is for the direct way: give --via direct, too')
  for (const via of vias) if (via !== 'direct') await proveProxy(via)
  const options: ClientOptions = {
    timeout: values.timeout === undefined ? undefined : readSeconds(values.timeout),
  }
  const concurrency =
    values.concurrency === undefined
      ? {}
      : { concurrency: readCount('--concurrency', values.concurrency) }
  return {
    names: await readNames(values.host, values.hosts),
    vias,
    targets,
    options: await trusting(options, values.ca),
    ...concurrency,
  }
}

async function proveProxy(proxy: string): Promise<void> {
  try {
    await prove({ proxy })
  } catch (cause) {
    if (codeOf(cause)?.startsWith('ERR_POLICY_') !== true) throw cause
    throw new UsageError(`--via: ${messageOf(cause)}`, { cause })
  }
}
