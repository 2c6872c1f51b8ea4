/**
 * Deletes what ended long ago. A task goes at once, and a tombstone stays, so that a late repeat of its request is still
 * recognised (I8); its rows follow in bounded pieces, however many they are. Nothing goes that a consumer of events has
 * not passed, and no task of which a webhook has still to be told: a delivery is made of what is stored.
 */
import { terminalTaskStatuses } from '@baton/shared'
import type { Database, Queryable, Statement } from './database.js'
import { sqlList } from './fragments.js'
import { prepared } from './statements.js'

/** An event that the last of the cursors has yet to come to. */
const stillWanted = (event: string) =>
  `coalesce((${event}.xid, ${event}.seq) > (select c.xid, c.seq from event_cursors c order by c.xid, c.seq limit 1), false)`

/** Of the transaction: `clock_timestamp()` could not be looked up in an index. */
const longAgo = "now() - $1::bigint * interval '1 millisecond'"

/** Tasks that are looked at for each that may go. */
const looksPerTask = 40

const bury = prepared(
  'bury_tasks',
  `
with task as materialized (
  select k.*
  -- Of so many that ended first: while a consumer is behind, not all that waits for it is looked at each time.
  from (select o.id from tasks o where o.finished_at < ${longAgo} order by o.finished_at limit $2 * ${looksPerTask}) o
  cross join lateral (
    select k.id, k.tenant_id, k.task_id, k.digest, k.status, k.finished_at from tasks k
    where k.id = o.id and k.status in (${sqlList(terminalTaskStatuses)}) and not k.unswept
      and not exists (select from events e where e.task_pk = k.id and ${stillWanted('e')})
      and not exists (select from webhook_deliveries v where v.task_pk = k.id and v.state = 'pending' and v.give_up_at > clock_timestamp() offset 0)
    for update skip locked
  ) k
  limit $2
),
tombstone as (
  insert into tombstones (tenant_id, task_id, digest, status, finished_at)
  select tenant_id, task_id, digest, status, finished_at from task
  on conflict (tenant_id, task_id) do nothing
),
purge as (
  insert into purges (task_pk) select id from task
),
unpaused as (
  delete from pauses p using task t where p.tenant_id = t.tenant_id and p.scope = 'task' and p.ref = t.id::text
),
gone as (
  delete from tasks where id = any (array(select id from task))
)
select count(*)::int as buried from task`,
)

/** Deletes up to `limit` tasks that ended more than `keptMs` ago; says how many. Their rows are left to `purgePiece`. */
export async function buryTasks(db: Queryable, keptMs: number, limit: number): Promise<number> {
  return (await db.query<{ buried: number }>(bury, [keptMs, limit])).rows[0]?.buried ?? 0
}

/** Of how many deleted tasks rows are swept at once. */
const tasksPerPiece = 250

const nextPurges = prepared(
  'next_purges',
  'select task_pk::text as task_pk from purges where task_pk > 0 order by task_pk limit $1 for update skip locked',
)

const purgeSubtasks = prepared(
  'purge_subtasks',
  `
with piece as materialized (select id from subtasks where task_pk = any ($1::bigint[]) limit $2),
chunk as (
  delete from chunks where claim_id = any (array(select a.claim_id from attempts a where a.subtask_pk = any (array(select id from piece))))
),
artifact as (
  delete from artifacts where subtask_pk = any (array(select id from piece))
),
attempt as (
  delete from attempts where subtask_pk = any (array(select id from piece))
),
edge as (
  delete from dependencies where to_id = any (array(select id from piece))
),
state as (
  delete from subtask_states where id = any (array(select id from piece))
),
definition as (
  delete from subtasks where id = any (array(select id from piece))
)
select count(*)::int as purged from piece`,
)

/** Of what knows its task itself. */
const purgeOf = (table: 'events' | 'stream_chunks'): Statement =>
  prepared(
    `purge_${table}`,
    `
with piece as (
  delete from ${table} where ctid = any (array(select ctid from ${table} where task_pk = any ($1::bigint[]) limit $2)) returning 1
)
select count(*)::int as purged from piece`,
  )
const purgesInTurn = [purgeSubtasks, purgeOf('events'), purgeOf('stream_chunks')]

const purgeRest = prepared(
  'purge_rest',
  `
with review as (
  delete from reviews where task_pk = any ($1::bigint[])
),
note as (
  delete from notes where task_pk = any ($1::bigint[])
),
proposal as (
  delete from proposals where task_pk = any ($1::bigint[])
)
delete from purges where task_pk = any ($1::bigint[])`,
)

/**
 * Sweeps at most `limit` rows of each kind of some deleted tasks; false: nothing is left to be swept.
 * Small tasks go together: of each alone the statements and the commit would cost more than its rows.
 */
export function purgePiece(database: Database, limit: number): Promise<boolean> {
  return database.transaction(async tx => {
    const tasks = (await tx.query<{ task_pk: string }>(nextPurges, [tasksPerPiece])).rows.map(row => row.task_pk)
    if (tasks.length === 0) return false
    for (const statement of purgesInTurn) {
      const { rows } = await tx.query<{ purged: number }>(statement, [tasks, limit])
      if ((rows[0]?.purged ?? 0) >= limit) return true
    }
    await tx.query(purgeRest, [tasks])
    return true
  })
}

const forgetEvents = prepared(
  'forget_events',
  `
with piece as (
  delete from events where ctid = any (array(
    select e.ctid from events e
    where e.task_pk is null and e.at < ${longAgo} and not ${stillWanted('e')}
    order by e.at limit $2)) returning 1
)
select count(*)::int as forgotten from piece`,
)

/** Deletes up to `limit` events of workers and orchestrators that are older than `keptMs`; says how many. */
export async function forgetOldEvents(db: Queryable, keptMs: number, limit: number): Promise<number> {
  return (await db.query<{ forgotten: number }>(forgetEvents, [keptMs, limit])).rows[0]?.forgotten ?? 0
}
