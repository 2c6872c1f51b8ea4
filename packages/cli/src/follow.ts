/** Follows a task on the terminal until it ended or needs somebody. */
import type { Client } from '@baton/client'
import { BatonError, type EventView, formatDuration, type TaskView } from '@baton/shared'
import { terminalWishes } from './env.js'
import type { Io } from './io.js'
import { LiveLines } from './output/live.js'
import { outageNotes } from './output/outage.js'
import { printJson, printLines } from './output/print.js'
import { changeLines, countsText, frameLines } from './output/progress.js'
import { StreamedLines } from './output/streamed.js'
import { colourOf, paintFor } from './output/style.js'
import { cut, visible } from './output/text.js'

export interface FollowTask {
  readonly client: Client
  readonly taskId: string
  readonly io: Io
  /** `human`: progress as it fits the output. `ndjson`: a snapshot a line. `silent`: nothing. */
  readonly show: 'human' | 'ndjson' | 'silent'
  readonly signal?: AbortSignal
}

const settled: readonly TaskView['status'][] = ['completed', 'failed', 'cancelled', 'needs_review', 'blocked']

/** Starts a task that is then followed. One that nobody can work on yet is started too: following it says why it is blocked. */
export async function startTask(client: Client, taskId: string, request: Parameters<Client['tasks']['execute']>[1] = {}): Promise<void> {
  try {
    await client.tasks.execute(taskId, request)
  } catch (error) {
    if (!(error instanceof BatonError && error.code === 'agent_unavailable')) throw error
  }
}

/** The last snapshot. */
export async function followTask({ client, taskId, io, show, signal }: FollowTask): Promise<TaskView> {
  const view =
    show === 'human' ? humanView(io) : show === 'ndjson' ? { ...silentView, show: (task: TaskView) => printJson(io, task) } : silentView
  const how = {
    ...(signal && { signal }),
    ...(view.output && { onOutput: view.output }),
    ...outageNotes(io, client.url, view.leave),
  }
  let last: TaskView | undefined
  try {
    for await (const task of client.tasks.watch(taskId, how)) {
      view.show(task)
      last = task
      if (settled.includes(task.status)) break
    }
  } finally {
    view.end()
  }
  return last ?? client.tasks.get(taskId)
}

interface View {
  show(task: TaskView): void
  /** What agents stream; none: it is not asked for. */
  readonly output?: (event: EventView) => void
  /** Something else was written to the terminal. */
  readonly leave?: () => void
  end(): void
}

const silentView: View = { show: () => undefined, end: () => undefined }

function humanView(io: Io): View {
  return io.stdout.isTTY && terminalWishes(io.env).redraw ? liveView(io) : lineView(io)
}

function lineView(io: Io): View {
  const paint = paintFor(io)
  const streamed = new StreamedLines(paint)
  let before: TaskView | undefined
  return {
    show(task) {
      printLines(io, [...streamed.ended(task), ...changeLines(before, task, paint)])
      before = task
    },
    output: event => printLines(io, streamed.take(event)),
    end: () => printLines(io, streamed.rest()),
  }
}

function liveView(io: Io): View {
  const live = new LiveLines(io.stdout)
  const paint = paintFor(io)
  const streamed = new StreamedLines(paint)
  let task: TaskView | undefined
  /** What agents streamed stays above the frame. */
  const draw = (lines: readonly string[] = []) => {
    const above = lines.map(line => cut(line, live.room.columns))
    if (task) live.draw(frameLines(task, { ...live.room, paint, now: Date.now() }), above)
  }
  const timer = setInterval(draw, 1_000, []) // times go on between snapshots
  return {
    show(snapshot) {
      task = snapshot
      draw(streamed.ended(snapshot))
    },
    output(event) {
      const lines = streamed.take(event)
      if (lines.length > 0) draw(lines)
    },
    leave: () => live.leave(),
    end() {
      clearInterval(timer)
      const lines = streamed.rest()
      if (lines.length > 0) draw(lines)
    },
  }
}

/** The last words about a task: how it ended, what failed, what to do. */
export function outcomeLines(task: TaskView, io: Io): string[] {
  const paint = paintFor(io)
  const took = task.metrics.elapsed_seconds > 0 ? ` after ${formatDuration(task.metrics.elapsed_seconds * 1_000)}` : ''
  const artifacts = task.artifacts.length + (task.artifacts_next_cursor ? '+' : '')
  const failures = task.subtasks.filter(subtask => subtask.failure && subtask.state !== 'completed')
  return [
    `${paint('bold', visible(task.task_id))} is ${paint(colourOf(task.status), task.status.replaceAll('_', ' '))}${took}: ${countsText(task.subtask_counts) || 'no subtasks'}`,
    ...(task.why ? [visible(task.why)] : []),
    ...failures
      .slice(0, 10)
      .map(({ name, state, failure }) => `  ${visible(name)} ${state.replaceAll('_', ' ')}: ${visible(failure?.message ?? '')}`),
    ...(failures.length > 10 ? [`  … ${failures.length - 10} more`] : []),
    ...(task.review ? [`review ${task.review.id} waits for a decision: baton review ${task.review.id}`] : []),
    ...(task.artifacts.length > 0 ? [`${artifacts} ${artifacts === '1' ? 'artifact' : 'artifacts'}`] : []),
  ]
}
