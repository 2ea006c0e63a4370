// One case of the public interface in the runtime that runs this: `exercise.mjs CASE`, the servers in SERVERS. It ends with 0
// when the case holds. Plain JavaScript and a process for each: nothing but the runtime and the package takes part.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import cluster from 'node:cluster'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import vm from 'node:vm'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import {
  BadPinError,
  Client,
  CookieJar,
  configureEngine,
  Policy,
  PolicyError,
  verifyChain,
} from '../../dist/esm/index.js'

const file = fileURLToPath(import.meta.url)
const { hostname, ca, pin, genuine, interceptor } = JSON.parse(process.env.SERVERS)
const at = (path) => new URL(path, genuine).href
const options = { ca, lookup: { [hostname]: '127.0.0.1' }, pins: { [hostname]: [pin] } }

const CASES = {
  async 'a pinned request'() {
    const client = new Client(options)
    const response = await client.get(genuine)
    assert.equal(response.status, 200)
    assert.match(await response.text(), /genuine/)
    assert.equal(response.tls.matchedPin, pin)
    await client.close()
  },
  async 'a bad pin'() {
    const client = new Client(options)
    const error = await client.get(interceptor).catch((reason) => reason)
    assert.ok(error instanceof BadPinError)
    assert.equal(error.code, 'ERR_BAD_PIN')
    assert.equal(error.hostname, hostname)
    await client.close()
  },
  async 'both module systems have the same classes'() {
    const required = createRequire(import.meta.url)('../../dist/cjs/index.js')
    assert.equal(required.Client, Client)
    assert.equal(required.BadPinError, BadPinError)
  },
  async 'a bad option is refused'() {
    assert.throws(() => new Client({ pins: { [hostname]: ['nonsense'] } }), PolicyError)
    assert.throws(() => new Client({ pin: {} }), PolicyError)
  },
  async 'a large body is streamed'() {
    const client = new Client(options)
    const response = await client.get(at('/bytes/5000000'))
    let length = 0
    for await (const chunk of response.body) length += chunk.length
    assert.equal(length, 5_000_000)
    const whole = await client.get(at('/bytes/5000000'))
    assert.equal((await whole.bytes()).length, 5_000_000)
    await client.close()
  },
  async 'a body is sent from a stream'() {
    const client = new Client(options)
    async function* parts() {
      for (let part = 0; part < 10; part++) yield new Uint8Array(10_000).fill(part)
    }
    const response = await client.post(at('/echo'), { body: parts() })
    const { body } = await response.json()
    assert.equal(Buffer.from(body, 'base64').length, 100_000)
    await client.close()
  },
  async 'a form is sent'() {
    const client = new Client(options)
    const form = new FormData()
    form.append('text', 'a')
    form.append('nameless', new Blob(['b']))
    const response = await client.post(at('/echo'), { body: form })
    const sent = Buffer.from((await response.json()).body, 'base64').toString()
    assert.match(sent, /name="text"\r\n\r\na\r\n/)
    assert.match(sent, /name="nameless"; filename="blob"\r\nContent-Type: \S+\r\n\r\nb\r\n/)
    await client.close()
  },
  async 'many requests at once'() {
    const client = new Client(options)
    let done = 0
    for await (const { response, error } of client.fetchAll(
      Array.from({ length: 500 }, () => genuine),
      { concurrency: 50 },
    )) {
      assert.equal(error, undefined)
      assert.equal(response.status, 200)
      done += 1
    }
    assert.equal(done, 500)
    await client.close()
  },
  async 'a request is given up'() {
    const client = new Client(options)
    const controller = new AbortController()
    const request = client.get(at('/slow/20000'), { signal: controller.signal })
    setTimeout(() => controller.abort(), 20)
    await assert.rejects(request, { name: 'AbortError' })
    await assert.rejects(client.get(at('/slow/20000'), { timeout: 50 }), { code: 'ERR_TIMEOUT' })
    await client.close()
  },
  async 'pins are swapped'() {
    const client = new Client(options)
    await client.get(genuine)
    await client.setPins({ [hostname]: [`sha256/${Buffer.alloc(32).toString('base64')}`] })
    await assert.rejects(client.get(genuine), { code: 'ERR_BAD_PIN' })
    await client.close()
  },
  async 'a large policy file is read off the thread of JavaScript'() {
    const folder = await mkdtemp(join(tmpdir(), 'pinfetch-large-'))
    const path = join(folder, 'policy.json')
    const hosts = { [hostname]: [pin] }
    for (let host = 0; host < 8000; host++) hosts[`h${host}.example.test`] = [pin, pin, pin]
    await writeFile(path, JSON.stringify({ version: 1, hosts }))
    const policy = await Policy.fromFile(path)
    await rm(folder, { recursive: true })
    const client = new Client({ ...options, pins: policy })
    assert.equal((await client.get(genuine)).tls.matchedPin, pin)
    assert.equal((await client.get(interceptor).catch((reason) => reason)).code, 'ERR_BAD_PIN')
    await client.close()
  },
  async 'clients are spread over threads'() {
    configureEngine({ threads: 3 })
    const clients = Array.from({ length: 6 }, () => new Client(options))
    const responses = await Promise.all(clients.map((client) => client.get(genuine)))
    assert.ok(responses.every(({ status }) => status === 200))
    const errors = clients.map((client) => client.get(interceptor).catch(({ code }) => code))
    assert.deepEqual(await Promise.all(errors), new Array(6).fill('ERR_BAD_PIN'))
    await Promise.all(clients.map((client) => client.close()))
  },
  async 'cookies are kept'() {
    const cookieJar = new CookieJar()
    const client = new Client({ ...options, cookieJar })
    await client.get(at('/headers?set-cookie=a%3Db'))
    assert.equal(cookieJar.getCookieStringSync(genuine), 'a=b')
    await client.close()
  },
  async 'a chain is verified'() {
    assert.throws(() => verifyChain({ chain: [], trustAnchors: [], hostname }))
  },
  async 'the process ends by itself'() {
    new Client(options) // never closed
    const response = await new Client(options).get(genuine)
    assert.equal(response.status, 200)
  },
  async 'the process exits with requests in flight'() {
    new Client(options).get(at('/slow/20000')).catch(() => {})
    setTimeout(() => process.exit(0), 50)
    await new Promise(() => {})
  },
  async 'a worker has an engine of its own'() {
    const [message] = await once(new Worker(file, { workerData: 'use' }), 'message')
    assert.equal(message, 200)
    await CASES['a pinned request']()
  },
  async 'a hundred workers are terminated in the middle'() {
    for (let batch = 0; batch < 25; batch++)
      await CASES['four workers are terminated in the middle']()
  },
  async 'four workers are terminated in the middle'() {
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        const worker = new Worker(file, { workerData: 'busy' })
        await once(worker, 'message')
        await worker.terminate()
      }),
    )
    await CASES['a pinned request']()
  },
  async 'a forked process'() {
    await CASES['a pinned request']()
    const [code] = await once(fork(file, ['a pinned request']), 'exit')
    assert.equal(code, 0)
  },
  async 'a cluster'() {
    cluster.setupPrimary({ exec: file, args: ['a pinned request'] })
    const codes = await Promise.all([1, 2].map(async () => (await once(cluster.fork(), 'exit'))[0]))
    assert.deepEqual(codes, [0, 0])
  },
  async 'another context'() {
    const context = vm.createContext({
      Client,
      BadPinError,
      text: JSON.stringify(options),
      genuine,
      interceptor,
    })
    const answers = await vm.runInContext(
      `(async () => {
        const client = new Client(JSON.parse(text)) // an object of the other realm
        const { status } = await client.get(genuine, { headers: { a: 'b' } })
        const error = await client.get(interceptor).catch((reason) => reason)
        await client.close()
        return [status, error instanceof BadPinError]
      })()`,
      context,
    )
    assert.deepEqual([...answers], [200, true])
  },
}

/** What a worker does: one request, or requests without end. */
async function work() {
  const client = new Client(options)
  const { status } = await client.get(genuine)
  if (workerData === 'use') {
    parentPort.postMessage(status)
    await client.close()
    return
  }
  for (let index = 0; index < 20; index++) client.get(at('/slow/20000')).catch(() => {})
  setInterval(() => client.get(at('/bytes/100000')).catch(() => {}), 1)
  parentPort.postMessage('in flight')
}

function once(emitter, name) {
  return new Promise((resolve, reject) => {
    emitter.once(name, (...values) => resolve(values))
    emitter.once('error', reject)
  })
}

if (!isMainThread) {
  await work()
} else if (process.argv[2] === undefined) {
  process.stdout.write(`${JSON.stringify(Object.keys(CASES))}\n`)
} else {
  await CASES[process.argv[2]]()
  cluster.worker?.disconnect() // the channel to the primary keeps a cluster's worker
}
