/** What a history says of one task: for what a row demands beside the invariants. */
import type { AttemptRow, EventRow, History, JournalLine, ReviewRow, SubtaskRow } from './history.js'

export interface Account {
  /** In the order in which they were planned. */
  readonly subtasks: readonly SubtaskRow[]
  /** By subtask and number. */
  readonly attempts: readonly AttemptRow[]
  /** By `seq`. */
  readonly events: readonly EventRow[]
  readonly reviews: readonly ReviewRow[]
  /** What agents began, by the workers' own journals. */
  readonly starts: readonly JournalLine[]
}

export function accountOf(history: History, taskId: string): Account {
  const task = history.tasks.find(({ task_id }) => task_id === taskId)
  if (!task) throw new Error(`there is no task ${taskId}`)
  const subtasks = history.subtasks.filter(({ task_pk }) => task_pk === task.id).sort((a, b) => Number(a.id) - Number(b.id))
  const ids = new Map(subtasks.map(({ id }, i) => [id, i]))
  const keys = new Set(subtasks.map(({ uuid }) => uuid))
  const place = ({ subtask_pk, attempt }: AttemptRow) => (ids.get(subtask_pk) ?? 0) * 1_000 + attempt
  return {
    subtasks,
    attempts: history.attempts.filter(({ subtask_pk }) => ids.has(subtask_pk)).sort((a, b) => place(a) - place(b)),
    events: history.events.filter(({ task_pk }) => task_pk === task.id).sort((a, b) => a.seq - b.seq),
    reviews: history.reviews.filter(({ task_pk }) => task_pk === task.id),
    starts: history.journal.filter(({ event, key }) => event === 'start' && keys.has(key)),
  }
}
