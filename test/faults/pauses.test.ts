/** Faults 29 to 31 and 36 of the table in README.md: a process stands still, or its clock is wrong. */
import { expect, test, vi } from 'vitest'
import { eventually } from '../harness/eventually.js'
import { choices, type FaultFleet, faultStage, startFaultFleet } from './kit/index.js'

const stage = faultStage()
const shiftedClock = new URL('kit/shifted-clock.mjs', import.meta.url).href
const tooLate = 'a report came too late'

vi.setConfig({ testTimeout: 90_000 }) // a few seconds on a machine of its own

/** Time itself is what these rows inject. */
const pass = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

const started = (fleet: FaultFleet) => fleet.journal().filter(line => line.event === 'start' && line.attempt === 1).length
/** A later attempt's number may be any: one that was queued for a worker which is gone is taken back, and its number used up. */
const again = (fleet: FaultFleet) => fleet.journal().filter(line => line.event === 'start' && line.attempt > 1).length

/** How the attempts of a subtask ended, in order, and on which worker. */
async function attemptsOf(fleet: FaultFleet, name: string) {
  return fleet.rows<{ outcome: string; worker_id: string }>(
    'select a.outcome, a.worker_id from attempts a join subtasks d on d.id = a.subtask_pk where d.name = $1 order by a.attempt',
    [name],
  )
}

test('29: a worker stopped past its lease: its agents see the abort, whatever it reports then is stale', async () => {
  const fleet = await startFaultFleet(stage, { coordinators: 1, workers: 1 })
  const { driver } = fleet
  const held = Array.from({ length: 4 }, (_, i) => ({ name: `held${i}`, capability: 'fault', input: { hold: 'gate' } }))
  // These do not listen: they are done when the worker goes on, and report a result.
  const done = Array.from({ length: 4 }, (_, i) => ({
    name: `done${i}`,
    capability: 'fault',
    input: { work: [fleet.leaseMs, 0], deaf: true },
  }))
  await driver.known(() => driver.submit({ task_id: 't', title: 't', execute: true, subtasks: [...held, ...done] }))
  await eventually(() => started(fleet) === 8, { timeoutMs: 20_000 })
  const stopped = fleet.worker(0)
  stopped.pause()
  const other = await fleet.addWorker()
  await eventually(() => again(fleet) === 8, { timeoutMs: 20_000 })
  stopped.resume()

  const abort = (line: { event: string; attempt: number; pid: number }) =>
    line.event === 'abort' && line.attempt === 1 && line.pid === stopped.pid
  await eventually(() => fleet.journal().filter(abort).length >= 4, { timeoutMs: 10_000 })
  await eventually(() => stopped.lines.filter(line => line.includes(tooLate)).length === 8, { timeoutMs: 10_000 })
  fleet.release('gate')
  expect(await fleet.violations()).toEqual([])
  for (const { name } of [...held, ...done])
    expect(await attemptsOf(fleet, name)).toEqual([
      { outcome: 'lost', worker_id: stopped.id },
      { outcome: 'completed', worker_id: other.id },
    ])
})

test('30: coordinators stopped for ten leases: no attempt of a living worker is replaced, requests move to the other', async () => {
  const [pair, single] = await Promise.all([
    startFaultFleet(stage, { coordinators: 2, workers: 2 }),
    startFaultFleet(stage, { coordinators: 1, workers: 1 }),
  ])
  const heldBy = async ({ driver }: FaultFleet) => {
    const subtasks = Array.from({ length: 20 }, (_, i) => ({ name: `s${i}`, capability: 'fault', input: { hold: 'gate' } }))
    await driver.known(() => driver.submit({ task_id: 'held', title: 'held', execute: true, subtasks }))
  }
  await Promise.all([pair, single].map(heldBy))
  await eventually(() => [pair, single].every(fleet => started(fleet) === 20), { timeoutMs: 20_000 })

  // One that a worker stays with: it is that worker's requests that have to move.
  const heard = [0, 0]
  await Promise.all(
    heard.map((_, n) =>
      pair.overhear(n, () => {
        heard[n] = (heard[n] ?? 0) + 1
      }),
    ),
  )
  const victim = await eventually(() => (heard.some(count => count > 0) ? heard.findIndex(count => count > 0) : false))
  const other = 1 - victim
  pair.coordinator(victim).pause()
  single.coordinator(0).pause()
  const over = pass(10 * pair.leaseMs)
  const before = heard[other] ?? 0
  const { driver } = pair
  const tasks = Array.from({ length: 6 }, (_, i) => `during${i}`)
  for (const task_id of tasks) {
    const task = { task_id, title: 'during', execute: true, subtasks: [{ name: 'a', capability: 'fault' }] }
    expect(await driver.known(() => driver.submit(task, { timeoutMs: 1_000 }))).toMatchObject({ fate: 'ok' })
  }
  for (const task of tasks)
    await eventually(async () => (await driver.get(task, { coordinator: other })).body?.status === 'completed', { timeoutMs: 10_000 })
  await over
  expect(heard[other]).toBeGreaterThan(before)
  // Stopped all along.
  expect((await driver.get('held', { coordinator: victim, timeoutMs: 200 })).fate).toBe('unknown')
  expect((await single.driver.get('held', { timeoutMs: 200 })).fate).toBe('unknown')
  pair.coordinator(victim).resume()
  single.coordinator(0).resume()

  for (const fleet of [pair, single]) {
    // It has to be calm for a lease before it may replace anything; after two it would have.
    await pass(fleet.leaseMs)
    fleet.release('gate')
    expect(await fleet.violations()).toEqual([])
    const { subtasks } = await fleet.history()
    expect(subtasks.filter(s => s.attempt !== 1 || s.state !== 'completed')).toEqual([])
  }
})

