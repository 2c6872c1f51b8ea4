/** Verbs for tasks, subtasks and workers. Each is idempotent; what cannot be done says in which state the thing is. */
import {
  activeSubtaskStates,
  assertNever,
  BatonError,
  jsonProblem,
  jsonText,
  plainValue,
  protocolVersion,
  type RerunRequest,
  type Subjects,
  type SubtaskState,
  type TaskStatus,
  terminalSubtaskStates,
  terminalTaskStatuses,
} from '@baton/shared'
import { controlTask, drainWorker, releaseSubtask } from '../store/control.js'
import { cancelSubtask, findSubtask, reassignSubtask, retrySubtask, type SubtaskFound } from '../store/control-subtask.js'
import type { Database } from '../store/database.js'
import type { EffectsRow } from '../store/fragments.js'
import { listWorkers } from '../store/read-lists.js'
import { readTask } from '../store/read-task.js'
import { rerunTask } from '../store/rerun.js'
import type { Room } from '../store/room.js'
import type { Routes } from '../store/routes.js'
import type { Caller, ReviewDecision, SubtaskStanding } from './api.js'
import { requireAgent } from './known-agent.js'
import { resolveTaskReferences } from './task-references.js'

interface ControlOptions {
  readonly database: Database
  readonly subjects: Subjects
  readonly publish: (subject: string, payload: string) => void
  readonly routes: Routes
  readonly room: () => Room
  /** Local mode: workers live in this process. */
  readonly ownWorkers: boolean
  readonly after: { apply(effects: EffectsRow): Promise<void>; changed(taskPks: readonly string[]): void; ready(): void }
  /** Decides a review: what is in review is retried and reassigned by that alone. */
  readonly decide: (caller: Caller, id: string, decision: ReviewDecision) => Promise<unknown>
  /** A task ended with subtasks still to be cancelled. */
  readonly onEnded: () => void
  /** A task takes its orchestrator's place no longer. */
  readonly onRoom: () => void
}

const already = { cancel: ['cancelled'], pause: ['paused'], resume: ['running', 'needs_review', 'blocked'] } as const satisfies Record<
  string,
  readonly TaskStatus[]
>
/** What can be done instead with a task in this status. */
const remedies = {
  cancel: () => 'it cannot be cancelled any more',
  pause: (status: TaskStatus, taskId: string) =>
    status === 'planned'
      ? `only a task that runs can be paused; leave it, or start it with POST /execute/${taskId}`
      : 'there is nothing to pause',
  resume: (status: TaskStatus, taskId: string) =>
    status === 'planned'
      ? `start it with POST /execute/${taskId}`
      : `only a paused task can be resumed; run it again with POST /tasks/${taskId}/rerun`,
}

