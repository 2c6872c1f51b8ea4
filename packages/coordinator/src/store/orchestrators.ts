/** Orchestrators, as far as dispatching and planning need them. */
import type { Queryable, Statement } from './database.js'

export interface OrchestratorSettings {
  id: string
  status: 'idle' | 'running' | 'paused'
  default_worker_agent_id: string | null
  retry_attempts: number | null
  timeout_ms: string | null
  queue_wait_ms: string | null
  deadline_ms: string | null
}

const read: Statement = {
  name: 'read_orchestrator',
  text: 'select id, status, default_worker_agent_id, retry_attempts, timeout_ms, queue_wait_ms, deadline_ms from orchestrators where tenant_id = $1 and id = $2',
}

/** How long a reading serves: a change is seen within this time by submissions; the claim is the gate that counts. */
const freshMs = 1_000
const cache = new WeakMap<Queryable, Map<string, { at: number; value: Promise<OrchestratorSettings | undefined> }>>()

export async function readOrchestrator(db: Queryable, tenantId: number, id: string): Promise<OrchestratorSettings | undefined> {
  const entries = cache.get(db) ?? new Map<string, { at: number; value: Promise<OrchestratorSettings | undefined> }>()
  cache.set(db, entries)
  const key = `${tenantId}/${id}`
  const known = entries.get(key)
  if (known && performance.now() - known.at < freshMs) return known.value
  const value = db.query<OrchestratorSettings>(read, [tenantId, id]).then(({ rows }) => rows[0])
  if (entries.size > 1_000) entries.clear()
  entries.set(key, { at: performance.now(), value })
  value.catch(() => entries.delete(key))
  return value
}
