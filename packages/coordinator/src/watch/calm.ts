/**
 * Whether silence of workers may be believed. No deadline that depends on workers fires while this coordinator could not
 * have heard them: at its start, after its own loop stalled, after the bus or the database was away, after the database's
 * clock jumped. Then a whole lease has to pass first.
 */
import type { Clock } from '@baton/shared/node'

interface CalmOptions {
  readonly clock: Clock
  readonly leaseMs: number
  readonly heartbeatMs: number
  /** Whether silence counts from the start on: workers live in this process, so those before it are gone. */
  readonly fromStart?: boolean
}

export class Calm {
  private readonly options: CalmOptions
  private troubleAt: number
  private lastLook: number
  /** The database's time minus the monotonic one, at the last comparison. */
  private offsetMs: number | undefined

  constructor(options: CalmOptions) {
    this.options = options
    this.lastLook = options.clock.monotonicMs()
    this.troubleAt = options.fromStart ? Number.NEGATIVE_INFINITY : this.lastLook
  }

  /** Something kept this coordinator from hearing workers. */
  disturb(): void {
    this.troubleAt = this.options.clock.monotonicMs()
  }

  /** To be called at every look, `everyMs` apart: a longer gap is a stall. */
  look(everyMs: number): boolean {
    const { clock, leaseMs, heartbeatMs } = this.options
    const now = clock.monotonicMs()
    if (now - this.lastLook > everyMs + heartbeatMs) this.troubleAt = now
    this.lastLook = now
    return now - this.troubleAt >= leaseMs
  }

  get isCalm(): boolean {
    return this.options.clock.monotonicMs() - this.troubleAt >= this.options.leaseMs
  }

  /** The database's time as it was just read: one that did not pass as ours did has jumped. */
  compare(databaseMs: number): void {
    const offsetMs = databaseMs - this.options.clock.monotonicMs()
    if (this.offsetMs !== undefined && Math.abs(offsetMs - this.offsetMs) > this.options.heartbeatMs) this.disturb()
    this.offsetMs = offsetMs
  }
}
