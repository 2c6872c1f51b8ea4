/**
 * Runs a part of a task again: the chosen subtasks and everything that was opened downstream of them are superseded, and
 * rows of the next generation take their places, gates and edges included. What was stays in history.
 *
 * Invariants: R1 only what was opened is superseded; a dependent that is still pending keeps its row and is linked to the
 * new generation. So every dependency of a new row that is not new itself is finished for good, and no statement that
 * runs at the same time can be about to unlock it (I13). R2 nothing that is left can be waited for in vain: what was
 * cancelled, or failed without letting its dependents go on, runs again where something of the new generation needs it,
 * and altogether where the task had ended. R3 what a superseded subtask spawned goes with it and has no successor; its
 * new run spawns anew. R4 a rerun that is still under way is not begun again: a repeat with the same input changes nothing.
 * R5 subtasks are locked before their task, as reports do it: either would wait for the other, and Postgres look a second
 * later which of them to break off. What is chosen is chosen again once the task is locked; only what was opened in between
 * is locked after it.
 */
import { isDeepStrictEqual } from 'node:util'
import { type TaskStatus, terminalSubtaskStates, terminalTaskStatuses } from '@baton/shared'
import type { Database, Queryable, Statement } from './database.js'
import { closeReviews, inReview, sqlList, taskCalled, whyGated } from './fragments.js'
import { drawIds } from './ids.js'
import { prepared } from './statements.js'

const lockTask = prepared(
  'rerun_lock',
  `
select k.id::text as id, k.status, k.unswept from tasks k where ${taskCalled('k.', '$1', '$2')} for update of k`,
)

const findTask = prepared('rerun_find', `select k.id::text as id, k.status from tasks k where ${taskCalled('k.', '$1', '$2')}`)

const anythingLeft = prepared(
  'rerun_anything_left',
  `
select exists (
  select from subtasks d cross join lateral (select s.state from subtask_states s where s.id = d.id limit 1) s
  where d.task_pk = $1 and d.superseded = 0 and s.state not in (${sqlList(terminalSubtaskStates)})) as "left"`,
)

/** What runs again goes on by itself: who asks once more, because an answer was lost, asks for nothing new (R4). */
const underWay = ['pending', 'awaiting_approval', 'ready', 'queued', 'running', 'retrying', 'blocked'] as const

/** Read once the task is locked: a rerun that was waited for has put others in their places. */
const readChosen = prepared(
  'rerun_chosen',
  `
select d.id::text as id, d.name, d.subtask_id, s.state,
  d.generation > 0 and s.state in (${sqlList(underWay)}) and ($4::text is null or d.input = $4) as repeated,
  case when $3 then (
    select coalesce(json_agg(f.name), '[]') from (select from_id from dependencies where to_id = d.id offset 0) e
    cross join lateral (select f.name from subtasks f where f.id = e.from_id limit 1) f) end as depends_on
from unnest($2::text[]) x(name)
cross join lateral (
  select d.id, d.name, d.subtask_id, d.generation, d.input from subtasks d where d.task_pk = $1 and d.superseded = 0 and d.name = x.name
  union
  select d.id, d.name, d.subtask_id, d.generation, d.input from subtasks d where d.task_pk = $1 and d.superseded = 0 and d.subtask_id = x.name
) d
cross join lateral (select s.state from subtask_states s where s.id = d.id limit 1) s`,
)

/** Whether a subtask let its dependents go on; `s` has its state, `d` its definition. */
const passed = (s: string, d: string): string =>
  `(${s}.state in ('completed', 'skipped') or (${s}.state = 'failed' and ${d}.on_failure = 'continue'))`

const spawnedBy = (id: string): string => `(select d.id from subtasks d where d.spawned_by = ${id} and d.superseded = 0 offset 0)`

