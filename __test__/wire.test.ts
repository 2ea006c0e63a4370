import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { codeOf, errorCodes, errorOf } from '../src/errors.js'
import { answer } from '../src/native.js'
import { readOptions } from '../src/options.js'
import { writePolicy } from '../src/policy.js'
import { Swap } from '../src/swap.js'
import {
  Completion,
  informationHeaders,
  informationStatus,
  Reader,
  readBody,
  readConnection,
  readCookies,
  readDescribedInputs,
  readDescribedPath,
  readFailure,
  readHandshake,
  readHeaders,
  readPathPins,
  readServerPins,
  responseBody,
  responseBodyIsToken,
  responseConnection,
  responseHeaders,
  responseReason,
  responseReused,
  responseStatus,
  responseTimes,
  responseUrl,
  responseVersion,
  TIMEOUT_OF_CLIENT,
  u32At,
  Writer,
  writeCancel,
  writeClose,
  writeCompiled,
  writeCookies,
  writeCookiesFailure,
  writeLookupAddresses,
  writeLookupFailure,
  writePins,
  writeRead,
  writeRelease,
  writeReleaseJar,
  writeReleaseLivePolicy,
  writeReleaseRehearsal,
  writeRequest,
  writeSave,
  writeSetLivePolicy,
  writeSetPolicy,
  writeTellHandshakes,
  writeUpload,
} from '../src/wire.js'

interface Vector {
  name: string
  hex: string
  kind?: string
  of?: string
  // biome-ignore lint/suspicious/noExplicitAny: each kind of vector has fields of its own
  [field: string]: any
}

const vectors: Record<'submissions' | 'completions' | 'replies' | 'configs', Vector[]> = JSON.parse(
  readFileSync(new URL('../crates/pinfetch-node/wire-vectors.json', import.meta.url), 'utf8'),
)

function pinsOf(policy: Vector['policy']): Iterable<[string, unknown]> {
  const bytes = (pin: string | Record<string, string>) =>
    typeof pin === 'string'
      ? pin
      : Object.fromEntries(Object.entries(pin).map(([key, hex]) => [key, Buffer.from(hex, 'hex')]))
  return policy.map((set: Vector) => [
    set.pattern,
    set.exclude
      ? { exclude: true }
      : set.rules
        ? { ...set.rules, pins: set.pins }
        : set.pins.map(bytes),
  ])
}

function write(out: Writer, vector: Vector): void {
  const { id, client } = vector
  switch (vector.kind) {
    case 'REQUEST': {
      const length = vector.upload === -1 ? null : vector.upload
      const body =
        vector.upload !== undefined
          ? { length }
          : vector.body === null
            ? null
            : Buffer.from(vector.body, 'hex')
      const headers = vector.headers.length === 0 ? null : vector.headers.flat()
      const timeout = vector.timeoutMs ?? TIMEOUT_OF_CLIENT
      writeRequest(out, id, client, vector.method, timeout, vector.url, headers, body, null)
      break
    }
    case 'CANCEL':
      writeCancel(out, id)
      break
    case 'SET_POLICY': {
      const policy = new Writer(8)
      if (vector.handle !== undefined) {
        writeCompiled(policy, vector.handle)
        writeSetPolicy(out, id, client, vector.force, policy.written())
        break
      }
      const options = Object.entries({ unpinned: vector.unpinned, blocked: vector.blocked })
      writePolicy(policy, pinsOf(vector.policy), undefined, new Map(options))
      writeSetPolicy(out, id, client, vector.force, policy.written())
      break
    }
    case 'SET_LIVE_POLICY': {
      const policy = new Writer(8)
      writePolicy(policy, pinsOf(vector.policy))
      writeSetLivePolicy(out, id, vector.live, vector.force, policy.written())
      break
    }
    case 'RELEASE_REHEARSAL':
      writeReleaseRehearsal(out, vector.rehearsal)
      break
    case 'TELL_HANDSHAKES':
      writeTellHandshakes(out, vector.wanted)
      break
    case 'RELEASE_LIVE_POLICY':
      writeReleaseLivePolicy(out, vector.live)
      break
    case 'CLOSE':
      writeClose(out, id, client, vector.force)
      break
    case 'LOOKUP_REPLY':
      if (vector.addresses) writeLookupAddresses(out, vector.lookup, vector.addresses)
      else writeLookupFailure(out, vector.lookup, vector.code, vector.message)
      break
    case 'UPLOAD':
      writeUpload(out, id, vector.piece === null ? null : Buffer.from(vector.piece, 'hex'))
      break
    case 'COOKIES_REPLY':
      if (vector.cookies !== undefined) writeCookies(out, vector.question, vector.cookies)
      else writeCookiesFailure(out, vector.question, vector.message)
      break
    case 'RELEASE_JAR':
      writeReleaseJar(out, vector.jar)
      break
    case 'RELEASE':
      writeRelease(out, client)
      break
    case 'PINS':
      writePins(out, id, client, vector.authority, vector.presented, vector.proxy)
      break
    case 'READ':
      writeRead(out, id, vector.request, vector.rest)
      break
    case 'SAVE':
      writeSave(out, id, vector.request, vector.path)
      break
    default:
      throw new Error(`no submission is called ${vector.kind}`)
  }
}

