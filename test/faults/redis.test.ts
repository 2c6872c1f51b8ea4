/** Faults 18 to 22 of the table in README.md: Redis dies, forgets, fills up, stays away. */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { queueName } from '@baton/shared'
import { Queue } from 'bullmq'
import { expect, test } from 'vitest'
import { cleanUp } from '../harness/clean-up.js'
import { eventually } from '../harness/eventually.js'
import { scrape } from '../observe/scrape.js'
import { choices, type FaultFleet, faultStage, lasts, listen, pairs, sharedFleet, subtasksOf } from './kit/index.js'

const stage = faultStage()
const slots = 10
const shared = sharedFleet(stage, { coordinators: 2, workers: 2, agents: [{ name: 'fault', concurrency: slots / 2 }] })

const started = () =>
  shared()
    .journal()
    .filter(line => line.event === 'start').length

/** `count` tasks of one step each, which ends when it is released. */
const held = (prefix: string, count: number, hold: string) =>
  Array.from({ length: count }, (_, i) => ({
    task_id: `${prefix}${i}`,
    title: 'held',
    execute: true,
    subtasks: [{ name: 'a', capability: 'fault', input: { hold } }],
  }))

/** The fleet under load, when some of it has run and more is queued. */
async function underLoad(prefix: string, count: number) {
  const { between } = choices(`row ${prefix}`)
  const fleet = shared()
  const { driver } = fleet
  const tasks = pairs(prefix, count, () => between(50, 150))
  const after = fleet.journal().length + between(5, 30)
  await Promise.all(tasks.map(task => driver.known(() => driver.submit(task))))
  await eventually(() => fleet.journal().length >= after, { timeoutMs: 20_000 })
  return fleet
}

/** Whatever it takes from Redis, it is there again for the next row. */
function restartedInTheEnd() {
  cleanUp(async () => {
    if (
      (await shared()
        .redis('PING')
        .catch(() => '')) !== 'PONG'
    )
      await shared().servers.redis.restart()
  })
}

const readQueued = () =>
  shared().rows<{ id: string; attempt: number; dispatch: number }>(
    `select id::text, attempt, dispatch from subtask_states where state = 'queued'`,
  )

/** What takes so long with the ordinary lease. */
const inScale = (ms: number) => ms * (shared().leaseMs / 6_000)

/** Resolves when every one of these rows has been rung again; `moved`: or has moved on. */
const rungAgain = (lost: Awaited<ReturnType<typeof readQueued>>, timeoutMs: number, { moved }: { moved: boolean }) =>
  eventually(
    async () => {
      const now = new Map((await readQueued()).map(row => [row.id, row]))
      const left = lost.filter(({ id, dispatch }) => (now.get(id)?.dispatch ?? (moved ? Number.POSITIVE_INFINITY : 0)) <= dispatch)
      expect(left).toEqual([])
    },
    { timeoutMs },
  )

/** All of a row's subtasks were completed, and none took a second attempt: nobody died, and no result was lost. */
async function completedAtOnce(prefix: string, count: number) {
  const subtasks = subtasksOf(await shared().history(), prefix)
  expect(subtasks).toHaveLength(count)
  expect(subtasks.filter(({ state, attempt }) => state !== 'completed' || attempt !== 1)).toEqual([])
  return subtasks
}

test('18: killed under load and restarted with its append-only file: everything is completed in its first attempt', async () => {
  const fleet = await underLoad('r18-', 40)
  const { redis } = fleet.servers
  restartedInTheEnd()
  const heard = listen(fleet.coordinators)
  await redis.kill()
  expect((await readQueued()).length).toBeGreaterThan(0)
  await heard(/Redis is away/)
  await redis.restart()
  expect(await fleet.violations()).toEqual([])
  await completedAtOnce('r18-', 80)
})

test('19: FLUSHALL under load: everything is rung again within the reconcile period', async () => {
  const fleet = shared()
  const { driver } = fleet
  const { between } = choices('row r19-')
  // Every slot is taken, so that what is queued stays so until the test lets go.
  cleanUp(() => fleet.release('r19'))
  const before = started()
  await Promise.all(held('r19-held-', slots, 'r19').map(task => driver.known(() => driver.submit(task))))
  await eventually(() => started() >= before + slots, { timeoutMs: 20_000 })
  await Promise.all(pairs('r19-', 60, () => between(10, 60)).map(task => driver.known(() => driver.submit(task))))
  await eventually(async () => (await readQueued()).length > 0)
  expect(await fleet.redis('FLUSHALL')).toBe('OK')
  const began = performance.now()
  const lost = await readQueued()
  // A job that is younger than the claim limit counts as on its way: hence one period and the limit. Two cores, shared: 2 s more.
  const withinMs = fleet.durations.reconcileMs + Math.max(fleet.leaseMs, fleet.durations.claimLimitMs) + 2_000
  await rungAgain(lost, withinMs, { moved: false })
  expect(performance.now() - began).toBeLessThan(withinMs)

  // And once more at a random point of the flow.
  const flushAfter = started() + between(1, 40)
  fleet.release('r19')
  await eventually(() => started() >= flushAfter, { timeoutMs: 20_000 })
  expect(await fleet.redis('FLUSHALL')).toBe('OK')
  expect(await fleet.violations()).toEqual([])
  await completedAtOnce('r19-', slots + 120)
})

const pausedBy = ({ coordinators }: FaultFleet) =>
  Promise.all(coordinators.map(async ({ url }) => (await scrape(url)).value('orchestrator_dispatch_paused', { reason: 'out_of_memory' })))

