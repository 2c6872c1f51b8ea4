/**
 * Fault 40 of the table in README.md: graphs of every shape, as large as they may be. `npm run test:shapes` has all of them
 * at 100,000 subtasks; `npm test` at sizes that fit beside everything else.
 */
import { readFileSync } from 'node:fs'
import type { SubtaskRequest } from '@baton/shared'
import { expect, test, vi } from 'vitest'
import { eventually } from '../harness/eventually.js'
import { type FaultFleet, faultStage, startFaultFleet } from './kit/index.js'

const whole = process.env.BATON_TEST_SHAPES === '1'
const sizes = whole ? { flat: 100_000, chain: 100_000, fan: 99_999 } : { flat: 6_000, chain: 1_000, fan: 2_000 }
const cancelled = whole ? 100_000 : 20_000
const patienceMs = whole ? 3_600_000 : 120_000
vi.setConfig({ testTimeout: 2 * patienceMs })

const stage = faultStage()
/** A coordinator starts with about 120; what it takes in at once is in its memory a few times over. */
const memoryMb = whole ? 1_200 : 400

/** Looks at what has to stay bounded (I12), for as long as the test runs. */
function watchBounds(fleet: FaultFleet) {
  const seen = { memoryMb: 0, queued: 0, connections: 0 }
  const look = async () => {
    for (const { pid } of [...fleet.coordinators, ...fleet.workers])
      if (pid !== undefined) seen.memoryMb = Math.max(seen.memoryMb, residentMb(pid))
    const [row] = await fleet.rows<{ queued: number; connections: number }>(
      `select (select count(*)::int from subtask_states where state = 'queued') as queued,
         (select count(*)::int from pg_stat_activity where datname = current_database()) as connections`,
    )
    seen.queued = Math.max(seen.queued, row?.queued ?? 0)
    seen.connections = Math.max(seen.connections, row?.connections ?? 0)
  }
  let watching = true
  const watched = (async () => {
    while (watching) {
      await look()
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  })()
  return async () => {
    watching = false
    await watched
    return seen
  }
}

function residentMb(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024
  } catch {
    return 0 // it has just ended, or this is no Linux
  }
}

async function submit(fleet: FaultFleet, task_id: string, subtasks: SubtaskRequest[]): Promise<void> {
  const task = { task_id, title: task_id, execute: true, subtasks }
  const outcome = await fleet.driver.known(() => fleet.driver.submit(task, { timeoutMs: patienceMs }), patienceMs)
  expect(outcome).toMatchObject({ fate: 'ok', taskId: task_id })
}

test(`40: ${sizes.flat} subtasks flat, a chain of ${sizes.chain}, ${sizes.fan} that one waits for: memory, queue and connections stay bounded`, async () => {
  const slots = 100
  const fleet = await startFaultFleet(stage, {
    coordinators: 1,
    workers: 2,
    agents: [{ name: 'fault', concurrency: slots / 2 }],
    leaseMs: 3_000,
  })
  const bounds = watchBounds(fleet)
  const many = (n: number, name: string) =>
    Array.from({ length: n }, (_, i): SubtaskRequest => ({ name: `${name}${i}`, capability: 'fault' }))
  const chain = many(sizes.chain, 'step').map((step, i) => (i === 0 ? step : { ...step, depends_on: [`step${i - 1}`] }))
  const fan = many(sizes.fan, 'part')
  const join = { name: 'whole', capability: 'fault', depends_on: fan.map(part => part.name) }
  await Promise.all([submit(fleet, 'chain', chain), submit(fleet, 'flat', many(sizes.flat, 'part')), submit(fleet, 'fan', [...fan, join])])
  // However large they are, a small one is not kept waiting.
  await submit(fleet, 'small', many(1, 'small'))
  await eventually(async () => (await fleet.driver.get('small')).body?.status === 'completed', { timeoutMs: 30_000, everyMs: 50 })
  const [left] = await fleet.rows<{ n: number }>(`select count(*)::int as n from tasks where status = 'running'`)
  expect(left?.n).toBeGreaterThan(0)

  expect(await fleet.violations({ timeoutMs: patienceMs })).toEqual([])
  const { memoryMb: usedMb, queued, connections } = await bounds()
  const [counts] = await fleet.rows<{ all: number; once: number }>(
    `select count(*)::int as all, (count(*) filter (where state = 'completed' and attempt = 1))::int as once from subtask_states`,
  )
  const all = sizes.flat + sizes.chain + sizes.fan + 2
  expect(counts).toEqual({ all, once: all })
  process.stdout.write(`${all} subtasks: at most ${Math.round(usedMb)} MB, ${queued} queued, ${connections} connections\n`)
  expect(usedMb).toBeLessThan(memoryMb)
  expect(queued).toBeGreaterThan(0)
  expect(queued).toBeLessThanOrEqual(5 * slots) // two rounds, and what several submissions found room for at once
  expect(connections).toBeLessThanOrEqual(15)
})

test(`40: ${cancelled} subtasks cancelled: at once for the caller, in bounded batches, each looked at a few times`, async () => {
  const fleet = await startFaultFleet(stage, { coordinators: 2, workers: 1, leaseMs: 3_000 })
  const { driver } = fleet
  const subtasks = Array.from({ length: cancelled }, (_, i) => ({ name: `s${i}`, capability: 'fault', input: { hold: 'never' } }))
  await submit(fleet, 'large', subtasks)
  await eventually(() => fleet.journal().filter(line => line.event === 'start').length === 50, { timeoutMs: 60_000, everyMs: 50 })
  const before = await entriesRead(fleet)
  const bounds = watchBounds(fleet)

  const outcome = await driver.known(() => driver.cancel('large'))
  expect(outcome).toMatchObject({ fate: 'ok', body: { status: 'cancelled' } })
  expect(outcome.tookMs).toBeLessThan(2_000)
  await submit(fleet, 'small', [{ name: 'a', capability: 'fault' }]) // is not kept waiting either
  await eventually(async () => (await driver.get('small')).body?.status === 'completed', { timeoutMs: 30_000, everyMs: 50 })

  expect(await fleet.violations({ timeoutMs: patienceMs })).toEqual([])
  const rows = await fleet.rows<{ how: string | null; n: number }>(
    `select s.cancelled_how as how, count(*)::int as n from subtask_states s join tasks k on k.id = s.task_pk
       where k.task_id = 'large' and s.state = 'cancelled' group by 1 order by 1`,
  )
  expect(rows).toEqual([
    { how: 'acknowledged', n: 50 },
    { how: null, n: cancelled - 50 },
  ])
  const read = (await entriesRead(fleet)) - before
  const { memoryMb: usedMb } = await bounds()
  process.stdout.write(
    `${cancelled} subtasks cancelled: ${Math.round(read / cancelled)} index entries read for each, at most ${Math.round(usedMb)} MB\n`,
  )
  // Two coordinators, a few passes each; a sweep that began anew for each batch would read the task hundreds of times.
  expect(read).toBeLessThan(20 * cancelled)
  expect(usedMb).toBeLessThan(memoryMb)
})

/** How many entries of the definitions' indexes were read so far: what a sweep costs, on whatever machine. */
async function entriesRead(fleet: FaultFleet): Promise<number> {
  await new Promise(resolve => setTimeout(resolve, 1_500)) // counted at most a second later
  const [row] = await fleet.rows<{ read: string }>(
    `select sum(idx_tup_read)::text as read from pg_stat_user_indexes where relname = 'subtasks'`,
  )
  return Number(row?.read ?? 0)
}