describe('submissions', () => {
  test.each(vectors.submissions)('$name', (vector) => {
    for (const capacity of [1, 1024]) {
      const out = new Writer(capacity) // growing changes nothing
      write(out, vector)
      expect(out.written().toString('hex')).toBe(vector.hex)
    }
  })

  test('records stand back to back, each behind its length', () => {
    const out = new Writer(16)
    for (const vector of vectors.submissions) write(out, vector)
    expect(out.written().toString('hex')).toBe(vectors.submissions.map(({ hex }) => hex).join(''))
  })

  test('text is written as the bytes that it stands for', () => {
    const text = new Writer(8)
    const bytes = new Writer(8)
    writeRequest(text, 1, 1, 'POST', 0, '/', null, 'grüße 👋', null)
    writeRequest(bytes, 1, 1, 'POST', 0, '/', null, Buffer.from('grüße 👋'), null)
    expect(text.written()).toEqual(bytes.written())
  })
})

describe('completions', () => {
  test.each(vectors.completions)('$name', (vector) => {
    // off the front, so that an offset that is taken from the wrong place shows
    const chunk = Buffer.concat([Buffer.from('feed', 'hex'), Buffer.from(vector.hex, 'hex')])
    const at = 6
    const record = new Reader(chunk, at + 5)
    expect(u32At(chunk, 2)).toBe(chunk.length - at)
    switch (vector.kind) {
      case 'RESPONSE': {
        expect(chunk[at]).toBe(Completion.response)
        expect(responseStatus(chunk, at)).toBe(vector.status)
        expect(responseVersion(chunk, at)).toBe(vector.version)
        expect(responseConnection(chunk, at)).toBe(vector.connection)
        expect(responseTimes(chunk, at)).toEqual(vector.times)
        expect(responseReused(chunk, at)).toBe(vector.reused)
        expect(responseUrl(chunk, at)).toBe(vector.url)
        expect(responseReason(chunk, at)).toBe(vector.reason)
        expect(readHeaders(chunk, responseHeaders(chunk, at))).toEqual(vector.headers.flat())
        const body = responseBody(chunk, at)
        if (vector.token === undefined) {
          expect(responseBodyIsToken(chunk, at)).toBe(false)
          expect(new Reader(chunk, body).data().toString('hex')).toBe(vector.body)
        } else {
          expect(responseBodyIsToken(chunk, at)).toBe(true)
          expect([u32At(chunk, body), u32At(chunk, body + 4)]).toEqual([
            vector.token,
            vector.length,
          ])
        }
        break
      }
      case 'CONNECTION': {
        expect(chunk[at]).toBe(Completion.connection)
        const { path, ...facts } = readConnection(record)
        const { protocol, cipherSuite, resumed, alpn, remoteAddress, times, matchedPin } = vector
        expect(facts).toEqual({
          ...{ protocol, cipherSuite, resumed, alpn },
          ...{ remoteAddress, times, matchedPin },
          reportedPatterns: [],
        })
        expect(readPathPins(path)).toEqual(vector.pathPins)
        break
      }
      case 'GONE':
        expect([chunk[at], u32At(chunk, at + 1)]).toEqual([Completion.gone, vector.connection])
        break
      case 'ERROR': {
        expect(chunk[at]).toBe(Completion.error)
        const failure = readFailure(record)
        expectFailure(failure, vector)
        break
      }
      case 'DONE':
        expect([chunk[at], record.u32()]).toEqual([Completion.done, vector.count])
        break
      case 'HANDSHAKE': {
        const { name: _, kind, hex, connection, ...facts } = vector
        const number = u32At(chunk, at + 1)
        expect([chunk[at], number]).toEqual([Completion.handshake, connection ?? 0])
        expect(readHandshake(record)).toEqual(facts)
        break
      }
      case 'SWAPPED': {
        const { closed, gained, lost, changed } = vector
        expect([chunk[at], record.u32()]).toEqual([Completion.swapped, closed])
        const swap = new Swap(closed, chunk.subarray(record.at))
        expect(swap.toJSON()).toEqual({ closedConnections: closed, gained, lost, changed })
        break
      }
      case 'LOOKUP':
        expect([chunk[at], u32At(chunk, at + 1), record.u32(), record.str()]).toEqual([
          Completion.lookup,
          vector.lookup,
          vector.client,
          vector.host,
        ])
        break
      case 'COOKIES': {
        const { client, url, setCookie } = vector
        expect([chunk[at], u32At(chunk, at + 1)]).toEqual([Completion.cookies, vector.question])
        expect(readCookies(record)).toEqual({ client, url, setCookie })
        break
      }
      case 'SERVER_PINS': {
        expect(chunk[at]).toBe(Completion.serverPins)
        const { remoteAddress, verified, path } = readServerPins(record)
        expect([remoteAddress, verified]).toEqual([vector.remoteAddress, vector.verified])
        expect(readPathPins(path)).toEqual(vector.pathPins)
        break
      }
      case 'BODY': {
        expect(chunk[at]).toBe(Completion.body)
        const { piece, hasEnded, trailers } = readBody(chunk, at + 5)
        const given = typeof piece === 'number' ? piece : Buffer.from(piece).toString('hex')
        expect(given).toBe(vector.token ?? vector.body)
        expect([hasEnded, trailers]).toEqual([vector.ended, vector.trailers?.flat() ?? []])
        break
      }
      case 'UPLOAD':
        expect([chunk[at], u32At(chunk, at + 5)]).toEqual([Completion.upload, vector.room])
        break
      case 'INFORMATION':
        expect([chunk[at], u32At(chunk, at + 1)]).toEqual([Completion.information, vector.id])
        expect(informationStatus(chunk, at)).toBe(vector.status)
        expect(informationHeaders(chunk, at)).toEqual(vector.headers.flat())
        break
      case 'SAVED':
        expect([chunk[at], record.i64()]).toEqual([Completion.saved, vector.length])
        break
      default:
        throw new Error(`no completion is called ${vector.kind}`)
    }
  })

  test('a record that ends early is no answer', () => {
    const bytes = Buffer.from('0a00', 'hex')
    expect(() => new Reader(bytes).u32()).toThrow(RangeError)
    expect(() => new Reader(Buffer.from('05000000ff', 'hex')).data()).toThrow(RangeError)
  })
})

