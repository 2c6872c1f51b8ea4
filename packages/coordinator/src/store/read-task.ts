/**
 * Everything that `GET /tasks/{id}` shows, in pages; and what tells cheaply whether it changed. What most tasks show is read
 * by one statement for many of them (`readViews`), the lists of large ones by one each.
 */
import { type SubtaskState, type TaskStatus, terminalSubtaskStates } from '@baton/shared'
import type { ArtifactPlace } from './artifact-store.js'
import type { Queryable, Statement } from './database.js'
import { few, sqlList, taskCalled } from './fragments.js'
import { prepared } from './statements.js'

/** What may hold a task up from outside. */
export interface HoldRow {
  orchestrator_status: string
  /** Tasks that its orchestrator runs at once. */
  max_concurrent_tasks: number | null
  /** It is to start as soon as its orchestrator may run one more. */
  start_wanted_at: Date | null
  /** Since when everything is paused, by whom and why. */
  paused_at: Date | null
  paused_by: string | null
  pause_reason: string | null
}

/** The columns of a `HoldRow`, and the joins that they need, for row `k` of `tasks`. */
export const holdColumns =
  'o.status as orchestrator_status, o.max_concurrent_tasks, k.start_wanted_at, n.paused_at, n.paused_by, n.pause_reason'
export const holdJoins = `join orchestrators o on o.tenant_id = k.tenant_id and o.id = k.orchestrator_id join tenants n on n.id = k.tenant_id`

export interface TaskKey {
  readonly tenantId: number
  readonly taskId: string
}

const keyed = ({ tenantId, taskId }: TaskKey, n: number) => ({ n, tenant_id: tenantId, task_id: taskId })

function inPlace<R>(count: number, rows: readonly (R & { n: number })[]): (R | undefined)[] {
  const list = new Array<R | undefined>(count).fill(undefined)
  for (const row of rows) list[row.n] = row
  return list
}

export interface TaskRow extends HoldRow {
  id: string
  task_id: string
  orchestrator_id: string
  title: string
  description: string | null
  status: TaskStatus
  priority: number
  metadata: string
  context: string
  plan: string
  sla_ms: string | null
  due_at: Date | null
  total: number
  created_at: Date
  started_at: Date | null
  finished_at: Date | null
  now: Date
}

const taskColumns = `k.id, k.task_id, k.orchestrator_id, k.title, k.description, k.status, k.priority, k.metadata, k.context, k.plan, k.sla_ms, k.due_at, k.total,
  k.created_at, k.started_at, k.finished_at, ${holdColumns}, clock_timestamp() as now`

/** The task of that name and what holds it up, each found by its key, whatever the planner believes of their number. */
const taskWithHold = (
  tenant: string,
  taskId: string,
): string => `lateral (select * from tasks k where ${taskCalled('k.', tenant, taskId)} limit 1) k
cross join lateral (select * from orchestrators o where o.tenant_id = k.tenant_id and o.id = k.orchestrator_id limit 1) o
cross join lateral (select * from tenants n where n.id = k.tenant_id limit 1) n`

const task = prepared('read_task', `select ${taskColumns} from ${taskWithHold('$1', '$2')}`)

export async function readTask(db: Queryable, tenantId: number, taskId: string): Promise<TaskRow | undefined> {
  return (await db.query<TaskRow>(task, [tenantId, taskId])).rows[0]
}

/**
 * Asks for rows of one task: `rows` is a select about row `w`, which has the task's internal id and a page: behind what place,
 * and how many.
 */
const ofTask = (name: string, rows: string): Statement =>
  prepared(
    name,
    `
select x.* from (select $1::bigint as task_pk, $2::bigint as after, $3::int as after_from, $4::int as rows offset 0) w
cross join lateral (${rows}
) x`,
  )

interface Page {
  readonly after?: number
  readonly afterFrom?: number
  readonly rows?: number
}

async function rowsOfTask<R>(
  db: Queryable,
  statement: Statement,
  taskPk: string,
  { after = 0, afterFrom = 0, rows = 1 }: Page = {},
): Promise<R[]> {
  return (await db.query<R>(statement, [taskPk, after, afterFrom, rows])).rows
}

