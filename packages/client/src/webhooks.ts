/** Webhooks: having events sent to a URL, and seeing what became of that. */
import type {
  CreateWebhookRequest,
  DeliveryList,
  DeliveryState,
  DeliveryView,
  ReplayWebhookRequest,
  RotateWebhookRequest,
  UpdateWebhookRequest,
  WebhookList,
  WebhookView,
  WebhookWithSecret,
} from '@baton/shared'
import type { Http } from './http.js'

export interface Webhooks {
  /** One page. */
  list(page?: { readonly limit?: number; readonly cursor?: string }): Promise<WebhookList>
  /** Throws `webhook_not_found`. */
  get(id: string): Promise<WebhookView>
  /**
   * Registers a URL. The answer holds the secret, this once. Never repeated by itself. Throws `invalid_request`, also for
   * addresses that are not public.
   *
   * @example
   * const { secret } = await baton.webhooks.create({ url: 'https://example.com/baton', events: ['task.*', 'alert.*'] })
   */
  create(request: CreateWebhookRequest): Promise<WebhookWithSecret>
  /** What is left out stays. Throws `webhook_not_found`, `invalid_request`. */
  update(id: string, request: UpdateWebhookRequest): Promise<WebhookView>
  /** A new secret, in the answer this once; the one before it signs beside it for a while. Never repeated by itself. */
  rotate(id: string, request?: RotateWebhookRequest): Promise<WebhookWithSecret>
  /** With its deliveries. Never repeated by itself. Throws `webhook_not_found`. */
  delete(id: string): Promise<{ deleted_id: string }>
  /** One page, the newest first. */
  deliveries(
    id: string,
    page?: { readonly state?: DeliveryState; readonly limit?: number; readonly cursor?: string },
  ): Promise<DeliveryList>
  /** Sends one event again. Throws `delivery_not_found`. */
  replayDelivery(id: string, deliveryId: string): Promise<DeliveryView>
  /** Sends what the log has of events since a time again. */
  replay(id: string, request: ReplayWebhookRequest): Promise<{ replayed: number }>
}

export function webhooksOf(http: Http): Webhooks {
  return {
    list: ({ limit, cursor } = {}) => http.json({ method: 'GET', path: ['webhooks'], query: { limit, cursor } }),
    get: id => http.json({ method: 'GET', path: ['webhooks', id] }),
    create: request => http.json({ method: 'POST', path: ['webhooks'], body: request, once: true }),
    update: (id, request) => http.json({ method: 'PATCH', path: ['webhooks', id], body: request }),
    rotate: (id, request = {}) => http.json({ method: 'POST', path: ['webhooks', id, 'rotate'], body: request, once: true }),
    delete: id => http.json({ method: 'DELETE', path: ['webhooks', id], once: true }),
    deliveries: (id, { state, limit, cursor } = {}) =>
      http.json({ method: 'GET', path: ['webhooks', id, 'deliveries'], query: { state, limit, cursor } }),
    replayDelivery: (id, deliveryId) => http.json({ method: 'POST', path: ['webhooks', id, 'deliveries', deliveryId, 'replay'] }),
    replay: (id, request) => http.json({ method: 'POST', path: ['webhooks', id, 'replay'], body: request }),
  }
}
