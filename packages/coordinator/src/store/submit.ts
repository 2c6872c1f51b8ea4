/**
 * Stores tasks with their graphs, each graph whole or not at all. Invariants: I8 (one task per tenant and `task_id`:
 * of two equal submissions one inserts, the other finds), I4 (the caller answers only after this committed).
 */
import type { SubtaskState, TaskStatus } from '@baton/shared'
import { Columns } from './columns.js'
import type { Database, Queryable } from './database.js'
import { type AttemptTimes, attemptTerms, blockedBefore, foundOutSoon, mayTake, taskCalled, whyGated } from './fragments.js'
import { pausedTenants } from './pauses.js'
import type { Started } from './start-known.js'
import { prepared } from './statements.js'

export interface NewTask {
  readonly id: string
  readonly tenant_id: number
  readonly task_id: string
  readonly orchestrator_id: string
  readonly title: string
  readonly description: string | null
  readonly status: TaskStatus
  readonly priority: number
  readonly metadata: string
  readonly context: string
  readonly digest: string
  readonly field_digests: string
  readonly callback_url: string | null
  readonly plan: string
  readonly sla_ms: number | null
  readonly due_at: string | null
  readonly total: number
  readonly active: number
  readonly reviewing: number
  readonly blocked: number
  /** It stays planned until its orchestrator may run one more. */
  readonly waits: boolean
}

export interface NewSubtask {
  readonly id: string
  readonly uuid: string
  readonly tenant_id: number
  readonly task_pk: string
  readonly ordinal: number
  readonly subtask_id: string
  readonly name: string
  readonly title: string | null
  readonly capability: string
  readonly agent: string | null
  readonly requires: readonly string[]
  readonly input: string | null
  readonly sla_ms: number | null
  readonly queue_wait_ms: number | null
  readonly deadline_ms: number | null
  readonly lease_ms: number | null
  readonly backoff_initial_ms: number | null
  readonly backoff_max_ms: number | null
  /** What applies: the subtask's own, or else what its agent, its orchestrator or the defaults say. */
  readonly wait_ms: number
  readonly whole_ms: number
  readonly on_failure: string
  readonly requires_approval: boolean
  readonly isolation: string | null
  readonly spawned_by: string | null
  readonly route_id: number
  readonly priority: number
  readonly owner: number
  readonly state: SubtaskState
  readonly unmet: number
  readonly gate: 'approval' | 'release' | null
  readonly attempt: number
  readonly queue: string | null
  readonly attempt_limit: number
  readonly task_sla_ms: number | null
  /** The claim under which it starts at once, the worker and the agent that it starts on; null where it is left in its queue. */
  readonly start_claim: string | null
  readonly start_worker: string | null
  readonly start_agent: string | null
}

/** `[from, to, task]`: ids of two subtasks and of their task. */
export type Edge = readonly [from: string, to: string, task: string]

/** How many subtasks one statement inserts; larger graphs take several, in one transaction. */
const subtasksPerStatement = 5_000

const taskColumns = new Columns<NewTask>({
  ...{ id: 'bigint', tenant_id: 'int', task_id: 'text', orchestrator_id: 'text', title: 'text', description: 'text', status: 'text' },
  ...{ priority: 'smallint', metadata: 'text', context: 'text', digest: 'text', field_digests: 'text', callback_url: 'text', plan: 'text' },
  ...{ sla_ms: 'bigint', due_at: 'timestamptz', total: 'int', active: 'int', reviewing: 'int', blocked: 'int', waits: 'boolean' },
})

/** What a statement takes of new subtasks. */
export const subtaskColumns = new Columns<NewSubtask>({
  ...{ id: 'bigint', uuid: 'uuid', tenant_id: 'int', task_pk: 'bigint', ordinal: 'int', subtask_id: 'text', name: 'text', title: 'text' },
  ...{ capability: 'text', agent: 'text', requires: 'text[]', input: 'text', sla_ms: 'bigint', queue_wait_ms: 'bigint' },
  ...{ deadline_ms: 'bigint', lease_ms: 'bigint', backoff_initial_ms: 'bigint', backoff_max_ms: 'bigint', wait_ms: 'bigint' },
  ...{ whole_ms: 'bigint', on_failure: 'text', requires_approval: 'boolean', isolation: 'text', spawned_by: 'bigint', route_id: 'int' },
  ...{ priority: 'smallint', owner: 'int', state: 'text', unmet: 'int', gate: 'text', attempt: 'int', queue: 'text' },
  ...{ attempt_limit: 'smallint' },
})

/** The same of those that may start at once. */
const startingColumns = subtaskColumns.and({ task_sla_ms: 'bigint', start_claim: 'uuid', start_worker: 'text', start_agent: 'text' })

