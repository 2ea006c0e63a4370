// `pinfetch fetch`: URLs, one or millions, requested with pins.

import { parseArgs } from 'node:util'
import {
  Client,
  type ClientOptions,
  type FilePolicy,
  type RequestInit,
  type VerifyPolicy,
} from '../index.js'
import {
  prove,
  readCount,
  readNamed,
  readNamedPolicy,
  readSeconds,
  readVerify,
  trusting,
  VERIFY_HELP,
  VERIFY_OPTIONS,
} from './arguments.js'
import { codeOf, EXIT, exitCodeOf, FileError, gravest, messageOf, UsageError } from './exit.js'
import { type Input, Inputs } from './inputs.js'
import { onFirstInterrupt } from './interrupt.js'
import { complain, print, remark } from './output.js'
import { showProgress, Tally } from './progress.js'
import { type Kept, openResults, type Results } from './results.js'

export const FETCH_HELP = `Usage: pinfetch fetch [options] URL...
       pinfetch fetch [options] --input FILE
       pinfetch fetch [options] -

Requests each URL. The body of a single one goes to stdout, results of several go there
as lines of JSON, in the order in which they finish.

  --input FILE          read URLs from FILE, one a line; - is stdin
  --policy FILE         the pins: a policy file
  --environment NAME    which environment of the policy file
${VERIFY_HELP}\
  --pin HOST=PIN        a pin of one host pattern; repeatable
  --unpinned WHAT       hosts without pins: allow, warn or refuse (default: as the policy file
                        says, else allow)
  --ca FILE             trust the certificates in FILE instead of the built-in roots
  --proxy URL           go through an http:, https:, socks5: or socks5h: proxy;
                        environment: through those of HTTPS_PROXY and its like
  --header FIELD        a header field, as 'name: value'; repeatable
  --method NAME         the method (default GET, with --data POST)
  --data TEXT           the body; @FILE is what FILE holds
  --redirect WHAT       follow (the default), manual or error
  --timeout SECONDS     for each request, its body included; 0 for none (default 30)
  --concurrency N       requests at a time (default 64)
  --output PLACE        write results to PLACE: a file that ends in .ndjson, or a folder
                        (ends in /) of bodies and an index.ndjson
  --resume              go on with what --output has: request what it lacks, and what failed
  --quiet               no progress, no summary
  --help                show this
`

/** How many requests at a time, unless told otherwise. */
const CONCURRENCY = 64
/** The client's own, which more at a time must raise. */
const CONNECTIONS = 128
/** The largest body that becomes part of a line, which is one string: in JSON it may be six times as long. */
const LARGEST_INLINE = 64 * 1024 * 1024

/** What an error may tell besides its code and message. */
const FACTS = [
  'hostname',
  'port',
  'remoteAddress',
  'patterns',
  'expectedPins',
  'foundPins',
  'expires',
  'hint',
  'diagnosis',
  'names',
  'notAfter',
  'alert',
  'systemCode',
  'phase',
  'limit',
  'proxy',
  'status',
  'reason',
  'socksCode',
  'url',
]

/** What the options say of requests. */
interface RequestValues {
  readonly policy?: string
  readonly environment?: string
  readonly pin: readonly string[]
  readonly unpinned?: string
  readonly ca?: string
  readonly proxy?: string
  readonly header: readonly string[]
  readonly redirect?: string
  readonly timeout?: string
}

