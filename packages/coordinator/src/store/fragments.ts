/**
 * Pieces of SQL that several statements share: what follows when subtasks finish. Each is a list of CTEs that reads
 * rows from CTEs named in its parameters.
 *
 * No CTE is joined with another: each carries what the next one needs, so that every join is one of a CTE with a table by
 * its key. The connections switch off whatever could read a whole table (postgres.ts), and nothing here misses it.
 *
 * Rows are locked in the order subtask_states (by id), then tasks (by id); a deadlock that is left (a child with a
 * smaller id than its spawned parent) is broken by Postgres and the statement repeated (repeat.ts).
 */
import type { SubtaskState, TaskStatus } from '@baton/shared'
import { subtaskTransitions, taskTransitions } from '@baton/shared'
import { closePauses, pausedTenants } from './pauses.js'

/** A list of states for `in (…)`. The states are ours, so quoting is all that is needed. */
export function sqlList(states: readonly (SubtaskState | TaskStatus)[]): string {
  return states.map(state => `'${state}'`).join(', ')
}

/** The from-list of a transition, for guards. */
export const from = (transition: keyof typeof subtaskTransitions): string => sqlList(subtaskTransitions[transition].from)

/** What the queue has room for, as the dispatcher last saw it: `[{route_id, queue, room}]`. */
export const roomCte = (param: string): string => `
room as materialized (
  select r.*, b.waiting is not null as waiting
  from json_to_recordset(${param}::json) as r(route_id int, queue text, room int)
  -- Nothing may overtake: a route with ready rows is the dispatcher's. A lateral limit is a probe, whatever the planner thinks.
  left join lateral (select true as waiting from subtask_states w where w.state = 'ready' and w.route_id = r.route_id limit 1) b on true
)`

/**
 * Always true for a number that rows carry. The planner takes it for a narrow range and expects one row instead of a
 * hundred: then nothing looks cheaper to it than probing the next table's key, however small that table was when the
 * statement was planned.
 */
export const few = (column: string): string => `${column} between 0 and 1000000000`

/**
 * Closes those of the reviews `ids`, a select, that are still open; yields `closed(id, tenant_id, task_pk, subtask_pk)`, or by
 * another name. They are closed by their keys, and that one is open is asked of `decided_at`: the planner would read all open
 * ones if it knew.
 */
export const closeThese = (ids: string, why: string, closed = 'closed'): string => `
${closed} as (
  update reviews v set status = 'closed', decided_at = clock_timestamp(), reason = '${why}'
  where v.decided_at is null and v.id = any (array(${ids}))
  returning v.id, v.tenant_id, v.task_pk, v.subtask_pk
)`

/**
 * The same of the subtasks in `of`, a relation with a column `id`. Their reviews are found by probes: joined with the open
 * reviews, each subtask would be compared with each of these.
 */
export const closeReviews = (of: string, why: string, { kind }: { kind?: string } = {}): string =>
  closeThese(
    `select o.id from ${of} m
    cross join lateral (select r.id from reviews r where r.subtask_pk = m.id and r.status = 'open'${kind === undefined ? '' : ` and r.kind = '${kind}'`} offset 0) o`,
    why,
  )

/** Whether subtask `id` is in review. `offset` keeps it a probe, where a join would read all open reviews for each row. */
export const inReview = (id: string): string => `exists (select from reviews v where v.subtask_pk = ${id} and v.status = 'open' offset 0)`

/** Whether something of this route was blocked before this statement. As above. */
export const blockedBefore = (route: string): string =>
  `exists (select from subtask_states b where b.state = 'blocked' and b.route_id = ${route} offset 0)`

/** Whether an agent on a worker may take work of a route. Aliases of `routes` and `worker_agents`, and the agent's name. */
export const mayTake = (route: string, worker: string, agent: string): string =>
  `(${route}.agent is null or ${route}.agent = ${agent}) and (${route}.capability = any (${worker}.capabilities) or ${route}.capability = ${route}.agent) and ${route}.requires <@ ${worker}.capabilities`

/** For attempts of which nothing else says. */
export interface AttemptTimes {
  readonly leaseMs: number
  readonly defaultSlaMs: number
}

