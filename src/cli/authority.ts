// Servers as they are named on the command line, in files of names, and in output.

import { UsageError } from './exit.js'

/** A host as URLs have it (IPv6 in brackets), and a port. */
export interface Authority {
  readonly host: string
  readonly port: number
}

/** Reads `host` or `host:port` as the client does, so that what is printed is what is asked for. */
export function readAuthority(text: string, example = 'host[:port]'): Authority {
  const isMore = /[/\\?#@\s]/.test(text) // a URL, credentials, two servers in one argument
  const isReadable = !isMore && URL.canParse(`https://${text}/`)
  const url = isReadable ? new URL(`https://${text}/`) : undefined
  if (url === undefined || url.port === '0')
    throw new UsageError(`${JSON.stringify(text)} is no server: give ${example}, IPv6 in brackets`)
  return { host: url.hostname.replace(/\.$/, ''), port: url.port === '' ? 443 : Number(url.port) }
}

/** Reads the `host:port` of `--connect`. */
export function readConnect(text: string): Authority {
  const example = '--connect host:port'
  if (!/:\d+$/.test(text) || text.endsWith(']'))
    throw new UsageError(`${JSON.stringify(text)} has no port: give ${example}`)
  return readAuthority(text, example)
}

/** `host:port`. */
export function format({ host, port }: Authority): string {
  return `${host}:${port}`
}

/** Without the brackets of an IPv6 address. */
export function bare(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1) : host
}
