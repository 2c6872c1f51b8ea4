import { expect, test, vi } from 'vitest'
import { Spares } from './spares.js'

const taken = (spares: Spares, among: readonly (readonly [worker: string, agent: string])[]) =>
  spares.take(among.map(([worker, agent]) => spares.of(worker, agent)))?.workerId

test('as many slots are given as the worker says, and none before it says so', () => {
  const spares = new Spares(60_000)
  expect(taken(spares, [['w', 'a']])).toBeUndefined()
  spares.heard('w', { a: 2 })
  expect([taken(spares, [['w', 'a']]), taken(spares, [['w', 'a']]), taken(spares, [['w', 'a']])]).toEqual(['w', 'w', undefined])
  expect(taken(spares, [['w', 'b']])).toBeUndefined()
})

test('what was taken and not answered is left out of what the worker says meanwhile', () => {
  const spares = new Spares(60_000)
  spares.heard('w', { a: 2 })
  taken(spares, [['w', 'a']])
  spares.heard('w', { a: 2 }) // it did not know yet
  expect(spares.of('w', 'a').free).toBe(1)
  spares.settled(spares.of('w', 'a'))
  spares.heard('w', { a: 1 })
  expect(spares.of('w', 'a').free).toBe(1)
})

test('an agent that a worker does not name any more has none', () => {
  const spares = new Spares(60_000)
  spares.heard('w', { a: 2, b: 2 })
  spares.heard('w', { b: 1 })
  expect([spares.of('w', 'a').free, spares.of('w', 'b').free]).toEqual([0, 1])
  spares.heard('w', undefined)
  expect(spares.of('w', 'b').free).toBe(0)
})

test('the worker with the most is taken, and all of them have their turn', () => {
  const spares = new Spares(60_000)
  spares.heard('v', { a: 10 })
  spares.heard('w', { a: 12 })
  const workers: readonly (readonly [string, string])[] = [
    ['v', 'a'],
    ['w', 'a'],
  ]
  const order = Array.from({ length: 22 }, () => taken(spares, workers))
  expect(order.slice(0, 2)).toEqual(['w', 'w'])
  expect([order.filter(id => id === 'v').length, order.filter(id => id === 'w').length]).toEqual([10, 12])
  expect(taken(spares, workers)).toBeUndefined()
})

test('of many workers the one that has slots is found', () => {
  const spares = new Spares(60_000)
  const workers = Array.from({ length: 100 }, (_, n) => [`w${n}`, 'a'] as const)
  spares.heard('w57', { a: 3 })
  const found = Array.from({ length: 200 }, () => taken(spares, workers)).filter(id => id !== undefined)
  expect(found).toEqual(['w57', 'w57', 'w57'])
})

test('what was said long ago does not count', () => {
  const spares = new Spares(-1)
  spares.heard('w', { a: 2 })
  expect(taken(spares, [['w', 'a']])).toBeUndefined()
})

test('nothing is taken while workers cannot be reached', () => {
  let reachable = false
  const spares = new Spares(60_000, () => reachable)
  spares.heard('w', { a: 1 })
  expect([taken(spares, [['w', 'a']]), spares.isFresh(spares.of('w', 'a'))]).toEqual([undefined, false])
  reachable = true
  expect([taken(spares, [['w', 'a']]), spares.isFresh(spares.of('w', 'a'))]).toEqual(['w', true])
})

test('workers that are gone are forgotten', () => {
  const spares = new Spares(60_000)
  spares.heard('v', { a: 2 })
  spares.heard('w', { a: 2 })
  spares.keep(new Set(['w']))
  expect([spares.of('v', 'a').free, spares.of('w', 'a').free]).toEqual([0, 2])
})

test('what is given back may be taken at once', () => {
  const spares = new Spares(60_000)
  spares.heard('w', { a: 1 })
  const slots = spares.take([spares.of('w', 'a')])
  expect(taken(spares, [['w', 'a']])).toBeUndefined()
  if (slots) spares.giveBack(slots)
  expect(taken(spares, [['w', 'a']])).toBe('w')
})

test('a worker of which so many slots wait for coordinators is passed over; those that its agents are at do not count', () => {
  const spares = new Spares(60_000)
  const slots = () => spares.take([spares.of('w', 'a')], 21)
  spares.heard('w', { a: 80 }, { slots: 100, waiting: 20 })
  expect(slots()).toBeDefined()
  expect(slots()).toBeUndefined()
  spares.heard('w', { a: 79 }, { slots: 101, waiting: 0 })
  expect(spares.of('w', 'a').standing).toMatchObject({ used: 102, waiting: 1 }) // with what it was not sent yet
  expect(slots()).toBeDefined()
})

test('workers are held up where half of their slots wait for coordinators, as they said a moment ago', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  try {
    const spares = new Spares(60_000)
    const among = ['v', 'w'].map(worker => spares.of(worker, 'a'))
    expect(spares.areHeldUp(among)).toBe(false) // nothing is in use
    spares.heard('v', { a: 1 }, { slots: 60, waiting: 50 })
    spares.heard('w', { a: 1 }, { slots: 40, waiting: 0 })
    expect(spares.areHeldUp(among)).toBe(true)
    vi.advanceTimersByTime(300)
    expect(spares.areHeldUp(among)).toBe(false) // their agents have begun since, or they would have told of ends
    spares.heard('v', { a: 1 }, { slots: 60, waiting: 49 })
    expect(spares.areHeldUp(among)).toBe(false)
  } finally {
    vi.useRealTimers()
  }
})

test('a worker that owes an answer for a while is sent no more until it says something', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  try {
    const spares = new Spares(60_000)
    spares.heard('w', { a: 10 })
    spares.asked('w')
    vi.advanceTimersByTime(200)
    spares.asked('w')
    expect(taken(spares, [['w', 'a']])).toBe('w')
    vi.advanceTimersByTime(100)
    expect(taken(spares, [['w', 'a']])).toBeUndefined()
    spares.answered('w')
    expect(taken(spares, [['w', 'a']])).toBe('w') // one is still owed, and something came
    vi.advanceTimersByTime(300)
    expect(taken(spares, [['w', 'a']])).toBeUndefined()
    spares.answered('w')
    expect(taken(spares, [['w', 'a']])).toBe('w')
  } finally {
    vi.useRealTimers()
  }
})
