/** Accepts results. Invariants: I1 (one accepted result), I5 (fenced by state, attempt and claim), I13, I15. */
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
  taskEvents,
  touched,
  unlockDependents,
} from './fragments.js'
import type { Room } from './room.js'

export interface CompletedItem {
  readonly id: string
  readonly attempt: number
  readonly claim_id: string
  /** JSON text; null when it was sent in chunks. */
  readonly output: string | null
}

export type ReportVerdict = 'accepted' | 'duplicate' | 'stale'

export interface Settled extends EffectsRow {
  /** One per item, in order. */
  verdicts: ReportVerdict[]
}

/** How an item of a report is judged against the row it names; `v` is the accepted item of that row, if any. */
export const verdictColumn = `
  case
    when v.n = i.n then 'accepted'
    when v.id is not null and v.attempt = i.attempt and v.claim_id = i.claim_id then 'duplicate'
    when exists (select from attempts a where a.subtask_pk = i.id and a.attempt = i.attempt and a.claim_id = i.claim_id and a.outcome in ('completed', 'failed', 'released')) then 'duplicate'
    else 'stale'
  end`

const statement: Statement = {
  name: 'complete_attempts',
  text: `
with item as (
  select * from json_to_recordset($1::json) as i(n int, id bigint, attempt int, claim_id uuid, output text)
),
${roomCte('$2')},
target as materialized (
  select s.id, s.tenant_id, s.task_pk, s.state, s.attempt, s.claim_id, s.agent, s.worker_id, s.queued_at, s.started_at
  from subtask_states s
  where s.id in (select id from item)
  order by s.id
  for update
),
verdict as materialized (
  select distinct on (i.id) i.*, t.tenant_id, t.task_pk, t.agent, t.worker_id, t.queued_at, t.started_at
  from item i join target t on t.id = i.id and t.attempt = i.attempt and t.claim_id = i.claim_id
  where t.state in (${from('complete')})
  order by i.id, i.n
),
done as (
  update subtask_states s set state = 'completed', finished_at = clock_timestamp(), lease_until = null, sla_until = null, progress = null
  from verdict v
  where s.id = v.id
  returning s.id, s.task_pk
),
attempt as (
  insert into attempts (subtask_pk, attempt, claim_id, worker_id, agent, outcome, charged, output, queued_at, started_at)
  select v.id, v.attempt, v.claim_id, v.worker_id, v.agent, 'completed', true,
    coalesce(v.output, (select convert_from(string_agg(c.data, ''::bytea order by c.n), 'UTF8') from chunks c where c.claim_id = v.claim_id and c.name = '$output')),
    v.queued_at, v.started_at
  from verdict v
),
${unlockDependents('done')},
${gateReviews},
${rollUp(`
    select task_pk, -1 as active, 0 as reviewing, 0 as blocked from done
    union all
    select task_pk, (state <> 'awaiting_approval')::int, (state = 'awaiting_approval')::int, 0 from child_moved where opened`)},
${insertEvents(
  `
  select tenant_id, 'subtask.completed' as name, task_pk, id as subtask_pk, attempt, agent, worker_id, null::text as data from verdict`,
  childEvents,
  `
  select tenant_id, 'review.created', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text, 'kind', 'approval')::text from gate_review`,
  taskEvents,
)}
select
  (select json_agg(${verdictColumn} order by i.n) from item i left join verdict v on v.id = i.id) as verdicts,
  ${touched('verdict')},
  ${effects}`,
}

/** One statement for 1 or 500 results: fences, stores, unlocks, rolls up, tells. */
export async function completeAttempts(db: Queryable, items: readonly CompletedItem[], room: Room): Promise<Settled> {
  const { rows } = await db.query<Settled>(statement, [JSON.stringify(items.map((item, n) => ({ n, ...item }))), JSON.stringify(room)])
  return rows[0] as Settled // a select without `from` has one row
}
