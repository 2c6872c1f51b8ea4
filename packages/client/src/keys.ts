/** API keys: who may ask for what. */
import type { CreateKeyRequest, KeyList, KeyView, KeyWithSecret } from '@baton/shared'
import type { Http } from './http.js'

export interface Keys {
  /**
   * Makes a key. The answer holds it, this once. Never repeated by itself. Throws `state_conflict` when a key in force has the
   * name, or the coordinator asks for no keys.
   *
   * @example
   * const { id, secret } = await baton.keys.create({ name: 'ci', scope: 'submit' })
   */
  create(request: CreateKeyRequest): Promise<KeyWithSecret>
  /** One page, the oldest first; those in force, unless `revoked` asks for all. */
  list(page?: { readonly revoked?: boolean; readonly limit?: number; readonly cursor?: string }): Promise<KeyList>
  /** Every coordinator refuses it within seconds. A revoked one stays so. Throws `key_not_found`. */
  revoke(id: string): Promise<KeyView>
}

export function keysOf(http: Http): Keys {
  return {
    create: request => http.json({ method: 'POST', path: ['keys'], body: request, once: true }),
    list: ({ revoked, limit, cursor } = {}) => http.json({ method: 'GET', path: ['keys'], query: { revoked, limit, cursor } }),
    revoke: id => http.json({ method: 'DELETE', path: ['keys', id] }),
  }
}
