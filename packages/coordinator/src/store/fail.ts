/**
 * Ends attempts that brought no result: reported failures, lost leases, exceeded SLAs and deadlines, releases by a
 * draining worker, cancels.
 * What follows is decided here and nowhere else, in one expression (`ruling`): the coordinator alone retries.
 *
 * Invariants: I5, I6 (at most `attempt_limit` charged attempts, then what `on_failure` says, with one review), I13.
 */

import { terminalTaskStatuses } from '@baton/shared'
import { judge, type Settled, type SettledRow, settle, targetColumns, verdicts } from './complete.js'
import type { Queryable, Statement } from './database.js'
import {
  childEvents,
  effects,
  few,
  from,
  gateReviews,
  insertEvents,
  knowsDependents,
  rollUp,
  roomCte,
  sqlList,
  taskEvents,
  touched,
  unlockDependents,
} from './fragments.js'
import { deadlinePassed } from './pauses.js'
import type { Room } from './room.js'
import { prepared } from './statements.js'

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
  /** W3C trace context of the run; not for the statement. */
  readonly tp?: string | undefined
}

/** What the subtask waits for from now on, for its event. */
const whyEnded = `case e.ruling
      when 'retry' then 'attempt ' || e.row_charged + 2 || ' of ' || e.attempt_limit || ' follows in ' || round(e.delay_ms) || ' ms'
      when 'review' then 'waiting for a decision: ' || coalesce(e.failure::json ->> 'message', 'it failed') end`

/** Infrastructure's ends are free, but not without end. */
const maxUncharged = 20

/**
 * Rules on the rows of `verdict`, which carry their item (outcome, failure, retryable, charged, saved) and their row, and
 * does what follows. An end of whatever kind acknowledges a cancel that was asked for, or is forced by it.
 */
const ruleAndApply = `
ruling as materialized (
  select v.*, d.on_failure,
    case
      when k.status in (${sqlList(terminalTaskStatuses)}) then 'cancel'
      when v.cancelling then case when d.on_failure in ('skip', 'continue') then d.on_failure else 'cancel' end
      when not v.charged and v.uncharged < ${maxUncharged} then 'requeue'
      when v.retryable and v.row_charged + 1 < v.attempt_limit then 'retry'
      else d.on_failure
    end as ruling,
    case when v.outcome in ('failed', 'released') then 'acknowledged' else 'forced' end as cancelled_how,
    -- Exponential, by the attempts already charged; half of it random.
    case when v.outcome = 'lost' then 0 else
      least(coalesce(d.backoff_max_ms, $3::bigint), coalesce(d.backoff_initial_ms, $4::bigint) * (2 ^ least(v.row_charged, 20))::bigint) * (0.5 + random() / 2)
    end as delay_ms
  from verdict v join subtasks d on d.id = v.id join tasks k on k.id = v.task_pk
),
ended as (
  update subtask_states s set
    state = case
      when r.ruling = 'requeue' or (r.ruling = 'retry' and r.delay_ms = 0) then 'ready'
      when r.ruling = 'retry' then 'retrying'
      when r.ruling = 'review' then 'needs_review'
      when r.ruling = 'skip' then 'skipped'
      when r.ruling = 'cancel' then 'cancelled'
      else 'failed'
    end,
    charged = s.charged + (r.ruling not in ('requeue', 'cancel') and not r.cancelling)::int,
    uncharged = s.uncharged + (r.ruling = 'requeue')::int,
    losses = s.losses + (r.outcome = 'lost' and r.ruling <> 'requeue')::int,
    cancelled_how = case when r.cancelling or r.ruling = 'cancel' then r.cancelled_how else s.cancelled_how end,
    ready_at = case when r.ruling = 'requeue' or (r.ruling = 'retry' and r.delay_ms = 0) then clock_timestamp() else s.ready_at end,
    run_after = case when r.ruling = 'retry' then clock_timestamp() + r.delay_ms * interval '1 millisecond' end,
    finished_at = case when r.ruling in ('fail', 'skip', 'continue', 'cancel') then clock_timestamp() end,
    progress = coalesce(r.saved, s.progress),
    lease_until = null, sla_until = null, claim_id = null, worker_id = null
  from ruling r
  where s.id = r.id
  returning s.id, s.task_pk, s.state, r.ruling
),
attempt as (
  insert into attempts (subtask_pk, attempt, claim_id, worker_id, agent, outcome, charged, failure, queued_at, started_at)
  select r.id, r.attempt, r.claim_id, r.worker_id, r.agent, case when r.cancelling or r.ruling = 'cancel' then 'cancelled' else r.outcome end,
    r.ruling not in ('requeue', 'cancel') and not r.cancelling, r.failure, r.queued_at, r.started_at
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
  select e.tenant_id, case e.ruling when 'requeue' then 'subtask.requeued' when 'retry' then 'subtask.retrying' when 'review' then 'subtask.needs_review' when 'skip' then 'subtask.skipped' when 'cancel' then 'subtask.cancelled' else 'subtask.failed' end as name,
    e.task_pk, e.id as subtask_pk, e.attempt, e.agent, e.worker_id,
    json_strip_nulls(json_build_object('outcome', e.outcome, 'failure', e.failure::json, 'delay_ms', case when e.ruling = 'retry' then round(e.delay_ms) end,
      'cancel', case when e.ruling = 'cancel' or e.cancelling then e.cancelled_how end, 'why', ${whyEnded}))::text as data
  from ruling e`,
  // The worker's own clock ends most late attempts, the sweep the others.
  `
  select tenant_id, 'alert.sla_breach', task_pk, id, attempt, agent, worker_id, e.failure
  from ruling e where e.ruling <> 'cancel' and e.failure::json ->> 'code' in ('attempt_timed_out', 'deadline_exceeded')`,
  childEvents,
  `
  select tenant_id, 'review.created', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text, 'kind', 'exhausted')::text from review`,
  `
  select tenant_id, 'review.created', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text, 'kind', 'approval')::text from gate_review`,
  taskEvents,
)}`

const reported = prepared(
  'fail_attempts',
  `
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
${judge(from('retry'), { result: false })},
${ruleAndApply}
select
  ${verdicts},
  ${touched('ended')},
  ${effects}`,
)

export interface BackoffLimits {
  readonly initialMs: number
  readonly maxMs: number
}

/** One statement for 1 or 500 reported failures. */
export function failAttempts(db: Queryable, items: readonly FailedItem[], room: Room, backoff: BackoffLimits): Promise<Settled> {
  return settle(items, async asked => {
    const list = JSON.stringify(asked.map((item, n) => ({ n, ...item })))
    const { rows } = await db.query<SettledRow>(reported, [list, JSON.stringify(room), backoff.maxMs, backoff.initialMs])
    return rows[0] as SettledRow // a select without `from` has one row
  })
}

interface SweepRule {
  /** A condition on row `s` as of the database's time `$5`. */
  readonly due: string
  readonly outcome: 'lost' | 'timed_out' | 'cancelled'
  readonly code: string
  /** A text expression on row `t`. */
  readonly message: string
  readonly retryable: boolean
  /** A boolean expression on row `t`. */
  readonly charged: string
}

const sweep = (name: string, { due, outcome, code, message, retryable, charged }: SweepRule): Statement =>
  prepared(
    name,
    `
