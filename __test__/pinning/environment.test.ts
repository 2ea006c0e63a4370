import { execFile } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { programFolder } from '../bundle.ts'
import { startGenuine, startInterceptor } from '../testkit.ts'

const run = promisify(execFile)
let folder: string

beforeAll(async () => {
  folder = await programFolder()
  await writeFile(
    join(folder, 'get.cjs'),
    `const { Client } = require('./dist/index.cjs')
     const [options, ...urls] = JSON.parse(process.argv[2])
     ;(async () => {
       const client = new Client(options)
       const outcomes = []
       for (const url of urls) outcomes.push(await client.get(url).then((r) => r.status, (e) => e.code))
       console.log(JSON.stringify(outcomes))
       await client.close()
     })()`,
  )
})

afterAll(() => rm(folder, { recursive: true }))

test('variables that relax or extend trust elsewhere change nothing', async () => {
  await using genuine = await startGenuine()
  await using interceptor = await startInterceptor({ of: genuine })
  await using untrusted = await startInterceptor({ of: genuine, chain: ['untrustedLeaf', 'c1'] })
  const anchors = join(folder, 'anchors.pem')
  const { rootB, rootC } = genuine.pki.certificates
  await writeFile(anchors, rootB.pem + rootC.pem)
  const options = {
    ca: genuine.ca,
    lookup: genuine.lookup,
    pins: { [genuine.hostname]: [genuine.leafPin] },
  }
  const unpinned = { ca: genuine.ca, lookup: genuine.lookup }
  const env = {
    ...process.env,
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    NODE_EXTRA_CA_CERTS: anchors,
    SSL_CERT_FILE: anchors,
    NODE_OPTIONS: '--use-openssl-ca',
  }
  const outcomes = async (...given: unknown[]) => {
    const { stdout } = await run(
      process.execPath,
      [join(folder, 'get.cjs'), JSON.stringify(given)],
      { env, timeout: 20_000 },
    )
    return JSON.parse(stdout)
  }
  expect(await outcomes(options, interceptor.url, untrusted.url, genuine.url)).toEqual([
    'ERR_BAD_PIN',
    'ERR_CERT_UNKNOWN_ISSUER',
    200,
  ])
  expect(await outcomes(unpinned, untrusted.url, genuine.url)).toEqual([
    'ERR_CERT_UNKNOWN_ISSUER',
    200,
  ])
  expect(await interceptor.applicationBytes()).toBe(0)
  expect(await untrusted.applicationBytes()).toBe(0)
})
