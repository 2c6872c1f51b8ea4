/**
 * What is measured of agents: how often their attempts succeed, and how long they take. By one coordinator at a time, from
 * the newest events only: however much has happened since the last turn, a turn looks at a bounded sample of it.
 */
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

/** What the newest attempt counts; the rest is shared by those before it. */
const newest = 0.05
/** What the attempts of a turn count; all the same until there are enough of them. */
const newShare = `greatest(1 - power(1 - ${newest}, excluded.attempts), excluded.attempts::float8 / (m.attempts + excluded.attempts))`

const measure = prepared(
  'measure_agents',
  `
with turn as materialized (
  select xid, seq from measuring where at < clock_timestamp() - $1::int * interval '1 millisecond' for update skip locked
),
recent as materialized (
  select e.xid, e.seq, e.tenant_id, e.name, e.subtask_pk, e.attempt from events e
  where exists (select from turn) and (e.xid, e.seq) > ((select xid from turn), (select seq from turn)) and e.xid < pg_snapshot_xmin(pg_current_snapshot())
  order by e.xid desc, e.seq desc limit $2
),
ended as (
  select distinct tenant_id, subtask_pk, attempt from recent
  where name in ('subtask.completed', 'subtask.retrying', 'subtask.needs_review', 'subtask.failed', 'subtask.skipped') and attempt is not null
),
sample as (
  select e.tenant_id, a.agent, d.capability, (a.outcome = 'completed')::int as success,
    case when a.outcome = 'completed' then greatest(0, extract(epoch from a.finished_at - a.started_at) * 1000) end as latency_ms
  from ended e
  cross join lateral (
    select a.agent, a.outcome, a.started_at, a.finished_at from attempts a
    where a.subtask_pk = e.subtask_pk and a.attempt = e.attempt and a.agent is not null and (a.outcome = 'completed' or a.charged) limit 1) a
  cross join lateral (select d.capability from subtasks d where d.id = e.subtask_pk limit 1) d
),
grouped as (
  select tenant_id, agent, capability, count(*) as attempts, avg(success)::float8 as success_rate, avg(latency_ms)::float8 as latency_ms
  from sample group by tenant_id, agent, capability
),
measured as (
  insert into agent_measures as m (tenant_id, agent, capability, attempts, success_rate, latency_ms)
  select tenant_id, agent, capability, attempts, success_rate, latency_ms from grouped order by tenant_id, agent, capability
  on conflict (tenant_id, agent, capability) do update set
    attempts = m.attempts + excluded.attempts,
    success_rate = m.success_rate + (excluded.success_rate - m.success_rate) * ${newShare},
    latency_ms = case when excluded.latency_ms is null then m.latency_ms
      else coalesce(m.latency_ms, excluded.latency_ms) + (excluded.latency_ms - coalesce(m.latency_ms, excluded.latency_ms)) * ${newShare} end,
    measured_at = clock_timestamp()
  returning agent
),
forgotten as (
  delete from agent_measures where exists (select from turn) and measured_at < clock_timestamp() - interval '30 days'
)
update measuring m set at = clock_timestamp(),
  xid = coalesce((select r.xid from recent r order by r.xid desc, r.seq desc limit 1), m.xid),
  seq = coalesce((select r.seq from recent r order by r.xid desc, r.seq desc limit 1), m.seq)
where exists (select from turn)
returning (select count(*)::int from measured) as measured`,
)

/** Takes a turn if the last one was `everyMs` ago; a coordinator that does not get it has nothing to do. */
export async function measureAgents(db: Queryable, { everyMs, sample }: { everyMs: number; sample: number }): Promise<void> {
  await db.query(measure, [everyMs, sample])
}

export interface MeasureRow {
  tenant_id: number
  agent: string
  capability: string
  attempts: number
  success_rate: number
  latency_ms: number | null
}

const read = prepared(
  'read_measures',
  `
select tenant_id, agent, capability, attempts::float8 as attempts, success_rate, latency_ms
from agent_measures where $1::int is null or tenant_id = $1 order by measured_at desc limit 5000`,
)

/** The latest of a tenant, or of all of them. */
export async function readMeasures(db: Queryable, tenantId: number | null): Promise<MeasureRow[]> {
  return (await db.query<MeasureRow>(read, [tenantId])).rows
}
