/** What happened to a fleet, from all who saw it: Postgres, the workers' own journals, the client, the queues. */
import type { EventName, OnFailure, SubtaskState, TaskStatus } from '@baton/shared'

/** An event. `seq` is drawn while the row that it tells of is locked: within one task or subtask its order is what happened. */
export interface EventRow {
  readonly xid: string
  readonly seq: number
  readonly at: string
  readonly name: EventName
  readonly task_pk: string | null
  readonly subtask_pk: string | null
  readonly attempt: number | null
  readonly worker_id: string | null
  readonly data: Readonly<Record<string, unknown>> | null
}

export interface TaskRow {
  readonly id: string
  readonly tenant_id: number
  readonly task_id: string
  readonly status: TaskStatus
}

export interface SubtaskRow {
  readonly id: string
  readonly uuid: string
  readonly task_pk: string
  readonly name: string
  readonly generation: number
  readonly on_failure: OnFailure
  /** SHA-256 of the stored input; null: there is none. */
  readonly input_sha256: string | null
  readonly state: SubtaskState
  readonly unmet: number
  readonly attempt: number
  readonly charged: number
  readonly attempt_limit: number
  readonly dispatch: number
}

export interface DependencyRow {
  readonly from_id: string
  readonly to_id: string
}

export interface AttemptRow {
  readonly subtask_pk: string
  readonly attempt: number
  readonly claim_id: string | null
  readonly worker_id: string | null
  readonly outcome: 'completed' | 'failed' | 'timed_out' | 'lost' | 'released' | 'cancelled'
  readonly charged: boolean
  readonly output_sha256: string | null
}

export interface ReviewRow {
  readonly id: string
  readonly task_pk: string
  readonly subtask_pk: string | null
  readonly kind: string
  readonly status: string
  readonly decision: string | null
}

export interface WorkerRow {
  readonly id: string
  readonly pid: number
}

/** A line of a worker's journal. `key` is the subtask's UUID. */
export interface JournalLine {
  readonly pid: number
  readonly at: number
  readonly event: 'start' | 'end' | 'abort'
  readonly subtask: string
  readonly key: string
  readonly attempt: number
  /** Of a start: what an earlier attempt saved. */
  readonly saved?: unknown
  /** Of a start: for how long the agent is going to block its process. */
  readonly block?: number
  /** Of a start: the agent is going to kill its process. */
  readonly dies?: boolean
  /** Of an end. */
  readonly outcome?: 'completed' | 'failed'
  readonly sha256?: string
  readonly reason?: string
}

/** Something that the test did as a client, and what it knows of it. */
export interface Operation {
  readonly n: number
  readonly kind: 'submit' | 'submit_and_execute' | 'execute' | 'cancel' | 'pause' | 'resume' | 'decide' | 'verb' | 'read' | 'raw'
  readonly taskId: string | undefined
  readonly at: number
  readonly tookMs: number
  readonly fate: 'ok' | 'failed' | 'unknown'
  readonly status?: number
  readonly code?: string
  /** Why the fate is unknown. */
  readonly reason?: string
  /** SHA-256 of the inputs that were sent, by the subtask's name. */
  readonly inputs?: Readonly<Record<string, string>>
  /** It had to be refused. */
  readonly bad?: boolean
}

/** Something that the test did to a process. */
export interface Disturbance {
  readonly member: string
  readonly pid: number
  readonly what: string
}

export interface History {
  readonly events: readonly EventRow[]
  readonly tasks: readonly TaskRow[]
  readonly subtasks: readonly SubtaskRow[]
  readonly dependencies: readonly DependencyRow[]
  readonly attempts: readonly AttemptRow[]
  readonly reviews: readonly ReviewRow[]
  readonly workers: readonly WorkerRow[]
  readonly journal: readonly JournalLine[]
  readonly operations: readonly Operation[]
  readonly disturbances: readonly Disturbance[]
  /** Ids of the jobs that wait or are active. */
  readonly jobs: readonly string[]
  /** Statuses, by `task_id`, in which a task may be left beside the last ones. */
  readonly open: Readonly<Record<string, readonly TaskStatus[]>>
}

export interface Violation {
  /** `I1` … */
  readonly invariant: string
  /** Of what: `task t1`, `subtask t1/build`. */
  readonly subject: string
  readonly problem: string
}
