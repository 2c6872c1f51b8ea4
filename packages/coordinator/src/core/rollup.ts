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

/**
 * The status that follows; `planned`, `paused` and terminal statuses stay what they are. A subtask that fails its task is
 * not counted here: the statement that fails it fails the task too, also a paused one.
 */
export function rollUp(status: TaskStatus, counters: Counters): TaskStatus {
  if (status === 'planned' || status === 'paused' || status === 'completed' || status === 'failed' || status === 'cancelled') return status
  if (counters.active > 0) return 'running'
  if (counters.reviewing > 0) return 'needs_review'
  if (counters.blocked > 0) return 'blocked'
  return 'completed'
}

/** The counters that a set of subtasks amounts to. */
export function count(states: readonly SubtaskState[]): Counters {
  const among = (list: readonly SubtaskState[]) => states.filter(s => list.includes(s)).length
  return { active: among(activeSubtaskStates), reviewing: among(reviewingSubtaskStates), blocked: among(['blocked']) }
}