const startTimes = { leaseMs: '$1', defaultSlaMs: '$2' }
const startTerms = attemptTerms('s.', 's.task_sla_ms', startTimes.defaultSlaMs)
const taskFrom = 3

interface EdgeRow {
  readonly from_id: string
  readonly to_id: string
  readonly task_pk: string
}

/** What it takes of their edges; `edgeRows` are the rows. */
export const edgeColumns = new Columns<EdgeRow>({ from_id: 'bigint', to_id: 'bigint', task_pk: 'bigint' })
export const edgeRows = (edges: readonly Edge[]): EdgeRow[] => edges.map(([from_id, to_id, task_pk]) => ({ from_id, to_id, task_pk }))

const taskRows = `
task as (
  insert into tasks (id, tenant_id, task_id, orchestrator_id, title, description, status, priority, metadata, context, digest, field_digests, callback_url, plan, sla_ms, due_at, total, active, reviewing, blocked, started_at, start_wanted_at)
  select id, tenant_id, task_id, orchestrator_id, title, description, status, priority, metadata, context, digest, field_digests, callback_url, plan, sla_ms, due_at, total, active, reviewing, blocked,
    case when status <> 'planned' then clock_timestamp() end, case when waits then clock_timestamp() end
  from (${taskColumns.rows(taskFrom)}) t
  where not exists (select from tombstones g where g.tenant_id = t.tenant_id and g.task_id = t.task_id)
  order by t.tenant_id, t.task_id
  on conflict (tenant_id, task_id) do nothing
  returning id, tenant_id, task_id, status, total, start_wanted_at
)`

/** Rows for subtasks, their states and edges; `subtask` and `edge` are CTEs with the rows to insert. */
export const graphRows = (standing: string): string => `
definition as (
  insert into subtasks (id, uuid, tenant_id, task_pk, ordinal, subtask_id, name, title, capability, agent, requires, input, attempt_limit, sla_ms, queue_wait_ms, deadline_ms, lease_ms, backoff_initial_ms, backoff_max_ms, on_failure, requires_approval, isolation, spawned_by)
  select id, uuid, tenant_id, task_pk, ordinal, subtask_id, name, title, capability, agent, coalesce(requires, '{}'), input, attempt_limit, sla_ms, queue_wait_ms, deadline_ms, lease_ms, backoff_initial_ms, backoff_max_ms, on_failure, requires_approval, isolation, spawned_by from subtask
),
standing as (${standing}),
dependency as (
  insert into dependencies (from_id, to_id) select from_id, to_id from edge on conflict do nothing
)`

/** Where they stand at first. */
export const standingRows = `
  insert into subtask_states (id, tenant_id, task_pk, route_id, priority, owner, state, unmet, gate, attempt, dispatch, attempt_limit, queue, queue_wait_ms, deadline_ms, ready_at, scheduled_at, queued_at)
  select id, tenant_id, task_pk, route_id, priority, owner, state, unmet, gate, attempt, attempt, attempt_limit, queue, wait_ms, whole_ms,
    case when state <> 'pending' then clock_timestamp() end, case when state not in ('pending', 'awaiting_approval') then clock_timestamp() end, case when state = 'queued' then clock_timestamp() end
  from subtask`

/**
 * The same, and what may start at once runs: where its worker may take it and nothing is paused, as a claim is judged (I15). Of
 * the task only its SLA is asked, which is not stored yet. The order of these probes is fixed, as in start-known.ts.
 */
