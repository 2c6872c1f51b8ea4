/**
 * Ends attempts that brought no result: reported failures, lost leases, exceeded SLAs, releases by a draining worker.
 * What follows is decided here and nowhere else, in one expression (`ruling`): the coordinator alone retries.
 *
 * Invariants: I5, I6 (at most `attempt_limit` charged attempts, then what `on_failure` says, with one review), I13.
 */

import { inOrder, judge, type Settled, type SettledRow, targetColumns, verdicts } from './complete.js'
import type { Queryable, Statement } from './database.js'
import {
  childEvents,
  effects,
  few,
  from,
  gateReviews,
  insertEvents,
  rollUp,
  roomCte,
  taskEvents,
  touched,
  unlockDependents,
} from './fragments.js'
import type { Room } from './room.js'

export interface FailedItem {
  readonly id: string
  readonly attempt: number
  readonly claim_id: string
  readonly outcome: 'failed' | 'released'
  /** JSON text of a `Failure`. */
  readonly failure: string
  readonly retryable: boolean
  /** Whether the attempt counts against the limit. */
  readonly charged: boolean
  /** JSON text of progress that no heartbeat brought. */
  readonly saved: string | null
}

/** Infrastructure's ends are free, but not without end. */
const maxUncharged = 20

/**
 * Rules on the rows of `verdict`, which carry their item (outcome, failure, retryable, charged) and their row, and does what
 * follows.
 */
const ruleAndApply = `
ruling as materialized (
  select v.*, d.on_failure,
    case
      when not v.charged and v.uncharged < ${maxUncharged} then 'requeue'
      when v.retryable and v.row_charged + 1 < v.attempt_limit then 'retry'
      else d.on_failure
    end as ruling,
    -- Exponential, by the attempts already charged; half of it random.
    case when v.outcome = 'lost' then 0 else least($3::bigint, $4::bigint * (2 ^ least(v.row_charged, 20))::bigint) * (0.5 + random() / 2) end as delay_ms
  from verdict v join subtasks d on d.id = v.id
),
ended as (
  update subtask_states s set
    state = case
      when r.ruling = 'requeue' or (r.ruling = 'retry' and r.delay_ms = 0) then 'ready'
      when r.ruling = 'retry' then 'retrying'
      when r.ruling = 'review' then 'needs_review'
      when r.ruling = 'skip' then 'skipped'
      else 'failed'
    end,
    charged = s.charged + (r.ruling <> 'requeue')::int,
    uncharged = s.uncharged + (r.ruling = 'requeue')::int,
    ready_at = case when r.ruling = 'requeue' or (r.ruling = 'retry' and r.delay_ms = 0) then clock_timestamp() else s.ready_at end,
    run_after = case when r.ruling = 'retry' then clock_timestamp() + r.delay_ms * interval '1 millisecond' end,
    finished_at = case when r.ruling in ('fail', 'skip', 'continue') then clock_timestamp() end,
    progress = coalesce(r.saved, s.progress),
    lease_until = null, sla_until = null, claim_id = null, worker_id = null
  from ruling r
  where s.id = r.id
  returning s.id, s.task_pk, s.state, r.ruling
),
attempt as (
  insert into attempts (subtask_pk, attempt, claim_id, worker_id, agent, outcome, charged, failure, queued_at, started_at)
  select r.id, r.attempt, r.claim_id, r.worker_id, r.agent, r.outcome, r.ruling <> 'requeue', r.failure, r.queued_at, r.started_at
  from ruling r
),
review as (
  insert into reviews (tenant_id, task_pk, subtask_pk, kind, detail)
  select r.tenant_id, r.task_pk, r.id, 'exhausted', r.failure from ruling r where r.ruling = 'review'
  on conflict (subtask_pk, kind) where status = 'open' and subtask_pk is not null do nothing
  returning id, tenant_id, task_pk, subtask_pk
),
passed as (select id from ended where ruling in ('skip', 'continue')),
broken as (select distinct task_pk from ended where ruling = 'fail'),
${unlockDependents('passed')},
${gateReviews},
${rollUp(
  `
    select task_pk, -1 as active, (state = 'needs_review')::int as reviewing, 0 as blocked from ended where state not in ('ready', 'retrying')
    union all
    select task_pk, (state <> 'awaiting_approval')::int, (state = 'awaiting_approval')::int, 0 from child_moved where opened`,
  'broken',
)},
${insertEvents(
  `
  select e.tenant_id, case e.ruling when 'requeue' then 'subtask.requeued' when 'retry' then 'subtask.retrying' when 'review' then 'subtask.needs_review' when 'skip' then 'subtask.skipped' else 'subtask.failed' end as name,
    e.task_pk, e.id as subtask_pk, e.attempt, e.agent, e.worker_id,
    json_build_object('outcome', e.outcome, 'failure', e.failure::json, 'delay_ms', case when e.ruling = 'retry' then round(e.delay_ms) end)::text as data
  from ruling e`,
  childEvents,
  `
  select tenant_id, 'review.created', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text, 'kind', 'exhausted')::text from review`,
  `
  select tenant_id, 'review.created', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text, 'kind', 'approval')::text from gate_review`,
  taskEvents,
)}`

