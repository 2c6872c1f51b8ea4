/**
 * Grants claims: the gate between "queued" and "running", for pause and limits too.
 *
 * A suspect, lost twice together with its worker, runs alone: a worker that runs one already gets no other, and the
 * other is deferred for a moment.
 *
 * Invariants: I15 (the claim id is the lease token: two deliveries of one attempt cannot both get it, and a repeated
 * claim gets the same grant), I2 (only queued rows are granted).
 */
import { maxInlineBytes } from '@baton/shared'
import type { Queryable } from './database.js'
import { type AttemptTimes, attemptTerms, few, from, mayTake } from './fragments.js'
import { pausedMs, pausedTenants } from './pauses.js'
import { prepared } from './statements.js'

export interface ClaimedItem {
  readonly id: string
  readonly attempt: number
  readonly claim_id: string
  readonly agent: string
  readonly worker_id: string
}

export interface ClaimVerdict {
  status: 'granted' | 'gone' | 'held' | 'not_eligible'
  /** A `Grant` as JSON text: it goes to the worker as it is. */
  grant: string | null
  route_id: number | null
  task_pk: string | null
  /** Seconds from when it was ready until this grant; null where nothing was granted, or not for the first time. */
  waited: number | null
}

/** How many dependencies travel with a grant; the rest are read in pages. */
const inlineDependencies = 100

/** The dependencies of subtask `id` behind ordinal `after`, with outputs while they fit: `list` is json, `more` says whether there are more. */
export const dependencyList = (id: string, after: string): string => `
    select json_agg(json_build_object('name', x.name, 'subtask_id', x.subtask_id, 'ordinal', x.ordinal, 'state', x.state,
      'output', case when x.bytes_so_far <= ${maxInlineBytes} then x.output end, 'output_chars', char_length(x.output), 'failure', x.failure, 'artifacts', x.artifacts) order by x.ordinal)
      filter (where x.nth <= ${inlineDependencies}) as list, count(*) > ${inlineDependencies} as more
    from (
      select f.name, f.subtask_id, f.ordinal, s.state, a.output, a.failure::json as failure, row_number() over by_ordinal as nth,
        sum(octet_length(a.output)) over by_ordinal as bytes_so_far,
        (select coalesce(json_agg(t.name order by t.name), '[]') from artifacts t where t.subtask_pk = e.from_id) as artifacts
      -- The order of these probes is fixed: offset 0 and the lateral limits leave the planner no other, however many
      -- edges it believes a subtask to have.
      from (select from_id from dependencies where to_id = ${id} offset 0) e
      cross join lateral (select name, subtask_id, ordinal from subtasks f where f.id = e.from_id limit 1) f
      cross join lateral (select state, attempt from subtask_states s where s.id = e.from_id limit 1) s
      left join lateral (select output, failure from attempts a where a.subtask_pk = e.from_id and a.attempt = s.attempt limit 1) a on true
      where f.ordinal > ${after}
      window by_ordinal as (order by f.ordinal)
      order by f.ordinal
      limit ${inlineDependencies + 1}
    ) x`

/** How long row `r` has until its subtask's deadline, where that comes before the attempt's SLA: mostly it does not. */
export const deadlineFirst = (
  deadlineMs: string,
): string => `case when r.scheduled_at + ${deadlineMs} * interval '1 millisecond' < clock_timestamp() + r.sla_ms * interval '1 millisecond'
      then (select greatest(0, round(${deadlineMs} + ${pausedMs('g', 'r.scheduled_at', 'clock_timestamp()')} - extract(epoch from clock_timestamp() - r.scheduled_at)::float8 * 1000))
        from tasks g where g.id = r.task_pk limit 1) end`