/** The part of the task that runs again, and what of it has no successor. */
const choose = prepared(
  'rerun_choose',
  `
with recursive part(id) as (
  select id from unnest($2::bigint[]) id
  union
  select d.id from subtasks d cross join lateral (select s.state from subtask_states s where s.id = d.id limit 1) s
  where $3 and d.task_pk = $1 and d.superseded = 0 and (s.state = 'cancelled' or (s.state = 'failed' and d.on_failure <> 'continue')) -- R2
  union
  select next.id from part p cross join lateral (
    select d.id from (select to_id from dependencies where from_id = p.id offset 0) e
    cross join lateral (select d.id from subtasks d where d.id = e.to_id and d.superseded = 0 limit 1) d
    cross join lateral (select s.state from subtask_states s where s.id = d.id limit 1) s
    where s.state <> 'pending' -- R1
    union all
    select d.id from (select from_id from dependencies where to_id = p.id offset 0) e
    cross join lateral (select d.id, d.on_failure from subtasks d where d.id = e.from_id and d.superseded = 0 limit 1) d
    cross join lateral (select s.state from subtask_states s where s.id = d.id limit 1) s
    where s.state = 'cancelled' or (s.state = 'failed' and d.on_failure <> 'continue') -- R2
  ) next
),
-- R3: what the part spawned, and what that spawned.
spawned(id) as (
  select d.id from part p cross join lateral ${spawnedBy('p.id')} d
  union
  select d.id from spawned p cross join lateral ${spawnedBy('p.id')} d
)
select
  (select coalesce(array_agg(id::text order by id), '{}') from part where id not in (select id from spawned)) as again,
  (select coalesce(array_agg(id::text order by id), '{}') from spawned) as dropped`,
)

const lockStarted = prepared(
  'rerun_lock_started',
  `select s.id from subtask_states s where s.id = any ($1::bigint[]) and s.state <> 'pending' order by s.id for update of s`,
)

const lockWhole = prepared(
  'rerun_lock_part',
  `
select s.id
from (select unnest($1::bigint[]) as id union select e.to_id from dependencies e where e.from_id = any ($1::bigint[])) p join subtask_states s on s.id = p.id
order by s.id for update of s`,
)

/**
 * Locks the part and what directly depends on it, so that nothing of either moves any more. What waits is locked last, as
 * reports do it: since an earlier rerun it may have a smaller id than what it waits for.
 */
export async function lockPart(tx: Queryable, ids: readonly string[]): Promise<void> {
  await tx.query(lockStarted, [[...ids]])
  await tx.query(lockWhole, [[...ids]])
}

/** A dependency of the part that is neither in it nor finished: something cancelled in a task that goes on may have one. */
const unfinishedOutside = prepared(
  'rerun_unfinished_outside',
  `
select d.name, f.name as waits_for
from unnest($1::bigint[]) p(id)
cross join lateral (select from_id from dependencies where to_id = p.id offset 0) e
cross join lateral (select s.state from subtask_states s where s.id = e.from_id limit 1) s
cross join lateral (select f.name, f.superseded from subtasks f where f.id = e.from_id limit 1) f
cross join lateral (select d.name from subtasks d where d.id = p.id limit 1) d
where f.superseded = 0 and s.state not in (${sqlList(terminalSubtaskStates)}) and e.from_id not in (select unnest($1::bigint[]))
limit 1`,
)

