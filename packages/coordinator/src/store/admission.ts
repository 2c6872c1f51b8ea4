/**
 * Tasks that are to start, and wait until their orchestrator may run one more (`maxConcurrentTasks`). Such a task stays
 * planned: nothing of it is ready, so that it costs neither the dispatcher a look nor a deadline a second.
 *
 * Invariants: A1 tasks are started under the lock of their orchestrator's row, and counted after it was taken; so two
 * coordinators cannot both give away the last place. A2 tasks in status `running` and `blocked` take a place (a provider's
 * return must not let a thousand run at once); what waits for a person or is paused keeps nobody from running, and goes
 * on at once when it can.
 */
import type { Database, Queryable } from './database.js'
import { type ExecuteResult, executeTask, previewExecution } from './execute.js'
import { taskCalled } from './fragments.js'
import { prepared } from './statements.js'

const waiting = `start_wanted_at is not null and status = 'planned'`

const want = prepared(
  'want_start',
  `
with wanted as (
  update tasks set start_wanted_at = coalesce(start_wanted_at, clock_timestamp()), execution_mode = $3, checkpoints = $4::text[]
  where ${taskCalled('', '$1', '$2')} and (status = 'planned') is true -- a plain condition would invite the index of all unfinished tasks
  returning id, tenant_id
),
event as (
  insert into events (tenant_id, name, task_pk) select tenant_id, 'task.waiting', id from wanted
)
select id from wanted`,
)

export interface WantedStart {
  readonly tenantId: number
  readonly taskId: string
  readonly mode: 'auto' | 'manual'
  readonly checkpoints: readonly string[]
}

/** Notes that a planned task is to start; another is left alone. */
export async function wantStart(db: Queryable, { tenantId, taskId, mode, checkpoints }: WantedStart): Promise<void> {
  await db.query(want, [tenantId, taskId, mode, [...checkpoints]])
}

const anyWaiting = prepared('any_waiting', `select exists (select from tasks where ${waiting} and tenant_id > 0) as waiting`)

export async function tasksWait(db: Queryable): Promise<boolean> {
  return (await db.query<{ waiting: boolean }>(anyWaiting)).rows[0]?.waiting ?? false
}

const lock = prepared(
  'lock_waiting_orchestrators',
  `
with recursive owner(tenant_id, id) as (
  (select k.tenant_id, k.orchestrator_id from tasks k where ${waiting} and k.tenant_id > 0 order by k.tenant_id, k.orchestrator_id limit 1)
  union all
  select n.tenant_id, n.orchestrator_id from owner o cross join lateral (
    select k.tenant_id, k.orchestrator_id from tasks k
    where ${waiting} and (k.tenant_id, k.orchestrator_id) > (o.tenant_id, o.id) order by k.tenant_id, k.orchestrator_id limit 1) n
)
select o.tenant_id, o.id, o.max_concurrent_tasks
from owner w
-- A probe for each, in the order in which they are found: also few orchestrators are not read whole.
cross join lateral (
  select x.tenant_id, x.id, x.max_concurrent_tasks from orchestrators x where x.tenant_id = w.tenant_id and x.id = w.id offset 0 for update
) o`,
)

const next = prepared(
  'next_to_start',
  `
select n.tenant_id, n.task_id, n.execution_mode, n.checkpoints
from json_to_recordset($1::json) as l(tenant_id int, id text, max_concurrent_tasks int)
cross join lateral (
  select k.tenant_id, k.task_id, k.execution_mode, k.checkpoints, k.priority, k.id from tasks k
  where k.tenant_id = l.tenant_id and k.orchestrator_id = l.id and ${waiting}
  order by k.priority, k.id
  limit (
    select case when l.max_concurrent_tasks is null then $2::bigint else least($2::bigint, greatest(0, l.max_concurrent_tasks - count(*))) end
    from tasks r where r.tenant_id = l.tenant_id and r.orchestrator_id = l.id and r.status in ('running', 'blocked')
  )
) n
order by n.priority, n.id
limit $2::bigint`,
)

interface NextRow {
  tenant_id: number
  task_id: string
  execution_mode: 'auto' | 'manual'
  checkpoints: string[]
}

/** Starts up to `limit` of the tasks that wait and now may. `resolves`: whether a live worker serves a route. */
export async function startWaiting(
  database: Database,
  { limit, resolves }: { limit: number; resolves: (routeId: number) => boolean },
): Promise<ExecuteResult[]> {
  return database.transaction(async tx => {
    const { rows: owners } = await tx.query(lock)
    if (owners.length === 0) return []
    const { rows } = await tx.query<NextRow>(next, [JSON.stringify(owners), limit]) // A1: a look of its own, after the lock
    const started: ExecuteResult[] = []
    for (const { tenant_id: tenantId, task_id: taskId, execution_mode: mode, checkpoints } of rows) {
      const preview = await previewExecution(tx, tenantId, taskId, [])
      const unroutable = (preview?.root_routes ?? []).filter(route => !resolves(route))
      const result = await executeTask(tx, { tenantId, taskId, mode, checkpoints, unroutable })
      if (result?.from_status === 'planned') started.push(result)
    }
    return started
  })
}