/** A `Grant` of row `r`, as json. */
export const grantObject = ({
  deadlineMs,
  leaseMs,
  dependencies,
  more,
}: Record<'deadlineMs' | 'leaseMs' | 'dependencies' | 'more', string>): string => `json_build_object(
    'task_id', r.task_id, 'task_title', r.task_title, 'subtask_id', r.subtask_id, 'uuid', r.uuid, 'name', r.name, 'title', r.title, 'capability', r.capability,
    'attempt', r.attempt, 'attempt_limit', r.attempt_limit,
    'input', case when octet_length(r.input) <= ${maxInlineBytes} then r.input end, 'input_chars', char_length(r.input),
    'context', nullif(r.context, '{}'), 'progress', r.progress, 'isolation', r.isolation, 'sla_ms', r.sla_ms, 'deadline_in_ms', ${deadlineFirst(deadlineMs)}, 'lease_ms', ${leaseMs},
    'dependencies', ${dependencies}, 'more_dependencies', ${more})`

const terms = attemptTerms('d.', 'k.sla_ms', '$3')

const statement = prepared(
  'grant_claims',
  `
with item as (
  select * from json_to_recordset($1::json) as i(n int, id bigint, attempt int, claim_id uuid, agent text, worker_id text)
  where ${few('i.n')}
),
target as materialized (
  select i.*, s.tenant_id, s.task_pk, s.state, s.attempt as row_attempt, s.claim_id as row_claim_id, s.route_id, s.attempt_limit, s.progress, s.losses >= 2 as suspect, s.ready_at, s.scheduled_at, s.deadline_ms as row_deadline_ms
  from item i join subtask_states s on s.id = i.id
  order by s.id
  for update of s
),
judged as materialized (
  select t.*, k.status as task_status, o.status as orchestrator_status, t.attempt = t.row_attempt as fits,
    ${terms.slaMs} as sla_ms, ${terms.leaseMs} as own_lease_ms, ${terms.agentDeadlineMs} as agent_deadline_ms,
    t.suspect and exists (select from subtask_states x where x.state = 'running' and x.losses >= 2 and x.worker_id = t.worker_id and x.id <> t.id) as crowded,
    w.agent is not null and ${mayTake('r', 'w', 't.agent')} as eligible,
    k.task_id, k.title as task_title, k.context, d.subtask_id, d.uuid, d.name, d.title, d.capability, d.input, d.isolation
  from target t
  join subtasks d on d.id = t.id
  join tasks k on k.id = t.task_pk
  join orchestrators o on o.tenant_id = k.tenant_id and o.id = k.orchestrator_id
  join routes r on r.id = t.route_id
  left join worker_agents w on w.worker_id = t.worker_id and w.agent = t.agent
),
admitted as materialized (
  select j.*, case
    -- A repeat of a claim that was granted gets the same grant.
    when j.fits and j.state = 'running' and j.row_claim_id = j.claim_id then 'granted'
    when not j.fits or j.state not in (${from('claim')}) then 'gone'
    when j.task_status not in ('running', 'blocked', 'needs_review') or j.orchestrator_status <> 'running' or j.tenant_id = any ${pausedTenants} then 'held'
    when j.eligible is not true then 'not_eligible' -- null where the route pins nobody
    when j.crowded then 'deferred'
    else 'granted' end as admission
  from judged j
),
ruled as materialized (
  -- Of several suspects in one batch a worker gets the first.
  select a.*, case
    when a.admission = 'granted' and a.suspect and exists (select from admitted b where b.admission = 'granted' and b.suspect and b.worker_id = a.worker_id and b.n < a.n) then 'deferred'
    else a.admission end as status
  from admitted a
),
started as (
  update subtask_states s set state = 'running', claim_id = r.claim_id, worker_id = r.worker_id, agent = r.agent, started_at = clock_timestamp(),
    lease_until = clock_timestamp() + coalesce(r.own_lease_ms, $2::int) * interval '1 millisecond', lease_ms = r.own_lease_ms,
    deadline_ms = coalesce(r.agent_deadline_ms, s.deadline_ms), sla_until = clock_timestamp() + r.sla_ms * interval '1 millisecond'
  from ruled r
  where s.id = r.id and r.status = 'granted' and r.state in (${from('claim')})
),
renewed as (
  -- Who repeats a claim lives; the answer that was lost may have taken longer than the lease.
  update subtask_states s set lease_until = clock_timestamp() + coalesce(s.lease_ms, $2::int) * interval '1 millisecond'
  from ruled r
  where s.id = r.id and r.status = 'granted' and r.state = 'running'
),
returned as (
  -- Not this worker, or not now: still due, and not its fault.
  update subtask_states s set state = case when r.status = 'deferred' then 'retrying' else 'ready' end, queue = null,
    run_after = case when r.status = 'deferred' then clock_timestamp() + $4::int * interval '1 millisecond' end
  from ruled r
  where s.id = r.id and r.status in ('held', 'not_eligible', 'deferred')
  returning s.id, s.tenant_id, s.task_pk, s.attempt, r.agent, r.worker_id, r.status
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, attempt, agent, worker_id)
  select tenant_id, 'subtask.started', task_pk, id, attempt, agent, worker_id from ruled where status = 'granted' and state in (${from('claim')})
  union all
  select tenant_id, case status when 'deferred' then 'subtask.deferred' else 'subtask.requeued' end, task_pk, id, attempt, agent, worker_id from returned
)
select r.n, case when r.status = 'deferred' then 'held' else r.status end as status, r.route_id, r.task_pk::text as task_pk,
  case when r.status = 'granted' and r.state in (${from('claim')}) then extract(epoch from clock_timestamp() - r.ready_at)::float8 end as waited,
  case when r.status = 'granted' then ${grantObject({
    deadlineMs: 'coalesce(r.agent_deadline_ms, r.row_deadline_ms)',
    leaseMs: 'coalesce(r.own_lease_ms, $2::int)',
    dependencies: "coalesce(dep.list, '[]'::json)",
    more: 'dep.more',
  })}::text end as grant
from ruled r
left join lateral (${dependencyList('r.id', '0')}) dep on r.status = 'granted'`,
)

