/**
 * The demo (`npm start`): a pinned request, a man in the middle who gets nothing, and a rotation of keys.
 *
 * Everything runs on this machine: the servers and their certificates come from the project's own test kit.
 */
import { BadPinError, Client } from 'pinfetch'
import { type Endpoint, type Role, startGenuine, startInterceptor } from '../__test__/testkit.ts'

const coloured = process.stdout.isTTY === true && !process.env.NO_COLOR
const paint = (code: number) => (text: string) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text)
const bold = paint(1)
const dim = paint(2)
const red = paint(31)
const green = paint(32)

say(bold('pinfetch: an HTTPS client that proves who it is talking to'))

const genuine = await startGenuine({ hostname: 'shop.example.test' })
const { hostname, url, ca, lookup } = genuine

section('1. A server, and its pins')
say(`${url} runs on this machine. A pin is the SHA-256 of a public key;`)
say('these are the pins of its certificates:')
showPath(genuine, ['leaf', 'a1', 'rootA'])
say(
  `Two roots are trusted here: ${subject('rootA')}, and ${subject('rootB')} of some other company.`,
)

section('2. A request with the right pin')
const client = new Client({
  ca,
  lookup,
  pins: { [hostname]: [genuine.leafPin] },
  onBadPin: (event) => {
    say(
      `${red('!')} onBadPin runs first: it is told of ${event.request.method} ${event.request.url}`,
    )
  },
})
say(dim(`new Client({ pins: { '${hostname}': ['${short(genuine.leafPin)}'] } })`))
const answer = await client.get(url)
say(`${green('✔')} ${answer.status} "${await answer.text()}", matched ${short(matchedPin(answer))}`)

section('3. A man in the middle')
await genuine.stop()
const interceptor = await startInterceptor({
  of: genuine,
  port: genuine.port,
  append: ['leaf', 'a1', 'rootA'],
})
say('Someone else now answers at that address. His certificate is valid for the name:')
showPath(interceptor, ['rogueLeaf', 'b1', 'rootB'])
say('He also sends copies of the genuine certificates, hoping that they satisfy the pin.')
say(dim(`await client.get('${url}')`))
const refusal = await client.get(url).then(
  () => undefined,
  (error: unknown) => error,
)
if (!(refusal instanceof BadPinError)) throw new Error('not refused', { cause: refusal })
say(`${green('✔')} then the promise rejects with ${bold(`${refusal.name} (${refusal.code})`)}:`)
say(wrapped(refusal.message))
say('  and a hint:')
say(wrapped(refusal.hint))
const received = await interceptor.applicationBytes()
if (received !== 0) throw new Error(`the interceptor received ${received} bytes`)
say(`${green('✔')} Of the request, he received ${bold(`${received} bytes`)}.`)

const trusting = new Client({ ca, lookup })
const intercepted = await trusting.get(url)
const stolen = await intercepted.text()
await trusting.close()
say(`For comparison, without pins: ${intercepted.status} "${stolen}",`)
say(`and he has read ${bold(`${await interceptor.applicationBytes()} bytes`)} of the request.`)
await interceptor.stop()

section('4. A new key')
say('Keys change. The next one is made in advance, and its pin added while the client runs:')
say(
  dim(
    `await client.setPins({ '${hostname}': ['${short(genuine.leafPin)}', '${short(genuine.backupPin)}'] })`,
  ),
)
await client.setPins({ [hostname]: [genuine.leafPin, genuine.backupPin] })
const rotated = await startGenuine({
  pki: genuine.pki,
  port: genuine.port,
  chain: ['nextLeaf', 'a1'],
})
say('The genuine server is back, with the new key:')
showPath(rotated, ['nextLeaf', 'a1', 'rootA'])
const renewed = await client.get(url)
if (matchedPin(renewed) !== genuine.backupPin) throw new Error('the backup pin did not match')
say(
  `${green('✔')} ${renewed.status} "${await renewed.text()}", matched ${short(matchedPin(renewed))}`,
)

await client.close()
await rotated.stop()
say('')

function section(title: string): void {
  say(`\n${bold(title)}`)
}

function showPath(server: Endpoint, path: readonly Role[]): void {
  const kinds = ['leaf', 'intermediate', 'root']
  for (const [index, role] of path.entries()) {
    const { pin } = server.pki.certificates[role]
    say(`  ${(kinds[index] ?? '').padEnd(12)}  ${pin}  ${dim(subject(role))}`)
  }
}

function subject(role: Role): string {
  return genuine.pki.certificates[role].subject
}

function matchedPin(response: Awaited<ReturnType<Client['get']>>): string {
  const pin = response.tls?.matchedPin
  if (!pin) throw new Error('no pin matched')
  return pin
}

/** Enough of a pin to tell it from the others on the screen. */
function short(pin: string): string {
  return `${pin.slice(0, 13)}…`
}

/** A long text in lines of at most 90 columns, indented. */
function wrapped(text: string): string {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line && line.length + word.length >= 86) lines.push(word)
    else lines[lines.length - 1] = line ? `${line} ${word}` : word
  }
  return lines.map((line) => `    ${line}`).join('\n')
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
