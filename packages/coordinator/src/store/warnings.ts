/**
 * Foresees and tells of what runs late: attempts near their SLA, tasks near or past their due date, reviews past theirs; and
 * closes reviews of new plans for tasks that ended meanwhile.
 */
import { terminalTaskStatuses } from '@baton/shared'
import type { Queryable } from './database.js'
import { sqlList, touched } from './fragments.js'
import { prepared } from './statements.js'

/** The share of its time after which an end in time is doubted. */
const doubtedAfter = 0.8

/** Attempt `s` has used up most of its SLA, as of `at`, and nobody was told. */
export const atRisk = (at: string): string =>
  `s.warned_attempt is distinct from s.attempt and s.sla_until > ${at} and s.started_at + (s.sla_until - s.started_at) * ${doubtedAfter} < ${at}`

const warnAttempts = prepared(
  'warn_attempts',
  `
with target as materialized (
  select s.id from subtask_states s where s.state = 'running' and ${atRisk('$2::timestamptz')} order by s.id limit $1 for update skip locked
),
warned as (
  update subtask_states s set warned_attempt = s.attempt from target t where s.id = t.id
  returning s.id, s.tenant_id, s.task_pk, s.attempt, s.agent, s.worker_id, s.sla_until
)
insert into events (tenant_id, name, task_pk, subtask_pk, attempt, agent, worker_id, data)
select tenant_id, 'alert.sla_risk', task_pk, id, attempt, agent, worker_id, json_build_object('sla_until', sla_until)::text from warned`,
)

/** When task `k` is due; a date that was past at its submission cannot be kept by anybody. */
const due = `least(case when k.due_at > k.created_at then k.due_at end, k.started_at + k.sla_ms * interval '1 millisecond')`
const timed = `(k.due_at is not null or k.sla_ms is not null) and k.sla_alerts < 2 and k.status in (${sqlList(['running', 'paused', 'blocked', 'needs_review'])})`

const warnTasks = prepared(
  'warn_tasks',
  `
with target as materialized (
  select k.id, ${due} as due, ${due} < $2::timestamptz as breached from tasks k
  where ${timed} and (
    ${due} < $2::timestamptz
    or (k.sla_alerts = 0 and k.started_at + (${due} - k.started_at) * ${doubtedAfter} < $2::timestamptz))
  order by k.id limit $1 for update of k skip locked
),
warned as (
  update tasks k set sla_alerts = case when t.breached then 2 else 1 end from target t where k.id = t.id
  returning k.id, k.tenant_id, t.due, t.breached
)
insert into events (tenant_id, name, task_pk, data)
select tenant_id, case when breached then 'alert.sla_breach' else 'alert.sla_risk' end, id, json_build_object('due_at', due)::text from warned`,
)

/** Tells of attempts and tasks that will hardly be in time, and of tasks that are not. Once for each. */
export async function warnOfDelays(db: Queryable, at: string, limit: number): Promise<void> {
  await db.query(warnAttempts, [limit, at])
  await db.query(warnTasks, [limit, at])
}

const escalate = prepared(
  'escalate_reviews',
  `
with target as materialized (
  select r.id, r.assignee, r.due_at, r.escalate_to,
    -- A date that was past when it was set gave the first one no time; then it is as long as for any review.
    case when r.due_at > r.created_at then r.due_at - r.created_at
      else (select t.review_due_ms from tenants t where t.id = r.tenant_id limit 1) * interval '1 millisecond' end as lasts
  from reviews r where r.status = 'open' and r.alerted_at is null and r.due_at < $2::timestamptz
  order by r.id limit $1 for update skip locked
),
moved as (
  -- The second assignee gets as long as the first one had; when that is over too, there is nobody left to ask.
  update reviews r set
    assignee = coalesce(t.escalate_to, r.assignee),
    escalate_to = null,
    escalated_at = case when t.escalate_to is not null then clock_timestamp() else r.escalated_at end,
    due_at = case when t.escalate_to is not null then clock_timestamp() + t.lasts else r.due_at end,
    alerted_at = case when t.escalate_to is null then clock_timestamp() end
  from target t where r.id = t.id
  returning r.id, r.tenant_id, r.task_pk, r.subtask_pk, t.assignee as from_assignee, r.assignee, t.due_at as was_due_at, r.due_at, t.escalate_to
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, data)
  select tenant_id, 'alert.review_due', task_pk, subtask_pk, json_build_object('review', id::text, 'assignee', from_assignee, 'due_at', was_due_at)::text from moved
  union all
  select tenant_id, 'review.escalated', task_pk, subtask_pk, json_build_object('review', id::text, 'from', from_assignee, 'to', assignee, 'due_at', due_at)::text from moved where escalate_to is not null
)
select ${touched('moved')}`,
)

/** Alerts of reviews that are past their due time, and hands them to whom they escalate to. Answers with their tasks. */
export async function escalateReviews(db: Queryable, at: string, limit: number): Promise<string[]> {
  return (await db.query<{ touched: string[] }>(escalate, [limit, at])).rows[0]?.touched ?? []
}

const closeMoot = prepared(
  'close_moot_reviews',
  `
with moot as materialized (
  select v.id from reviews v
  -- Those that are about no subtask, tenant by tenant: so much is open, however much was ever decided.
  where v.id = any (array(
    select o.id from tenants t
    cross join lateral (select r.id, r.task_pk from reviews r where r.tenant_id = t.id and r.status = 'open' and r.subtask_pk is null offset 0) o
    cross join lateral (select k.status from tasks k where k.id = o.task_pk limit 1) k
    where t.id > 0 and k.status in (${sqlList(terminalTaskStatuses)})
    order by o.id
    limit $1
  )) and v.decided_at is null -- open, and hidden from the planner
  order by v.id for update skip locked
),
closed as (
  update reviews v set status = 'closed', decided_at = clock_timestamp(), reason = 'the task ended' from moot m where v.id = m.id
  returning v.id, v.tenant_id, v.task_pk
),
event as (
  insert into events (tenant_id, name, task_pk, data)
  select tenant_id, 'review.closed', task_pk, json_build_object('review', id::text)::text from closed
)
select ${touched('closed')}`,
)

/** Closes reviews of plans for tasks that ended; those of subtasks close with these. Answers with the tasks. */
export async function closeMootReviews(db: Queryable, limit: number): Promise<string[]> {
  return (await db.query<{ touched: string[] }>(closeMoot, [limit])).rows[0]?.touched ?? []
}

export const reviewsDue = (at: string): string =>
  `exists (select from reviews where status = 'open' and alerted_at is null and due_at < ${at})`
export const tasksTimed = `exists (select from tasks k where ${timed})`
