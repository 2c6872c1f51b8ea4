/** Which requests a model plans at the moment, so that none is planned twice at once. */
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

export interface PlanningKey {
  readonly tenantId: number
  readonly taskId: string
  /** Of the request. */
  readonly digest: string
}

const claim = prepared(
  'claim_planning',
  `
with forgotten as (
  -- Of the statement, not of the moment: only what is the same for the whole statement can be looked up in an index.
  delete from plannings where ctid = any (array(
    select ctid from plannings where until_at < statement_timestamp() - interval '1 minute' and (tenant_id, task_id, digest) <> ($1, $2, $3)
    limit 100 for update skip locked))
)
insert into plannings (tenant_id, task_id, digest, coordinator_id, until_at)
values ($1, $2, $3, $4, clock_timestamp() + $5::int * interval '1 millisecond')
on conflict (tenant_id, task_id, digest) do update set coordinator_id = excluded.coordinator_id, until_at = excluded.until_at
  where plannings.coordinator_id = excluded.coordinator_id or plannings.until_at < clock_timestamp()
returning task_id`,
)

/** Whether this coordinator may plan it now; another one has it for as long as `forMs` otherwise. */
export async function claimPlanning(
  db: Queryable,
  { tenantId, taskId, digest }: PlanningKey,
  { coordinatorId, forMs }: { coordinatorId: string; forMs: number },
): Promise<boolean> {
  return (await db.query(claim, [tenantId, taskId, digest, coordinatorId, forMs])).rows.length > 0
}

const release = prepared(
  'release_planning',
  'delete from plannings where tenant_id = $1 and task_id = $2 and digest = $3 and coordinator_id = $4',
)

/** The request is stored, or refused for good. */
export async function releasePlanning(db: Queryable, { tenantId, taskId, digest }: PlanningKey, coordinatorId: string): Promise<void> {
  await db.query(release, [tenantId, taskId, digest, coordinatorId])
}
