import type { LookupAddress, LookupOptions } from 'node:dns'

/** Node's `dns.lookup`, called with `{ all: true }`. */
export type LookupFunction = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (
    error: NodeJS.ErrnoException | null,
    addresses: string | LookupAddress[],
    family?: number,
  ) => void,
) => void

/** Calls the user's lookup function; exactly one of `found` and `failed` is called, once, whatever it does. */
export function ask(
  lookUp: LookupFunction,
  hostname: string,
  found: (addresses: string[]) => void,
  failed: (error: unknown) => void,
): void {
  let isOver = false
  const once = (end: () => void) => {
    if (isOver) return
    isOver = true
    end()
  }
  try {
    const started: unknown = lookUp(hostname, { all: true }, (error, addresses) => {
      once(() => {
        if (error) failed(error)
        else if (typeof addresses === 'string') found([addresses])
        else if (Array.isArray(addresses)) found(addresses.map((one) => String(one?.address)))
        else
          failed(
            new TypeError('the lookup function answered neither an address nor a list of them'),
          )
      })
    })
    // an async function's failure would go unheard
    if (started instanceof Promise) started.catch((error: unknown) => once(() => failed(error)))
  } catch (thrown) {
    once(() => failed(thrown))
  }
}
