/**
 * Orchestrators: making, changing, pausing and deleting them, and pausing everything. Whatever lets work go on again wakes
 * the dispatchers.
 */
import { randomBytes } from 'node:crypto'
import {
  BatonError,
  type CreateOrchestratorRequest,
  defaultOrchestratorId,
  jsonText,
  limitsOf,
  maxMetadataBytes,
  namePattern,
  type OrchestratorList,
  type OrchestratorStatus,
  type OrchestratorView,
  parseStrictJson,
  plainValue,
  RawJson,
  type SystemStanding,
  type UpdateOrchestratorRequest,
} from '@baton/shared'
import type { Database } from '../store/database.js'
import {
  countUnfinished,
  deleteOrchestratorRow,
  forgetOrchestrators,
  insertOrchestrator,
  listOrchestrators,
  type OrchestratorDefinition,
  type OrchestratorRow,
  readOrchestratorRow,
  setOrchestratorStatus,
  updateOrchestratorRow,
} from '../store/orchestrators.js'
import { controlSystem } from '../store/system.js'
import type { Caller, OrchestratorFilters } from './api.js'
import { badCursor } from './task-view.js'

interface OrchestratorsOptions {
  readonly database: Database
  /** A lease has to outlast two heartbeats. */
  readonly heartbeatMs: number
  /** What was held up may go on, here and at other coordinators. */
  readonly onReady: () => void
  /** Limits changed: what waits to start may now. */
  readonly onRoom: () => void
}

