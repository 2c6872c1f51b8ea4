/** The closed table of events, tested against docs/events.md. An event is written with the state that it tells of. */

export const eventTable = {
  'task.planned': 'A task was taken in and planned.',
  'task.waiting': 'A task is to start as soon as its orchestrator may run one more.',
  'task.started': 'A task began to run.',
  'task.blocked': 'Nothing of the task can progress, and a subtask has no provider.',
  'task.unblocked': 'A task that was blocked goes on.',
  'task.needs_review': 'Nothing of the task can progress until a person decides.',
  'task.paused': 'A task was paused.',
  'task.resumed': 'A task goes on.',
  'task.automatic': 'A task was let go of that was executed step by step: it goes on by itself.',
  'task.completed': 'Every subtask of the task is finished.',
  'task.failed': 'A subtask failed for good and the task with it.',
  'task.cancelled': 'A task was cancelled.',
  'task.rerun': 'A part of a task runs again.',
  'task.replanned': 'What was not finished of a task was planned anew.',
  'subtask.ready': 'The dependencies of a subtask are finished.',
  'subtask.queued': 'An attempt was put into a queue; with `why`: once more, since the worker that it was started on does not have it.',
  'subtask.started': 'A worker claimed an attempt, or was given it.',
  'subtask.output': 'An agent streamed output. Only in the stream of its task, and in no list of events beside.',
  'subtask.completed': 'A result was accepted.',
  'subtask.deferred': 'A subtask that was lost twice with its worker waits until the worker has finished another such one.',
  'subtask.retrying': 'An attempt failed; another follows.',
  'subtask.requeued': 'An attempt ended through no fault of its own; another follows.',
  'subtask.blocked': 'No live worker offers what the subtask needs.',
  'subtask.awaiting_approval': 'A subtask could start, and waits for a person.',
  'subtask.approved': 'A person let a subtask start.',
  'subtask.needs_review': 'A subtask used up its attempts; a person has to decide.',
  'subtask.failed': 'A subtask failed for good.',
  'subtask.skipped': 'A subtask was skipped by its on_failure policy or by a person.',
  'subtask.cancel_requested': 'The worker of a running subtask was asked to stop.',
  'subtask.cancelled': 'A subtask was cancelled.',
  'subtask.reassigned': 'A subtask was given to another agent.',
  'subtask.rerun': 'A subtask runs again, as the next generation.',
  'subtask.spawned': 'An agent added a subtask at run time.',
  'review.created': 'A person has to decide something.',
  'review.assigned': 'Somebody was named who is to decide, or nobody any more.',
  'review.escalated': 'A review was still open at its due time and went to its second assignee.',
  'review.decided': 'A person decided.',
  'review.closed': 'A review became moot.',
  'orchestrator.created': 'An orchestrator was created.',
  'orchestrator.updated': 'An orchestrator was changed.',
  'orchestrator.paused': 'An orchestrator dispatches no more: it is idle or paused.',
  'orchestrator.resumed': 'An orchestrator runs.',
  'orchestrator.deleted': 'An orchestrator was deleted.',
  'system.paused': 'Everything was paused.',
  'system.resumed': 'Everything goes on.',
  'webhook.created': 'A webhook was registered.',
  'webhook.updated': 'A webhook was changed.',
  'webhook.rotated': 'A webhook got a new secret; the one before it still signs beside it for a while.',
  'webhook.deleted': 'A webhook was deleted.',
  'key.created': 'An API key was made.',
  'key.revoked': 'An API key was revoked.',
  'worker.starting': 'A worker registered, and does not take work yet.',
  'worker.ready': 'A worker takes work.',
  'worker.draining': 'A worker takes no more work and finishes what it has.',
  'worker.stopped': 'A worker ended in order.',
  'worker.lost': 'A worker stopped reporting.',
  'alert.blocked': 'Work waits for a capability that no live worker offers.',
  'alert.webhook': 'The delivery of an event to a webhook was given up.',
  'alert.worker_lost': 'A worker stopped reporting while it had work.',
  'alert.queue_wait': 'No worker took a subtask within its queue wait.',
  'alert.review_due': 'A review is still open at its due time.',
  'alert.sla_risk': 'An attempt has used up most of its SLA, or a task most of the time until it is due.',
  'alert.sla_breach': 'An attempt exceeded its SLA, a subtask its deadline, or a task its due date or SLA.',
} as const

export type EventName = keyof typeof eventTable
export const eventNames = Object.keys(eventTable) as EventName[]

/** An event as its readers see it. */
export interface EventView {
  /** Its position: what `after` and `Last-Event-ID` take. */
  id: string
  at: string
  name: EventName
  task_id: string | null
  orchestrator_id: string | null
  subtask_id: string | null
  /** The name of the subtask within its task. */
  subtask: string | null
  attempt: number | null
  agent: string | null
  worker_id: string | null
  /** What else there is to tell; of `subtask.output` the `chunks`, and `from`, the number of the first one within its attempt. */
  data: unknown
}

export interface EventList {
  events: EventView[]
  /** Null where there is no more at present: go on behind the `id` of the last event. */
  next_cursor: string | null
}

/** Which events are meant: a name (`task.completed`), all that begin so (`task.*`), or all (`*`). */
export const eventFilterPattern = /^(?:\*|[a-z]+\.\*|[a-z]+\.[a-z_]+)$/

/** Whether a filter names something that exists. */
export function isEventFilter(text: string): boolean {
  if (!eventFilterPattern.test(text)) return false
  return eventNames.some(name => matchesEventFilter(name, text))
}

export function matchesEventFilter(name: string, filter: string): boolean {
  return filter.endsWith('*') ? name.startsWith(filter.slice(0, -1)) : name === filter
}