function expectFailure(failure: ReturnType<typeof readFailure>, vector: Vector): void {
  const { foundPath, presentedChain, notAfter, ...fields } = vector.fields
  expect(failure).toMatchObject({ code: vector.number, ...fields })
  expect(codeOf(failure.code)).toBe(vector.code)
  expect(failure.foundPins?.length).toBe(foundPath?.length)
  expect(failure.presentedChain?.map((der) => der.toString('hex'))).toEqual(presentedChain)
  expect(failure.notAfter?.getTime()).toBe(notAfter === undefined ? undefined : notAfter * 1000)
  expect(errorOf(failure, [])).toMatchObject({ code: vector.code, message: fields.message })
}

describe('replies', () => {
  test.each(vectors.replies)('$name', (vector) => {
    const reply = Buffer.from(vector.hex, 'hex')
    if (vector.code) {
      expect(() => answer(reply)).toThrow(
        expect.objectContaining({ code: vector.code, ...vector.fields }),
      )
      return
    }
    switch (vector.of) {
      case 'createClient':
        expect(answer(reply).u32()).toBe(vector.handle)
        break
      case 'verifyChain': {
        const record = answer(reply)
        expect(record.pins()).toEqual(vector.path)
        expect(record.flag() ? record.pin() : null).toBe(vector.matchedPin)
        break
      }
      case 'policyLookup': {
        const record = answer(reply)
        expect([record.strs(), record.pins()]).toEqual([vector.patterns, vector.pins])
        break
      }
      case 'describeInputs':
        expect(readDescribedInputs(answer(reply))).toEqual(vector.inputs.map(withDate))
        break
      case 'describePath':
        expect(readDescribedPath(reply)).toEqual(
          vector.path.map((entry: Vector) => ({
            ...withDate(entry),
            der: entry.der === null ? null : Buffer.from(entry.der, 'hex'),
          })),
        )
        break
      default:
        throw new Error(`no reply is called ${vector.of}`)
    }
  })
})

function withDate(entry: Vector): Vector {
  return { ...entry, notAfter: entry.notAfter === null ? null : new Date(entry.notAfter * 1000) }
}

describe('client configurations', () => {
  test.each(vectors.configs)('$name', (vector) => {
    expect(Buffer.from(readOptions(vector.options).config).toString('hex')).toBe(vector.hex)
  })
})

test('no code and no number stands twice', () => {
  expect(new Set(errorCodes.map(([number]) => number)).size).toBe(errorCodes.length)
  expect(new Set(errorCodes.map(([, code]) => code)).size).toBe(errorCodes.length)
})

test('a number that this version does not know is our own fault', () => {
  expect(codeOf(9999)).toBe('ERR_INTERNAL')
})
