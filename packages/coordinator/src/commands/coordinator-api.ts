/** Everything the coordinator can be asked to do, composed of its parts. */
import { BatonError, priorities, type TaskSummary } from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { Artifacts } from '../artifacts/artifacts.js'
import { whyTask } from '../core/why.js'
import { wantStart } from '../store/admission.js'
import type { Database } from '../store/database.js'
import { executeTask, previewExecution } from '../store/execute.js'
import { leaveManual } from '../store/leave-manual.js'
import { listTasks, listWorkers, type WorkerRow } from '../store/read-lists.js'
import { readArtifact, readArtifacts, readTask } from '../store/read-task.js'
import type { CoordinatorApi } from './api.js'
import type { Brokerage } from './brokerage.js'
import type { Control } from './control.js'
import type { Events } from './events.js'
import type { Keys } from './keys.js'
import type { Orchestrators } from './orchestrators.js'
import type { Replanner } from './replan.js'
import type { Reviews } from './reviews.js'
import type { Submitter } from './submit.js'
import type { TaskReader } from './task-reader.js'
import { artifactUri, badCursor, integerCursor, readWhyView, surroundingsOf } from './task-view.js'
import type { Webhooks } from './webhooks.js'

interface ApiOptions {
  readonly database: Database
  readonly reader: TaskReader
  readonly submitter: Pick<Submitter, 'submit'>
  readonly control: Control
  readonly reviews: Reviews
  readonly orchestrators: Orchestrators
  readonly brokerage: Brokerage
  readonly replanner: Pick<Replanner, 'replan'>
  readonly events: Events
  readonly webhooks: Webhooks
  readonly keys: Keys
  readonly readArtifact: Artifacts['read']
  readonly log: Logger
  readonly fleet: { resolves(routeId: number): boolean; refresh(): Promise<void> }
  /** Starts what waits to start and now may. */
  readonly startWaiting: () => Promise<void>
  /** Rows became ready. */
  readonly onReady: () => void
  readonly onChange: (taskPks: readonly string[]) => void
  /** The other stores, for readiness: each resolves when it answers. */
  readonly checks: Readonly<Record<string, () => Promise<void> | void>>
}

const checkTimeoutMs = 2_000

