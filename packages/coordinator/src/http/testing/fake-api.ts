/** A coordinator in memory, for tests of the HTTP layer: it keeps tasks, counts versions and remembers who called what. */
import { createHash } from 'node:crypto'
import {
  type AgentView,
  BatonError,
  type DeliveryView,
  type EventView,
  type KeyView,
  type OrchestrateRequest,
  type OrchestratorView,
  RawJson,
  type ReviewView,
  type SubtaskState,
  type TaskStatus,
  type TaskView,
  terminalTaskStatuses,
  type WebhookView,
  type WorkerView,
} from '@baton/shared'
import type { CoordinatorApi, SeenVersion, SubmitOutcome, VersionedTask } from '../../commands/api.js'

export class FakeApi implements CoordinatorApi {
  /** `[method, …arguments without the caller]` */
  readonly calls: unknown[][] = []
  readonly stored = new Map<string, { task: TaskView; version: number }>()
  readonly key: KeyView = {
    id: 'key-1',
    name: 'ci',
    scope: 'submit',
    tenant: 'default',
    created_at: '2026-01-01T00:00:00Z',
    created_by: 'api_key',
    revoked_at: null,
    last_used_at: null,
  }
  readonly files = new Map<string, { mediaType: string; sha256: string; data: Buffer }>()
  agentList: AgentView[] = []
  workerList: WorkerView[] = []
  reviewList: ReviewView[] = []
  orchestratorList: OrchestratorView[] = []
  checks: Record<string, string> = { database: 'ok' }
  /** Thrown by the next call of anything. */
  fault: Error | undefined
  /** How many requests wait now. */
  waiting = 0
  eventList: EventView[] = []
  /** Ends what is followed. */
  lastEvent: Promise<void> = Promise.resolve()
  private readonly watchers = new Set<() => void>()

  /** Stores a task, or a change of one. */
  put(task: TaskView): void {
    this.stored.set(task.task_id, { task, version: (this.stored.get(task.task_id)?.version ?? 0) + 1 })
    for (const wake of this.watchers) wake()
  }

  async submit(...[, requests, options]: Parameters<CoordinatorApi['submit']>): Promise<SubmitOutcome[]> {
    this.called('submit', requests, options)
    return requests.map(request => {
      const existing = this.stored.get(request.task_id)?.task
      if (existing && existing.title !== request.title)
        return {
          kind: 'refused',
          error: new BatonError('task_conflict', `task ${request.task_id} exists with another body; choose another task_id`, {
            fields: [{ path: 'title', issue: 'differs' }],
          }),
        }
      if (existing) return { kind: 'existing', task: existing }
      const task = taskOf(request)
      if (options.dryRun) return { kind: 'dry_run', task }
      this.put(task)
      return { kind: 'created', task }
    })
  }

  async execute(...[, taskId, request]: Parameters<CoordinatorApi['execute']>) {
    this.called('execute', taskId, request)
    return { task_id: taskId, status: this.find(taskId).task.status }
  }

  async controlTask(...[, taskId, verb, reason]: Parameters<CoordinatorApi['controlTask']>) {
    this.called('controlTask', taskId, verb, reason)
    const { task } = this.find(taskId)
    if ((terminalTaskStatuses as readonly TaskStatus[]).includes(task.status))
      throw new BatonError('state_conflict', `task ${taskId} is ${task.status}`, { extra: { task_status: task.status } })
    const status = ({ cancel: 'cancelled', pause: 'paused', resume: 'running' } as const)[verb]
    this.put({ ...task, status })
    return { task_id: taskId, status }
  }

  async releaseSubtask(...[, taskId, subtaskId]: Parameters<CoordinatorApi['releaseSubtask']>) {
    this.called('releaseSubtask', taskId, subtaskId)
    const subtask = this.find(taskId).task.subtasks.find(one => one.subtask_id === subtaskId)
    if (!subtask) throw new BatonError('subtask_not_found', `task ${taskId} has no subtask ${subtaskId}`)
    return { subtask_id: subtaskId, state: 'ready' as const }
  }

