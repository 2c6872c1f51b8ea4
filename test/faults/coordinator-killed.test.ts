/** Faults 1 to 10 of the table in README.md: a coordinator dies by SIGKILL. */
import { expect, test } from 'vitest'
import { faultStage, startFaultFleet } from './kit/index.js'

const stage = faultStage()

test('4: killed after addBulk, before anything else: every attempt is executed once, and a peer goes on', async () => {
  const fleet = await startFaultFleet(stage, {
    coordinators: 2,
    workers: 2,
    failpoints: { coordinator0: 'dispatch.after-enqueue:kill:3' },
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
  await Promise.all(tasks.map(task => driver.known(() => driver.submit(task))))
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
