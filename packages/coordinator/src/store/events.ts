/**
 * Committed events, in order. Sequence numbers are drawn before commit, so readers order by (xid, seq) and stop below the
 * oldest transaction that still runs: whatever has a position there is committed or will never be (I10).
 *
 * A task's events and the chunks that its agents streamed are one order; elsewhere chunks are left out.
 */
import type { Queryable, Statement } from './database.js'
import { taskCalled } from './fragments.js'
import { prepared } from './statements.js'

/** A place in the order of events. `seq` 0: before all of that transaction. */
export interface Position {
  readonly xid: bigint
  readonly seq: bigint
}

export const beginning: Position = { xid: 0n, seq: 0n }

const maxXid = 2n ** 64n - 1n
const maxSeq = 2n ** 63n - 1n
/** Characters of data in one page; a larger event goes alone. */
const maxPageLength = 512 * 1024

/** `<xid>-<seq>`, or undefined for anything else. */
export function parsePosition(text: string): Position | undefined {
  const match = /^(\d{1,20})-(\d{1,19})$/.exec(text)
  if (!match?.[1] || !match[2]) return undefined
  const position = { xid: BigInt(match[1]), seq: BigInt(match[2]) }
  return position.xid <= maxXid && position.seq <= maxSeq ? position : undefined
}

export const positionText = ({ xid, seq }: Position): string => `${xid}-${seq}`

export function isBefore(a: Position, b: Position): boolean {
  return a.xid < b.xid || (a.xid === b.xid && a.seq < b.seq)
}

export interface EventRow {
  readonly xid: string
  readonly seq: string
  readonly at: Date
  readonly tenant_id: number
  readonly name: string
  readonly task_pk: string | null
  readonly task_id: string | null
  readonly orchestrator_id: string | null
  readonly subtask_id: string | null
  readonly subtask: string | null
  readonly attempt: number | null
  readonly agent: string | null
  readonly worker_id: string | null
  /** JSON text. */
  readonly data: string | null
}

export interface EventPage {
  readonly rows: readonly EventRow[]
  /** All that the question was about and that is not behind it has been read. */
  readonly read: Position
  /** There is more at once. */
  readonly full: boolean
  /** Some are written whose turn comes when an older transaction has ended. */
  readonly heldBack: boolean
}

type Found = { readonly horizon: string; readonly held_back: boolean } & (EventRow | { readonly xid: null })

const columns = 'xid, seq, at, tenant_id, name, task_pk, subtask_pk, attempt, agent, worker_id, data'
const chunkColumns = `xid, seq, at, tenant_id, 'subtask.output' as name, task_pk, subtask_pk, attempt, agent, null::text as worker_id, '{"from":' || n || ',"chunks":' || chunks || '}' as data`
const settled = '(xid, seq) > ($1::xid8, $2::bigint) and xid < h.horizon'
const bounded = 'order by xid, seq limit $3'

/** One row at least, so that an empty page has its horizon too. */
const page = (source: string): string => `
select h.horizon::text, h.held_back, e.xid::text, e.seq::text, e.at, e.tenant_id, e.name, e.task_pk::text, k.task_id, k.orchestrator_id,
  d.subtask_id, d.name as subtask, e.attempt, e.agent, e.worker_id, e.data
from (
  select pg_snapshot_xmin(pg_current_snapshot()) as horizon,
    exists (select from events where xid >= pg_snapshot_xmin(pg_current_snapshot())) as held_back
) h
left join lateral (${source}) e on true
left join lateral (select task_id, orchestrator_id from tasks where id = e.task_pk limit 1) k on true
left join lateral (select subtask_id, name from subtasks where id = e.subtask_pk limit 1) d on true
order by e.xid, e.seq`

const both = (which: string): string => `
select * from (
  (select ${columns} from events where ${which} and ${settled} ${bounded})
  union all
  (select ${chunkColumns} from stream_chunks where ${which} and ${settled} ${bounded})
) both_of_them ${bounded}`

