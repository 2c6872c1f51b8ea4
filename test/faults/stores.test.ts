/** Faults 18 to 28: Redis, Postgres or NATS fails. */
import { expect, test } from 'vitest'
import { eventually } from '../harness/eventually.js'
import { choices, faultStage, startFaultFleet } from './kit/index.js'

const stage = faultStage()

interface Queued {
  id: string
  attempt: number
  dispatch: number
}

test('19: FLUSHALL under load: everything is rung again within the reconcile period', async () => {
  const { between } = choices('FLUSHALL under load')
  const slots = 10
  const fleet = await startFaultFleet(stage, { coordinators: 2, workers: 2, agents: [{ name: 'fault', concurrency: slots / 2 }] })
  const { driver } = fleet
  const started = () => fleet.journal().filter(line => line.event === 'start').length
  const queued = () => fleet.rows<Queued>(`select id::text, attempt, dispatch from subtask_states where state = 'queued' order by id`)

  // Every slot is taken, so that what is queued stays so until the test lets go.
  const holders = Array.from({ length: slots }, (_, i) => ({ name: `h${i}`, capability: 'fault', input: { hold: 'slots' } }))
  await driver.known(() => driver.submit({ task_id: 'holders', title: 'holders', execute: true, subtasks: holders }))
  await eventually(() => started() === slots)
  const tasks = Array.from({ length: 60 }, (_, i) => ({
    task_id: `t${i}`,
    title: 'load',
    execute: true,
    subtasks: [
      { name: 'a', capability: 'fault', input: { work: between(20, 60) } },
      { name: 'b', capability: 'fault', depends_on: ['a'], input: { work: between(0, 30) } },
    ],
  }))
  await Promise.all(tasks.map(task => driver.known(() => driver.submit(task))))
  await eventually(async () => (await queued()).length > 0)

  expect(await fleet.redis('FLUSHALL')).toBe('OK')
  const began = performance.now()
  const lost = await queued()
  // A job younger than the claim limit counts as on its way: hence one period and the limit. Two cores, shared: 2 s more.
  const withinMs = fleet.durations.reconcileMs + Math.max(fleet.leaseMs, fleet.durations.claimLimitMs) + 2_000
  await eventually(
    async () => {
      const now = new Map((await queued()).map(row => [row.id, row.dispatch]))
      expect(lost.filter(row => (now.get(row.id) ?? 0) <= row.dispatch)).toEqual([])
    },
    { timeoutMs: withinMs },
  )
  expect(performance.now() - began).toBeLessThan(withinMs)

  // And once more at a random point of the flow.
  const before = started()
  const flushAfter = before + between(1, 40)
  fleet.release('slots')
  await eventually(() => started() >= flushAfter, { timeoutMs: 15_000 })
  expect(await fleet.redis('FLUSHALL')).toBe('OK')

  expect(await fleet.violations()).toEqual([])
  const { subtasks } = await fleet.history()
  expect(subtasks).toHaveLength(slots + 120)
  expect(new Set(subtasks.map(s => s.state))).toEqual(new Set(['completed']))
  expect(subtasks.filter(s => s.attempt !== 1)).toEqual([]) // no attempt was used up by it
})