test('31: an agent blocks its event loop for 7.5 leases: isolated, it keeps its lease; inline, it is replaced once', async () => {
  const fleet = await startFaultFleet(stage, { coordinators: 1, workers: 0 })
  const { driver } = fleet
  const inline = [{ name: 'inline', concurrency: 2 }]
  const isolated = (['thread', 'process'] as const).map(isolation => ({ name: isolation, isolation, concurrency: 2 }))
  const [first, second] = await Promise.all([
    fleet.addWorker({ agents: inline }),
    fleet.addWorker({ agents: inline }),
    fleet.addWorker({ agents: isolated }),
  ])
  const block = 7.5 * fleet.leaseMs // 45 s of the ordinary lease
  const subtasks = [
    { name: 'inline', capability: 'inline', input: { block, firstOnly: true } },
    ...isolated.map(({ name }) => ({ name, capability: name, input: { block } })),
  ]
  await driver.known(() => driver.submit({ task_id: 't', title: 't', execute: true, subtasks }))
  await eventually(() => started(fleet) === 3, { timeoutMs: 20_000 })

  const blocked = fleet.journal().find(line => line.event === 'start' && line.block && line.subtask.startsWith('inline'))
  const [slow, quick] = first.pid === blocked?.pid ? [first, second] : [second, first]
  await slow.said(tooLate, 20_000 + block)
  expect(await fleet.violations()).toEqual([])
  expect(await attemptsOf(fleet, 'inline')).toEqual([
    { outcome: 'lost', worker_id: slow.id },
    { outcome: 'completed', worker_id: quick.id },
  ])
  for (const { name } of isolated) expect(await attemptsOf(fleet, name)).toMatchObject([{ outcome: 'completed' }])
})

test("36: workers' clocks an hour off, either way: no effect", async () => {
  const { between } = choices('clocks that are off')
  const fleet = await startFaultFleet(stage, { coordinators: 1, workers: 0 })
  const { driver } = fleet
  const hourMs = 3_600_000
  const shifted = (ms: number) =>
    fleet.addWorker({
      agents: [{ name: 'fault', concurrency: 8, sla: '10m' }],
      nodeArguments: ['--import', shiftedClock],
      settings: { FAULT_CLOCK_MS: String(ms) },
    })
  const [ahead, behind] = await Promise.all([shifted(hourMs), shifted(-hourMs)])
  const tasks = Array.from({ length: 10 }, (_, i) => ({
    task_id: `t${i}`,
    title: 'clocks',
    execute: true,
    subtasks: [
      { name: 'a', capability: 'fault', input: { work: between(0, 200) } },
      { name: 'b', capability: 'fault', depends_on: ['a'], input: { fail: 1 } },
      { name: 'long', capability: 'fault', input: { work: 2 * fleet.leaseMs, progress: { i } } },
    ],
  }))
  await Promise.all(tasks.map(task => driver.known(() => driver.submit(task))))

  expect(await fleet.violations()).toEqual([])
  const { subtasks, journal } = await fleet.history()
  for (const { name, state, attempt } of subtasks) expect([name, state, attempt]).toEqual([name, 'completed', name === 'b' ? 2 : 1])
  for (const [worker, ms] of [
    [ahead, hourMs],
    [behind, -hourMs],
  ] as const) {
    const lines = journal.filter(line => line.pid === worker.pid)
    expect(lines.filter(line => Math.abs(line.at - Date.now() - ms) > 120_000)).toEqual([]) // its clock was off
    expect(lines.length).toBeGreaterThan(10)
  }
})
