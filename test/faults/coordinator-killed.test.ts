/** Faults 1 to 10: a coordinator dies by SIGKILL. */
import { expect, test } from 'vitest'
import { faultStage, startFaultFleet } from './kit/index.js'

const stage = faultStage()

test('4: killed after addBulk, before anything else: every attempt is executed once, and a peer goes on', async () => {
  const fleet = await startFaultFleet(stage, {
    coordinators: 2,
    workers: 2,
    failpoints: { coordinator0: 'dispatch.after-enqueue:kill' },
  })
  const { driver } = fleet
  const tasks = Array.from({ length: 40 }, (_, i) => ({
    task_id: `t${i}`,
    title: 'load',
    execute: true,
    subtasks: [
      { name: 'a', capability: 'fault', input: { work: 20 } },
      { name: 'b', capability: 'fault', depends_on: ['a'], input: { echo: { text: 'naïve ✓' } } },
    ],
  }))
  // Whoever takes a task in rings for it: what the first of them takes in, its end comes with.
  await Promise.all(tasks.map((task, i) => driver.known(() => driver.submit(task, i % 2 === 0 ? { coordinator: 0 } : {}))))
  await fleet.coordinator(0).reached('dispatch.after-enqueue')
  expect(await fleet.coordinator(0).ended()).toEqual({ code: null, signal: 'SIGKILL' })

  expect(await fleet.violations()).toEqual([])
  const { subtasks, journal } = await fleet.history()
  expect(subtasks).toHaveLength(80)
  expect(new Set(subtasks.map(s => s.state))).toEqual(new Set(['completed']))
  // Nothing was lost: what had been rung was delivered, what had not was rung by the peer; each ran once.
  expect(subtasks.filter(s => s.attempt !== 1)).toEqual([])
  expect(journal.filter(line => line.event === 'start')).toHaveLength(80)
})
