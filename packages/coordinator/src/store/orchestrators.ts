/** Orchestrators: the rows that people make and change, and the settings that submissions need of them. */
import type { OrchestratorLimit, OrchestratorStatus } from '@baton/shared'
import { defaultOrchestratorId, terminalTaskStatuses } from '@baton/shared'
import type { Queryable } from './database.js'
import { sqlList } from './fragments.js'
import { closePauses, openPauses, pausedTenants } from './pauses.js'
import { prepared } from './statements.js'

export interface OrchestratorRow {
  tenant_id: number
  id: string
  name: string
  description: string
  agent_id: string | null
  default_worker_agent_id: string | null
  thread_id: string
  status: OrchestratorStatus
  /** JSON text. */
  metadata: string
  created_at: Date
  updated_at: Date
}

/** What a person may change of one, its limits as columns beside the metadata that they come from. */
export interface OrchestratorDefinition {
  readonly name: string
  readonly description: string
  readonly agent_id: string | null
  readonly default_worker_agent_id: string | null
  readonly metadata: string
  readonly limits: Readonly<Record<OrchestratorLimit, number | null>>
}

const columns = 'tenant_id, id, name, description, agent_id, default_worker_agent_id, thread_id, status, metadata, created_at, updated_at'

/** A mutation is always seen in `updated_at`, also by readers who know milliseconds only. */
const touchedAt = (alias: string): string => `greatest(clock_timestamp(), ${alias}.updated_at + interval '1 millisecond')`

const definitionColumns =
  'name, description, agent_id, default_worker_agent_id, metadata, max_concurrent_tasks, max_tasks, timeout_ms, retry_attempts, queue_wait_ms, deadline_ms, lease_ms'
const definitionValues = (definition: OrchestratorDefinition): unknown[] => {
  const { name, description, agent_id, default_worker_agent_id, metadata, limits: l } = definition
  const limits = [l.maxConcurrentTasks, l.maxTasks, l.timeout, l.retryAttempts, l.queueWait, l.deadline, l.lease]
  return [name, description, agent_id, default_worker_agent_id, metadata, ...limits]
}

/** `data` is a json expression over row `o`. */
const orchestratorEvent = (cte: string, name: string, data: string): string => `
event as (
  insert into events (tenant_id, name, data) select o.tenant_id, ${name}, (${data})::text from ${cte} o
)`

const insert = prepared(
  'insert_orchestrator',
  `
with added as (
  insert into orchestrators (tenant_id, id, ${definitionColumns})
  values ($1, $2, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
  on conflict (tenant_id, id) do nothing
  returning ${columns}
),
${openPauses('idle', 'orchestrator', 'select tenant_id, id as ref from added')},
${orchestratorEvent('added', `'orchestrator.created'`, `json_build_object('orchestrator', o.id, 'name', o.name, 'by', $3::text)`)}
select ${columns} from added`,
)

/** A new one is idle. Undefined: the id is, or was, another one's. */
export async function insertOrchestrator(
  db: Queryable,
  key: OrchestratorKey,
  definition: OrchestratorDefinition,
  actor: string,
): Promise<OrchestratorRow | undefined> {
  const { rows } = await db.query<OrchestratorRow>(insert, [key.tenantId, key.id, actor, ...definitionValues(definition)])
  return rows[0]
}

export interface OrchestratorKey {
  readonly tenantId: number
  readonly id: string
}

const readOne = prepared(
  'read_orchestrator_row',
  `select ${columns} from orchestrators where tenant_id = $1 and id = $2 and deleted_at is null`,
)
const lockOne = prepared(
  'lock_orchestrator',
  `select ${columns} from orchestrators where tenant_id = $1 and id = $2 and deleted_at is null for update`,
)

/** Undefined: there is none, or it was deleted. `lock` holds it until the transaction ends. */
export async function readOrchestratorRow(
  db: Queryable,
  { tenantId, id }: OrchestratorKey,
  { lock }: { lock: boolean },
): Promise<OrchestratorRow | undefined> {
  return (await db.query<OrchestratorRow>(lock ? lockOne : readOne, [tenantId, id])).rows[0]
}

const known = prepared('knows_orchestrator', 'select from orchestrators where tenant_id = $1 and id = $2')

