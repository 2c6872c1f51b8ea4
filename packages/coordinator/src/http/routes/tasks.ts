/** `GET /tasks`, `GET /tasks/:task_id`, `GET /tasks/:task_id/why`: what became of the work. */
import { nameSchema, type TaskView, taskStatuses, terminalTaskStatuses } from '@baton/shared'
import { z } from 'zod'
import { type CoordinatorApi, isUnsettled, type VersionedTask } from '../../commands/api.js'
import { namesTag, weakTag } from '../entity-tags.js'
import { maxPage, maxWaitSeconds } from '../limits.js'
import { cursor, line, listOf, moment, wholeNumber } from '../query.js'
import { defineRoute, type Route } from '../route.js'
import { namedSchemas } from '../view-schemas.js'
import { taskPath } from './path-parameters.js'

const defaultListLimit = 50
const maxRetryAfterSeconds = 60

const listQuery = z.strictObject({
  status: listOf(taskStatuses, 'Tasks with this status.').optional(),
  agent: nameSchema.meta({ description: 'Tasks in which this agent has, or had, a subtask.' }).optional(),
  orchestrator_id: nameSchema.optional(),
  metadata: z
    .record(line(256), line(1_000))
    .meta({ description: 'Written `metadata.KEY=VALUE`: tasks whose metadata hold this value under this top-level key.' })
    .optional(),
  created_after: moment('Tasks created later.').optional(),
  created_before: moment('Tasks created earlier.').optional(),
  limit: wholeNumber(1, maxPage, `Items of a page; default ${defaultListLimit}.`).optional(),
  cursor: cursor.optional(),
})

const taskQuery = z.strictObject({
  wait: wholeNumber(
    0,
    maxWaitSeconds,
    'Seconds to wait for a change: since the version in If-None-Match, else since the moment of asking; without one, a task that has ended is answered at once.',
  ).optional(),
  until: z
    .enum(['change', 'settled'])
    .meta({ description: 'What to wait for: any change (default), or that the task ended or needs somebody.' })
    .optional(),
  subtasks_cursor: cursor.optional(),
  dependencies_cursor: cursor.optional(),
  artifacts_cursor: cursor.optional(),
  limit: wholeNumber(1, maxPage, `Items of each list; default ${maxPage}.`).optional(),
})

export function taskRoutes(api: CoordinatorApi): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/tasks',
      id: 'listTasks',
      summary: 'List tasks, the newest first.',
      query: listQuery,
      answers: { 200: { description: 'A page of tasks.', schema: namedSchemas.TaskList } },
      errors: [],
      async answer({ query, caller }) {
        const {
          status,
          agent,
          orchestrator_id: orchestratorId,
          metadata,
          created_after: createdAfter,
          created_before: createdBefore,
          limit = defaultListLimit,
          cursor,
        } = query
        return { json: await api.tasks(caller, { status, agent, orchestratorId, metadata, createdAfter, createdBefore, limit, cursor }) }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/tasks/:task_id',
      id: 'getTask',
      summary: 'A task with its subtasks, dependencies, artifacts and history.',
      params: taskPath,
      query: taskQuery,
      answers: {
        200: {
          description: 'The task. `ETag` is its version; `Retry-After` says when to ask again while it is unfinished.',
          schema: namedSchemas.Task,
        },
        304: { description: 'Still the version that If-None-Match names.' },
      },
      errors: ['task_not_found', 'too_many_requests'],
      async answer({ params: { task_id: taskId }, query, caller, ifNoneMatch, hold }) {
        const page = {
          subtasksCursor: query.subtasks_cursor,
          dependenciesCursor: query.dependencies_cursor,
          artifactsCursor: query.artifacts_cursor,
          limit: query.limit ?? maxPage,
        }
        const timeoutMs = (query.wait ?? 0) * 1_000
        const until = query.until ?? 'change'
        let changed: VersionedTask | undefined
        if (timeoutMs > 0 || ifNoneMatch !== undefined) {
          const seen = await api.taskVersion(caller, taskId)
          const isKnown = namesTag(ifNoneMatch, weakTag(seen.version))
          // `settled` looks at the status, not at the version. Whoever names no version of a task that has ended is not left
          // waiting for a change that will hardly come.
          const hasEnded = (terminalTaskStatuses as readonly string[]).includes(seen.status)
          const waits = until === 'settled' ? isUnsettled(seen.status) : ifNoneMatch === undefined ? !hasEnded : isKnown
          if (timeoutMs > 0 && waits)
            changed = await hold(signal => api.changedTask(caller, taskId, seen, page, { timeoutMs, signal, until }))
          else if (isKnown) return { status: 304, headers: headersOf(seen.version) }
        }
        const { version, task } = changed ?? (await api.task(caller, taskId, page))
        const headers = headersOf(version)
        if (namesTag(ifNoneMatch, headers.etag)) return { status: 304, headers }
        return { headers: { ...headers, ...retryAfter(task) }, json: task }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/tasks/:task_id/why',
      id: 'whyTask',
      summary: 'What a task waits for, and each of its subtasks that waits, one sentence each.',
      params: taskPath,
      query: z.strictObject({
        limit: wholeNumber(1, maxPage, `Nodes of a page; default ${maxPage}.`).optional(),
        cursor: cursor.optional(),
      }),
      answers: { 200: { description: 'A page of what waits.', schema: namedSchemas.Why } },
      errors: ['task_not_found'],
      async answer({ params, query, caller }) {
        return { json: await api.why(caller, params.task_id, { limit: query.limit ?? maxPage, cursor: query.cursor }) }
      },
    }),
  ]
}

/** The longer a task has been going on, the later it is worth asking again: 1, 1, 2, 4, … at most 60 seconds. */
const headersOf = (version: string) => ({ etag: weakTag(version), 'cache-control': 'private, no-cache' })

function retryAfter({ status, metrics }: TaskView): Record<string, string> {
  if ((terminalTaskStatuses as readonly string[]).includes(status)) return {}
  const power = Math.floor(Math.log2(Math.max(1, metrics.elapsed_seconds / 4)))
  return { 'retry-after': String(Math.min(maxRetryAfterSeconds, 2 ** power)) }
}
