/** Webhooks as people register and see them. */
import { z } from 'zod'
import { maxDurationMs } from './durations.js'
import { isEventFilter } from './events.js'

/** The one webhook of every tenant that stands for the `callback_url` of its tasks. */
export const callbacksWebhookId = 'callbacks'

const maxFilters = 50

const urlSchema = z
  .string()
  .min(1, 'must not be empty')
  .max(2_000, 'must be at most 2000 characters')
  .meta({ format: 'uri', description: 'http or https, at a public address, or one of a network that the settings allow.' })
const filtersSchema = z
  .array(
    z
      .string()
      .refine(isEventFilter, 'must be the name of an event, or a beginning such as task.*, or *')
      // A webhook for it alone would be stored and stay silent for ever. `subtask.*` and `*` mean the rest.
      .refine(name => name !== 'subtask.output', 'must not be subtask.output, which is not sent; follow the stream of the task'),
  )
  .min(1, 'must name at least one event; `*` means all')
  .max(maxFilters, `must be at most ${maxFilters} filters`)
  .meta({ description: 'Names of events, or beginnings such as `task.*`; default: all.' })
const secretSchema = z
  .string()
  .regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, 'must be whsec_ and 24 to 64 bytes in base64; leave it out to be given one')
  .meta({ description: '`whsec_` and 24 to 64 bytes in base64; default: a random one.' })

export const createWebhookRequestSchema = z.strictObject({
  url: urlSchema,
  events: filtersSchema.optional(),
  description: z.string().max(500, 'must be at most 500 characters').optional(),
  enabled: z.boolean().optional(),
  secret: secretSchema.optional(),
})
export type CreateWebhookRequest = z.infer<typeof createWebhookRequestSchema>

/** What is left out stays. Secrets are changed by a rotation. */
export const updateWebhookRequestSchema = createWebhookRequestSchema.omit({ secret: true }).partial()
export type UpdateWebhookRequest = z.infer<typeof updateWebhookRequestSchema>

export const rotateWebhookRequestSchema = z.strictObject({
  secret: secretSchema.optional(),
  overlap_seconds: z
    .number()
    .min(0, 'must be at least 0')
    .max(maxDurationMs / 1_000, 'must be at most a year')
    .optional()
    .meta({ description: 'How long the secret of before signs beside the new one; default a day.' }),
})
export type RotateWebhookRequest = z.infer<typeof rotateWebhookRequestSchema>

export const deliveryStates = ['pending', 'delivered', 'given_up'] as const
export type DeliveryState = (typeof deliveryStates)[number]

const dateTime = z.iso
  .datetime({ offset: true, error: 'must be a date-time, such as 2026-12-01T12:00:00Z' })
  .regex(/^(?!0000)/, 'must not be in the year 0')

export const replayWebhookRequestSchema = z.strictObject({
  since: dateTime.meta({ description: 'Events from then on.' }),
  until: dateTime.optional().meta({ description: 'Events before; default: now.' }),
  state: z.enum(deliveryStates).optional().meta({ description: 'Only deliveries in this state; default: all.' }),
})
export type ReplayWebhookRequest = z.infer<typeof replayWebhookRequestSchema>

export interface WebhookView {
  id: string
  /** `callbacks`: each event of a task goes to the task's own `callback_url`. */
  kind: 'subscription' | 'callbacks'
  /** Without the values of its query, which may be secrets. Null for callbacks. */
  url: string | null
  events: string[]
  description: string
  enabled: boolean
  /** Until when the secret before the last rotation signs too; null: it does not. */
  previous_secret_until: string | null
  created_at: string
  updated_at: string
}

/** Only the answers to creation and rotation show the secret. */
export interface WebhookWithSecret extends WebhookView {
  secret: string
}

export interface WebhookList {
  webhooks: WebhookView[]
  next_cursor: string | null
}

export interface DeliveryView {
  id: string
  webhook_id: string
  /** The header `webhook-id`, the same in every try. */
  message_id: string
  event_id: string
  event: string
  at: string
  task_id: string | null
  state: DeliveryState
  attempts: number
  /** When it is tried next; null when it is not. */
  next_at: string | null
  ended_at: string | null
  /** The last ones, the newest first. */
  tries: { at: string; ms: number; status: number | null; error: string | null }[]
}

export interface DeliveryList {
  deliveries: DeliveryView[]
  next_cursor: string | null
}
