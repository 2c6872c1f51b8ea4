/** How long whoever follows something puts up with nobody answering. */
import { BatonError, backoffMs } from '@baton/shared'
import { type Http, passes, retryAfterMs } from './http.js'
import { pause } from './pause.js'

export interface OutageOptions {
  readonly signal?: AbortSignal
  /** How long an outage is outlasted before `unreachable` is thrown; default 60,000 ms. */
  readonly patienceMs?: number
  /** Told once when the connection is lost: nobody answered, and neither did who was asked again. */
  readonly onOutage?: (error: unknown) => void
  /** Told once when somebody answers again after that. */
  readonly onRecovery?: () => void
}

/** A stream that breaks and is open again at once is no outage. */
const failuresOfOutage = 2

/** Counts how long nobody has answered. */
export class Outage {
  private readonly http: Http
  private readonly options: OutageOptions
  private since: number | undefined
  private failures = 0
  private hasAnswered = false

  constructor(http: Http, options: OutageOptions) {
    this.http = http
    this.options = options
  }

  /** Whether anybody has answered: from then on whoever follows repeats here, and not within a request. */
  get answered(): boolean {
    return this.hasAnswered
  }

  over(): void {
    this.hasAnswered = true
    if (this.failures >= failuresOfOutage) this.options.onRecovery?.()
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
    if (!passing || !this.hasAnswered || leftMs <= 0 || performance.now() - this.since >= patienceMs) throw error
    if (++this.failures === failuresOfOutage) this.options.onOutage?.(error)
    const restMs = Math.max(backoffMs(this.http.retry, this.failures, Math.random()), retryAfterMs(error))
    await pause(Math.min(leftMs, restMs), signal)
  }
}
