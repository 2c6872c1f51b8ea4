/** `GET /tasks/{id}`: a task as its readers see it, in pages. */
import {
  BatonError,
  type Failure,
  priorities,
  RawJson,
  type SubtaskState,
  type SubtaskView,
  type TaskStatus,
  type TaskView,
  terminalSubtaskStates,
  type WhyView,
} from '@baton/shared'
import { type Surroundings, whySubtask, whyTask } from '../core/why.js'
import type { Queryable } from '../store/database.js'
import {
  type HoldRow,
  readOpenReview,
  readTask,
  readWaiting,
  type StateCount,
  type SubtaskRow,
  type TaskParts,
  type TaskRow,
} from '../store/read-task.js'
import type { Caller } from './api.js'

/** Of rows, one more of each list than it shows. */
export function viewOfTask(task: TaskRow, { subtasks, counts, edges, artifacts, history, review }: TaskParts, limit: number): TaskView {
  const views = subtasks.slice(0, limit).map(row => viewOf(row, task))
  const { traceparent: _, ...plan } = JSON.parse(task.plan) as TaskView['plan'] & { traceparent?: string } // written by submit.ts
  const stateCounts = Object.fromEntries(counts.map(c => [c.state, c.count])) as Partial<Record<SubtaskState, number>>
  const waiting = views.find(needsSomebody)
  const why = whyTask(
    task.status,
    surroundingsOf(task),
    waiting?.why === undefined ? undefined : { name: waiting.name, why: waiting.why },
    task.task_id,
  )
  const lastSubtask = subtasks[limit - 1]
  const lastEdge = edges[limit - 1]
  const lastArtifact = artifacts[limit - 1]
  return {
    task_id: task.task_id,
    title: task.title,
    description: task.description,
    status: task.status,
    priority: priorities[task.priority] ?? 'medium',
    orchestrator_id: task.orchestrator_id,
    metadata: raw(task.metadata),
    context: raw(task.context),
    plan,
    subtask_counts: stateCounts,
    subtasks: views,
    ...(subtasks.length > limit && lastSubtask && { subtasks_next_cursor: String(lastSubtask.ordinal) }),
    dependencies: edges.slice(0, limit).map(({ from, to }) => ({ from, to })),
    ...(edges.length > limit && lastEdge && { dependencies_next_cursor: `${lastEdge.to_ordinal}-${lastEdge.from_ordinal}` }),
    artifacts: artifacts.slice(0, limit).map(a => ({
      name: a.name,
      subtask_id: a.subtask_id,
      uri: artifactUri(task.task_id, a.subtask_id, a.name),
      media_type: a.media_type,
      bytes: Number(a.bytes),
      sha256: a.sha256,
    })),
    ...(artifacts.length > limit && lastArtifact && { artifacts_next_cursor: lastArtifact.id }),
    status_history: history.map(({ at, data }) => {
      const { from, to, reason } = JSON.parse(data) as { from: TaskStatus | null; to: TaskStatus; reason: string } // written with the event
      return { at: at.toISOString(), from, to, reason }
    }),
    metrics: metricsOf(task, counts),
    ...(review && { review: { id: review.id, kind: review.kind, subtask_id: review.subtask_id } }),
    ...(why !== undefined && { why }),
    created_at: task.created_at.toISOString(),
    started_at: task.started_at?.toISOString() ?? null,
    finished_at: task.finished_at?.toISOString() ?? null,
  }
}

/** What holds a task up from outside, as core/why.ts tells of it. */
export function surroundingsOf(row: HoldRow): Surroundings {
  return {
    orchestratorStatus: row.orchestrator_status,
    allPaused: row.paused_at === null ? null : { since: row.paused_at, by: row.paused_by, reason: row.pause_reason },
    startsInTurn: row.start_wanted_at === null ? null : { atOnce: row.max_concurrent_tasks },
  }
}

/** Where an artifact's bytes are. */
export function artifactUri(taskId: string, subtaskId: string, name: string): string {
  return `/tasks/${encodeURIComponent(taskId)}/artifacts/${encodeURIComponent(subtaskId)}/${encodeURIComponent(name)}`
}

/** `GET /tasks/{id}/why`: a page may hold fewer nodes than were asked for and still not be the last one. */
export async function readWhyView(
  db: Queryable,
  caller: Caller,
  taskId: string,
  page: { limit: number; cursor?: string },
): Promise<WhyView> {
  const task = await readTask(db, caller.tenantId, taskId)
  if (!task) throw new BatonError('task_not_found', `there is no task ${taskId}`)
  const [{ rows, next }, review] = await Promise.all([
    readWaiting(db, task.id, integerCursor('cursor', page.cursor), page.limit),
    readOpenReview(db, task.id),
  ])
  const subtasks = rows.flatMap(row => {
    const why = whyOf(row, task, failureOf(row))
    return why === undefined ? [] : [{ subtask_id: row.subtask_id, name: row.name, state: row.state, why }]
  })
  const why = whyTask(task.status, surroundingsOf(task), subtasks.find(needsSomebody), task.task_id)
  return {
    task_id: task.task_id,
    status: task.status,
    ...(why !== undefined && { why }),
    ...(review && { review: { id: review.id, kind: review.kind, subtask_id: review.subtask_id } }),
    subtasks,
    next_cursor: next === undefined ? null : String(next),
  }
}