  async cancelSubtask(...[, taskId, subtaskId, reason]: Parameters<CoordinatorApi['cancelSubtask']>) {
    return this.moved('cancelSubtask', 'cancelled', taskId, subtaskId, reason)
  }

  async retrySubtask(...[, taskId, subtaskId, reason]: Parameters<CoordinatorApi['retrySubtask']>) {
    return this.moved('retrySubtask', 'ready', taskId, subtaskId, reason)
  }

  async reassignSubtask(...[, taskId, subtaskId, request]: Parameters<CoordinatorApi['reassignSubtask']>) {
    return this.moved('reassignSubtask', 'ready', taskId, subtaskId, request)
  }

  async rerunTask(...[, taskId, request]: Parameters<CoordinatorApi['rerunTask']>) {
    this.called('rerunTask', taskId, request)
    this.find(taskId)
    return { task_id: taskId, status: 'running' as const, subtasks: request.from.length }
  }

  async replan(...[, taskId, request, options]: Parameters<CoordinatorApi['replan']>) {
    this.called('replan', taskId, request, options)
    const { task } = this.find(taskId)
    const diff = { added: [], removed: [], changed: [], kept: task.subtasks.map(s => s.name) }
    return { task_id: taskId, status: task.status, applied: !options.dryRun, plan: task.plan, diff }
  }

  private moved<S extends SubtaskState>(method: string, state: S, taskId: string, subtaskId: string, told: unknown) {
    this.called(method, taskId, subtaskId, told)
    if (!this.find(taskId).task.subtasks.some(one => one.subtask_id === subtaskId))
      throw new BatonError('subtask_not_found', `task ${taskId} has no subtask ${subtaskId}`)
    return { subtask_id: subtaskId, state }
  }

  async orchestrators(...[, filters]: Parameters<CoordinatorApi['orchestrators']>) {
    this.called('orchestrators', filters)
    return { orchestrators: this.orchestratorList, next_cursor: null }
  }

  async orchestrator(...[, id]: Parameters<CoordinatorApi['orchestrator']>) {
    this.called('orchestrator', id)
    return this.findOrchestrator(id)
  }

  async createOrchestrator(...[, request]: Parameters<CoordinatorApi['createOrchestrator']>) {
    this.called('createOrchestrator', request)
    return { ...this.findOrchestrator('default'), id: request.id ?? 'orc-1', name: request.name, metadata: request.metadata ?? {} }
  }

  async updateOrchestrator(...[, id, request]: Parameters<CoordinatorApi['updateOrchestrator']>) {
    this.called('updateOrchestrator', id, request)
    return { ...this.findOrchestrator(id), ...(request.metadata !== undefined && { metadata: request.metadata }) }
  }

  async setOrchestratorStatus(...[, id, status, reason]: Parameters<CoordinatorApi['setOrchestratorStatus']>) {
    this.called('setOrchestratorStatus', id, status, reason)
    if (id === 'default' && status !== 'running') throw new BatonError('state_conflict', 'the orchestrator `default` always runs')
    return { ...this.findOrchestrator(id), status }
  }

  async deleteOrchestrator(...[, id]: Parameters<CoordinatorApi['deleteOrchestrator']>) {
    this.called('deleteOrchestrator', id)
    return { deleted_id: this.findOrchestrator(id).id }
  }

  async controlSystem(...[caller, verb, reason]: Parameters<CoordinatorApi['controlSystem']>) {
    this.called('controlSystem', verb, reason)
    if (verb === 'resume') return { paused: false, since: null, by: null, reason: null }
    return { paused: true, since: '2026-01-01T00:00:00Z', by: caller.actor, reason }
  }

  async reviews(...[, filters]: Parameters<CoordinatorApi['reviews']>) {
    this.called('reviews', filters)
    const reviews = this.reviewList.filter(
      one => (filters.status ?? one.status) === one.status && (filters.taskId ?? one.task_id) === one.task_id,
    )
    return { reviews: reviews.slice(0, filters.limit), next_cursor: null }
  }

