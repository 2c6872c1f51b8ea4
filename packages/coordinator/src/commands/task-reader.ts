/**
 * Reads tasks for whoever asks for them or waits for them. Those that ask while others are being answered share the next
 * statement: steps are committed in batches, and so everybody who waits for a task of a batch looks at the same moment.
 *
 * Invariant: V1 a task is never newer than the version that it is told with: a change in between shows as one change too many.
 */
import { BatonError, type TaskStatus } from '@baton/shared'
import { BatchLane } from '@baton/shared/node'
import type { Changes } from '../notify/changes.js'
import type { Queryable } from '../store/database.js'
import {
  readParts,
  readTaskVersions,
  readViews,
  type StoredView,
  type TaskKey,
  type TaskVersion,
  type ViewPage,
} from '../store/read-task.js'
import { type Caller, isUnsettled, type SeenVersion, type TaskPage, type VersionedTask, type WaitOptions } from './api.js'
import { integerCursor, pairCursor, viewOfTask } from './task-view.js'

interface TaskReaderOptions {
  readonly database: Queryable
  readonly changes: Pick<Changes, 'now' | 'next'>
}

const maxVersionsAtOnce = 500
const maxTasksAtOnce = 200
/** A waiter looks by itself this often: pulses may be lost. */
const lookEveryMs = 1_000

export class TaskReader {
  private readonly options: TaskReaderOptions
  private readonly versions: BatchLane<TaskKey, TaskVersion | undefined>
  private readonly views: BatchLane<TaskKey & ViewPage, StoredView | undefined>

  constructor(options: TaskReaderOptions) {
    const { database } = options
    this.options = options
    this.versions = new BatchLane({ maxItems: maxVersionsAtOnce, send: wanted => readTaskVersions(database, wanted) })
    this.views = new BatchLane({ maxItems: maxTasksAtOnce, send: wanted => readViews(database, wanted) })
  }

  /** Changes whenever anything that `read` shows changes; cheap. Throws `task_not_found`. */
  async version({ tenantId }: Caller, taskId: string): Promise<SeenVersion> {
    const seen = this.options.changes.now // before looking, so that a change in between is not missed
    return { ...((await this.versions.push({ tenantId, taskId })) ?? unknown(taskId)), seen }
  }

  /** Resolves with the task when its version is no longer `since`; with undefined after `timeoutMs`, or when aborted. */
  async changed(
    caller: Caller,
    taskId: string,
    since: SeenVersion,
    page: TaskPage,
    { timeoutMs, signal, until = 'change' }: WaitOptions,
  ): Promise<VersionedTask | undefined> {
    const { changes } = this.options
    const end = performance.now() + timeoutMs
    const topic = until === 'settled' ? 'status' : 'change'
    const isEnough = (version: string, status: TaskStatus) => (until === 'settled' ? !isUnsettled(status) : version !== since.version)
    for (let after = since.seen; ; ) {
      const leftMs = end - performance.now()
      if (leftMs <= 0 || signal.aborted) return undefined
      const changed = await changes.next(topic, since.id, { after, timeoutMs: Math.min(lookEveryMs, leftMs), signal })
      after = changes.now
      if (!changed) {
        const { version, status } = await this.version(caller, taskId)
        if (!isEnough(version, status)) continue
      }
      const now = await this.read(caller, taskId, page)
      if (isEnough(now.version, now.task.status)) return now
    }
  }

  /** Throws `task_not_found`, and `invalid_request` for a cursor that is none. */
  async read({ tenantId }: Caller, taskId: string, page: TaskPage): Promise<VersionedTask> {
    const wanted = viewPage(page)
    const { version, task, parts } = (await this.views.push({ tenantId, taskId, ...wanted })) ?? unknown(taskId)
    return { version, task: viewOfTask(task, parts ?? (await readParts(this.options.database, task.id, wanted)), page.limit) } // V1
  }
}

function unknown(taskId: string): never {
  throw new BatonError('task_not_found', `there is no task ${taskId}`)
}

const viewPage = (page: TaskPage): ViewPage => ({
  rows: page.limit + 1,
  subtasksAfter: integerCursor('subtasks_cursor', page.subtasksCursor),
  dependenciesAfter: pairCursor('dependencies_cursor', page.dependenciesCursor),
  artifactsAfter: integerCursor('artifacts_cursor', page.artifactsCursor),
})
