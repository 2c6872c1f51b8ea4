/** Tasks: handing them in, starting them, following them, fetching what they made. */
import type {
  ArtifactView,
  BatonError,
  ControlRequest,
  EventView,
  ExecuteRequest,
  OrchestrateRequest,
  ReassignRequest,
  ReplanRequest,
  ReplanView,
  RerunRequest,
  SubtaskState,
  SubtaskView,
  TaskList,
  TaskStatus,
  TaskView,
  WhyView,
} from '@baton/shared'
import { inBatches } from './batches.js'
import { type FollowEvents, followEvents } from './events.js'
import { type WaitOptions, type WatchOptions, waitForTask, watchTask } from './follow.js'
import type { Http } from './http.js'
import { problemOfItem } from './problem.js'

export interface TaskFilters {
  readonly status?: TaskStatus | readonly TaskStatus[]
  /** Tasks in which this agent has, or had, a subtask. */
  readonly agent?: string
  readonly orchestratorId?: string
  /** Values of top-level keys of the metadata. */
  readonly metadata?: Readonly<Record<string, string>>
  readonly createdAfter?: Date | string
  readonly createdBefore?: Date | string
  readonly limit?: number
  readonly cursor?: string
}

/** Which part of a task's long lists a snapshot shows. */
export interface TaskPage {
  readonly subtasksCursor?: string
  readonly dependenciesCursor?: string
  readonly artifactsCursor?: string
  /** Of each list, at most 1,000 (the default). */
  readonly limit?: number
}

export interface SubtaskStanding {
  readonly subtask_id: string
  readonly state: SubtaskState
}

export interface SubmitResult {
  readonly task_id: string
  /** 201 first, 200 for a repeat, otherwise the status of the error. */
  readonly status_code: number
  /** Absent where it was refused, and where `minimal` was asked for. */
  readonly task?: TaskView
  readonly error?: BatonError
}