interface GrantTimes extends AttemptTimes {
  /** How long a suspect is put off. */
  readonly deferMs: number
}

/**
 * One statement for 1 or 500 claims; one verdict per item, in order. A repeat in the same batch is answered like the first;
 * another claim of the same attempt has a statement of its own, which sees what came of the first.
 */
export async function grantClaims(db: Queryable, items: readonly ClaimedItem[], times: GrantTimes): Promise<ClaimVerdict[]> {
  const firsts = new Map<string, ClaimedItem & { n: number }>()
  const others: number[] = []
  for (const [n, item] of items.entries()) {
    const key = `${item.id} ${item.attempt}`
    if (firsts.has(key)) others.push(n)
    else firsts.set(key, { n, ...item })
  }
  const { rows } = await db.query<ClaimVerdict & { n: number }>(statement, [
    JSON.stringify([...firsts.values()]),
    times.leaseMs,
    times.defaultSlaMs,
    times.deferMs,
  ])
  // A row that does not exist (any more) is not answered for.
  const verdicts = items.map((): ClaimVerdict => ({ status: 'gone', grant: null, route_id: null, task_pk: null, waited: null }))
  for (const { n, ...verdict } of rows) verdicts[n] = verdict
  const later: { n: number; item: ClaimedItem }[] = []
  for (const n of others) {
    const item = items[n] as ClaimedItem // an index into it
    const first = firsts.get(`${item.id} ${item.attempt}`)
    const verdict = first?.claim_id === item.claim_id ? verdicts[first.n] : undefined
    if (verdict) verdicts[n] = verdict
    else later.push({ n, item })
  }
  if (later.length === 0) return verdicts
  const answers = await grantClaims(
    db,
    later.map(l => l.item),
    times,
  )
  for (const [i, answer] of answers.entries()) if (later[i]) verdicts[later[i].n] = answer
  return verdicts
}
