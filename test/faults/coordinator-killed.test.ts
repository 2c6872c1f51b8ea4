/** Faults 1 to 10: a coordinator dies by SIGKILL. */
import { expect, test, vi } from 'vitest'
import { readMigrations } from '../../packages/coordinator/src/store/migrate.js'
import { draft, drafted, startModelServer } from '../flow/model-server.js'
import { cleanUp } from '../harness/clean-up.js'
import { eventually } from '../harness/eventually.js'
import { accountOf, type CoordinatorMember, type FaultFleet, faultStage, type History, sharedFleet, startFaultFleet } from './kit/index.js'

vi.setConfig({ testTimeout: 60_000 })

const slots = 5
/** What one look of the reconciler may take on two cores that are shared. */
const lookMs = 400
const stage = faultStage()
/** The first coordinator outlives all rows; each row adds the one that it kills. */
const shared = sharedFleet(stage, {
  coordinators: 1,
  workers: 1,
  agents: [{ name: 'fault', concurrency: slots }],
  settings: { LOG_LEVEL: 'debug' },
  proxies: { coordinator0: ['nats'] },
})

const killed = { code: null, signal: 'SIGKILL' } as const

/** More roots than the queue has room for: some are queued with the graph, the others wait as ready. */
const wide = (task_id: string, input: object = {}, count = 4 * slots) => ({
  task_id,
  title: 'wide',
  execute: true,
  subtasks: Array.from({ length: count }, (_, i) => ({ name: `s${i}`, capability: 'fault', input })),
})

/** Every attempt of the task was the first one, was executed once, and completed. */
function ranOnce(history: History, taskId: string, count: number) {
  const account = accountOf(history, taskId)
  const { subtasks, starts } = account
  expect(subtasks.map(({ state, attempt }) => ({ state, attempt }))).toEqual(Array(count).fill({ state: 'completed', attempt: 1 }))
  expect(starts).toHaveLength(count)
  return account
}

/** Workers can reach only this coordinator, until the fleet is healed: the other one is cut from NATS. */
function onlyVictimHears(fleet: FaultFleet): void {
  fleet.coordinator(0).proxies.nats?.cut()
}

const startsOf = (fleet: FaultFleet, taskId: string) =>
  fleet.journal().filter(({ event, subtask }) => event === 'start' && subtask.includes(`::${taskId}::`)).length

const allStarted = (fleet: FaultFleet, taskId: string, count: number) =>
  eventually(() => expect(startsOf(fleet, taskId)).toBe(count), { timeoutMs: 15_000 })

const seenToEnd = async (victim: CoordinatorMember) => expect(await victim.ended()).toEqual(killed)

test('1: killed after a submission committed, before the reply: the retried submission returns the same task', async () => {
  const fleet = shared()
  const { driver } = fleet
  const victim = await fleet.addCoordinator({ failpoint: 'submit.after-commit:kill' })
  const task = wide('t1')
  expect(await driver.submit(task, { url: victim.url })).toMatchObject({ fate: 'unknown' })
  await victim.reached('submit.after-commit')
  await seenToEnd(victim)
  const stored = accountOf(await fleet.history(), 't1')

  const retried = await driver.known(() => driver.submit(task))
  expect(retried).toMatchObject({ fate: 'ok', status: 200, body: { task_id: 't1' } })
  expect(retried.body?.subtasks.map(({ name }) => name)).toEqual(stored.subtasks.map(({ name }) => name))
  expect(await driver.submit({ ...task, title: 'another' })).toMatchObject({ fate: 'failed', status: 409 })
  expect(await fleet.violations()).toEqual([])
  const { subtasks } = ranOnce(await fleet.history(), 't1', task.subtasks.length)
  expect(subtasks.map(({ uuid }) => uuid)).toEqual(stored.subtasks.map(({ uuid }) => uuid))
})

