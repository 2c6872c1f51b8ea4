import { type Ring, silentLogger, type TaskQueue } from '@baton/shared/node'
import { expect, test } from 'vitest'
import { Ringer } from './ringer.js'

test('a job says what its worker has to know of it, and no more', async () => {
  const rung: Ring[] = []
  const queue = { ring: async (rings: readonly Ring[]) => void rung.push(...rings) } as Partial<TaskQueue> as TaskQueue // all that it calls
  const ringer = new Ringer({ queue, retryMs: 1_000, log: silentLogger(), knows: subtask => (subtask === '2' ? 'c1' : undefined) })
  const row = { attempt: 1, dispatch: 1, queue: 'q', route_id: 1 }
  await ringer.ring([
    { ...row, id: '1', ahead: false },
    { ...row, id: '2', ahead: true },
  ])
  expect(rung.map(({ ahead, delivery }) => ({ ahead, delivery }))).toEqual([
    { ahead: undefined, delivery: { v: 1, s: '1', a: 1 } },
    { ahead: true, delivery: { v: 1, s: '2', a: 1, c: 'c1', f: true } },
  ])
})
