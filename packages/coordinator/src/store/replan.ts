/**
 * Puts a new plan in the place of what of a task is not finished, in one transaction: what goes is superseded as in a rerun,
 * what comes is inserted as in a submission, what stays is linked to it.
 *
 * Invariants: I2 and I13, as every row that is superseded, and every row that waits for one, is locked before it is looked
 * at for the last time; I8, the task stays one.
 */
import { type SubtaskState, type TaskStatus, terminalSubtaskStates } from '@baton/shared'
import type { Queryable } from './database.js'
import { sqlList, taskCalled } from './fragments.js'
import { countedAnew, lockPart, relink, superseding } from './rerun.js'
import { prepared } from './statements.js'
import { type Edge, insertSubtasksIn, type NewSubtask } from './submit.js'

const lock = prepared(
  'replan_lock',
  `
select k.id::text as id, k.status, k.unswept, k.priority, k.execution_mode, k.checkpoints,
  (select o.number from orchestrators o where o.tenant_id = k.tenant_id and o.id = k.orchestrator_id) as owner
from tasks k where ${taskCalled('k.', '$1', '$2')} for update of k`,
)

export interface ReplannedTask {
  id: string
  status: TaskStatus
  unswept: boolean
  priority: number
  /** The number of its orchestrator. */
  owner: number
  execution_mode: 'auto' | 'manual'
  checkpoints: string[]
}

/** Holds the task until the transaction ends. */
export async function lockForReplan(tx: Queryable, tenantId: number, taskId: string): Promise<ReplannedTask | undefined> {
  return (await tx.query<ReplannedTask>(lock, [tenantId, taskId])).rows[0]
}

const standing = prepared(
  'replan_standing',
  `
select d.id::text as id, d.name, d.title, s.state, d.spawned_by::text as spawned_by, d.capability, d.agent, d.requires, d.input, d.requires_approval, d.on_failure, d.isolation,
  d.attempt_limit, d.sla_ms::float8 as sla_ms, d.queue_wait_ms::float8 as queue_wait_ms, d.deadline_ms::float8 as deadline_ms, d.lease_ms::float8 as lease_ms,
  d.backoff_initial_ms::float8 as backoff_initial_ms, d.backoff_max_ms::float8 as backoff_max_ms,
  (select coalesce(json_agg(f.name), '[]') from (select from_id from dependencies where to_id = d.id offset 0) e
    cross join lateral (select f.name from subtasks f where f.id = e.from_id and f.superseded = 0 limit 1) f) as depends_on
from subtasks d cross join lateral (select s.state from subtask_states s where s.id = d.id limit 1) s
where d.task_pk = $1 and d.superseded = 0
order by d.ordinal limit $2`,
)

/** A subtask as it stands, with the names of those that it waits for. */
export interface StandingRow {
  id: string
  name: string
  title: string | null
  state: SubtaskState
  spawned_by: string | null
  depends_on: string[]
  capability: string
  agent: string | null
  requires: string[]
  input: string | null
  requires_approval: boolean
  sla_ms: number | null
  queue_wait_ms: number | null
  deadline_ms: number | null
  lease_ms: number | null
  backoff_initial_ms: number | null
  backoff_max_ms: number | null
  on_failure: string
  isolation: string | null
  attempt_limit: number | null
}

export async function readStanding(db: Queryable, taskPk: string, limit: number): Promise<StandingRow[]> {
  return (await db.query<StandingRow>(standing, [taskPk, limit])).rows
}

const inForce = prepared(
  'replan_in_force',
  'select d.id::text as id from subtasks d where d.task_pk = $1 and d.superseded = 0 order by d.ordinal limit $2',
)

/** Locks up to `limit` subtasks of a task, before the task itself is locked (R5 of rerun.ts). */
export async function lockAhead(tx: Queryable, taskPk: string, limit: number): Promise<void> {
  const { rows } = await tx.query<{ id: string }>(inForce, [taskPk, limit])
  await lockPart(
    tx,
    rows.map(({ id }) => id),
  )
}

const supersede = superseding('replan_supersede', { why: 'the task was planned anew', moot: 'the task was planned anew' })

/** These have dependents now that whoever waits for them does not know of. */
const linked = prepared(
  'replan_linked',
  `
update subtask_states s set linked_xid = pg_current_xact_id()
where s.id = any ($1::bigint[]) and s.state not in (${sqlList(terminalSubtaskStates)})`,
)

