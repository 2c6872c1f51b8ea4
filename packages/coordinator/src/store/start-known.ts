/**
 * Grants claims of subtasks whose brief the coordinator has in memory: what `grant_claims` does for the case that is nearly
 * all of them, without reading what is known, and without judging what is in its way. Whatever is not as it should be
 * (taken, held up, not eligible, a suspect, another graph than the one that is known) is left alone and not answered for;
 * `grantClaims` says what it is.
 *
 * Invariants: those of claims.ts. Rows are locked in the order of the items, which is that of their ids. K1 the brief that
 * is known is the one that is stored: a subtask's definition never changes, a completed dependency's output neither, and
 * which dependencies it has is compared here.
 */

import { deadlineFirst } from './claims.js'
import { Columns } from './columns.js'
import type { Queryable } from './database.js'
import { type AttemptTimes, attemptTerms, dependsOnJust, few, from, mayTake } from './fragments.js'
import { pausedTenants } from './pauses.js'
import { prepared } from './statements.js'

export interface KnownClaim {
  readonly id: string
  readonly attempt: number
  readonly claim_id: string
  readonly agent: string
  readonly worker_id: string
  /** Ids of its dependencies, in order. */
  readonly after: readonly string[]
  /** Of its definition. */
  readonly sla_ms: number | null
  readonly lease_ms: number | null
  readonly deadline_ms: number | null
}

/** What of a grant is not part of the brief. */
export interface Started {
  route_id: number
  task_pk: string
  /** Seconds from when it was ready until this grant. */
  waited: number
  attempt: number
  attempt_limit: number
  progress: string | null
  sla_ms: number
  lease_ms: number
  deadline_in_ms: number | null
}

const columns = new Columns<KnownClaim & { n: number }>({
  ...{ n: 'int', id: 'bigint', attempt: 'int', claim_id: 'uuid', agent: 'text', worker_id: 'text', after: 'bigint[]' },
  ...{ sla_ms: 'bigint', lease_ms: 'bigint', deadline_ms: 'bigint' },
})

const terms = attemptTerms('i.', 'k.sla_ms', '$2')

const statement = prepared(
  'start_known',
  `
with item as (
  select * from (${columns.rows(3)}) i where ${few('i.n')}
),
-- The order of these probes is fixed: whatever a lateral limit leaves the planner is by the key.
admitted as materialized (
  select i.*, c.route_id, ${terms.leaseMs} as own_lease_ms, ${terms.agentDeadlineMs} as agent_deadline_ms, ${terms.slaMs} as own_sla_ms
  from item i
  cross join lateral (select s.tenant_id, s.task_pk, s.route_id from subtask_states s where s.id = i.id limit 1) c
  cross join lateral (select t.status, t.orchestrator_id, t.sla_ms from tasks t where t.id = c.task_pk limit 1) k
  cross join lateral (select x.status, x.lease_ms, x.timeout_ms from orchestrators x where x.tenant_id = c.tenant_id and x.id = k.orchestrator_id limit 1) o
  cross join lateral (select x.agent, x.capability, x.requires from routes x where x.id = c.route_id limit 1) r
  cross join lateral (select x.capabilities, x.lease_ms, x.deadline_ms, x.sla_ms from worker_agents x where x.worker_id = i.worker_id and x.agent = i.agent limit 1) w
  where k.status in ('running', 'blocked', 'needs_review') and o.status = 'running' and c.tenant_id <> all ${pausedTenants}
    and ${mayTake('r', 'w', 'i.agent')} and ${dependsOnJust('i.id', 'i.after')}
),
started as (
  update subtask_states s set state = 'running', claim_id = i.claim_id, worker_id = i.worker_id, agent = i.agent, started_at = clock_timestamp(),
    lease_ms = i.own_lease_ms, lease_until = clock_timestamp() + coalesce(i.own_lease_ms, $1::int) * interval '1 millisecond',
    deadline_ms = coalesce(i.agent_deadline_ms, s.deadline_ms), sla_until = clock_timestamp() + i.own_sla_ms * interval '1 millisecond'
  from admitted i
  -- Not plainly by its state: an index on what is queued would invite the planner to read all of that.
  where s.id = i.id and case when s.state in (${from('claim')}) and s.losses < 2 and s.route_id = i.route_id then s.attempt end = i.attempt
  returning i.n, s.id, s.tenant_id, s.task_pk, s.route_id, s.attempt, s.attempt_limit, s.progress, s.ready_at, s.scheduled_at, s.agent, s.worker_id, s.lease_ms, s.deadline_ms, i.own_sla_ms as sla_ms
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, attempt, agent, worker_id)
  select tenant_id, 'subtask.started', task_pk, id, attempt, agent, worker_id from started
)
select r.n, r.route_id, r.task_pk::text as task_pk, extract(epoch from clock_timestamp() - r.ready_at)::float8 as waited, r.attempt, r.attempt_limit, r.progress,
  r.sla_ms::float8 as sla_ms, coalesce(r.lease_ms, $1::int)::float8 as lease_ms, ${deadlineFirst('r.deadline_ms')}::float8 as deadline_in_ms
from started r`,
)

/** One statement for 1 or 500 claims, of different subtasks; in order, what was granted, or undefined. */
export async function startKnown(db: Queryable, items: readonly KnownClaim[], times: AttemptTimes): Promise<(Started | undefined)[]> {
  const sorted = items.map((item, n) => ({ n, ...item })).sort((a, b) => Number(a.id) - Number(b.id))
  const { rows } = await db.query<Started & { n: number }>(statement, [times.leaseMs, times.defaultSlaMs, ...columns.params(sorted)])
  const started = new Array<Started | undefined>(items.length)
  for (const { n, ...row } of rows) started[n] = row
  return started
}
