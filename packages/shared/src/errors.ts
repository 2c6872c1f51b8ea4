/**
 * The closed table of error codes. Every error that leaves Baton over HTTP, the bus or the CLI has a code of this
 * table; docs/errors.md and the OpenAPI document are tested against it in both directions.
 */

interface ErrorDefinition {
  readonly status: number
  readonly title: string
  /** Whether the same request may succeed later without a change. */
  readonly retryable: boolean
}

export const errorTable = {
  // Requests
  invalid_json: { status: 400, title: 'The body is not acceptable JSON', retryable: false },
  invalid_request: { status: 400, title: 'The request has problems', retryable: false },
  unauthorized: { status: 401, title: 'A valid API key is needed', retryable: false },
  forbidden: { status: 403, title: 'Not allowed', retryable: false },
  not_found: { status: 404, title: 'No such path', retryable: false },
  task_not_found: { status: 404, title: 'No such task', retryable: false },
  subtask_not_found: { status: 404, title: 'No such subtask', retryable: false },
  worker_not_found: { status: 404, title: 'No such worker', retryable: false },
  agent_not_found: { status: 404, title: 'No such agent', retryable: false },
  review_not_found: { status: 404, title: 'No such review', retryable: false },
  artifact_not_found: { status: 404, title: 'No such artifact', retryable: false },
  artifact_lost: { status: 410, title: 'The bytes of the artifact are lost or damaged', retryable: false },
  range_not_satisfiable: { status: 416, title: 'No such range', retryable: false },
  key_not_found: { status: 404, title: 'No such key', retryable: false },
  webhook_not_found: { status: 404, title: 'No such webhook', retryable: false },
  delivery_not_found: { status: 404, title: 'No such delivery', retryable: false },
  orchestrator_not_found: { status: 404, title: 'No such orchestrator', retryable: false },
  method_not_allowed: { status: 405, title: 'The path does not take this method', retryable: false },
  request_timeout: { status: 408, title: 'The request did not arrive in time', retryable: true },
  task_conflict: { status: 409, title: 'The task exists with another body', retryable: false },
  state_conflict: { status: 409, title: 'Not possible in the present state', retryable: false },
  body_too_large: { status: 413, title: 'The body is too large', retryable: false },
  unsupported_media_type: { status: 415, title: 'Only JSON is taken', retryable: false },
  task_limit_reached: { status: 429, title: 'The orchestrator has all the tasks that it may have', retryable: true },
  too_many_requests: { status: 429, title: 'Too many requests', retryable: true },
  headers_too_large: { status: 431, title: 'The headers are too large', retryable: false },
  internal: { status: 500, title: 'A fault in Baton', retryable: true },
  agent_unavailable: { status: 503, title: 'No live worker can take the work', retryable: true },
  unavailable: { status: 503, title: 'Baton cannot commit at present', retryable: true },
  // Attempts: how one ended. `status` is what the API would answer if it had to say it in one number.
  agent_error: { status: 500, title: 'The agent failed', retryable: true },
  agent_exit: { status: 500, title: "The agent's process ended badly", retryable: true },
  agent_crashed: { status: 500, title: 'The thread or process of the agent crashed', retryable: true },
  isolation_unavailable: { status: 422, title: 'The agent cannot run in the isolation that was asked for', retryable: false },
  agent_http_error: { status: 502, title: "The agent's server answered with an error", retryable: true },
  input_invalid: { status: 422, title: 'The input does not fit what the agent takes', retryable: false },
  output_invalid: { status: 422, title: 'The output does not fit what the agent promises', retryable: true },
  result_too_large: { status: 413, title: 'The result is too large', retryable: false },
  result_invalid: { status: 422, title: 'The result cannot be stored', retryable: false },
  spawn_invalid: { status: 422, title: 'The spawned subtasks are not a valid graph', retryable: false },
  attempt_timed_out: { status: 504, title: 'The attempt exceeded its SLA', retryable: true },
  worker_lost: { status: 504, title: 'The worker stopped reporting', retryable: true },
  worker_draining: { status: 503, title: 'The worker was drained', retryable: true },
  attempt_aborted: { status: 409, title: 'The attempt was aborted', retryable: true },
  queue_wait_exceeded: { status: 504, title: 'No worker took the subtask in time', retryable: true },
  deadline_exceeded: { status: 504, title: 'The subtask exceeded its deadline', retryable: false },
  // Starting up and the command line
  invalid_configuration: { status: 500, title: 'The configuration has problems', retryable: false },
  data_directory_locked: { status: 409, title: 'The data directory is in use', retryable: true },
  unreachable: { status: 503, title: 'The server cannot be reached', retryable: true },
} as const satisfies Record<string, ErrorDefinition>

export type ErrorCode = keyof typeof errorTable
export const errorCodes = Object.keys(errorTable) as ErrorCode[]

/** One problem of a request: where it is (`subtasks[2].name`) and what to do about it. */
export interface FieldIssue {
  readonly path: string
  readonly issue: string
}

interface BatonErrorOptions extends ErrorOptions {
  readonly fields?: readonly FieldIssue[]
  /** Extra members of the problem document, such as `retry_after_seconds`. */
  readonly extra?: Readonly<Record<string, unknown>>
}

/** The one error class of Baton. `message` names the thing and the remedy and is shown to users as it is. */
export class BatonError extends Error {
  readonly code: ErrorCode
  readonly fields: readonly FieldIssue[] | undefined
  readonly extra: Readonly<Record<string, unknown>> | undefined

  constructor(code: ErrorCode, message: string, options: BatonErrorOptions = {}) {
    super(message, options)
    this.name = 'BatonError'
    this.code = code
    this.fields = options.fields
    this.extra = options.extra
  }

  get status(): number {
    return errorTable[this.code].status
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable
  }
}

/** The body of every error answer (RFC 9457, `application/problem+json`). */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  readonly fields?: readonly FieldIssue[]
  readonly request_id: string
  readonly [extra: string]: unknown
}

/** Says that a switch over a union is complete; throws when a value arrived that the types do not know. */
export function assertNever(value: never): never {
  throw new BatonError('internal', `unexpected value ${JSON.stringify(value)}`)
}
