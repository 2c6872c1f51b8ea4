/**
 * One trace for each task that is sampled: planning begins it, or goes on with the caller's; its `traceparent` is stored
 * with the task's plan, so that whichever coordinator dispatches a subtask, and whenever, ties its span to the same trace.
 * From there it travels in the job to the worker, and in the report back. Of what was stored here a moment ago it is known
 * without asking whether it is traced: most tasks are not, and their dispatch costs no look at the database.
 */
import { jobId } from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { Span, Tracing } from '@baton/shared/observe'
import type { Queryable } from '../store/database.js'
import type { QueuedRow } from '../store/fragments.js'
import { readTraces, type TraceRow } from '../store/traces.js'

/** The spans of jobs that are being rung, by their ids. */
export type DispatchSpans = ReadonlyMap<string, Span>

/** Subtasks that are remembered between their storing and their dispatch; the oldest give way (I12). */
const maxRemembered = 20_000

export class TaskTraces {
  /** By their ids; null: their task is not traced. */
  private readonly remembered = new Map<string, Omit<TraceRow, 'id'> | null>()
  private readonly options: { readonly tracing: Tracing; readonly database: Queryable; readonly log: Logger }

  constructor(options: { readonly tracing: Tracing; readonly database: Queryable; readonly log: Logger }) {
    this.options = options
  }

  /** Around the planning and storing of a task. */
  plan(taskId: string, parent: string | undefined): Span {
    return this.options.tracing.start('orchestrator.plan', { parent, attributes: { 'baton.task_id': taskId } })
  }

  /** These subtasks were stored, as a task with this `traceparent`, or with none. */
  readonly stored = (
    task: { readonly task_id: string },
    subtasks: readonly { readonly id: string; readonly subtask_id: string }[],
    traceparent: string | undefined,
  ): void => {
    const { remembered } = this
    // Of a graph that is larger than all that is kept, those that are dispatched first.
    for (const { id, subtask_id } of subtasks.slice(0, maxRemembered))
      remembered.set(id, traceparent === undefined ? null : { traceparent, task_id: task.task_id, subtask_id })
    for (const oldest of remembered.keys()) {
      if (remembered.size <= maxRemembered) break
      remembered.delete(oldest)
    }
  }

  /** Around the ringing of these rows; empty where none of their tasks is sampled. Never throws. */
  readonly dispatch = async (rows: readonly QueuedRow[]): Promise<DispatchSpans> => {
    const { tracing, log } = this.options
    const spans = new Map<string, Span>()
    try {
      const traces = await this.tracesOf(rows)
      for (const { id, attempt, dispatch, queue } of rows) {
        const traced = traces.get(id)
        if (!traced) continue
        const attributes = {
          'baton.task_id': traced.task_id,
          'baton.subtask_id': traced.subtask_id,
          'baton.attempt': attempt,
          'baton.queue': queue,
        }
        spans.set(jobId(id, attempt, dispatch), tracing.start('orchestrator.dispatch', { parent: traced.traceparent, attributes }))
      }
    } catch (error) {
      log.debug({ err: error }, 'jobs are rung without their traces')
    }
    return spans
  }

  private async tracesOf(rows: readonly QueuedRow[]): Promise<ReadonlyMap<string, Omit<TraceRow, 'id'>>> {
    const traces = new Map<string, Omit<TraceRow, 'id'>>()
    const unknown = new Set<string>()
    for (const { id } of rows) {
      const known = this.remembered.get(id)
      if (known === undefined) unknown.add(id)
      else if (known !== null) traces.set(id, known)
      this.remembered.delete(id) // most are dispatched once
    }
    if (unknown.size > 0) for (const row of await readTraces(this.options.database, [...unknown])) traces.set(row.id, row)
    return traces
  }

  /** The taking in of a report, from its arrival to its commit. */
  aggregate(parent: string, startedAt: number, attributes: Readonly<Record<string, string | number>>): void {
    this.options.tracing.start('orchestrator.aggregate', { parent, startedAt, attributes }).end()
  }
}
