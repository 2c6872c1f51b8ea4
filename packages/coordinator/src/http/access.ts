/**
 * Who may ask, and for what, decided in this one place; what each route needs stands in scopes.ts.
 *
 * A1  Without a key the server listens on loopback only, and answers only to loopback names in `Host`, and to its own
 *     pages in `Origin`: a page of another site must reach it neither directly nor through a name that it re-points here.
 * A2  With a key every path needs one, but those that are open, which show no data. Whoever shows none does not learn which
 *     paths exist.
 * A3  Keys are compared by hash. A key in a URL is refused, valid or not, and URLs are never logged.
 * A4  A cookie stands for its key on the pages of the queues, and nowhere else (admin-sessions.ts).
 * A5  The key that the coordinator was started with may do everything. Others may do what their scope allows.
 */
import { createHash } from 'node:crypto'
import { allows, BatonError, keyPattern, type Access as Needed } from '@baton/shared'
import type { Clock } from '@baton/shared/node'
import type { FastifyRequest } from 'fastify'
import type { Caller } from '../commands/api.js'
import type { KeyHolder, KeyRing } from '../commands/key-ring.js'
import { AdminSessions } from './admin-sessions.js'
import { BadKeys } from './bad-keys.js'
import { parametersOf } from './query.js'
import { isQueuesPage } from './queue-pages.js'

/** The tenant of whoever uses the key of the environment, or needs none. */
const defaultTenantId = 1

/** Parameters in which people send keys. */
const keyParameters: ReadonlySet<string> = new Set([
  'api_key',
  'apikey',
  'api-key',
  'access_token',
  'auth',
  'authorization',
  'key',
  'password',
  'secret',
  'token',
  'x-api-key',
])
const bearer = /^Bearer +(\S+) *$/i
const loopbackName = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i

/** The keys that were made, beside the one of the environment. */
export type MadeKeys = Pick<KeyRing, 'withHash' | 'withId'>

export interface AccessOptions {
  readonly apiKey: string | undefined
  /** Default: none was made. */
  readonly keys?: MadeKeys | undefined
  readonly badKeysPerMinute: number
  readonly clock: Clock
}

/** Whether only this machine can reach a server that listens on `host`. */
export function isLoopback(host: string): boolean {
  return host === '::1' || loopbackName.test(host)
}

export class Access {
  /** The key of the environment; undefined: no key is needed. */
  private readonly own: KeyHolder | undefined
  private readonly keys: MadeKeys | undefined
  private readonly badKeys: BadKeys
  private readonly sessions: AdminSessions

  constructor(options: AccessOptions) {
    const { apiKey } = options
    this.own =
      apiKey === undefined ? undefined : { id: 'env', name: 'api_key', tenantId: defaultTenantId, scope: 'admin', hash: sha256(apiKey) } // A5
    this.keys = options.keys
    this.sessions = new AdminSessions(options.clock)
    this.badKeys = new BadKeys(options.badKeysPerMinute, options.clock)
  }

  get needsKey(): boolean {
    return this.own !== undefined
  }

  /**
   * Lets a request in, as somebody; or throws `unauthorized`, `forbidden`, `too_many_requests`. Undefined where there is no
   * such path: whoever shows a key may learn that.
   */
  async admit(request: FastifyRequest, needed: Needed | undefined): Promise<Caller> {
    if (request.headers.host === undefined) throw new BatonError('invalid_request', 'the header Host is missing')
    if (!this.own) {
      refuseStrangers(request) // A1
      return { tenantId: defaultTenantId, actor: 'local' }
    }
    this.refuseKeyInUrl(request.raw.url ?? '') // A3
    if (needed === 'open') return { tenantId: defaultTenantId, actor: 'nobody' } // A2
    const holder = (await this.bySession(request)) ?? (await this.byKey(request))
    if (needed && !allows(holder.scope, needed))
      throw new BatonError(
        'forbidden',
        `the key ${holder.name} has the scope ${holder.scope}, and this needs ${needed.level}; \`baton keys create NAME --scope ${needed.level}\` makes one that may`,
      )
    return { tenantId: holder.tenantId, actor: holder.name, keyId: holder.id }
  }

  /** Whether a request that was let in would still be: its key is in force. */
  async isInForce({ keyId }: Caller): Promise<boolean> {
    return keyId === undefined || (await this.withId(keyId)) !== undefined
  }

  /** The value of a `Set-Cookie` that stands for the caller's key; undefined where none is needed. */
  async beginSession({ keyId }: Caller, how: { secure: boolean }): Promise<string | undefined> {
    const holder = keyId === undefined ? undefined : await this.withId(keyId)
    return holder && this.sessions.begin(holder, how)
  }

  /** The value of a `Set-Cookie` that ends a session. */
  endSession(): string | undefined {
    return this.own && this.sessions.end()
  }

  /** A4 */
  private async bySession({ headers, raw }: FastifyRequest): Promise<KeyHolder | undefined> {
    if (headers.authorization !== undefined || headers.cookie === undefined || !isQueuesPage(raw.url ?? '')) return undefined
    return this.sessions.holderOf(headers.cookie, id => this.withId(id))
  }

  private async byKey(request: FastifyRequest): Promise<KeyHolder> {
    const shown = bearer.exec(request.headers.authorization ?? '')?.[1]
    if (shown === undefined) throw new BatonError('unauthorized', 'show the API key in the header Authorization: Bearer <key>')
    const hash = sha256(shown)
    const holder = hash === this.own?.hash ? this.own : keyPattern.test(shown) ? await this.keys?.withHash(hash) : undefined
    if (holder) return holder
    const waitSeconds = this.badKeys.count(request.ip)
    if (waitSeconds !== undefined)
      throw new BatonError(
        'too_many_requests',
        `too many wrong API keys came from this address; try again in ${waitSeconds} s with the right one`,
        { extra: { retry_after_seconds: waitSeconds } },
      )
    throw new BatonError(
      'unauthorized',
      'the API key is not valid, or was revoked; it is one that `baton keys create` made, or the BATON_API_KEY of the coordinator',
    )
  }

  private async withId(id: string): Promise<KeyHolder | undefined> {
    return id === this.own?.id ? this.own : this.keys?.withId(id)
  }

  private refuseKeyInUrl(url: string): void {
    const path = (url.split('?', 1)[0] ?? '').split('/')
    const shown =
      path.some(part => part.length >= 16 && this.isKey(part)) ||
      [...parametersOf(url)].some(([name, value]) => keyParameters.has(name.toLowerCase()) || this.isKey(name) || this.isKey(value))
    if (shown)
      throw new BatonError(
        'unauthorized',
        'keys are not taken from URLs, which end up in logs and histories: send the header Authorization: Bearer <key>, and replace a key that was sent in a URL',
      )
  }

  /** What looks like a key is one, whether it is in force or not. */
  private isKey(text: string): boolean {
    return keyPattern.test(text) || sha256(text) === this.own?.hash
  }
}

function refuseStrangers(request: FastifyRequest): void {
  const { host = '', origin } = request.headers
  if (!loopbackName.test(host))
    throw new BatonError(
      'forbidden',
      'without an API key Baton answers only to the names localhost, 127.0.0.1 and [::1]; set BATON_API_KEY to reach it under another name',
    )
  if (origin !== undefined && origin.toLowerCase() !== `http://${host.toLowerCase()}`)
    throw new BatonError(
      'forbidden',
      'without an API key Baton takes no requests from pages of other origins; set BATON_API_KEY and send it',
    )
}

/** Whoever times a comparison of hashes learns nothing of the key: what he sends is hashed, too. */
function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