/**
 * The terms of an attempt, as expressions: what the subtask says itself comes first (columns that begin with `own`), then what the
 * agent on its worker says (a row `w` of `worker_agents`), then its orchestrator's row `o`; for the SLA also the task's, and the default.
 */
export const attemptTerms = (own: string, taskSlaMs: string, defaultSlaMs: string) => ({
  leaseMs: `coalesce(${own}lease_ms, w.lease_ms, o.lease_ms)`,
  /** Null where the subtask's own counts. */
  agentDeadlineMs: `case when ${own}deadline_ms is null then w.deadline_ms end`,
  slaMs: `coalesce(${own}sla_ms, w.sla_ms, o.timeout_ms, ${taskSlaMs}, ${defaultSlaMs}::bigint)`,
})

/**
 * Whether a lease is short enough for an attempt to be started before its worker has asked: should the worker never hear of it,
 * that is found out when the lease has run out.
 */
export const foundOutSoon = (ownLeaseMs: string, leaseMs: string): string => `coalesce(${ownLeaseMs}, 0) <= 2 * ${leaseMs}::int`

/** Whether subtask `id` depends on just these, which are in order (K1 of start-known.ts). */
export const dependsOnJust = (id: string, after: string): string =>
  `array(select e.from_id from dependencies e where e.to_id = ${id} order by e.from_id) = ${after}`

/**
 * The task of a tenant that a caller means by its `task_id`. The tenant's column is hidden from the planner, so that the index
 * that begins with the `task_id` is the only one that it can use. `k`: the alias of `tasks` and a dot, or nothing.
 */
export const taskCalled = (k: string, tenant: string, taskId: string): string => `${k}task_id = ${taskId} and ${k}tenant_id + 0 = ${tenant}`

/** `ready(route_id)`: the routes that have ready rows, by a skip scan; the last row is null. For `with recursive`. */
export const readyRoutes = `
ready(route_id) as (
  (select s.route_id from subtask_states s where s.state = 'ready' order by s.route_id limit 1)
  union all
  select (select s.route_id from subtask_states s where s.state = 'ready' and s.route_id > r.route_id order by s.route_id limit 1) from ready r where r.route_id is not null
)`

/**
 * Whether this statement knows every dependent of row `s`. A statement that waited for the row, or finds it changed, sees the
 * row as it is, and its edges as they were when the statement began: edges that a replan gave it meanwhile are missing.
 */
export const knowsDependents = (s: string): string =>
  `(${s}.linked_xid is null or pg_visible_in_snapshot(${s}.linked_xid, pg_current_snapshot()))`

/**
 * Unlocks the dependents of the rows in CTE `finished(id)`. Decrements, never recounts: two transactions that finish
 * siblings meet at the child's row lock and the later one sees the earlier one's number (I13).
 *
 * A child whose last dependency this was becomes ready, or waits at its gate, or, where the queue has room and nothing
 * older waits for the same route, is queued at once: one row update instead of two, and a hop less.
 * Yields `child_moved(id, tenant_id, task_pk, state, attempt, dispatch, queue, route_id, gate, opened)`.
 *
 * With `handOver`, one child of each finished row may start at once, where it would be queued into the queue that the
 * finished one came from: under the claim, and with the terms, that the row names in columns `from_queue`, `worker_id`,
 * `agent` and those of `HandOverWish`. What a claim is judged by is judged here, too (I15, and K1 of start-known.ts).
 */
