/** How long whoever follows something puts up with nobody answering. */
import { BatonError, backoffMs } from '@baton/shared'
import { type Http, passes } from './http.js'
import { pause } from './pause.js'

export interface OutageOptions {
  readonly signal?: AbortSignal
  /** How long an outage is outlasted before `unreachable` is thrown; default 60,000 ms. */
  readonly patienceMs?: number
}

/** Counts how long nobody has answered. */
export class Outage {
  private readonly http: Http
  private readonly options: OutageOptions
  private since: number | undefined
  private failures = 0
  private answered = false

  constructor(http: Http, options: OutageOptions) {
    this.http = http
    this.options = options
  }

  over(): void {
    this.answered = true
    this.since = undefined
    this.failures = 0
  }

  /** Waits for the next try, or throws the error when trying again is of no use. */
  async outlast(error: unknown, leftMs: number): Promise<void> {
    const { signal, patienceMs = 60_000 } = this.options
    if (signal?.aborted) throw signal.reason
    this.since ??= performance.now()
    const passing = passes(error) || (error instanceof BatonError && (error.code === 'internal' || error.code === 'too_many_requests'))
    // A coordinator that never answered is more likely a wrong URL than an outage.
    if (!passing || !this.answered || leftMs <= 0 || performance.now() - this.since >= patienceMs) throw error
    this.failures++
    await pause(Math.min(leftMs, backoffMs(this.http.retry, this.failures, Math.random())), signal)
  }
}
