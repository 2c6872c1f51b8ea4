/** A plan: the graph of a task before it is stored, whoever made it. */
import type { ExecutionMode, Isolation, OnFailure, Priority } from './submission.js'

export type PlanMaker = 'explicit' | 'playbook' | 'rules' | 'model'

export interface PlannedSubtask {
  /** Unique within the task. */
  readonly name: string
  readonly title: string | null
  readonly capability: string
  /** The agent it is pinned to. */
  readonly agent: string | null
  /** Further capabilities that the agent must have. */
  readonly requires: readonly string[]
  /** JSON text as it was sent; may hold templates such as `{{build.outputs.branch}}`. */
  readonly input: string | null
  readonly dependsOn: readonly string[]
  readonly requiresApproval: boolean
  readonly slaMs: number | null
  readonly queueWaitMs: number | null
  readonly deadlineMs: number | null
  readonly leaseMs: number | null
  readonly backoffInitialMs: number | null
  readonly backoffMaxMs: number | null
  readonly onFailure: OnFailure
  readonly maxAttempts: number | null
  readonly isolation: Isolation | null
}

/** What was understood of the request. */
export interface Understanding {
  readonly objectives: readonly string[]
  readonly constraints: readonly string[]
  readonly acceptanceCriteria: readonly string[]
  /** From words such as "within 2 hours" or from `metadata.sla`. */
  readonly slaMs: number | null
  /** ISO date or date-time, from words such as "by 2026-12-01" or from `metadata.due_date`. */
  readonly dueDate: string | null
}

export interface Plan extends Understanding {
  readonly madeBy: PlanMaker
  readonly subtasks: readonly PlannedSubtask[]
  /** What the planner wants a person to know: what it left out, what it guessed. */
  readonly diagnostics: readonly string[]
}

export type { ExecutionMode, OnFailure, Priority }

/** The times of a subtask that says nothing about them: what its agent, its orchestrator or the defaults say applies. */
export const unsetTimes = { queueWaitMs: null, deadlineMs: null, leaseMs: null, backoffInitialMs: null, backoffMaxMs: null } as const
