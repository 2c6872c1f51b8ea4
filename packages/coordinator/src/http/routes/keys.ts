/** `/keys`: who may ask for what. */
import { type CreateKeyRequest, createKeyRequestSchema } from '@baton/shared'
import { z } from 'zod'
import type { CoordinatorApi } from '../../commands/api.js'
import { maxPage } from '../limits.js'
import { cursor, flag, wholeNumber } from '../query.js'
import { defineRoute, type Route } from '../route.js'
import { validate } from '../validate.js'
import { namedSchemas } from '../view-schemas.js'
import { keyPath } from './path-parameters.js'

const defaultListLimit = 100

export function keyRoutes(api: CoordinatorApi): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/keys',
      id: 'createKey',
      summary: 'Make an API key. The answer shows it, this once; only its SHA-256 is kept.',
      body: {
        schema: namedSchemas.CreateKeyRequest,
        read: value => validate<CreateKeyRequest>(createKeyRequestSchema, value, 'the key is not acceptable'),
      },
      answers: { 201: { description: 'The key, in `secret`.', schema: namedSchemas.KeyWithSecret } },
      errors: ['state_conflict'],
      async answer({ body, caller }) {
        return { status: 201, json: await api.createKey(caller, body) }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/keys',
      id: 'listKeys',
      summary: 'List the API keys that were made, the oldest first; the one that the coordinator was started with is not among them.',
      query: z.strictObject({
        revoked: flag('Revoked ones too.').optional(),
        limit: wholeNumber(1, maxPage, `Items of a page; default ${defaultListLimit}.`).optional(),
        cursor: cursor.optional(),
      }),
      answers: { 200: { description: 'A page of keys, without what opens anything.', schema: namedSchemas.KeyList } },
      errors: [],
      async answer({ query: { revoked = false, limit = defaultListLimit, cursor }, caller }) {
        return { json: await api.keys(caller, { revoked, limit, ...(cursor !== undefined && { cursor }) }) }
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: '/keys/:id',
      id: 'revokeKey',
      summary: 'Revoke an API key: here at once, at other coordinators within seconds. A revoked key stays so.',
      params: keyPath,
      answers: { 200: { description: 'The key, revoked.', schema: namedSchemas.Key } },
      errors: ['key_not_found'],
      async answer({ params, caller }) {
        return { json: await api.revokeKey(caller, params.id) }
      },
    }),
  ]
}