/** Ends what of a part is not finished, and takes it out of the plan. `why` and `moot` are ours, and hold no quote. */
export const superseding = (name: string, { why, moot }: { why: string; moot: string }): Statement =>
  prepared(
    name,
    `
with target as materialized (
  select s.id, s.state from subtask_states s where s.id = any ($1::bigint[]) order by s.id for update
),
defined as (
  update subtasks d set superseded = t.id from target t where d.id = t.id returning d.id
),
moved as (
  update subtask_states s set state = 'cancelled', finished_at = clock_timestamp(), lease_until = null, sla_until = null, run_after = null, queue = null,
    cancelled_how = case when t.state = 'running' then 'forced' end
  from target t where s.id = t.id and t.state not in (${sqlList(terminalSubtaskStates)})
  returning s.id, s.tenant_id, s.task_pk, s.attempt, s.agent, s.worker_id, s.claim_id, s.queued_at, s.started_at, t.state as before
),
ended as (
  insert into attempts (subtask_pk, attempt, claim_id, worker_id, agent, outcome, charged, queued_at, started_at)
  select id, attempt, claim_id, worker_id, agent, 'cancelled', false, queued_at, started_at from moved where before = 'running'
),
${closeReviews('(select unnest($1::bigint[]) as id)', moot)},
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, attempt, agent, worker_id, data)
  select tenant_id, 'subtask.cancelled', task_pk, id, nullif(attempt, 0), agent, worker_id, json_build_object('why', '${why}')::text from moved
  union all
  select tenant_id, 'review.closed', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text)::text from closed
)
select
  (select coalesce(json_agg(json_build_object('worker_id', worker_id, 'claim_id', claim_id)), '[]') from moved where before = 'running') as running`,
  )
const supersede = superseding('rerun_supersede', { why: 'it runs again', moot: 'its subtask runs again' })

/** The next generation's definitions: `$1` are pairs of an old id and its new one, `$2` the chosen ids, whose input `$3` replaces. */
const define = prepared(
  'rerun_define',
  `
with pair as (
  select (p ->> 0)::bigint as old_id, (p ->> 1)::bigint as id from json_array_elements($1::json) p
)
insert into subtasks (id, uuid, tenant_id, task_pk, ordinal, generation, subtask_id, name, title, capability, agent, requires, input, attempt_limit, sla_ms,
  queue_wait_ms, deadline_ms, lease_ms, backoff_initial_ms, backoff_max_ms, on_failure, requires_approval, isolation, spawned_by)
select p.id, gen_random_uuid(), d.tenant_id, d.task_pk, d.ordinal, d.generation + 1, d.subtask_id, d.name, d.title, d.capability, d.agent, d.requires,
  case when $3::text is not null and d.id = any ($2::bigint[]) then $3 else d.input end, d.attempt_limit, d.sla_ms,
  d.queue_wait_ms, d.deadline_ms, d.lease_ms, d.backoff_initial_ms, d.backoff_max_ms, d.on_failure, d.requires_approval, d.isolation, d.spawned_by
from pair p join subtasks d on d.id = p.old_id`,
)

/** The row that took the place of `f`; none when `f` is gone with its spawner. */
const successor = `(select n.id from subtasks n where n.task_pk = f.task_pk and n.name = f.name and n.superseded = 0 limit 1)`

/** Their edges: a dependency that is superseded itself is replaced by its successor. */
const link = prepared(
  'rerun_link',
  `
with pair as (
  select (p ->> 0)::bigint as old_id, (p ->> 1)::bigint as id from json_array_elements($1::json) p
)
insert into dependencies (from_id, to_id)
select coalesce(n.id, f.id), p.id
from pair p join dependencies e on e.to_id = p.old_id
cross join lateral (select f.id, f.task_pk, f.name, f.superseded from subtasks f where f.id = e.from_id limit 1) f
left join lateral ${successor} n on f.superseded <> 0
where f.superseded = 0 or n.id is not null`,
)

