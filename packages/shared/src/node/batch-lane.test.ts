import { describe, expect, test, vi } from 'vitest'
import { BatchLane, type BatchLaneOptions, LaneFullError } from './batch-lane.js'

/** A lane whose batches are out until the test lets them come back. */
function lane(options: Partial<BatchLaneOptions<string, string>> = {}) {
  const batches: string[][] = []
  const answers: ((how?: { results?: string[]; error?: Error }) => void)[] = []
  const made = new BatchLane<string, string>({
    maxItems: 3,
    ...options,
    send: items => {
      batches.push(items)
      return new Promise((resolve, reject) => {
        answers.push(({ results = items.map(item => item.toUpperCase()), error } = {}) => (error ? reject(error) : resolve(results)))
      })
    },
  })
  return { lane: made, batches, answer: (how?: { results?: string[]; error?: Error }) => answers.shift()?.(how) }
}

const turn = () => new Promise(resolve => setImmediate(resolve))

describe('batches', () => {
  test('an idle lane sends at once, and items of the same turn travel together', async () => {
    const { lane: l, batches, answer } = lane()
    const results = Promise.all([l.push('a'), l.push('b')])
    await new Promise(setImmediate)
    expect(batches).toEqual([['a', 'b']])
    answer()
    expect(await results).toEqual(['A', 'B'])
  })

  test('while a batch is out the next one gathers, in order of arrival and within its size', async () => {
    const { lane: l, batches, answer } = lane()
    void l.push('a')
    await turn()
    const results = Promise.all(['b', 'c', 'd', 'e'].map(item => l.push(item)))
    await turn()
    expect(batches).toEqual([['a']])
    expect(l.depth).toBe(4)
    for (let n = 0; n < 3; n++) {
      answer()
      await turn()
    }
    expect(batches).toEqual([['a'], ['b', 'c', 'd'], ['e']])
    expect(await results).toEqual(['B', 'C', 'D', 'E'])
  })

  test('what goes first goes before what waits, in its own order, and not before what is out', async () => {
    const { lane: l, batches, answer } = lane()
    void l.push('a')
    await turn()
    const results = Promise.all([l.push('b'), l.push('c', { first: true }), l.push('d', { first: true }), l.push('e'), l.push('f')])
    for (let n = 0; n < 2; n++) {
      answer()
      await turn()
      if (n === 0) void l.push('g', { first: true })
    }
    answer()
    expect(batches).toEqual([['a'], ['c', 'd', 'b'], ['g', 'e', 'f']])
    expect(await results).toEqual(['B', 'C', 'D', 'E', 'F'])
  })

  test('items that are pushed together are answered together, though they travel in several batches', async () => {
    const { lane: l, batches, answer } = lane()
    const results = l.pushAll(['a', 'b', 'c', 'd'])
    const single = l.push('e')
    for (let n = 0; n < 2; n++) {
      await turn()
      answer()
    }
    expect([await results, await single]).toEqual([['A', 'B', 'C', 'D'], 'E'])
    expect(batches).toEqual([
      ['a', 'b', 'c'],
      ['d', 'e'],
    ])
    expect(await l.pushAll([])).toEqual([])
  })

  test('where one of them fails all do, and nobody else', async () => {
    const { lane: l, answer } = lane()
    const results = l.pushAll(['a', 'b', 'c', 'd'])
    const single = l.push('e')
    results.catch(() => undefined) // looked at below
    await turn()
    answer({ error: new Error('no') })
    await turn()
    answer()
    await expect(results).rejects.toThrow('no')
    expect(await single).toBe('E')
  })

  test('a lane that rests gathers meanwhile, until the rest is over or something urgent comes', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const { lane: l, batches, answer } = lane({ rest: { ms: 25, urgent: item => item === 'now' } })
      const push = async (...items: string[]) => {
        for (const item of items) void l.push(item)
        await turn()
      }
      const settle = async () => {
        answer()
        await turn()
      }
      await push('a') // idle: at once
      await settle()
      await push('b', 'c')
      await vi.advanceTimersByTimeAsync(24)
      expect(batches).toEqual([['a']])
      await vi.advanceTimersByTimeAsync(1)
      expect(batches).toEqual([['a'], ['b', 'c']])
      await settle()
      await push('d', 'now')
      expect(batches.at(-1)).toEqual(['d', 'now'])
      await push('now') // while a batch is out: no rest behind it
      await settle()
      expect(batches.slice(2)).toEqual([['d', 'now'], ['now']])
      await settle()
      await vi.advanceTimersByTimeAsync(25)
      await push('e') // idle again
      expect(batches.at(-1)).toEqual(['e'])
    } finally {
      vi.useRealTimers()
    }
  })

  test('hold so many bytes at most, and a larger item goes alone', async () => {
    const { lane: l, batches, answer } = lane({ maxItems: 100, maxBytes: 5, sizeOf: item => item.length })
    const results = ['aa', 'bbb', 'c', 'dddddddd', 'e'].map(item => l.push(item))
    for (let n = 0; n < 4; n++) {
      await turn()
      answer()
    }
    await Promise.all(results)
    expect(batches).toEqual([['aa', 'bbb'], ['c'], ['dddddddd'], ['e']])
  })
})