const startingRows = `
  insert into subtask_states (id, tenant_id, task_pk, route_id, priority, owner, state, unmet, gate, attempt, dispatch, attempt_limit, queue, queue_wait_ms, ready_at, scheduled_at, queued_at,
    deadline_ms, claim_id, worker_id, agent, started_at, lease_ms, lease_until, sla_until)
  select s.id, s.tenant_id, s.task_pk, s.route_id, s.priority, s.owner, case when h.at is null then s.state else 'running' end, s.unmet, s.gate, s.attempt, s.attempt, s.attempt_limit, s.queue, s.wait_ms,
    coalesce(h.at, case when s.state <> 'pending' then clock_timestamp() end), coalesce(h.at, case when s.state not in ('pending', 'awaiting_approval') then clock_timestamp() end),
    coalesce(h.at, case when s.state = 'queued' then clock_timestamp() end),
    coalesce(h.agent_deadline_ms, s.whole_ms), case when h.at is not null then s.start_claim end, case when h.at is not null then s.start_worker end, case when h.at is not null then s.start_agent end,
    h.at, h.lease_ms, h.at + coalesce(h.lease_ms, ${startTimes.leaseMs}::int) * interval '1 millisecond', h.at + h.sla_ms * interval '1 millisecond'
  from subtask s
  left join lateral (
    select clock_timestamp() as at, ${startTerms.leaseMs} as lease_ms, ${startTerms.agentDeadlineMs} as agent_deadline_ms, ${startTerms.slaMs} as sla_ms
    from (select x.status, x.lease_ms, x.timeout_ms from orchestrators x where x.number = s.owner limit 1) o
    cross join lateral (select x.agent, x.capability, x.requires from routes x where x.id = s.route_id limit 1) n
    cross join lateral (select x.capabilities, x.lease_ms, x.deadline_ms, x.sla_ms from worker_agents x where x.worker_id = s.start_worker and x.agent = s.start_agent limit 1) w
    where s.start_claim is not null and ${foundOutSoon(startTerms.leaseMs, startTimes.leaseMs)} and o.status = 'running' and s.tenant_id <> all ${pausedTenants} and ${mayTake('n', 'w', 's.start_agent')}
  ) h on true
  returning id, tenant_id, task_pk, state, attempt, agent, worker_id, lease_ms, deadline_ms, started_at, sla_until`

const stateEvents = `
  select tenant_id, 'subtask.' || state as name, task_pk, id as subtask_pk, case when state = 'queued' then attempt end as attempt,
    case state when 'awaiting_approval' then ${whyGated('gate')} when 'blocked' then '{"why":"no live worker offers it"}' end as data
  from subtask where state <> 'pending'`

/**
 * Whether a row belongs to a task that this statement inserts. Written so that it stays a subplan, which is hashed, and
 * does not become a join of two CTEs, which could only be nested.
 */
const insertedTask = (column: string): string => `(${column} in (select id from task)) is true`

const rootReviews = `
review as (
  insert into reviews (tenant_id, task_pk, subtask_pk, kind, detail)
  select tenant_id, task_pk, id, 'approval', 'approval needed before ' || name || ' may start' from subtask where state = 'awaiting_approval' and gate = 'approval'
)`

const insertAll = prepared(
  'insert_tasks',
  `
with ${taskRows},
subtask as materialized (
  select * from (${startingColumns.rows(taskFrom + taskColumns.count)}) s where ${insertedTask('s.task_pk')}
),
edge as (
  select * from (${edgeColumns.rows(taskFrom + taskColumns.count + startingColumns.count)}) e where ${insertedTask('e.task_pk')}
),
${graphRows(startingRows)},
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, attempt, data, agent, worker_id)
  select tenant_id, 'task.planned', id, null::bigint, null::int, json_build_object('from', null, 'to', 'planned', 'reason', 'taken in', 'subtasks', total)::text, null::text, null::text from task
  union all
  select tenant_id, 'task.started', id, null, null, json_build_object('from', 'planned', 'to', status, 'reason', 'submitted with execute')::text, null, null from task where status <> 'planned'
  union all
  select tenant_id, 'task.waiting', id, null, null, null, null, null from task where start_wanted_at is not null
  union all
  select e.*, null, null from (${stateEvents}) e
  union all
  select tenant_id, 'subtask.started', task_pk, id, attempt, null, agent, worker_id from standing where state = 'running'
  union all
  select min(n.tenant_id), 'alert.blocked', null, null, null, json_build_object('capability', r.capability, 'requires', r.requires, 'agent', r.agent, 'subtasks', count(*))::text, null, null
  from subtask n join routes r on r.id = n.route_id
  where n.state = 'blocked' and not ${blockedBefore('n.route_id')}
  group by r.id, r.agent, r.capability, r.requires
),
${rootReviews}
select
  (select coalesce(json_agg(id::text), '[]') from task) as tasks,
  (select coalesce(json_agg(json_build_array(id::text, round(extract(epoch from sla_until - started_at) * 1000), coalesce(lease_ms, ${startTimes.leaseMs}::int), deadline_ms)), '[]')
    from standing where state = 'running') as started`,
)

const insertMore = prepared(
  'insert_subtasks',
  `
with subtask as materialized (${subtaskColumns.rows(1)}),
edge as (${edgeColumns.rows(1 + subtaskColumns.count)}),
${graphRows(standingRows)},
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, attempt, data) ${stateEvents}
),
${rootReviews}
select 1 as done`,
)

export interface NewGraph {
  readonly tasks: readonly NewTask[]
  readonly subtasks: readonly NewSubtask[]
  readonly edges: readonly Edge[]
}

/** What of the grant of a subtask that started at once is not part of its brief. */
export type StartedAtOnce = Readonly<Pick<Started, 'sla_ms' | 'lease_ms' | 'deadline_in_ms'>>

