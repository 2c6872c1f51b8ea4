/** `GET /agents`, `/workers`: who does the work. */
import { type MatchRequest, matchRequestSchema, nameSchema } from '@baton/shared'
import { z } from 'zod'
import type { CoordinatorApi } from '../../commands/api.js'
import { line } from '../query.js'
import { defineRoute, type Route } from '../route.js'
import { validate } from '../validate.js'
import { namedSchemas } from '../view-schemas.js'
import { emptyBody } from './empty-body.js'
import { workerPath } from './path-parameters.js'

const agentsQuery = z.strictObject({
  domain: line(128).optional(),
  capability: nameSchema.optional(),
  health: z.enum(['healthy', 'degraded', 'offline']).optional(),
})

export function fleetRoutes(api: CoordinatorApi): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/agents',
      id: 'listAgents',
      summary: 'List the specialist agents with their skills, health, load, and how they did so far.',
      query: agentsQuery,
      answers: { 200: { description: 'The agents.', schema: namedSchemas.AgentList } },
      errors: [],
      async answer({ query, caller }) {
        return { json: { agents: await api.agents(caller, query), next_cursor: null } }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/agents/match',
      id: 'matchAgents',
      summary: 'Say which agent a subtask with these needs would go to now, and how every agent is placed that offers some of them.',
      body: {
        schema: namedSchemas.MatchRequest,
        read: value => validate<MatchRequest>(matchRequestSchema, value, 'the request is not acceptable'),
      },
      answers: { 200: { description: 'The best placed one, and all others with their scores.', schema: namedSchemas.AgentMatch } },
      errors: [],
      async answer({ body, caller }) {
        return { json: await api.matchAgents(caller, body) }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/workers',
      id: 'listWorkers',
      summary: 'List the workers.',
      answers: { 200: { description: 'The workers.', schema: namedSchemas.WorkerList } },
      errors: [],
      async answer({ caller }) {
        return { json: { workers: await api.workers(caller), next_cursor: null } }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/workers/:id',
      id: 'getWorker',
      summary: 'One worker.',
      params: workerPath,
      answers: { 200: { description: 'The worker.', schema: namedSchemas.Worker } },
      errors: ['worker_not_found'],
      async answer({ params, caller }) {
        return { json: await api.worker(caller, params.id) }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/workers/:id/drain',
      id: 'drainWorker',
      summary: 'Ask a worker to take no more work, to finish what it has, and to end.',
      params: workerPath,
      body: emptyBody,
      answers: { 200: { description: 'The present state.', schema: namedSchemas.WorkerStanding } },
      errors: ['worker_not_found', 'state_conflict'],
      async answer({ params, caller }) {
        return { json: await api.drainWorker(caller, params.id) }
      },
    }),
  ]
}