export function createControl(options: ControlOptions) {
  const { database, subjects, publish, routes, room, after, decide, onEnded, onRoom, ownWorkers } = options
  const subtask = async (caller: Caller, taskId: string, subtaskId: string): Promise<SubtaskFound> => {
    const found = await findSubtask(database, { tenantId: caller.tenantId, taskId, subtaskId })
    if (!found) throw new BatonError('subtask_not_found', `task ${taskId} has no subtask ${subtaskId}`)
    return found
  }
  /** A word makes it faster; the next heartbeat's answer says the same. */
  const tellWorkers = (running: readonly { worker_id: string; claim_id: string }[]) => {
    for (const workerId of new Set(running.map(r => r.worker_id))) {
      const claims = running.filter(r => r.worker_id === workerId).map(r => r.claim_id)
      publish(subjects.worker(workerId), JSON.stringify({ v: protocolVersion, type: 'abort', claim_ids: claims }))
    }
  }
  /** The input of a rerun as JSON text; what it refers to of the task is put in, as at submission. */
  const editedInput = async (caller: Caller, taskId: string, { from, input }: RerunRequest) => {
    if (input === undefined) return { input: null, references: [] }
    const problem = new Set(from).size > 1 ? 'goes with one subtask only' : jsonProblem(plainValue(input))
    if (problem) throw badInput(problem)
    const task = await readTask(database, caller.tenantId, taskId)
    if (!task) throw noTask(taskId)
    const { task_id, title, description } = task
    const parts = { metadata: JSON.parse(task.metadata), context: JSON.parse(task.context) }
    const resolved = resolveTaskReferences(jsonText(input), { task_id, title, description: description ?? undefined, ...parts })
    if (!resolved.ok) throw badInput(resolved.issue)
    return resolved
  }
  /** The last worker of local mode: nobody would start another one, and nothing would take work until a restart. */
  const isLastOwn = async (workerId: string): Promise<boolean> => {
    if (!ownWorkers) return false
    const live = (await listWorkers(database, null)).filter(({ state }) => state === 'starting' || state === 'ready')
    return live.length === 1 && live[0]?.id === workerId
  }
  return {
    tellWorkers,

    /** Cancels, pauses or resumes a task. Throws `task_not_found`, `state_conflict`. */
    async controlTask(
      caller: Caller,
      taskId: string,
      verb: 'cancel' | 'pause' | 'resume',
      reason: string,
    ): Promise<{ task_id: string; status: TaskStatus }> {
      const { tenantId, actor } = caller
      const result = await controlTask(database, verb, { tenantId, taskId }, { reason, actor })
      if (!result) throw noTask(taskId)
      const changed = result.before !== result.status
      const idempotent = (already[verb] as readonly TaskStatus[]).includes(result.before)
      if (!changed && !idempotent)
        throw new BatonError('state_conflict', `task ${taskId} is ${result.before}; ${remedies[verb](result.before, taskId)}`, {
          extra: { task_status: result.before },
        })
      if (changed) {
        after.changed([result.id])
        if (verb === 'cancel') onEnded()
        if (verb === 'resume') after.ready()
        else onRoom()
      }
      return { task_id: taskId, status: result.status }
    },

    /** Opens the gate of manual execution or of a checkpoint. Throws `subtask_not_found`, `state_conflict`. */
    async releaseSubtask(caller: Caller, taskId: string, subtaskId: string): Promise<{ subtask_id: string; state: SubtaskState }> {
      const { tenantId, actor } = caller
      const result = await releaseSubtask(database, { tenantId, taskId, subtaskId }, actor)
      if (!result) throw new BatonError('subtask_not_found', `task ${taskId} has no subtask ${subtaskId}`)
      const extra = { task_status: result.task_status, subtask_state: result.state }
      if (result.gate !== null && (terminalTaskStatuses as readonly TaskStatus[]).includes(result.task_status))
        throw new BatonError('state_conflict', `task ${taskId} is ${result.task_status}; nothing of it can be released`, { extra })
      if (result.gate === 'approval')
        throw new BatonError(
          'state_conflict',
          `subtask ${subtaskId} needs an approval, not a release; decide its review with POST /reviews/{id}/decide`,
          { extra },
        )
      after.changed([result.task_pk])
      if (result.state === 'ready') after.ready()
      return { subtask_id: result.subtask_id, state: result.state }
    },

    /** Throws `subtask_not_found`, `state_conflict`. */
    async cancelSubtask(caller: Caller, taskId: string, subtaskId: string, reason: string): Promise<SubtaskStanding> {
      const found = await subtask(caller, taskId, subtaskId)
      const result = await cancelSubtask(database, found.id, { reason, actor: caller.actor }, room())
      if (result.state !== null) {
        tellWorkers(result.running)
        await after.apply(result)
        return { subtask_id: found.subtask_id, state: result.state }
      }
      const now = await subtask(caller, taskId, subtaskId)
      if (now.state !== 'cancelled' && !now.cancelling) throw refused(taskId, subtaskId, now, 'it cannot be cancelled any more')
      return { subtask_id: found.subtask_id, state: now.state }
    },

    /** Throws `subtask_not_found`, `state_conflict`. */
    async retrySubtask(caller: Caller, taskId: string, subtaskId: string, reason: string): Promise<SubtaskStanding> {
      const found = await subtask(caller, taskId, subtaskId)
      let retried = false
      if (found.state === 'needs_review' && found.review !== null) {
        await decide(caller, found.review, { decision: 'retry', reason })
        retried = true
      } else if (found.state === 'retrying' || found.state === 'blocked') {
        retried = await retrySubtask(database, found.id, { reason, actor: caller.actor })
        after.changed([found.task_pk])
      }
      const now = await subtask(caller, taskId, subtaskId)
      const isActive = (activeSubtaskStates as readonly SubtaskState[]).includes(now.state)
      // What was retried may have ended already.
      if (!retried && (now.cancelling || ended(now.task_status) || !isActive))
        throw refused(taskId, subtaskId, now, remedyForRetry(taskId, subtaskId, now))
      after.ready()
      return { subtask_id: found.subtask_id, state: now.state }
    },

    /** Throws `subtask_not_found`, `state_conflict`. */
    async reassignSubtask(
      caller: Caller,
      taskId: string,
      subtaskId: string,
      { agent, reason }: { agent: string; reason: string },
    ): Promise<SubtaskStanding> {
      const found = await subtask(caller, taskId, subtaskId)
      if (found.state === 'needs_review' && found.review !== null) {
        await decide(caller, found.review, { decision: 'reassign', reason, agent })
        return { subtask_id: found.subtask_id, state: (await subtask(caller, taskId, subtaskId)).state }
      }
      const finished =
        (terminalSubtaskStates as readonly SubtaskState[]).includes(found.state) || found.cancelling || ended(found.task_status)
      if (found.agent === agent && !finished) return { subtask_id: found.subtask_id, state: found.state } // it is this agent's already
      await requireAgent(database, caller.tenantId, agent)
      const [routeId] = await routes.intern([{ pool: found.pool, capability: agent, requires: [], agent }])
      if (routeId === undefined) throw new BatonError('internal', 'the route could not be stored')
      const result = await reassignSubtask(database, found.id, routeId, { reason, actor: caller.actor })
      if (result.state === null)
        throw refused(
          taskId,
          subtaskId,
          await subtask(caller, taskId, subtaskId),
          found.cancelling ? 'it is being cancelled' : 'only what is not finished can be given to another agent',
        )
      tellWorkers(result.running)
      after.changed([found.task_pk])
      after.ready()
      return { subtask_id: found.subtask_id, state: result.state }
    },

    /** Throws `task_not_found`, `subtask_not_found`, `state_conflict`, `invalid_request`. */
    async rerunTask(
      caller: Caller,
      taskId: string,
      request: RerunRequest,
    ): Promise<{ task_id: string; status: TaskStatus; subtasks: number }> {
      const { tenantId, actor } = caller
      const from = [...new Set(request.from)]
      const { input, references } = await editedInput(caller, taskId, request)
      const rerun = { tenantId, taskId, from, input, references, reason: request.reason ?? null, actor }
      const outcome = await rerunTask(database, rerun)
      switch (outcome.kind) {
        case 'no_task':
          throw noTask(taskId)
        case 'unknown':
          throw new BatonError('subtask_not_found', `task ${taskId} has no subtask ${outcome.names.slice(0, 5).join(', ')}`, {
            fields: outcome.names.map(name => ({
              path: `from[${request.from.indexOf(name)}]`,
              issue: `there is no subtask ${JSON.stringify(name)}`,
            })),
          })
        case 'bad_references':
          throw badInput(`refers to ${outcome.names.join(', ')}, on which ${outcome.subtask} does not depend`)
        case 'refused':
          throw new BatonError('state_conflict', `task ${taskId} is ${outcome.status}; ${outcome.why}`, {
            extra: { task_status: outcome.status },
          })
        case 'done':
          tellWorkers(outcome.running)
          after.changed([outcome.id])
          after.ready()
          return { task_id: taskId, status: outcome.status, subtasks: outcome.subtasks }
        default:
          return assertNever(outcome)
      }
    },

    /** Asks a worker to finish what it has and end. Throws `worker_not_found`, `state_conflict`. */
    async drainWorker(caller: Caller, workerId: string): Promise<{ id: string; state: string }> {
      if (await isLastOwn(workerId))
        throw new BatonError(
          'state_conflict',
          `worker ${workerId} is part of this process (local mode), and nothing would take work without it; hold everything up with POST /pause, or end the process: it finishes what it has`,
        )
      const result = await drainWorker(database, workerId, caller.actor)
      if (!result) throw noWorker(workerId)
      if (result.state === 'lost') throw new BatonError('state_conflict', `worker ${workerId} is lost; what it ran is run by others`)
      if (result.state === 'stopped') return result // as it was asked for
      // A word makes it faster; the next heartbeat's answer says the same.
      publish(subjects.worker(workerId), JSON.stringify({ v: protocolVersion, type: 'drain' }))
      return result
    },
  }
}
export type Control = ReturnType<typeof createControl>

