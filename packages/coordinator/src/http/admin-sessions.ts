/**
 * Sessions for people who look at `/admin/queues` in a browser, which cannot send a key by itself: a cookie that is made
 * from the key, and that any coordinator with the same key can check.
 *
 * Invariants: S1 the cookie is good for the pages of the queues alone, for some hours. S2 it does not hold the key, and no
 * cookie outlives its key.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Clock } from '@baton/shared/node'

const cookieName = 'baton_session'
const lifeSeconds = 8 * 3_600

export class AdminSessions {
  private readonly keyHash: Buffer
  private readonly clock: Clock

  constructor(keyHash: Buffer, clock: Clock) {
    this.keyHash = keyHash
    this.clock = clock
  }

  /** The value of a `Set-Cookie` for whoever has shown the key. */
  begin({ secure }: { secure: boolean }): string {
    const until = Math.floor(this.clock.now().getTime() / 1_000) + lifeSeconds
    return `${cookieName}=${until}.${this.sign(until)}; Path=/admin; Max-Age=${lifeSeconds}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`
  }

  /** The value of a `Set-Cookie` that ends a session. */
  end(): string {
    return `${cookieName}=; Path=/admin; Max-Age=0; HttpOnly; SameSite=Strict`
  }

  isValid(cookies: string | undefined): boolean {
    for (const cookie of cookies?.split(';') ?? []) {
      const [, until, signature = ''] = /^\s*baton_session=(\d{1,12})\.([\w-]{43})\s*$/.exec(cookie) ?? []
      if (until === undefined || Number(until) * 1_000 <= this.clock.now().getTime()) continue
      if (timingSafeEqual(Buffer.from(signature), Buffer.from(this.sign(Number(until))))) return true
    }
    return false
  }

  private sign(until: number): string {
    return createHmac('sha256', this.keyHash).update(`admin session until ${until}`).digest('base64url')
  }
}