export interface InsertedTasks {
  /** Of the tasks that were not there yet. */
  readonly ids: ReadonlySet<string>
  /** By the subtask's id. */
  readonly started: ReadonlyMap<string, StartedAtOnce>
}

/** Inserts what is not there yet. */
export async function insertTasks(database: Database, graph: NewGraph, times: AttemptTimes): Promise<InsertedTasks> {
  if (graph.subtasks.length <= subtasksPerStatement) return insertWhole(database, graph, times)
  return database.transaction(tx => insertTasksIn(tx, graph, times))
}

/** The same within a transaction of the caller's. */
export async function insertTasksIn(tx: Queryable, graph: NewGraph, times: AttemptTimes): Promise<InsertedTasks> {
  if (graph.subtasks.length <= subtasksPerStatement) return insertWhole(tx, graph, times)
  // A large graph is submitted alone: its first statement brings the task, the others the rest of its subtasks.
  const [task] = graph.tasks
  if (graph.tasks.length !== 1 || !task) throw new RangeError('a graph of more than one statement has to be of one task')
  const inserted = await insertWhole(tx, { tasks: graph.tasks, subtasks: graph.subtasks.slice(0, subtasksPerStatement), edges: [] }, times)
  if (!inserted.ids.has(task.id)) return inserted
  await insertSubtasksIn(tx, graph.subtasks.slice(subtasksPerStatement), graph.edges)
  return inserted
}

/** Adds subtasks and edges to a task that is there; within a transaction that holds it. */
export async function insertSubtasksIn(tx: Queryable, subtasks: readonly NewSubtask[], edges: readonly Edge[]): Promise<void> {
  // The next statement is put together while the last one runs.
  let last: Promise<unknown> = Promise.resolve()
  for (const params of paramsOfMore(subtasks, edges)) {
    await last
    last = tx.query(insertMore, params)
    last.catch(() => undefined) // told by the next one, or at the end
  }
  await last
}

function* paramsOfMore(subtasks: readonly NewSubtask[], edges: readonly Edge[]): Generator<string[]> {
  for (let i = 0; i < subtasks.length; i += subtasksPerStatement)
    yield [...subtaskColumns.params(subtasks.slice(i, i + subtasksPerStatement)), ...edgeColumns.params([])]
  for (let i = 0; i < edges.length; i += subtasksPerStatement * 4)
    yield [...subtaskColumns.params([]), ...edgeColumns.params(edgeRows(edges.slice(i, i + subtasksPerStatement * 4)))]
}

interface InsertedRow {
  tasks: string[]
  started: [id: string, slaMs: number, leaseMs: number, deadlineMs: number | null][]
}

async function insertWhole(db: Queryable, { tasks, subtasks, edges }: NewGraph, times: AttemptTimes): Promise<InsertedTasks> {
  const { rows } = await db.query<InsertedRow>(insertAll, [
    times.leaseMs,
    times.defaultSlaMs,
    ...taskColumns.params(tasks),
    ...startingColumns.params(subtasks),
    ...edgeColumns.params(edgeRows(edges)),
  ])
  const row = rows[0] as InsertedRow // a select without `from` has one row
  const started = new Map<string, StartedAtOnce>()
  // Where it comes before the SLA: it is scheduled since this moment.
  for (const [id, sla_ms, lease_ms, deadlineMs] of row.started)
    started.set(id, { sla_ms, lease_ms, deadline_in_ms: deadlineMs !== null && deadlineMs < sla_ms ? deadlineMs : null })
  return { ids: new Set(row.tasks), started }
}

export interface StoredDigest {
  id: string
  tenant_id: number
  task_id: string
  digest: string
  field_digests: string
  /** Null: only a tombstone is left. */
  status: TaskStatus | null
  tombstone_status: TaskStatus | null
}

const digests = prepared(
  'task_digests',
  `
select w.tenant_id, w.task_id, k.id::text as id, coalesce(k.digest, g.digest) as digest, coalesce(k.field_digests, '{}') as field_digests, k.status, g.status as tombstone_status
from json_to_recordset($1::json) as w(tenant_id int, task_id text)
left join tasks k on ${taskCalled('k.', 'w.tenant_id', 'w.task_id')}
left join tombstones g on g.tenant_id = w.tenant_id and g.task_id = w.task_id
where k.id is not null or g.task_id is not null`,
)

/** What is stored under these task ids. */
export async function readDigests(db: Queryable, wanted: readonly { tenant_id: number; task_id: string }[]): Promise<StoredDigest[]> {
  return (await db.query<StoredDigest>(digests, [JSON.stringify(wanted)])).rows
}
