import { expect, test, vi } from 'vitest'
import { Client, type LogFacts, type Logger } from '../../src/index.js'
import { startGenuine } from '../testkit.js'

/** A logger of every level, and what it was told. */
function keeper(): { logger: Logger; told: [level: string, message: string, facts: LogFacts][] } {
  const told: [string, string, LogFacts][] = []
  const level = (name: string) => (message: string, facts: LogFacts) =>
    void told.push([name, message, facts])
  const logger = {
    debug: level('debug'),
    info: level('info'),
    warn: level('warn'),
    error: level('error'),
  }
  return { logger, told }
}

test('a logger is told of what happens, by its gravity', async () => {
  await using server = await startGenuine()
  const { logger, told } = keeper()
  await using client = new Client({
    ca: server.ca,
    lookup: server.lookup,
    pins: { [server.hostname]: [server.leafPin] },
    logger,
  })
  const url = server.at('/bytes/3')
  await client.get(url, { headers: { authorization: 'Bearer hunter2' } })
  const wrong = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
  await client.setPins({ [server.hostname]: [wrong] })
  await client.post(url, { body: 'hunter2' }).catch(() => {})
  await client.get('https://user:hunter2@api.example.test/').catch(() => {})
  await client.get('http://127.0.0.1:9/').catch(() => {})
  expect(told.map(([level, message]) => `${level}: ${message}`)).toEqual([
    'debug: request',
    'debug: response',
    'info: policy in force',
    'debug: request',
    'error: bad pin',
    'debug: request',
    'warn: request failed',
    'debug: request',
    'warn: request failed',
  ])
  expect(told[1]?.[2]).toMatchObject({ method: 'GET', url, status: 200 })
  expect(told[2]?.[2]).toEqual({ closedConnections: 1 })
  expect(told[4]?.[2]).toMatchObject({
    method: 'POST',
    code: 'ERR_BAD_PIN',
    hostname: server.hostname,
    foundPins: server.pathPins,
    expectedPins: [wrong],
  })
  expect(told[6]?.[2]).toMatchObject({ code: 'ERR_INVALID_URL' })
  expect(told[8]?.[2]).toMatchObject({ code: 'ERR_CONNECT' })
  expect(JSON.stringify(told)).not.toContain('hunter2')
})

test('a logger that lacks a level, or fails, is in nobody’s way', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  try {
    const broken = () => {
      throw new Error('no disk')
    }
    await using client = new Client({ logger: { warn: broken } })
    await expect(client.get('http://127.0.0.1:9/')).rejects.toMatchObject({ code: 'ERR_CONNECT' })
    expect(warned).toHaveBeenCalledTimes(1)
    expect(warned.mock.calls[0]?.[0]).toContain('the logger failed: Error: no disk')
  } finally {
    warned.mockRestore()
  }
})

test('a logger that rejects is in nobody’s way', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  try {
    const logger = { warn: () => Promise.reject(new Error('no disk')) }
    await using client = new Client({ logger })
    await expect(client.get('http://127.0.0.1:9/')).rejects.toMatchObject({ code: 'ERR_CONNECT' })
    await new Promise((resolve) => setImmediate(resolve)) // when a rejection that nobody handles is found
    expect(warned.mock.calls.map(([text]) => text)).toEqual([
      expect.stringContaining('the logger failed: Error: no disk'),
    ])
  } finally {
    warned.mockRestore()
  }
})

test.each([
  ['console', /logger is a string/],
  [{ debug: 1 }, /logger\.debug is a number: give a function/],
])('the logger %j is refused', (logger, message) => {
  expect(() => new Client({ logger: logger as Logger })).toThrow(
    expect.objectContaining({ option: 'logger', message: expect.stringMatching(message) }),
  )
})