test('1: killed with its first subtasks started on a worker that was not told: they go back to the queue, and keep their attempt', async () => {
  const fleet = shared()
  const { driver } = fleet
  const victim = await fleet.addCoordinator({ failpoint: 'submit.after-graph:kill' })
  onlyVictimHears(fleet)
  const now = 'select clock_timestamp()::text as at'
  const [cut] = await fleet.rows<{ at: string }>(now)
  // With its heartbeat the worker says how many slots it has to spare.
  const heard = `select 1 from workers where state = 'ready' and last_heartbeat_at > '${cut?.at}'`
  await eventually(async () => expect(await fleet.rows(heard)).toHaveLength(1), { timeoutMs: 15_000 })
  const task = wide('t1-started', {}, slots)
  expect(await driver.submit(task, { url: victim.url })).toMatchObject({ fate: 'unknown' })
  await victim.reached('submit.after-graph')
  await seenToEnd(victim)
  const standing = `select s.state, count(*)::int as count from subtask_states s join tasks k on k.id = s.task_pk where k.task_id = 't1-started' group by s.state order by s.state`
  expect(await fleet.rows(standing)).toEqual([
    { state: 'queued', count: 1 }, // one slot is kept for the queue
    { state: 'running', count: slots - 1 },
  ])
  fleet.heal()
  expect(await fleet.violations()).toEqual([])
  const { attempts } = ranOnce(await fleet.history(), 't1-started', slots)
  expect(attempts.map(({ outcome }) => outcome)).toEqual(Array(slots).fill('completed'))
})

test('2: killed with the plan made and the graph not committed: one plan version', async () => {
  const fleet = shared()
  const { driver } = fleet
  const victim = await fleet.addCoordinator({ failpoint: 'submit.before-commit:kill' })
  const task = { task_id: 't2', title: 'worded', description: 'Fix the login bug. Then deploy it to staging.' }
  expect(await driver.submit(task, { url: victim.url })).toMatchObject({ fate: 'unknown' })
  await victim.reached('submit.before-commit')
  await seenToEnd(victim)
  expect(await fleet.rows(`select from tasks where task_id = 't2'`)).toEqual([]) // nothing half

  // Two callers repeat at once: the plan is made twice more, and one version of it is stored.
  const answers = await Promise.all([0, 1].map(() => driver.known(() => driver.submit(task))))
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 201])
  const [first, second] = answers.map(({ body }) => body?.subtasks.map(({ subtask_id }) => subtask_id))
  expect(first).toEqual(second)
  expect(await fleet.violations()).toEqual([])
  const { subtasks, events } = accountOf(await fleet.history(), 't2')
  expect(subtasks).toHaveLength(first?.length ?? 0)
  expect(new Set(subtasks.map(({ generation }) => generation))).toEqual(new Set([0]))
  expect(events.filter(({ name }) => name === 'task.planned')).toHaveLength(1)
})

test('2: killed with a plan made by a model and the graph not committed: a peer asks the model anew, once, and stores that plan', async () => {
  const fleet = shared()
  const { driver } = fleet
  const subtask = (n: number) => drafted(`of-answer-${n}`, { capability: 'fault' })
  const model = await startModelServer((_, n) => ({ says: draft([subtask(n)]) }))
  cleanUp(() => model.stop())
  const settings = { BATON_MODEL_URL: model.url, BATON_MODEL: 'tiny' }
  const victim = await fleet.addCoordinator({ failpoint: 'submit.before-commit:kill', settings })
  const peer = await fleet.addCoordinator({ settings })
  const task = { task_id: 't2-model', title: 'Call Mrs. Miller back', description: 'She has a question about her invoice.' }
  expect(await driver.submit(task, { url: victim.url })).toMatchObject({ fate: 'unknown' })
  await victim.reached('submit.before-commit')
  await seenToEnd(victim)
  expect(model.requests).toHaveLength(1)
  expect(await fleet.rows(`select from tasks where task_id = 't2-model'`)).toEqual([])

  // Two callers repeat at once: they wait for one plan, which is made when the victim's turn at it has run out.
  const answers = await Promise.all([0, 1].map(() => driver.known(() => driver.submit(task, { url: peer.url }))))
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 201])
  for (const { body } of answers) expect(body?.subtasks.map(({ name }) => name)).toEqual(['of-answer-2'])
  expect(model.requests).toHaveLength(2)
  // One that does not know the model finds the plan that there is.
  const elsewhere = await driver.known(() => driver.submit(task))
  expect([elsewhere.status, elsewhere.body?.subtasks.map(({ name }) => name)]).toEqual([200, ['of-answer-2']])
  await peer.stop()
  expect(await fleet.violations()).toEqual([])
  const { subtasks, events } = accountOf(await fleet.history(), 't2-model')
  expect(subtasks.map(({ generation }) => generation)).toEqual([0])
  expect(events.filter(({ name }) => name === 'task.planned')).toHaveLength(1)
})