/** Where they stand: what depends on none of them can start. */
const stand = prepared(
  'rerun_stand',
  `
with pair as (
  select (p ->> 0)::bigint as old_id, (p ->> 1)::bigint as id from json_array_elements($1::json) p
),
standing as materialized (
  select p.id, s.tenant_id, s.task_pk, s.route_id, s.priority, s.owner, s.queue_wait_ms, s.deadline_ms, s.losses, d.name, coalesce(d.attempt_limit, s.attempt_limit) as attempt_limit,
    -- Only the new ones have no state yet; every other dependency is finished (R1).
    (select count(*)::int from dependencies e where e.to_id = p.id and not exists (select from subtask_states f where f.id = e.from_id)) as unmet,
    case when d.requires_approval then 'approval' when k.execution_mode = 'manual' or d.name = any (k.checkpoints) then 'release' end as gate
  from pair p join subtask_states s on s.id = p.old_id join subtasks d on d.id = p.old_id join tasks k on k.id = s.task_pk
),
stood as (
  insert into subtask_states (id, tenant_id, task_pk, route_id, priority, owner, state, unmet, gate, attempt_limit, losses, queue_wait_ms, deadline_ms, ready_at, scheduled_at)
  select id, tenant_id, task_pk, route_id, priority, owner, case when unmet > 0 then 'pending' when gate is not null then 'awaiting_approval' else 'ready' end, unmet, gate,
    attempt_limit, losses, queue_wait_ms, deadline_ms, case when unmet = 0 then clock_timestamp() end, case when unmet = 0 and gate is null then clock_timestamp() end
  from standing
  returning id, tenant_id, task_pk, state, gate, route_id
),
review as (
  insert into reviews (tenant_id, task_pk, subtask_pk, kind, detail)
  select tenant_id, task_pk, id, 'approval', 'approval needed before ' || name || ' may start' from standing where unmet = 0 and gate = 'approval'
  returning id, tenant_id, task_pk, subtask_pk
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, data)
  select tenant_id, 'subtask.rerun', task_pk, id, json_build_object('by', $2::text, 'reason', $3::text)::text from stood
  union all
  select tenant_id, 'subtask.' || state, task_pk, id, case when state = 'awaiting_approval' then ${whyGated('gate')} end from stood where state <> 'pending'
  union all
  select tenant_id, 'review.created', task_pk, subtask_pk, json_build_object('review', id::text, 'kind', 'approval')::text from review
)
select coalesce(json_agg(distinct route_id), '[]') as ready from stood where state = 'ready'`,
)

/** Pending dependents of what was superseded (R1): their edges go to the successors, their unmet dependencies change with them. */
export const relink = prepared(
  'rerun_relink',
  `
with old_edge as materialized (
  select e.from_id, e.to_id, ${passed('s', 'f')} as met, ${successor} as new_from
  from dependencies e
  cross join lateral (select f.id, f.task_pk, f.name, f.on_failure from subtasks f where f.id = e.from_id limit 1) f
  cross join lateral (select s.state from subtask_states s where s.id = e.from_id limit 1) s
  cross join lateral (select t.superseded from subtasks t where t.id = e.to_id limit 1) t
  cross join lateral (select c.state from subtask_states c where c.id = e.to_id limit 1) c
  where e.from_id = any ($1::bigint[]) and t.superseded = 0 and c.state = 'pending'
),
change as (
  select to_id as id, (count(*) filter (where new_from is not null) - count(*) filter (where not met))::int as more from old_edge group by to_id
),
counted as (
  update subtask_states s set unmet = s.unmet + c.more from change c where s.id = c.id
),
cut as (
  delete from dependencies e using old_edge o where e.from_id = o.from_id and e.to_id = o.to_id
)
insert into dependencies (from_id, to_id) select new_from, to_id from old_edge where new_from is not null`,
)

/**
 * `counted`: the counters of task `$1` from its subtasks as they are, and `more`, an aggregate over their `state` and
 * `on_failure`.
 */
export const countedAnew = (more: string): string => `
standing as materialized (
  select s.state, d.on_failure,
    s.state = 'blocked' and ${inReview('s.id')} as reviewed
  from subtasks d cross join lateral (select s.id, s.state from subtask_states s where s.id = d.id limit 1) s
  where d.task_pk = $1 and d.superseded = 0
),
counted as (
  select count(*) filter (where state in ('ready', 'queued', 'running', 'retrying'))::int as active,
    count(*) filter (where state in ('awaiting_approval', 'needs_review') or reviewed)::int as reviewing,
    count(*) filter (where state = 'blocked' and not reviewed)::int as blocked,
    count(*)::int as total,
    ${more}
  from standing
)`

