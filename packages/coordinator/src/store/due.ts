/** One cheap look at whether anything is late, so that an idle system runs no sweeps. */
import type { Queryable, Statement } from './database.js'

export interface Due {
  /** The database's clock at this look. */
  at: string
  /** Leases ran out. */
  lost: boolean
  /** Attempts exceeded their SLA. */
  late: boolean
  /** Workers fell silent. */
  silent: boolean
  /** Tasks ended with subtasks still to be cancelled. */
  unswept: boolean
}

const statement: Statement = {
  name: 'read_due',
  text: `
select
  clock_timestamp()::text as at,
  exists (select from subtask_states where state = 'running' and lease_until < clock_timestamp()) as lost,
  exists (select from subtask_states where state = 'running' and sla_until < clock_timestamp()) as late,
  exists (select from workers where state in ('starting', 'ready', 'draining') and last_heartbeat_at < clock_timestamp() - $1::int * interval '1 millisecond') as silent,
  exists (select from tasks where unswept) as unswept`,
}

/** `silentMs`: how long a worker may be silent. */
export async function readDue(db: Queryable, silentMs: number): Promise<Due> {
  return (await db.query<Due>(statement, [silentMs])).rows[0] as Due // a select without `from` has one row
}
