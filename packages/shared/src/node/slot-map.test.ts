import { expect, test } from 'vitest'
import { SlotMap } from './slot-map.js'

test('it answers as a map does, whatever is set and deleted in between', () => {
  const map = new SlotMap<string, number>()
  const model = new Map<string, number>()
  let seed = 7
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  for (let n = 0; n < 5_000; n++) {
    const key = `k${random(40)}`
    if (random(2) === 0) {
      map.set(key, n)
      model.set(key, n)
    } else {
      expect(map.delete(key)).toBe(model.get(key))
      model.delete(key)
    }
    expect(map.get(key)).toBe(model.get(key))
    expect(map.has(key)).toBe(model.has(key))
    expect(map.size).toBe(model.size)
  }
  expect([...map.keys()]).toEqual([...model.keys()])
  expect([...map.values()]).toEqual([...model.values()])
})

test('places are used again', () => {
  const map = new SlotMap<number, object>()
  for (let n = 0; n < 10_000; n++) {
    map.set(n, {})
    if (n >= 10) map.delete(n - 10)
  }
  expect(map.capacity).toBe(11)
})