/** Whether there is one, or was: what it did is told of also when it is deleted. */
export async function knowsOrchestrator(db: Queryable, { tenantId, id }: OrchestratorKey): Promise<boolean> {
  return (await db.query(known, [tenantId, id])).rows.length > 0
}

const list = prepared(
  'list_orchestrators',
  `
select ${columns} from orchestrators o
where o.tenant_id = $1 and o.deleted_at is null and ($2::text is null or o.status = $2)
  and ($3::text is null or (o.created_at, o.id) > (select c.created_at, c.id from orchestrators c where c.tenant_id = $1 and c.id = $3))
order by o.created_at, o.id
limit $4`,
)

/** The oldest first, those after `after`. */
export async function listOrchestrators(
  db: Queryable,
  page: { tenantId: number; status: OrchestratorStatus | null; after: string | null; limit: number },
): Promise<OrchestratorRow[]> {
  return (await db.query<OrchestratorRow>(list, [page.tenantId, page.status, page.after, page.limit])).rows
}

const update = prepared(
  'update_orchestrator',
  `
with changed as (
  update orchestrators o set (${definitionColumns}) = ($5, $6, $7, $8, $9, $10::int, $11::int, $12::bigint, $13::int, $14::bigint, $15::bigint, $16::bigint),
    updated_at = ${touchedAt('o')}
  where o.tenant_id = $1 and o.id = $2 and o.deleted_at is null
  returning ${columns}
),
${orchestratorEvent('changed', `'orchestrator.updated'`, `json_build_object('orchestrator', o.id, 'changed', $4::json, 'by', $3::text)`)}
select ${columns} from changed`,
)

/** `changed` names the fields. The caller holds the row. */
export async function updateOrchestratorRow(
  tx: Queryable,
  key: OrchestratorKey,
  definition: OrchestratorDefinition,
  told: { changed: readonly string[]; actor: string },
): Promise<OrchestratorRow | undefined> {
  const params = [key.tenantId, key.id, told.actor, JSON.stringify(told.changed), ...definitionValues(definition)]
  return (await tx.query<OrchestratorRow>(update, params)).rows[0]
}

const setStatus = prepared(
  'set_orchestrator_status',
  `
with target as materialized (
  select ${columns} from orchestrators where tenant_id = $1 and id = $2 and deleted_at is null for update
),
moved as (
  update orchestrators o set status = $3, updated_at = ${touchedAt('o')}
  from target t
  where o.tenant_id = $1 and o.id = $2 and t.status <> $3 and t.id <> '${defaultOrchestratorId}'
  returning ${columns
    .split(', ')
    .map(c => `o.${c}`)
    .join(', ')}, t.status as before
),
${openPauses('paused', 'orchestrator', `select tenant_id, id as ref from moved where status <> 'running'`)},
${closePauses('resumed', 'orchestrator', `select tenant_id, id as ref from moved where status = 'running'`)},
${orchestratorEvent(
  'moved',
  `case when o.status = 'running' then 'orchestrator.resumed' when o.before = 'running' then 'orchestrator.paused' else 'orchestrator.updated' end`,
  `json_build_object('orchestrator', o.id, 'from', o.before, 'to', o.status, 'reason', $4::text, 'by', $5::text)`,
)}
select ${columns}, before from moved
union all
select ${columns}, status from target where not exists (select from moved)`,
)

/** Sets it, unless it is the default one; answers with what it is then, and was before. Undefined: there is none. */
export async function setOrchestratorStatus(
  db: Queryable,
  { tenantId, id }: OrchestratorKey,
  status: OrchestratorStatus,
  told: { reason: string | null; actor: string },
): Promise<(OrchestratorRow & { before: OrchestratorStatus }) | undefined> {
  const params = [tenantId, id, status, told.reason, told.actor]
  return (await db.query<OrchestratorRow & { before: OrchestratorStatus }>(setStatus, params)).rows[0]
}

const unfinished = (alias: string): string => `${alias}.status not in (${sqlList(terminalTaskStatuses)})`

const countOf = prepared(
  'count_unfinished',
  `select count(*)::int as count from tasks k where k.tenant_id = $1 and k.orchestrator_id = $2 and ${unfinished('k')}`,
)

