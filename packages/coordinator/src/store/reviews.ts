/**
 * Reviews: what people have to decide, and what follows from a decision. The first decision wins: the review's row is
 * locked and guarded by its state; a later one learns what was decided.
 */
import { type ReviewDecisionName, type ReviewKind, type ReviewStatus, type TaskStatus, terminalTaskStatuses } from '@baton/shared'
import type { Database, Queryable, Statement } from './database.js'
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
import { lockedFirst } from './locked-first.js'
import type { Room } from './room.js'
import { prepared } from './statements.js'

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
  escalate_to: string | null
  escalated_at: Date | null
  /** Of an approval: of what it approves. */
  digest: string | null
  detail: string
  decision: ReviewDecisionName | null
  reason: string | null
  decided_by: string | null
  created_at: Date
  decided_at: Date | null
}

/**
 * What an approval approves, as one number: the definition of the subtask, and what it will be given by those it depends
 * on. Computed when it is asked for, and stored with the decision.
 */
const approvalDigest = (subtaskPk: string): string => `(
  select encode(sha256(convert_to(json_build_array(x.uuid, x.subtask_id, x.generation, x.capability, x.agent, x.requires, x.input, x.isolation,
    (select json_agg(json_build_array(f.subtask_id, f.generation, fs.state, fa.output) order by f.ordinal)
      from (select from_id from dependencies where to_id = x.id offset 0) e
      cross join lateral (select f.subtask_id, f.generation, f.ordinal from subtasks f where f.id = e.from_id limit 1) f
      cross join lateral (select fs.state, fs.attempt from subtask_states fs where fs.id = e.from_id limit 1) fs
      left join lateral (select fa.output from attempts fa where fa.subtask_pk = e.from_id and fa.attempt = fs.attempt limit 1) fa on true))::text, 'UTF8')), 'hex')
  from subtasks x where x.id = ${subtaskPk} limit 1)`

const columns = `r.id, r.kind, r.status, k.task_id, k.status as task_status, r.task_pk, d.subtask_id, d.name, s.state as subtask_state, s.agent, r.assignee, r.due_at, r.escalate_to, r.escalated_at, r.detail,
  case when r.status = 'open' and r.kind = 'approval' then ${approvalDigest('r.subtask_pk')} else r.digest end as digest, r.decision, r.reason, r.decided_by, r.created_at, r.decided_at`
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

const read = prepared('read_review', `select ${columns} ${joins} where r.tenant_id = $1 and r.id = $2`)

export async function readReview(db: Queryable, tenantId: number, id: string): Promise<ReviewRow | undefined> {
  return (await db.query<ReviewRow>(read, [tenantId, id])).rows[0]
}

const defaults = prepared(
  'set_review_defaults',
  `
update tenants set review_assignee = $1, review_escalate_to = $2, review_due_ms = $3
where (review_assignee, review_escalate_to, review_due_ms) is distinct from ($1, $2, $3::bigint)`,
)

/** Who gets a review that nobody was named for, for how long, and who after that. */
export async function setReviewDefaults(
  db: Queryable,
  { assignee, escalateTo, dueMs }: { assignee: string | null; escalateTo: string | null; dueMs: number },
): Promise<void> {
  await db.query(defaults, [assignee, escalateTo, dueMs])
}

const assign = prepared(
  'assign_review',
  `
with assigned as (
  update reviews set assignee = $3, due_at = coalesce($4::timestamptz, due_at), alerted_at = case when $4::timestamptz is null then alerted_at end,
    escalate_to = case when $7 then $6 else escalate_to end
  where tenant_id = $1 and id = $2 and status = 'open'
  returning id, tenant_id, task_pk, subtask_pk, assignee, due_at, escalate_to
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, data)
  select tenant_id, 'review.assigned', task_pk, subtask_pk, json_build_object('review', id::text, 'assignee', assignee, 'due_at', due_at, 'escalate_to', escalate_to, 'by', $5::text)::text from assigned
)
select id from assigned`,
)

export interface Assignment {
  readonly tenantId: number
  readonly id: string
  readonly assignee: string | null
  /** Null: the date stays as it is. */
  readonly dueAt: Date | null
  /** Undefined: it stays as it is. */
  readonly escalateTo: string | null | undefined
  readonly actor: string
}