export interface SubtaskRow {
  id: string
  ordinal: number
  subtask_id: string
  name: string
  title: string | null
  capability: string
  pinned_agent: string | null
  requires: string[]
  generation: number
  agent: string | null
  worker_id: string | null
  state: SubtaskState
  gate: string | null
  attempt: number
  charged: number
  attempt_limit: number
  ready_at: Date | null
  queued_at: Date | null
  started_at: Date | null
  finished_at: Date | null
  cancelled_how: 'requested' | 'acknowledged' | 'forced' | null
  queue_wait_ms: string
  losses: number
  review_kind: string | null
  run_after: Date | null
  sla_until: Date | null
  /** Pauses put it off. */
  deadline_at: Date | null
  progress: string | null
  output: string | null
  failure: string | null
  waits_for: string[] | null
  assignee: string | null
  reviewed_since: Date | null
}

/** Outputs over this are not part of a list; they are read one by one. */
const maxListedOutput = 256 * 1024

const subtaskRows = (definitions: string, which: string, limit: string): string => `
select d.id::text, d.ordinal, d.subtask_id, d.name, d.title, d.capability, r.agent as pinned_agent, r.requires, d.generation,
  s.agent, s.worker_id, s.state, s.gate, s.attempt, s.charged, s.attempt_limit, s.ready_at, s.queued_at, s.started_at, s.finished_at, s.cancelled_how, s.queue_wait_ms, s.losses, s.run_after, s.sla_until, s.scheduled_at + s.deadline_ms * interval '1 millisecond' as deadline_at, s.progress,
  case when octet_length(a.output) <= ${maxListedOutput} then a.output end as output, a.failure,
  case when s.state = 'pending' then (
    select json_agg(x.name) from (
      select f.name from (select from_id from dependencies where to_id = d.id offset 0) e
      cross join lateral (select fs.state from subtask_states fs where fs.id = e.from_id limit 1) fs
      cross join lateral (select f.name from subtasks f where f.id = e.from_id limit 1) f
      where fs.state not in (${sqlList(terminalSubtaskStates)}) limit 4) x) end as waits_for,
  v.kind as review_kind, v.assignee, v.created_at as reviewed_since
from ${definitions} d
join subtask_states s on s.id = d.id
join routes r on r.id = s.route_id
left join lateral (
  select output, failure from attempts a where a.subtask_pk = d.id and a.attempt <= s.attempt and s.attempt > 0 order by a.attempt desc limit 1
) a on s.state in ('completed', 'failed', 'skipped', 'needs_review', 'retrying')
left join lateral (
  select r.kind, r.assignee, r.created_at from reviews r where r.subtask_pk = d.id and r.status = 'open' order by r.id limit 1
) v on s.state in ('awaiting_approval', 'needs_review', 'blocked')
where ${which}
order by d.ordinal
limit ${limit}`

const subtaskPage = subtaskRows('subtasks', 'd.task_pk = w.task_pk and d.superseded = 0 and d.ordinal > w.after', 'w.rows')
const subtasks = ofTask('read_subtasks', subtaskPage)

/** How many subtasks are looked at to find those that wait; the next page goes on behind them. */
const maxLookedAt = 10_000

const waiting = prepared(
  'read_waiting',
  subtaskRows(
    `(select * from subtasks where task_pk = $1 and superseded = 0 and ordinal > $2 and ordinal <= $2 + ${maxLookedAt} order by ordinal limit ${maxLookedAt})`,
    `s.state not in (${sqlList(terminalSubtaskStates)}) and (s.state <> 'running' or s.cancel_requested_at is not null)`,
    '$3',
  ),
)

const lastOrdinal = prepared(
  'read_last_ordinal',
  `select ordinal from subtasks where task_pk = $1 and superseded = 0 order by ordinal desc limit 1`,
)