export const unlockDependents = (finished: string, handOver?: { leaseMs: string; defaultSlaMs: string }): string => `
child as (
  select d.to_id as id, count(*)::int as met${
    handOver
      ? `,
    ${wishColumns.map(column => `max(f.${column}) filter (where f.child = d.to_id) as ${column}`).join(', ')}`
      : ''
  }
  from ${finished} f join dependencies d on d.from_id = f.id
  group by d.to_id
  having ${few('count(*)')}
),
child_row as materialized (
  select s.id, s.task_pk, s.state, s.unmet, s.route_id, s.priority, s.gate, c.met${handOver ? `, ${wishColumns.map(column => `c.${column}`).join(', ')}` : ''}
  from child c join subtask_states s on s.id = c.id
  order by s.id
  for update of s
),
turn as (
  select c.*, c.state = 'pending' and c.unmet = c.met as opened,
    row_number() over (partition by c.route_id, c.state = 'pending' and c.unmet = c.met and c.gate is null order by c.priority, c.id) as turn
  from child_row c
),
placed as materialized (
  -- What a cancel skipped before its task started opens nothing: its dependents are roots when the task starts.
  select t.id, t.met, t.opened and k.status <> 'planned' as opened, t.gate, q.queue${handOver ? ', h.*' : ''}
  from turn t join tasks k on k.id = t.task_pk left join room r on r.route_id = t.route_id
  cross join lateral (
    select case when t.opened and t.gate is null and t.turn <= r.room and k.status = 'running' and k.tenant_id <> all ${pausedTenants} and not r.waiting then r.queue end as queue
  ) q${handOver ? admittedAtOnce(handOver.defaultSlaMs) : ''}
),
child_moved as (
  update subtask_states s set
    unmet = s.unmet - p.met,
    state = case when not p.opened then s.state when p.gate is not null then 'awaiting_approval'${handOver ? " when p.claim_id is not null then 'running'" : ''} when p.queue is not null then 'queued' else 'ready' end,
    ready_at = case when p.opened and p.gate is null then clock_timestamp() else s.ready_at end,
    scheduled_at = case when p.opened and p.gate is null then clock_timestamp() else s.scheduled_at end,
    attempt = s.attempt + (p.queue is not null)::int,
    dispatch = s.dispatch + (p.queue is not null)::int,
    queue = coalesce(p.queue, s.queue),
    queued_at = case when p.queue is not null then clock_timestamp() else s.queued_at end${handOver ? started(handOver.leaseMs) : ''}
  from placed p
  where s.id = p.id
  returning s.id, s.tenant_id, s.task_pk, s.state, s.attempt, s.dispatch, s.queue, s.route_id, s.gate, p.opened${
    handOver
      ? `,
    s.claim_id, s.worker_id, s.agent, s.attempt_limit, s.progress, p.sla_ms, s.lease_ms, s.deadline_ms, p.claim_id is not null as handed`
      : ''
  }
)`

/** What a finished row says of the child that its worker would go on with. */
export interface HandOverWish {
  /** Its id. */
  readonly child: string
  /** The claim that it would run under. */
  readonly next: string
  /** Ids of its dependencies, in order. */
  readonly after: readonly string[]
  /** Of its definition. */
  readonly child_sla_ms: number | null
  readonly child_lease_ms: number | null
  readonly child_deadline_ms: number | null
}

const wishColumns = ['next', 'after', 'child_sla_ms', 'child_lease_ms', 'child_deadline_ms', 'from_queue', 'worker_id', 'agent'] as const

/** `h`: the claim and the terms under which row `t` starts at once; all null where it does not. The order of these probes is fixed, as in start-known.ts. */
const admittedAtOnce = (defaultSlaMs: string): string => {
  const terms = attemptTerms('t.child_', 'k.sla_ms', defaultSlaMs)
  return `
  left join lateral (
    select t.next::uuid as claim_id, t.worker_id, t.agent, ${terms.leaseMs} as lease_ms,
      ${terms.agentDeadlineMs} as agent_deadline_ms, ${terms.slaMs} as sla_ms
    from (select x.status, x.lease_ms, x.timeout_ms from orchestrators x where x.tenant_id = k.tenant_id and x.id = k.orchestrator_id limit 1) o
    cross join lateral (select x.agent, x.capability, x.requires from routes x where x.id = t.route_id limit 1) n
    cross join lateral (select x.capabilities, x.lease_ms, x.deadline_ms, x.sla_ms from worker_agents x where x.worker_id = t.worker_id and x.agent = t.agent limit 1) w
    where t.next is not null and q.queue = t.from_queue and o.status = 'running'
      and ${mayTake('n', 'w', 't.agent')} and ${dependsOnJust('t.id', 't.after')}
  ) h on true`
}

/** What an update of row `s` sets beside its state where `p` brings a claim and its terms; what `p` brings none for stays as it was. */
export const started = (leaseMs: string, now = 'clock_timestamp()'): string => `,
    claim_id = coalesce(p.claim_id, s.claim_id), worker_id = coalesce(p.worker_id, s.worker_id), agent = coalesce(p.agent, s.agent),
    started_at = case when p.claim_id is not null then ${now} else s.started_at end,
    lease_ms = case when p.claim_id is not null then p.lease_ms else s.lease_ms end,
    lease_until = case when p.claim_id is not null then ${now} + coalesce(p.lease_ms, ${leaseMs}::int) * interval '1 millisecond' else s.lease_until end,
    deadline_ms = coalesce(p.agent_deadline_ms, s.deadline_ms),
    sla_until = case when p.claim_id is not null then ${now} + p.sla_ms * interval '1 millisecond' else s.sla_until end`

