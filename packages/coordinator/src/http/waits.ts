/** Requests that wait for a change (`?wait`): counted, and let go when the client leaves or the server stops. */
import type { ServerResponse } from 'node:http'
import { BatonError } from '@baton/shared'

export class Waits {
  private readonly open = new Set<AbortController>()
  private readonly limit: number
  private stopped = false

  constructor(limit: number) {
    this.limit = limit
  }

  /** Runs `wait` with a signal that fires when there is nobody left to wait for; undefined once stopped. Throws `too_many_requests`. */
  async hold<T>(response: ServerResponse, wait: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    if (this.stopped) return undefined
    if (this.open.size >= this.limit)
      throw new BatonError('too_many_requests', `${this.limit} requests are waiting already; ask without ?wait, or again in a second`, {
        extra: { retry_after_seconds: 1 },
      })
    const controller = new AbortController()
    const leave = () => controller.abort()
    this.open.add(controller)
    response.once('close', leave)
    try {
      return await wait(controller.signal)
    } finally {
      response.off('close', leave)
      this.open.delete(controller)
    }
  }

  /** Lets all go; they answer with what is true now. */
  stop(): void {
    this.stopped = true
    for (const controller of this.open) controller.abort()
  }
}
