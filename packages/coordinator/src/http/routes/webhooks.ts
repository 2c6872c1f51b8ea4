/** `/webhooks`: who is told of events, what they were told, and telling it again. */
import {
  type CreateWebhookRequest,
  createWebhookRequestSchema,
  deliveryStates,
  type ReplayWebhookRequest,
  type RotateWebhookRequest,
  replayWebhookRequestSchema,
  rotateWebhookRequestSchema,
  type UpdateWebhookRequest,
  updateWebhookRequestSchema,
} from '@baton/shared'
import { z } from 'zod'
import type { CoordinatorApi } from '../../commands/api.js'
import { maxPage } from '../limits.js'
import { cursor, wholeNumber } from '../query.js'
import { defineRoute, type Route } from '../route.js'
import { validate } from '../validate.js'
import { namedSchemas } from '../view-schemas.js'
import { deliveryPath, webhookPath } from './path-parameters.js'

const defaultListLimit = 50
const notAcceptable = 'the webhook is not acceptable'
const page = {
  limit: wholeNumber(1, maxPage, `Items of a page; default ${defaultListLimit}.`).optional(),
  cursor: cursor.optional(),
}

export function webhookRoutes(api: CoordinatorApi): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/webhooks',
      id: 'listWebhooks',
      summary: 'List the webhooks. Secrets are not shown.',
      query: z.strictObject(page),
      answers: { 200: { description: 'A page of webhooks.', schema: namedSchemas.WebhookList } },
      errors: [],
      async answer({ query: { limit = defaultListLimit, cursor }, caller }) {
        return { json: await api.webhooks(caller, { limit, cursor }) }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/webhooks',
      id: 'createWebhook',
      summary: 'Register a URL that events are sent to. The answer shows the secret, this once.',
      body: {
        schema: namedSchemas.CreateWebhookRequest,
        read: value => validate<CreateWebhookRequest>(createWebhookRequestSchema, value, notAcceptable),
      },
      answers: { 201: { description: 'The webhook with its secret.', schema: namedSchemas.WebhookWithSecret } },
      errors: ['state_conflict'],
      async answer({ body, caller }) {
        const json = await api.createWebhook(caller, body)
        return { status: 201, headers: { location: `/webhooks/${json.id}` }, json }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/webhooks/:id',
      id: 'getWebhook',
      summary: 'One webhook.',
      params: webhookPath,
      answers: { 200: { description: 'The webhook.', schema: namedSchemas.Webhook } },
      errors: ['webhook_not_found'],
      async answer({ params, caller }) {
        return { json: await api.webhook(caller, params.id) }
      },
    }),
    defineRoute({
      method: 'PATCH',
      path: '/webhooks/:id',
      id: 'updateWebhook',
      summary: 'Change a webhook. What is left out stays. While it is not enabled, nothing is sent and no delivery is made.',
      params: webhookPath,
      body: {
        schema: namedSchemas.UpdateWebhookRequest,
        read: value => validate<UpdateWebhookRequest>(updateWebhookRequestSchema, value, notAcceptable),
      },
      answers: { 200: { description: 'The webhook, changed.', schema: namedSchemas.Webhook } },
      errors: ['webhook_not_found'],
      async answer({ params, body, caller }) {
        return { json: await api.updateWebhook(caller, params.id, body) }
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: '/webhooks/:id',
      id: 'deleteWebhook',
      summary: 'Delete a webhook with its deliveries, pending ones too.',
      params: webhookPath,
      answers: { 200: { description: 'It is gone.', schema: namedSchemas.DeletedWebhook } },
      errors: ['webhook_not_found', 'state_conflict'],
      async answer({ params, caller }) {
        return { json: await api.deleteWebhook(caller, params.id) }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/webhooks/:id/rotate',
      id: 'rotateWebhook',
      summary: 'Give a webhook a new secret, which the answer shows this once. For a while both sign.',
      params: webhookPath,
      body: {
        schema: namedSchemas.RotateWebhookRequest,
        absent: {},
        read: value => validate<RotateWebhookRequest>(rotateWebhookRequestSchema, value, 'the rotation is not acceptable'),
      },
      answers: { 200: { description: 'The webhook with its new secret.', schema: namedSchemas.WebhookWithSecret } },
      errors: ['webhook_not_found'],
      async answer({ params, body, caller }) {
        return { json: await api.rotateWebhook(caller, params.id, body) }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/webhooks/:id/deliveries',
      id: 'listDeliveries',
      summary: 'The deliveries of a webhook, the newest first, each with its last tries.',
      params: webhookPath,
      query: z.strictObject({ ...page, state: z.enum(deliveryStates).optional() }),
      answers: { 200: { description: 'A page of deliveries.', schema: namedSchemas.DeliveryList } },
      errors: ['webhook_not_found'],
      async answer({ params, query: { limit = defaultListLimit, ...query }, caller }) {
        return { json: await api.deliveries(caller, params.id, { limit, ...query }) }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/webhooks/:id/deliveries/:delivery_id/replay',
      id: 'replayDelivery',
      summary: 'Send one event again, under the id that it had.',
      params: deliveryPath,
      answers: { 202: { description: 'It is due.', schema: namedSchemas.Delivery } },
      errors: ['webhook_not_found', 'delivery_not_found'],
      async answer({ params, caller }) {
        return { status: 202, json: await api.replayDelivery(caller, params.id, params.delivery_id) }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/webhooks/:id/replay',
      id: 'replayWebhook',
      summary: 'Send what is in the log of deliveries again, of events since a time.',
      params: webhookPath,
      body: {
        schema: namedSchemas.ReplayWebhookRequest,
        read: value => validate<ReplayWebhookRequest>(replayWebhookRequestSchema, value, 'the replay is not acceptable'),
      },
      answers: { 202: { description: 'How many are due.', schema: namedSchemas.Replayed } },
      errors: ['webhook_not_found'],
      async answer({ params, body, caller }) {
        return { status: 202, json: await api.replayWebhook(caller, params.id, body) }
      },
    }),
  ]
}
