// `pinfetch pins`: which keys servers show, and which files hold.

import { parseArgs } from 'node:util'
import type { ClientOptions } from '../index.js'
import { prove, readKeys, readSeconds, trusting } from './arguments.js'
import { ask } from './ask.js'
import { type Authority, format, readAuthority, readConnect } from './authority.js'
import { codeOf, EXIT, exitCodeOf, gravest, messageOf, UsageError } from './exit.js'
import { columns, complain, print, printable, remark } from './output.js'

export const PINS_HELP = `Usage: pinfetch pins [options] host[:port]...
       pinfetch pins --file FILE...

Prints the pins of each server's verified certificate path, leaf first, root last.

  --presented           show what the server presents instead, unverified
  --file FILE           show the pins of the certificates, public keys, private keys
                        and certificate requests in FILE (PEM or DER); repeatable
  --long                also role, subject and expiry (the default on a terminal)
  --json                a line of JSON for each server and file
  --ca FILE             trust the certificates in FILE instead of the built-in roots
  --connect HOST:PORT   connect there; names in TLS and output stay what they are
  --server-name NAME    ask for NAME in TLS and look for it in certificates
  --proxy URL           go through an http:, https:, socks5: or socks5h: proxy
  --timeout SECONDS     for each server, look-up to handshake; 0 for none (default 30)
  --help                show this
`

/** Servers that are talked to at a time. */
const AT_ONCE = 64

interface Settings {
  readonly isPresented: boolean
  readonly isLong: boolean
  readonly isJson: boolean
  readonly client: ClientOptions
  readonly connect: Authority | undefined
}

/** What became of a server or a file, ready to be printed. */
interface Outcome {
  readonly text: string
  readonly error?: unknown
  /** Where `error` happened, unless its message says so. */
  readonly place?: string
}

/** Runs `pinfetch pins` with what follows on the command line; resolves to the exit code. */
export async function pins(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      presented: { type: 'boolean', default: false },
      file: { type: 'string', multiple: true, default: [] },
      long: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      ca: { type: 'string' },
      connect: { type: 'string' },
      'server-name': { type: 'string' },
      proxy: { type: 'string' },
      timeout: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    await print(PINS_HELP)
    return EXIT.ok
  }
  if (positionals.length === 0 && values.file.length === 0)
    throw new UsageError('give a server as host[:port], or --file')
  if (positionals.length === 0 && values.presented)
    throw new UsageError('--presented is of servers: give one as host[:port]')
  if (values.presented && values.ca !== undefined)
    throw new UsageError(
      '--presented verifies nothing, so --ca would have no effect: leave one out',
    )
  const servers = positionals.map((text) => readAuthority(text))
  const settings: Settings = {
    isPresented: values.presented,
    isLong: values.long || process.stdout.isTTY === true,
    isJson: values.json,
    client: await clientOptions(values),
    connect: values.connect === undefined ? undefined : readConnect(values.connect),
  }

  if (settings.isPresented)
    remark('--presented: not verified, so whoever is on the way can show anything')
  const codes: number[] = []
  const finish = async ({ text, error, place }: Outcome): Promise<void> => {
    await print(text)
    if (error === undefined) return
    complain(error, place)
    codes.push(exitCodeOf(error))
  }
  for (const name of values.file) await finish(await describeFile(name, settings))
  for await (const outcome of inOrder(servers, (server) => describeServer(server, settings)))
    await finish(outcome)
  return gravest(codes)
}

/** The options of every server's client, proved by making one. */
async function clientOptions(values: {
  ca?: string
  'server-name'?: string
  proxy?: string
  timeout?: string
}): Promise<ClientOptions> {
  const { ca: file, 'server-name': serverName, proxy, timeout } = values
  const options: ClientOptions = {
    serverName,
    proxy,
    timeout: timeout === undefined ? undefined : readSeconds(timeout),
  }
  await prove(options)
  return trusting(options, file)
}

/** Results in the order of `items`, of which some are worked on at a time. `task` never rejects. */
async function* inOrder<Item, Result>(
  items: readonly Item[],
  task: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = []
  let next = 0
  while (next < items.length || running.length > 0) {
    const started = items.slice(next, next + AT_ONCE - running.length)
    next += started.length
    running.push(...started.map(task))
    const first = running.shift()
    if (first !== undefined) yield await first
  }
}

async function describeServer(server: Authority, settings: Settings): Promise<Outcome> {
  const authority = format(server)
  try {
    const shown = await ask(server, settings)
    if (settings.isJson) {
      const path = shown.path.map(({ pin, role, subject, notAfter }) => ({
        pin,
        role,
        subject,
        notAfter,
      }))
      const { remoteAddress, verified } = shown
      return { text: line({ authority, remoteAddress, verified, path }) }
    }
    // a presented certificate's place in the list says nothing of what it does
    const rows = shown.path.map(({ pin, role, subject, notAfter }) =>
      row(settings, pin, settings.isPresented ? [] : [role], subject, notAfter),
    )
    return { text: block(authority, rows) }
  } catch (error) {
    return { text: failed(settings, { authority }, error), error, place: authority }
  }
}

async function describeFile(name: string, settings: Settings): Promise<Outcome> {
  try {
    const keys = await readKeys(name)
    if (settings.isJson) return { text: line({ file: name, keys }) }
    const rows = keys.map(({ pin, what, subject, notAfter }) =>
      row(settings, pin, [what], subject, notAfter),
    )
    return { text: block(name, rows) }
  } catch (error) {
    return { text: failed(settings, { file: name }, error), error }
  }
}

function row(
  settings: Settings,
  pin: string,
  kind: readonly string[],
  subject: string,
  notAfter: Date | null,
): string[] {
  if (!settings.isLong) return [pin]
  const expiry = notAfter === null ? '' : `expires ${notAfter.toISOString().slice(0, 10)}`
  return [pin, ...kind, printable(subject), expiry]
}

function block(title: string, rows: readonly (readonly string[])[]): string {
  return [printable(title), ...columns(rows).map((text) => `  ${text}`), ''].join('\n')
}

function failed(settings: Settings, where: object, error: unknown): string {
  if (!settings.isJson) return ''
  return line({
    ...where,
    error: { code: codeOf(error) ?? 'ERR_INTERNAL', message: messageOf(error) },
  })
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`
}