/** Up to `limit` subtasks that wait for something, and the ordinal behind which to go on; undefined: there is no more. */
export async function readWaiting(
  db: Queryable,
  taskPk: string,
  afterOrdinal: number,
  limit: number,
): Promise<{ rows: SubtaskRow[]; next: number | undefined }> {
  const [found, last] = await Promise.all([
    db.query<SubtaskRow>(waiting, [taskPk, afterOrdinal, limit + 1]),
    db.query<{ ordinal: number }>(lastOrdinal, [taskPk]),
  ])
  const rows = found.rows.slice(0, limit)
  const lookedAt = afterOrdinal + maxLookedAt
  const behind = found.rows.length > limit ? rows.at(-1)?.ordinal : lookedAt < (last.rows[0]?.ordinal ?? 0) ? lookedAt : undefined
  return { rows, next: behind }
}

export interface StateCount {
  state: SubtaskState
  count: number
  attempts: number
}

const stateCounts = `
select s.state, count(*)::int as count, sum(s.charged + s.uncharged + (s.state = 'completed')::int)::int as attempts
from subtasks d cross join lateral (select state, charged, uncharged from subtask_states s where s.id = d.id limit 1) s
where d.task_pk = w.task_pk and d.superseded = 0
group by s.state`
const counts = ofTask('count_subtasks', stateCounts)

export interface EdgeRow {
  from: string
  to: string
  from_ordinal: number
  to_ordinal: number
}

const edgePage = `
select f.subtask_id as "from", d.subtask_id as "to", f.ordinal as from_ordinal, d.ordinal as to_ordinal
from subtasks d
cross join lateral (select from_id from dependencies where to_id = d.id offset 0) e
cross join lateral (select subtask_id, ordinal from subtasks f where f.id = e.from_id limit 1) f
where d.task_pk = w.task_pk and d.superseded = 0 and d.ordinal >= w.after and (d.ordinal, f.ordinal) > (w.after, w.after_from)
order by d.ordinal, f.ordinal
limit w.rows`
const edges = ofTask('read_dependencies', edgePage)

export interface ArtifactRow {
  id: string
  name: string
  subtask_id: string
  media_type: string
  bytes: string
  sha256: string
}

const artifactPage = `
select f.id::text, f.name, d.subtask_id, f.media_type, f.bytes, f.sha256
from artifacts f cross join lateral (select d.subtask_id, d.superseded from subtasks d where d.id = f.subtask_pk limit 1) d
where f.task_pk = w.task_pk and d.superseded = 0 and f.id > w.after order by f.id limit w.rows`
const artifacts = ofTask('read_artifacts', artifactPage)

/** Up to so many artifacts behind the one of the id `after`. */
export function readArtifacts(db: Queryable, taskPk: string, after: number, rows: number): Promise<ArtifactRow[]> {
  return rowsOfTask(db, artifacts, taskPk, { after, rows })
}

const artifactFacts = prepared(
  'read_artifact',
  `
select f.media_type, f.sha256, f.bytes, f.claim_id, f.stored
from tasks k join subtasks d on d.task_pk = k.id join artifacts f on f.subtask_pk = d.id
where ${taskCalled('k.', '$1', '$2')} and d.subtask_id = $3 and f.name = $4
order by d.generation desc limit 1`,
)

export interface ArtifactFacts {
  media_type: string
  sha256: string
  bytes: string
  claim_id: string
  stored: ArtifactPlace
}

/** What is known of one artifact, of the latest generation of its subtask. */
export async function readArtifact(
  db: Queryable,
  tenantId: number,
  taskId: string,
  subtaskId: string,
  name: string,
): Promise<ArtifactFacts | undefined> {
  return (await db.query<ArtifactFacts>(artifactFacts, [tenantId, taskId, subtaskId, name])).rows[0]
}

const statusHistory = `
select e.at, e.data from events e
where e.task_pk = w.task_pk and e.subtask_pk is null and e.name like 'task.%' and e.data is not null
order by e.xid, e.seq limit 1000`
const history = ofTask('read_status_history', statusHistory)

interface StatusRow {
  at: Date
  data: string
}

