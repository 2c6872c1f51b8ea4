/** What the API answers: tasks, subtasks, agents and workers as their readers see them. */
import type { ReviewDecisionName, ReviewKind, ReviewStatus } from './decisions.js'
import type { Failure } from './failure.js'
import type { OrchestratorStatus } from './orchestrators.js'
import type { PlanMaker } from './plan.js'
import type { SubtaskState, TaskStatus } from './states.js'
import type { Priority } from './submission.js'

export interface SubtaskView {
  subtask_id: string
  name: string
  title: string | null
  capability: string
  /** Null until an agent has claimed it. */
  agent: string | null
  state: SubtaskState
  attempt: number
  generation: number
  started_at: string | null
  finished_at: string | null
  /** Of a running one: when its attempt has to be done. */
  sla_until?: string
  /** Of one that has begun and not ended: when the whole subtask has to be done. Pauses put it off. */
  deadline_at?: string
  outputs?: unknown
  failure?: Failure
  progress?: unknown
  /** How far a cancel has come: asked for, acknowledged by the worker, or forced because it was not. */
  cancel?: 'requested' | 'acknowledged' | 'forced'
  /** One sentence: what it waits for. */
  why?: string
}

export interface DependencyEdge {
  /** Subtask ids: `to` waits for `from`. */
  from: string
  to: string
}

export interface ArtifactView {
  name: string
  subtask_id: string
  uri: string
  media_type: string
  bytes: number
  sha256: string
}

export interface TaskSummary {
  task_id: string
  title: string
  status: TaskStatus
  priority: Priority
  orchestrator_id: string
  created_at: string
  finished_at: string | null
  subtask_counts: Partial<Record<SubtaskState, number>>
  why?: string
}

/** What was understood of a task, and how its plan came about. */
export interface PlanView {
  made_by: PlanMaker
  objectives: string[]
  constraints: string[]
  acceptance_criteria: string[]
  diagnostics: string[]
}

/** What a new plan makes of a task. Subtasks stand under their names; of each list the first 1,000. */
export interface ReplanView {
  task_id: string
  status: TaskStatus
  /** False: it was a dry run, or waits for its review. */
  applied: boolean
  /** Where it has to be approved. */
  review?: { id: string; digest: string }
  plan: PlanView
  diff: {
    added: { name: string; title: string | null; capability: string; depends_on: string[] }[]
    removed: string[]
    /** In which respects: another subtask takes its place. */
    changed: { name: string; fields: string[] }[]
    kept: string[]
  }
}

export interface TaskView {
  task_id: string
  title: string
  description: string | null
  status: TaskStatus
  priority: Priority
  orchestrator_id: string
  metadata: unknown
  context: unknown
  plan: PlanView
  subtask_counts: Partial<Record<SubtaskState, number>>
  subtasks: SubtaskView[]
  subtasks_next_cursor?: string
  dependencies: DependencyEdge[]
  dependencies_next_cursor?: string
  artifacts: ArtifactView[]
  artifacts_next_cursor?: string
  status_history: { at: string; from: TaskStatus | null; to: TaskStatus; reason: string }[]
  metrics: {
    elapsed_seconds: number
    on_time: boolean
    subtasks_total: number
    subtasks_completed: number
    attempts: number
    due_date: string | null
    sla_seconds: number | null
  }
  review?: { id: string; kind: string; subtask_id: string | null }
  why?: string
  created_at: string
  started_at: string | null
  finished_at: string | null
}

/** What a task waits for, and each of its subtasks that waits. */
export interface WhyView {
  task_id: string
  status: TaskStatus
  why?: string
  /** Its oldest open review. */
  review?: { id: string; kind: string; subtask_id: string | null }
  subtasks: { subtask_id: string; name: string; state: SubtaskState; why: string }[]
  next_cursor: string | null
}

export interface TaskList {
  tasks: TaskSummary[]
  next_cursor: string | null
}

export interface AgentView {
  name: string
  description: string
  skills: string[]
  capabilities: string[]
  domain: string | null
  health: 'healthy' | 'degraded' | 'offline'
  is_default: boolean
  /** How long one of its attempts may take, as it says itself. */
  sla_seconds: number | null
  /** `queued`: jobs in the queues that it takes from. */
  load: { active: number; slots: number; workers: number; queued: number }
  /** How it did so far, at each capability that it worked at. */
  measured: AgentMeasure[]
}

/** Exponentially weighted: of the newest attempt 5 %, the rest by those before it. */
export interface AgentMeasure {
  capability: string
  /** How many attempts were looked at. */
  attempts: number
  /** From 0 to 1. */
  success_rate: number
  /** How long a completed attempt ran; null: none has completed. */
  latency_ms: number | null
}

/** Where a subtask would go, and how every agent is placed that offers some of what it needs. */
export interface AgentMatch {
  /** The best placed one; null: none can take it now. */
  agent: string | null
  /** The queue that its job would go to: the capability's, from which any of its agents takes it, or one agent's. */
  queue: { kind: 'capability' | 'agent'; name: string } | null
  why: string
  /** The best first. */
  candidates: AgentCandidate[]
}

export interface AgentCandidate {
  agent: string
  /** Whether it can take the work now. */
  eligible: boolean
  /** From 0 to 1: the weighted sum of the terms. */
  score: number
  terms: { coverage: number; health: number; load: number; sla_fit: number; success: number }
  /** Of what is needed, what it does not offer. */
  missing: string[]
  /** Why it cannot take the work now; null: it can. */
  why: string | null
}

export interface WorkerView {
  id: string
  host: string
  pid: number
  version: string
  agents: string[]
  concurrency: number
  active: number
  state: 'starting' | 'ready' | 'draining' | 'stopped' | 'lost'
  started_at: string
  last_heartbeat_at: string
}

export interface OrchestratorView {
  id: string
  name: string
  description: string
  /** The agent that speaks for it. */
  agent_id: string | null
  /** The agent of subtasks that name neither capability nor agent. */
  default_worker_agent_id: string | null
  thread_id: string
  status: OrchestratorStatus
  metadata: unknown
  created_at: string
  /** Changes with every mutation, and by nothing else. */
  updated_at: string
}

export type OrchestratorSettingsView = Pick<OrchestratorView, 'default_worker_agent_id' | 'metadata'>

export interface OrchestratorList {
  orchestrators: OrchestratorView[]
  next_cursor: string | null
}

/** Whether everything is paused. */
export interface SystemStanding {
  paused: boolean
  since: string | null
  by: string | null
  reason: string | null
}

export interface ReviewView {
  id: string
  kind: ReviewKind
  status: ReviewStatus
  task_id: string
  subtask_id: string | null
  /** The subtask's name. */
  subtask: string | null
  subtask_state: string | null
  assignee: string | null
  due_at: string | null
  /** Who gets it when it is still open at its due time. */
  escalate_to: string | null
  escalated_at: string | null
  /** Of an approval: the SHA-256 of exactly what is approved, the definition of the subtask and what its dependencies made. */
  digest: string | null
  /** What is to be decided; for an exhausted subtask, its last failure as JSON. */
  detail: string
  decision: ReviewDecisionName | null
  reason: string | null
  decided_by: string | null
  created_at: string
  decided_at: string | null
}

export interface ReviewList {
  reviews: ReviewView[]
  next_cursor: string | null
}
