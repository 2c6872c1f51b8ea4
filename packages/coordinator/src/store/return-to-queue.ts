/**
 * Takes back what was started on a worker that does not have it: the subtask is queued again, with the same attempt, as if it
 * had never left its queue. Nothing is charged, for nothing ran.
 *
 * Invariant: Q1 only under the claim that it was started with. A worker that has it all the same reports in vain.
 */
import type { Queryable } from './database.js'
import { few, from, insertEvents, type QueuedRow } from './fragments.js'
import { prepared } from './statements.js'

/** A cancel that was asked for ends it instead. */
const returnable = `s.state in (${from('return')}) and s.cancel_requested_at is null and s.queue is not null`

/** No heartbeat named it since it was started. */
const neverRenewed = (leaseMs: string): string =>
  `s.lease_until <= s.started_at + coalesce(s.lease_ms, ${leaseMs}) * interval '1 millisecond' + interval '10 milliseconds'`

/** `why` is the text of an SQL literal. */
const returned = (why: string): string => `
returned as (
  update subtask_states s set state = 'queued', dispatch = s.dispatch + 1, queued_at = clock_timestamp(), claim_id = null, worker_id = null, agent = null, started_at = null,
    lease_ms = null, lease_until = null, sla_until = null
  from target t where s.id = t.id
  returning s.id, s.tenant_id, s.task_pk, s.attempt, s.dispatch, s.queue, s.route_id
),
${insertEvents(`
  select tenant_id, 'subtask.queued' as name, task_pk, id as subtask_pk, attempt, null::text as agent, null::text as worker_id, '{"why":"${why}"}' as data from returned`)}
select id::text as id, attempt, dispatch, queue, route_id from returned`

/** Not plainly by its state: an index on what is running would invite the planner to read all of that. */
const named = (where: string): string => `
with item as (
  select * from unnest($1::bigint[], $2::uuid[]) as i(id, claim_id) where ${few('i.id')}
),
target as materialized (
  select s.id from item i join subtask_states s on s.id = i.id
  where case when ${where} then s.claim_id end = i.claim_id
  order by s.id
  for update of s
)`

const refused = prepared(
  'return_started',
  `${named(returnable)},
${returned('the worker that it was started on has no slot for it, or its queue takes no job')}`,
)

const unanswered = prepared(
  'return_unanswered',
  `${named(`${returnable} and ${neverRenewed('$3::int')}`)},
${returned('the worker that it was started on never said that it has it')}`,
)

export interface StartedClaim {
  readonly id: string
  readonly claim_id: string
}

/** What of these still runs under these claims; their jobs are to be rung. */
export async function returnStarted(db: Queryable, items: readonly StartedClaim[]): Promise<QueuedRow[]> {
  return (await db.query<QueuedRow>(refused, [items.map(i => i.id), items.map(i => i.claim_id)])).rows
}

/** The same for those of which no heartbeat told since they were started. */
export async function returnUnanswered(db: Queryable, items: readonly StartedClaim[], leaseMs: number): Promise<QueuedRow[]> {
  return (await db.query<QueuedRow>(unanswered, [items.map(i => i.id), items.map(i => i.claim_id), leaseMs])).rows
}

const unbegun = prepared(
  'return_unbegun',
  `
with target as materialized (
  select s.id from subtask_states s
  where s.state = 'running' and s.lease_until < $2::timestamptz and ${returnable}
    and ${neverRenewed('$3::int')}
    and exists (
      select from workers w where w.id = s.worker_id and w.state in ('ready', 'draining', 'stopped')
        and w.last_heartbeat_at > s.started_at + case w.state when 'stopped' then 0 else 2 * $4::int end * interval '1 millisecond')
  order by s.id
  limit $1
  for update of s skip locked
),
${returned('the worker that it was started on never had it')}`,
)

/**
 * Attempts whose lease ran out at `at` without having been renewed once, while their worker was heard twice and more, or said
 * goodbye: it does not have them. That is what a coordinator leaves that dies between its commit and its word to the worker.
 */
export async function returnUnbegun(
  db: Queryable,
  {
    at,
    leaseMs,
    heartbeatMs,
    limit,
  }: { readonly at: string; readonly leaseMs: number; readonly heartbeatMs: number; readonly limit: number },
): Promise<QueuedRow[]> {
  return (await db.query<QueuedRow>(unbegun, [limit, at, leaseMs, heartbeatMs])).rows
}