/** Counts the task's subtasks anew, under its lock, and rolls its status up. */
const recount = prepared(
  'rerun_recount',
  `
with ${countedAnew("coalesce(bool_or(state = 'cancelled' or (state = 'failed' and on_failure <> 'continue')), false) as broken")},
task_row as (select id, status as from_status from tasks where id = $1),
moved as (
  update tasks k set active = c.active, reviewing = c.reviewing, blocked = c.blocked, total = c.total, broken = c.broken, unswept = false, swept_to = 0, finished_at = null, cancel_requested_at = null, sla_alerts = 0,
    status = case when k.status = 'paused' then k.status when c.active > 0 then 'running' when c.reviewing > 0 then 'needs_review' else 'blocked' end
  from counted c where k.id = $1
  returning k.id, k.tenant_id, k.status
),
event as (
  insert into events (tenant_id, name, task_pk, data)
  select m.tenant_id, 'task.rerun', m.id, json_build_object('from', t.from_status, 'to', case m.status when 'paused' then 'paused' else 'running' end,
    'reason', coalesce($3::text, 'a rerun was asked for'), 'by', $2::text, 'subtasks', $4::int)::text
  from moved m, task_row t
  union all
  select m.tenant_id, 'task.' || m.status, m.id, json_build_object('from', 'running', 'to', m.status, 'reason', 'what runs again waits')::text
  from moved m where m.status in ('needs_review', 'blocked')
)
select status from moved`,
)

export interface RerunInput {
  readonly tenantId: number
  readonly taskId: string
  /** Names or ids of subtasks. */
  readonly from: readonly string[]
  /** JSON text; replaces the input of the chosen ones. */
  readonly input: string | null
  /** Names of the subtasks whose outputs it refers to: they have to be dependencies. */
  readonly references: readonly string[]
  readonly reason: string | null
  readonly actor: string
}

interface ChosenRow {
  id: string
  name: string
  subtask_id: string
  state: string
  /** It runs again already, with the same input. */
  repeated: boolean
  /** Null: nobody asked. */
  depends_on: string[] | null
}

export type RerunOutcome =
  | { readonly kind: 'no_task' }
  | { readonly kind: 'bad_references'; readonly subtask: string; readonly names: readonly string[] }
  | { readonly kind: 'unknown'; readonly names: readonly string[] }
  | { readonly kind: 'refused'; readonly status: TaskStatus; readonly why: string }
  | {
      readonly kind: 'done'
      readonly id: string
      readonly status: TaskStatus
      readonly subtasks: number
      readonly ready: readonly number[]
      readonly running: readonly { worker_id: string; claim_id: string }[]
    }