export function createOrchestrators({ database, heartbeatMs, onReady, onRoom }: OrchestratorsOptions) {
  const define = (request: UpdateOrchestratorRequest, before: OrchestratorDefinition | undefined): OrchestratorDefinition => {
    const metadata = mergeMetadata(before?.metadata ?? '{}', request.metadata)
    const limits = limitsOf(JSON.parse(metadata) as Record<string, unknown>) // an object, as it was checked
    const issues = [
      ...(Buffer.byteLength(metadata) > maxMetadataBytes ? [{ path: 'metadata', issue: 'would be more than 64 KiB together' }] : []),
      ...(limits.lease !== null && limits.lease <= 2 * heartbeatMs
        ? [{ path: 'metadata.lease', issue: `must be more than ${2 * heartbeatMs}, so that one lost heartbeat loses no lease` }]
        : []),
    ]
    if (issues.length > 0)
      throw new BatonError('invalid_request', `the orchestrator is not acceptable: ${issues.map(i => `${i.path} ${i.issue}`).join('; ')}`, {
        fields: issues,
      })
    const { name, description, agent_id, default_worker_agent_id } = request
    return {
      name: name ?? before?.name ?? '',
      description: description ?? before?.description ?? '',
      agent_id: agent_id === undefined ? (before?.agent_id ?? null) : agent_id,
      default_worker_agent_id: default_worker_agent_id === undefined ? (before?.default_worker_agent_id ?? null) : default_worker_agent_id,
      metadata,
      limits,
    }
  }

  return {
    /** Throws `invalid_request`. */
    async orchestrators({ tenantId }: Caller, { status, limit, cursor }: OrchestratorFilters): Promise<OrchestratorList> {
      if (cursor !== undefined && !namePattern.test(cursor)) throw badCursor('cursor')
      const rows = await listOrchestrators(database, { tenantId, status: status ?? null, after: cursor ?? null, limit: limit + 1 })
      const shown = rows.slice(0, limit)
      return { orchestrators: shown.map(viewOf), next_cursor: rows.length > limit ? (shown[shown.length - 1]?.id ?? null) : null }
    },

    /** Throws `orchestrator_not_found`. */
    async orchestrator({ tenantId }: Caller, id: string): Promise<OrchestratorView> {
      const row = await readOrchestratorRow(database, { tenantId, id }, { lock: false })
      if (!row) throw notFound(id)
      return viewOf(row)
    },

    /** Throws `invalid_request`, and `state_conflict` where the id is taken. */
    async createOrchestrator({ tenantId, actor }: Caller, request: CreateOrchestratorRequest): Promise<OrchestratorView> {
      const id = request.id ?? `orc-${randomBytes(10).toString('hex')}`
      const row = await insertOrchestrator(database, { tenantId, id }, define(request, undefined), actor)
      if (!row)
        throw new BatonError('state_conflict', `the id ${id} belongs to an orchestrator already, perhaps to a deleted one; choose another`)
      forgetOrchestrators(database)
      return viewOf(row)
    },

    /** Throws `orchestrator_not_found`, `invalid_request`. */
    async updateOrchestrator({ tenantId, actor }: Caller, id: string, request: UpdateOrchestratorRequest): Promise<OrchestratorView> {
      const row = await database.transaction(async tx => {
        const before = await readOrchestratorRow(tx, { tenantId, id }, { lock: true })
        if (!before) throw notFound(id)
        const after = define(request, { ...before, limits: limitsOf({}) })
        const changed = (['name', 'description', 'agent_id', 'default_worker_agent_id', 'metadata'] as const).filter(
          field => after[field] !== before[field],
        )
        if (changed.length === 0) return before
        return (await updateOrchestratorRow(tx, { tenantId, id }, after, { changed, actor })) ?? before
      })
      forgetOrchestrators(database)
      onRoom()
      return viewOf(row)
    },

    /** Idempotent. Throws `orchestrator_not_found`, and `state_conflict` for the default one, which always runs. */
    async setOrchestratorStatus(
      { tenantId, actor }: Caller,
      id: string,
      status: OrchestratorStatus,
      reason: string | null,
    ): Promise<OrchestratorView> {
      if (id === defaultOrchestratorId && status !== 'running')
        throw new BatonError(
          'state_conflict',
          'the orchestrator `default` always runs; pause single tasks, or everything with POST /pause',
          { extra: { orchestrator_status: 'running' } },
        )
      const row = await setOrchestratorStatus(database, { tenantId, id }, status, { reason, actor })
      if (!row) throw notFound(id)
      forgetOrchestrators(database)
      if (row.status === 'running' && row.before !== 'running') onReady()
      return viewOf(row)
    },

    /** In any status. Throws `orchestrator_not_found`; `state_conflict` for the default one, and while a task of it is unfinished. */
    async deleteOrchestrator({ tenantId, actor }: Caller, id: string): Promise<{ deleted_id: string }> {
      if (id === defaultOrchestratorId)
        throw new BatonError('state_conflict', 'the orchestrator `default` cannot be deleted: it owns every task that names no other')
      await database.transaction(async tx => {
        const row = await readOrchestratorRow(tx, { tenantId, id }, { lock: true })
        if (!row) throw notFound(id)
        const unfinished = await countUnfinished(tx, { tenantId, id })
        if (unfinished > 0)
          throw new BatonError(
            'state_conflict',
            `orchestrator ${id} has ${unfinished} unfinished ${unfinished === 1 ? 'task' : 'tasks'}, which deleting it would strand; let ${unfinished === 1 ? 'it' : 'them'} end or cancel ${unfinished === 1 ? 'it' : 'them'} first (GET /tasks?orchestrator_id=${id})`,
            { extra: { orchestrator_status: row.status, unfinished_tasks: unfinished } },
          )
        await deleteOrchestratorRow(tx, { tenantId, id }, actor)
      })
      forgetOrchestrators(database)
      return { deleted_id: id }
    },

    /** Idempotent: a second pause changes neither since when, nor by whom. */
    async controlSystem({ tenantId, actor }: Caller, verb: 'pause' | 'resume', reason: string | null): Promise<SystemStanding> {
      const row = await controlSystem(database, verb, tenantId, { reason, actor })
      forgetOrchestrators(database)
      if (verb === 'resume' && row.before) onReady()
      return { paused: row.paused_at !== null, since: row.paused_at?.toISOString() ?? null, by: row.paused_by, reason: row.pause_reason }
    },
  }
}
export type Orchestrators = ReturnType<typeof createOrchestrators>

function viewOf({ tenant_id: _, ...row }: OrchestratorRow & { before?: unknown }): OrchestratorView {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    agent_id: row.agent_id,
    default_worker_agent_id: row.default_worker_agent_id,
    thread_id: row.thread_id,
    status: row.status,
    metadata: new RawJson(row.metadata, JSON.parse(row.metadata)),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  }
}

/** Key by key, each value with the bytes that it was sent as; null deletes a key. */
export function mergeMetadata(before: string, changes: unknown): string {
  const members = membersOf(before)
  for (const [key, value] of changes === undefined ? [] : membersOf(jsonText(changes)))
    if (plainValue(value) === null) members.delete(key)
    else members.set(key, value)
  return `{${[...members].map(([key, value]) => `${JSON.stringify(key)}:${jsonText(value)}`).join(',')}}`
}

function membersOf(text: string): Map<string, unknown> {
  const keys = new Set(Object.keys(JSON.parse(text) as Record<string, unknown>)) // an object, as it was checked
  return new Map(Object.entries(parseStrictJson(text, { rawKeys: keys }) as Record<string, unknown>))
}

function notFound(id: string): BatonError {
  return new BatonError('orchestrator_not_found', `there is no orchestrator ${id}`)
}
