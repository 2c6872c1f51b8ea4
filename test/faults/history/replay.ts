/**
 * Replays the events of one task or subtask against the table of legal transitions.
 *
 * Some steps tell nothing (the end of a backoff, a claim that was held back): a hidden step to `ready` is granted where the
 * table has one from that state, and so is one to `running` for a task that starts or resumes into what it finds.
 */
import {
  type EventName,
  isLegalSubtaskStep,
  isLegalTaskStep,
  type SubtaskState,
  subtaskStates,
  type TaskStatus,
  taskStatuses,
} from '@baton/shared'
import type { EventRow } from './history.js'

/** States from which a subtask may become `ready` without a word. */
const quietlyReady: readonly SubtaskState[] = ['pending', 'queued', 'retrying']
/** Statuses that a task leaves for whatever its subtasks say. */
const quietlyRunning: readonly TaskStatus[] = ['planned', 'paused']

const named: Partial<Record<EventName, SubtaskState>> = {
  'subtask.started': 'running',
  'subtask.requeued': 'ready',
  'subtask.approved': 'ready',
}

/** The state that an event of a subtask tells of; undefined: of none. */
function stateOf(name: EventName): SubtaskState | undefined {
  return named[name] ?? subtaskStates.find(state => name === `subtask.${state}`)
}

function isStep(from: SubtaskState, to: SubtaskState): boolean {
  return (
    isLegalSubtaskStep(from, to) || (quietlyReady.includes(from) && isLegalSubtaskStep(from, 'ready') && isLegalSubtaskStep('ready', to))
  )
}

export interface Replay<S> {
  /** Where the events leave it. */
  readonly end: S
  readonly problems: readonly string[]
}

export function replaySubtask(events: readonly EventRow[]): Replay<SubtaskState> {
  let state: SubtaskState = 'pending'
  const problems: string[] = []
  for (const event of events) {
    const next = stateOf(event.name)
    if (next === undefined) continue
    // A gate may be opened before it is reached.
    if (event.name === 'subtask.approved' && state === 'pending') continue
    if (!isStep(state, next)) problems.push(`${state} → ${next} (${event.name}, event ${event.seq})`)
    state = next
  }
  return { end: state, problems }
}

/** Whether a row may be in this state when the events left it in that one. */
export function mayRestIn(end: SubtaskState, state: SubtaskState): boolean {
  return end === state || (state === 'ready' && quietlyReady.includes(end))
}

export function replayTask(events: readonly EventRow[]): Replay<TaskStatus | undefined> {
  let status: TaskStatus | undefined
  const problems: string[] = []
  for (const event of events) {
    if (!event.name.startsWith('task.')) continue
    const to = taskStatuses.find(known => known === event.data?.to)
    if (to === undefined) continue
    const legal =
      status === undefined
        ? to === 'planned'
        : isLegalTaskStep(status, to) ||
          (event.name === 'task.rerun' && to === status) || // of a task that has not ended: it goes on as it is
          (quietlyRunning.includes(status) && isLegalTaskStep('running', to)) ||
          (status === 'planned' && to === 'running')
    if (!legal) problems.push(`${status ?? 'nothing'} → ${to} (${event.name}, event ${event.seq})`)
    if (status !== undefined && event.data?.from !== status)
      problems.push(`${event.name}, event ${event.seq}, says it was ${String(event.data?.from)}, and it was ${status}`)
    status = to
  }
  return { end: status, problems }
}
