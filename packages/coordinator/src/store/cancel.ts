/**
 * Cancels what is left of a task that failed or was cancelled: the task is flagged first, its subtasks follow in bounded
 * batches, by whichever coordinator comes by. Tasks are locked after subtasks, as reports do it.
 *
 * What runs is asked to stop: its next report acknowledges that, and after a grace it is forced (fail.ts).
 */
import { terminalSubtaskStates } from '@baton/shared'
import type { Database } from './database.js'
import { closeReviews, closeThese, from, sqlList } from './fragments.js'
import { lockedFirst } from './locked-first.js'
import { prepared } from './statements.js'

/** How many ended tasks one sweep looks at. */
const tasksPerSweep = 200

/** Each subtask is looked at once, in the order of the plan, however many there are. */
const batch = `
task as materialized (
  select id, swept_to from tasks where unswept order by id limit ${tasksPerSweep}
),
batch as materialized (
  select k.id as task_pk, d.id, d.ordinal
  from task k cross join lateral (
    select d.id, d.ordinal from subtasks d where d.task_pk = k.id and d.superseded = 0 and d.ordinal > k.swept_to order by d.ordinal limit $1
  ) d
  limit $1
)`
const isLeft = `s.state in (${from('cancel')}) and (s.state <> 'running' or s.cancel_requested_at is null)`

const lockLeft = prepared(
  'lock_unfinished',
  `with ${batch} select s.id from batch b join subtask_states s on s.id = b.id where ${isLeft} order by s.id for update of s skip locked`,
)

const sweep = prepared(
  'cancel_unfinished',
  `
with ${batch},
target as materialized (
  select s.id, s.state from subtask_states s where s.id = any ($2::bigint[]) and ${isLeft}
),
moved as (
  update subtask_states s set
    state = case when t.state = 'running' then s.state else 'cancelled' end,
    cancelled_how = case when t.state = 'running' then 'requested' end,
    cancel_requested_at = case when t.state = 'running' then clock_timestamp() end,
    finished_at = case when t.state <> 'running' then clock_timestamp() end,
    run_after = null, queue = null
  from target t
  where s.id = t.id
  returning s.id, s.tenant_id, s.task_pk, s.attempt, s.agent, s.worker_id, s.claim_id, t.state as before
),
${closeReviews('moved', 'the task ended')},
-- Of new plans, which are about no subtask.
${closeThese(
  `select o.id from task k
    cross join lateral (select r.id from reviews r where r.task_pk = k.id and r.subtask_pk is null and r.status = 'open' offset 0) o`,
  'the task ended',
  'moot',
)},
reached as (
  select task_pk, max(ordinal) as ordinal from batch group by task_pk
),
advanced as (
  -- Of what another sweep has meanwhile brought to its end, nothing must be left: the next sweep would begin in the middle.
  update tasks k set swept_to = greatest(k.swept_to, r.ordinal) from reached r where k.id = r.task_pk and k.unswept
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, attempt, agent, worker_id, data)
  select tenant_id, case when before = 'running' then 'subtask.cancel_requested' else 'subtask.cancelled' end, task_pk, id, nullif(attempt, 0), agent, worker_id, null from moved
  union all
  select tenant_id, 'review.closed', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text)::text from closed
  union all
  select tenant_id, 'review.closed', task_pk, null, null, null, null, json_build_object('review', id::text)::text from moot
)
select
  (select coalesce(json_agg(json_build_object('worker_id', worker_id, 'claim_id', claim_id)), '[]') from moved where before = 'running') as running,
  (select coalesce(json_agg(distinct task_pk::text), '[]') from (select task_pk from moved union all select task_pk from moot) t) as touched,
  (select count(*)::int from batch) as looked`,
)

/** Of tasks that were swept to their end: those of which nothing is left are done with, the others are swept again. */
const finish = prepared(
  'finish_sweep',
  `
with swept as materialized (
  select k.id, not exists (
    select from (select d.id from subtasks d where d.task_pk = k.id and d.superseded = 0 offset 0) d
    cross join lateral (select s.state from subtask_states s where s.id = d.id limit 1) s
    where s.state not in (${sqlList(terminalSubtaskStates)})
  ) as done
  from (select id, swept_to from tasks where unswept order by id limit ${tasksPerSweep}) k
  where not exists (select from subtasks d where d.task_pk = k.id and d.superseded = 0 and d.ordinal > k.swept_to offset 0)
),
ended as (
  update tasks k set
    unswept = not s.done, swept_to = 0,
    active = case when s.done then 0 else k.active end,
    reviewing = case when s.done then 0 else k.reviewing end,
    blocked = case when s.done then 0 else k.blocked end
  from swept s where k.id = s.id and k.unswept
  returning s.done
)
select count(*) filter (where done)::int as done from ended`,
)

interface Looked extends Omit<CancelSweep, 'more'> {
  readonly looked: number
}

export interface CancelSweep {
  /** Attempts that ran: their workers are told. */
  running: { worker_id: string; claim_id: string }[]
  touched: string[]
  /** Whether there may be more to do at once. */
  more: boolean
}

/** Cancels what is unfinished among up to `limit` subtasks of tasks that ended; tasks of which nothing is left are done with. */
export async function cancelUnfinished(database: Database, limit: number): Promise<CancelSweep> {
  const { rows } = await lockedFirst(database, lockLeft, [limit], (tx, ids) => tx.query<Looked>(sweep, [limit, ids]))
  const { looked, ...swept } = rows[0] as Looked // a select without `from` has one row
  if (looked === limit) return { ...swept, more: true }
  const done = (await database.query<{ done: number }>(finish)).rows[0]?.done ?? 0
  return { ...swept, more: done > 0 }
}
