/**
 * A task's progress as text. Pure: the same snapshot gives the same lines. On a terminal a frame that is redrawn in
 * place, never higher than the terminal; in a pipe one line per change.
 */
import { formatDuration, type SubtaskState, type SubtaskView, subtaskStates, type TaskView, terminalSubtaskStates } from '@baton/shared'
import { colourOf, lookOf, type Paint, plain } from './style.js'
import { cut, padEnd, visible, widthOf } from './text.js'

export interface FrameOptions {
  readonly columns: number
  /** Of the whole frame. */
  readonly rows: number
  readonly paint: Paint
  readonly now: number
}

/** `█████░░░░░`; full only when all is done. */
export function bar(done: number, total: number, width: number): string {
  const share = total === 0 ? 0 : done / total
  const full = done >= total && total > 0 ? width : Math.min(width - 1, Math.floor(share * width))
  return '█'.repeat(full) + '░'.repeat(width - full)
}

/** How many subtasks ended, of how many. */
export function progressOf(task: Pick<TaskView, 'subtask_counts'>): { done: number; total: number } {
  const count = (states: readonly SubtaskState[]) => states.reduce((sum, state) => sum + (task.subtask_counts[state] ?? 0), 0)
  return { done: count(terminalSubtaskStates), total: count(subtaskStates) }
}

/** `3 completed, 2 running`, in the order of the states. */
export function countsText(counts: TaskView['subtask_counts']): string {
  return subtaskStates.flatMap(state => (counts[state] ? [`${counts[state]} ${state.replaceAll('_', ' ')}`] : [])).join(', ')
}

/** Head, bar and one line per subtask; those that matter now when not all have room. */
export function frameLines(task: TaskView, { columns, rows, paint, now }: FrameOptions): string[] {
  const { done, total } = progressOf(task)
  const percent = total === 0 ? 0 : Math.floor((done / total) * 100)
  const barWidth = Math.max(10, Math.min(30, columns - 50))
  // A long title gives way to the status behind it.
  const titleRoom = Math.max(10, columns - widthOf(visible(task.task_id)) - task.status.length - 4)
  const head = [
    `${paint('bold', visible(task.task_id))}  ${cut(visible(task.title), titleRoom)}  ${paint(colourOf(task.status), task.status)}`,
    `${paint('cyan', bar(done, total, barWidth))} ${String(percent).padStart(3)}%  ${done}/${total}  ${elapsedOf(task, now)}  ${paint('dim', countsText(task.subtask_counts))}`,
    ...(task.why ? [paint('yellow', visible(task.why))] : []),
  ]
  const room = Math.max(0, rows - head.length)
  const shown = choose(task.subtasks, total > room ? Math.max(0, room - 1) : room)
  const nameWidth = Math.min(32, Math.max(0, ...shown.map(subtask => widthOf(visible(subtask.name)))))
  const stateWidth = Math.max(9, ...shown.map(subtask => subtask.state.length))
  const lines = [...head, ...shown.map(subtask => subtaskLine(subtask, { nameWidth, stateWidth, paint, now }))]
  if (shown.length < total) lines.push(paint('dim', `  … ${total - shown.length} more`))
  return lines.slice(0, rows).map(line => cut(line, columns))
}

function subtaskLine(
  subtask: SubtaskView,
  { nameWidth, stateWidth, paint, now }: { nameWidth: number; stateWidth: number; paint: Paint; now: number },
): string {
  const { sign, colour } = lookOf(subtask.state)
  const parts = [
    padEnd(cut(visible(subtask.name), nameWidth), nameWidth),
    paint(colour, padEnd(subtask.state.replaceAll('_', ' '), stateWidth)),
    visible(subtask.agent ?? subtask.capability),
    durationOf(subtask, now),
    subtask.attempt > 1 ? `attempt ${subtask.attempt}` : '',
    paint('dim', visible(noteOf(subtask))),
  ]
  return `  ${paint(colour, sign)} ${parts.filter(part => widthOf(part) > 0).join('  ')}`
}

