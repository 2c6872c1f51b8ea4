/** What ended long ago is deleted, with everything that belongs to it; what is needed stays. */
import { migrate } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { openPglite } from '../../packages/coordinator/src/store/pglite.js'
import { buryTasks, forgetOldEvents, purgePiece } from '../../packages/coordinator/src/store/retention.js'
import { insertTasks, readDigests } from '../../packages/coordinator/src/store/submit.js'

const day = 86_400_000
const keptMs = 30 * day
const tables = ['subtasks', 'subtask_states', 'dependencies', 'attempts', 'chunks', 'artifacts', 'reviews', 'events', 'pauses', 'purges']

let database: Database
let lastId = 0
beforeAll(async () => {
  database = await openPglite({ dataDir: 'memory', log: silentLogger() })
  await migrate(database)
})
afterAll(() => database.close())
beforeEach(() =>
  database.script(`truncate ${tables.join(', ')}, tasks, tombstones, event_cursors, webhook_deliveries; delete from webhooks`),
)

/** A task with subtasks in a row and one row of everything else for each of them. */
async function ended(
  taskId: string,
  { daysAgo, status = 'completed', subtasks = 2 }: { daysAgo: number; status?: string; subtasks?: number },
) {
  const id = lastId + 1
  lastId += subtasks + 1
  await database.query(
    {
      text: `
with task as (
  insert into tasks (id, tenant_id, task_id, orchestrator_id, title, status, priority, metadata, context, digest, field_digests, plan, total, active, finished_at)
  values ($1::bigint, 1, $2, 'default', 't', $3, 2, '{}', '{}', 'the digest', '{}', '{}', $4::int, case when $3 = 'running' then 1 else 0 end,
    case when $3 <> 'running' then clock_timestamp() - $5::int * interval '1 day' end)
),
s as (select $1::bigint + n as id, n from generate_series(1, $4::int) n),
definition as (
  insert into subtasks (id, uuid, tenant_id, task_pk, ordinal, subtask_id, name, capability, on_failure)
  select id, gen_random_uuid(), 1, $1, n, 'x::' || $2 || '::' || n, 's' || n, 'x', 'review' from s
),
state as (
  insert into subtask_states (id, tenant_id, task_pk, route_id, priority, state, unmet, attempt_limit) select id, 1, $1, 1, 2, 'completed', 0, 3 from s
),
edge as (insert into dependencies (from_id, to_id) select id - 1, id from s where n > 1),
attempt as (
  insert into attempts (subtask_pk, attempt, claim_id, outcome, charged, output) select id, 1, gen_random_uuid(), 'completed', true, '{}' from s returning subtask_pk, claim_id
),
chunk as (insert into chunks (claim_id, name, n, data) select claim_id, 'log', 0, 'x' from attempt),
artifact as (
  insert into artifacts (task_pk, subtask_pk, claim_id, name, media_type, bytes, sha256) select $1, subtask_pk, claim_id, 'log', 'text/plain', 1, '' from attempt
),
review as (insert into reviews (tenant_id, task_pk, kind, status, detail) values (1, $1, 'plan', 'closed', '')),
pause as (insert into pauses (tenant_id, scope, ref, to_at) values (1, 'task', $1::bigint::text, clock_timestamp()))
insert into events (tenant_id, name, task_pk, subtask_pk) select 1, 'subtask.completed', $1, id from s`,
    },
    [id, taskId, status, subtasks, daysAgo],
  )
}

async function sweep(): Promise<number> {
  const buried = await buryTasks(database, keptMs, 100)
  while (await purgePiece(database, 1_000));
  return buried
}
const count = async (table: string) => (await database.query<{ n: number }>({ text: `select count(*)::int as n from ${table}` })).rows[0]?.n
const taskIds = async () =>
  (await database.query<{ task_id: string }>({ text: 'select task_id from tasks order by id' })).rows.map(r => r.task_id)

test('a task that ended longer ago goes with all its rows; a younger one and one that runs stay', async () => {
  await ended('old', { daysAgo: 31 })
  await ended('failed', { daysAgo: 40, status: 'failed' })
  expect(await sweep()).toBe(2)
  for (const table of tables) expect([table, await count(table)]).toEqual([table, 0])

  await ended('young', { daysAgo: 29 })
  await ended('running', { daysAgo: 99, status: 'running' })
  expect(await sweep()).toBe(0)
  expect(await taskIds()).toEqual(['young', 'running'])
  expect(await count('subtasks')).toBe(4)
})

