/** `POST /orchestrate`, `POST /tasks/batch`, `POST /execute/:task_id`: how work comes in and starts. */
import {
  BatonError,
  type ExecuteRequest,
  executeRequestSchema,
  type OrchestrateRequest,
  type Problem,
  storableText,
  type TaskView,
  UnacceptableJson,
} from '@baton/shared'
import { z } from 'zod'
import type { CoordinatorApi, SubmitOutcome } from '../../commands/api.js'
import { maxBatchTasks } from '../limits.js'
import { checkOrchestrateRequest } from '../orchestrate-request.js'
import { toProblem } from '../problem.js'
import { flag } from '../query.js'
import { type Answer, defineRoute, type Route } from '../route.js'
import { check, invalidRequest, validate } from '../validate.js'
import { namedSchemas } from '../view-schemas.js'
import { taskPath } from './path-parameters.js'

/** Each item of a batch lists fewer problems than a request of its own would, so that the answer stays small. */
const listedInBatch = 20
/** A batch with more problems than this is refused as a whole, so that hostile ones cost no minutes (I14). */
const maxBatchIssues = 100_000
const notAcceptable = 'the task is not acceptable'

export function submissionRoutes(api: CoordinatorApi): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/orchestrate',
      id: 'orchestrate',
      summary: 'Plan a task. Sent again with the same body, it answers with the task that exists.',
      query: z.strictObject({ dry_run: flag('Plan only; store nothing.').optional() }),
      body: { schema: namedSchemas.OrchestrateRequest, read: readSubmission, large: true },
      answers: {
        200: { description: 'The task existed already, or this was a dry run.', schema: namedSchemas.Task },
        201: { description: 'Planned and stored.', schema: namedSchemas.Task },
      },
      errors: ['task_conflict', 'orchestrator_not_found', 'task_limit_reached'],
      async answer({ body, query, caller }) {
        const [outcome] = await api.submit(caller, [body], { dryRun: query.dry_run ?? false })
        return answerSubmission(outcome)
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/tasks/batch',
      id: 'orchestrateBatch',
      summary: `Plan up to ${maxBatchTasks} tasks, each answered for itself and in order.`,
      query: z.strictObject({ minimal: flag('Answer without the tasks themselves.').optional() }),
      body: { schema: namedSchemas.BatchRequest, read: readBatch, large: true, separateItems: 'tasks' },
      answers: { 200: { description: 'One result for each task.', schema: namedSchemas.BatchResults } },
      errors: ['task_conflict', 'orchestrator_not_found', 'task_limit_reached'],
      async answer({ body, query, caller, requestId }) {
        const accepted = body.flatMap(item => (item.ok ? [item.request] : []))
        const outcomes = accepted.length === 0 ? [] : await api.submit(caller, accepted, { dryRun: false, unseen: query.minimal ?? false })
        const inOrder = outcomes.values()
        const results = body.map(item =>
          batchResult(item, item.ok ? inOrder.next().value : undefined, { requestId, minimal: query.minimal ?? false }),
        )
        return { json: { results } }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/execute/:task_id',
      id: 'execute',
      summary:
        'Start a planned task, or resume a paused one. A task that runs or has ended stays as it is; `auto` lets one go on by itself that is executed step by step.',
      params: taskPath,
      body: {
        schema: namedSchemas.ExecuteRequest,
        read: value => validate<ExecuteRequest>(executeRequestSchema, value, 'the request is not acceptable'),
        absent: {},
      },
      answers: { 200: { description: 'The present status.', schema: namedSchemas.Execution } },
      errors: ['task_not_found', 'state_conflict', 'agent_unavailable'],
      async answer({ params, body, caller }) {
        return { json: await api.execute(caller, params.task_id, body) }
      },
    }),
  ]
}

function readSubmission(value: unknown): OrchestrateRequest {
  const result = checkOrchestrateRequest(value)
  if (result.ok) return result.value
  throw invalidRequest(result.issues, notAcceptable)
}

function answerSubmission(outcome: SubmitOutcome | undefined): Answer {
  if (outcome === undefined || outcome.kind === 'known') throw new BatonError('internal', 'a submission has no outcome')
  if (outcome.kind === 'refused') throw outcome.error
  const location = { location: `/tasks/${outcome.task.task_id}` }
  return outcome.kind === 'created'
    ? { status: 201, headers: location, json: outcome.task }
    : { json: outcome.task, ...(outcome.kind === 'existing' && { headers: location }) }
}

type BatchItem =
  | { readonly ok: true; readonly request: OrchestrateRequest }
  | { readonly ok: false; readonly taskId: string | null; readonly error: BatonError }

const batchSchema = z.strictObject({
  tasks: z
    .array(z.unknown())
    .min(1, 'must hold at least one task')
    .max(maxBatchTasks, `must hold at most ${maxBatchTasks} tasks; send the rest in another batch`),
})

/** The frame must be right; each task in it is right or wrong for itself. */
function readBatch(value: unknown): BatchItem[] {
  const frame = check(batchSchema, value)
  if (!frame.ok) throw invalidRequest(frame.issues, 'the batch is not acceptable')
  let issues = 0
  return frame.value.tasks.map((task, n) => {
    if (task instanceof UnacceptableJson) return { ok: false, taskId: taskIdOf(task.value), error: task.error }
    const result = checkOrchestrateRequest(task)
    if (!result.ok) issues += result.issues.length
    if (issues > maxBatchIssues)
      throw invalidRequest(
        [{ path: `tasks[${n}]`, issue: `here the batch passes ${maxBatchIssues} problems; mend it, or send its tasks one by one` }],
        'the batch is not acceptable',
      )
    return result.ok
      ? { ok: true, request: result.value }
      : { ok: false, taskId: taskIdOf(task), error: invalidRequest(result.issues, notAcceptable, listedInBatch) }
  })
}

function taskIdOf(task: unknown): string | null {
  const id = task !== null && typeof task === 'object' && 'task_id' in task ? task.task_id : undefined
  return typeof id === 'string' ? storableText(id.slice(0, 128)) : null
}

interface BatchResult {
  task_id: string | null
  status_code: number
  task?: TaskView
  error?: Problem
}

function batchResult(
  item: BatchItem,
  outcome: SubmitOutcome | undefined,
  { requestId, minimal }: { requestId: string; minimal: boolean },
): BatchResult {
  if (!item.ok) return refusedResult(item.taskId, item.error, requestId)
  if (outcome === undefined) throw new BatonError('internal', 'a submission has no outcome')
  if (outcome.kind === 'refused') return refusedResult(item.request.task_id, outcome.error, requestId)
  const result = { task_id: item.request.task_id, status_code: outcome.kind === 'created' ? 201 : 200 }
  return minimal || outcome.kind === 'known' ? result : { ...result, task: outcome.task }
}

function refusedResult(taskId: string | null, error: BatonError, requestId: string): BatchResult {
  return { task_id: taskId, status_code: error.status, error: toProblem(error, requestId) }
}
