/** Lists: tasks, agents, workers. */
import type { SubtaskState, TaskStatus } from '@baton/shared'
import type { Queryable, Statement } from './database.js'
import { type HoldRow, holdColumns, holdJoins } from './read-task.js'
import { prepared } from './statements.js'

export interface TaskListFilters {
  readonly tenantId: number
  readonly status: readonly string[] | null
  readonly agent: string | null
  readonly orchestratorId: string | null
  /** JSON text of an object: these keys have these values, compared as text. */
  readonly metadata: string
  readonly createdAfter: Date | null
  readonly createdBefore: Date | null
  /** Creation time (as `position` gave it) and id of the last one seen. */
  readonly before: readonly [string, string] | null
  readonly limit: number
}

export interface TaskListRow extends HoldRow {
  id: string
  task_id: string
  title: string
  status: TaskStatus
  priority: number
  orchestrator_id: string
  created_at: Date
  finished_at: Date | null
  counts: Partial<Record<SubtaskState, number>>
  position: string
}

const tasks: Statement = {
  text: `
select k.id, k.task_id, k.title, k.status, k.priority, k.orchestrator_id, k.created_at, k.finished_at, ${holdColumns},
  to_char(k.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as position,
  (select coalesce(json_object_agg(c.state, c.count), '{}') from (
    select s.state, count(*) as count from subtasks d cross join lateral (select state from subtask_states s where s.id = d.id limit 1) s where d.task_pk = k.id and d.superseded = 0 group by s.state) c) as counts
from tasks k ${holdJoins}
where k.tenant_id = $1
  and ($2::text[] is null or k.status = any ($2))
  and ($3::text is null or k.orchestrator_id = $3)
  and ($4::timestamptz is null or k.created_at >= $4)
  and ($5::timestamptz is null or k.created_at < $5)
  and ($6::timestamptz is null or (k.created_at, k.id) < ($6, $7::bigint))
  and ($8::text is null or exists (select from subtasks d join subtask_states s on s.id = d.id where d.task_pk = k.id and s.agent = $8))
  and not exists (select from json_each_text($9::json) m where k.metadata::json ->> m.key is distinct from m.value)
order by k.created_at desc, k.id desc
limit $10`,
}

export async function listTasks(db: Queryable, f: TaskListFilters): Promise<TaskListRow[]> {
  const { rows } = await db.query<TaskListRow>(tasks, [
    f.tenantId,
    f.status === null ? null : [...f.status],
    f.orchestratorId,
    f.createdAfter,
    f.createdBefore,
    f.before?.[0] ?? null,
    f.before?.[1] ?? '0',
    f.agent,
    f.metadata,
    f.limit,
  ])
  return rows
}

export interface AgentRow {
  name: string
  description: string
  domain: string | null
  capabilities: string[]
  skills: string[]
  is_default: boolean
  sla_ms: number | null
  workers: number
  slots: number
  active: number
  lagging: number
}

const agents = prepared(
  'list_agents',
  `
select a.name, a.description, a.domain, a.capabilities, a.skills, a.is_default, a.sla_ms::float8 as sla_ms,
  coalesce(l.workers, 0)::int as workers, coalesce(l.slots, 0)::int as slots, coalesce(l.active, 0)::int as active, coalesce(l.lagging, 0)::int as lagging
from agents a
left join (
  select wa.agent, count(*) as workers, sum(wa.concurrency) as slots, sum(coalesce((w.load::json ->> wa.agent)::int, 0)) as active,
    count(*) filter (where w.state <> 'ready' or w.loop_lag_ms > 1000) as lagging
  from worker_agents wa join workers w on w.id = wa.worker_id
  where w.state in ('ready', 'draining')
  group by wa.agent
) l on l.agent = a.name
where a.tenant_id = $1
order by a.name`,
)

export async function listAgents(db: Queryable, tenantId: number): Promise<AgentRow[]> {
  return (await db.query<AgentRow>(agents, [tenantId])).rows
}

export interface WorkerRow {
  id: string
  host: string
  pid: number
  version: string
  agents: string[]
  concurrency: number
  active: number
  state: 'starting' | 'ready' | 'draining' | 'stopped' | 'lost'
  started_at: Date
  last_heartbeat_at: Date
}

const workers = prepared(
  'list_workers',
  `
select w.id, w.host, w.pid, w.version, w.concurrency, w.active, w.state, w.started_at, w.last_heartbeat_at,
  (select coalesce(json_agg(a.agent order by a.agent), '[]') from worker_agents a where a.worker_id = w.id) as agents
from workers w
where $1::text is null or w.id = $1
order by w.state in ('stopped', 'lost'), w.started_at desc, w.id
limit 1000`,
)

export async function listWorkers(db: Queryable, id: string | null): Promise<WorkerRow[]> {
  return (await db.query<WorkerRow>(workers, [id])).rows
}