test('a repeat of its request is recognised, and stores nothing', async () => {
  await ended('old', { daysAgo: 31, status: 'cancelled' })
  await sweep()
  expect(await readDigests(database, [{ tenant_id: 1, task_id: 'old' }])).toMatchObject([
    { digest: 'the digest', status: null, tombstone_status: 'cancelled' },
  ])
  const task = {
    id: '1',
    tenant_id: 1,
    task_id: 'old',
    orchestrator_id: 'default',
    title: 't',
    description: null,
    status: 'planned',
    priority: 2,
  }
  const rest = {
    metadata: '{}',
    context: '{}',
    digest: 'another',
    field_digests: '{}',
    callback_url: null,
    plan: '{}',
    sla_ms: null,
    due_at: null,
  }
  const counts = { total: 0, active: 0, reviewing: 0, blocked: 0, waits: false }
  const graph = { tasks: [{ ...task, ...rest, ...counts } as never], subtasks: [], edges: [] }
  expect((await insertTasks(database, graph, { leaseMs: 1_000, defaultSlaMs: 1_000 })).ids).toEqual(new Set())
})

test('a task of many subtasks is gone at once, and swept in pieces', async () => {
  await ended('large', { daysAgo: 31, subtasks: 2_500 })
  expect(await buryTasks(database, keptMs, 100)).toBe(1)
  expect(await taskIds()).toEqual([])
  const left: unknown[] = []
  while (await purgePiece(database, 1_000)) left.push(await count('subtasks'))
  expect(left.slice(0, 3)).toEqual([1_500, 500, 0])
  for (const table of tables) expect([table, await count(table)]).toEqual([table, 0])
})

test('many small tasks go together', async () => {
  for (let n = 0; n < 60; n++) await ended(`small-${n}`, { daysAgo: 31, subtasks: 3 })
  await ended('young', { daysAgo: 29 })
  expect(await buryTasks(database, keptMs, 100)).toBe(60)
  const left: unknown[] = []
  while (await purgePiece(database, 100)) left.push(await count('subtasks'))
  expect(left.slice(0, 2)).toEqual([82, 2])
  expect(await taskIds()).toEqual(['young'])
  for (const table of ['events', 'subtask_states', 'attempts', 'artifacts']) expect([table, await count(table)]).toEqual([table, 2])
  expect(await count('purges')).toBe(0)
})

test('what a consumer of events has not passed is kept', async () => {
  await ended('old', { daysAgo: 31 })
  await database.script("insert into events (tenant_id, name, at) values (1, 'worker.ready', clock_timestamp() - interval '31 days')")
  await database.script("insert into event_cursors (consumer, xid, seq) values ('webhooks', '0', 0)")
  expect([await sweep(), await forgetOldEvents(database, keptMs, 10)]).toEqual([0, 0])
  await database.script('update event_cursors set (xid, seq) = (select xid, seq from events order by xid desc, seq desc limit 1)')
  expect([await sweep(), await forgetOldEvents(database, keptMs, 10)]).toEqual([1, 1])
  expect(await count('events')).toBe(0)
})

test('a task of which a webhook has still to be told is kept, until it is told or given up', async () => {
  await ended('told', { daysAgo: 31 })
  await database.script(`
    insert into webhooks (tenant_id, id, kind, url, events, patterns, secret) values (1, 'hook', 'subscription', 'http://x', '{*}', '{%}', 's');
    insert into webhook_deliveries (webhook_pk, xid, seq, at, name, task_pk, lane, give_up_at)
      select w.pk, '1', 1, clock_timestamp(), 'task.completed', k.id, 'w 1', clock_timestamp() + interval '1 day' from webhooks w, tasks k`)
  expect(await sweep()).toBe(0)
  await database.script("update webhook_deliveries set give_up_at = clock_timestamp() - interval '1 second'")
  expect(await sweep()).toBe(1)

  await ended('again', { daysAgo: 31 })
  await database.script(`
    update webhook_deliveries set give_up_at = clock_timestamp() + interval '1 day', task_pk = (select id from tasks);
    update webhook_deliveries set state = 'delivered'`)
  expect(await sweep()).toBe(1)
})

test('one that is still to be swept after a cancel waits', async () => {
  await ended('old', { daysAgo: 31, status: 'cancelled' })
  await database.script("update tasks set unswept = true where task_id = 'old'")
  expect(await sweep()).toBe(0)
})