/** What one would want to know besides the state. */
function noteOf(subtask: SubtaskView): string {
  if (subtask.state !== 'completed' && subtask.failure) return subtask.failure.message
  if (subtask.why) return subtask.why
  if (subtask.state !== 'running' || subtask.progress === undefined || subtask.progress === null) return ''
  return typeof subtask.progress === 'string' ? subtask.progress : JSON.stringify(subtask.progress)
}

const urgency: Partial<Record<SubtaskState, number>> = {
  failed: 0,
  needs_review: 0,
  blocked: 0,
  awaiting_approval: 0,
  running: 1,
  retrying: 1,
  queued: 2,
  ready: 2,
  pending: 3,
}

/** As many as have room: what needs somebody, what runs, what comes next, what ended last. In the plan's order. */
function choose(subtasks: readonly SubtaskView[], room: number): readonly SubtaskView[] {
  if (subtasks.length <= room) return subtasks
  const rank = (subtask: SubtaskView) => urgency[subtask.state] ?? 4
  const chosen = subtasks
    .map((subtask, i) => ({ subtask, i }))
    .sort((a, b) => rank(a.subtask) - rank(b.subtask) || (rank(a.subtask) === 4 ? b.i - a.i : a.i - b.i))
    .slice(0, room)
  return chosen.sort((a, b) => a.i - b.i).map(({ subtask }) => subtask)
}

/** What changed between two snapshots, one line each; everything when there is no earlier one. */
export function changeLines(before: TaskView | undefined, task: TaskView, paint: Paint = plain): string[] {
  const lines: string[] = []
  const status = paint(colourOf(task.status), task.status)
  if (!before) lines.push(`${visible(task.task_id)} ${status}, ${countsText(task.subtask_counts) || 'no subtasks'}`)
  const known = new Map(before?.subtasks.map(subtask => [keyOf(subtask), subtask]))
  for (const subtask of task.subtasks) {
    const earlier = known.get(keyOf(subtask))
    const changed = earlier
      ? earlier.state !== subtask.state || earlier.attempt !== subtask.attempt
      : before !== undefined || subtask.state !== 'pending'
    if (changed) lines.push(changeLine(subtask, paint))
  }
  if (before && before.status !== task.status) {
    const { done, total } = progressOf(task)
    lines.push(`${visible(task.task_id)} ${status}, ${done} of ${total} done${task.why ? `: ${visible(task.why)}` : ''}`)
  }
  return lines
}

/** A rerun inserts a subtask again, under the same id. */
const keyOf = (subtask: SubtaskView): string => `${subtask.subtask_id}#${subtask.generation}`

function changeLine(subtask: SubtaskView, paint: Paint): string {
  const { sign, colour } = lookOf(subtask.state)
  const details = [
    subtask.agent ? `by ${visible(subtask.agent)}` : '',
    subtask.attempt > 1 ? `attempt ${subtask.attempt}` : '',
    subtask.finished_at && subtask.started_at ? durationOf(subtask, 0) : '',
  ].filter(text => text !== '')
  const note = subtask.state === 'completed' ? '' : visible(subtask.failure?.message ?? subtask.why ?? '')
  return `  ${paint(colour, sign)} ${visible(subtask.name)} ${subtask.state.replaceAll('_', ' ')}${details.length > 0 ? ` (${details.join(', ')})` : ''}${note ? `: ${note}` : ''}`
}

function durationOf({ started_at, finished_at }: Pick<SubtaskView, 'started_at' | 'finished_at'>, now: number): string {
  if (!started_at) return ''
  return formatDuration(Math.max(0, (finished_at ? Date.parse(finished_at) : now) - Date.parse(started_at)))
}

function elapsedOf(task: TaskView, now: number): string {
  return task.started_at ? durationOf(task, now) : 'not started'
}
