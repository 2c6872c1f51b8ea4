/**
 * Reviews: what people have to decide, and what follows from a decision. The first decision wins: the review's row is
 * locked and guarded by its state; a later one learns what was decided.
 */
import { type ReviewDecisionName, type ReviewKind, type ReviewStatus, type TaskStatus, terminalTaskStatuses } from '@baton/shared'
import type { Queryable, Statement } from './database.js'
import {
  childEvents,
  type EffectsRow,
  effects,
  from,
  gateReviews,
  insertEvents,
  rollUp,
  roomCte,
  sqlList,
  taskEvents,
  touched,
  unlockDependents,
} from './fragments.js'
import type { Room } from './room.js'

export interface ReviewRow {
  id: string
  kind: ReviewKind
  status: ReviewStatus
  task_id: string
  task_status: TaskStatus
  task_pk: string
  subtask_id: string | null
  name: string | null
  subtask_state: string | null
  agent: string | null
  assignee: string | null
  due_at: Date | null
  detail: string
  decision: ReviewDecisionName | null
  reason: string | null
  decided_by: string | null
  created_at: Date
  decided_at: Date | null
}

const columns = `r.id, r.kind, r.status, k.task_id, k.status as task_status, r.task_pk, d.subtask_id, d.name, s.state as subtask_state, s.agent, r.assignee, r.due_at, r.detail, r.decision, r.reason, r.decided_by, r.created_at, r.decided_at`
const joins = `from reviews r join tasks k on k.id = r.task_pk left join subtasks d on d.id = r.subtask_pk left join subtask_states s on s.id = r.subtask_pk`

const list: Statement = {
  text: `
select ${columns} ${joins}
where r.tenant_id = $1 and ($2::text is null or r.status = $2) and ($3::text is null or k.task_id = $3) and ($4::text is null or r.assignee = $4) and r.id > $5
order by r.id limit $6`,
}

export interface ReviewFilters {
  readonly tenantId: number
  readonly status: string | null
  readonly taskId: string | null
  readonly assignee: string | null
  readonly after: string
  readonly limit: number
}

export async function listReviews(db: Queryable, f: ReviewFilters): Promise<ReviewRow[]> {
  return (await db.query<ReviewRow>(list, [f.tenantId, f.status, f.taskId, f.assignee, f.after, f.limit])).rows
}

const read: Statement = { name: 'read_review', text: `select ${columns} ${joins} where r.tenant_id = $1 and r.id = $2` }

export async function readReview(db: Queryable, tenantId: number, id: string): Promise<ReviewRow | undefined> {
  return (await db.query<ReviewRow>(read, [tenantId, id])).rows[0]
}

const assign: Statement = {
  name: 'assign_review',
  text: `
with assigned as (
  update reviews set assignee = $3, due_at = coalesce($4::timestamptz, due_at) where tenant_id = $1 and id = $2 and status = 'open'
  returning id, tenant_id, task_pk, subtask_pk
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, data)
  select tenant_id, 'review.assigned', task_pk, subtask_pk, json_build_object('review', id::text, 'assignee', $3::text, 'by', $5::text)::text from assigned
)
select id from assigned`,
}

export interface Assignment {
  readonly tenantId: number
  readonly id: string
  readonly assignee: string | null
  /** Null: the date stays as it is. */
  readonly dueAt: Date | null
  readonly actor: string
}

/** False: the review is not open. */
export async function assignReview(db: Queryable, { tenantId, id, assignee, dueAt, actor }: Assignment): Promise<boolean> {
  return (await db.query(assign, [tenantId, id, assignee, dueAt, actor])).rows.length > 0
}

/**
 * What the decision makes of the subtask. `approve` opens the gate; `retry` and `reassign` grant one more attempt;
 * `supply` completes it with a person's output; `reject` and `fail` end it as its `on_failure` says, where `review`
 * (a person has just decided) means that the task fails.
 */
