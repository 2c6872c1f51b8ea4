/** `baton status [TASK]`. */
import { BatonError, formatDuration, type TaskStatus, type TaskSummary, taskStatuses } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodeOfStatus, exitCodes } from '../exit-codes.js'
import { followTask, outcomeLines } from '../follow.js'
import type { Io } from '../io.js'
import { planLines } from '../output/plan.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { progressOf } from '../output/progress.js'
import { colourOf, type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

interface StatusOptions extends RemoteOptions {
  readonly watch?: boolean
  readonly status?: string
  readonly limit?: number
}

export async function status(taskId: string | undefined, options: StatusOptions, io: Io): Promise<ExitCode> {
  if (taskId === undefined) return recent(options, io)
  const client = connect(options, io)
  if (options.watch) {
    const task = await followTask({ client, taskId, io, show: options.json ? 'ndjson' : 'human' })
    if (!options.json) printLines(io, outcomeLines(task, io))
    return exitCodeOfStatus(task.status)
  }
  const task = await client.tasks.get(taskId)
  if (options.json) printJson(io, task)
  else printLines(io, [...planLines(task, { paint: paintFor(io), columns: columnsOf(io) }), '', ...outcomeLines(task, io)])
  return exitCodeOfStatus(task.status)
}

async function recent(options: StatusOptions, io: Io): Promise<ExitCode> {
  if (options.watch) throw new BatonError('invalid_request', '--watch needs a task: baton status TASK --watch')
  const statuses = options.status?.split(',').map(statusOf)
  const list = await connect(options, io).tasks.list({ limit: options.limit ?? 20, ...(statuses && { status: statuses }) })
  if (options.json) printJson(io, list)
  else printLines(io, listLines(list.tasks, list.next_cursor !== null, { paint: paintFor(io), columns: columnsOf(io), now: Date.now() }))
  return exitCodes.done
}

function statusOf(text: string): TaskStatus {
  const found = taskStatuses.find(known => known === text)
  if (found) return found
  throw new BatonError('invalid_request', `${JSON.stringify(text)} is not a status; there are ${taskStatuses.join(', ')}`)
}

/** A line per task, and how many are in which status. */
export function listLines(
  tasks: readonly TaskSummary[],
  more: boolean,
  { paint, columns, now }: { paint: Paint; columns: number; now: number },
): string[] {
  if (tasks.length === 0) return ['no tasks; hand one in with `baton submit FILE`']
  const rows = tasks.map(task => {
    const { done, total } = progressOf(task)
    return [
      task.task_id,
      paint(colourOf(task.status), task.status),
      `${done}/${total}`,
      ageText(now - Date.parse(task.created_at)),
      visible(task.why ? `${task.title} (${task.why})` : task.title),
    ]
  })
  const counts = taskStatuses.flatMap(name => {
    const count = tasks.filter(task => task.status === name).length
    return count > 0 ? [`${count} ${name.replaceAll('_', ' ')}`] : []
  })
  return [
    ...tableLines(['task', 'status', 'done', 'age', 'title'], rows, columns),
    '',
    `${counts.join(', ')}${more ? '; there are older ones (--limit)' : ''}`,
  ]
}

function ageText(ms: number): string {
  return formatDuration(Math.max(1_000, ms)).split(' ')[0] ?? ''
}