/** Runs `pinfetch fetch` with what follows on the command line; resolves to the exit code. */
export async function fetch(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      input: { type: 'string' },
      policy: { type: 'string' },
      environment: { type: 'string' },
      ...VERIFY_OPTIONS,
      pin: { type: 'string', multiple: true, default: [] },
      unpinned: { type: 'string' },
      ca: { type: 'string' },
      proxy: { type: 'string' },
      header: { type: 'string', multiple: true, default: [] },
      method: { type: 'string' },
      data: { type: 'string' },
      redirect: { type: 'string' },
      timeout: { type: 'string' },
      concurrency: { type: 'string' },
      output: { type: 'string' },
      resume: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(FETCH_HELP)
    return EXIT.ok
  }
  const urls = positionals.filter((positional) => positional !== '-')
  const streams = [...positionals.filter((positional) => positional === '-'), values.input]
  const [stream, another] = streams.filter((name) => name !== undefined)
  if (another !== undefined) throw new UsageError('give one of - and --input, once')
  if (urls.length === 0 && stream === undefined) throw new UsageError('give a URL, --input or -')
  if (values.resume && values.output === undefined)
    throw new UsageError('--resume goes on with what --output has: give --output')
  if (values.environment !== undefined && values.policy === undefined)
    throw new UsageError('--environment is one of a policy file: give --policy')
  if (values['verify-key'].length > 0 && values.policy === undefined)
    throw new UsageError('--verify-key is for a policy file: give --policy')
  const verify = await readVerify(values)
  const concurrency =
    values.concurrency === undefined ? CONCURRENCY : readCount('--concurrency', values.concurrency)
  const init = await readInit(values.method, values.data)
  const options: ClientOptions = {
    ...(await readClientOptions(values, verify)),
    maxResponseBytes: LARGEST_INLINE,
    connections: Math.max(CONNECTIONS, concurrency),
  }

  const [url] = urls
  if (url !== undefined && urls.length === 1 && stream === undefined && values.output === undefined)
    return pour(url, options, init)

  const inputs = await Inputs.open(urls, stream)
  try {
    const results = await openResults(values.output, values.resume)
    try {
      return await new Run({ inputs, results, options, init, concurrency }).toEnd(values.quiet)
    } finally {
      results.close()
    }
  } finally {
    inputs.stop()
  }
}

/** Passes the body of `url` to stdout as it comes. */
async function pour(url: string, options: ClientOptions, init: RequestInit): Promise<number> {
  const client = new Client(options)
  try {
    const { body } = await client.fetch(url, init)
    if (body !== null) for await (const piece of body) await print(piece)
    return EXIT.ok
  } catch (error) {
    complain(error)
    return exitCodeOf(error)
  } finally {
    await client.close({ force: true })
  }
}

interface Plan {
  readonly inputs: Inputs
  readonly results: Results
  readonly options: ClientOptions
  readonly init: RequestInit
  readonly concurrency: number
}

/** Many requests, some of them at a time. */
class Run {
  readonly #plan: Plan
  readonly #client: Client
  readonly #tally = new Tally()

  constructor(plan: Plan) {
    this.#plan = plan
    this.#client = new Client(plan.options)
  }