with ${roomCte('$2')},
target as materialized (
  select s.id, s.attempt, s.claim_id, ${targetColumns}
  from subtask_states s
  where s.state = 'running' and ${due} and ${knowsDependents('s')} and $6::bigint > 0 -- the lease: given to all, needed by one
  -- Suspects last: while theirs runs, the neighbours that were lost with them are told apart.
  order by s.losses >= 2, s.id
  limit $1
  for update skip locked
),
verdict as materialized (
  select t.*, '${outcome}' as outcome, json_build_object('code', '${code}', 'message', ${message}, 'retryable', ${retryable})::text as failure,
    ${retryable} as retryable, ${charged} as charged, null::text as saved
  from target t
),
${ruleAndApply}
select
  (select coalesce(json_agg(json_build_object('id', id::text, 'worker_id', worker_id, 'claim_id', claim_id)), '[]') from verdict) as ended,
  ${touched('ended')},
  ${effects}`,
  )

/** A lease of row `s` so far ahead that only a jump of the database's clock can have left it there. */
export const leftAhead = (at: string, leaseMs: string): string =>
  `s.lease_until > ${at} + 2 * coalesce(s.lease_ms, ${leaseMs}) * interval '1 millisecond'`

const sweeps = {
  lost: sweep('expire_leases', {
    due: `(s.lease_until < $5::timestamptz or ${leftAhead('$5::timestamptz', '$6::bigint')})`,
    outcome: 'lost',
    code: 'worker_lost',
    message: `'worker ' || coalesce(t.worker_id, '?') || ' stopped reporting'`,
    retryable: true,
    // Poison: the death of a worker that ran a suspect is the suspect's.
    charged: `(t.losses >= 2 or not exists (select from subtask_states x where x.state = 'running' and x.worker_id = t.worker_id and x.losses >= 2))`,
  }),
  late: sweep('expire_slas', {
    due: `s.lease_until > $5::timestamptz and s.sla_until < $5::timestamptz`,
    outcome: 'timed_out',
    code: 'attempt_timed_out',
    message: `'the attempt exceeded its SLA'`,
    retryable: true,
    charged: 'true',
  }),
  /** The whole subtask's deadline, of which the time is left out in which it was paused. */
  overdue: sweep('expire_deadlines', {
    due: `s.scheduled_at + s.deadline_ms * interval '1 millisecond' < $5::timestamptz and ${deadlinePassed('s', '$5::timestamptz')}`,
    outcome: 'timed_out',
    code: 'deadline_exceeded',
    message: `'the subtask exceeded its deadline'`,
    retryable: false,
    charged: 'true',
  }),
  /** Agents that did not heed a cancel: `$5` is the grace ago. */
  unheeded: sweep('force_cancels', {
    due: `s.cancel_requested_at < $5::timestamptz`,
    outcome: 'cancelled',
    code: 'attempt_aborted',
    message: `'the cancel was not acknowledged in time'`,
    retryable: false,
    charged: 'false',
  }),
}

export interface Swept extends Omit<Settled, 'verdicts'> {
  ended: { id: string; worker_id: string; claim_id: string }[]
}

export interface SweepTimes {
  /** The database's time of the look that found something due. */
  readonly at: string
  readonly leaseMs: number
  readonly limit: number
}

/**
 * Ends up to `limit` attempts whose worker let the lease run out (`lost`), that exceeded their SLA (`late`), whose subtask
 * exceeded its deadline (`overdue`) or that did not heed a cancel (`unheeded`), as of the database's time `at`: a
 * statement that the database works off late, after it stood still, finds nothing that was not due when it was asked.
 */
export async function expireAttempts(
  db: Queryable,
  which: keyof typeof sweeps,
  { at, leaseMs, limit }: SweepTimes,
  room: Room,
  backoff: BackoffLimits,
): Promise<Swept> {
  const { rows } = await db.query<Swept>(sweeps[which], [limit, JSON.stringify(room), backoff.maxMs, backoff.initialMs, at, leaseMs])
  return rows[0] as Swept // a select without `from` has one row
}