  async review(...[, id]: Parameters<CoordinatorApi['review']>) {
    this.called('review', id)
    return this.findReview(id)
  }

  async assignReview(...[, id, to]: Parameters<CoordinatorApi['assignReview']>) {
    this.called('assignReview', id, to)
    return this.putReview({
      ...this.findReview(id),
      assignee: to.assignee,
      due_at: to.dueAt?.toISOString() ?? null,
      escalate_to: to.escalateTo ?? null,
    })
  }

  async decideReview(...[caller, id, { decision, reason, output, agent, digest }]: Parameters<CoordinatorApi['decideReview']>) {
    this.called('decideReview', id, { decision, reason, output, agent, digest })
    const review = this.findReview(id)
    if (review.status !== 'open')
      throw new BatonError('state_conflict', `review ${id} was decided (${review.decision}) by ${review.decided_by}`)
    return this.putReview({ ...review, status: 'decided', decision, reason, decided_by: caller.actor })
  }

  async drainWorker(...[, id]: Parameters<CoordinatorApi['drainWorker']>) {
    this.called('drainWorker', id)
    if (!this.workerList.some(one => one.id === id)) throw new BatonError('worker_not_found', `there is no worker ${id}`)
    return { id, state: 'draining' }
  }

  async task(...[, taskId, page]: Parameters<CoordinatorApi['task']>): Promise<VersionedTask> {
    this.called('task', taskId, page)
    return { task: this.find(taskId).task, version: this.versionOf(taskId).version }
  }

  async events(...[, filters]: Parameters<CoordinatorApi['events']>) {
    this.called('events', filters)
    if (filters.taskId !== undefined) this.find(filters.taskId)
    return { events: this.eventList.slice(0, filters.limit), next_cursor: null }
  }

  async followEvents(...[, filters, signal]: Parameters<CoordinatorApi['followEvents']>) {
    this.called('followEvents', filters)
    if (filters.taskId !== undefined) this.find(filters.taskId)
    return this.followed(signal)
  }

  private async *followed(signal: AbortSignal) {
    yield { events: this.eventList, position: this.eventList.at(-1)?.id ?? '0-0' }
    await Promise.race([this.lastEvent, new Promise(resolve => signal.addEventListener('abort', resolve))])
  }

  async webhooks(...[, page]: Parameters<CoordinatorApi['webhooks']>) {
    this.called('webhooks', page)
    return { webhooks: [this.findWebhook('callbacks')], next_cursor: null }
  }

  async webhook(...[, id]: Parameters<CoordinatorApi['webhook']>) {
    this.called('webhook', id)
    return this.findWebhook(id)
  }

  async createWebhook(...[, request]: Parameters<CoordinatorApi['createWebhook']>) {
    this.called('createWebhook', request)
    return { ...this.findWebhook('callbacks'), id: 'wh-1', url: request.url, kind: 'subscription' as const, secret: 'whsec_x' }
  }

  async updateWebhook(...[, id, request]: Parameters<CoordinatorApi['updateWebhook']>) {
    this.called('updateWebhook', id, request)
    return this.findWebhook(id)
  }

  async rotateWebhook(...[, id, request]: Parameters<CoordinatorApi['rotateWebhook']>) {
    this.called('rotateWebhook', id, request)
    return { ...this.findWebhook(id), secret: 'whsec_y' }
  }

  async deleteWebhook(...[, id]: Parameters<CoordinatorApi['deleteWebhook']>) {
    this.called('deleteWebhook', id)
    return { deleted_id: this.findWebhook(id).id }
  }

  async deliveries(...[, id, page]: Parameters<CoordinatorApi['deliveries']>) {
    this.called('deliveries', id, page)
    this.findWebhook(id)
    return { deliveries: [], next_cursor: null }
  }

  async replayDelivery(...[, id, deliveryId]: Parameters<CoordinatorApi['replayDelivery']>): Promise<DeliveryView> {
    this.called('replayDelivery', id, deliveryId)
    throw new BatonError('delivery_not_found', `webhook ${id} has no delivery ${deliveryId}`)
  }

