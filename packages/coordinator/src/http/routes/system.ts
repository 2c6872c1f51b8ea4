/** `POST /pause`, `POST /resume`: everything of the caller's tenant at once. */
import { type ControlRequest, controlRequestSchema } from '@baton/shared'
import type { CoordinatorApi } from '../../commands/api.js'
import { defineRoute, type Route } from '../route.js'
import { validate } from '../validate.js'
import { namedSchemas } from '../view-schemas.js'

const verbs = {
  pause: 'Pause everything: what runs finishes, nothing else starts, of whatever orchestrator. A second pause changes nothing.',
  resume: 'Let everything go on. Tasks and orchestrators that are paused by themselves stay so.',
} as const

export function systemRoutes(api: CoordinatorApi): Route[] {
  return (['pause', 'resume'] as const).map(verb =>
    defineRoute({
      method: 'POST',
      path: `/${verb}`,
      id: `${verb}System`,
      summary: verbs[verb],
      body: {
        schema: namedSchemas.ControlRequest,
        read: value => validate<ControlRequest>(controlRequestSchema, value, 'the request is not acceptable'),
        absent: {},
      },
      answers: { 200: { description: 'Whether everything is paused now.', schema: namedSchemas.SystemStanding } },
      errors: [],
      async answer({ body, caller }) {
        return { json: await api.controlSystem(caller, verb, body.reason ?? null) }
      },
    }),
  )
}