const openReview = `
select r.id::text, r.kind, d.subtask_id, d.name, r.assignee, r.created_at from reviews r left join subtasks d on d.id = r.subtask_pk
where r.task_pk = w.task_pk and r.status = 'open' order by r.id limit 1`
const review = ofTask('read_open_review', openReview)

export interface OpenReviewRow {
  id: string
  kind: string
  subtask_id: string | null
  name: string | null
  assignee: string | null
  created_at: Date
}

/** The first review of the task that is open. */
export async function readOpenReview(db: Queryable, taskPk: string): Promise<OpenReviewRow | undefined> {
  return (await rowsOfTask<OpenReviewRow>(db, review, taskPk))[0]
}

/**
 * The last settled event, plus how many later ones are visible. Transactions may commit in another order than they
 * wrote, so the newest position alone could stay the same while an older one appears.
 */
const versionColumns = `k.active, k.reviewing, k.blocked, k.progress_version,
  (select o.status from orchestrators o where o.tenant_id = k.tenant_id and o.id = k.orchestrator_id) as owner,
  (select extract(epoch from n.paused_at)::text from tenants n where n.id = k.tenant_id) as paused,
  (select e.xid::text || '-' || e.seq from events e where e.task_pk = k.id and e.xid < pg_snapshot_xmin(pg_current_snapshot()) order by e.xid desc, e.seq desc limit 1) as settled,
  (select count(*) from events e where e.task_pk = k.id and e.xid >= pg_snapshot_xmin(pg_current_snapshot())) as unsettled`

interface VersionColumns {
  id: string
  status: TaskStatus
  active: unknown
  reviewing: unknown
  blocked: unknown
  progress_version: unknown
  owner: unknown
  paused: unknown
  settled: unknown
  unsettled: unknown
}

const versionOf = (row: VersionColumns): string =>
  [row.settled, row.unsettled, row.status, row.active, row.reviewing, row.blocked, row.progress_version, row.owner, row.paused].join('.')

const versions = prepared(
  'task_versions',
  `
select w.n, k.id, k.status, ${versionColumns}
from json_to_recordset($1::json) as w(n int, tenant_id int, task_id text)
cross join lateral (select * from tasks k where ${taskCalled('k.', 'w.tenant_id', 'w.task_id')} limit 1) k`,
)

export interface TaskVersion {
  id: string
  version: string
  status: TaskStatus
}

/** One for each that is asked for, in order; undefined: there is no such task. */
export async function readTaskVersions(db: Queryable, wanted: readonly TaskKey[]): Promise<(TaskVersion | undefined)[]> {
  const { rows } = await db.query<VersionColumns & { n: number }>(versions, [JSON.stringify(wanted.map(keyed))])
  return inPlace(
    wanted.length,
    rows.map(row => ({ n: row.n, id: row.id, status: row.status, version: versionOf(row) })),
  )
}

/** Which part of its lists is wanted: up to `rows` of each, behind these places. */
export interface ViewPage {
  readonly rows: number
  readonly subtasksAfter: number
  readonly dependenciesAfter: readonly [number, number]
  readonly artifactsAfter: number
}

/** The lists of a view. */
export interface TaskParts {
  readonly subtasks: readonly SubtaskRow[]
  readonly counts: readonly StateCount[]
  readonly edges: readonly EdgeRow[]
  readonly artifacts: readonly ArtifactRow[]
  readonly history: readonly StatusRow[]
  readonly review: OpenReviewRow | undefined
}

/** A task as of one moment. `parts` only of those that are small. */
export interface StoredView {
  readonly version: string
  readonly task: TaskRow
  readonly parts: TaskParts | undefined
}

/** Tasks of more subtasks than this have their lists read by themselves: they hold up nobody, and are never one value. */
const maxListed = 100

/** All rows of a select about row `w`, in order, as one JSON array. */
const listed = (rows: string, after = '0', afterFrom = '0'): string =>
  `(select json_agg(x) from (select k.id as task_pk, ${after} as after, ${afterFrom} as after_from, w.rows as rows offset 0) w cross join lateral (${rows}) x)`