const reported: Statement = {
  name: 'fail_attempts',
  text: `
with item as (
  select * from json_to_recordset($1::json) as i(n int, id bigint, attempt int, claim_id uuid, outcome text, failure text, retryable boolean, charged boolean, saved text)
  where ${few('i.n')}
),
${roomCte('$2')},
target as materialized (
  select i.*, ${targetColumns}
  from item i join subtask_states s on s.id = i.id
  order by s.id
  for update of s
),
${judge(from('retry'))},
${ruleAndApply}
select
  ${verdicts},
  ${touched('ended')},
  ${effects}`,
}

export interface BackoffLimits {
  readonly initialMs: number
  readonly maxMs: number
}

/** One statement for 1 or 500 reported failures. */
export async function failAttempts(db: Queryable, items: readonly FailedItem[], room: Room, backoff: BackoffLimits): Promise<Settled> {
  const { rows } = await db.query<SettledRow>(reported, [
    JSON.stringify(items.map((item, n) => ({ n, ...item }))),
    JSON.stringify(room),
    backoff.maxMs,
    backoff.initialMs,
  ])
  const row = rows[0] as SettledRow // a select without `from` has one row
  return { ...row, verdicts: inOrder(items.length, row.verdicts) }
}

const sweep = (name: string, due: string, outcome: 'lost' | 'timed_out', code: string, message: string): Statement => ({
  name,
  text: `
with ${roomCte('$2')},
target as materialized (
  select s.id, s.attempt, s.claim_id, ${targetColumns}
  from subtask_states s
  where s.state = 'running' and ${due}
  order by s.id
  limit $1
  for update skip locked
),
verdict as materialized (
  select t.*, '${outcome}' as outcome,
    json_build_object('code', '${code}', 'message', ${message}, 'retryable', true)::text as failure, true as retryable, true as charged, null::text as saved
  from target t
),
${ruleAndApply}
select
  (select coalesce(json_agg(json_build_object('id', id::text, 'worker_id', worker_id, 'claim_id', claim_id)), '[]') from verdict) as ended,
  ${touched('ended')},
  ${effects}`,
})

const lost = sweep(
  'expire_leases',
  's.lease_until < $5::timestamptz',
  'lost',
  'worker_lost',
  `'worker ' || coalesce(t.worker_id, '?') || ' stopped reporting'`,
)
const late = sweep(
  'expire_slas',
  's.lease_until > $5::timestamptz and s.sla_until < $5::timestamptz',
  'timed_out',
  'attempt_timed_out',
  `'the attempt exceeded its SLA'`,
)

export interface Swept extends Omit<Settled, 'verdicts'> {
  ended: { id: string; worker_id: string; claim_id: string }[]
}

/**
 * Ends up to `limit` attempts whose worker let the lease run out (`lost`) or that exceeded their SLA (`late`), as of the
 * database's time `at`: a statement that the database works off late, after it stood still, finds nothing that was not
 * due when it was asked.
 */
export async function expireAttempts(
  db: Queryable,
  which: 'lost' | 'late',
  due: { at: string; limit: number },
  room: Room,
  backoff: BackoffLimits,
): Promise<Swept> {
  const { rows } = await db.query<Swept>(which === 'lost' ? lost : late, [
    due.limit,
    JSON.stringify(room),
    backoff.maxMs,
    backoff.initialMs,
    due.at,
  ])
  return rows[0] as Swept // a select without `from` has one row
}
