// `--webhook`: news posted as JSON, with a `text` that chat programs show.

import { Client } from '../../index.js'
import { messageOf, UsageError } from '../exit.js'

/** Milliseconds for a post. */
const TIMEOUT = 10_000

/** Somebody who is told. The URL may be a secret, as those of chat programs are: no message has more than its origin. */
export class Webhook {
  readonly #url: URL

  constructor(text: string) {
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null || !['https:', 'http:'].includes(url.protocol))
      throw new UsageError('--webhook is no URL of https: or http:')
    this.#url = url
  }

  /** Posts `message`; resolves to why it did not arrive, if it did not. */
  async post(message: object): Promise<string | null> {
    const retry = { attempts: 2, methods: ['POST'] } // a message that arrives twice is better than none
    const client = new Client({ timeout: TIMEOUT, redirect: 'error', retry })
    try {
      const response = await client.post(this.#url, { json: message })
      await response.bytes()
      return response.ok ? null : this.#failed(`status ${response.status}`)
    } catch (error) {
      return this.#failed(messageOf(error))
    } finally {
      await client.close({ force: true })
    }
  }

  #failed(why: string): string {
    const secret = this.#url.href.slice(this.#url.origin.length)
    return `webhook ${this.#url.origin}: ${secret.length > 1 ? why.replaceAll(secret, '/…') : why}`
  }
}
