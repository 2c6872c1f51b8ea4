/**
 * What people tell a task or a subtask to do. Each verb is idempotent, one event, and answers with what it found when its
 * guard refused.
 */
import { type SubtaskState, type TaskStatus, taskTransitions } from '@baton/shared'
import type { Queryable, Statement } from './database.js'
import { insertEvents, namedSubtask, rollUp, sqlList, taskCalled, taskEvents } from './fragments.js'
import { closePauses, openPauses } from './pauses.js'
import { prepared } from './statements.js'

export interface TaskControlResult {
  id: string
  before: TaskStatus
  status: TaskStatus
}

/** A verb for a task: locks it, makes `changes` where the guard lets it, and answers with both statuses. */
const taskVerb = (verb: 'cancel' | 'pause' | 'resume', changes: string, event: string): Statement =>
  prepared(
    `${verb}_task`,
    `
with task as materialized (
  select id, tenant_id, status from tasks where ${taskCalled('', '$1', '$2')} for update
),
moved as (
  update tasks t set ${changes}
  from task k where t.id = k.id and k.status in (${sqlList(taskTransitions[verb].from)})
  returning t.id, t.tenant_id, t.status
),
${
  verb === 'pause'
    ? openPauses('paused', 'task', 'select tenant_id, id::text as ref from moved')
    : closePauses(
        'unpaused',
        'task',
        "select m.tenant_id, m.id::text as ref from moved m join task k on k.id = m.id where k.status = 'paused'",
      )
},
event as (
  insert into events (tenant_id, name, task_pk, data)
  select m.tenant_id, ${event}, m.id, json_build_object('from', k.status, 'to', m.status, 'reason', $3::text, 'by', $4::text)::text from moved m join task k on k.id = m.id where m.status <> k.status
)
select k.id::text as id, k.status as before, coalesce(m.status, k.status) as status from task k left join moved m on m.id = k.id`,
  )

const cancel = taskVerb(
  'cancel',
  `status = 'cancelled', unswept = true, cancel_requested_at = clock_timestamp(), finished_at = clock_timestamp()`,
  `'task.cancelled'`,
)
const pause = taskVerb('pause', `status = 'paused'`, `'task.paused'`)
const resume = taskVerb(
  'resume',
  `
    status = case when t.active > 0 then 'running' when t.reviewing > 0 then 'needs_review' when t.blocked > 0 then 'blocked' when t.broken then 'failed' else 'completed' end,
    finished_at = case when t.active + t.reviewing + t.blocked = 0 then clock_timestamp() end`,
  `case when m.status in ('completed', 'failed') then 'task.' || m.status else 'task.resumed' end`,
)

const verbs = { cancel, pause, resume }

/** Undefined: there is no such task. */
export async function controlTask(
  db: Queryable,
  verb: keyof typeof verbs,
  task: { tenantId: number; taskId: string },
  why: { reason: string; actor: string },
): Promise<TaskControlResult | undefined> {
  return (await db.query<TaskControlResult>(verbs[verb], [task.tenantId, task.taskId, why.reason, why.actor])).rows[0]
}

export interface SubtaskControlResult {
  id: string
  subtask_id: string
  task_pk: string
  before: SubtaskState
  state: SubtaskState
  task_status: TaskStatus
  gate: string | null
}

const release = prepared(
  'release_subtask',
  `
with named as (
  select d.id, d.subtask_id, k.status as task_status, k.id as task_pk from tasks k cross join lateral (${namedSubtask('k.id', '$3')}) d
  where ${taskCalled('k.', '$1', '$2')}
),
target as materialized (
  select s.id, s.state, s.gate, n.subtask_id, n.task_status, n.task_pk from named n join subtask_states s on s.id = n.id for update of s
),
moved as (
  -- A gate that is not reached yet is opened in advance.
  update subtask_states s set gate = null, state = case when s.state = 'awaiting_approval' then 'ready' else s.state end,
    ready_at = case when s.state = 'awaiting_approval' then clock_timestamp() else s.ready_at end,
    scheduled_at = case when s.state = 'awaiting_approval' then clock_timestamp() else s.scheduled_at end
  from target t where s.id = t.id and t.gate = 'release' and s.state in ('pending', 'awaiting_approval') and t.task_status not in ('completed', 'failed', 'cancelled')
  returning s.id, s.tenant_id, s.task_pk, s.state, t.state as before
),
${rollUp(`select task_pk, 1 as active, -1 as reviewing, 0 as blocked from moved where before = 'awaiting_approval'`)},
${insertEvents(
  `
  select tenant_id, 'subtask.approved' as name, task_pk, id as subtask_pk, null::int as attempt, null::text as agent, null::text as worker_id, json_build_object('gate', 'release', 'by', $4::text)::text as data from moved`,
  taskEvents,
)}
select t.id::text as id, t.subtask_id, t.task_pk::text as task_pk, t.state as before, coalesce(m.state, t.state) as state, t.task_status, t.gate
from target t left join moved m on m.id = t.id`,
)

/** Opens the gate of manual execution or of a checkpoint. Undefined: there is no such subtask. */
export async function releaseSubtask(
  db: Queryable,
  subtask: { tenantId: number; taskId: string; subtaskId: string },
  actor: string,
): Promise<SubtaskControlResult | undefined> {
  const ask = async () =>
    (await db.query<SubtaskControlResult>(release, [subtask.tenantId, subtask.taskId, subtask.subtaskId, actor])).rows[0]
  const result = await ask()
  // It may have waited for a rerun that put another generation in this one's place; asked anew, it sees that.
  return result?.before === 'cancelled' ? ask() : result
}

const drain = prepared(
  'drain_worker',
  `
with target as materialized (select id, state from workers where id = $1 for update),
moved as (
  update workers w set drain_requested = true, state = 'draining' from target t where w.id = t.id and t.state in ('starting', 'ready') returning w.id, w.state
),
event as (
  insert into events (tenant_id, name, worker_id, data) select 1, 'worker.draining', id, json_build_object('by', $2::text)::text from moved
)
select t.id, coalesce(m.state, t.state) as state from target t left join moved m on m.id = t.id`,
)

/** Asks a worker to take no more work. Undefined: there is no such worker. */
export async function drainWorker(db: Queryable, workerId: string, actor: string): Promise<{ id: string; state: string } | undefined> {
  return (await db.query<{ id: string; state: string }>(drain, [workerId, actor])).rows[0]
}
