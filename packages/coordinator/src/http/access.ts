/**
 * Who may ask, decided in this one place.
 *
 * A1  Without a key the server listens on loopback only, and answers only to loopback names in `Host`, and to its own
 *     pages in `Origin`: a page of another site must reach it neither directly nor through a name that it re-points here.
 * A2  With a key every path needs it, but those marked `open`, which show no data.
 * A3  Keys are compared by hash in constant time. A key in a URL is refused, valid or not, and URLs are never logged.
 * A4  A cookie stands for the key on the pages of the queues, and nowhere else (admin-sessions.ts).
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { BatonError } from '@baton/shared'
import type { Clock } from '@baton/shared/node'
import type { FastifyRequest } from 'fastify'
import type { Caller } from '../commands/api.js'
import { AdminSessions } from './admin-sessions.js'
import { BadKeys } from './bad-keys.js'
import { parametersOf } from './query.js'
import { isQueuesPage } from './queue-pages.js'

/** The tenant of whoever uses the one static key, or needs none. */
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

export interface AccessOptions {
  readonly apiKey: string | undefined
  readonly badKeysPerMinute: number
  readonly clock: Clock
}

/** Whether only this machine can reach a server that listens on `host`. */
export function isLoopback(host: string): boolean {
  return host === '::1' || loopbackName.test(host)
}

export class Access {
  private readonly keyHash: Buffer | undefined
  private readonly badKeys: BadKeys
  /** Cookies in place of the key; none where no key is needed. */
  readonly sessions: AdminSessions | undefined

  constructor(options: AccessOptions) {
    this.keyHash = options.apiKey === undefined ? undefined : sha256(options.apiKey)
    this.sessions = this.keyHash && new AdminSessions(this.keyHash, options.clock)
    this.badKeys = new BadKeys(options.badKeysPerMinute, options.clock)
  }

  get needsKey(): boolean {
    return this.keyHash !== undefined
  }

  /** Lets a request in, as somebody; or throws `unauthorized`, `forbidden`, `too_many_requests`. */
  admit(request: FastifyRequest, open: boolean): Caller {
    if (request.headers.host === undefined) throw new BatonError('invalid_request', 'the header Host is missing')
    if (this.keyHash === undefined) {
      refuseStrangers(request) // A1
      return { tenantId: defaultTenantId, actor: 'local' }
    }
    this.refuseKeyInUrl(request.raw.url ?? '', this.keyHash) // A3
    if (!open && !this.hasSession(request)) this.checkKey(request, this.keyHash) // A2
    return { tenantId: defaultTenantId, actor: 'api_key' }
  }

  /** A4 */
  private hasSession({ headers, raw }: FastifyRequest): boolean {
    return headers.authorization === undefined && isQueuesPage(raw.url ?? '') && this.sessions?.isValid(headers.cookie) === true
  }

  private checkKey(request: FastifyRequest, keyHash: Buffer): void {
    const shown = bearer.exec(request.headers.authorization ?? '')?.[1]
    if (shown === undefined) throw new BatonError('unauthorized', 'show the API key in the header Authorization: Bearer <key>')
    if (timingSafeEqual(sha256(shown), keyHash)) return
    const waitSeconds = this.badKeys.count(request.ip)
    if (waitSeconds !== undefined)
      throw new BatonError(
        'too_many_requests',
        `too many wrong API keys came from this address; try again in ${waitSeconds} s with the right one`,
        { extra: { retry_after_seconds: waitSeconds } },
      )
    throw new BatonError('unauthorized', 'the API key is not valid; the coordinator was given its key as BATON_API_KEY')
  }

  private refuseKeyInUrl(url: string, keyHash: Buffer): void {
    for (const [name, value] of parametersOf(url))
      if (keyParameters.has(name.toLowerCase()) || [name, value].some(text => timingSafeEqual(sha256(text), keyHash)))
        throw new BatonError(
          'unauthorized',
          'keys are not taken from URLs, which end up in logs and histories: send the header Authorization: Bearer <key>, and replace a key that was sent in a URL',
        )
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

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
