import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Pending, Waiting } from '../../src/pending.js'

const state = {
  handle: 1,
  onBadPin: null,
  lookup: null,
  jar: null,
  logger: null,
  maxResponseBytes: 0,
  reporter: null,
  locations: null,
}
const someone = () =>
  new Pending(
    { cancel() {} },
    state,
    null,
    () => {},
    () => {},
  )

test('who waits is found by id, once, whoever came and went meanwhile', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 2000 }), (steps) => {
      const waiting = new Waiting()
      const known = new Map<number, Pending>()
      const given = new Set<number>()
      for (const step of steps) {
        const [oldest] = known
        if (step > 0 || oldest === undefined) {
          const pending = someone()
          const id = waiting.enter(pending)
          expect(given.has(id)).toBe(false) // never twice
          given.add(id)
          known.set(id, pending)
        } else {
          const [id, pending] = oldest
          expect(waiting.take(id)).toBe(pending)
          expect(waiting.take(id)).toBeUndefined()
          known.delete(id)
        }
        expect(waiting.size).toBe(known.size)
      }
      expect(new Set(waiting.all())).toEqual(new Set(known.values()))
    }),
    { numRuns: 30 },
  )
})

test('someone who waits long stays while thousands come and go', () => {
  const waiting = new Waiting()
  const patient = someone()
  const id = waiting.enter(patient)
  for (let round = 0; round < 5000; round++) {
    const passing = waiting.enter(someone())
    expect(waiting.take(passing)?.id).toBe(passing)
  }
  expect(waiting.take(id)).toBe(patient)
})
