import { type Logger, MemoryQueue, silentLogger } from '@baton/shared/node'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Database } from '../store/database.js'
import type { QueuedRow } from '../store/fragments.js'
import { Reconciler } from './reconciler.js'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

interface Row extends QueuedRow {
  queuedAt: number
}

/** Rows of the database, by the statements that the reconciler knows; what it looked at, and what it rang. */
function stage(options: { everyMs: number; claimLimitMs: number; holding?: () => boolean; away?: () => boolean; log?: Logger }) {
  const rows: Row[] = []
  const looks: { olderThanMs: number; youngerThanMs: number | null }[] = []
  const rung: { id: string; dispatch: number; waited: number }[] = []
  const queue = new MemoryQueue()
  const database = {
    query: async (statement: { name?: string }, params: readonly unknown[]) => {
      if (options.away?.()) throw new Error('the database is away')
      if (statement.name === 'stale_queued') {
        const [olderThanMs, , after, youngerThanMs] = params as [number, number, string, number | null]
        looks.push({ olderThanMs, youngerThanMs })
        const now = performance.now()
        const fits = ({ queuedAt }: Row) => now - queuedAt >= olderThanMs && (youngerThanMs === null || now - queuedAt <= youngerThanMs)
        return { rows: rows.filter(row => fits(row) && BigInt(row.id) > BigInt(after)), rowCount: 0 }
      }
      const again = rows.filter(row => (JSON.parse(params[0] as string) as Row[]).some(({ id }) => id === row.id))
      return { rows: again.map(row => Object.assign(row, { dispatch: row.dispatch + 1 })), rowCount: 0 }
    },
  } as unknown as Database // it asks nothing else
  const reconciler = new Reconciler({
    database,
    queue,
    ring: async again => {
      for (const { id, dispatch } of again)
        rung.push({ id, dispatch, waited: performance.now() - (rows.find(row => row.id === id)?.queuedAt ?? 0) })
      await queue.ring(
        again.map(row => ({ queue: row.queue, id: `${row.id}-${row.attempt}-${row.dispatch}`, delivery: { v: 1, s: row.id, a: 1 } })),
      )
    },
    holding: options.holding ?? (() => false),
    everyMs: options.everyMs,
    claimLimitMs: options.claimLimitMs,
    log: options.log ?? silentLogger(),
  })
  return { rows, looks, rung, reconciler, queue }
}

const row = (id: string): Row => ({ id, attempt: 1, dispatch: 1, queue: 'shared.c.x', route_id: 1, queuedAt: performance.now() })

test('whenever a row lost its job, it is rung again within a period, once; what was queued just now is left alone', async () => {
  const { rows, rung, reconciler } = stage({ everyMs: 5_000, claimLimitMs: 6_000 })
  await reconciler.start()
  await vi.advanceTimersByTimeAsync(100)
  for (let n = 1; n <= 40; n++) {
    rows.push(row(String(n)))
    await vi.advanceTimersByTimeAsync(317) // at any moment between two looks
  }
  await vi.advanceTimersByTimeAsync(5_000)
  expect(rung.map(({ id }) => Number(id)).sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
  for (const { waited, dispatch } of rung) {
    expect(dispatch).toBe(2)
    expect(waited).toBeGreaterThanOrEqual(2_000)
    expect(waited).toBeLessThan(5_000)
  }
  await reconciler.stop()
})

test('it looks at everything at its start and once in a period, in between at what was queued lately', async () => {
  const { looks, reconciler } = stage({ everyMs: 5_000, claimLimitMs: 6_000 })
  await reconciler.start()
  await vi.advanceTimersByTimeAsync(20_100)
  expect(looks[0]).toEqual({ olderThanMs: 0, youngerThanMs: null })
  expect(looks.slice(1).map(({ olderThanMs }) => olderThanMs)).toEqual(Array(looks.length - 1).fill(2_000))
  expect(looks.filter(({ youngerThanMs }) => youngerThanMs === null)).toHaveLength(5)
  expect(looks.filter(({ youngerThanMs }) => youngerThanMs !== null)).toHaveLength(4)
  await reconciler.stop()
})

test('while jobs are kept back it rings for none for a while: they come by themselves', async () => {
  let holding = true
  const { rows, rung, reconciler } = stage({ everyMs: 5_000, claimLimitMs: 6_000, holding: () => holding })
  rows.push(row('1'))
  await reconciler.start()
  await vi.advanceTimersByTimeAsync(1_900)
  expect(rung).toEqual([])
  holding = false
  await vi.advanceTimersByTimeAsync(600)
  expect(rung).toMatchObject([{ id: '1', dispatch: 2 }])
  // What is kept for good holds up nobody.
  holding = true
  rows.push(row('2'))
  await vi.advanceTimersByTimeAsync(7_500)
  expect(rung).toMatchObject([{ id: '1' }, { id: '2', dispatch: 2 }])
  await reconciler.stop()
})

test('that the queues were emptied is kept in mind until everything was looked at', async () => {
  let away = false
  const { rows, rung, looks, reconciler, queue } = stage({ everyMs: 5_000, claimLimitMs: 6_000, away: () => away })
  await reconciler.start()
  await vi.advanceTimersByTimeAsync(600)
  expect(looks).toHaveLength(1)
  rows.push(row('1'))
  vi.spyOn(queue, 'claimEpoch').mockResolvedValueOnce(true)
  away = true
  await vi.advanceTimersByTimeAsync(1_100)
  expect(rung).toEqual([])
  away = false
  await vi.advanceTimersByTimeAsync(600)
  expect(rung).toMatchObject([{ id: '1', dispatch: 2 }]) // however lately it was queued
  await reconciler.stop()
})

test('a queue that is away is told once, and looked at again when it is back; what else fails is a failure', async () => {
  const log = { ...silentLogger(), warn: vi.fn(), error: vi.fn() }
  let away = false
  const { rows, rung, reconciler, queue } = stage({ everyMs: 5_000, claimLimitMs: 6_000, log, away: () => away })
  const refusals = [vi.spyOn(queue, 'claimEpoch'), vi.spyOn(queue, 'check')]
  for (const refusal of refusals) refusal.mockRejectedValue(new Error('READONLY'))
  rows.push(row('1'))
  await reconciler.start()
  await vi.advanceTimersByTimeAsync(20_000)
  expect([log.warn.mock.calls.length, log.error.mock.calls.length]).toEqual([1, 0])
  expect(log.warn).toHaveBeenCalledWith({ reason: 'READONLY' }, expect.stringContaining('cannot be looked at'))
  for (const refusal of refusals) refusal.mockRestore()
  await vi.advanceTimersByTimeAsync(600)
  expect(rung).toMatchObject([{ id: '1', dispatch: 2 }])
  away = true
  await vi.advanceTimersByTimeAsync(5_000)
  expect([log.warn.mock.calls.length, log.error.mock.calls.length]).toEqual([1, 1])
  await reconciler.stop()
})