describe('every item is settled once', () => {
  test('when its batch fails, with the others of the batch and no other', async () => {
    const { lane: l, answer } = lane({ maxItems: 2 })
    const results = Promise.allSettled(['a', 'b', 'c'].map(item => l.push(item)))
    await turn()
    answer({ error: new Error('away') })
    await turn()
    answer()
    const settled = await results
    expect(settled.map(r => (r.status === 'fulfilled' ? r.value : r.reason.message))).toEqual(['away', 'away', 'C'])
  })

  test('when sending throws at once', async () => {
    const l = new BatchLane<string, string>({
      maxItems: 1,
      send: () => {
        throw new Error('no')
      },
    })
    await expect(l.push('a')).rejects.toThrow('no')
    await expect(l.push('b')).rejects.toThrow('no')
  })

  test('when there are too few results', async () => {
    const { lane: l, answer } = lane()
    const results = Promise.allSettled([l.push('a'), l.push('b')])
    await turn()
    answer({ results: ['A'] })
    const settled = await results
    expect(settled[0]).toEqual({ status: 'fulfilled', value: 'A' })
    expect(settled[1]).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining('too few results') } })
  })
})

test('a full lane refuses what comes, and takes it again when there is room', async () => {
  const { lane: l, answer } = lane({ maxWaiting: 2 })
  const first = [l.push('a')]
  await turn() // out
  first.push(l.push('b'), l.push('c'))
  await expect(l.push('d')).rejects.toBeInstanceOf(LaneFullError)
  answer()
  await turn()
  const last = l.push('e')
  answer()
  await turn()
  answer()
  expect(await Promise.all([...first, last])).toEqual(['A', 'B', 'C', 'E'])
})

test('a lane is idle when nothing waits and nothing is out', async () => {
  const { lane: l, answer } = lane({ maxItems: 1 })
  await l.whenIdle()
  const results = [l.push('a'), l.push('b')]
  let idle = 0
  for (let n = 0; n < 2; n++) void l.whenIdle().then(() => idle++)
  await turn()
  answer()
  await turn()
  expect(idle).toBe(0)
  answer()
  await Promise.all(results)
  await turn()
  expect(idle).toBe(2)
  await l.whenIdle()
})

test('10,000 items in a hundred pushes at a time come back in order', async () => {
  const l = new BatchLane<number, number>({ maxItems: 500, send: async items => items.map(n => -n) })
  const numbers = Array.from({ length: 10_000 }, (_, n) => n)
  expect(await Promise.all(numbers.map(n => l.push(n)))).toEqual(numbers.map(n => -n))
})