export function createCoordinatorApi(options: ApiOptions): CoordinatorApi {
  const { database, reader, submitter, fleet, onReady, onChange } = options

  const api: CoordinatorApi = {
    ...options.control,
    ...options.reviews,
    ...options.orchestrators,
    ...options.brokerage,

    replan: (caller, taskId, request, how) => options.replanner.replan(caller, taskId, request, how),
    ...options.events,
    ...options.webhooks,
    ...options.keys,

    submit: (caller, requests, how) => submitter.submit(caller, requests, how),

    async execute(caller, taskId, request) {
      const checkpoints = request.checkpoints ?? []
      const preview = await previewExecution(database, caller.tenantId, taskId, checkpoints)
      if (!preview) throw new BatonError('task_not_found', `there is no task ${taskId}`)
      if (preview.unknown)
        throw new BatonError('invalid_request', 'checkpoints must name subtasks of the task', {
          fields: preview.unknown.map(name => ({
            path: `checkpoints[${checkpoints.indexOf(name)}]`,
            issue: `there is no subtask ${JSON.stringify(name)}`,
          })),
        })
      // Whoever says `auto` of a task that goes step by step wants it to go on by itself.
      const left =
        request.execution_mode === 'auto' && preview.execution_mode === 'manual'
          ? await leaveManual(database, { tenantId: caller.tenantId, taskId, actor: caller.actor })
          : undefined
      if (left !== undefined) {
        onChange([left])
        onReady()
      }
      if (preview.status === 'paused') return options.control.controlTask(caller, taskId, 'resume', 'execution was asked for')
      await fleet.refresh()
      const unroutable = (preview.root_routes ?? []).filter(route => !fleet.resolves(route))
      const wanted = { tenantId: caller.tenantId, taskId, mode: request.execution_mode ?? 'auto', checkpoints } as const
      if (preview.status === 'planned' && preview.max_concurrent_tasks !== null) {
        // Its orchestrator may run so many at once: this one takes its turn.
        await wantStart(database, wanted)
        await options.startWaiting()
        const now = await reader.version(caller, taskId)
        if (now.status === 'blocked') throw unroutableTask(taskId)
        return { task_id: taskId, status: now.status }
      }
      const result = await database.transaction(tx => executeTask(tx, { ...wanted, unroutable }))
      if (!result) throw new BatonError('task_not_found', `there is no task ${taskId}`)
      if (result.from_status === 'planned') {
        onChange([result.id])
        onReady()
      }
      if (result.status === 'needs_review' && result.from_status === 'needs_review' && left === undefined)
        throw new BatonError(
          'state_conflict',
          `task ${taskId} needs review; decide its open review, or release what waits for that (GET /tasks/${taskId}/why says which); execution_mode \`auto\` ends manual execution`,
        )
      if (result.status === 'blocked') throw unroutableTask(taskId)
      return { task_id: taskId, status: result.status }
    },

    task: (caller, taskId, page) => reader.read(caller, taskId, page),

    why: (caller, taskId, page) => readWhyView(database, caller, taskId, page),

    taskVersion: (caller, taskId) => reader.version(caller, taskId),

    changedTask: (caller, taskId, since, page, wait) => reader.changed(caller, taskId, since, page, wait),

    async tasks(caller, filters) {
      const rows = await listTasks(database, {
        tenantId: caller.tenantId,
        status: filters.status ?? null,
        agent: filters.agent ?? null,
        orchestratorId: filters.orchestratorId ?? null,
        metadata: JSON.stringify(filters.metadata ?? {}),
        createdAfter: filters.createdAfter ?? null,
        createdBefore: filters.createdBefore ?? null,
        before: filters.cursor === undefined ? null : listCursor(filters.cursor),
        limit: filters.limit + 1,
      })
      const shown = rows.slice(0, filters.limit)
      const last = shown[shown.length - 1]
      return {
        tasks: shown.map((row): TaskSummary => {
          const why = whyTask(row.status, surroundingsOf(row), undefined, row.task_id)
          return {
            task_id: row.task_id,
            title: row.title,
            status: row.status,
            priority: priorities[row.priority] ?? 'medium',
            orchestrator_id: row.orchestrator_id,
            created_at: row.created_at.toISOString(),
            finished_at: row.finished_at?.toISOString() ?? null,
            subtask_counts: row.counts,
            ...(why !== undefined && { why }),
          }
        }),
        next_cursor: rows.length > filters.limit && last ? Buffer.from(`${last.position}|${last.id}`).toString('base64url') : null,
      }
    },

    async artifacts(caller, taskId, { limit, cursor }) {
      const task = await readTask(database, caller.tenantId, taskId)
      if (!task) throw new BatonError('task_not_found', `there is no task ${taskId}`)
      const rows = await readArtifacts(database, task.id, integerCursor('cursor', cursor), limit + 1)
      const shown = rows.slice(0, limit)
      return {
        artifacts: shown.map(a => ({
          name: a.name,
          subtask_id: a.subtask_id,
          uri: artifactUri(taskId, a.subtask_id, a.name),
          media_type: a.media_type,
          bytes: Number(a.bytes),
          sha256: a.sha256,
        })),
        next_cursor: rows.length > limit ? (shown[shown.length - 1]?.id ?? null) : null,
      }
    },

    async artifact(caller, taskId, subtaskId, name) {
      const row = await readArtifact(database, caller.tenantId, taskId, subtaskId, name)
      if (!row) throw new BatonError('artifact_not_found', `task ${taskId} has no artifact ${name} of subtask ${subtaskId}`)
      const { media_type: mediaType, sha256, stored, claim_id: claimId } = row
      const bytes = Number(row.bytes)
      return { mediaType, sha256, bytes, read: part => options.readArtifact({ claimId, name, bytes, sha256, stored }, part) }
    },

    async workers() {
      return (await listWorkers(database, null)).map(workerView)
    },

    async worker(_, id) {
      const [row] = await listWorkers(database, id)
      if (!row) throw new BatonError('worker_not_found', `there is no worker ${id}`)
      return workerView(row)
    },

    async readiness() {
      const checks: Record<string, string> = {}
      await Promise.all(
        Object.entries({ postgres: () => database.query({ text: 'select 1' }).then(() => undefined), ...options.checks }).map(
          async ([name, check]) => {
            checks[name] = await answered(check)
          },
        ),
      )
      return { ready: Object.values(checks).every(c => c === 'ok'), checks }
    },
  }
  return api
}

function unroutableTask(taskId: string): BatonError {
  return new BatonError(
    'agent_unavailable',
    `no live worker can take what task ${taskId} would start with; it is blocked and goes on by itself when one appears`,
    { extra: { task_id: taskId, task_status: 'blocked' } },
  )
}

async function answered(check: () => Promise<void> | void): Promise<string> {
  let timer: NodeJS.Timeout | undefined
  try {
    await Promise.race([
      check(),
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error('no answer in time')), checkTimeoutMs)
      }),
    ])
    return 'ok'
  } catch {
    return 'does not answer' // in the driver's words it would name addresses, to whoever asks
  } finally {
    clearTimeout(timer)
  }
}

function workerView(row: WorkerRow) {
  return { ...row, started_at: row.started_at.toISOString(), last_heartbeat_at: row.last_heartbeat_at.toISOString() }
}

function listCursor(cursor: string): [string, string] {
  const [position = '', id = ''] = Buffer.from(cursor, 'base64url').toString().split('|')
  // Kept as text: a Date would lose its microseconds.
  if (Number.isNaN(Date.parse(position)) || !/^\d{1,19}$/.test(id)) throw badCursor('cursor')
  return [position, id]
}
