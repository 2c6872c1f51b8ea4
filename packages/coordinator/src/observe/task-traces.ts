/**
 * One trace for each task that is sampled: planning begins it, or goes on with the caller's; its `traceparent` is stored
 * with the task's plan, so that whichever coordinator dispatches a subtask, and whenever, ties its span to the same trace.
 * From there it travels in the job to the worker, and in the report back.
 */
import { jobId } from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { Span, Tracing } from '@baton/shared/observe'
import type { Queryable } from '../store/database.js'
import type { QueuedRow } from '../store/fragments.js'
import { readTraces } from '../store/traces.js'

/** The spans of jobs that are being rung, by their ids. */
export type DispatchSpans = ReadonlyMap<string, Span>

export class TaskTraces {
  private readonly options: { readonly tracing: Tracing; readonly database: Queryable; readonly log: Logger }

  constructor(options: { readonly tracing: Tracing; readonly database: Queryable; readonly log: Logger }) {
    this.options = options
  }

  /** Around the planning and storing of a task. */
  plan(taskId: string, parent: string | undefined): Span {
    return this.options.tracing.start('orchestrator.plan', { parent, attributes: { 'baton.task_id': taskId } })
  }

  /** Around the ringing of these rows; empty where none of their tasks is sampled. Never throws. */
  readonly dispatch = async (rows: readonly QueuedRow[]): Promise<DispatchSpans> => {
    const { tracing, database, log } = this.options
    const spans = new Map<string, Span>()
    try {
      const traces = new Map((await readTraces(database, [...new Set(rows.map(row => row.id))])).map(row => [row.id, row]))
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

  /** The taking in of a report, from its arrival to its commit. */
  aggregate(parent: string, startedAt: number, attributes: Readonly<Record<string, string | number>>): void {
    this.options.tracing.start('orchestrator.aggregate', { parent, startedAt, attributes }).end()
  }
}
