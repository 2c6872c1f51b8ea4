/** Invariants of progress: what may start, what may follow what, and that everything ends. */
import { type SubtaskState, terminalSubtaskStates, terminalTaskStatuses } from '@baton/shared'
import type { EventRow, SubtaskRow, TaskRow, Violation } from './history.js'
import type { Indexed } from './index-history.js'
import { mayRestIn, replaySubtask, replayTask } from './replay.js'

/** Whether a subtask that rests in this state lets go on what depends on it. */
function passes({ state, on_failure: policy }: SubtaskRow): boolean {
  if (state === 'completed' || state === 'skipped') return true
  return (state === 'failed' || state === 'cancelled') && (policy === 'continue' || (policy === 'skip' && state === 'cancelled'))
}

const isTerminal = (state: SubtaskState): boolean => (terminalSubtaskStates as readonly SubtaskState[]).includes(state)
const ends: readonly string[] = terminalSubtaskStates.map(state => `subtask.${state}`)

/** I2: no subtask is queued or started before each of its dependencies has ended in a way that lets it. */
export function noEarlyStart(h: Indexed): Violation[] {
  return h.dependencies.flatMap(({ from_id, to_id }) => {
    const [before, after] = [h.subtaskById.get(from_id), h.subtaskById.get(to_id)]
    const start = h.eventsOfSubtask(to_id).find(event => event.name === 'subtask.queued' || event.name === 'subtask.started')
    if (!before || !after || !start) return []
    const end = h.eventsOfSubtask(from_id).find(event => ends.includes(event.name))
    if (end && end.seq < start.seq && passes(before)) return []
    const problem = `${start.name} (event ${start.seq}) before ${h.nameOf(before)} had ended (${end ? `event ${end.seq}, ` : ''}${before.state})`
    return [{ invariant: 'I2', subject: `subtask ${h.nameOf(after)}`, problem }]
  })
}

/** I3: every task that was to run ends in a terminal status or waits for a person. This is liveness: ask it after a drain. */
export function everythingEnds(h: Indexed): Violation[] {
  return h.tasks.flatMap(task => {
    if (task.status === 'needs_review' || (terminalTaskStatuses as readonly string[]).includes(task.status)) return []
    if (h.open[task.task_id]?.includes(task.status)) return []
    if (task.status === 'planned' && !wasToRun(h, task)) return []
    return [{ invariant: 'I3', subject: `task ${task.task_id}`, problem: `is still ${task.status}: ${whatIsLeft(h, task)}` }]
  })
}

function wasToRun(h: Indexed, { task_id }: TaskRow): boolean {
  return h.operations.some(
    ({ taskId, kind, fate }) =>
      taskId === task_id && ((kind === 'execute' && fate === 'ok') || (kind === 'submit_and_execute' && fate !== 'failed')),
  )
}

function whatIsLeft(h: Indexed, task: TaskRow): string {
  const left = h.subtasks.filter(subtask => subtask.task_pk === task.id && !isTerminal(subtask.state))
  const shown = left.slice(0, 5).map(subtask => {
    const last: EventRow | undefined = h.eventsOfSubtask(subtask.id).at(-1)
    const since = last ? `, since ${last.at}: ${last.name} of attempt ${last.attempt ?? '-'} on ${last.worker_id ?? 'no worker'}` : ''
    return `${subtask.name} is ${subtask.state} (attempt ${subtask.attempt}, dispatch ${subtask.dispatch}, unmet ${subtask.unmet}${since})`
  })
  return left.length === 0 ? 'none of its subtasks is' : `${left.length} subtasks are not done: ${shown.join('; ')}`
}

/** I7: only legal transitions, by the events; and they lead to where the rows are. */
export function onlyLegalSteps(h: Indexed): Violation[] {
  const ofSubtasks = h.subtasks.flatMap(subtask => {
    const { end, problems } = replaySubtask(h.eventsOfSubtask(subtask.id))
    const all = mayRestIn(end, subtask.state) ? problems : [...problems, `is ${subtask.state}, and its events end at ${end}`]
    return all.map(problem => ({ invariant: 'I7', subject: `subtask ${h.nameOf(subtask)}`, problem }))
  })
  const ofTasks = h.tasks.flatMap(task => {
    const { end, problems } = replayTask(h.eventsOfTask(task.id))
    const all = end === task.status ? problems : [...problems, `is ${task.status}, and its events end at ${end ?? 'nothing'}`]
    return all.map(problem => ({ invariant: 'I7', subject: `task ${task.task_id}`, problem }))
  })
  return [...ofSubtasks, ...ofTasks]
}

/** I13: the count of unmet dependencies equals the dependencies that do not let it go on. */
export function unmetAsCounted(h: Indexed): Violation[] {
  const counts = new Map<string, number>()
  for (const { from_id, to_id } of h.dependencies) {
    const before = h.subtaskById.get(from_id)
    if (before && !passes(before)) counts.set(to_id, (counts.get(to_id) ?? 0) + 1)
  }
  return h.subtasks.flatMap(subtask => {
    const counted = counts.get(subtask.id) ?? 0
    if (counted === subtask.unmet) return []
    const problem = `says ${subtask.unmet} unmet dependencies, and has ${counted}`
    return [{ invariant: 'I13', subject: `subtask ${h.nameOf(subtask)}`, problem }]
  })
}