export interface Tasks {
  /** Hands in a task; the same body again changes nothing. `dryRun` plans it without storing it. Throws `task_conflict`, `invalid_request`. */
  submit(request: OrchestrateRequest, options?: { dryRun?: boolean }): Promise<TaskView>
  /** Hands in any number of tasks, in batches, each answered for itself. Results in order; `minimal`: without the tasks. */
  submitMany(requests: Iterable<OrchestrateRequest>, options?: { minimal?: boolean }): Promise<SubmitResult[]>
  /** Starts or resumes; `execution_mode: 'auto'` also ends manual execution. Throws `agent_unavailable` (the task is blocked, and goes on when a provider appears), `state_conflict`. */
  execute(taskId: string, request?: ExecuteRequest): Promise<{ task_id: string; status: TaskStatus }>
  /** Aborts what runs and starts nothing else. Throws `task_not_found`, `state_conflict` when it completed or failed. */
  cancel(taskId: string, request?: ControlRequest): Promise<{ task_id: string; status: TaskStatus }>
  /** Lets what runs finish and starts nothing else. Throws `task_not_found`, `state_conflict`. */
  pause(taskId: string, request?: ControlRequest): Promise<{ task_id: string; status: TaskStatus }>
  /** Throws `task_not_found`, `state_conflict`. */
  resume(taskId: string, request?: ControlRequest): Promise<{ task_id: string; status: TaskStatus }>
  /**
   * Runs the subtasks that `from` names, and whatever was opened downstream of them, again, with another `input` if one is
   * given. A finished task goes on by this alone. Never repeated by itself: whoever meets no answer looks with `get`. Throws
   * `task_not_found`, `subtask_not_found`, `invalid_request`, and `state_conflict` when one of them has not started yet.
   *
   * @example
   * await baton.tasks.rerun('feature-7', { from: ['build'], input: { branch: 'retry' }, reason: 'the branch was wrong' })
   */
  rerun(taskId: string, request: RerunRequest): Promise<{ task_id: string; status: TaskStatus; subtasks: number }>
  /**
   * Plans what is not finished anew: from `subtasks`, from a `description`, or from the task's own words. Finished work stays,
   * and what runs too unless `running` is `cancel`. `dryRun` only shows the change; with `requires_approval` a review applies
   * it. Never repeated by itself. Throws `task_not_found`, `invalid_request`, and `state_conflict` when the task has ended.
   */
  replan(taskId: string, request?: ReplanRequest, options?: { dryRun?: boolean }): Promise<ReplanView>
  /** What the task and its subtasks wait for, a page of up to 1,000. Throws `task_not_found`. */
  why(taskId: string, page?: { readonly limit?: number; readonly cursor?: string }): Promise<WhyView>
  /** Lets a subtask start that manual execution or a checkpoint holds back. Throws `subtask_not_found`, `state_conflict`. */
  release(taskId: string, subtaskId: string): Promise<SubtaskStanding>
  /**
   * Cancels a subtask and, unless its `on_failure` lets them go on, what depends on it. One that runs stays `running` until
   * its worker has stopped it. Throws `subtask_not_found`, `state_conflict` when it ended otherwise.
   */
  cancelSubtask(taskId: string, subtaskId: string, request?: ControlRequest): Promise<SubtaskStanding>
  /**
   * Grants a subtask in review one more attempt, or starts one at once that waits for its backoff or a worker. Never repeated
   * by itself. Throws `subtask_not_found`, `state_conflict` when it has not started or is finished.
   */
  retrySubtask(taskId: string, subtaskId: string, request?: ControlRequest): Promise<SubtaskStanding>
  /** Gives it to an agent; an attempt that runs elsewhere is aborted, uncharged. Throws `subtask_not_found`, `state_conflict` when it is finished. */
  reassignSubtask(taskId: string, subtaskId: string, request: ReassignRequest): Promise<SubtaskStanding>
  /** Throws `task_not_found`. */
  get(taskId: string, page?: TaskPage): Promise<TaskView>
  /** One page, newest first. */
  list(filters?: TaskFilters): Promise<TaskList>
  /** All subtasks, page by page; `get` shows the first 1,000. */
  subtasks(taskId: string): AsyncGenerator<SubtaskView, void, undefined>
  /** Waits until the task ended or needs somebody. Outages are outlasted. */
  wait(taskId: string, options?: WaitOptions): Promise<TaskView>
  /**
   * Snapshots, the present one first, until the task ended. Resumes by itself.
   *
   * @example
   * const onOutput = (event: EventView) => console.log(event.subtask, event.data)
   * for await (const task of baton.tasks.watch('feature-7', { onOutput })) console.log(task.status)
   */
  watch(taskId: string, options?: WatchOptions): AsyncGenerator<TaskView, void, undefined>
  /**
   * What happened and happens to the task, each event once, with what its agents stream (`subtask.output`), from the
   * beginning or behind an event, until the task has ended. Resumes by itself. Throws `task_not_found`.
   *
   * @example
   * for await (const event of baton.tasks.events('feature-7')) console.log(event.name, event.subtask)
   */
  events(taskId: string, options?: FollowEvents): AsyncGenerator<EventView, void, undefined>
  /** All artifacts, whichever subtask made them. */
  artifacts(taskId: string): Promise<ArtifactView[]>
  /** The bytes of one. Throws `artifact_not_found`. */
  artifact(taskId: string, subtaskId: string, name: string): Promise<Uint8Array>
}

