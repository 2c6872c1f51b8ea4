/** Accepts results. Invariants: I1 (one accepted result), I5 (fenced by state, attempt and claim), I13, I15. */
import type { Queryable } from './database.js'
import {
  childEvents,
  type EffectsRow,
  effects,
  few,
  from,
  gateReviews,
  insertEvents,
  knowsDependents,
  rollUp,
  roomCte,
  startedEvents,
  taskEvents,
  touched,
  unlockDependents,
} from './fragments.js'
import type { Room } from './room.js'
import { prepared } from './statements.js'

export interface CompletedItem {
  readonly id: string
  readonly attempt: number
  readonly claim_id: string
  /** JSON text; null when it was sent in chunks. */
  readonly output: string | null
  /** W3C trace context of the run; not for the statement. */
  readonly tp?: string | undefined
}

export type ReportVerdict = 'accepted' | 'duplicate' | 'stale'

export interface Settled extends EffectsRow {
  /** One per item, in order. */
  verdicts: ReportVerdict[]
}

export interface Completed extends Settled {
  /** Positions of results that came after a cancel was asked for: dropped, and still to be acknowledged. */
  refused: number[]
}

/**
 * Judges items against the locked rows of `target`, which carries both: the first that fits the running attempt is
 * accepted; a `result` is not, once a cancel was asked for. Items whose row does not exist are missing from it; they
 * are stale.
 */
export const judge = (accepting: string, { result }: { result: boolean }): string => `
judged as materialized (
  select t.*,
    t.attempt = t.row_attempt and t.claim_id = t.row_claim_id and t.state in (${accepting}) and t.knowing${result ? ' and not t.cancelling' : ''} as current,
    t.attempt = t.row_attempt and t.claim_id = t.row_claim_id and t.state in (${accepting}) and t.knowing and t.cancelling as refused,
    row_number() over (partition by t.id, t.attempt = t.row_attempt and t.claim_id = t.row_claim_id order by t.n) as nth
  from target t
),
verdict as materialized (
  select * from judged where current and nth = 1
)`

/** One row per item that names a row, as json `[[n, verdict], …]`; `again`: this statement does not know what depends on it. */
export const verdicts = `
  (select coalesce(json_agg(json_build_array(j.n, case
    -- What comes after a cancel was asked for acknowledges it, and changes nothing else; a repeat of it reads the same.
    when j.current and j.cancelling then 'stale'
    when j.current and j.nth = 1 then 'accepted'
    when j.current then 'duplicate'
    when not j.knowing then 'again'
    -- Accepted while this statement waited for the row, whose attempt it cannot see.
    when j.state = 'completed' and j.attempt = j.row_attempt and j.claim_id = j.row_claim_id then 'duplicate'
    when exists (select from attempts a where a.subtask_pk = j.id and a.attempt = j.attempt and a.claim_id = j.claim_id and a.outcome in ('completed', 'failed', 'released')) then 'duplicate'
    else 'stale' end)), '[]') from judged j) as verdicts`

/** The columns of an item's row, beside the item's own. */
export const targetColumns = `s.tenant_id, s.task_pk, s.state, s.attempt as row_attempt, s.claim_id as row_claim_id, s.charged as row_charged, s.uncharged, s.attempt_limit, s.agent, s.worker_id, s.queued_at, s.started_at, s.losses, s.cancel_requested_at is not null as cancelling, ${knowsDependents('s')} as knowing`

/** What a statement answers: verdicts by item. */
export type SettledRow = Omit<Settled, 'verdicts'> & { verdicts: [number, ReportVerdict | 'again'][]; refused?: number[] }

/** Verdicts in the order of the items. What has to be judged again is asked for again; what follows from both is one. */
export async function settle<Item>(items: readonly Item[], ask: (items: readonly Item[]) => Promise<SettledRow>): Promise<Completed> {
  const { verdicts: pairs, refused = [], ...first } = await ask(items)
  const verdicts = new Array<ReportVerdict>(items.length).fill('stale')
  const again: number[] = []
  for (const [n, verdict] of pairs) {
    if (verdict === 'again') again.push(n)
    else verdicts[n] = verdict
  }
  if (again.length === 0) return { ...first, verdicts, refused }
  const rest = await settle(
    again.map(n => items[n] as Item), // an index into them
    ask,
  )
  for (const [i, n] of again.entries()) verdicts[n] = rest.verdicts[i] ?? 'stale'
  return {
    verdicts,
    refused: [...refused, ...rest.refused.flatMap(i => again[i] ?? [])],
    jobs: [...first.jobs, ...rest.jobs],
    tasks: [...first.tasks, ...rest.tasks],
    ready: [...first.ready, ...rest.ready],
    touched: [...first.touched, ...rest.touched],
  }
}

/**
 * What follows when the rows of CTE `done(id, task_pk)` have completed: dependents are unlocked, gates reached, the task rolled
 * up, events appended. `accepted` names a CTE with one row for each, for its event. `handOver`: see `unlockDependents`.
 */
export const followsCompletion = (accepted: string, handOver?: { leaseMs: string; defaultSlaMs: string }): string => `
${unlockDependents('done', handOver)},
${gateReviews},
${rollUp(`
    select task_pk, -1 as active, 0 as reviewing, 0 as blocked from done
    union all
    select task_pk, (state <> 'awaiting_approval')::int, (state = 'awaiting_approval')::int, 0 from child_moved where opened`)},
${insertEvents(
  `
  select tenant_id, 'subtask.completed' as name, task_pk, id as subtask_pk, attempt, agent, worker_id, null::text as data from ${accepted}`,
  childEvents,
  ...(handOver ? [startedEvents] : []),
  `
  select tenant_id, 'review.created', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text, 'kind', 'approval')::text from gate_review`,
  taskEvents,
)}`

const statement = prepared(
  'complete_attempts',
  `
with item as (
  select * from json_to_recordset($1::json) as i(n int, id bigint, attempt int, claim_id uuid, output text)
  where ${few('i.n')}
),
${roomCte('$2')},
target as materialized (
  select i.*, ${targetColumns}
  from item i join subtask_states s on s.id = i.id
  order by s.id
  for update of s
),
${judge(from('complete'), { result: true })},
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
${followsCompletion('verdict')}
select
  ${verdicts},
  (select coalesce(json_agg(n), '[]') from judged where refused) as refused,
  ${touched('verdict')},
  ${effects}`,
)

/** One statement for 1 or 500 results: fences, stores, unlocks, rolls up, tells. */
export function completeAttempts(db: Queryable, items: readonly CompletedItem[], room: Room): Promise<Completed> {
  return settle(items, async asked => {
    const { rows } = await db.query<SettledRow>(statement, [JSON.stringify(asked.map((item, n) => ({ n, ...item }))), JSON.stringify(room)])
    return rows[0] as SettledRow // a select without `from` has one row
  })
}
