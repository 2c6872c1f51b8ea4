/** `baton why TASK`: what a task waits for, and each of its subtasks that waits. */
import { type TaskStatus, terminalTaskStatuses, type WhyView } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodeOfStatus } from '../exit-codes.js'
import type { Io } from '../io.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { colourOf, lookOf, type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

export async function why(taskId: string, options: RemoteOptions, io: Io): Promise<ExitCode> {
  const { tasks } = connect(options, io)
  const first = await tasks.why(taskId)
  const waiting = [...first.subtasks]
  for (let cursor = first.next_cursor; cursor !== null; ) {
    const page = await tasks.why(taskId, { cursor })
    waiting.push(...page.subtasks)
    cursor = page.next_cursor
  }
  if (options.json) printJson(io, whyDocument(first, waiting))
  else printLines(io, whyLines(first, waiting, { paint: paintFor(io), columns: columnsOf(io) }))
  return exitCodeOfStatus(first.status)
}

function whyDocument({ task_id, status, why, review }: WhyView, waiting: WhyView['subtasks']) {
  return { task_id, status, why: why ?? null, review: review ?? null, subtasks: waiting }
}

function whyLines(task: WhyView, waiting: WhyView['subtasks'], { paint, columns }: { paint: Paint; columns: number }): string[] {
  const ended = (terminalTaskStatuses as readonly TaskStatus[]).includes(task.status)
  const status = paint(colourOf(task.status), task.status.replaceAll('_', ' '))
  // Of a task that ended a new plan may still wait for its decision: then something is left to do.
  const idle = ended ? (task.review ? '' : '; nothing is left to do') : '; nothing waits'
  const said = task.why ? `: ${visible(task.why)}` : waiting.length === 0 ? idle : ''
  return [
    `${paint('bold', visible(task.task_id))} is ${status}${said}`,
    ...(waiting.length === 0
      ? []
      : [
          '',
          ...tableLines(
            ['subtask', 'state', 'why'],
            waiting.map(({ name, state, why }) => [visible(name), paint(lookOf(state).colour, state.replaceAll('_', ' ')), visible(why)]),
            columns,
          ),
        ]),
    ...(task.review ? ['', `decide its review: baton review ${task.review.id}`] : []),
  ]
}