/** The counters are read anew under the lock of the task; nothing left to do completes it. */
const finish = prepared(
  'replan_finish',
  `
with ${countedAnew("coalesce(bool_and(state in ('completed', 'skipped', 'failed')), false) as done")},
task_row as (select id, status as from_status from tasks where id = $1),
moved as (
  update tasks k set active = c.active, reviewing = c.reviewing, blocked = c.blocked, total = c.total, broken = false, plan = coalesce($2, k.plan),
    finished_at = case when c.done and k.status not in ('planned', 'paused') then clock_timestamp() end,
    status = case when k.status in ('planned', 'paused') then k.status when c.active > 0 then 'running' when c.reviewing > 0 then 'needs_review'
      when c.done then 'completed' else 'blocked' end
  from counted c where k.id = $1
  returning k.id, k.tenant_id, k.status
),
event as (
  insert into events (tenant_id, name, task_pk, data)
  select m.tenant_id, 'task.replanned', m.id, (($3::json)::jsonb || jsonb_build_object('from', t.from_status, 'to', t.from_status))::text from moved m, task_row t
  union all
  select m.tenant_id, case when m.status = 'running' then case t.from_status when 'blocked' then 'task.unblocked' else 'task.resumed' end else 'task.' || m.status end, m.id,
    json_build_object('from', t.from_status, 'to', m.status, 'reason', 'the rest was planned anew')::text
  from moved m, task_row t where m.status <> t.from_status
)
select status from moved`,
)

export interface Replanning {
  readonly taskPk: string
  readonly superseded: readonly string[]
  readonly subtasks: readonly NewSubtask[]
  readonly edges: readonly Edge[]
  /** JSON text of the plan as it is shown. */
  readonly plan: string
  /** JSON text of what the event tells: who, why, what. */
  readonly told: string
}

export interface Replanned {
  readonly status: TaskStatus
  /** Attempts whose workers are to be told. */
  readonly running: readonly { worker_id: string; claim_id: string }[]
}

/** Within a transaction that holds the task and what it supersedes. */
export async function applyReplan(tx: Queryable, { taskPk, superseded, subtasks, edges, plan, told }: Replanning): Promise<Replanned> {
  const { rows } = await tx.query<{ running: { worker_id: string; claim_id: string }[] }>(supersede, [[...superseded]])
  await insertSubtasksIn(tx, subtasks, edges)
  const fresh = new Set(subtasks.map(({ id }) => id))
  await tx.query(linked, [[...new Set(edges.map(([from]) => from))].filter(from => !fresh.has(from))])
  await tx.query(relink, [[...superseded]])
  const [finished] = (await tx.query<{ status: TaskStatus }>(finish, [taskPk, plan, told])).rows
  return { status: finished?.status ?? 'running', running: rows[0]?.running ?? [] }
}

const propose = prepared(
  'propose_plan',
  `
with outdated as (
  update reviews r set status = 'closed', decided_at = clock_timestamp(), reason = 'another plan was proposed'
  where r.task_pk = $2 and r.kind = 'plan' and r.status = 'open'
  returning r.id, r.tenant_id, r.task_pk
),
review as (
  insert into reviews (tenant_id, task_pk, kind, detail, digest) values ($1, $2, 'plan', $3, $4) returning id, tenant_id, task_pk
),
proposal as (
  insert into proposals (review_id, tenant_id, task_pk, proposal) select id, tenant_id, task_pk, $5 from review
),
event as (
  insert into events (tenant_id, name, task_pk, data)
  select tenant_id, 'review.closed', task_pk, json_build_object('review', id::text)::text from outdated
  union all
  select tenant_id, 'review.created', task_pk, json_build_object('review', id::text, 'kind', 'plan')::text from review
)
select id::text as id from review`,
)

/** Opens a review of a plan; an earlier one of the same task becomes moot. */
export async function proposePlan(
  tx: Queryable,
  input: { tenantId: number; taskPk: string; detail: string; digest: string; proposal: string },
): Promise<string> {
  const { rows } = await tx.query<{ id: string }>(propose, [input.tenantId, input.taskPk, input.detail, input.digest, input.proposal])
  return rows[0]?.id ?? ''
}

const readProposed = prepared(
  'read_proposal',
  `
select p.proposal, r.digest, r.status from reviews r join proposals p on p.review_id = r.id where r.tenant_id = $1 and r.id = $2 for update of r`,
)

/** What a review would apply; holds the review until the transaction ends. */
export async function readProposal(
  tx: Queryable,
  tenantId: number,
  reviewId: string,
): Promise<{ proposal: string; digest: string; status: string } | undefined> {
  return (await tx.query<{ proposal: string; digest: string; status: string }>(readProposed, [tenantId, reviewId])).rows[0]
}

const decide = prepared(
  'decide_plan',
  `
with decided as (
  update reviews r set status = 'decided', decision = $3, reason = $4, decided_by = $5, decided_at = clock_timestamp()
  where r.tenant_id = $1 and r.id = $2 and r.status = 'open'
  returning r.id, r.tenant_id, r.task_pk, r.digest
),
event as (
  insert into events (tenant_id, name, task_pk, data)
  select tenant_id, 'review.decided', task_pk, json_build_object('review', id::text, 'kind', 'plan', 'decision', $3::text, 'reason', $4::text, 'by', $5::text, 'digest', digest)::text from decided
)
select id from decided`,
)

/** Whether it was open until now. */
export async function decidePlan(
  tx: Queryable,
  input: { tenantId: number; id: string; decision: string; reason: string; actor: string },
): Promise<boolean> {
  return (await tx.query(decide, [input.tenantId, input.id, input.decision, input.reason, input.actor])).rows.length > 0
}
