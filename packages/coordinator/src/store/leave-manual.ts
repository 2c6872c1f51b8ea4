/**
 * Ends manual execution of a task that has started: what waits for its release goes on, and what comes later starts by
 * itself. Checkpoints and approvals stay.
 *
 * Rows are locked before the task, as reports do it. What a rerun or a new plan put in meanwhile, while the task was still
 * in manual execution, is there once the task is locked, and is looked for again.
 */
import type { Database, Queryable } from './database.js'
import { insertEvents, rollUp, taskCalled, taskEvents } from './fragments.js'
import { lockedFirst } from './locked-first.js'
import { prepared } from './statements.js'

const started = `'running', 'paused', 'blocked', 'needs_review'`

const held = `
  tasks k join subtasks d on d.task_pk = k.id and d.superseded = 0 join subtask_states s on s.id = d.id
  where ${taskCalled('k.', '$1', '$2')} and k.status in (${started}) and s.gate = 'release' and d.name <> all (k.checkpoints)
    and s.state in ('pending', 'awaiting_approval')`

const lock = prepared('lock_held_back', `select s.id from ${held} order by s.id for update of s`)

const release = prepared(
  'release_held_back',
  `
with moved as (
  update subtask_states s set gate = null, state = case when s.state = 'awaiting_approval' then 'ready' else s.state end,
    ready_at = case when s.state = 'awaiting_approval' then clock_timestamp() else s.ready_at end,
    scheduled_at = case when s.state = 'awaiting_approval' then clock_timestamp() else s.scheduled_at end
  where s.id = any ($1::bigint[]) and s.gate = 'release' and s.state in ('pending', 'awaiting_approval')
  returning s.id, s.tenant_id, s.task_pk, s.state
),
${rollUp(`select task_pk, 1 as active, -1 as reviewing, 0 as blocked from moved where state = 'ready'`)},
${insertEvents(
  `
  select tenant_id, 'subtask.approved' as name, task_pk, id as subtask_pk, null::int as attempt, null::text as agent, null::text as worker_id, json_build_object('gate', 'release', 'by', $2::text)::text as data from moved`,
  taskEvents,
)}
select id from moved`,
)

const leave = prepared(
  'leave_manual',
  `
with moved as (
  update tasks set execution_mode = 'auto'
  where ${taskCalled('', '$1', '$2')} and execution_mode = 'manual' and status in (${started})
  returning id, tenant_id
),
event as (
  insert into events (tenant_id, name, task_pk, data) select tenant_id, 'task.automatic', id, json_build_object('by', $3::text)::text from moved
)
select id::text as id from moved`,
)

/** The task's number where it was in manual execution until now, else undefined. */
export async function leaveManual(
  database: Database,
  { tenantId, taskId, actor }: { readonly tenantId: number; readonly taskId: string; readonly actor: string },
): Promise<string | undefined> {
  const releaseThose = async (tx: Queryable, ids: readonly string[]) => {
    if (ids.length > 0) await tx.query(release, [ids, actor])
  }
  return lockedFirst(database, lock, [tenantId, taskId], async (tx, ids) => {
    await releaseThose(tx, ids)
    const [left] = (await tx.query<{ id: string }>(leave, [tenantId, taskId, actor])).rows
    if (!left) return undefined
    const { rows } = await tx.query<{ id: string }>(lock, [tenantId, taskId])
    await releaseThose(
      tx,
      rows.map(({ id }) => id),
    )
    return left.id
  })
}