/** How many tasks of it have not ended; exact only while the caller holds its row. */
export async function countUnfinished(db: Queryable, { tenantId, id }: OrchestratorKey): Promise<number> {
  return (await db.query<{ count: number }>(countOf, [tenantId, id])).rows[0]?.count ?? 0
}

const remove = prepared(
  'delete_orchestrator',
  `
with gone as (
  update orchestrators o set deleted_at = clock_timestamp(), updated_at = ${touchedAt('o')}
  where o.tenant_id = $1 and o.id = $2 and o.deleted_at is null
  returning o.tenant_id, o.id, o.status
),
${closePauses('resumed', 'orchestrator', `select tenant_id, id as ref from gone where status <> 'running'`)},
${orchestratorEvent('gone', `'orchestrator.deleted'`, `json_build_object('orchestrator', o.id, 'from', o.status, 'by', $3::text)`)}
select id from gone`,
)

/** The caller holds the row, and has seen that nothing of it is unfinished. */
export async function deleteOrchestratorRow(tx: Queryable, { tenantId, id }: OrchestratorKey, actor: string): Promise<void> {
  await tx.query(remove, [tenantId, id, actor])
}

/** What a submission needs to know of its orchestrator. */
export interface OrchestratorSettings {
  /** What its subtasks name it by. */
  number: number
  id: string
  status: OrchestratorStatus
  agent_id: string | null
  default_worker_agent_id: string | null
  retry_attempts: number | null
  queue_wait_ms: string | null
  deadline_ms: string | null
  max_tasks: number | null
  max_concurrent_tasks: number | null
  /** Everything is paused. */
  all_paused: boolean
}

const readSettings = prepared(
  'read_orchestrator',
  `
select id, number, status, agent_id, default_worker_agent_id, retry_attempts, queue_wait_ms, deadline_ms, max_tasks, max_concurrent_tasks, tenant_id = any ${pausedTenants} as all_paused
from orchestrators where tenant_id = $1 and id = $2 and deleted_at is null`,
)

/** How long a reading serves: a change is seen within this time by submissions; the claim is the gate that counts. */
const freshMs = 1_000
const cache = new WeakMap<Queryable, Map<string, { at: number; value: Promise<OrchestratorSettings | undefined> }>>()

export async function readOrchestrator(db: Queryable, tenantId: number, id: string): Promise<OrchestratorSettings | undefined> {
  const entries = cache.get(db) ?? new Map<string, { at: number; value: Promise<OrchestratorSettings | undefined> }>()
  cache.set(db, entries)
  const key = `${tenantId}/${id}`
  const known = entries.get(key)
  if (known && performance.now() - known.at < freshMs) return known.value
  const value = db.query<OrchestratorSettings>(readSettings, [tenantId, id]).then(({ rows }) => rows[0])
  if (entries.size > 1_000) entries.clear()
  entries.set(key, { at: performance.now(), value })
  value.catch(() => entries.delete(key))
  return value
}

/** Something changed here: the next submission reads anew. */
export function forgetOrchestrators(db: Queryable): void {
  cache.get(db)?.clear()
}

const lockLimit = prepared(
  'lock_orchestrator_limit',
  'select max_tasks from orchestrators where tenant_id = $1 and id = $2 and deleted_at is null for update',
)

/**
 * Holds these orchestrators until the transaction ends, so that neither another submission nor their deletion comes in
 * between, and answers how many more tasks each may take. One that was deleted is missing.
 */
export async function lockForSubmission(tx: Queryable, keys: readonly OrchestratorKey[]): Promise<Map<string, number>> {
  const room = new Map<string, number>()
  // One by one, and all in one order, so that two batches cannot wait for each other; most are of one orchestrator.
  for (const key of [...keys].sort((a, b) => a.tenantId - b.tenantId || (a.id < b.id ? -1 : 1))) {
    const [row] = (await tx.query<{ max_tasks: number | null }>(lockLimit, [key.tenantId, key.id])).rows
    if (!row) continue
    const left = row.max_tasks === null ? Number.POSITIVE_INFINITY : row.max_tasks - (await countUnfinished(tx, key))
    room.set(`${key.tenantId}/${key.id}`, left)
  }
  return room
}
