/** `POST /tasks/:task_id/cancel`, `pause`, `resume`, `POST …/subtasks/:subtask_id/release`: what people tell work to do. */
import { type ControlRequest, controlRequestSchema } from '@baton/shared'
import type { CoordinatorApi } from '../../commands/api.js'
import { defineRoute, type Route } from '../route.js'
import { validate } from '../validate.js'
import { namedSchemas } from '../view-schemas.js'
import { emptyBody } from './empty-body.js'
import { subtaskPath, taskPath } from './path-parameters.js'

const verbs = {
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

export function controlRoutes(api: CoordinatorApi): Route[] {
  return [
    ...(Object.keys(verbs) as (keyof typeof verbs)[]).map(verb => taskVerb(api, verb)), // keys of a table of ours
    defineRoute({
      method: 'POST',
      path: '/tasks/:task_id/subtasks/:subtask_id/release',
      id: 'releaseSubtask',
      summary: 'Let a subtask start that manual execution or a checkpoint holds back. One that nothing holds back stays as it is.',
      params: subtaskPath,
      body: emptyBody,
      answers: { 200: { description: 'The present state.', schema: namedSchemas.SubtaskStanding } },
      errors: ['subtask_not_found', 'state_conflict'],
      async answer({ params, caller }) {
        return { json: await api.releaseSubtask(caller, params.task_id, params.subtask_id) }
      },
    }),
  ]
}

function taskVerb(api: CoordinatorApi, verb: keyof typeof verbs): Route {
  return defineRoute({
    method: 'POST',
    path: `/tasks/:task_id/${verb}`,
    id: `${verb}Task`,
    summary: verbs[verb].summary,
    params: taskPath,
    body: {
      schema: namedSchemas.ControlRequest,
      read: value => validate<ControlRequest>(controlRequestSchema, value, 'the request is not acceptable'),
      absent: {},
    },
    answers: { 200: { description: 'The present status.', schema: namedSchemas.Execution } },
    errors: ['task_not_found', 'state_conflict'],
    async answer({ params, body, caller }) {
      return { json: await api.controlTask(caller, params.task_id, verb, body.reason ?? verbs[verb].reason) }
    },
  })
}