const needsSomebody = ({ state }: { state: SubtaskState }): boolean =>
  state === 'needs_review' || state === 'blocked' || state === 'awaiting_approval'

const failureOf = (row: SubtaskRow): Failure | null => (row.failure === null ? null : (JSON.parse(row.failure) as Failure)) // written by fail.ts

function whyOf(row: SubtaskRow, task: TaskRow, failure: Failure | null): string | undefined {
  return whySubtask(
    {
      state: row.state,
      capability: row.capability,
      pinnedAgent: row.pinned_agent,
      requires: row.requires,
      gate: row.gate,
      charged: row.charged,
      attemptLimit: row.attempt_limit,
      runAfter: row.run_after,
      queuedAt: row.queued_at,
      readyAt: row.ready_at,
      agent: row.agent,
      workerId: row.worker_id,
      waitsFor: row.waits_for ?? [],
      reviewedSince: row.reviewed_since,
      assignee: row.assignee,
      failureMessage: failure?.message ?? null,
      outOfTime: failure?.code === 'deadline_exceeded',
      waitedOut: row.review_kind === 'unroutable' ? Number(row.queue_wait_ms) : null,
      losses: row.losses,
      cancelling: row.cancelled_how === 'requested',
    },
    { now: task.now, taskStatus: task.status, ...surroundingsOf(task) },
  )
}

function viewOf(row: SubtaskRow, task: TaskRow): SubtaskView {
  const failure = failureOf(row)
  const why = whyOf(row, task, failure)
  const live = !(terminalSubtaskStates as readonly SubtaskState[]).includes(row.state)
  return {
    subtask_id: row.subtask_id,
    name: row.name,
    title: row.title,
    capability: row.capability,
    agent: row.agent,
    state: row.state,
    attempt: row.attempt,
    generation: row.generation,
    started_at: row.attempt > 0 ? (row.started_at?.toISOString() ?? null) : null,
    finished_at: row.finished_at?.toISOString() ?? null,
    ...(row.state === 'running' && row.sla_until !== null && { sla_until: row.sla_until.toISOString() }),
    ...(live && row.state !== 'needs_review' && row.deadline_at !== null && { deadline_at: row.deadline_at.toISOString() }),
    ...(row.output !== null && { outputs: raw(row.output) }),
    ...(failure !== null && row.state !== 'completed' && { failure }),
    ...(row.progress !== null && row.state === 'running' && { progress: raw(row.progress) }),
    ...(row.cancelled_how !== null && { cancel: row.cancelled_how }),
    ...(why !== undefined && { why }),
  }
}

function metricsOf(task: TaskRow, counts: readonly StateCount[]): TaskView['metrics'] {
  const end = task.finished_at ?? task.now
  const elapsedMs = task.started_at === null ? 0 : end.getTime() - task.started_at.getTime()
  const slaMs = task.sla_ms === null ? null : Number(task.sla_ms)
  // A date that was already past at submission cannot be kept by anybody.
  const due = task.due_at !== null && task.due_at > task.created_at ? task.due_at : null
  return {
    elapsed_seconds: Math.round(elapsedMs) / 1_000,
    on_time: (due === null || end <= due) && (slaMs === null || elapsedMs <= slaMs),
    subtasks_total: task.total,
    subtasks_completed: counts.find(c => c.state === 'completed')?.count ?? 0,
    attempts: counts.reduce((sum, c) => sum + c.attempts, 0),
    due_date: task.due_at?.toISOString() ?? null,
    sla_seconds: slaMs === null ? null : slaMs / 1_000,
  }
}

export function integerCursor(name: string, cursor: string | undefined): number {
  if (cursor === undefined) return 0
  if (!/^\d{1,15}$/.test(cursor)) throw badCursor(name)
  return Number(cursor)
}

export function pairCursor(name: string, cursor: string | undefined): [number, number] {
  if (cursor === undefined) return [0, 0]
  const match = /^(\d{1,9})-(\d{1,9})$/.exec(cursor)
  if (!match) throw badCursor(name)
  return [Number(match[1]), Number(match[2])]
}

export function badCursor(name: string): BatonError {
  return new BatonError('invalid_request', `${name} is not a cursor that this server gave out`, {
    fields: [{ path: name, issue: 'is not a cursor that this server gave out' }],
  })
}

function raw(text: string): RawJson {
  return new RawJson(text, JSON.parse(text))
}
