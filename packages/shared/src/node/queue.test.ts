import { describe, expect, test } from 'vitest'
import { Door, Slots } from './queue.js'

const turn = () => new Promise(resolve => setImmediate(resolve))

describe('slots', () => {
  test('are given out until there is none left', () => {
    const slots = new Slots(2)
    expect([slots.tryTake(), slots.tryTake(), slots.tryTake()]).toEqual([true, true, false])
    expect([slots.active, slots.free, slots.total]).toEqual([2, 0, 2])
    slots.give()
    expect([slots.free, slots.tryTake(), slots.tryTake()]).toEqual([1, true, false])
  })

  test('whoever waits is told when one is free, all of them and in order', async () => {
    const slots = new Slots(1)
    const told: string[] = []
    const { signal } = new AbortController()
    await slots.whenFree(signal)
    slots.tryTake()
    for (const who of ['a', 'b']) void slots.whenFree(signal).then(() => told.push(who))
    await turn()
    expect(told).toEqual([])
    slots.give()
    await turn()
    expect(told).toEqual(['a', 'b'])
  })

  test('who gives up waiting is told as well, and takes none', async () => {
    const slots = new Slots(1)
    slots.tryTake()
    const giveUp = new AbortController()
    const waiting = slots.whenFree(giveUp.signal)
    giveUp.abort()
    await waiting
    await slots.whenFree(giveUp.signal)
    expect(slots.free).toBe(0)
    slots.give()
    expect(slots.free).toBe(1)
  })
})

describe('a door', () => {
  test('lets jobs of all slots in until too many wait for their claims', async () => {
    const door = new Door(2)
    const [some, others] = [new Slots(5, door), new Slots(5, door)]
    expect([some.tryTake(), others.tryTake(), some.tryTake(), others.tryAgain()]).toEqual([true, true, false, false])
    expect([some.free, others.free]).toEqual([4, 4])
    const told: string[] = []
    const { signal } = new AbortController()
    void some.whenFree(signal).then(() => told.push('some'))
    void others.whenFree(signal).then(() => told.push('others'))
    await turn()
    expect(told).toEqual([])
    some.passed()
    await turn()
    expect(told).toEqual(['some', 'others'])
    expect([others.tryAgain(), some.tryTake()]).toEqual([true, false])
    others.giveUnused()
    expect([others.free, some.tryTake()]).toEqual([5, true])
  })

  test('that is closed is left by who gives up waiting', async () => {
    const slots = new Slots(2, new Door(1))
    slots.tryTake()
    const giveUp = new AbortController()
    const waiting = slots.whenFree(giveUp.signal)
    giveUp.abort()
    await waiting
    slots.passed()
    expect(slots.tryTake()).toBe(true)
  })
})
