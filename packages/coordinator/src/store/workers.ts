/** Workers and the agents that they host; leases. All times are the database's: a worker's clock never matters. */
import type { ActiveClaim, HostedAgent, WorkerInfo } from '@baton/shared'
import type { Database, Queryable } from './database.js'
import { few } from './fragments.js'
import { prepared } from './statements.js'

const upsertWorker = prepared(
  'upsert_worker',
  `
with worker as (
  insert into workers (id, pool, host, pid, version, concurrency, state)
  values ($1, $2, $3, $4, $5, $6, $7)
  on conflict (id) do update set pool = excluded.pool, host = excluded.host, pid = excluded.pid, version = excluded.version, concurrency = excluded.concurrency,
    state = excluded.state, last_heartbeat_at = clock_timestamp()
  returning id, state
)
insert into events (tenant_id, name, worker_id, data) select 1, 'worker.' || state, id, json_build_object('host', $3::text, 'pid', $4::int)::text from worker`,
)

const replaceAgents = prepared(
  'replace_worker_agents',
  `
with hosted as (
  select * from json_to_recordset($2::json) as a(name text, capabilities text[], concurrency int, sla_ms bigint, queue_wait_ms bigint, deadline_ms bigint, lease_ms bigint)
),
gone as (
  delete from worker_agents where worker_id = $1 and agent not in (select name from hosted)
)
insert into worker_agents (worker_id, agent, capabilities, concurrency, sla_ms, queue_wait_ms, deadline_ms, lease_ms)
select $1, name, capabilities, concurrency, sla_ms, queue_wait_ms, deadline_ms, lease_ms from hosted
on conflict (worker_id, agent) do update set capabilities = excluded.capabilities, concurrency = excluded.concurrency, sla_ms = excluded.sla_ms,
  queue_wait_ms = excluded.queue_wait_ms, deadline_ms = excluded.deadline_ms, lease_ms = excluded.lease_ms`,
)

const declareAgents = prepared(
  'declare_agents',
  `
insert into agents (tenant_id, name, description, domain, capabilities, skills, sla_ms, kind, declared_by)
select 1, name, description, domain, capabilities, coalesce(skills, '{}'), sla_ms, kind, 'worker'
from json_to_recordset($1::json) as a(name text, description text, domain text, capabilities text[], skills text[], sla_ms bigint, kind text)
order by name
on conflict (tenant_id, name) do update set description = excluded.description, domain = excluded.domain, capabilities = excluded.capabilities, skills = excluded.skills,
  sla_ms = excluded.sla_ms, kind = excluded.kind, declared_by = 'worker', updated_at = clock_timestamp()
where agents.declared_by = 'worker' and (agents.description, agents.domain, agents.capabilities, agents.skills, agents.sla_ms, agents.kind)
  is distinct from (excluded.description, excluded.domain, excluded.capabilities, excluded.skills, excluded.sla_ms, excluded.kind)`,
)

/** Takes a worker in, or renews what is known of it. */
export async function registerWorker(database: Database, worker: WorkerInfo): Promise<void> {
  const agents: readonly HostedAgent[] = worker.agents
  await database.transaction(async tx => {
    await tx.query(upsertWorker, [
      worker.id,
      worker.pool,
      worker.host,
      worker.pid,
      worker.version,
      worker.concurrency,
      worker.state ?? 'ready',
    ])
    await tx.query(replaceAgents, [worker.id, JSON.stringify(agents)])
    await tx.query(declareAgents, [JSON.stringify(agents)])
  })
}

export interface HeartbeatItem {
  readonly worker_id: string
  readonly state: 'starting' | 'ready' | 'draining' | 'stopped'
  readonly active: readonly ActiveClaim[]
  readonly load: Readonly<Record<string, number>>
  readonly loop_lag_ms: number
}

