/**
 * Cancels what is left of a task that failed or was cancelled: the task is flagged first, its subtasks follow in bounded
 * batches, by whichever coordinator comes by. Locks no task, so that it cannot meet a report in the other order.
 *
 * What runs is asked to stop: its next report acknowledges that, and after a grace it is forced (fail.ts).
 */
import { terminalSubtaskStates } from '@baton/shared'
import type { Queryable, Statement } from './database.js'
import { from, sqlList } from './fragments.js'

const sweep: Statement = {
  name: 'cancel_unfinished',
  text: `
with task as materialized (
  select id, tenant_id, task_id from tasks where unswept order by id limit 20
),
target as materialized (
  select s.id, s.state
  from task k join subtasks d on d.task_pk = k.id and d.superseded = 0 join subtask_states s on s.id = d.id
  where s.state in (${from('cancel')}) and (s.state <> 'running' or s.cancel_requested_at is null)
  order by s.id
  limit $1
  for update of s skip locked
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
closed as (
  update reviews r set status = 'closed', decided_at = clock_timestamp(), reason = 'the task ended' from moved m where r.subtask_pk = m.id and r.status = 'open'
  returning r.id, r.tenant_id, r.task_pk, r.subtask_pk
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, attempt, agent, worker_id, data)
  select tenant_id, case when before = 'running' then 'subtask.cancel_requested' else 'subtask.cancelled' end, task_pk, id, nullif(attempt, 0), agent, worker_id, null from moved
  union all
  select tenant_id, 'review.closed', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text)::text from closed
)
select
  (select coalesce(json_agg(json_build_object('worker_id', worker_id, 'claim_id', claim_id)), '[]') from moved where before = 'running') as running,
  (select coalesce(json_agg(distinct task_pk::text), '[]') from moved) as touched,
  (select count(*)::int from moved) as moved`,
}

const finish: Statement = {
  name: 'finish_sweep',
  text: `
update tasks k set unswept = false, active = 0, reviewing = 0, blocked = 0
where k.unswept and not exists (
  select from subtasks d join subtask_states s on s.id = d.id where d.task_pk = k.id and d.superseded = 0 and s.state not in (${sqlList(terminalSubtaskStates)})
)`,
}

export interface CancelSweep {
  /** Attempts that ran: their workers are told. */
  running: { worker_id: string; claim_id: string }[]
  touched: string[]
  moved: number
}

/** Cancels up to `limit` subtasks of tasks that ended; tasks of which nothing is left are done with. */
export async function cancelUnfinished(db: Queryable, limit: number): Promise<CancelSweep> {
  const swept = (await db.query<CancelSweep>(sweep, [limit])).rows[0] as CancelSweep // a select without `from` has one row
  if (swept.moved === 0) await db.query(finish)
  return swept
}
