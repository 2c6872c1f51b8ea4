/** Plans a request that names its subtasks: nothing is added, left out or put in another order. */
import { jsonText, type OnFailure, type PlannedSubtask, type SubtaskRequest } from '@baton/shared'

/** What applies where a subtask says nothing. */
export interface SubtaskDefaults {
  readonly slaMs: number | null
  readonly maxAttempts: number | null
  readonly onFailure: OnFailure
}

export interface Assignment {
  /** The agent of subtasks with neither capability nor agent; without one they go to the fallback. */
  readonly defaultAgent: string | undefined
  readonly fallbackCapability: string
}

export function planExplicitly(subtasks: readonly SubtaskRequest[], defaults: SubtaskDefaults, assignment: Assignment): PlannedSubtask[] {
  return subtasks.map(subtask => ({
    name: subtask.name,
    title: subtask.title ?? null,
    ...assign(subtask, assignment),
    requires: subtask.requires ?? [],
    input: subtask.input === undefined ? null : jsonText(subtask.input),
    dependsOn: subtask.depends_on ?? [],
    requiresApproval: subtask.requires_approval ?? false,
    slaMs: milliseconds(subtask.sla_seconds) ?? defaults.slaMs,
    queueWaitMs: milliseconds(subtask.queue_wait_seconds),
    deadlineMs: milliseconds(subtask.deadline_seconds),
    leaseMs: milliseconds(subtask.lease_seconds),
    backoffInitialMs: milliseconds(subtask.backoff?.initial_seconds),
    backoffMaxMs: milliseconds(subtask.backoff?.max_seconds),
    onFailure: subtask.on_failure ?? defaults.onFailure,
    maxAttempts: subtask.max_attempts ?? defaults.maxAttempts,
    isolation: subtask.isolation ?? null,
  }))
}

/** A pinned agent needs no capability: its own name stands for it. */
export function assign(
  subtask: Pick<SubtaskRequest, 'capability' | 'agent'>,
  { defaultAgent, fallbackCapability }: Assignment,
): { capability: string; agent: string | null } {
  const agent = subtask.agent ?? (subtask.capability === undefined ? defaultAgent : undefined) ?? null
  return { capability: subtask.capability ?? agent ?? fallbackCapability, agent }
}

function milliseconds(seconds: number | undefined): number | null {
  return seconds === undefined ? null : Math.round(seconds * 1_000)
}
