/** Pausing everything of a tenant, and letting it go on. Claims and the dispatcher look at `tenants.paused_at` (pauses.ts). */
import type { Queryable, Statement } from './database.js'
import { closePauses, openPauses } from './pauses.js'
import { prepared } from './statements.js'

export interface SystemRow {
  paused_at: Date | null
  paused_by: string | null
  pause_reason: string | null
  /** Whether it was paused before. */
  before: boolean
}

const verb = (name: 'pause' | 'resume', guard: string, changes: string): Statement =>
  prepared(
    `${name}_system`,
    `
with target as materialized (select id, paused_at, paused_by, pause_reason from tenants where id = $1 for update),
moved as (
  update tenants n set ${changes} where n.id = (select id from target where paused_at is ${guard})
  returning n.id, n.paused_at, n.paused_by, n.pause_reason
),
${(name === 'pause' ? openPauses : closePauses)('pauses_moved', 'tenant', `select id as tenant_id, ''::text as ref from moved`)},
event as (
  insert into events (tenant_id, name, data) select id, 'system.${name}d', json_build_object('reason', $2::text, 'by', $3::text)::text from moved
)
select paused_at, paused_by, pause_reason, ${name === 'resume'} as before from moved
union all
select paused_at, paused_by, pause_reason, paused_at is not null from target where not exists (select from moved)`,
  )

const verbs = {
  pause: verb('pause', 'null', 'paused_at = clock_timestamp(), paused_by = $3, pause_reason = $2'),
  resume: verb('resume', 'not null', 'paused_at = null, paused_by = null, pause_reason = null'),
}

/** Idempotent: answers with what is then, and was before. */
export async function controlSystem(
  db: Queryable,
  which: keyof typeof verbs,
  tenantId: number,
  told: { reason: string | null; actor: string },
): Promise<SystemRow> {
  return (await db.query<SystemRow>(verbs[which], [tenantId, told.reason, told.actor])).rows[0] as SystemRow // the tenant of a caller exists
}
