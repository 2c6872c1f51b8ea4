/**
 * Adds subtasks to a running task, in the transaction of the report that spawned them and before its decrement: every
 * dependent of the spawner gains an edge to every spawned subtask, so that it cannot start too early (I2, I13).
 */
import type { Queryable } from './database.js'
import { whyGated } from './fragments.js'
import { prepared } from './statements.js'
import { type Edge, edgeColumns, edgeRows, graphRows, type NewSubtask, standingRows, subtaskColumns } from './submit.js'

const lock = prepared(
  'lock_spawner',
  `
select k.id::text as task_pk, k.tenant_id, k.task_id, k.priority, s.owner, k.total, k.status, s.state, s.attempt, s.claim_id, s.cancel_requested_at is not null as cancelling,
  (select o.retry_attempts from orchestrators o where o.tenant_id = k.tenant_id and o.id = k.orchestrator_id) as retry_attempts
from tasks k, subtask_states s
where s.id = $1 and k.id = s.task_pk
for update of s, k`,
)

export interface Spawner {
  task_pk: string
  tenant_id: number
  task_id: string
  priority: number
  owner: number
  total: number
  status: string
  state: string
  attempt: number
  claim_id: string | null
  cancelling: boolean
  /** Its orchestrator's. */
  retry_attempts: number | null
}

/** Locks the attempt, so that it cannot end before its children are in, and the task, so that two spawners number theirs in turn. */
export async function lockSpawner(tx: Queryable, subtask: string): Promise<Spawner | undefined> {
  return (await tx.query<Spawner>(lock, [subtask])).rows[0]
}

const existing = prepared(
  'spawn_names',
  `
select
  (select coalesce(json_agg(d.name), '[]') from subtasks d where d.task_pk = $1 and d.superseded = 0 and d.name = any ($2::text[])) as taken,
  -- Not how many there are: what a superseded spawner had spawned is gone, and what came after it keeps its place.
  (select d.ordinal from subtasks d where d.task_pk = $1 and d.superseded = 0 order by d.ordinal desc limit 1) as last_ordinal,
  (select coalesce(json_agg(json_build_object('prefix', p.prefix, 'highest', (
    select count(*) from subtasks d where d.task_pk = $1 and d.generation = 0 and coalesce(d.agent, d.capability) = p.prefix))), '[]') from unnest($3::text[]) as p(prefix)) as highest`,
)

/** Which names are taken, how many subtasks each prefix has, and where the last one stands. */
export async function readSpawnNames(
  tx: Queryable,
  taskPk: string,
  names: readonly string[],
  prefixes: readonly string[],
): Promise<{ taken: string[]; highest: Map<string, number>; lastOrdinal: number }> {
  const { rows } = await tx.query<{ taken: string[]; last_ordinal: number | null; highest: { prefix: string; highest: number }[] }>(
    existing,
    [taskPk, [...names], [...prefixes]],
  )
  return {
    taken: rows[0]?.taken ?? [],
    highest: new Map(rows[0]?.highest.map(h => [h.prefix, h.highest])),
    lastOrdinal: rows[0]?.last_ordinal ?? 0,
  }
}

const insert = prepared(
  'spawn_subtasks',
  `
with subtask as materialized (${subtaskColumns.rows(3)}),
dependent as materialized (
  select s.id from dependencies d join subtask_states s on s.id = d.to_id
  where d.from_id = $1 -- all of them: what ended before it could start may run again
  order by s.id for update of s
),
edge as (
  select from_id, to_id from (${edgeColumns.rows(3 + subtaskColumns.count)}) e
  union all
  select s.id, d.id from subtask s cross join dependent d
),
${graphRows(standingRows)},
waiting as (
  update subtask_states s set unmet = s.unmet + (select count(*)::int from subtask) from dependent d where s.id = d.id
),
counted as (
  update tasks k set total = k.total + (select count(*)::int from subtask),
    active = k.active + (select count(*)::int from subtask where state = 'ready'),
    reviewing = k.reviewing + (select count(*)::int from subtask where state = 'awaiting_approval')
  where k.id = $2
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, data)
  select tenant_id, 'subtask.spawned', task_pk, id, json_build_object('by', $1::text)::text from subtask
  union all
  select tenant_id, 'subtask.' || state, task_pk, id, case when state = 'awaiting_approval' then ${whyGated('gate')} end from subtask where state <> 'pending'
),
review as (
  insert into reviews (tenant_id, task_pk, subtask_pk, kind, detail)
  select tenant_id, task_pk, id, 'approval', 'approval needed before ' || name || ' may start' from subtask where state = 'awaiting_approval' and gate = 'approval'
)
select 1 as done`,
)

/** Inserts the children of `spawner`. */
export async function insertSpawned(
  tx: Queryable,
  input: { spawner: string; taskPk: string; subtasks: readonly NewSubtask[]; edges: readonly Edge[] },
): Promise<void> {
  const { spawner, taskPk, subtasks, edges } = input
  await tx.query(insert, [spawner, taskPk, ...subtaskColumns.params(subtasks), ...edgeColumns.params(edgeRows(edges))])
}

const spawnerOf = prepared(
  'spawner_depth',
  `
with recursive up(id, n) as (
  -- Not plainly that it was spawned: while little was, an index on all of that would look as cheap as the key.
  select d.spawned_by, 1 from (select x.spawned_by from subtasks x where x.id = $1 limit 1) d where d.spawned_by is not null
  union all
  select d.spawned_by, u.n + 1 from up u cross join lateral (select d.spawned_by from subtasks d where d.id = u.id limit 1) d
  where d.spawned_by is not null and u.n < $2
)
select name, (select coalesce(max(n), 0)::int from up) as depth from subtasks where id = $1`,
)

/** Its name, and how many spawners stand above it, counted up to `limit`. */
export async function readSpawner(db: Queryable, id: string, limit: number): Promise<{ name: string; depth: number }> {
  return (await db.query<{ name: string; depth: number }>(spawnerOf, [id, limit])).rows[0] ?? { name: '', depth: 0 }
}
