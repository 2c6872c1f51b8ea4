/**
 * The states of tasks and subtasks and every legal transition between them: the one table that SQL guards, the API's
 * schema and docs/states.md take theirs from.
 *
 * Invariants: T1 nothing leaves a terminal state (a rerun inserts new rows instead; a finished task goes on by that alone).
 * T2 a transition that is not in
 * this table is refused, in memory and by the guard of the SQL statement that would make it.
 */

export const taskStatuses = ['planned', 'running', 'paused', 'blocked', 'needs_review', 'completed', 'failed', 'cancelled'] as const
export type TaskStatus = (typeof taskStatuses)[number]

export const subtaskStates = [
  'pending',
  'awaiting_approval',
  'ready',
  'queued',
  'running',
  'retrying',
  'blocked',
  'needs_review',
  'completed',
  'failed',
  'skipped',
  'cancelled',
] as const
export type SubtaskState = (typeof subtaskStates)[number]

export const terminalTaskStatuses = ['completed', 'failed', 'cancelled'] as const satisfies readonly TaskStatus[]
export const terminalSubtaskStates = ['completed', 'failed', 'skipped', 'cancelled'] as const satisfies readonly SubtaskState[]

/** States in which a subtask can go on by itself; a task with one of these is `running`. */
export const activeSubtaskStates = ['ready', 'queued', 'running', 'retrying'] as const satisfies readonly SubtaskState[]

/** States in which a person has to act. */
export const reviewingSubtaskStates = ['awaiting_approval', 'needs_review'] as const satisfies readonly SubtaskState[]

interface Transition<S> {
  readonly from: readonly S[]
  readonly to: S
  /** When it happens, for docs/states.md. */
  readonly when: string
}

const unfinished = [
  'pending',
  'awaiting_approval',
  'ready',
  'queued',
  'running',
  'retrying',
  'blocked',
  'needs_review',
] as const satisfies readonly SubtaskState[]

export const subtaskTransitions = {
  unlock: { from: ['pending'], to: 'ready', when: 'its last dependency finished, or its task started' },
  gate: { from: ['pending'], to: 'awaiting_approval', when: 'it could start, but a person has to approve or release it first' },
  approve: { from: ['awaiting_approval'], to: 'ready', when: 'a person approved or released it' },
  queue: { from: ['ready', 'pending'], to: 'queued', when: 'a coordinator claimed it for its queue; the attempt number rises' },
  claim: { from: ['queued'], to: 'running', when: 'a worker claimed the attempt' },
  start: {
    from: ['ready'],
    to: 'running',
    when: 'a coordinator claimed it for its queue and started it at once, on a worker with a slot to spare; the attempt number rises',
  },
  hand_over: {
    from: ['pending'],
    to: 'running',
    when: 'the worker that finished its last dependency goes on with it: it is queued and claimed at once, and the attempt number rises',
  },
  return: {
    from: ['running'],
    to: 'queued',
    when: 'the worker that it was started on does not have it: nothing ran, and the attempt is the same',
  },
  complete: { from: ['running'], to: 'completed', when: "its worker's result was accepted" },
  retry: { from: ['running'], to: 'retrying', when: 'an attempt failed and another is due after a backoff' },
  defer: { from: ['queued'], to: 'retrying', when: 'it was lost twice with its worker, and this worker runs another such one already' },
  requeue: {
    from: ['queued', 'running', 'retrying', 'blocked'],
    to: 'ready',
    when: 'its backoff ended, its worker was lost or drained, its queue lost its consumers, a provider came back, or it was reassigned',
  },
  block: { from: ['ready', 'queued'], to: 'blocked', when: 'no live worker offers what it needs, or it waited longer than its queue wait' },
  exhaust: {
    from: ['running', 'ready', 'queued', 'retrying', 'blocked'],
    to: 'needs_review',
    when: 'no attempt is left or its deadline has passed, and on_failure is `review`',
  },
  fail: {
    from: ['pending', 'running', 'ready', 'queued', 'retrying', 'needs_review', 'awaiting_approval', 'blocked'],
    to: 'failed',
    when: 'no attempt is left or a deadline has passed, or it was cancelled, and on_failure is `fail` or `continue`; or a person decided so',
  },
  skip: {
    from: ['pending', 'running', 'ready', 'queued', 'retrying', 'needs_review', 'awaiting_approval', 'blocked'],
    to: 'skipped',
    when: 'no attempt is left or a deadline has passed, or it was cancelled, and on_failure is `skip`',
  },
  reopen: { from: ['needs_review'], to: 'ready', when: 'a person granted further attempts' },
  supply: { from: ['needs_review', 'awaiting_approval', 'blocked'], to: 'completed', when: 'a person supplied the output by hand' },
  cancel: { from: unfinished, to: 'cancelled', when: 'it, or its task, was cancelled, or its task failed' },
} as const satisfies Record<string, Transition<SubtaskState>>
export type SubtaskTransition = keyof typeof subtaskTransitions

export const taskTransitions = {
  start: { from: ['planned'], to: 'running', when: 'POST /execute' },
  block: { from: ['planned', 'running', 'needs_review'], to: 'blocked', when: 'nothing can progress and a subtask has no provider' },
  unblock: { from: ['blocked'], to: 'running', when: 'a subtask can progress again' },
  review: { from: ['planned', 'running', 'blocked'], to: 'needs_review', when: 'nothing can progress and a person has to decide' },
  decided: { from: ['needs_review'], to: 'running', when: 'a decision let a subtask progress' },
  pause: { from: ['running', 'blocked', 'needs_review'], to: 'paused', when: 'POST /tasks/{id}/pause' },
  resume: { from: ['paused'], to: 'running', when: 'POST /tasks/{id}/resume or /execute' },
  complete: {
    from: ['running', 'blocked', 'needs_review'],
    to: 'completed',
    when: 'every subtask is completed or skipped, or failed under `continue`',
  },
  fail: {
    from: ['running', 'blocked', 'needs_review', 'paused'],
    to: 'failed',
    when: 'a subtask with on_failure `fail` failed, or everything is finished and a cancelled subtask is missing',
  },
  cancel: { from: ['planned', 'running', 'paused', 'blocked', 'needs_review'], to: 'cancelled', when: 'POST /tasks/{id}/cancel' },
  rerun: { from: ['completed', 'failed', 'cancelled', 'blocked', 'needs_review'], to: 'running', when: 'POST /tasks/{id}/rerun' },
} as const satisfies Record<string, Transition<TaskStatus>>
export type TaskTransition = keyof typeof taskTransitions

/** Whether a subtask may go from one state to another by any transition of the table. */
export function isLegalSubtaskStep(from: SubtaskState, to: SubtaskState): boolean {
  return Object.values(subtaskTransitions).some(t => t.to === to && (t.from as readonly SubtaskState[]).includes(from))
}

/** Whether a task may go from one status to another by any transition of the table. */
export function isLegalTaskStep(from: TaskStatus, to: TaskStatus): boolean {
  return Object.values(taskTransitions).some(t => t.to === to && (t.from as readonly TaskStatus[]).includes(from))
}
