import { expect, test } from 'vitest'
import type { Queryable } from './database.js'
import { IdSource } from './ids.js'

/** A sequence, and how many blocks each statement drew. */
function sequence() {
  const drawn: number[] = []
  let last = 0
  let broken = false
  const db = {
    query: async (_: unknown, [count]: [number]) => {
      if (broken) throw new Error('away')
      drawn.push(count)
      return { rows: Array.from({ length: count }, () => ({ block: String(++last) })), rowCount: count }
    },
  } as unknown as Queryable // it asks nothing else
  return { db, drawn, break: (is: boolean) => (broken = is) }
}

const settled = () => new Promise(resolve => setTimeout(resolve, 5))

test('whoever misses ids shares a statement, and no id is given out twice', async () => {
  const { db, drawn } = sequence()
  const ids = new IdSource(db)
  const counts = [3, 999, 1, 2_500, 10, 1_000, 7]
  const draws = await Promise.all(counts.map(count => ids.draw(count)))
  const all = draws.flatMap((next, i) => Array.from({ length: counts[i] ?? 0 }, next))
  expect(new Set(all).size).toBe(counts.reduce((sum, count) => sum + count))
  expect(drawn).toEqual([9]) // four and a half blocks, and what is kept for the next
  expect(() => draws[0]?.()).toThrow('more ids were taken than drawn')
})

test('the next blocks are there before they are needed', async () => {
  const { db, drawn } = sequence()
  const ids = new IdSource(db)
  for (let n = 0; n < 20; n++) {
    await ids.draw(500)
    await settled()
  }
  const before = drawn.length
  expect(before).toBeLessThanOrEqual(4)
  await ids.draw(1)
  expect(drawn).toHaveLength(before)
})

test('a database that is away fails those that wait, and nobody who comes later', async () => {
  const { db, break: breaks } = sequence()
  const ids = new IdSource(db)
  breaks(true)
  const results = await Promise.allSettled([ids.draw(1), ids.draw(2)])
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  breaks(false)
  expect((await ids.draw(1))()).toBe('1000')
})
