/**
 * What people tell one subtask to do: cancel, retry, reassign. Each is guarded by the state it finds, and answers with
 * that; what is in review is decided in reviews.ts instead.
 */
import { type SubtaskState, type TaskStatus, terminalSubtaskStates, terminalTaskStatuses } from '@baton/shared'
import type { Database, Queryable } from './database.js'
import {
  childEvents,
  closeReviews,
  type EffectsRow,
  effects,
  from,
  gateReviews,
  inReview,
  insertEvents,
  namedSubtask,
  rollUp,
  roomCte,
  sqlList,
  taskCalled,
  taskEvents,
  touched,
  unlockDependents,
} from './fragments.js'
import { lockedFirst, lockSubtask } from './locked-first.js'
import type { Room } from './room.js'
import { prepared } from './statements.js'

export interface SubtaskPlace {
  readonly tenantId: number
  readonly taskId: string
  readonly subtaskId: string
}

export interface SubtaskFound {
  id: string
  subtask_id: string
  task_pk: string
  state: SubtaskState
  task_status: TaskStatus
  agent: string | null
  pool: string
  /** A cancel was asked for and is not acknowledged yet. */
  cancelling: boolean
  /** Its open review. */
  review: string | null
}

const find = prepared(
  'find_subtask',
  `
select s.id::text as id, d.subtask_id, s.task_pk::text as task_pk, s.state, k.status as task_status, r.agent, r.pool, s.state = 'running' and s.cancel_requested_at is not null as cancelling,
  (select v.id::text from reviews v where v.subtask_pk = s.id and v.status = 'open' order by v.id limit 1) as review
from tasks k
cross join lateral (${namedSubtask('k.id', '$3')}) d
join subtask_states s on s.id = d.id
join routes r on r.id = s.route_id
where ${taskCalled('k.', '$1', '$2')}`,
)

/** Undefined: there is no such subtask (any more). */
export async function findSubtask(db: Queryable, { tenantId, taskId, subtaskId }: SubtaskPlace): Promise<SubtaskFound | undefined> {
  return (await db.query<SubtaskFound>(find, [tenantId, taskId, subtaskId])).rows[0]
}

const live = `k.status not in (${sqlList(terminalTaskStatuses)})`

/**
 * A subtask that runs is asked to stop; any other is cancelled at once. Either way whatever depends on it, directly or
 * not, is cancelled with it, and its task cannot be completed any more; unless its `on_failure` lets its dependents go
 * on: then it counts as skipped, or as failed.
 */
const part = `
part(id) as (
  select $1::bigint
  union
  select e.to_id from part p join dependencies e on e.from_id = p.id
  where p.id <> $1 or (select d.on_failure not in ('skip', 'continue') from subtasks d where d.id = $1)
)`

/** And its task first, while that is planned: what may start is not read in the middle of this (execute.ts). */
const lockPart = prepared(
  'lock_cancelled_part',
  `
with recursive ${part},
task as materialized (
  -- The status is hidden from the planner, which would read all tasks that are planned.
  select k.id from tasks k where k.id = (select s.task_pk from subtask_states s where s.id = $1) and k.status || '' = 'planned' for update
)
-- It before what waits for it, as reports do it: since a rerun that may have a smaller id.
select s.id from part p join subtask_states s on s.id = p.id where (select count(*) from task) >= 0 order by s.id <> $1, s.id for update of s`,
)

