/** Who gets a route's room: priority first, then tenants, orchestrators and tasks by turns, whoever has how much. */
import { migrate } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { type Beginning, claimReady, maxTasksSeen } from '../../packages/coordinator/src/store/dispatch.js'
import { openPglite } from '../../packages/coordinator/src/store/pglite.js'

let database: Database
let lastId = 0
beforeAll(async () => {
  database = await openPglite({ dataDir: 'memory', log: silentLogger() })
  await migrate(database)
  await database.script("insert into tenants (name) values ('second')")
  await database.script(
    "insert into orchestrators (tenant_id, id, name, status) values (1, 'other', 'other', 'running'), (1, 'held', 'held', 'paused'), (2, 'own', 'own', 'running')",
  )
  await database.script("insert into routes (pool, capability, key) values ('shared', 'x', 'x')")
})
afterAll(() => database.close())
beforeEach(() => database.script('truncate tasks, subtask_states, events'))

interface Ready {
  readonly orchestrator?: 'default' | 'other' | 'held' | 'own'
  readonly tasks: number
  readonly each: number
  readonly priority?: number
  readonly status?: 'running' | 'paused'
}

/** Ready rows of new tasks; answers with the tasks' ids. */
async function ready({ orchestrator = 'default', tasks, each, priority = 2, status = 'running' }: Ready): Promise<string[]> {
  const tenant = orchestrator === 'own' ? 2 : 1
  const first = lastId + 1
  lastId += tasks * (each + 1)
  const { rows } = await database.query<{ id: string }>(
    {
      text: `
with task as (
  insert into tasks (id, tenant_id, task_id, orchestrator_id, title, status, priority, metadata, context, digest, field_digests, plan, total, active)
  select $1::bigint + n * ($3::int + 1), $4::int, 't' || ($1::bigint + n), $5::text, 't', $7::text, $6::smallint, '{}', '{}', '', '{}', '{}', $3::int, $3::int from generate_series(0, $2::int - 1) n
  returning id
),
state as (
  insert into subtask_states (id, tenant_id, task_pk, route_id, priority, owner, state, unmet, attempt_limit, ready_at)
  select t.id + i, $4::int, t.id, 1, $6::smallint, (select number from orchestrators where id = $5::text), 'ready', 0, 3, clock_timestamp() from task t, generate_series(1, $3::int) i
)
select id::text as id from task order by task.id`,
    },
    [first, tasks, each, tenant, orchestrator, priority, status],
  )
  return rows.map(r => r.id)
}

/** How many rows of each list of tasks a claim takes. */
async function claimed(room: number, lists: readonly (readonly string[])[], after: readonly Beginning[] = []) {
  const { jobs, cut } = await claimReady(database, [{ route_id: 1, queue: 'q', room, after }], { leaseMs: 1_000, defaultSlaMs: 1_000 })
  const { rows } = await database.query<{ task_pk: string }>(
    { text: 'select task_pk::text as task_pk from subtask_states where id = any ($1::bigint[])' },
    [jobs.map(j => j.id)],
  )
  return { counts: lists.map(list => rows.filter(r => list.includes(r.task_pk)).length), cut }
}

test('an orchestrator with a thousand tasks and one with a single task get the same, while both have something', async () => {
  const flood = await ready({ tasks: 1_000, each: 2 })
  const single = await ready({ orchestrator: 'other', tasks: 1, each: 15 })
  expect((await claimed(20, [flood, single])).counts).toEqual([10, 10])
  expect((await claimed(20, [flood, single])).counts).toEqual([10, 5])
  expect((await claimed(20, [flood, single])).counts).toEqual([20, 0])
})

test('a tenant gets the same as another that has more orchestrators', async () => {
  const first = await ready({ tasks: 50, each: 1 })
  const second = await ready({ orchestrator: 'other', tasks: 50, each: 1 })
  const foreign = await ready({ orchestrator: 'own', tasks: 1, each: 50 })
  expect((await claimed(20, [first, second, foreign])).counts).toEqual([5, 5, 10])
})

test('within an orchestrator tasks take turns', async () => {
  const flood = await ready({ tasks: 1, each: 500 })
  const small = await ready({ tasks: 4, each: 3 })
  expect((await claimed(10, [flood, small])).counts).toEqual([2, 8])
})

test('what is urgent comes first, whoever owns it', async () => {
  const flood = await ready({ tasks: 100, each: 1 })
  const urgent = await ready({ orchestrator: 'other', tasks: 1, each: 30, priority: 0 })
  expect((await claimed(20, [flood, urgent])).counts).toEqual([0, 20])
  expect((await claimed(20, [flood, urgent])).counts).toEqual([10, 10])
})

test('a paused orchestrator takes no turn, and what waits in it costs nobody', async () => {
  const held = await ready({ orchestrator: 'held', tasks: 2 * maxTasksSeen, each: 1 })
  const other = await ready({ orchestrator: 'other', tasks: 1, each: 20 })
  expect(await claimed(10, [held, other])).toEqual({ counts: [0, 10], cut: [] })
})

test('behind many paused tasks the look is broken off, and goes on there; other owners are not kept waiting', async () => {
  const paused = await ready({ tasks: maxTasksSeen + 1, each: 1, status: 'paused' })
  const behind = await ready({ tasks: 1, each: 5 })
  const other = await ready({ orchestrator: 'other', tasks: 1, each: 5 })
  const { counts, cut } = await claimed(10, [paused, behind, other])
  expect(counts).toEqual([0, 0, 5])
  expect(cut).toMatchObject([{ route_id: 1, priority: 2, owner: 1 }])
  const places = cut.map(place => ({ ...place, wraps: false }))
  expect((await claimed(10, [paused, behind, other], places)).counts).toEqual([0, 5, 0])
})

test('turns go on where they ended, and round to there again', async () => {
  const [first = '', second = '', third = ''] = await ready({ tasks: 3, each: 4 })
  const lists = [[first], [second], [third]]
  const behind = (task_pk: string) => [{ priority: 2, owner: 1, task_pk, wraps: true }]
  expect((await claimed(2, lists)).counts).toEqual([1, 1, 0])
  expect((await claimed(2, lists, behind(second))).counts).toEqual([1, 0, 1])
  expect((await claimed(5, lists, behind(first))).counts).toEqual([1, 2, 2])
  expect((await claimed(9, lists, behind(third))).counts).toEqual([1, 1, 1])
})

test('one task that is alone fills all the room there is', async () => {
  const alone = await ready({ tasks: 1, each: 10 })
  const behind = [{ priority: 2, owner: 1, task_pk: alone[0] ?? '', wraps: true }]
  expect((await claimed(4, [alone], behind)).counts).toEqual([4])
  expect((await claimed(4, [alone], [{ ...(behind[0] as Beginning), wraps: false }])).counts).toEqual([0])
})