/** What a subtask waits for at its gate, as the data of its event. */
export const whyGated = (gate: string): string =>
  `case ${gate} when 'approval' then '{"why":"waiting for approval"}' when 'release' then '{"why":"waiting to be released"}' end`

/** Events of `child_moved`. */
export const childEvents = `
  select tenant_id, case state when 'awaiting_approval' then 'subtask.awaiting_approval' when 'ready' then 'subtask.ready' else 'subtask.queued' end as name,
    task_pk, id as subtask_pk, case when state in ('queued', 'running') then attempt end as attempt, null::text as agent, null::text as worker_id,
    case when state = 'awaiting_approval' then ${whyGated('gate')} end as data
  from child_moved where opened`

/** Reviews for the gates that `child_moved` reached. */
export const gateReviews = `
gate_review as (
  insert into reviews (tenant_id, task_pk, subtask_pk, kind, detail)
  select m.tenant_id, m.task_pk, m.id, 'approval', 'approval needed before ' || d.name || ' may start'
  from child_moved m join subtasks d on d.id = m.id
  where m.opened and m.state = 'awaiting_approval' and m.gate = 'approval'
  on conflict (subtask_pk, kind) where status = 'open' and subtask_pk is not null do nothing
  returning id, tenant_id, task_pk, subtask_pk
)`

/**
 * Applies changes of the three counters, rows `change(task_pk, active, reviewing, blocked)` of the given select, and
 * rolls the task's status up from them (core/rollup.ts is the same rule in TypeScript). A change that sums to zero
 * touches no task at all: of a chain's steps, only the last one writes the task's row.
 * `failedTasks` and `brokenTasks` name CTEs with a column `task_pk`: tasks that fail at once, and tasks that cannot be
 * completed any more because something was cancelled that they need.
 * Yields `task_moved(id, tenant_id, task_id, from_status, status)`.
 */
export const rollUp = (changes: string, failedTasks?: string, brokenTasks?: string): string => `
delta as (
  select task_pk, sum(active)::int as active, sum(reviewing)::int as reviewing, sum(blocked)::int as blocked
  from (${changes}) change
  group by task_pk
  having (sum(active) <> 0 or sum(reviewing) <> 0 or sum(blocked) <> 0${[failedTasks, brokenTasks].map(cte => (cte === undefined ? '' : ` or task_pk in (select task_pk from ${cte})`)).join('')}) and ${few('count(*)')}
),
task_row as materialized (
  -- The sums are of the row as it was locked. An update of a row that another transaction changed after this statement
  -- began is checked against the old row first, and a counter that it sees too low would break the statement off.
  select k.id, k.status, k.active + d.active as active, k.reviewing + d.reviewing as reviewing, k.blocked + d.blocked as blocked
  from delta d join tasks k on k.id = d.task_pk
  order by k.id
  for update of k
),
task_moved as (
  update tasks k set
    active = r.active,
    reviewing = r.reviewing,
    blocked = r.blocked,
    status = ${rolledUpStatus(failedTasks, brokenTasks)},
    finished_at = case when ${rolledUpStatus(failedTasks, brokenTasks)} in ('completed', 'failed') then coalesce(k.finished_at, clock_timestamp()) else k.finished_at end${
      failedTasks === undefined ? '' : `,\n    unswept = k.unswept or ${rolledUpStatus(failedTasks, brokenTasks)} = 'failed'`
    }${brokenTasks === undefined ? '' : `,\n    broken = ${broken(brokenTasks)}`}
  from task_row r
  where k.id = r.id
  returning k.id, k.tenant_id, k.task_id, r.status as from_status, k.status
)${
  // A task that fails while it is paused is paused no longer.
  failedTasks === undefined
    ? ''
    : `,${closePauses('unpaused', 'task', "select tenant_id, id::text as ref from task_moved where from_status = 'paused' and status <> 'paused'")}`
}`