/** False: the review is not open. */
export async function assignReview(db: Queryable, { tenantId, id, assignee, dueAt, escalateTo, actor }: Assignment): Promise<boolean> {
  return (await db.query(assign, [tenantId, id, assignee, dueAt, actor, escalateTo ?? null, escalateTo !== undefined])).rows.length > 0
}

/**
 * What the decision makes of the subtask. `approve` opens the gate; `retry` and `reassign` grant one more attempt;
 * `supply` completes it with a person's output; `reject` and `fail` end it as its `on_failure` says, where `review`
 * (a person has just decided) means that the task fails.
 */
const decide = prepared(
  'decide_review',
  `
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
  select t.*, case when r.kind = 'approval' then ${approvalDigest('t.id')} end as digest
  from target t join reviews r on r.id = $2 where r.status = 'open' for update of r
),
ruling as materialized (
  select t.*, case
    -- Not what was shown to whoever decides.
    when $9::text is not null and $9::text is distinct from t.digest then null
    when $3 = 'approve' and t.state = 'awaiting_approval' then 'ready'
    when $3 in ('retry', 'reassign') and t.state in (${from('reopen')}) then 'ready'
    when $3 in ('retry', 'reassign') and t.state = 'blocked' then 'ready'
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
    -- A person's decision begins the deadline anew: the clock stood while they thought.
    scheduled_at = case when r.next = 'ready' then clock_timestamp() else s.scheduled_at end,
    finished_at = case when r.next in ('completed', 'skipped', 'failed') then clock_timestamp() end
  from ruling r
  where s.id = r.id and r.next is not null
  returning s.id, s.tenant_id, s.task_pk, s.state, s.attempt, r.state as before, r.on_failure, s.route_id
),
attempt as (
  insert into attempts (subtask_pk, attempt, outcome, charged, output) select id, attempt, 'completed', false, $5 from ended where state = 'completed'
),
decided as (
  update reviews r set status = 'decided', decision = $3, reason = $4, decided_by = $8, decided_at = clock_timestamp(),
    digest = (select digest from ruling)
  where r.id = $2 and exists (select from ended)
  returning r.id, r.tenant_id, r.task_pk, r.subtask_pk, r.kind, r.digest
),
passed as (select id from ended where state in ('completed', 'skipped') or (state = 'failed' and on_failure = 'continue')),
broken as (select distinct task_pk from ended where state = 'failed' and on_failure <> 'continue'),
${unlockDependents('passed')},
${gateReviews},
${rollUp(
  `
    select task_pk, (state = 'ready')::int as active, -1 as reviewing, 0 as blocked from ended
    union all
    select task_pk, (state <> 'awaiting_approval')::int, (state = 'awaiting_approval')::int, 0 from child_moved where opened`,
  'broken',
)},
${insertEvents(
  `
  select tenant_id, 'review.decided' as name, task_pk, subtask_pk, null::int as attempt, null::text as agent, null::text as worker_id,
    json_build_object('review', id::text, 'kind', kind, 'decision', $3::text, 'reason', $4::text, 'by', $8::text, 'digest', digest)::text as data from decided`,
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
)

export interface Decision {
  readonly tenantId: number
  readonly id: string
  readonly decision: ReviewDecisionName
  readonly reason: string
  /** JSON text, for `supply`. */
  readonly output: string | null
  /** The route to the agent that a `reassign` names. */
  readonly routeId: number | null
  /** What the decider saw; null: they did not say. */
  readonly digest: string | null
  readonly actor: string
}

export interface Decided extends EffectsRow {
  /** False: the review was not open any more, or its subtask is not in a state that the decision fits. */
  done: boolean
  reopened: number[]
}

/** Begun after the lock, the decision knows what depends on the subtask (fragments.ts, `knowsDependents`). */
const lockReviewed = prepared(
  'lock_reviewed',
  `select s.id from reviews r join subtask_states s on s.id = r.subtask_pk where r.tenant_id = $1 and r.id = $2 for update of s`,
)

export async function decideReview(database: Database, decision: Decision, room: Room): Promise<Decided> {
  const { tenantId, id, decision: verb, reason, output, routeId, digest, actor } = decision
  const { rows } = await lockedFirst(database, lockReviewed, [tenantId, id], tx =>
    tx.query<Decided>(decide, [tenantId, id, verb, reason, output, routeId, JSON.stringify(room), actor, digest]),
  )
  return rows[0] as Decided // a select without `from` has one row
}
