/** `/orchestrators`: named control contexts that own tasks; what they are, their settings, whether they run. */
import {
  type CreateOrchestratorRequest,
  createOrchestratorRequestSchema,
  type OrchestratorSettingsRequest,
  type OrchestratorSettingsView,
  type OrchestratorStatusRequest,
  type OrchestratorView,
  orchestratorSettingsRequestSchema,
  orchestratorStatuses,
  orchestratorStatusRequestSchema,
  type UpdateOrchestratorRequest,
  updateOrchestratorRequestSchema,
} from '@baton/shared'
import { z } from 'zod'
import type { CoordinatorApi } from '../../commands/api.js'
import { maxPage } from '../limits.js'
import { cursor, wholeNumber } from '../query.js'
import { defineRoute, type Route } from '../route.js'
import { validate } from '../validate.js'
import { namedSchemas } from '../view-schemas.js'
import { orchestratorPath } from './path-parameters.js'

const defaultListLimit = 50
const notAcceptable = 'the orchestrator is not acceptable'

const listQuery = z.strictObject({
  status: z.enum(orchestratorStatuses).meta({ description: 'Orchestrators with this status.' }).optional(),
  limit: wholeNumber(1, maxPage, `Items of a page; default ${defaultListLimit}.`).optional(),
  cursor: cursor.optional(),
})

export function orchestratorRoutes(api: CoordinatorApi): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/orchestrators',
      id: 'listOrchestrators',
      summary: 'List the orchestrators, the oldest first.',
      query: listQuery,
      answers: { 200: { description: 'A page of orchestrators.', schema: namedSchemas.OrchestratorList } },
      errors: [],
      async answer({ query: { status, limit = defaultListLimit, cursor }, caller }) {
        return { json: await api.orchestrators(caller, { status, limit, cursor }) }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/orchestrators',
      id: 'createOrchestrator',
      summary: 'Create an orchestrator. It is idle: it dispatches once its status is set to running.',
      body: {
        schema: namedSchemas.CreateOrchestratorRequest,
        read: value => validate<CreateOrchestratorRequest>(createOrchestratorRequestSchema, value, notAcceptable),
      },
      answers: { 201: { description: 'The orchestrator.', schema: namedSchemas.Orchestrator } },
      errors: ['state_conflict'],
      async answer({ body, caller }) {
        const json = await api.createOrchestrator(caller, body)
        return { status: 201, headers: { location: `/orchestrators/${json.id}` }, json }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/orchestrators/:id',
      id: 'getOrchestrator',
      summary: 'One orchestrator.',
      params: orchestratorPath,
      answers: { 200: { description: 'The orchestrator.', schema: namedSchemas.Orchestrator } },
      errors: ['orchestrator_not_found'],
      async answer({ params, caller }) {
        return { json: await api.orchestrator(caller, params.id) }
      },
    }),
    defineRoute({
      method: 'PATCH',
      path: '/orchestrators/:id',
      id: 'updateOrchestrator',
      summary: 'Change an orchestrator. What is left out stays; metadata are merged key by key, and null deletes a key.',
      params: orchestratorPath,
      body: {
        schema: namedSchemas.UpdateOrchestratorRequest,
        read: value => validate<UpdateOrchestratorRequest>(updateOrchestratorRequestSchema, value, notAcceptable),
      },
      answers: { 200: { description: 'The orchestrator, changed.', schema: namedSchemas.Orchestrator } },
      errors: ['orchestrator_not_found'],
      async answer({ params, body, caller }) {
        return { json: await api.updateOrchestrator(caller, params.id, body) }
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: '/orchestrators/:id',
      id: 'deleteOrchestrator',
      summary: 'Delete an orchestrator, in any status, of which no task is unfinished. Its finished tasks stay; its id is not given again.',
      params: orchestratorPath,
      answers: { 200: { description: 'It is gone.', schema: namedSchemas.DeletedOrchestrator } },
      errors: ['orchestrator_not_found', 'state_conflict'],
      async answer({ params, caller }) {
        return { json: await api.deleteOrchestrator(caller, params.id) }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/orchestrators/:id/settings',
      id: 'getOrchestratorSettings',
      summary: 'The settings of an orchestrator: its default worker agent, and its metadata with the limits.',
      params: orchestratorPath,
      answers: { 200: { description: 'The settings.', schema: namedSchemas.OrchestratorSettings } },
      errors: ['orchestrator_not_found'],
      async answer({ params, caller }) {
        return { json: settingsOf(await api.orchestrator(caller, params.id)) }
      },
    }),
    defineRoute({
      method: 'PATCH',
      path: '/orchestrators/:id/settings',
      id: 'updateOrchestratorSettings',
      summary: 'Change the settings of an orchestrator. Metadata are merged key by key, and null deletes a key.',
      params: orchestratorPath,
      body: {
        schema: namedSchemas.OrchestratorSettingsRequest,
        read: value => validate<OrchestratorSettingsRequest>(orchestratorSettingsRequestSchema, value, 'the settings are not acceptable'),
      },
      answers: { 200: { description: 'The settings, changed.', schema: namedSchemas.OrchestratorSettings } },
      errors: ['orchestrator_not_found'],
      async answer({ params, body, caller }) {
        return { json: settingsOf(await api.updateOrchestrator(caller, params.id, body)) }
      },
    }),
    defineRoute({
      method: 'PUT',
      path: '/orchestrators/:id/status',
      id: 'setOrchestratorStatus',
      summary: 'Let an orchestrator run, or keep it from starting anything: what is in flight finishes. `default` always runs.',
      params: orchestratorPath,
      body: {
        schema: namedSchemas.OrchestratorStatusRequest,
        read: value => validate<OrchestratorStatusRequest>(orchestratorStatusRequestSchema, value, 'the status is not acceptable'),
      },
      answers: { 200: { description: 'The orchestrator.', schema: namedSchemas.Orchestrator } },
      errors: ['orchestrator_not_found', 'state_conflict'],
      async answer({ params, body, caller }) {
        return { json: await api.setOrchestratorStatus(caller, params.id, body.status, body.reason ?? null) }
      },
    }),
  ]
}

function settingsOf({ default_worker_agent_id, metadata }: OrchestratorView): OrchestratorSettingsView {
  return { default_worker_agent_id, metadata }
}