export function tasksOf(http: Http): Tasks {
  const get: Tasks['get'] = (taskId, page = {}) =>
    http.json({
      method: 'GET',
      path: ['tasks', taskId],
      query: {
        limit: page.limit,
        subtasks_cursor: page.subtasksCursor,
        dependencies_cursor: page.dependenciesCursor,
        artifacts_cursor: page.artifactsCursor,
      },
    })
  const control =
    (verb: 'cancel' | 'pause' | 'resume'): Tasks['cancel'] =>
    (taskId, request = {}) =>
      http.json({ method: 'POST', path: ['tasks', taskId, verb], body: request })
  const tell = (taskId: string, subtaskId: string, verb: string, body?: unknown, once = false): Promise<SubtaskStanding> =>
    http.json({ method: 'POST', path: ['tasks', taskId, 'subtasks', subtaskId, verb], once, ...(body !== undefined && { body }) })
  return {
    submit: (request, options = {}) =>
      http.json({ method: 'POST', path: ['orchestrate'], query: { dry_run: options.dryRun ? true : undefined }, body: request }),
    submitMany: (requests, options) => submitMany(http, requests, options),
    execute: (taskId, request = {}) => http.json({ method: 'POST', path: ['execute', taskId], body: request }),
    cancel: control('cancel'),
    pause: control('pause'),
    resume: control('resume'),
    rerun: (taskId, request) => http.json({ method: 'POST', path: ['tasks', taskId, 'rerun'], body: request, once: true }),
    replan: (taskId, request = {}, options = {}) =>
      http.json({
        method: 'POST',
        path: ['tasks', taskId, 'replan'],
        query: { dry_run: options.dryRun ? true : undefined },
        body: request,
        once: true,
      }),
    why: (taskId, { limit, cursor } = {}) => http.json({ method: 'GET', path: ['tasks', taskId, 'why'], query: { limit, cursor } }),
    release: (taskId, subtaskId) => tell(taskId, subtaskId, 'release'),
    cancelSubtask: (taskId, subtaskId, request = {}) => tell(taskId, subtaskId, 'cancel', request),
    retrySubtask: (taskId, subtaskId, request = {}) => tell(taskId, subtaskId, 'retry', request, true),
    reassignSubtask: (taskId, subtaskId, request) => tell(taskId, subtaskId, 'reassign', request),
    get,
    list: (filters = {}) => http.json({ method: 'GET', path: ['tasks'], query: listQuery(filters) }),
    async *subtasks(taskId) {
      let cursor: string | undefined
      do {
        const page = await get(taskId, { ...(cursor && { subtasksCursor: cursor }) })
        yield* page.subtasks
        cursor = page.subtasks_next_cursor
      } while (cursor)
    },
    wait: (taskId, options = {}) => waitForTask(http, taskId, options, () => get(taskId)),
    watch: (taskId, options = {}) => watchTask(http, taskId, options),
    events: (taskId, options = {}) => followEvents(http, ['tasks', taskId, 'events'], {}, options),
    artifacts: taskId => artifacts(http, taskId),
    async artifact(taskId, subtaskId, name) {
      const response = await http.send({ method: 'GET', path: ['tasks', taskId, 'artifacts', subtaskId, name] })
      return http.read(response, undefined, async () => new Uint8Array(await response.arrayBuffer()))
    },
  }
}

async function submitMany(
  http: Http,
  requests: Iterable<OrchestrateRequest>,
  { minimal }: { minimal?: boolean } = {},
): Promise<SubmitResult[]> {
  const results: SubmitResult[] = []
  for (const body of inBatches(requests)) {
    const answer = await http.json<{ results: (Omit<SubmitResult, 'error'> & { error?: unknown })[] }>({
      method: 'POST',
      path: ['tasks', 'batch'],
      query: { minimal: minimal ? true : undefined },
      body,
    })
    for (const { error, ...result } of answer.results) {
      const problem = problemOfItem(error, result.status_code)
      results.push(problem ? { ...result, error: problem } : result)
    }
  }
  return results
}

async function artifacts(http: Http, taskId: string): Promise<ArtifactView[]> {
  const all: ArtifactView[] = []
  let cursor: string | null = null
  do {
    const page: { artifacts: ArtifactView[]; next_cursor: string | null } = await http.json({
      method: 'GET',
      path: ['tasks', taskId, 'artifacts'],
      query: { cursor: cursor ?? undefined },
    })
    all.push(...page.artifacts)
    cursor = page.next_cursor
  } while (cursor)
  return all
}

function listQuery(filters: TaskFilters): Record<string, string | number | undefined> {
  const iso = (at: Date | string | undefined) => (at instanceof Date ? at.toISOString() : at)
  const { status } = filters
  return {
    status: typeof status === 'string' ? status : status?.join(','),
    agent: filters.agent,
    orchestrator_id: filters.orchestratorId,
    created_after: iso(filters.createdAfter),
    created_before: iso(filters.createdBefore),
    limit: filters.limit,
    cursor: filters.cursor,
    ...Object.fromEntries(Object.entries(filters.metadata ?? {}).map(([key, value]) => [`metadata.${key}`, value])),
  }
}