const decide: Statement = {
  name: 'decide_review',
  text: `
with ${roomCte('$7')},
target as materialized (
  -- Locked before its review, as whoever cancels the subtask does.
  select s.id, s.state, d.on_failure
  from reviews r join subtask_states s on s.id = r.subtask_pk join subtasks d on d.id = s.id join tasks k on k.id = s.task_pk
  where r.tenant_id = $1 and r.id = $2 and r.status = 'open' and s.state in ('awaiting_approval', 'needs_review', 'blocked')
    and k.status not in (${sqlList(terminalTaskStatuses)})
  for update of s
),
open as materialized (
  select t.* from target t join reviews r on r.id = $2 where r.status = 'open' for update of r
),
ruling as materialized (
  select t.*, case
    when $3 = 'approve' and t.state = 'awaiting_approval' then 'ready'
    when $3 in ('retry', 'reassign') and t.state in (${from('reopen')}) then 'ready'
    when $3 = 'reassign' and t.state = 'blocked' then 'ready'
    when $3 = 'supply' and t.state in (${from('supply')}) then 'completed'
    when $3 in ('reject', 'fail') and t.on_failure = 'skip' and t.state in (${from('skip')}) then 'skipped'
    when $3 in ('reject', 'fail') and t.state in (${from('fail')}) then 'failed'
  end as next
  from open t
),
ended as (
  update subtask_states s set
    state = r.next,
    gate = null,
    attempt = s.attempt + (r.next = 'completed')::int,
    attempt_limit = case when r.next = 'ready' and r.state <> 'awaiting_approval' then greatest(s.attempt_limit, s.charged + 1) else s.attempt_limit end,
    route_id = coalesce($6::int, s.route_id),
    ready_at = case when r.next = 'ready' then clock_timestamp() else s.ready_at end,
    finished_at = case when r.next in ('completed', 'skipped', 'failed') then clock_timestamp() end
  from ruling r
  where s.id = r.id and r.next is not null
  returning s.id, s.tenant_id, s.task_pk, s.state, s.attempt, r.state as before, r.on_failure, s.route_id
),
attempt as (
  insert into attempts (subtask_pk, attempt, outcome, charged, output) select id, attempt, 'completed', false, $5 from ended where state = 'completed'
),
decided as (
  update reviews r set status = 'decided', decision = $3, reason = $4, decided_by = $8, decided_at = clock_timestamp()
  where r.id = $2 and exists (select from ended)
  returning r.id, r.tenant_id, r.task_pk, r.subtask_pk, r.kind
),
passed as (select id from ended where state in ('completed', 'skipped') or (state = 'failed' and on_failure = 'continue')),
broken as (select distinct task_pk from ended where state = 'failed' and on_failure <> 'continue'),
${unlockDependents('passed')},
${gateReviews},
${rollUp(
  `
    select task_pk, (state = 'ready')::int as active, -(before in ('awaiting_approval', 'needs_review'))::int as reviewing, -(before = 'blocked')::int as blocked from ended
    union all
    select task_pk, (state <> 'awaiting_approval')::int, (state = 'awaiting_approval')::int, 0 from child_moved where opened`,
  'broken',
)},
${insertEvents(
  `
  select tenant_id, 'review.decided' as name, task_pk, subtask_pk, null::int as attempt, null::text as agent, null::text as worker_id,
    json_build_object('review', id::text, 'kind', kind, 'decision', $3::text, 'reason', $4::text, 'by', $8::text)::text as data from decided`,
  `
  select tenant_id, case when state = 'ready' and before = 'awaiting_approval' then 'subtask.approved' else 'subtask.' || state end, task_pk, id, null, null, null, null from ended`,
  childEvents,
  `
  select tenant_id, 'review.created', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text, 'kind', 'approval')::text from gate_review`,
  taskEvents,
)}
select
  (select exists (select from decided)) as done,
  (select coalesce(json_agg(distinct route_id), '[]') from ended where state = 'ready') as reopened,
  ${touched('ended')},
  ${effects}`,
}

export interface Decision {
  readonly tenantId: number
  readonly id: string
  readonly decision: ReviewDecisionName
  readonly reason: string
  /** JSON text, for `supply`. */
  readonly output: string | null
  /** The route to the agent that a `reassign` names. */
  readonly routeId: number | null
  readonly actor: string
}

export interface Decided extends EffectsRow {
  /** False: the review was not open any more, or its subtask is not in a state that the decision fits. */
  done: boolean
  reopened: number[]
}

export async function decideReview(db: Queryable, decision: Decision, room: Room): Promise<Decided> {
  const { tenantId, id, decision: verb, reason, output, routeId, actor } = decision
  const { rows } = await db.query<Decided>(decide, [tenantId, id, verb, reason, output, routeId, JSON.stringify(room), actor])
  return rows[0] as Decided // a select without `from` has one row
}
