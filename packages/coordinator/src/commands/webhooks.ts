/** Webhooks as they are asked for: registered, changed, rotated, looked into, replayed. */
import { randomBytes } from 'node:crypto'
import {
  BatonError,
  type CreateWebhookRequest,
  callbacksWebhookId,
  type DeliveryList,
  type DeliveryState,
  type DeliveryView,
  type ReplayWebhookRequest,
  type RotateWebhookRequest,
  type UpdateWebhookRequest,
  type WebhookList,
  type WebhookView,
  type WebhookWithSecret,
} from '@baton/shared'
import type { AddressGuard } from '../notify/webhooks/address-guard.js'
import { isSecret, newSecret } from '../notify/webhooks/signature.js'
import type { Database } from '../store/database.js'
import { type DeliveryRow, listDeliveries, replayDeliveries, replayDelivery } from '../store/webhook-deliveries.js'
import {
  deleteWebhook,
  insertWebhook,
  listWebhooks,
  readWebhook,
  rotateWebhook,
  updateWebhook,
  type WebhookRow,
} from '../store/webhooks.js'
import type { Caller } from './api.js'
import { badCursor } from './task-view.js'

interface WebhooksOptions {
  readonly database: Database
  readonly guard: Pick<AddressGuard, 'problemOf'>
  readonly giveUpMs: number
  /** Somebody is about to listen. */
  readonly expect: () => Promise<void>
  /** Deliveries are due. */
  readonly onDue: () => void
}

const webhooksAtMost = 1_000
const defaultOverlapMs = 86_400_000
const replayedAtOnce = 2_000
/** What callbacks tell of by themselves. */
const callbackEvents = ['task.*', 'review.*', 'alert.*']
const largestPk = '9223372036854775807'

export function createWebhooks({ database, guard, giveUpMs, expect, onDue }: WebhooksOptions) {
  const admit = async (url: string, path: string): Promise<void> => {
    const issue = await guard.problemOf(url)
    if (issue !== undefined) throw new BatonError('invalid_request', `${path} ${issue}`, { fields: [{ path, issue }] })
  }
  const require = async ({ tenantId }: Caller, id: string): Promise<WebhookRow> => {
    const row = await readWebhook(database, tenantId, id)
    if (!row) throw notFound(id)
    return row
  }
  const callbacksOf = new Map<number, Promise<void>>()
  const makeCallbacks = async ({ tenantId, actor }: Caller): Promise<void> => {
    const patterns = callbackEvents.map(patternOf)
    await insertWebhook(
      database,
      {
        tenantId,
        id: callbacksWebhookId,
        kind: 'callbacks',
        url: null,
        description: 'The callback_url of each task.',
        events: callbackEvents,
        patterns,
        enabled: true,
        secret: newSecret(),
        by: actor,
      },
      Number.MAX_SAFE_INTEGER,
    )
  }

  /** Once for each tenant. */
  const haveCallbacks = async (caller: Caller): Promise<void> => {
    const made = callbacksOf.get(caller.tenantId) ?? makeCallbacks(caller)
    callbacksOf.set(caller.tenantId, made)
    await made.catch(error => {
      callbacksOf.delete(caller.tenantId)
      throw error
    })
  }

  /** Whether a task may be called back there; its tenant's keys are made, and its events will be looked at. */
  const admitCallback = async (caller: Caller, url: string): Promise<void> => {
    await admit(url, 'callback_url')
    await haveCallbacks(caller)
    await expect()
  }

  const api = {
    async webhooks({ tenantId }: Caller, page: { limit: number; cursor?: string }): Promise<WebhookList> {
      const rows = await listWebhooks(database, tenantId, page.cursor ?? '', page.limit + 1)
      const shown = rows.slice(0, page.limit)
      return { webhooks: shown.map(viewOf), next_cursor: rows.length > page.limit ? (shown.at(-1)?.id ?? null) : null }
    },

    async webhook(caller: Caller, id: string): Promise<WebhookView> {
      return viewOf(await require(caller, id))
    },

    async createWebhook({ tenantId, actor }: Caller, request: CreateWebhookRequest): Promise<WebhookWithSecret> {
      await admit(request.url, 'url')
      const secret = secretOf(request.secret)
      const events = request.events ?? ['*']
      await expect()
      const row = await insertWebhook(
        database,
        {
          tenantId,
          id: `wh-${randomBytes(10).toString('hex')}`,
          kind: 'subscription',
          url: request.url,
          description: request.description ?? '',
          events,
          patterns: events.map(patternOf),
          enabled: request.enabled ?? true,
          secret,
          by: actor,
        },
        webhooksAtMost,
      )
      if (!row) throw new BatonError('state_conflict', `there are ${webhooksAtMost} webhooks already; delete one that is not needed`)
      return { ...viewOf(row), secret }
    },

    async updateWebhook(caller: Caller, id: string, request: UpdateWebhookRequest): Promise<WebhookView> {
      const { tenantId, actor } = caller
      if (id === callbacksWebhookId) await haveCallbacks(caller)
      if (request.url !== undefined) {
        if (id === callbacksWebhookId)
          throw new BatonError('invalid_request', 'callbacks go to the callback_url of each task', {
            fields: [{ path: 'url', issue: 'cannot be set for callbacks: each task has its own' }],
          })
        await admit(request.url, 'url')
      }
      if (request.enabled) await expect()
      const { url = null, description = null, events = null, enabled = null } = request
      const row = await updateWebhook(
        database,
        { tenantId, id },
        { url, description, events, patterns: events?.map(patternOf) ?? null, enabled },
        actor,
      )
      if (!row) throw notFound(id)
      if (request.enabled) onDue()
      return viewOf(row)
    },

    async rotateWebhook(caller: Caller, id: string, request: RotateWebhookRequest): Promise<WebhookWithSecret> {
      const { tenantId, actor } = caller
      const secret = secretOf(request.secret)
      if (id === callbacksWebhookId) await haveCallbacks(caller) // its keys may be wanted before the first task
      const overlapMs = request.overlap_seconds === undefined ? defaultOverlapMs : Math.round(request.overlap_seconds * 1_000)
      const row = await rotateWebhook(database, { tenantId, id }, secret, overlapMs, actor)
      if (!row) throw notFound(id)
      return { ...viewOf(row), secret }
    },

    async deleteWebhook(caller: Caller, id: string): Promise<{ deleted_id: string }> {
      if (id === callbacksWebhookId)
        throw new BatonError(
          'state_conflict',
          'the webhook `callbacks` stands for the callback_url of tasks; switch it off with enabled: false',
        )
      if (!(await deleteWebhook(database, { tenantId: caller.tenantId, id }, caller.actor))) throw notFound(id)
      return { deleted_id: id }
    },

    async deliveries(caller: Caller, id: string, page: { state?: DeliveryState; limit: number; cursor?: string }): Promise<DeliveryList> {
      const webhook = await require(caller, id)
      const before = page.cursor === undefined ? largestPk : page.cursor
      if (!/^\d{1,18}$/.test(before) && before !== largestPk) throw badCursor('cursor')
      const rows = await listDeliveries(database, webhook.pk, { before, state: page.state ?? null, limit: page.limit + 1 })
      const shown = rows.slice(0, page.limit)
      return {
        deliveries: shown.map(row => deliveryOf(row, id)),
        next_cursor: rows.length > page.limit ? (shown.at(-1)?.pk ?? null) : null,
      }
    },

    async replayDelivery(caller: Caller, id: string, deliveryId: string): Promise<DeliveryView> {
      const webhook = await require(caller, id)
      const row = /^\d{1,18}$/.test(deliveryId) ? await replayDelivery(database, webhook.pk, deliveryId, giveUpMs) : undefined
      if (!row) throw new BatonError('delivery_not_found', `webhook ${id} has no delivery ${deliveryId}`)
      onDue()
      return deliveryOf(row, id)
    },

    async replayWebhook(caller: Caller, id: string, request: ReplayWebhookRequest): Promise<{ replayed: number }> {
      const webhook = await require(caller, id)
      // Nothing happened before 1970; an offset may lead into the year 0, which Postgres does not have.
      const range = {
        since: new Date(Math.max(0, Date.parse(request.since))),
        until: request.until === undefined ? new Date() : new Date(Math.max(0, Date.parse(request.until))),
      }
      let replayed = 0
      let after: { at: string; pk: string } | null = null
      do {
        const page: Awaited<ReturnType<typeof replayDeliveries>> = await replayDeliveries(database, webhook.pk, {
          ...range,
          after,
          state: request.state ?? null,
          giveUpMs,
          limit: replayedAtOnce,
        })
        replayed += page.replayed
        after = page.last
        onDue()
      } while (after)
      return { replayed }
    },
  }
  return { api, admitCallback }
}
export type Webhooks = ReturnType<typeof createWebhooks>['api']