test('3: killed with the graph committed and nothing dispatched: a peer dispatches it, though nobody asks again', async () => {
  const fleet = shared()
  const { driver } = fleet
  const victim = await fleet.addCoordinator({ failpoint: 'submit.after-graph:kill' })
  const task = wide('t3')
  expect(await driver.submit(task, { url: victim.url })).toMatchObject({ fate: 'unknown' })
  await victim.reached('submit.after-graph')
  await seenToEnd(victim)

  expect(await fleet.violations()).toEqual([])
  const { subtasks } = ranOnce(await fleet.history(), 't3', task.subtasks.length)
  // What was queued with the graph had no job and was rung again; what was ready was dispatched.
  expect(new Set(subtasks.map(({ dispatch }) => dispatch))).toEqual(new Set([1, 2]))
})

test('4: killed after addBulk, before anything else: every attempt is executed once, and a peer goes on', async () => {
  const fleet = shared()
  const { driver } = fleet
  const victim = await fleet.addCoordinator({ failpoint: 'dispatch.after-enqueue:kill' })
  const tasks = Array.from({ length: 40 }, (_, i) => ({
    task_id: `t4-${i}`,
    title: 'load',
    execute: true,
    subtasks: [
      { name: 'a', capability: 'fault', input: { work: 20 } },
      { name: 'b', capability: 'fault', depends_on: ['a'], input: { echo: { text: 'naïve ✓' } } },
    ],
  }))
  // Whoever takes a task in rings for it: half of them are the victim's, the last of the living.
  await Promise.all(tasks.map((task, i) => driver.known(() => driver.submit(task, i % 2 === 0 ? { coordinator: 1 } : {}))))
  await victim.reached('dispatch.after-enqueue')
  await seenToEnd(victim)

  expect(await fleet.violations()).toEqual([])
  // Nothing was lost: what had been rung was delivered, what had not was rung by the peer; each ran once.
  const history = await fleet.history()
  for (const { task_id } of tasks) ranOnce(history, task_id, 2)
})

test('5: killed in the middle of addBulk: nothing is queued without a job for longer than the reconcile period', async () => {
  const fleet = shared()
  const { driver, durations } = fleet
  const victim = await fleet.addCoordinator({ failpoint: 'dispatch.mid-enqueue:kill', proxies: ['nats'] })
  victim.proxies.nats?.cut() // it starts nothing on a worker that it cannot reach: all go by the queue
  const task = wide('t5')
  expect(await driver.submit(task, { url: victim.url })).toMatchObject({ fate: 'unknown' })
  await victim.reached('dispatch.mid-enqueue')
  await seenToEnd(victim)

  expect(await fleet.violations()).toEqual([])
  const { subtasks } = ranOnce(await fleet.history(), 't5', task.subtasks.length)
  expect(new Set(subtasks.map(({ dispatch }) => dispatch))).toEqual(new Set([1, 2])) // the first half was rung, the second was not
  const rung = await fleet.rows<{ waited: number }>(
    `select extract(epoch from s.queued_at - e.at)::float8 * 1000 as waited
     from subtask_states s join tasks k on k.id = s.task_pk join events e on e.subtask_pk = s.id and e.name = 'subtask.queued'
     join events p on p.task_pk = k.id and p.name = 'task.planned' and p.xid = e.xid -- by the victim
     where k.task_id = 't5' and s.dispatch = 2`,
  )
  expect(rung).toHaveLength(slots)
  for (const { waited } of rung) expect(waited).toBeLessThan(durations.reconcileMs + lookMs)
})

test('6: killed with reports received and not committed: the worker repeats them, bytes intact', async () => {
  const fleet = shared()
  const { driver } = fleet
  const victim = await fleet.addCoordinator({ failpoint: 'collect.before-commit:kill' })
  onlyVictimHears(fleet)
  const echo = { z: 1.5e-300, a: ['naïve ✓ 👩‍🚀', '\u2028"\\\u0001', 9_007_199_254_740_991], '': { deep: [[[null, -0.1]]] } }
  const task = wide('t6', { hold: 't6', echo }, slots)
  expect(await driver.submit(task, { url: victim.url })).toMatchObject({ status: 201 })
  await allStarted(fleet, 't6', slots)
  fleet.release('t6')
  await victim.reached('collect.before-commit')
  await seenToEnd(victim)

  expect(await fleet.violations()).toEqual([])
  ranOnce(await fleet.history(), 't6', slots)
  const outputs = await fleet.rows<{ output: string }>(
    `select a.output from attempts a join subtask_states s on s.id = a.subtask_pk join tasks k on k.id = s.task_pk where k.task_id = 't6'`,
  )
  expect(outputs).toEqual(Array(slots).fill({ output: JSON.stringify(echo) }))
})

