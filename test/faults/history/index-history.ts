/** A history by what it is asked for, made once for all invariants. */
import type { AttemptRow, EventRow, History, JournalLine, SubtaskRow, TaskRow, WorkerRow } from './history.js'

export interface Indexed extends History {
  readonly taskById: ReadonlyMap<string, TaskRow>
  readonly subtaskById: ReadonlyMap<string, SubtaskRow>
  readonly workerById: ReadonlyMap<string, WorkerRow>
  /** In the order in which they happened. */
  eventsOfTask(id: string): readonly EventRow[]
  eventsOfSubtask(id: string): readonly EventRow[]
  /** By attempt. */
  attemptsOf(id: string): readonly AttemptRow[]
  /** What the journals say of a subtask. */
  journalOf(uuid: string): readonly JournalLine[]
  /** `t1/build`, for messages. */
  nameOf(subtask: SubtaskRow): string
}

export function index(history: History): Indexed {
  const bySeq = [...history.events].sort((a, b) => a.seq - b.seq)
  const ofTask = groups(
    bySeq.filter(event => event.subtask_pk === null),
    event => event.task_pk,
  )
  const ofSubtask = groups(bySeq, event => event.subtask_pk)
  const attempts = groups(
    [...history.attempts].sort((a, b) => a.attempt - b.attempt),
    attempt => attempt.subtask_pk,
  )
  const journal = groups(history.journal, line => line.key)
  const taskById = new Map(history.tasks.map(task => [task.id, task]))
  return {
    ...history,
    taskById,
    subtaskById: new Map(history.subtasks.map(subtask => [subtask.id, subtask])),
    workerById: new Map(history.workers.map(worker => [worker.id, worker])),
    eventsOfTask: id => ofTask.get(id) ?? [],
    eventsOfSubtask: id => ofSubtask.get(id) ?? [],
    attemptsOf: id => attempts.get(id) ?? [],
    journalOf: uuid => journal.get(uuid) ?? [],
    nameOf: subtask =>
      `${taskById.get(subtask.task_pk)?.task_id ?? '?'}/${subtask.name}${subtask.generation > 0 ? `#${subtask.generation}` : ''}`,
  }
}

function groups<T>(list: readonly T[], keyOf: (item: T) => string | null): ReadonlyMap<string, readonly T[]> {
  const found = new Map<string, T[]>()
  for (const item of list) {
    const key = keyOf(item)
    if (key === null) continue
    const group = found.get(key)
    if (group) group.push(item)
    else found.set(key, [item])
  }
  return found
}