  async toEnd(isQuiet: boolean): Promise<number> {
    const { inputs, results, concurrency } = this.#plan
    const { stderr, stdout } = process
    const isTerminal = stderr.isTTY === true && !(results.isStdout && stdout.isTTY === true)
    const hide = isQuiet
      ? () => {}
      : await showProgress({ tally: this.#tally, inputs }, stderr, isTerminal)
    let isInterrupted = false
    onFirstInterrupt(() => {
      isInterrupted = true
      inputs.stop()
      hide()
      if (!isQuiet) remark('interrupted: waiting for what is in flight; once more ends it at once')
    })
    const source = inputs.read()
    const workers = Array.from({ length: concurrency }, () => this.#work(source))
    const ends = await Promise.allSettled(workers)
    await this.#client.close({ force: true })
    hide()
    const failures = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []))
    const [failure] = failures
    if (failure !== undefined) complain(failure)
    if (!isQuiet) for (const line of this.#tally.summary) remark(line)
    if (isInterrupted) return EXIT.interrupted
    return gravest([this.#tally.exitCode, ...failures.map(exitCodeOf)])
  }

  /** Takes inputs until there are none; rejects when they cannot be read, or results not be written. */
  async #work(source: AsyncGenerator<Input, undefined>): Promise<void> {
    const { inputs, results } = this.#plan
    try {
      for (let next = await source.next(); !next.done; next = await source.next()) {
        if (results.has(next.value)) this.#tally.passOver()
        else await this.#request(next.value)
      }
    } catch (error) {
      inputs.stop()
      throw error
    }
  }

  async #request(input: Input): Promise<void> {
    const { index, url } = input
    const started = performance.now()
    const outcome = await this.#outcomeOf(input)
    const ms = Math.round((performance.now() - started) * 10) / 10
    const told = 'error' in outcome ? { error: factsOf(outcome.error) } : outcome
    await this.#plan.results.write(`${JSON.stringify({ index, url, ...told, ms })}\n`)
    if ('error' in outcome) this.#tally.fail(outcome.error)
    else this.#tally.succeed(outcome.status, outcome.bytes)
  }

  async #outcomeOf({ index, url, problem }: Input): Promise<Outcome> {
    if (problem !== undefined) return { error: problem }
    try {
      const response = await this.#client.fetch(url, this.#plan.init)
      const { url: finalUrl, status, httpVersion, headers } = response
      const kept = await this.#plan.results.keep({ index, url }, response)
      return { finalUrl, status, httpVersion, headers: headers.lines(), ...kept }
    } catch (error) {
      return { error }
    }
  }
}

/** What became of a request. */
type Outcome =
  | ({
      readonly finalUrl: string
      readonly status: number
      readonly httpVersion: string
      readonly headers: readonly (readonly [name: string, value: string])[]
    } & Kept)
  | { readonly error: unknown }

function factsOf(error: unknown): object {
  const facts: Record<string, unknown> = {
    code: codeOf(error) ?? 'ERR_INTERNAL',
    message: messageOf(error),
  }
  if (typeof error !== 'object' || error === null) return facts
  for (const name of FACTS) {
    const value: unknown = Reflect.get(error, name)
    if (value !== undefined) facts[name] = value
  }
  return facts
}

/** The options of the client, proved by making one. */
async function readClientOptions(
  values: RequestValues,
  verify: VerifyPolicy | undefined,
): Promise<ClientOptions> {
  const { unpinned, redirect } = values
  const given = {
    unpinned,
    redirect,
    proxy: values.proxy,
    headers: values.header.map(readHeader),
    timeout: values.timeout === undefined ? undefined : readSeconds(values.timeout),
  }
  const options = given as ClientOptions // or a PolicyError of the client, which checks each
  await proveAsUsage(() => prove(options))
  const ofFile =
    values.policy === undefined
      ? undefined
      : await readPolicy(values.policy, values.environment, verify)
  const ofLine = [...readPins(values.pin)]
  await proveAsUsage(() => prove({ pins: ofLine }))
  let pins: ClientOptions['pins'] = ofLine
  if (ofFile !== undefined) {
    await proveAsUsage(async () => {
      pins = ofFile.toPolicy(ofLine)
    })
  }
  return trusting({ ...options, pins } as ClientOptions, values.ca) // as options, checked there
}

/** Turns what the client says of options into an error of the command line. */
async function proveAsUsage(prove: () => Promise<void>): Promise<void> {
  try {
    await prove()
  } catch (cause) {
    const code = codeOf(cause) ?? ''
    if (!/^ERR_(?:POLICY|INVALID)_/.test(code)) throw cause
    throw new UsageError(messageOf(cause), { cause })
  }
}

/** What a policy file says for an environment, proved by itself, so that an error names the file. */
async function readPolicy(
  name: string,
  environment: string | undefined,
  verify: VerifyPolicy | undefined,
): Promise<FilePolicy> {
  const policy = await readNamedPolicy(name, environment, verify)
  try {
    policy.toPolicy()
    return policy
  } catch (cause) {
    throw FileError.of(name, cause)
  }
}

/** The pins of `--pin`, those of one pattern together. */
function readPins(given: readonly string[]): Map<string, string[]> {
  const pins = new Map<string, string[]>()
  for (const text of given) {
    const [, pattern, pin] = /^([^=]+)=(.+)$/.exec(text) ?? []
    if (pattern === undefined || pin === undefined)
      throw new UsageError(`--pin is ${JSON.stringify(text)}: give HOST=sha256/…`)
    pins.set(pattern, [...(pins.get(pattern) ?? []), pin])
  }
  return pins
}

function readHeader(text: string): [name: string, value: string] {
  const colon = text.indexOf(':')
  // the value may be a secret
  if (colon <= 0) throw new UsageError("a --header has no name: give 'name: value'")
  return [text.slice(0, colon), text.slice(colon + 1)]
}

async function readInit(
  method: string | undefined,
  data: string | undefined,
): Promise<RequestInit> {
  const body = data?.startsWith('@') === true ? await readNamed(data.slice(1)) : data
  const init = { method: method ?? (body === undefined ? 'GET' : 'POST'), body }
  const client = new Client()
  try {
    // nothing is requested: the signal has been given before
    await client.fetch('https://localhost/', { ...init, signal: AbortSignal.abort() })
  } catch (cause) {
    if (codeOf(cause) === 'ERR_INVALID_ARGUMENT') throw new UsageError(messageOf(cause), { cause })
  } finally {
    await client.close()
  }
  return init
}
