/**
 * Sessions for people who look at `/admin/queues` in a browser, which cannot send a key by itself: a cookie that is made
 * from the key, and that any coordinator that knows of the key can check.
 *
 * Invariants: S1 the cookie is good for the pages of the queues alone, for some hours, and for no more than its key is. S2 it
 * does not hold the key, and no cookie outlives its key.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Clock } from '@baton/shared/node'

interface Holder {
  readonly id: string
  /** Of the key. */
  readonly hash: string
}

const cookieName = 'baton_session'
const lifeSeconds = 8 * 3_600
/** A browser sends one; whoever sends hundreds wants hundreds of them checked. */
const maxTried = 4

export class AdminSessions {
  private readonly clock: Clock

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** The value of a `Set-Cookie` for whoever has shown the key. */
  begin(holder: Holder, { secure }: { secure: boolean }): string {
    const until = Math.floor(this.clock.now().getTime() / 1_000) + lifeSeconds
    return `${cookieName}=${until}.${holder.id}.${sign(holder, until)}; Path=/admin; Max-Age=${lifeSeconds}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`
  }

  /** The value of a `Set-Cookie` that ends a session. */
  end(): string {
    return `${cookieName}=; Path=/admin; Max-Age=0; HttpOnly; SameSite=Strict`
  }

  /** Whose key a valid cookie among these stands for. */
  async holderOf<H extends Holder>(cookies: string, find: (id: string) => Promise<H | undefined>): Promise<H | undefined> {
    const shown = cookies.split(';').flatMap(cookie => {
      const [, until, id, signature] = /^\s*baton_session=(\d{1,12})\.([a-z0-9-]{1,64})\.([\w-]{43})\s*$/.exec(cookie) ?? []
      return until === undefined || id === undefined || signature === undefined ? [] : [{ until: Number(until), id, signature }]
    })
    for (const { until, id, signature } of shown.slice(0, maxTried)) {
      if (until * 1_000 <= this.clock.now().getTime()) continue
      const holder = await find(id)
      if (holder && timingSafeEqual(Buffer.from(signature), Buffer.from(sign(holder, until)))) return holder
    }
    return undefined
  }
}

function sign({ id, hash }: Holder, until: number): string {
  return createHmac('sha256', Buffer.from(hash, 'hex')).update(`admin session of ${id} until ${until}`).digest('base64url')
}