function secretOf(given: string | undefined): string {
  if (given === undefined) return newSecret()
  if (isSecret(given)) return given
  const issue = 'must be whsec_ and 24 to 64 bytes in base64; leave it out to be given one'
  throw new BatonError('invalid_request', `secret ${issue}`, { fields: [{ path: 'secret', issue }] })
}

/** As LIKE takes it: an underscore of a name is no wildcard. */
function patternOf(filter: string): string {
  return filter.replace(/_/g, '\\_').replace('*', '%')
}

function viewOf(row: WebhookRow): WebhookView {
  const overlaps = row.previous_until !== null && row.previous_until.getTime() > Date.now()
  return {
    id: row.id,
    kind: row.kind,
    url: row.url === null ? null : withoutSecrets(row.url),
    events: row.events,
    description: row.description,
    enabled: row.enabled,
    previous_secret_until: overlaps && row.previous_until ? row.previous_until.toISOString() : null,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  }
}

function withoutSecrets(text: string): string {
  const url = new URL(text)
  for (const name of new Set(url.searchParams.keys())) url.searchParams.set(name, '***')
  url.hash = ''
  return url.href
}

function deliveryOf(row: DeliveryRow, webhookId: string): DeliveryView {
  return {
    id: row.pk,
    webhook_id: webhookId,
    message_id: `${webhookId}_${row.event_id.replace('-', '_')}`,
    event_id: row.event_id,
    event: row.name,
    at: row.at.toISOString(),
    task_id: row.task_id,
    state: row.state,
    attempts: row.attempts,
    next_at: row.next_at?.toISOString() ?? null,
    ended_at: row.ended_at?.toISOString() ?? null,
    tries: row.tries,
  }
}

function notFound(id: string): BatonError {
  return new BatonError('webhook_not_found', `there is no webhook ${id}`)
}
