/** `baton why TASK`: what a task waits for, and each of its subtasks that waits. */
import { type SubtaskView, type TaskView, terminalSubtaskStates } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodeOfStatus } from '../exit-codes.js'
import type { Io } from '../io.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { colourOf, lookOf, type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

export async function why(taskId: string, options: RemoteOptions, io: Io): Promise<ExitCode> {
  const { tasks } = connect(options, io)
  const task = await tasks.get(taskId)
  const waiting: SubtaskView[] = []
  for (let page = task; ; ) {
    waiting.push(...page.subtasks.filter(subtask => subtask.why !== undefined))
    if (page.subtasks_next_cursor === undefined) break
    page = await tasks.get(taskId, { subtasksCursor: page.subtasks_next_cursor })
  }
  if (options.json) printJson(io, whyDocument(task, waiting))
  else printLines(io, whyLines(task, waiting, { paint: paintFor(io), columns: columnsOf(io) }))
  return exitCodeOfStatus(task.status)
}

function whyDocument({ task_id, status, why, review }: TaskView, waiting: readonly SubtaskView[]) {
  return {
    task_id,
    status,
    why: why ?? null,
    review: review ?? null,
    subtasks: waiting.map(({ subtask_id, name, state, why }) => ({ subtask_id, name, state, why })),
  }
}

export function whyLines(task: TaskView, waiting: readonly SubtaskView[], { paint, columns }: { paint: Paint; columns: number }): string[] {
  const ended = Object.entries(task.subtask_counts).every(([state]) => (terminalSubtaskStates as readonly string[]).includes(state))
  const status = paint(colourOf(task.status), task.status.replaceAll('_', ' '))
  const said = task.why ? `: ${visible(task.why)}` : waiting.length === 0 ? (ended ? '; nothing is left to do' : '; nothing waits') : ''
  return [
    `${paint('bold', visible(task.task_id))} is ${status}${said}`,
    ...(waiting.length === 0
      ? []
      : [
          '',
          ...tableLines(
            ['subtask', 'state', 'why'],
            waiting.map(({ name, state, why }) => [
              visible(name),
              paint(lookOf(state).colour, state.replaceAll('_', ' ')),
              visible(why ?? ''),
            ]),
            columns,
          ),
        ]),
    ...(task.review ? ['', `decide its review: baton review ${task.review.id}`] : []),
  ]
}