const views = prepared(
  'read_views',
  `
select w.n, ${taskColumns}, ${versionColumns}, p.*
from json_to_recordset($1::json) as w(n int, tenant_id int, task_id text, rows int, subtasks_after bigint, edges_after int, edges_after_from int, artifacts_after bigint)
cross join ${taskWithHold('w.tenant_id', 'w.task_id')}
left join lateral (
  select ${listed(subtaskPage, 'w.subtasks_after')} as subtasks,
    ${listed(stateCounts)} as counts,
    ${listed(edgePage, 'w.edges_after', 'w.edges_after_from')} as edges,
    ${listed(artifactPage, 'w.artifacts_after')} as artifacts,
    ${listed(statusHistory)} as history,
    ${listed(openReview)} as reviews
) p on k.total <= ${maxListed}
where ${few('w.n')}`,
)

/** As JSON has them: dates are texts. */
interface ListedParts {
  subtasks: SubtaskRow[] | null
  counts: StateCount[] | null
  edges: EdgeRow[] | null
  artifacts: ArtifactRow[] | null
  history: StatusRow[] | null
  reviews: OpenReviewRow[] | null
}

const subtaskDates = [
  'ready_at',
  'queued_at',
  'started_at',
  'finished_at',
  'run_after',
  'sla_until',
  'deadline_at',
  'reviewed_since',
] as const

function dated<K extends string, R extends { [key in K]: Date | null }>(rows: R[] | null, keys: readonly K[]): R[] {
  const dates: { [key in K]: Date | null }[] = rows ?? []
  for (const row of dates) for (const key of keys) if (row[key] !== null) row[key] = new Date(row[key])
  return rows ?? []
}

/** One for each that is asked for, in order, all as of the same moment; undefined: there is no such task. */
export async function readViews(db: Queryable, wanted: readonly (TaskKey & ViewPage)[]): Promise<(StoredView | undefined)[]> {
  const pages = wanted.map((one, n) => ({
    ...keyed(one, n),
    rows: one.rows,
    subtasks_after: one.subtasksAfter,
    edges_after: one.dependenciesAfter[0],
    edges_after_from: one.dependenciesAfter[1],
    artifacts_after: one.artifactsAfter,
  }))
  const { rows } = await db.query<TaskRow & VersionColumns & ListedParts & { n: number }>(views, [JSON.stringify(pages)])
  const found = rows.map(row => ({ n: row.n, version: versionOf(row), task: row, parts: row.total > maxListed ? undefined : partsOf(row) }))
  return inPlace(wanted.length, found)
}

const partsOf = ({ subtasks, counts, edges, artifacts, history, reviews }: ListedParts): TaskParts => ({
  subtasks: dated(subtasks, subtaskDates),
  counts: counts ?? [],
  edges: edges ?? [],
  artifacts: artifacts ?? [],
  history: dated(history, ['at']),
  review: dated(reviews, ['created_at'])[0],
})

/** The lists of a task that is not small. */
export async function readParts(db: Queryable, taskPk: string, page: ViewPage): Promise<TaskParts> {
  const { rows, subtasksAfter, dependenciesAfter, artifactsAfter } = page
  const [after, afterFrom] = dependenciesAfter
  const [listedSubtasks, stateCounts, listedEdges, listedArtifacts, statuses, open] = await Promise.all([
    rowsOfTask<SubtaskRow>(db, subtasks, taskPk, { after: subtasksAfter, rows }),
    rowsOfTask<StateCount>(db, counts, taskPk),
    rowsOfTask<EdgeRow>(db, edges, taskPk, { after, afterFrom, rows }),
    readArtifacts(db, taskPk, artifactsAfter, rows),
    rowsOfTask<StatusRow>(db, history, taskPk),
    readOpenReview(db, taskPk),
  ])
  return { subtasks: listedSubtasks, counts: stateCounts, edges: listedEdges, artifacts: listedArtifacts, history: statuses, review: open }
}
