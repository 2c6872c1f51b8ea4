/**
 * Watches what is late: leases that ran out, attempts over their SLA, workers that fell silent. Every sweep skips what
 * another coordinator holds, and every transition is guarded, so that any number of watchers may run.
 */
import { protocolVersion, type Subjects } from '@baton/shared'
import { type Bus, type Clock, type Logger, type Service, Ticker } from '@baton/shared/node'
import { sweepChunks } from '../store/chunks.js'
import type { Database } from '../store/database.js'
import { type BackoffLimits, expireAttempts, type Swept } from '../store/fail.js'
import type { EffectsRow } from '../store/fragments.js'
import type { Room } from '../store/room.js'
import { forgetWorkers, loseWorkers } from '../store/workers.js'
import { Calm } from './calm.js'

interface WatcherOptions {
  readonly database: Database
  readonly bus: Bus
  readonly subjects: Subjects
  readonly clock: Clock
  readonly leaseMs: number
  readonly heartbeatMs: number
  readonly backoff: BackoffLimits
  readonly room: () => Room
  readonly log: Logger
  readonly after: { apply(effects: EffectsRow): Promise<void>; ready(): void }
  /** Workers were lost. */
  readonly onFleetChange: () => void
}

const sweepLimit = 500
const housekeepingMs = 60_000

export class Watcher implements Service {
  readonly name = 'watcher'
  private readonly options: WatcherOptions
  private readonly everyMs: number
  private readonly ticker: Ticker
  private readonly calm: Calm
  private stopListening: () => void = () => undefined
  private lastHousekeeping = Number.NEGATIVE_INFINITY

  constructor(options: WatcherOptions) {
    this.options = options
    this.everyMs = Math.max(50, Math.min(1_000, options.leaseMs / 6))
    this.calm = new Calm(options)
    this.ticker = new Ticker({ name: 'watcher', everyMs: this.everyMs, log: options.log, run: () => this.run() })
  }

  async start(): Promise<void> {
    this.stopListening = this.options.bus.onConnection(() => this.calm.disturb())
    await this.ticker.start()
  }

  async stop(): Promise<void> {
    this.stopListening()
    await this.ticker.stop()
  }

  /** Silence may not be believed for a lease. */
  disturb(): void {
    this.calm.disturb()
  }

  private async run(): Promise<boolean> {
    const { database, log } = this.options
    if (!this.options.bus.connected) this.calm.disturb()
    const calm = this.calm.look(this.everyMs)
    try {
      const late = await this.sweep('late')
      if (!calm) return late
      const lost = await this.sweep('lost')
      const gone = await loseWorkers(database, this.options.leaseMs)
      for (const id of gone) log.warn({ worker_id: id }, 'a worker stopped reporting')
      if (gone.length > 0) this.options.onFleetChange()
      await this.housekeeping()
      return late || lost
    } catch (error) {
      this.calm.disturb()
      throw error
    }
  }

  /** Ends what is due; answers whether there may be more. */
  private async sweep(which: 'late' | 'lost'): Promise<boolean> {
    const { database, room, backoff, after, log } = this.options
    const swept = await expireAttempts(database, which, sweepLimit, room(), backoff)
    if (swept.ended.length === 0) return false
    log.warn(
      { attempts: swept.ended.length, workers: [...new Set(swept.ended.map(e => e.worker_id))] },
      which === 'late' ? 'attempts exceeded their SLA' : 'attempts were lost with their workers',
    )
    await after.apply(swept)
    after.ready()
    this.tellWorkers(swept)
    return swept.ended.length === sweepLimit
  }

  /** A word only makes it faster: the next heartbeat says the same. */
  private tellWorkers({ ended }: Swept): void {
    const { bus, subjects } = this.options
    for (const workerId of new Set(ended.map(e => e.worker_id))) {
      const claims = ended.filter(e => e.worker_id === workerId).map(e => e.claim_id)
      bus.publish(subjects.worker(workerId), JSON.stringify({ v: protocolVersion, type: 'abort', claim_ids: claims }))
    }
  }

  private async housekeeping(): Promise<void> {
    const now = this.options.clock.monotonicMs()
    if (now - this.lastHousekeeping < housekeepingMs) return
    this.lastHousekeeping = now
    await sweepChunks(this.options.database)
    await forgetWorkers(this.options.database)
  }
}
