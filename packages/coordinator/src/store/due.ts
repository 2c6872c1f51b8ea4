/** One cheap look at whether anything is late, so that an idle system runs no sweeps. */
import type { Queryable } from './database.js'
import { leftAhead } from './fail.js'
import { prepared } from './statements.js'
import { atRisk, reviewsDue, tasksTimed } from './warnings.js'
import { silent } from './workers.js'

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
  /** Agents did not heed a cancel. */
  unheeded: boolean
  /** The grace before this look: cancels asked for earlier are forced. */
  grace_ago: string
  /** Attempts are near their SLA, or tasks have a date to keep. */
  timed: boolean
  /** Reviews are past their due time. */
  reviews: boolean
}

const statement = prepared(
  'read_due',
  `
select
  clock_timestamp()::text as at,
  exists (select from subtask_states s where s.state = 'running' and (s.lease_until < clock_timestamp() or ${leftAhead('clock_timestamp()', '$1::bigint')})) as lost,
  exists (select from subtask_states where state = 'running' and sla_until < clock_timestamp()) as late,
  exists (select from workers where state in ('starting', 'ready', 'draining') and ${silent('clock_timestamp()')}) as silent,
  exists (select from tasks where unswept) as unswept,
  (clock_timestamp() - $2::int * interval '1 millisecond')::text as grace_ago,
  exists (select from subtask_states where state = 'running' and cancel_requested_at < clock_timestamp() - $2::int * interval '1 millisecond') as unheeded,
  exists (select from subtask_states s where s.state = 'running' and ${atRisk('clock_timestamp()')}) or ${tasksTimed} as timed,
  ${reviewsDue('clock_timestamp()')} as reviews`,
)

/** `leaseMs`: how long a worker may be silent; `graceMs`: how long an agent may take to heed a cancel. */
export async function readDue(db: Queryable, { leaseMs, graceMs }: { leaseMs: number; graceMs: number }): Promise<Due> {
  return (await db.query<Due>(statement, [leaseMs, graceMs])).rows[0] as Due // a select without `from` has one row
}
