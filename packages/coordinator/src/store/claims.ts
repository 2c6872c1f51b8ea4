/**
 * Grants claims: the gate between "queued" and "running", for pause and limits too.
 *
 * Invariants: I15 (the claim id is the lease token: two deliveries of one attempt cannot both get it, and a repeated
 * claim gets the same grant), I2 (only queued rows are granted).
 */
import type { DependencyView, Grant } from '@baton/shared'
import { maxInlineBytes } from '@baton/shared'
import type { Queryable, Statement } from './database.js'
import { from } from './fragments.js'

export interface ClaimedItem {
  readonly id: string
  readonly attempt: number
  readonly claim_id: string
  readonly agent: string
  readonly worker_id: string
}

export interface ClaimVerdict {
  status: 'granted' | 'gone' | 'held' | 'not_eligible'
  grant: Omit<Grant, 'lease_ms'> | null
  route_id: number | null
  task_pk: string | null
}

/** How many dependencies travel with a grant; the rest are read in pages. */
const inlineDependencies = 100

/** The dependencies of subtask `id` behind ordinal `after`, with outputs while they fit, as json. */
export const dependencyList = (id: string, after: string): string => `
    select json_agg(json_build_object('name', x.name, 'subtask_id', x.subtask_id, 'ordinal', x.ordinal, 'state', x.state,
      'output', case when x.bytes_so_far <= ${maxInlineBytes} then x.output end, 'output_chars', char_length(x.output), 'failure', x.failure, 'artifacts', x.artifacts) order by x.ordinal) as list
    from (
      select f.name, f.subtask_id, f.ordinal, s.state, a.output, a.failure::json as failure,
        sum(octet_length(a.output)) over (order by f.ordinal) as bytes_so_far,
        (select coalesce(json_agg(t.name order by t.name), '[]') from artifacts t where t.subtask_pk = e.from_id) as artifacts
      from dependencies e
      join subtasks f on f.id = e.from_id
      join subtask_states s on s.id = e.from_id
      left join attempts a on a.subtask_pk = e.from_id and a.attempt = s.attempt
      where e.to_id = ${id} and f.ordinal > ${after}
      order by f.ordinal
      limit ${inlineDependencies + 1}
    ) x`

const statement: Statement = {
  name: 'grant_claims',
  text: `
with item as (
  select * from json_to_recordset($1::json) as i(n int, id bigint, attempt int, claim_id uuid, agent text, worker_id text)
),
target as materialized (
  select s.id, s.tenant_id, s.task_pk, s.state, s.attempt, s.claim_id, s.route_id, s.attempt_limit, s.progress
  from subtask_states s
  where s.id in (select id from item)
  order by s.id
  for update
),
candidate as materialized (
  select distinct on (i.id) i.*, t.tenant_id, t.task_pk, t.route_id, t.state, k.status as task_status, o.status as orchestrator_status,
    coalesce(d.sla_ms, w.sla_ms, o.timeout_ms, k.sla_ms, $3::bigint) as sla_ms,
    w.agent is not null and (r.agent is null or r.agent = i.agent)
      and (r.capability = any (w.capabilities) or r.capability = r.agent) and r.requires <@ w.capabilities as eligible
  from item i
  join target t on t.id = i.id and t.attempt = i.attempt and t.state in (${from('claim')})
  join subtasks d on d.id = t.id
  join tasks k on k.id = t.task_pk
  join orchestrators o on o.tenant_id = k.tenant_id and o.id = k.orchestrator_id
  join routes r on r.id = t.route_id
  left join worker_agents w on w.worker_id = i.worker_id and w.agent = i.agent
  order by i.id, i.n
),
ruled as materialized (
  select c.*, case
    when c.task_status not in ('running', 'blocked', 'needs_review') or c.orchestrator_status <> 'running' then 'held'
    when not c.eligible then 'not_eligible'
    else 'granted' end as ruling
  from candidate c
),
started as (
  update subtask_states s set state = 'running', claim_id = r.claim_id, worker_id = r.worker_id, agent = r.agent, started_at = clock_timestamp(),
    lease_until = clock_timestamp() + $2::int * interval '1 millisecond', sla_until = clock_timestamp() + r.sla_ms * interval '1 millisecond'
  from ruled r
  where s.id = r.id and r.ruling = 'granted'
),
returned as (
  -- Not this worker, or not now: still due, and not its fault.
  update subtask_states s set state = 'ready', queue = null
  from ruled r
  where s.id = r.id and r.ruling <> 'granted'
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, attempt, agent, worker_id)
  select tenant_id, 'subtask.started', task_pk, id, attempt, agent, worker_id from ruled where ruling = 'granted'
),
judged as materialized (
  select i.n, i.id, t.task_pk, t.attempt, t.attempt_limit, t.progress, t.route_id, r.sla_ms,
    case
      when r.n = i.n then r.ruling
      -- A repeat: in this batch, or of a claim that was granted before.
      when r.ruling = 'granted' and r.claim_id = i.claim_id and r.attempt = i.attempt then 'granted'
      when t.state = 'running' and t.attempt = i.attempt and t.claim_id = i.claim_id then 'granted'
      else 'gone'
    end as status
  from item i left join target t on t.id = i.id left join ruled r on r.id = i.id
)
select j.status, j.route_id, j.task_pk::text as task_pk,
  case when j.status = 'granted' then json_build_object(
    'task_id', k.task_id, 'task_title', k.title, 'subtask_id', d.subtask_id, 'uuid', d.uuid, 'name', d.name, 'title', d.title, 'capability', d.capability,
    'attempt', j.attempt, 'attempt_limit', j.attempt_limit,
    'input', case when octet_length(d.input) <= ${maxInlineBytes} then d.input end, 'input_chars', char_length(d.input),
    'context', nullif(k.context, '{}'), 'progress', j.progress,
    'sla_ms', coalesce(j.sla_ms, d.sla_ms, $3::bigint),
    'dependencies', coalesce(dep.list, '[]'::json), 'more_dependencies', false) end as grant
from judged j
left join subtasks d on d.id = j.id and j.status = 'granted'
left join tasks k on k.id = j.task_pk and j.status = 'granted'
left join lateral (${dependencyList('d.id', '0')}) dep on d.id is not null
order by j.n`,
}

interface GrantTimes {
  readonly leaseMs: number
  readonly defaultSlaMs: number
}

/** One statement for 1 or 500 claims; one verdict per item, in order. */
export async function grantClaims(db: Queryable, items: readonly ClaimedItem[], times: GrantTimes): Promise<ClaimVerdict[]> {
  const { rows } = await db.query<ClaimVerdict>(statement, [
    JSON.stringify(items.map((item, n) => ({ n, ...item }))),
    times.leaseMs,
    times.defaultSlaMs,
  ])
  for (const { grant } of rows) if (grant) cutDependencies(grant)
  return rows
}

/** The statement reads one dependency more than it hands on, to know whether there are more. */
function cutDependencies(grant: { dependencies: DependencyView[]; more_dependencies: boolean }): void {
  grant.more_dependencies = grant.dependencies.length > inlineDependencies
  if (grant.more_dependencies) grant.dependencies.length = inlineDependencies
}
