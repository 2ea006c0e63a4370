/** The program that each way of installing and loading the package has to run. */
import { expect } from 'vitest'
import type { Endpoint } from '../testkit.ts'

/** In TypeScript: a pinned request to the genuine server and one to an interceptor, and what came of them. */
export const FUNCTION = `
async function answers() {
  const { hostname, ca, pin, genuine, interceptor } = JSON.parse(process.env.SERVERS ?? '{}')
  const client = new Client({ ca, lookup: { [hostname]: '127.0.0.1' }, pins: { [hostname]: [pin] } })
  const response = await client.get(genuine)
  const text = await response.text()
  const refusal: unknown = await client.get(interceptor).catch((error: unknown) => error)
  if (!(refusal instanceof BadPinError)) throw new Error('not refused', { cause: refusal })
  await client.close()
  return [response.status, text, response.tls?.matchedPin === pin, refusal.code]
}
`

/** The same, printed. */
export const PROGRAM = `${FUNCTION}
void answers().then((found) => console.log(JSON.stringify(found)))
`

/** `code` without its types. */
export function asJavaScript(code: string): string {
  return code.replaceAll(': unknown', '')
}

/** What the program reads from its environment. */
export function serversOf(genuine: Endpoint, interceptor: Endpoint): { SERVERS: string } {
  const { hostname, ca, leafPin: pin } = genuine
  return {
    SERVERS: JSON.stringify({
      hostname,
      ca,
      pin,
      genuine: genuine.url,
      interceptor: interceptor.url,
    }),
  }
}

/** Whether the genuine server was let through, and the interceptor was not. */
export function expectAnswers(output: string): void {
  expect(JSON.parse(output)).toEqual([200, expect.stringContaining('genuine'), true, 'ERR_BAD_PIN'])
}
