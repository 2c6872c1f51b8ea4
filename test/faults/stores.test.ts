/** Faults 18 to 28 of the table in README.md: Redis, Postgres or NATS fails. */
import { expect, test } from 'vitest'
import { eventually } from '../harness/eventually.js'
import { choices, faultStage, startFaultFleet } from './kit/index.js'

const stage = faultStage()

test('19: FLUSHALL under load: everything is rung again within the reconcile period', async () => {
  const { between } = choices('FLUSHALL under load')
  const fleet = await startFaultFleet(stage, { coordinators: 2, workers: 2, agents: [{ name: 'fault', concurrency: 5 }] })
  const { driver } = fleet
  const tasks = Array.from({ length: 60 }, (_, i) => ({
    task_id: `t${i}`,
    title: 'load',
    execute: true,
    subtasks: [
      { name: 'a', capability: 'fault', input: { work: between(50, 150) } },
      { name: 'b', capability: 'fault', depends_on: ['a'], input: { work: between(0, 50) } },
    ],
  }))
  const flushAfter = between(5, 30)
  await Promise.all(tasks.map(task => driver.known(() => driver.submit(task))))
  await eventually(() => fleet.journal().length >= flushAfter, { timeoutMs: 10_000 })
  expect(await fleet.redis('FLUSHALL')).toBe('OK')

  const queued = await fleet.rows<{ id: string; attempt: number; dispatch: number }>(
    `select id::text, attempt, dispatch from subtask_states where state = 'queued'`,
  )
  expect(queued.length).toBeGreaterThan(0) // the queues held something to lose
  const began = performance.now()
  // A job that is younger than the claim limit counts as on its way: hence one period and the limit.
  const withinMs = fleet.durations.reconcileMs + Math.max(fleet.leaseMs, fleet.durations.claimLimitMs)
  await eventually(
    async () => {
      const same = await fleet.rows<{ id: string }>(
        `select s.id::text from subtask_states s join json_to_recordset($1::json) as q(id bigint, attempt int, dispatch int)
           on q.id = s.id and q.attempt = s.attempt and q.dispatch = s.dispatch where s.state = 'queued'`,
        [JSON.stringify(queued)],
      )
      expect(same).toEqual([])
    },
    { timeoutMs: withinMs + 2_000 },
  )
  expect(performance.now() - began).toBeLessThan(withinMs + 1_000) // two cores, shared

  expect(await fleet.violations()).toEqual([])
  const { subtasks } = await fleet.history()
  expect(subtasks).toHaveLength(120)
  expect(new Set(subtasks.map(s => s.state))).toEqual(new Set(['completed']))
  expect(subtasks.some(s => s.dispatch > s.attempt)).toBe(true) // the flush did take jobs away
})