export interface HeartbeatVerdict {
  known: boolean
  drain: boolean
  /** Whether its state is another one now. */
  changed: boolean
  /** Claims that are still this worker's, and that nobody asked it to stop. */
  held: string[]
}

/** What a heartbeat is answered of claim `c`, whose subtask is `s`. */
const leaseOf = (s: string): string =>
  `c.n, c.claim_id, ${s}.id, ${s}.task_pk, c.progress, ${s}.state = 'running' and ${s}.claim_id = c.claim_id and ${s}.worker_id = c.worker_id as held,
    ${s}.cancel_requested_at is not null as cancelling`

/**
 * A heartbeat waits for no subtask that somebody else holds, or one large rerun would keep the words of all workers: such a
 * subtask is answered for as it was, and its lease renewed by the next heartbeat. Only progress, which is told once, waits.
 */
const beat = prepared(
  'heartbeats',
  `
with item as (
  select * from json_to_recordset($1::json) as i(n int, worker_id text, state text, active int, load text, loop_lag_ms real, last boolean)
  where ${few('i.n')}
),
claim as (
  select * from json_to_recordset($2::json) as c(n int, worker_id text, subtask bigint, claim_id uuid, progress text)
  where ${few('c.n')}
),
worker_row as materialized (
  select i.*, w.state as before, w.drain_requested
  from item i join workers w on w.id = i.worker_id
  order by w.id, i.n
  for update of w
),
worker as (
  update workers w set
    state = case when r.drain_requested and r.state in ('starting', 'ready') then 'draining' else r.state end,
    active = r.active, load = r.load, loop_lag_ms = r.loop_lag_ms, last_heartbeat_at = clock_timestamp()
  from worker_row r
  where w.id = r.worker_id and r.before <> 'lost' and r.last -- of several words of one worker the last one counts
  returning w.id, w.state, r.before
),
-- The state is compared in the list: in the condition it would invite the index of all running rows instead of the key.
telling as materialized (
  select ${leaseOf('s')} from claim c join subtask_states s on s.id = c.subtask where c.progress is not null
  order by s.id
  for update of s
),
silent as materialized (
  select ${leaseOf('s')} from claim c join subtask_states s on s.id = c.subtask where c.progress is null and (select count(*) from telling) >= 0 -- after it
  order by s.id
  for update of s skip locked
),
lease_row as materialized (
  select * from telling union all select * from silent
),
passed_over as (
  select ${leaseOf('s')} from claim c cross join lateral (select * from subtask_states s where s.id = c.subtask limit 1) s
  where c.claim_id not in (select claim_id from lease_row where claim_id is not null)
),
renewed as (
  update subtask_states s set lease_until = clock_timestamp() + coalesce(s.lease_ms, $3::int) * interval '1 millisecond', progress = coalesce(l.progress, s.progress)
  from lease_row l
  where s.id = l.id and l.held
  returning s.task_pk, l.progress is not null as progressed
),
progressed as (
  update tasks set progress_version = progress_version + 1 where id = any (array(select distinct task_pk from renewed where progressed))
),
event as (
  insert into events (tenant_id, name, worker_id)
  select 1, 'worker.' || state, id from worker where state <> before
)
select
  (select coalesce(json_agg(json_build_array(n, before <> 'lost', drain_requested, before <> state)), '[]') from worker_row) as workers,
  (select coalesce(json_agg(json_build_array(n, claim_id)), '[]') from (select * from lease_row union all select * from passed_over) l where held and not cancelling) as held`,
)

interface BeatRow {
  workers: [n: number, known: boolean, drain: boolean, changed: boolean][]
  held: [n: number, claimId: string][]
}

