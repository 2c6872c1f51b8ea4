/**
 * Ends what waited too long without running: the queue wait (schedule-to-start) and the deadline of the whole subtask
 * (schedule-to-close). Attempts that run are fail.ts's. The time in which a subtask was paused is left out; one in review
 * is not looked at.
 */

import type { Database } from './database.js'
import {
  childEvents,
  type EffectsRow,
  effects,
  gateReviews,
  inReview,
  insertEvents,
  rollUp,
  roomCte,
  taskEvents,
  touched,
  unlockDependents,
} from './fragments.js'
import { lockedFirst } from './locked-first.js'
import { deadlinePassed, queueWaitPassed } from './pauses.js'
import type { Room } from './room.js'
import { prepared } from './statements.js'

const waiting = (state: string): string =>
  `select s.id, s.state, s.task_pk, s.attempt, s.ready_at, s.queue_wait_ms, s.scheduled_at, s.deadline_ms from subtask_states s where s.state = '${state}'`

/** Rows whose wait was over at `at`, as `(id, late)`. */
const over = (rows: string, at: string): string => `
  select s.id, s.late
  from (select w.*, coalesce(w.scheduled_at + w.deadline_ms * interval '1 millisecond' < ${at}, false) as late from (${rows}) w) s
  where (s.late or (s.state <> 'retrying' and s.ready_at + s.queue_wait_ms * interval '1 millisecond' < ${at}))
    and (case when s.late then ${deadlinePassed('s', at)} else ${queueWaitPassed('s', at)} end)
    and not ${inReview('s.id')}`

const lockOver = prepared(
  'lock_expired_waits',
  `
with candidate as materialized (
  ${over(['ready', 'queued', 'blocked', 'retrying'].map(waiting).join(' union all '), '$2::timestamptz')}
  order by s.id
  limit $1
)
select s.id from candidate c join subtask_states s on s.id = c.id order by s.id for update of s skip locked`,
)

const statement = prepared(
  'expire_waits',
  `
with ${roomCte('$2')},
target as materialized (
  select s.id, s.tenant_id, s.task_pk, s.route_id, s.state, s.attempt, o.late
  from (
    ${over(`select s.* from subtask_states s where s.id = any ($1::bigint[]) and s.state in ('ready', 'queued', 'blocked', 'retrying')`, '$3::timestamptz')}
  ) o join subtask_states s on s.id = o.id
),
ruling as materialized (
  select t.*, d.on_failure, case when not t.late and d.on_failure = 'review' then 'wait' else d.on_failure end as ruling,
    -- An attempt that was queued and never ran ends here; otherwise this end gets a number of its own.
    t.attempt + (t.state <> 'queued')::int as ended_attempt,
    json_build_object('code', case when t.late then 'deadline_exceeded' else 'queue_wait_exceeded' end,
      'message', case when t.late then 'the subtask exceeded its deadline' else 'no worker took it within its queue wait' end, 'retryable', false)::text as failure
  from target t join subtasks d on d.id = t.id
),
ended as (
  update subtask_states s set
    state = case r.ruling when 'wait' then 'blocked' when 'review' then 'needs_review' when 'skip' then 'skipped' else 'failed' end,
    attempt = case when r.ruling = 'wait' then s.attempt else r.ended_attempt end,
    finished_at = case when r.ruling in ('fail', 'skip', 'continue') then clock_timestamp() end,
    queue = null, run_after = null
  from ruling r
  where s.id = r.id
  returning s.id, s.task_pk, s.state, r.ruling, r.state as before
),
attempt as (
  insert into attempts (subtask_pk, attempt, outcome, charged, failure)
  select id, ended_attempt, 'timed_out', false, failure from ruling where ruling <> 'wait'
),
review as (
  insert into reviews (tenant_id, task_pk, subtask_pk, kind, detail)
  select tenant_id, task_pk, id, case ruling when 'wait' then 'unroutable' else 'exhausted' end, failure from ruling where ruling in ('wait', 'review')
  on conflict (subtask_pk, kind) where status = 'open' and subtask_pk is not null do nothing
  returning id, tenant_id, task_pk, subtask_pk, kind
),
passed as (select id from ended where ruling in ('skip', 'continue')),
broken as (select distinct task_pk from ended where ruling = 'fail'),
${unlockDependents('passed')},
${gateReviews},
${rollUp(
  `
    select task_pk, -(before <> 'blocked')::int as active, (ruling in ('wait', 'review'))::int as reviewing, -(before = 'blocked')::int as blocked from ended
    union all
    select task_pk, (state <> 'awaiting_approval')::int, (state = 'awaiting_approval')::int, 0 from child_moved where opened`,
  'broken',
)},
${insertEvents(
  `
  select tenant_id, 'subtask.' || case ruling when 'wait' then 'blocked' when 'review' then 'needs_review' when 'skip' then 'skipped' else 'failed' end as name,
    task_pk, id as subtask_pk, nullif(attempt, 0) as attempt, null::text as agent, null::text as worker_id,
    json_build_object('outcome', 'timed_out', 'failure', failure::json, 'why', case when ruling in ('wait', 'review') then 'waiting for a decision: ' || (failure::json ->> 'message') end)::text as data
  from ruling where not (ruling = 'wait' and state = 'blocked')`,
  `
  select r.tenant_id, case when r.late then 'alert.sla_breach' else 'alert.queue_wait' end, r.task_pk, r.id, null, t.agent, null,
    json_build_object('failure', r.failure::json, 'capability', t.capability)::text
  from ruling r join routes t on t.id = r.route_id`,
  `
  select tenant_id, 'review.created', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text, 'kind', kind)::text from review`,
  childEvents,
  `
  select tenant_id, 'review.created', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text, 'kind', 'approval')::text from gate_review`,
  taskEvents,
)}
select (select count(*)::int from ended) as ended, ${touched('ended')}, ${effects}`,
)

export interface WaitsExpired extends EffectsRow {
  ended: number
}

/** Ends up to `limit` waits that were over at the database's time `at`. Reads every live row that does not run. */
export async function expireWaits(database: Database, at: string, limit: number, room: Room): Promise<WaitsExpired> {
  const { rows } = await lockedFirst(database, lockOver, [limit, at], (tx, ids) =>
    tx.query<WaitsExpired>(statement, [ids, JSON.stringify(room), at]),
  )
  return rows[0] as WaitsExpired // a select without `from` has one row
}
