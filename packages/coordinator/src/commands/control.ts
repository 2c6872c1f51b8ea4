/** Verbs for tasks, subtasks and workers. Each is idempotent; what cannot be done says in which state the thing is. */
import { BatonError, protocolVersion, type Subjects, type SubtaskState, type TaskStatus, terminalTaskStatuses } from '@baton/shared'
import { controlTask, drainWorker, releaseSubtask } from '../store/control.js'
import type { Database } from '../store/database.js'
import { repeatTransient } from '../store/repeat.js'
import type { Caller } from './api.js'

interface ControlOptions {
  readonly database: Database
  readonly subjects: Subjects
  readonly publish: (subject: string, payload: string) => void
  readonly onReady: () => void
  readonly onChange: (taskPks: readonly string[]) => void
  /** A task ended with subtasks still to be cancelled. */
  readonly onEnded: () => void
  /** A task takes its orchestrator's place no longer. */
  readonly onRoom: () => void
}

const already = { cancel: ['cancelled'], pause: ['paused'], resume: ['running', 'needs_review', 'blocked'] } as const satisfies Record<
  string,
  readonly TaskStatus[]
>
const remedies = {
  cancel: 'it cannot be cancelled any more',
  pause: 'only a task that runs can be paused',
  resume: 'only a paused task can be resumed',
}

export function createControl({ database, subjects, publish, onReady, onChange, onEnded, onRoom }: ControlOptions) {
  return {
    /** Cancels, pauses or resumes a task. Throws `task_not_found`, `state_conflict`. */
    async controlTask(
      caller: Caller,
      taskId: string,
      verb: 'cancel' | 'pause' | 'resume',
      reason: string,
    ): Promise<{ task_id: string; status: TaskStatus }> {
      const { tenantId, actor } = caller
      const result = await repeatTransient(() => controlTask(database, verb, { tenantId, taskId }, { reason, actor }))
      if (!result) throw new BatonError('task_not_found', `there is no task ${taskId}`)
      const changed = result.before !== result.status
      const idempotent = (already[verb] as readonly TaskStatus[]).includes(result.before)
      if (!changed && !idempotent)
        throw new BatonError('state_conflict', `task ${taskId} is ${result.before}; ${remedies[verb]}`, {
          extra: { task_status: result.before },
        })
      if (changed) {
        onChange([result.id])
        if (verb === 'cancel') onEnded()
        if (verb === 'resume') onReady()
        else onRoom()
      }
      return { task_id: taskId, status: result.status }
    },

    /** Opens the gate of manual execution or of a checkpoint. Throws `subtask_not_found`, `state_conflict`. */
    async releaseSubtask(caller: Caller, taskId: string, subtaskId: string): Promise<{ subtask_id: string; state: SubtaskState }> {
      const { tenantId, actor } = caller
      const result = await repeatTransient(() => releaseSubtask(database, { tenantId, taskId, subtaskId }, actor))
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
      onChange([result.task_pk])
      if (result.state === 'ready') onReady()
      return { subtask_id: subtaskId, state: result.state }
    },

    /** Asks a worker to finish what it has and end. Throws `worker_not_found`, `state_conflict`. */
    async drainWorker(caller: Caller, workerId: string): Promise<{ id: string; state: string }> {
      const result = await drainWorker(database, workerId, caller.actor)
      if (!result) throw new BatonError('worker_not_found', `there is no worker ${workerId}`)
      if (result.state === 'stopped' || result.state === 'lost')
        throw new BatonError('state_conflict', `worker ${workerId} is ${result.state} already`)
      // A word makes it faster; the next heartbeat's answer says the same.
      publish(subjects.worker(workerId), JSON.stringify({ v: protocolVersion, type: 'drain' }))
      return result
    },
  }
}
export type Control = ReturnType<typeof createControl>
