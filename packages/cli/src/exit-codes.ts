/** How `baton` ends: the closed table of exit codes, and what each outcome means in it. */
import { BatonError, type ErrorCode, type TaskStatus } from '@baton/shared'

export const exitCodes = {
  done: 0,
  taskFailed: 1,
  usage: 2,
  unreachable: 3,
  needsSomebody: 4,
  conflict: 5,
  restart: 75,
  /** Ended by Ctrl-C before it was done, as shells count it. */
  interrupted: 130,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

const byStatus: Record<TaskStatus, ExitCode> = {
  planned: exitCodes.done,
  running: exitCodes.done,
  paused: exitCodes.done,
  completed: exitCodes.done,
  failed: exitCodes.taskFailed,
  cancelled: exitCodes.taskFailed,
  needs_review: exitCodes.needsSomebody,
  blocked: exitCodes.needsSomebody,
}

const byError: Record<ErrorCode, ExitCode> = {
  invalid_json: exitCodes.usage,
  invalid_request: exitCodes.usage,
  unauthorized: exitCodes.usage,
  forbidden: exitCodes.usage,
  not_found: exitCodes.usage,
  task_not_found: exitCodes.usage,
  subtask_not_found: exitCodes.usage,
  worker_not_found: exitCodes.usage,
  agent_not_found: exitCodes.usage,
  review_not_found: exitCodes.usage,
  range_not_satisfiable: exitCodes.usage,
  artifact_not_found: exitCodes.usage,
  artifact_lost: exitCodes.taskFailed,
  key_not_found: exitCodes.usage,
  webhook_not_found: exitCodes.usage,
  delivery_not_found: exitCodes.usage,
  orchestrator_not_found: exitCodes.usage,
  method_not_allowed: exitCodes.usage,
  body_too_large: exitCodes.usage,
  unsupported_media_type: exitCodes.usage,
  headers_too_large: exitCodes.usage,
  invalid_configuration: exitCodes.usage,
  task_conflict: exitCodes.conflict,
  state_conflict: exitCodes.conflict,
  data_directory_locked: exitCodes.conflict,
  task_limit_reached: exitCodes.conflict,
  too_many_requests: exitCodes.unreachable,
  request_timeout: exitCodes.unreachable,
  internal: exitCodes.unreachable,
  unavailable: exitCodes.unreachable,
  unreachable: exitCodes.unreachable,
  agent_unavailable: exitCodes.needsSomebody,
  // How attempts end; they reach a command only when a task failed by them.
  agent_error: exitCodes.taskFailed,
  agent_exit: exitCodes.taskFailed,
  agent_crashed: exitCodes.taskFailed,
  isolation_unavailable: exitCodes.taskFailed,
  agent_http_error: exitCodes.taskFailed,
  input_invalid: exitCodes.taskFailed,
  output_invalid: exitCodes.taskFailed,
  result_too_large: exitCodes.taskFailed,
  result_invalid: exitCodes.taskFailed,
  spawn_invalid: exitCodes.taskFailed,
  attempt_timed_out: exitCodes.taskFailed,
  worker_lost: exitCodes.taskFailed,
  worker_draining: exitCodes.taskFailed,
  attempt_aborted: exitCodes.taskFailed,
  queue_wait_exceeded: exitCodes.taskFailed,
  deadline_exceeded: exitCodes.taskFailed,
}

/** How a command ends that showed or followed a task in this status. */
export function exitCodeOfStatus(status: TaskStatus): ExitCode {
  return byStatus[status] ?? exitCodes.done // a newer coordinator may know further statuses
}

/** How a command ends that threw this. */
export function exitCodeOfError(error: unknown): ExitCode {
  if (error instanceof BatonError) return byError[error.code]
  return exitCodes.taskFailed
}