const ended = (status: TaskStatus): boolean => (terminalTaskStatuses as readonly TaskStatus[]).includes(status)

const noWorker = (workerId: string): BatonError => new BatonError('worker_not_found', `there is no worker ${workerId}`)

const noTask = (taskId: string): BatonError => new BatonError('task_not_found', `there is no task ${taskId}`)

function badInput(issue: string): BatonError {
  return new BatonError('invalid_request', `the input ${issue}`, { fields: [{ path: 'input', issue }] })
}

function refused(taskId: string, subtaskId: string, { state, task_status }: SubtaskFound, remedy: string): BatonError {
  const why = ended(task_status) ? `its task is ${task_status}; run it again with POST /tasks/${taskId}/rerun` : remedy
  return new BatonError('state_conflict', `subtask ${subtaskId} is ${state}; ${why}`, { extra: { task_status, subtask_state: state } })
}

function remedyForRetry(taskId: string, subtaskId: string, { state, cancelling, review }: SubtaskFound): string {
  if (cancelling) return 'it is being cancelled'
  if (state === 'pending') return 'it has not started, and starts by itself once what it depends on has finished'
  if (state === 'awaiting_approval')
    return review === null
      ? `it has not started; let it start with POST /tasks/${taskId}/subtasks/${encodeURIComponent(subtaskId)}/release`
      : `it has not started; decide its review with POST /reviews/${review}/decide`
  return `run it again with POST /tasks/${taskId}/rerun`
}
