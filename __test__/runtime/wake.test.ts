import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const loader = fileURLToPath(new URL('../../native.cjs', import.meta.url))

/**
 * Runs a program that has started an engine with `wake`, and asks it for something that it has to answer: `ask()`. The
 * engine has no client, so that its answer is an error record.
 */
async function program(onLibuv: boolean, text: string): Promise<string> {
  const { stdout } = await run(
    process.execPath,
    [
      '-e',
      `const { Engine } = require(${JSON.stringify(loader)})
       const start = (wake) => {
         const engine = new Engine(() => wake(engine), ${onLibuv}, 1)
         return engine
       }
       const ask = (engine) => {
         engine.ref()
         engine.submit(Buffer.from([5, 0, 0, 0, 1, 7, 0, 0, 0]), 9) // a request of number 7 that is cut short
       }
       const drain = (engine) => {
         let records = 0
         while (engine.drain() !== null) records += 1
         return records
       }
       ${text}`,
    ],
    { timeout: 15_000 },
  )
  return stdout
}

test('on Node, libuv’s own handle wakes JavaScript', async () => {
  expect(await program(true, 'console.log(start(() => {}).onLibuv)')).toBe('true\n')
})

test.each([
  ['libuv', true],
  ['a thread-safe function', false],
])('what %s wakes runs as a callback of Node’s, and the process then ends', async (_, onLibuv) => {
  const stdout = await program(
    onLibuv,
    `ask(start((engine) => {
       console.log('woken', drain(engine), engine.onLibuv)
       process.nextTick(() => console.log('tick'))
       Promise.resolve().then(() => console.log('microtask'))
       setImmediate(() => { console.log('immediate'); engine.unref() })
     }))`,
  )
  expect(stdout).toBe(`woken 1 ${onLibuv}\ntick\nmicrotask\nimmediate\n`)
})

test.each([
  ['libuv', true],
  ['a thread-safe function', false],
])(
  'what is thrown where %s wakes is an uncaught exception, and the next wake comes',
  async (_, onLibuv) => {
    const stdout = await program(
      onLibuv,
      `let wakes = 0
     const engine = start(() => {
       drain(engine)
       wakes += 1
       if (wakes === 1) throw new Error('thrown')
       console.log('woken again')
       engine.unref()
     })
     process.on('uncaughtException', ({ message }) => { console.log(message); ask(engine) })
     ask(engine)`,
    )
    expect(stdout).toBe('thrown\nwoken again\n')
  },
)

test('an engine that nobody refers to keeps no process, and a worker’s ends with it', async () => {
  const stdout = await program(
    true,
    `const { Worker } = require('node:worker_threads')
     start(() => {})
     const worker = new Worker(
       \`const { Engine } = require(${JSON.stringify(loader)})
        const engines = Array.from({ length: 10 }, () => new Engine(() => {}, true, 1))
        for (const engine of engines) engine.ref()
        require('node:worker_threads').parentPort.postMessage('started')\`,
       { eval: true },
     )
     worker.on('message', async () => console.log('terminated', await worker.terminate()))`,
  )
  expect(stdout).toBe('terminated 1\n')
})