test('21: out of memory: dispatch pauses and says why, and resumes when there is memory again', async () => {
  const fleet = await underLoad('r21-', 20)
  const { driver } = fleet
  cleanUp(() => fleet.redis('CONFIG', 'SET', 'maxmemory', '0'))
  const heard = listen(fleet.coordinators)
  expect(await fleet.redis('CONFIG', 'SET', 'maxmemory', '1mb')).toBe('OK')
  await expect(fleet.redis('SET', 'probe', '1')).rejects.toThrow('OOM')

  // What is submitted is taken in, and waits.
  const late = pairs('r21-late-', 40, () => 20)
  for (const { fate } of await Promise.all(late.map(task => driver.submit(task)))) expect(fate).toBe('ok')
  await heard(/the queue does not take jobs; they are kept and tried again/)
  await heard(/OOM command not allowed/)
  expect(await pausedBy(fleet)).toContain(1)
  await lasts(fleet.leaseMs)
  const states = await fleet.rows<{ state: string; count: number }>(
    `select s.state, count(*)::int as count from subtask_states s join tasks k on k.id = s.task_pk where k.task_id like 'r21-late-%' group by 1`,
  )
  expect(Object.fromEntries(states.map(({ state, count }) => [state, count]))).toEqual({
    pending: 40,
    queued: expect.any(Number),
    ready: expect.any(Number), // no more is claimed than the queues had room for
  })

  const resumed = listen(fleet.coordinators)
  expect(await fleet.redis('CONFIG', 'SET', 'maxmemory', '0')).toBe('OK')
  await resumed(/the queue takes jobs again/)
  await eventually(async () => (await pausedBy(fleet)).every(paused => paused === 0))
  expect(await fleet.violations()).toEqual([])
  await completedAtOnce('r21-', 120)
})

test('22: away for ten leases, while running and at the start of others: what was asked meanwhile runs when it is back', async () => {
  const fleet = await underLoad('r22-', 20)
  const { driver } = fleet
  const { redis } = fleet.servers
  restartedInTheEnd()
  cleanUp(() => fleet.release('r22'))
  await redis.kill()
  const began = performance.now()
  const joined = Promise.all([fleet.addCoordinator(), fleet.addWorker()])
  joined.catch(() => undefined) // told further down
  // More than the slots of two workers, so that all three have to come back.
  const late = held('r22-held-', 20, 'r22')
  for (const { fate } of await Promise.all(late.map(task => driver.submit(task)))) expect(fate).toBe('ok')
  await lasts(Math.max(0, 10 * fleet.leaseMs - (performance.now() - began)))
  expect(fleet.coordinators).toHaveLength(2) // the others wait
  expect(fleet.workers).toHaveLength(2)
  const until = Date.now()
  await redis.restart()
  const back = performance.now()
  const resumed = () => new Set(fleet.journal().flatMap(({ event, pid, at }) => (event === 'start' && at > until ? [pid] : [])))
  const [coordinator, worker] = await joined
  await eventually(() => expect(resumed()).toEqual(new Set(fleet.workers.map(({ pid }) => pid))), { timeoutMs: 20_000 })
  expect(performance.now() - back).toBeLessThan(inScale(20_000))
  for (const member of [coordinator, worker]) expect(member.lines.some(line => line.includes('waiting for Redis'))).toBe(true)
  fleet.release('r22')
  expect(await fleet.violations()).toEqual([])
  await completedAtOnce('r22-', 60)
}, 60_000)

test('20: restarted empty: noticed at once by its missing epoch key', async () => {
  // Nothing but the key explains what is rung again: the next comparison with Postgres is far away.
  const scale = 6
  const before = shared()
  await Promise.all(before.coordinators.map(coordinator => coordinator.kill()))
  await before.addCoordinator({ settings: { BATON_TIME_SCALE: String(scale) } })
  const reconcileMs = 5_000 * scale
  const fleet = await underLoad('r20-', 40)
  const { redis } = fleet.servers
  restartedInTheEnd()
  const heard = listen(fleet.coordinators)
  await redis.kill()
  const queued = await readQueued()
  expect(queued.length).toBeGreaterThan(0)
  for (const name of readdirSync(redis.directory)) rmSync(join(redis.directory, name), { recursive: true })
  await redis.restart()
  const began = performance.now()
  await heard(/the queues were emptied/)
  await rungAgain(queued, reconcileMs, { moved: true })
  expect(performance.now() - began).toBeLessThan(reconcileMs / 3)
  expect(await fleet.violations()).toEqual([])
  const subtasks = await completedAtOnce('r20-', 80)
  expect(subtasks.some(s => s.dispatch > 1)).toBe(true)
})

test('a paused queue: whatever would have started at once waits in it, and keeps its attempt', async () => {
  const fleet = shared()
  const { driver } = fleet
  const { hostname: host, port } = new URL(fleet.servers.redisUrl)
  const queue = new Queue(queueName('shared', { kind: 'capability', name: 'fault' }), {
    connection: { host, port: Number(port) },
    prefix: fleet.namespace,
  })
  cleanUp(() => queue.close())
  cleanUp(() => queue.resume())
  await queue.pause()
  const before = started()
  const tasks = pairs('r-paused-', 20, () => 1)
  for (const task of tasks) expect(await driver.known(() => driver.submit(task))).toMatchObject({ fate: 'ok' })
  await eventually(async () => expect(await readQueued()).toHaveLength(tasks.length))
  expect(started()).toBe(before)
  expect((await readQueued()).map(({ attempt }) => attempt)).toEqual(tasks.map(() => 1))
  await queue.resume()
  expect(await fleet.violations()).toEqual([])
  await completedAtOnce('r-paused-', 2 * tasks.length)
})