/** Renews the leases of 1 or 500 workers' claims in one statement; answers which claims are still theirs. */
export async function recordHeartbeats(db: Queryable, items: readonly HeartbeatItem[], leaseMs: number): Promise<HeartbeatVerdict[]> {
  const last = new Map(items.map((item, n) => [item.worker_id, n]))
  const workers = items.map((item, n) => ({
    n,
    last: last.get(item.worker_id) === n,
    worker_id: item.worker_id,
    state: item.state,
    active: item.active.length,
    load: JSON.stringify(item.load),
    loop_lag_ms: item.loop_lag_ms,
  }))
  const claims = items.flatMap((item, n) => item.active.map(claim => ({ n, worker_id: item.worker_id, ...claim })))
  const { rows } = await db.query<BeatRow>(beat, [JSON.stringify(workers), JSON.stringify(claims), leaseMs])
  const verdicts = items.map((): HeartbeatVerdict => ({ known: false, drain: false, changed: false, held: [] }))
  const row = rows[0] as BeatRow // a select without `from` has one row
  for (const [n, known, drain, changed] of row.workers) verdicts[n] = { known, drain, changed, held: [] }
  for (const [n, claimId] of row.held) verdicts[n]?.held.push(claimId)
  return verdicts
}

/** Silent for `$1` ms as of `at`; a heartbeat ahead of the clock is one that a jump of the database's clock left behind. */
export const silent = (at: string): string =>
  `(last_heartbeat_at < ${at} - $1::int * interval '1 millisecond' or last_heartbeat_at > ${at} + $1::int * interval '1 millisecond')`

const lose = prepared(
  'lose_workers',
  `
with gone as materialized (
  select id, active from workers
  where state in ('starting', 'ready', 'draining') and ${silent('$2::timestamptz')}
  order by id limit 100 for update skip locked
),
lost as (
  update workers w set state = 'lost' from gone where w.id = gone.id returning w.id, gone.active
),
event as (
  insert into events (tenant_id, name, worker_id)
  select 1, 'worker.lost', id from lost
  union all
  select 1, 'alert.worker_lost', id from lost where active > 0
)
select id from lost`,
)

/** Declares workers lost that, as of the database's time `at`, had not been heard of for `silentMs`. */
export async function loseWorkers(db: Queryable, silentMs: number, at: string): Promise<string[]> {
  return (await db.query<{ id: string }>(lose, [silentMs, at])).rows.map(r => r.id)
}

/** An agent on a live worker. */
export interface Provider {
  worker_id: string
  pool: string
  agent: string
  capabilities: string[]
  concurrency: number
  active: number
  sla_ms: number | null
  queue_wait_ms: number | null
  /** Its worker's event loop is held up. */
  lagging: boolean
}

const providers = prepared(
  'live_providers',
  `
select w.id as worker_id, w.pool, a.agent, a.capabilities, a.concurrency, coalesce((w.load::json ->> a.agent)::int, 0) as active, a.sla_ms::float8 as sla_ms, a.queue_wait_ms::float8 as queue_wait_ms, w.loop_lag_ms > 1000 as lagging
from workers w join worker_agents a on a.worker_id = w.id
where w.state = 'ready'
order by w.id, a.agent`,
)

/**
 * Every agent on a worker that is ready. Whether silence means that one is lost is decided by the watcher alone, which
 * knows when silence may be believed.
 */
export async function readProviders(db: Queryable): Promise<Provider[]> {
  return (await db.query<Provider>(providers)).rows
}

const forget = prepared(
  'forget_workers',
  `delete from workers where state in ('stopped', 'lost') and last_heartbeat_at < clock_timestamp() - interval '1 day'`,
)

/** Drops workers that ended more than a day ago. */
export async function forgetWorkers(db: Queryable): Promise<void> {
  await db.query(forget)
}

const abandonAll = prepared(
  'abandon_all',
  `
with lost as (
  update workers set state = 'lost' where state in ('starting', 'ready', 'draining')
)
update subtask_states set lease_until = clock_timestamp() where state = 'running'`,
)

/** Local mode, at start: every worker ended with the process before this one, so its leases need not run out. */
export async function abandonAllWorkers(db: Queryable): Promise<void> {
  await db.query(abandonAll)
}