test('7: killed with reports committed and not answered: the repeat reads `duplicate`', async () => {
  const fleet = shared()
  const { driver } = fleet
  const victim = await fleet.addCoordinator({ failpoint: 'collect.after-commit:kill' })
  onlyVictimHears(fleet)
  const roots = Array.from({ length: slots }, (_, i) => `a${i}`)
  const subtasks = [
    ...roots.map(name => ({ name, capability: 'fault', input: { hold: 't7' } })),
    ...roots.map((root, i) => ({ name: `b${i}`, capability: 'fault', depends_on: [root] })),
  ]
  const task = { task_id: 't7', title: 'pairs', execute: true, subtasks }
  expect(await driver.submit(task, { url: victim.url })).toMatchObject({ status: 201 })
  await allStarted(fleet, 't7', slots)
  fleet.release('t7')
  await victim.reached('collect.after-commit')
  await seenToEnd(victim)
  fleet.heal()
  await fleet.worker(0).said(/"status":"duplicate".*a report was answered/)

  expect(await fleet.violations()).toEqual([])
  // What follows from the committed ones is done by the peer: every one of the second runs, once.
  ranOnce(await fleet.history(), 't7', 2 * slots)
})

test('9: killed in the middle of a deadline sweep: the attempt rises by one only', async () => {
  const fleet = shared()
  const { driver } = fleet
  const victim = await fleet.addCoordinator({ failpoint: 'watch.mid-sweep:kill' })
  onlyVictimHears(fleet) // so the other one does not sweep either
  const task = wide('t9', { hold: 't9' }, slots)
  // With a long lease it is not the worker's silence that ends them.
  const subtasks = task.subtasks.map(subtask => ({ ...subtask, sla_seconds: 2, lease_seconds: 60 }))
  expect(await driver.submit({ ...task, subtasks }, { url: victim.url })).toMatchObject({ status: 201 })
  await allStarted(fleet, 't9', slots)
  fleet.worker(0).pause() // it would end them itself
  await victim.reached('watch.mid-sweep', 20_000)
  await seenToEnd(victim)
  fleet.coordinator(0).heal() // and sweeps what is left
  const late = async () => accountOf(await fleet.history(), 't9').attempts.filter(({ outcome }) => outcome === 'timed_out')
  await eventually(async () => expect(await late()).toHaveLength(slots), { timeoutMs: 20_000, everyMs: 50 })
  fleet.release('t9')

  expect(await fleet.violations()).toEqual([])
  const { subtasks: rows, attempts } = accountOf(await fleet.history(), 't9')
  expect(rows.map(({ state, attempt, charged }) => ({ state, attempt, charged }))).toEqual(
    Array(slots).fill({ state: 'completed', attempt: 2, charged: 1 }),
  )
  expect(attempts.map(({ attempt, outcome }) => [attempt, outcome])).toEqual(
    Array(slots)
      .fill([
        [1, 'timed_out'],
        [2, 'completed'],
      ])
      .flat(),
  )
})

test('10: killed during a migration: the restart succeeds', async () => {
  const versions = readMigrations().map(({ version }) => version)
  const fleet = await startFaultFleet(stage, { coordinators: 1, workers: 0, failpoints: { coordinator0: 'migrate.mid:kill' } })
  const coordinator = fleet.coordinator(0)
  const applied = async () =>
    (await fleet.rows<{ version: number }>('select version from baton_migrations order by version')).map(r => r.version)
  const tables = async () => (await fleet.rows<{ name: string | null }>(`select to_regclass('tasks')::text as name`))[0]?.name
  await seenToEnd(coordinator)
  expect(await applied()).toEqual([])
  expect(await tables()).toBeNull() // its statements had run

  await coordinator.restart({ failpoint: `migrate.mid:kill:${versions.length}` }) // in the last one
  await seenToEnd(coordinator)
  expect(coordinator.lines.filter(line => line === 'failpoint migrate.mid reached')).toHaveLength(2)
  expect(await applied()).toEqual(versions.slice(0, -1))

  await Promise.all([coordinator.restart(), fleet.addCoordinator()]) // the peer comes at the same moment
  expect(await applied()).toEqual(versions)
  for (const n of [0, 1])
    expect(await fleet.driver.submit({ ...wide(`t10-${n}`), execute: false }, { coordinator: n })).toMatchObject({
      fate: 'ok',
      status: 201,
    })
  expect(await fleet.violations()).toEqual([])
})