const broken = (brokenTasks?: string): string =>
  brokenTasks === undefined ? 'k.broken' : `(k.broken or k.id in (select task_pk from ${brokenTasks}))`

const rolledUpStatus = (failedTasks?: string, brokenTasks?: string): string => `case${
  failedTasks === undefined
    ? ''
    : `\n      when k.status in (${sqlList(taskTransitions.fail.from)}) and k.id in (select task_pk from ${failedTasks}) then 'failed'`
}
      when k.status not in (${sqlList(taskTransitions.complete.from)}) then k.status
      when r.active > 0 then 'running'
      when r.reviewing > 0 then 'needs_review'
      when r.blocked > 0 then 'blocked'
      when ${broken(brokenTasks)} then 'failed'
      else 'completed'
    end`

/** The subtask of task `task` that is in force and that a person means by `name`: its `subtask_id`, or else its name. */
export const namedSubtask = (task: string, name: string): string => `
  (select d.id, d.subtask_id from subtasks d where d.task_pk = ${task} and d.superseded = 0 and d.subtask_id = ${name} limit 1)
  union all
  (select d.id, d.subtask_id from subtasks d where d.task_pk = ${task} and d.superseded = 0 and d.name = ${name} limit 1)
  limit 1`

/** Events of `task_moved`. */
export const taskEvents = `
  select tenant_id, case status when 'running' then case from_status when 'blocked' then 'task.unblocked' else 'task.resumed' end else 'task.' || status end as name,
    id as task_pk, null::bigint as subtask_pk, null::int as attempt, null::text as agent, null::text as worker_id,
    json_build_object('from', from_status, 'to', status, 'reason', case status
      when 'completed' then 'every subtask is finished' when 'needs_review' then 'a person has to decide' when 'blocked' then 'no live worker can take what is left'
      when 'failed' then 'a subtask failed for good' else 'a subtask can go on' end)::text as data
  from task_moved where status <> from_status`

/** Inserts the events of a `union all` of selects. */
export const insertEvents = (...selects: string[]): string => `
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, attempt, agent, worker_id, data)
  ${selects.join('\n  union all')}
)`

/** Of `child_moved`, the rows that were handed over, for the event of their start. */
export const startedEvents = `
  select tenant_id, 'subtask.started', task_pk, id, attempt, agent, worker_id, null from child_moved where handed`

/** What was handed over, as json. */
export const handed = (leaseMs: string): string => `
  (select coalesce(json_agg(json_build_object('id', id::text, 'attempt', attempt, 'dispatch', dispatch, 'queue', queue, 'route_id', route_id, 'task_pk', task_pk::text,
    'attempt_limit', attempt_limit, 'progress', progress, 'sla_ms', sla_ms, 'lease_ms', coalesce(lease_ms, ${leaseMs}::int),
    -- Where it comes before the SLA: it is scheduled since this moment.
    'deadline_in_ms', case when deadline_ms < sla_ms then deadline_ms end)), '[]') from child_moved where handed) as handed`

/** What the caller acts on after the commit, as one row: jobs to ring, tasks that changed, routes with something ready. */
export const effects = `
  (select coalesce(json_agg(json_build_object('id', id::text, 'attempt', attempt, 'dispatch', dispatch, 'queue', queue, 'route_id', route_id)), '[]') from child_moved where opened and state = 'queued') as jobs,
  (select coalesce(json_agg(json_build_object('id', id::text, 'status', status, 'from', from_status)), '[]') from task_moved where status <> from_status) as tasks,
  (select coalesce(json_agg(distinct route_id), '[]') from child_moved where opened and state = 'ready') as ready`

/** The tasks that a statement touched, for whoever waits for a change of one. */
export const touched = (cte: string): string => `(select coalesce(json_agg(distinct task_pk::text), '[]') from ${cte}) as touched`

/** A job to ring for a row that was queued. */
export interface QueuedRow {
  id: string
  attempt: number
  dispatch: number
  queue: string
  route_id: number
}

export interface EffectsRow {
  jobs: QueuedRow[]
  tasks: { id: string; status: TaskStatus; from: TaskStatus }[]
  /** Routes of rows that became ready and were left for the dispatcher. */
  ready: number[]
  touched: string[]
}
