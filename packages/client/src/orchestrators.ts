/** Orchestrators: named control contexts that own tasks. */
import type {
  CreateOrchestratorRequest,
  OrchestratorList,
  OrchestratorSettingsRequest,
  OrchestratorSettingsView,
  OrchestratorStatus,
  OrchestratorView,
  UpdateOrchestratorRequest,
} from '@baton/shared'
import type { Http } from './http.js'

export interface OrchestratorFilters {
  readonly status?: OrchestratorStatus
  readonly limit?: number
  readonly cursor?: string
}

export interface Orchestrators {
  /** One page, the oldest first. */
  list(filters?: OrchestratorFilters): Promise<OrchestratorList>
  /** Throws `orchestrator_not_found`. */
  get(id: string): Promise<OrchestratorView>
  /**
   * A new one is `idle`; nothing of it starts before its status is `running`. Limits stand in its `metadata`:
   * `maxConcurrentTasks`, `maxTasks`, `retryAttempts`, and in milliseconds `timeout`, `queueWait`, `deadline`, `lease`.
   * Never repeated by itself. Throws `invalid_request`, and `state_conflict` where the id is taken.
   *
   * @example
   * const { id } = await baton.orchestrators.create({ name: 'nightly', metadata: { maxConcurrentTasks: 4 } })
   * await baton.orchestrators.setStatus(id, 'running')
   */
  create(request: CreateOrchestratorRequest): Promise<OrchestratorView>
  /** What is left out stays; `metadata` are merged key by key, and null deletes a key. Throws `orchestrator_not_found`, `invalid_request`. */
  update(id: string, request: UpdateOrchestratorRequest): Promise<OrchestratorView>
  /** Throws `orchestrator_not_found`. */
  settings(id: string): Promise<OrchestratorSettingsView>
  /** As `update`, of the settings alone. */
  updateSettings(id: string, request: OrchestratorSettingsRequest): Promise<OrchestratorSettingsView>
  /** Only a running one dispatches; what is in flight finishes. Throws `orchestrator_not_found`, `state_conflict` for `default`. */
  setStatus(id: string, status: OrchestratorStatus, options?: { reason?: string }): Promise<OrchestratorView>
  /** In any status. Never repeated by itself. Throws `orchestrator_not_found`, and `state_conflict` while a task of it is unfinished. */
  delete(id: string): Promise<{ deleted_id: string }>
}

export function orchestratorsOf(http: Http): Orchestrators {
  return {
    list: ({ status, limit, cursor } = {}) => http.json({ method: 'GET', path: ['orchestrators'], query: { status, limit, cursor } }),
    get: id => http.json({ method: 'GET', path: ['orchestrators', id] }),
    create: request => http.json({ method: 'POST', path: ['orchestrators'], body: request, once: true }),
    update: (id, request) => http.json({ method: 'PATCH', path: ['orchestrators', id], body: request }),
    settings: id => http.json({ method: 'GET', path: ['orchestrators', id, 'settings'] }),
    updateSettings: (id, request) => http.json({ method: 'PATCH', path: ['orchestrators', id, 'settings'], body: request }),
    setStatus: (id, status, options = {}) =>
      http.json({ method: 'PUT', path: ['orchestrators', id, 'status'], body: { status, ...options } }),
    delete: id => http.json({ method: 'DELETE', path: ['orchestrators', id], once: true }),
  }
}
