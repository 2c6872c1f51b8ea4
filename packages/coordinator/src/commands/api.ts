/**
 * What the coordinator can be asked to do, whoever asks: the HTTP layer is given this and nothing else. Expected
 * outcomes are returned; what is refused is thrown as a `BatonError`.
 *
 * JSON that was sent by callers and agents (`metadata`, `outputs`, …) appears in views as `RawJson`, so that it leaves
 * with the bytes it came with.
 */
import type {
  AgentMatch,
  AgentView,
  ArtifactView,
  BatonError,
  CreateKeyRequest,
  CreateOrchestratorRequest,
  CreateWebhookRequest,
  DeliveryList,
  DeliveryState,
  DeliveryView,
  EventList,
  EventView,
  ExecuteRequest,
  KeyList,
  KeyView,
  KeyWithSecret,
  MatchRequest,
  OrchestrateRequest,
  OrchestratorList,
  OrchestratorStatus,
  OrchestratorView,
  ReplanRequest,
  ReplanView,
  ReplayWebhookRequest,
  RerunRequest,
  ReviewDecisionName,
  ReviewList,
  ReviewStatus,
  ReviewView,
  RotateWebhookRequest,
  SubtaskState,
  SystemStanding,
  TaskList,
  TaskStatus,
  TaskView,
  UpdateOrchestratorRequest,
  UpdateWebhookRequest,
  WebhookList,
  WebhookView,
  WebhookWithSecret,
  WhyView,
  WorkerView,
} from '@baton/shared'
import type { Moment } from '../notify/changes.js'
import type { TaskVersion } from '../store/read-task.js'

export interface Caller {
  readonly tenantId: number
  /** Who it is, for events and audit: a key's name, `local`. */
  readonly actor: string
  /** The key that was shown; undefined: none was needed. */
  readonly keyId?: string
  /** W3C trace context that the request belongs to. */
  readonly traceparent?: string
}

export interface SubmitOptions {
  /** Plan only. */
  readonly dryRun: boolean
  /** Whoever asks does not look at the tasks that exist: they are not read. */
  readonly unseen?: boolean
}

export type SubmitOutcome =
  | { readonly kind: 'created'; readonly task: TaskView }
  /** The same task was submitted before; nothing changed. */
  | { readonly kind: 'existing'; readonly task: TaskView }
  /** The same, where nobody asked to see the task. */
  | { readonly kind: 'known' }
  /** A dry run: planned, not stored. */
  | { readonly kind: 'dry_run'; readonly task: TaskView }
  | { readonly kind: 'refused'; readonly error: BatonError }

export interface TaskFilters {
  readonly status?: readonly TaskStatus[]
  /** Tasks in which this agent has, or had, a subtask. */
  readonly agent?: string
  readonly orchestratorId?: string
  /** Values of top-level keys of the metadata. */
  readonly metadata?: Readonly<Record<string, string>>
  readonly createdAfter?: Date
  readonly createdBefore?: Date
  readonly limit: number
  readonly cursor?: string
}

export interface TaskPage {
  readonly subtasksCursor?: string
  readonly dependenciesCursor?: string
  readonly artifactsCursor?: string
  /** Of each list; at most 1,000. */
  readonly limit: number
}

export interface ReviewFilters {
  readonly status?: ReviewStatus
  readonly taskId?: string
  readonly assignee?: string
  readonly limit: number
  readonly cursor?: string
}

export interface OrchestratorFilters {
  readonly status?: OrchestratorStatus
  readonly limit: number
  readonly cursor?: string
}

export interface ReviewDecision {
  readonly decision: ReviewDecisionName
  readonly reason: string
  /** For `supply`: the subtask's output, as `RawJson` where it came over HTTP. */
  readonly output?: unknown
  /** For `reassign`. */
  readonly agent?: string
  /** The digest of the approval as it was shown; another one by now refuses the decision. */
  readonly digest?: string
}

export interface EventFilters {
  /** Of one task, with the chunks that its agents streamed. */
  readonly taskId?: string
  readonly orchestratorId?: string
  /** Names, or beginnings of names such as `task.*`. */
  readonly names?: readonly string[]
  /** Behind this position. Without one a page begins at the beginning, a stream of a task too, any other stream now. */
  readonly after?: string
  /** A task's stream goes on behind its end. */
  readonly endless?: boolean
}

export interface EventBatch {
  readonly events: readonly EventView[]
  /** Everything up to here has been given. */
  readonly position: string
}

export interface SubtaskStanding {
  readonly subtask_id: string
  readonly state: SubtaskState
}

/** Whether a task leaves this status by itself. */
export const isUnsettled = (status: TaskStatus): boolean => status === 'planned' || status === 'running'