const ofAll = prepared('read_events', page(`select ${columns} from events where tenant_id = any ($4::int[]) and ${settled} ${bounded}`))

const ofTask = prepared('read_task_events', page(both('task_pk = $4::bigint')))

/** By position, not by task: what is new is little, however many tasks are followed. */
const ofTasks = prepared(
  'read_tasks_events',
  page(`
select * from (
  (select ${columns} from events where (tenant_id = any ($4::int[]) or task_pk = any ($5::bigint[])) and ${settled} ${bounded})
  union all
  (select ${chunkColumns} from stream_chunks where task_pk = any ($5::bigint[]) and ${settled} ${bounded})
) both_of_them ${bounded}`),
)

async function read(db: Queryable, statement: Statement, after: Position, limit: number, rest: readonly unknown[]): Promise<EventPage> {
  const { rows } = await db.query<Found>(statement, [after.xid.toString(), after.seq.toString(), limit, ...rest])
  const found = rows.filter((row): row is Found & EventRow => row.xid !== null)
  const kept = found.slice(0, fitting(found))
  const last = kept.at(-1)
  const horizon: Position = { xid: BigInt(rows[0]?.horizon ?? 0), seq: 0n }
  const full = (found.length >= limit || kept.length < found.length) && last !== undefined
  return {
    rows: kept,
    read: full ? { xid: BigInt(last.xid), seq: BigInt(last.seq) } : isBefore(horizon, after) ? after : horizon,
    full,
    heldBack: rows[0]?.held_back ?? false,
  }
}

/** How many of the rows one page holds: streamed chunks may be large. */
function fitting(rows: readonly EventRow[]): number {
  let length = 0
  const over = rows.findIndex((row, i) => {
    length += row.data?.length ?? 0
    return i > 0 && length > maxPageLength
  })
  return over === -1 ? rows.length : over
}

/** Events of a tenant behind a position, whatever they are about. */
export function readTenantEvents(db: Queryable, tenantId: number, after: Position, limit: number): Promise<EventPage> {
  return read(db, ofAll, after, limit, [[tenantId]])
}

/** Events and streamed chunks of one task. */
export function readTaskEvents(db: Queryable, taskPk: string, after: Position, limit: number): Promise<EventPage> {
  return read(db, ofTask, after, limit, [taskPk])
}

/** What is new of these tenants, and of these tasks with their chunks. */
export function readNewEvents(
  db: Queryable,
  of: { readonly tenantIds: readonly number[]; readonly taskPks: readonly string[] },
  after: Position,
  limit: number,
): Promise<EventPage> {
  return read(db, ofTasks, after, limit, [of.tenantIds, of.taskPks])
}

const horizon = prepared('read_horizon', 'select pg_snapshot_xmin(pg_current_snapshot())::text as xid')

/** Up to where everything is settled. */
export async function readHorizon(db: Queryable): Promise<Position> {
  return { xid: BigInt((await db.query<{ xid: string }>(horizon)).rows[0]?.xid ?? 0), seq: 0n }
}

const followed = prepared(
  'read_followed_task',
  `
select k.id::text, t.xid::text, t.seq::text
from tasks k
left join lateral (
  select xid, seq from events e where e.task_pk = k.id and e.subtask_pk is null and e.name in ('task.completed', 'task.failed', 'task.cancelled')
  order by xid desc, seq desc limit 1
) t on k.status in ('completed', 'failed', 'cancelled')
where ${taskCalled('k.', '$1', '$2')}`,
)

/** A task, and of one that has ended the place of its terminal event, which need not be settled yet. */
export async function readFollowedTask(
  db: Queryable,
  tenantId: number,
  taskId: string,
): Promise<{ readonly id: string; readonly ended: Position | undefined } | undefined> {
  const row = (await db.query<{ id: string; xid: string | null; seq: string | null }>(followed, [tenantId, taskId])).rows[0]
  if (!row) return undefined
  return { id: row.id, ended: row.xid === null || row.seq === null ? undefined : { xid: BigInt(row.xid), seq: BigInt(row.seq) } }
}