  async replayWebhook(...[, id, request]: Parameters<CoordinatorApi['replayWebhook']>) {
    this.called('replayWebhook', id, request)
    this.findWebhook(id)
    return { replayed: 0 }
  }

  private findWebhook(id: string): WebhookView {
    if (id !== 'callbacks' && id !== 'wh-1') throw new BatonError('webhook_not_found', `there is no webhook ${id}`)
    const at = '2026-01-01T00:00:00.000Z'
    return {
      id,
      kind: 'callbacks',
      url: null,
      events: ['task.*'],
      description: '',
      enabled: true,
      previous_secret_until: null,
      created_at: at,
      updated_at: at,
    }
  }

  async why(...[, taskId, page]: Parameters<CoordinatorApi['why']>) {
    this.called('why', taskId, page)
    const { task } = this.find(taskId)
    const subtasks = task.subtasks.flatMap(({ subtask_id, name, state, why }) =>
      why === undefined ? [] : [{ subtask_id, name, state, why }],
    )
    return { task_id: taskId, status: task.status, subtasks: subtasks.slice(0, page.limit), next_cursor: null }
  }

  async taskVersion(...[, taskId]: Parameters<CoordinatorApi['taskVersion']>): Promise<SeenVersion> {
    this.called('taskVersion', taskId)
    return this.versionOf(taskId)
  }

  async changedTask(
    ...[, taskId, since, , { timeoutMs, signal }]: Parameters<CoordinatorApi['changedTask']>
  ): Promise<VersionedTask | undefined> {
    this.called('changedTask', taskId, since.version, { timeoutMs })
    this.waiting++
    const changed = await new Promise<boolean>(resolve => {
      const end = (how: boolean) => {
        clearTimeout(timer)
        this.watchers.delete(look)
        signal.removeEventListener('abort', giveUp)
        resolve(how)
      }
      const giveUp = () => end(false)
      const look = () => `v${this.stored.get(taskId)?.version}` !== since.version && end(true)
      const timer = setTimeout(giveUp, timeoutMs)
      this.watchers.add(look)
      signal.addEventListener('abort', giveUp)
      if (signal.aborted) giveUp()
      else look()
    })
    this.waiting--
    return changed ? { task: this.find(taskId).task, version: this.versionOf(taskId).version } : undefined
  }

  async tasks(...[, filters]: Parameters<CoordinatorApi['tasks']>) {
    this.called('tasks', filters)
    const tasks = [...this.stored.values()].map(({ task }) => summaryOf(task)).slice(0, filters.limit)
    return { tasks, next_cursor: null }
  }

  async createKey(...[, request]: Parameters<CoordinatorApi['createKey']>) {
    this.called('createKey', request)
    return { ...this.key, name: request.name, scope: request.scope, secret: `baton_${'s'.repeat(43)}` }
  }

  async keys(...[, page]: Parameters<CoordinatorApi['keys']>) {
    this.called('keys', page)
    return { keys: [this.key], next_cursor: null }
  }

  async revokeKey(...[, id]: Parameters<CoordinatorApi['revokeKey']>) {
    this.called('revokeKey', id)
    if (id !== this.key.id) throw new BatonError('key_not_found', `there is no key ${id}`)
    return { ...this.key, revoked_at: '2026-01-01T00:00:00Z' }
  }

  async artifacts(...[, taskId, page]: Parameters<CoordinatorApi['artifacts']>) {
    this.called('artifacts', taskId, page)
    return { artifacts: this.find(taskId).task.artifacts, next_cursor: null }
  }

  async artifact(...[, taskId, subtaskId, name]: Parameters<CoordinatorApi['artifact']>) {
    this.called('artifact', taskId, subtaskId, name)
    const file = this.files.get(name)
    if (!file) throw new BatonError('artifact_not_found', `task ${taskId} has no artifact ${name}`)
    const { data, ...facts } = file
    return {
      ...facts,
      bytes: data.length,
      read: async (part?: { from: number; to: number }) => (part ? data.subarray(part.from, part.to + 1) : data),
    }
  }

