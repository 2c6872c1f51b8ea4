/**
 * How a task's status follows from its subtasks: the rule that the SQL of store/fragments.ts applies to the counters,
 * and docs/states.md tells. A subtask that is pending waits for one that can progress, is in review or is blocked; so
 * when nothing of these three is left, everything is finished.
 */
import { activeSubtaskStates, reviewingSubtaskStates, type SubtaskState, type TaskStatus } from '@baton/shared'

export interface Counters {
  readonly active: number
  readonly reviewing: number
  readonly blocked: number
}

/** A subtask as far as its task's status is concerned. */
export interface Counted {
  readonly state: SubtaskState
  /** Whether a review of it is open: what is blocked then waits for a person as much as for a provider. */
  readonly reviewed?: boolean
}

/**
 * The status that follows; `planned`, `paused` and terminal statuses stay what they are. A subtask that fails its task is
 * not counted here: the statement that fails it fails the task too, also a paused one. `broken`: a subtask was cancelled
 * that others need, so that the end of everything else is no completion.
 */
export function rollUp(status: TaskStatus, counters: Counters, broken = false): TaskStatus {
  if (status === 'planned' || status === 'paused' || status === 'completed' || status === 'failed' || status === 'cancelled') return status
  if (counters.active > 0) return 'running'
  if (counters.reviewing > 0) return 'needs_review'
  if (counters.blocked > 0) return 'blocked'
  return broken ? 'failed' : 'completed'
}

/** The counters that a set of subtasks amounts to. */
export function count(subtasks: readonly Counted[]): Counters {
  const among = (list: readonly SubtaskState[]) => subtasks.filter(s => list.includes(s.state)).length
  const reviewedBlocked = subtasks.filter(s => s.state === 'blocked' && s.reviewed).length
  return {
    active: among(activeSubtaskStates),
    reviewing: among(reviewingSubtaskStates) + reviewedBlocked,
    blocked: among(['blocked']) - reviewedBlocked,
  }
}