export async function rerunTask(database: Database, input: RerunInput): Promise<RerunOutcome> {
  return database.transaction(async tx => {
    const { tenantId, taskId, from, actor, reason, references } = input
    await lockAhead(tx, input) // R5
    const [task] = (await tx.query<{ id: string; status: TaskStatus; unswept: boolean }>(lockTask, [tenantId, taskId])).rows
    if (!task) return { kind: 'no_task' }
    const { status } = task
    const chosen = await readNamed(tx, task.id, input)
    const unknown = from.filter(name => !chosen.some(c => c.name === name || c.subtask_id === name))
    if (unknown.length > 0) return { kind: 'unknown', names: unknown }
    if (status === 'planned') return { kind: 'refused', status, why: `it has not started; start it with POST /execute/${taskId}` }
    const ended = hasEnded(status)
    // Flagged until the next sweep, which may find nothing left to do.
    if (task.unswept && (await tx.query<{ left: boolean }>(anythingLeft, [task.id])).rows[0]?.left)
      return { kind: 'refused', status, why: 'what is left of it is still being cancelled; ask again in a moment' }
    if (chosen.every(c => c.repeated)) return { kind: 'done', id: task.id, status, subtasks: 0, ready: [], running: [] } // R4
    const pending = chosen.find(c => c.state === 'pending')
    if (pending) return { kind: 'refused', status, why: `subtask ${pending.name} has not started yet; there is nothing to run again` }
    const foreign = references.filter(name => !chosen.some(c => c.depends_on?.includes(name)))
    if (foreign.length > 0) return { kind: 'bad_references', subtask: chosen[0]?.name ?? '', names: foreign }
    const chosenIds = idsOf(chosen)
    const { again, dropped } = await choosePart(tx, { taskPk: task.id, chosen: chosenIds, ended })
    const [waiting] = (await tx.query<{ name: string; waits_for: string }>(unfinishedOutside, [again])).rows
    if (waiting)
      return {
        kind: 'refused',
        status,
        why: `subtask ${waiting.name} runs again too, and needs ${waiting.waits_for}, which has not finished; rerun from that, or wait`,
      }
    const old = [...again, ...dropped]
    const [superseded] = (await tx.query<{ running: { worker_id: string; claim_id: string }[] }>(supersede, [old])).rows
    const ids = await drawIds(tx, again.length)
    const pairs = JSON.stringify(again.map((id, i) => [id, ids[i]]))
    await tx.query(define, [pairs, chosenIds, input.input])
    await tx.query(link, [pairs])
    const [stood] = (await tx.query<{ ready: number[] }>(stand, [pairs, actor, reason])).rows
    await tx.query(relink, [old])
    const [counted] = (await tx.query<{ status: TaskStatus }>(recount, [task.id, actor, reason, again.length])).rows
    return {
      kind: 'done',
      id: task.id,
      status: counted?.status ?? status,
      subtasks: again.length,
      ready: stood?.ready ?? [],
      running: superseded?.running ?? [],
    }
  })
}

const hasEnded = (status: TaskStatus): boolean => (terminalTaskStatuses as readonly TaskStatus[]).includes(status)

async function readNamed(tx: Queryable, taskPk: string, { from, references, input }: RerunInput): Promise<ChosenRow[]> {
  return (await tx.query<ChosenRow>(readChosen, [taskPk, [...from], references.length > 0, input])).rows
}

const idsOf = (rows: readonly ChosenRow[]): string[] => [...new Set(rows.map(({ id }) => id))]

/** Locks what would run again as things are now. */
async function lockAhead(tx: Queryable, input: RerunInput): Promise<void> {
  const [task] = (await tx.query<{ id: string; status: TaskStatus }>(findTask, [input.tenantId, input.taskId])).rows
  const chosen = task ? await readNamed(tx, task.id, input) : []
  if (!task || chosen.length === 0 || chosen.every(({ repeated }) => repeated)) return
  const { again, dropped } = await partOf(tx, { taskPk: task.id, chosen: idsOf(chosen), ended: hasEnded(task.status) })
  await lockPart(tx, [...again, ...dropped])
}

interface Choice {
  readonly taskPk: string
  readonly chosen: readonly string[]
  readonly ended: boolean
}

interface Part {
  readonly again: readonly string[]
  readonly dropped: readonly string[]
}

async function partOf(tx: Queryable, { taskPk, chosen, ended }: Choice): Promise<Part> {
  return (await tx.query<Part>(choose, [taskPk, [...chosen], ended])).rows[0] ?? { again: [], dropped: [] }
}

/** Chooses and locks until what is locked is what is chosen: what runs may finish in between, and open what depends on it. */
async function choosePart(tx: Queryable, choice: Choice): Promise<Part> {
  for (let before: Part | undefined; ; ) {
    const part = await partOf(tx, choice)
    if (isDeepStrictEqual(part, before)) return part
    before = part
    await lockPart(tx, [...part.again, ...part.dropped])
  }
}