  putFile(name: string, mediaType: string, data: Buffer): void {
    this.files.set(name, { mediaType, data, sha256: createHash('sha256').update(data).digest('hex') })
  }

  async agents(...[, filters]: Parameters<CoordinatorApi['agents']>) {
    this.called('agents', filters)
    return this.agentList
  }

  async matchAgents(...[, request]: Parameters<CoordinatorApi['matchAgents']>) {
    this.called('matchAgents', request)
    return { agent: null, queue: null, why: 'no live agent offers it', candidates: [] }
  }

  async workers() {
    this.called('workers')
    return this.workerList
  }

  async worker(...[, id]: Parameters<CoordinatorApi['worker']>): Promise<WorkerView> {
    this.called('worker', id)
    const worker = this.workerList.find(one => one.id === id)
    if (!worker) throw new BatonError('worker_not_found', `there is no worker ${id}`)
    return worker
  }

  async readiness() {
    return { ready: Object.values(this.checks).every(word => word === 'ok'), checks: this.checks }
  }

  private called(...call: unknown[]): void {
    this.calls.push(call)
    const { fault } = this
    this.fault = undefined
    if (fault) throw fault
  }

  private findOrchestrator(id: string): OrchestratorView {
    const found = this.orchestratorList.find(one => one.id === id)
    if (!found) throw new BatonError('orchestrator_not_found', `there is no orchestrator ${id}`)
    return found
  }

  private findReview(id: string): ReviewView {
    const found = this.reviewList.find(one => one.id === id)
    if (!found) throw new BatonError('review_not_found', `there is no review ${id}`)
    return found
  }

  private putReview(review: ReviewView): ReviewView {
    this.reviewList = this.reviewList.map(one => (one.id === review.id ? review : one))
    return review
  }

  private versionOf(taskId: string): SeenVersion {
    const { task, version } = this.find(taskId)
    return { id: taskId, version: `v${version}`, status: task.status, seen: { change: 0, status: 0 } }
  }

  private find(taskId: string) {
    const found = this.stored.get(taskId)
    if (!found) throw new BatonError('task_not_found', `there is no task ${taskId}`)
    return found
  }
}

function summaryOf({ task_id, title, status, priority, orchestrator_id, created_at, finished_at, subtask_counts, why }: TaskView) {
  return { task_id, title, status, priority, orchestrator_id, created_at, finished_at, subtask_counts, why }
}

/** A planned task, as a coordinator would answer it. */
export function taskOf(request: OrchestrateRequest, changes: Partial<TaskView> = {}): TaskView {
  const subtasks = (request.subtasks ?? []).map((subtask, n) => ({
    subtask_id: `${subtask.agent ?? subtask.capability ?? 'general'}::${request.task_id}::${n + 1}`,
    name: subtask.name,
    title: subtask.title ?? null,
    capability: subtask.capability ?? 'general',
    agent: null,
    state: 'pending' as const,
    attempt: 0,
    generation: 0,
    started_at: null,
    finished_at: null,
    outputs: subtask.input,
  }))
  return {
    task_id: request.task_id,
    title: request.title,
    description: request.description ?? null,
    status: 'planned',
    priority: request.priority ?? 'medium',
    orchestrator_id: request.orchestrator_id ?? 'default',
    metadata: request.metadata ?? new RawJson('{}', {}),
    context: request.context ?? new RawJson('{}', {}),
    plan: { made_by: 'explicit', objectives: [], constraints: [], acceptance_criteria: [], diagnostics: [] },
    subtask_counts: { pending: subtasks.length },
    subtasks,
    dependencies: [],
    artifacts: [],
    status_history: [{ at: '2026-01-01T00:00:00Z', from: null, to: 'planned', reason: 'submitted' }],
    metrics: {
      elapsed_seconds: 0,
      on_time: true,
      subtasks_total: subtasks.length,
      subtasks_completed: 0,
      attempts: 0,
      due_date: null,
      sla_seconds: null,
    },
    created_at: '2026-01-01T00:00:00Z',
    started_at: null,
    finished_at: null,
    ...changes,
  }
}