const cancel = prepared(
  'cancel_subtask',
  `
with recursive ${roomCte('$2')},
${part},
target as materialized (
  select s.id, s.state, d.on_failure, s.id = $1 as chosen, s.cancel_requested_at is not null as cancelling
  from part p join subtask_states s on s.id = p.id
  cross join lateral (select d.on_failure from subtasks d where d.id = s.id and d.superseded = 0 limit 1) d
  join tasks k on k.id = s.task_pk
  where ${live}
  order by s.id
  for update of s
),
ruling as materialized (
  select t.*, case
    when t.state not in (${from('cancel')}) or t.cancelling then null
    when not (select x.state in (${from('cancel')}) from target x where x.chosen) then null
    when t.state = 'running' then 'running'
    when t.chosen and t.on_failure = 'skip' then 'skipped'
    when t.chosen and t.on_failure = 'continue' then 'failed'
    else 'cancelled' end as next
  from target t
),
moved as (
  update subtask_states s set
    state = r.next,
    cancelled_how = case when r.next = 'running' then 'requested' else s.cancelled_how end,
    cancel_requested_at = coalesce(s.cancel_requested_at, clock_timestamp()),
    finished_at = case when r.next <> 'running' then clock_timestamp() end,
    run_after = null, queue = null
  from ruling r
  where s.id = r.id and r.next is not null
  returning s.id, s.tenant_id, s.task_pk, s.state, s.attempt, s.agent, s.worker_id, s.claim_id, r.state as before, r.chosen, r.on_failure
),
${closeReviews('moved', 'its subtask was cancelled')},
passed as (select id from moved where chosen and state in ('skipped', 'failed')),
-- Not completed any more: what was cancelled, or will be when its worker has heard of it.
broken as (select task_pk from moved where state = 'cancelled' or (state = 'running' and on_failure not in ('skip', 'continue'))),
${unlockDependents('passed')},
${gateReviews},
${rollUp(
  `
    select task_pk, -(before in ('ready', 'queued', 'retrying'))::int as active,
      -(before in ('awaiting_approval', 'needs_review') or (before = 'blocked' and id in (select subtask_pk from closed)))::int as reviewing,
      -(before = 'blocked' and id not in (select subtask_pk from closed))::int as blocked
    from moved
    union all
    select task_pk, (state <> 'awaiting_approval')::int, (state = 'awaiting_approval')::int, 0 from child_moved where opened`,
  undefined,
  'broken',
)},
${insertEvents(
  `
  select tenant_id, case when state = 'running' then 'subtask.cancel_requested' else 'subtask.' || state end as name, task_pk, id as subtask_pk, nullif(attempt, 0) as attempt, agent, worker_id,
    json_build_object('by', $4::text, 'reason', $3::text)::text as data from moved`,
  `
  select tenant_id, 'review.closed', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text)::text from closed`,
  childEvents,
  `
  select tenant_id, 'review.created', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text, 'kind', 'approval')::text from gate_review`,
  taskEvents,
)}
select
  (select coalesce(json_agg(json_build_object('worker_id', worker_id, 'claim_id', claim_id)), '[]') from moved where state = 'running') as running,
  (select state from moved where chosen) as state,
  ${touched('moved')},
  ${effects}`,
)

export interface SubtaskCancelled extends EffectsRow {
  /** Attempts whose workers are to be told. */
  running: { worker_id: string; claim_id: string }[]
  /** Null: it was finished already. */
  state: SubtaskState | null
}

export async function cancelSubtask(
  database: Database,
  id: string,
  why: { reason: string; actor: string },
  room: Room,
): Promise<SubtaskCancelled> {
  const params = [id, JSON.stringify(room), why.reason, why.actor]
  const { rows } = await lockedFirst(database, lockPart, [id], tx => tx.query<SubtaskCancelled>(cancel, params))
  return rows[0] as SubtaskCancelled // a select without `from` has one row
}

const retryNow = prepared(
  'retry_subtask',
  `
with target as materialized (
  select s.id, s.state, s.state = 'blocked' and ${inReview('s.id')} as reviewed
  from subtask_states s join tasks k on k.id = s.task_pk
  where s.id = $1 and s.state in ('retrying', 'blocked') and ${live}
  for update of s
),
moved as (
  update subtask_states s set state = 'ready', ready_at = clock_timestamp(), run_after = null from target t where s.id = t.id
  returning s.id, s.tenant_id, s.task_pk, s.route_id, t.state as before, t.reviewed
),
${closeReviews('moved', 'a retry was asked for')},
${rollUp(`select task_pk, (before = 'blocked')::int as active, -reviewed::int as reviewing, -(before = 'blocked' and not reviewed)::int as blocked from moved`)},
${insertEvents(
  `
  select tenant_id, 'subtask.requeued' as name, task_pk, id as subtask_pk, null::int as attempt, null::text as agent, null::text as worker_id,
    json_build_object('by', $3::text, 'reason', $2::text)::text as data from moved`,
  `
  select tenant_id, 'review.closed', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text)::text from closed`,
  taskEvents,
)}
select (select count(*)::int from moved) as moved`,
)

