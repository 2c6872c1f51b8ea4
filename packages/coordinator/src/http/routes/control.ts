/**
 * What people tell tasks and subtasks to do: `POST /tasks/:task_id/cancel`, `pause`, `resume`, `rerun`, `replan`, and
 * `POST …/subtasks/:subtask_id/cancel`, `retry`, `reassign`, `release`.
 */
import {
  type ControlRequest,
  controlRequestSchema,
  type ReassignRequest,
  type ReplanRequest,
  type RerunRequest,
  rawRerunKeys,
  reassignRequestSchema,
  replanRequestSchema,
  rerunRequestSchema,
} from '@baton/shared'
import { z } from 'zod'
import type { Caller, CoordinatorApi, SubtaskStanding } from '../../commands/api.js'
import { flag } from '../query.js'
import { type BodyReader, defineRoute, type Route } from '../route.js'
import { validate } from '../validate.js'
import { namedSchemas } from '../view-schemas.js'
import { emptyBody } from './empty-body.js'
import { subtaskPath, taskPath } from './path-parameters.js'

const taskVerbs = {
  cancel: {
    summary: 'Cancel a task: what runs is aborted, nothing else starts. A cancelled task stays as it is.',
    reason: 'cancellation was asked for',
  },
  pause: {
    summary: 'Pause a task: what runs finishes, nothing else starts. A paused task stays as it is.',
    reason: 'a pause was asked for',
  },
  resume: {
    summary: 'Let a paused task go on. A task that runs, is blocked or needs review stays as it is.',
    reason: 'it was asked to go on',
  },
} as const

const reasons = {
  rerun: 'a rerun was asked for',
  cancel: 'cancellation was asked for',
  retry: 'a retry was asked for',
  reassign: 'a reassignment was asked for',
} as const

const controlBody: BodyReader<ControlRequest> = {
  schema: namedSchemas.ControlRequest,
  read: value => validate<ControlRequest>(controlRequestSchema, value, 'the request is not acceptable'),
  absent: {},
}
const reassignBody: BodyReader<ReassignRequest> = {
  schema: namedSchemas.ReassignRequest,
  read: value => validate<ReassignRequest>(reassignRequestSchema, value, 'the reassignment is not acceptable'),
}

export function controlRoutes(api: CoordinatorApi): Route[] {
  return [
    ...(Object.keys(taskVerbs) as (keyof typeof taskVerbs)[]).map(verb => taskVerb(api, verb)), // keys of a table of ours
    defineRoute({
      method: 'POST',
      path: '/tasks/:task_id/rerun',
      id: 'rerunTask',
      summary:
        'Run the named subtasks and everything that was opened downstream of them again, in a task of whatever status; gates and approvals too. Of a finished task, what was cancelled or failed runs again with them. `input` is kept byte for byte.',
      params: taskPath,
      body: {
        schema: namedSchemas.RerunRequest,
        read: value => validate<RerunRequest>(rerunRequestSchema, value, 'the rerun is not acceptable'),
        rawKeys: rawRerunKeys,
      },
      answers: { 200: { description: 'The present status, and how many subtasks run again.', schema: namedSchemas.Rerun } },
      errors: ['task_not_found', 'subtask_not_found', 'state_conflict'],
      async answer({ params, body, caller }) {
        return { json: await api.rerunTask(caller, params.task_id, { ...body, reason: body.reason ?? reasons.rerun }) }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/tasks/:task_id/replan',
      id: 'replanTask',
      summary:
        'Plan what is not finished of a task anew, from subtasks, from words, or from its own words again. Finished work stays, and what runs too unless `running` is `cancel`. With `requires_approval` a review of kind `plan` is opened, and applies just the change that is shown.',
      params: taskPath,
      query: z.strictObject({ dry_run: flag('Show the change only; store nothing.').optional() }),
      body: {
        schema: namedSchemas.ReplanRequest,
        read: value => validate<ReplanRequest>(replanRequestSchema, value, 'the new plan is not acceptable'),
        absent: {},
        large: true,
      },
      answers: { 200: { description: 'What the new plan changes, and whether it is in force.', schema: namedSchemas.Replan } },
      errors: ['task_not_found', 'state_conflict'],
      async answer({ params, query, body, caller }) {
        return { json: await api.replan(caller, params.task_id, body, { dryRun: query.dry_run ?? false }) }
      },
    }),
    subtaskVerb({
      verb: 'cancel',
      summary:
        'Cancel a subtask and, unless its `on_failure` is `skip` or `continue`, all that depends on it. One that runs is asked to stop, and stays `running` until its worker has.',
      body: controlBody,
      answer: (caller, task, subtask, { reason }) => api.cancelSubtask(caller, task, subtask, reason ?? reasons.cancel),
    }),
    subtaskVerb({
      verb: 'retry',
      summary:
        'Grant a subtask in review one more attempt, or start at once one that waits for its backoff or for a worker. One that is on its way stays as it is.',
      body: controlBody,
      answer: (caller, task, subtask, { reason }) => api.retrySubtask(caller, task, subtask, reason ?? reasons.retry),
    }),
    subtaskVerb({
      verb: 'reassign',
      summary: 'Give an unfinished subtask to an agent. An attempt that runs elsewhere is aborted, and not charged.',
      body: reassignBody,
      answer: (caller, task, subtask, { agent, reason }) =>
        api.reassignSubtask(caller, task, subtask, { agent, reason: reason ?? reasons.reassign }),
    }),
    subtaskVerb({
      verb: 'release',
      summary: 'Let a subtask start that manual execution or a checkpoint holds back. One that nothing holds back stays as it is.',
      body: emptyBody,
      answer: (caller, task, subtask) => api.releaseSubtask(caller, task, subtask),
    }),
  ]
}

function taskVerb(api: CoordinatorApi, verb: keyof typeof taskVerbs): Route {
  return defineRoute({
    method: 'POST',
    path: `/tasks/:task_id/${verb}`,
    id: `${verb}Task`,
    summary: taskVerbs[verb].summary,
    params: taskPath,
    body: controlBody,
    answers: { 200: { description: 'The present status.', schema: namedSchemas.Execution } },
    errors: ['task_not_found', 'state_conflict'],
    async answer({ params, body, caller }) {
      return { json: await api.controlTask(caller, params.task_id, verb, body.reason ?? taskVerbs[verb].reason) }
    },
  })
}

interface SubtaskVerb<B> {
  readonly verb: 'cancel' | 'retry' | 'reassign' | 'release'
  readonly summary: string
  readonly body: BodyReader<B>
  answer(caller: Caller, taskId: string, subtaskId: string, body: B): Promise<SubtaskStanding>
}

function subtaskVerb<B>({ verb, summary, body, answer }: SubtaskVerb<B>): Route {
  return defineRoute({
    method: 'POST',
    path: `/tasks/:task_id/subtasks/:subtask_id/${verb}`,
    id: `${verb}Subtask`,
    summary,
    params: subtaskPath,
    body,
    answers: { 200: { description: 'The present state.', schema: namedSchemas.SubtaskStanding } },
    errors: ['subtask_not_found', 'state_conflict'],
    async answer({ params, body, caller }) {
      return { json: await answer(caller, params.task_id, params.subtask_id, body) }
    },
  })
}
