/** Starts a planned task: opens its roots. A task in any other status is only looked at. */
import type { TaskStatus } from '@baton/shared'
import type { Queryable } from './database.js'
import { blockedBefore, from, taskCalled, whyGated } from './fragments.js'
import { prepared } from './statements.js'

export interface ExecuteInput {
  readonly tenantId: number
  readonly taskId: string
  readonly mode: 'auto' | 'manual'
  /** Names of subtasks before which to wait. */
  readonly checkpoints: readonly string[]
  /** Routes that no live worker serves: their roots are blocked at once. */
  readonly unroutable: readonly number[]
}

export interface ExecuteResult {
  id: string
  from_status: TaskStatus
  status: TaskStatus
  ready: number
  blocked: number
}

const startedAs = `case when c.active > 0 then 'running' when c.reviewing > 0 then 'needs_review' when c.blocked > 0 then 'blocked' when t.broken then 'failed' else 'completed' end`
/** What a root waits for from its start on. */
const whyOpened = `case state when 'awaiting_approval' then ${whyGated('gate')} when 'blocked' then '{"why":"no live worker offers it"}' end`

const statement = prepared(
  'execute_task',
  `
with task as materialized (
  select id, tenant_id, status from tasks where ${taskCalled('', '$1', '$2')} for update
),
root as materialized (
  select s.id, s.route_id, d.name,
    case when s.gate is not null then s.gate when $3 = 'manual' or d.name = any ($4::text[]) then 'release' end as gate
  from task k join subtasks d on d.task_pk = k.id and d.superseded = 0 join subtask_states s on s.id = d.id
  where k.status = 'planned' and s.state in (${from('unlock')}) and s.unmet = 0
  order by s.id
),
opened as (
  update subtask_states s set
    gate = r.gate,
    state = case when r.gate is not null then 'awaiting_approval' when r.route_id = any ($5::int[]) then 'blocked' else 'ready' end,
    ready_at = clock_timestamp(),
    scheduled_at = case when r.gate is null then clock_timestamp() end
  from root r
  where s.id = r.id
  returning s.id, s.tenant_id, s.task_pk, s.state, s.gate, s.route_id, r.name
),
gated as (
  update subtask_states s set gate = 'release'
  from task k join subtasks d on d.task_pk = k.id
  where k.status = 'planned' and s.id = d.id and s.gate is null and s.unmet > 0 and ($3 = 'manual' or d.name = any ($4::text[]))
),
counted as (
  select count(*) filter (where state = 'ready')::int as active, count(*) filter (where state = 'awaiting_approval')::int as reviewing, count(*) filter (where state = 'blocked')::int as blocked from opened
),
started as (
  update tasks t set
    execution_mode = $3, checkpoints = $4::text[], active = c.active, reviewing = c.reviewing, blocked = c.blocked, started_at = clock_timestamp(),
    status = ${startedAs},
    -- Every subtask was cancelled before the start: there is nothing to wait for.
    finished_at = case when ${startedAs} in ('failed', 'completed') then clock_timestamp() end
  from task k, counted c
  where t.id = k.id and k.status = 'planned'
  returning t.id, t.tenant_id, t.status
),
review as (
  insert into reviews (tenant_id, task_pk, subtask_pk, kind, detail)
  select tenant_id, task_pk, id, 'approval', 'approval needed before ' || name || ' may start' from opened where state = 'awaiting_approval' and gate = 'approval'
  on conflict (subtask_pk, kind) where status = 'open' and subtask_pk is not null do nothing
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, data)
  select tenant_id, 'task.started', id, null::bigint, json_build_object('from', 'planned', 'to', case when status in ('failed', 'completed') then 'running' else status end, 'reason', 'execution was asked for')::text from started
  union all
  select tenant_id, 'task.' || status, id, null, json_build_object('from', 'running', 'to', status, 'reason', 'every subtask was cancelled before')::text from started where status in ('failed', 'completed')
  union all
  select tenant_id, 'subtask.' || state, task_pk, id, ${whyOpened} from opened
  union all
  select min(o.tenant_id), 'alert.blocked', null, null, json_build_object('capability', r.capability, 'requires', r.requires, 'agent', r.agent, 'subtasks', count(*))::text
  from opened o join routes r on r.id = o.route_id
  where o.state = 'blocked' and not ${blockedBefore('o.route_id')}
  group by r.id, r.agent, r.capability, r.requires
)
select k.id::text as id, k.status as from_status, coalesce(s.status, k.status) as status, c.active as ready, c.blocked
from task k cross join counted c left join started s on s.id = k.id`,
)

/** Whoever cancels a part of a planned task locks it too (control-subtask.ts), so that its roots are known when they are read. */
const lock = prepared('lock_planned_task', `select id from tasks where ${taskCalled('', '$1', '$2')} for update`)

/** Within a transaction of the caller's. Undefined: there is no such task. */
export async function executeTask(tx: Queryable, input: ExecuteInput): Promise<ExecuteResult | undefined> {
  await tx.query(lock, [input.tenantId, input.taskId])
  const { rows } = await tx.query<ExecuteResult>(statement, [
    input.tenantId,
    input.taskId,
    input.mode,
    [...input.checkpoints],
    [...input.unroutable],
  ])
  return rows[0]
}

const names = prepared(
  'task_subtask_names',
  `
select k.id::text as id, k.status, k.execution_mode,
  (select o.max_concurrent_tasks from orchestrators o where o.tenant_id = k.tenant_id and o.id = k.orchestrator_id) as max_concurrent_tasks,
  (select array_agg(c) from unnest($3::text[]) c where not exists (select from subtasks d where d.task_pk = k.id and d.superseded = 0 and d.name = c offset 0)) as unknown,
  (select array_agg(distinct s.route_id) from subtasks d join subtask_states s on s.id = d.id where d.task_pk = k.id and s.unmet = 0 and s.state = 'pending') as root_routes
from tasks k where ${taskCalled('k.', '$1', '$2')}`,
)

export interface ExecutePreview {
  id: string
  status: TaskStatus
  execution_mode: 'auto' | 'manual'
  /** Checkpoints that name no subtask. */
  unknown: string[] | null
  /** The routes of the subtasks that would start. */
  root_routes: number[] | null
  /** Of its orchestrator. */
  max_concurrent_tasks: number | null
}

/** What `executeTask` would meet. */
export async function previewExecution(
  db: Queryable,
  tenantId: number,
  taskId: string,
  checkpoints: readonly string[],
): Promise<ExecutePreview | undefined> {
  return (await db.query<ExecutePreview>(names, [tenantId, taskId, [...checkpoints]])).rows[0]
}