/** A version, and when it was asked for. */
export interface SeenVersion extends TaskVersion {
  readonly seen: Moment
}

export interface VersionedTask {
  readonly version: string
  readonly task: TaskView
}

export interface WaitOptions {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** `settled`: not before the task ended or needs somebody; default `change`. */
  readonly until?: 'change' | 'settled'
}

/** An artifact whose bytes are not read yet. */
export interface ArtifactFile {
  readonly mediaType: string
  readonly sha256: string
  readonly bytes: number
  /** All, or from `from` to `to`, both included. Throws `artifact_lost`, `unavailable`. */
  read(part?: { readonly from: number; readonly to: number }): Promise<Buffer>
}

export interface CoordinatorApi {
  /** Takes in tasks, each for itself: one bad request does not refuse its neighbours. Results in order. */
  submit(caller: Caller, requests: readonly OrchestrateRequest[], options: SubmitOptions): Promise<SubmitOutcome[]>
  /** Starts or resumes. Throws `task_not_found`, `state_conflict`, `agent_unavailable`, `invalid_request`. */
  execute(caller: Caller, taskId: string, request: ExecuteRequest): Promise<{ task_id: string; status: TaskStatus }>
  /** Throws `task_not_found`, and `state_conflict` where the task's status does not allow it. Idempotent. */
  controlTask(
    caller: Caller,
    taskId: string,
    verb: 'cancel' | 'pause' | 'resume',
    reason: string,
  ): Promise<{ task_id: string; status: TaskStatus }>
  /** Opens the gate of manual execution or of a checkpoint. Throws `subtask_not_found`, `state_conflict`. */
  releaseSubtask(caller: Caller, taskId: string, subtaskId: string): Promise<SubtaskStanding>
  /**
   * Cancels a subtask and, unless its `on_failure` lets them go on, what depends on it. One that runs is asked to stop, and
   * answers `running` until its worker has. Throws `subtask_not_found`, `state_conflict`.
   */
  cancelSubtask(caller: Caller, taskId: string, subtaskId: string, reason: string): Promise<SubtaskStanding>
  /** Grants another attempt, or starts the one that is due at once. Throws `subtask_not_found`, `state_conflict`. */
  retrySubtask(caller: Caller, taskId: string, subtaskId: string, reason: string): Promise<SubtaskStanding>
  /** Gives a subtask to this agent; an attempt that runs elsewhere is aborted. Throws `subtask_not_found`, `state_conflict`. */
  reassignSubtask(caller: Caller, taskId: string, subtaskId: string, request: { agent: string; reason: string }): Promise<SubtaskStanding>
  /** Runs the named subtasks and what depends on them again. Throws `task_not_found`, `subtask_not_found`, `state_conflict`, `invalid_request`. */
  rerunTask(caller: Caller, taskId: string, request: RerunRequest): Promise<{ task_id: string; status: TaskStatus; subtasks: number }>
  /** Plans what is not finished anew; shows what that changes. Throws `task_not_found`, `state_conflict`, `invalid_request`. */
  replan(caller: Caller, taskId: string, request: ReplanRequest, options: { dryRun: boolean }): Promise<ReplanView>
  /** The oldest first. */
  orchestrators(caller: Caller, filters: OrchestratorFilters): Promise<OrchestratorList>
  /** Throws `orchestrator_not_found`. */
  orchestrator(caller: Caller, id: string): Promise<OrchestratorView>
  /** A new one is idle. Throws `invalid_request`, and `state_conflict` where the id is taken. */
  createOrchestrator(caller: Caller, request: CreateOrchestratorRequest): Promise<OrchestratorView>
  /** Throws `orchestrator_not_found`, `invalid_request`. */
  updateOrchestrator(caller: Caller, id: string, request: UpdateOrchestratorRequest): Promise<OrchestratorView>
  /** Idempotent. Throws `orchestrator_not_found`, and `state_conflict` for the default one, which always runs. */
  setOrchestratorStatus(caller: Caller, id: string, status: OrchestratorStatus, reason: string | null): Promise<OrchestratorView>
  /** Throws `orchestrator_not_found`; `state_conflict` for the default one, and while a task of it is unfinished. */
  deleteOrchestrator(caller: Caller, id: string): Promise<{ deleted_id: string }>
  /** Pauses everything of the caller's tenant, or lets it go on. Idempotent. */
  controlSystem(caller: Caller, verb: 'pause' | 'resume', reason: string | null): Promise<SystemStanding>
  reviews(caller: Caller, filters: ReviewFilters): Promise<ReviewList>
  /** Throws `review_not_found`. */
  review(caller: Caller, id: string): Promise<ReviewView>
  /** Throws `review_not_found`, `state_conflict`. */
  assignReview(caller: Caller, id: string, to: { assignee: string | null; dueAt?: Date; escalateTo?: string | null }): Promise<ReviewView>
  /** The first decision wins. Throws `review_not_found`, `state_conflict`, `forbidden`, `invalid_request`. */
  decideReview(caller: Caller, id: string, decision: ReviewDecision): Promise<ReviewView>
  /** Asks a worker to finish what it has and end. Throws `worker_not_found`, `state_conflict`. */
  drainWorker(caller: Caller, workerId: string): Promise<{ id: string; state: string }>
  /** With the version of that moment. Throws `task_not_found`. */
  task(caller: Caller, taskId: string, page: TaskPage): Promise<VersionedTask>
  /** What waits, and for what, in pages. Throws `task_not_found`. */
  why(caller: Caller, taskId: string, page: { limit: number; cursor?: string }): Promise<WhyView>
  /** Changes whenever anything that `task` shows changes; cheap. Throws `task_not_found`. */
  taskVersion(caller: Caller, taskId: string): Promise<SeenVersion>
  /** Resolves with the task when its version is no longer `since`; with undefined after `timeoutMs`, or when aborted. */
  changedTask(caller: Caller, taskId: string, since: SeenVersion, page: TaskPage, options: WaitOptions): Promise<VersionedTask | undefined>
  tasks(caller: Caller, filters: TaskFilters): Promise<TaskList>
  /** A page, the oldest first. Throws `task_not_found`, `invalid_request`. */
  events(caller: Caller, filters: EventFilters & { readonly limit: number }): Promise<EventList>
  /**
   * Events in order, each once, until the signal fires or the task has ended. Whoever does not pull costs no memory. Throws
   * `task_not_found`, `invalid_request`.
   */
  followEvents(caller: Caller, filters: EventFilters, signal: AbortSignal): Promise<AsyncIterable<EventBatch>>
  /** By id. Secrets are in none of these but the answers to creation and rotation. */
  webhooks(caller: Caller, page: { limit: number; cursor?: string }): Promise<WebhookList>
  /** Throws `webhook_not_found`. */
  webhook(caller: Caller, id: string): Promise<WebhookView>
  /** Throws `invalid_request`, also for addresses that are not public; `state_conflict` where there are too many. */
  createWebhook(caller: Caller, request: CreateWebhookRequest): Promise<WebhookWithSecret>
  /** Throws `webhook_not_found`, `invalid_request`. */
  updateWebhook(caller: Caller, id: string, request: UpdateWebhookRequest): Promise<WebhookView>
  /** Throws `webhook_not_found`, `invalid_request`. */
  rotateWebhook(caller: Caller, id: string, request: RotateWebhookRequest): Promise<WebhookWithSecret>
  /** Throws `webhook_not_found`, and `state_conflict` for `callbacks`. */
  deleteWebhook(caller: Caller, id: string): Promise<{ deleted_id: string }>
  /** The newest first. Throws `webhook_not_found`. */
  deliveries(caller: Caller, id: string, page: { state?: DeliveryState; limit: number; cursor?: string }): Promise<DeliveryList>
  /** Throws `webhook_not_found`, `delivery_not_found`. */
  replayDelivery(caller: Caller, id: string, deliveryId: string): Promise<DeliveryView>
  /** Throws `webhook_not_found`. */
  replayWebhook(caller: Caller, id: string, request: ReplayWebhookRequest): Promise<{ replayed: number }>
  /** The answer holds the key, this once. Throws `state_conflict` where no key is needed, the name is taken, or there are too many. */
  createKey(caller: Caller, request: CreateKeyRequest): Promise<KeyWithSecret>
  /** The oldest first. */
  keys(caller: Caller, page: { revoked: boolean; limit: number; cursor?: string }): Promise<KeyList>
  /** Idempotent. Throws `key_not_found`. */
  revokeKey(caller: Caller, id: string): Promise<KeyView>
  artifacts(
    caller: Caller,
    taskId: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ artifacts: ArtifactView[]; next_cursor: string | null }>
  /** Throws `artifact_not_found`. */
  artifact(caller: Caller, taskId: string, subtaskId: string, name: string): Promise<ArtifactFile>
  agents(caller: Caller, filters: { domain?: string; capability?: string; health?: string }): Promise<AgentView[]>
  /** Which agent a subtask with these needs would go to now, and how all are placed. */
  matchAgents(caller: Caller, request: MatchRequest): Promise<AgentMatch>
  workers(caller: Caller): Promise<WorkerView[]>
  /** Throws `worker_not_found`. */
  worker(caller: Caller, id: string): Promise<WorkerView>
  /** Whether the stores answer, for /readyz. Never throws. */
  readiness(): Promise<{ ready: boolean; checks: Record<string, 'ok' | string> }>
}
