/**
 * Accepts the results of attempts that are as they should be: running, under the claim that reports them, with nothing asked
 * of them meanwhile. That is nearly every result; it needs no judging, only a guard. What the guard does not let pass is
 * left alone and not answered for: `completeAttempts` says what it is.
 *
 * Where a worker wishes to go on with a child, and nothing speaks against it, the child starts with the same commit: neither
 * a job nor a claim has to travel first.
 *
 * Invariants: those of complete.ts. Rows are locked in the order of the items, which is that of their ids.
 */
import { Columns } from './columns.js'
import { type CompletedItem, followsCompletion } from './complete.js'
import type { Queryable } from './database.js'
import {
  type AttemptTimes,
  type EffectsRow,
  effects,
  few,
  from,
  type HandOverWish,
  handed,
  knowsDependents,
  type QueuedRow,
  roomCte,
  touched,
} from './fragments.js'
import type { Room } from './room.js'
import type { Started } from './start-known.js'
import { prepared } from './statements.js'

const times = { leaseMs: '$2', defaultSlaMs: '$3' }

const columns = new Columns<{ n: number; id: string; attempt: number; claim_id: string; output: string } & Partial<HandOverWish>>({
  ...{ n: 'int', id: 'bigint', attempt: 'int', claim_id: 'uuid', output: 'text' },
  ...{ child: 'bigint', next: 'text', after: 'bigint[]', child_sla_ms: 'bigint', child_lease_ms: 'bigint', child_deadline_ms: 'bigint' },
})

const statement = prepared(
  'complete_running',
  `
with item as (
  select * from (${columns.rows(4)}) i where ${few('i.n')}
),
${roomCte('$1')},
done as (
  update subtask_states s set state = 'completed', finished_at = clock_timestamp(), lease_until = null, sla_until = null, progress = null
  from item i
  -- Not plainly by its state: an index on what is running would invite the planner to read all of that.
  where s.id = i.id
    and case when s.state in (${from('complete')}) and s.claim_id = i.claim_id and s.cancel_requested_at is null and ${knowsDependents('s')} then s.attempt end = i.attempt
  returning i.n, s.id, s.tenant_id, s.task_pk, s.attempt, s.claim_id, s.worker_id, s.agent, s.queued_at, s.started_at, i.output, s.queue as from_queue, i.child, i.next, i.after, i.child_sla_ms, i.child_lease_ms, i.child_deadline_ms
),
attempt as (
  insert into attempts (subtask_pk, attempt, claim_id, worker_id, agent, outcome, charged, output, queued_at, started_at)
  select id, attempt, claim_id, worker_id, agent, 'completed', true, output, queued_at, started_at from done
),
${followsCompletion('done', times)}
select
  (select coalesce(array_agg(n), '{}') from done) as accepted,
  ${touched('done')},
  ${handed(times.leaseMs)},
  ${effects}`,
)

/** A result that travelled whole, and brings nothing beside its output. */
export type InlineResult = CompletedItem & { readonly output: string }

/** The worker would go on with a child of what it completed. */
export type WishingResult = InlineResult & { readonly wish?: HandOverWish | undefined }

/** A subtask that was queued, and started by the worker that completed its last dependency. */
type HandedRow = QueuedRow & Omit<Started, 'waited'>

export interface CompletedRunning extends EffectsRow {
  /** Positions of the items that were accepted. */
  accepted: number[]
  handed: HandedRow[]
}

function rowOf({ id, attempt, claim_id, output, wish }: WishingResult, n: number) {
  const { child, next, after, child_sla_ms, child_lease_ms, child_deadline_ms } = wish ?? noWish
  return { n, id, attempt, claim_id, output, child, next, after, child_sla_ms, child_lease_ms, child_deadline_ms }
}

const noWish: { readonly [Key in keyof HandOverWish]?: undefined } = {}

/** One statement for 1 or 500 results. Of their wishes no two may be for the same child. */
export async function completeRunning(
  db: Queryable,
  items: readonly WishingResult[],
  room: Room,
  { leaseMs, defaultSlaMs }: AttemptTimes,
): Promise<CompletedRunning> {
  const sorted = items.map(rowOf).sort((a, b) => Number(a.id) - Number(b.id))
  const { rows } = await db.query<CompletedRunning>(statement, [JSON.stringify(room), leaseMs, defaultSlaMs, ...columns.params(sorted)])
  return rows[0] as CompletedRunning // a select without `from` has one row
}