/** Makes a subtask ready at once that waits for its backoff or for a provider. False: it is in another state. */
export async function retrySubtask(database: Database, id: string, why: { reason: string; actor: string }): Promise<boolean> {
  const params = [id, why.reason, why.actor]
  const { rows } = await lockedFirst(database, lockSubtask, [id], tx => tx.query<{ moved: number }>(retryNow, params))
  return rows[0]?.moved === 1
}

/** A running attempt ends uncharged; whatever was on its way to a queue starts anew on the new route. */
const reassign = prepared(
  'reassign_subtask',
  `
with target as materialized (
  select s.id, s.state, s.attempt, s.worker_id, s.claim_id, s.agent, s.queued_at, s.started_at,
    s.state = 'blocked' and ${inReview('s.id')} as reviewed
  from subtask_states s join tasks k on k.id = s.task_pk
  where s.id = $1 and s.state not in (${sqlList(terminalSubtaskStates)}, 'needs_review') and s.cancel_requested_at is null and ${live}
  for update of s
),
moved as (
  update subtask_states s set
    route_id = $2,
    state = case when t.state in (${from('requeue')}) then 'ready' else s.state end,
    ready_at = case when t.state in (${from('requeue')}) then clock_timestamp() else s.ready_at end,
    uncharged = s.uncharged + (t.state = 'running')::int,
    queue = null, run_after = null, lease_until = null, sla_until = null, claim_id = null, worker_id = null
  from target t where s.id = t.id
  returning s.id, s.tenant_id, s.task_pk, s.state, s.route_id, t.state as before, t.reviewed
),
ended as (
  insert into attempts (subtask_pk, attempt, claim_id, worker_id, agent, outcome, charged, failure, queued_at, started_at)
  select id, attempt, claim_id, worker_id, agent, 'released', false, json_build_object('code', 'attempt_aborted', 'message', 'the subtask was reassigned', 'retryable', true)::text, queued_at, started_at
  from target where state = 'running'
),
${closeReviews('moved', 'its subtask was reassigned', { kind: 'unroutable' })},
${rollUp(`select task_pk, (before = 'blocked')::int as active, -reviewed::int as reviewing, -(before = 'blocked' and not reviewed)::int as blocked from moved`)},
${insertEvents(
  `
  select m.tenant_id, 'subtask.reassigned' as name, m.task_pk, m.id as subtask_pk, null::int as attempt, r.agent, null::text as worker_id,
    json_build_object('by', $4::text, 'reason', $3::text)::text as data from moved m join routes r on r.id = m.route_id`,
  `
  select tenant_id, 'subtask.requeued', task_pk, id, null, null, null, null from moved where state = 'ready' and before <> 'ready'`,
  `
  select tenant_id, 'review.closed', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text)::text from closed`,
  taskEvents,
)}
select
  (select coalesce(json_agg(json_build_object('worker_id', worker_id, 'claim_id', claim_id)), '[]') from target where state = 'running') as running,
  (select state from moved) as state`,
)

export interface SubtaskReassigned {
  running: { worker_id: string; claim_id: string }[]
  /** Null: it is finished, in review, or being cancelled. */
  state: SubtaskState | null
}

export async function reassignSubtask(
  database: Database,
  id: string,
  routeId: number,
  why: { reason: string; actor: string },
): Promise<SubtaskReassigned> {
  const params = [id, routeId, why.reason, why.actor]
  const { rows } = await lockedFirst(database, lockSubtask, [id], tx => tx.query<SubtaskReassigned>(reassign, params))
  return rows[0] as SubtaskReassigned // a select without `from` has one row
}
