/**
 * Reads tasks for whoever asks for them or waits for them. Those that ask while others are being answered share the next
 * statements: steps are committed in batches, and so everybody who waits for a task of a batch looks at the same moment.
 */
import { BatonError, type TaskStatus, type TaskView } from '@baton/shared'
import { BatchLane } from '@baton/shared/node'
import type { Queryable } from '../store/database.js'
import {
  countSubtasks,
  readArtifacts,
  readDependencies,
  readOpenReviews,
  readStatusHistory,
  readSubtasks,
  readTasks,
  readTaskVersions,
  type TaskKey,
  type TaskRow,
  type TaskVersion,
} from '../store/read-task.js'
import type { Caller, TaskPage, WaitOptions } from './api.js'
import { integerCursor, pairCursor, type TaskParts, viewOfTask } from './task-view.js'

interface TaskReaderOptions {
  readonly database: Queryable
  readonly changes: { next(topic: 'change' | 'status', taskPk: string, timeoutMs: number, signal: AbortSignal): Promise<void> }
}

const maxVersionsAtOnce = 500
const maxTasksAtOnce = 200
/** Tasks of more subtasks than this are read by themselves. */
const maxShared = 100
/** A waiter looks by itself this often: pulses may be lost. */
const lookEveryMs = 1_000
/** Statuses that a task leaves by itself. */
const unsettled: readonly TaskStatus[] = ['planned', 'running']

export class TaskReader {
  private readonly options: TaskReaderOptions
  private readonly versions: BatchLane<TaskKey, TaskVersion | undefined>
  private readonly tasks: BatchLane<TaskKey, TaskRow | undefined>
  private readonly parts: BatchLane<WantedParts, TaskParts>

  constructor(options: TaskReaderOptions) {
    const { database } = options
    this.options = options
    this.versions = new BatchLane({ maxItems: maxVersionsAtOnce, send: wanted => readTaskVersions(database, wanted) })
    this.tasks = new BatchLane({ maxItems: maxTasksAtOnce, send: wanted => readTasks(database, wanted) })
    this.parts = new BatchLane({ maxItems: maxTasksAtOnce, send: wanted => readParts(database, wanted) })
  }

  /** Changes whenever anything that `view` shows changes; cheap. Throws `task_not_found`. */
  async version({ tenantId }: Caller, taskId: string): Promise<TaskVersion> {
    return (await this.versions.push({ tenantId, taskId })) ?? unknown(taskId)
  }

  /** Resolves with the newest version when it is no longer `since`, or after `timeoutMs`, or when aborted. */
  async waitForChange(caller: Caller, taskId: string, since: TaskVersion, options: WaitOptions): Promise<TaskVersion> {
    const { timeoutMs, signal, until = 'change' } = options
    const end = performance.now() + timeoutMs
    for (let now = since; ; ) {
      const left = end - performance.now()
      if (left <= 0 || signal.aborted) return now
      // Listening begins before looking, so that a change in between is not missed.
      const enough = new AbortController()
      const listening = AbortSignal.any([signal, enough.signal])
      const change = this.options.changes.next(until === 'settled' ? 'status' : 'change', since.id, Math.min(lookEveryMs, left), listening)
      now = await this.version(caller, taskId)
      if (until === 'settled' ? !unsettled.includes(now.status) : now.version !== since.version) {
        enough.abort()
        return now
      }
      await change
    }
  }

  /** Throws `task_not_found`, and `invalid_request` for a cursor that is none. */
  async view({ tenantId }: Caller, taskId: string, page: TaskPage): Promise<TaskView> {
    const task = (await this.tasks.push({ tenantId, taskId })) ?? unknown(taskId)
    const wanted = wantedParts(task, page)
    // A long list holds nobody up but who asked for it.
    const parts = task.total > maxShared ? (await readParts(this.options.database, [wanted]))[0] : await this.parts.push(wanted)
    return viewOfTask(task, parts as TaskParts, page.limit) // one for each that was asked for
  }
}

function unknown(taskId: string): never {
  throw new BatonError('task_not_found', `there is no task ${taskId}`)
}

interface WantedParts {
  readonly task_pk: string
  readonly rows: number
  readonly subtasksAfter: number
  readonly dependenciesAfter: readonly [number, number]
  readonly artifactsAfter: number
}

const wantedParts = (task: TaskRow, page: TaskPage): WantedParts => ({
  task_pk: task.id,
  rows: page.limit + 1,
  subtasksAfter: integerCursor('subtasks_cursor', page.subtasksCursor),
  dependenciesAfter: pairCursor('dependencies_cursor', page.dependenciesCursor),
  artifactsAfter: integerCursor('artifacts_cursor', page.artifactsCursor),
})

async function readParts(database: Queryable, wanted: readonly WantedParts[]): Promise<TaskParts[]> {
  const tasks = wanted.map(({ task_pk }) => ({ task_pk }))
  const [subtasks, counts, edges, artifacts, history, reviews] = await Promise.all([
    readSubtasks(
      database,
      wanted.map(({ task_pk, rows, subtasksAfter }) => ({ task_pk, rows, after: subtasksAfter })),
    ),
    countSubtasks(database, tasks),
    readDependencies(
      database,
      wanted.map(({ task_pk, rows, dependenciesAfter: [after, after_from] }) => ({ task_pk, rows, after, after_from })),
    ),
    readArtifacts(
      database,
      wanted.map(({ task_pk, rows, artifactsAfter }) => ({ task_pk, rows, after: artifactsAfter })),
    ),
    readStatusHistory(database, tasks),
    readOpenReviews(database, tasks),
  ])
  return wanted.map((_, n) => ({
    subtasks: subtasks[n] ?? [],
    counts: counts[n] ?? [],
    edges: edges[n] ?? [],
    artifacts: artifacts[n] ?? [],
    history: history[n] ?? [],
    review: reviews[n],
  }))
}
