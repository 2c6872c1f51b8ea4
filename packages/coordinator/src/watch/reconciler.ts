/**
 * Holds the queues to what Postgres says: whatever is queued there and has no job is rung again, with the next dispatch
 * number (I11). Finds what a crash between claim and ring left; and, told by a key that is missing, at once everything
 * that Redis lost when it was emptied.
 */
import { jobId } from '@baton/shared'
import { type Logger, type Service, type TaskQueue, Ticker } from '@baton/shared/node'
import type { Database } from '../store/database.js'
import { readStaleQueued, ringAgain } from '../store/dispatch.js'
import type { QueuedRow } from '../store/fragments.js'

interface ReconcilerOptions {
  readonly database: Database
  readonly queue: TaskQueue
  readonly ring: (rows: readonly QueuedRow[]) => Promise<void>
  readonly everyMs: number
  /** How long a worker may take from fetching a job to a granted claim. */
  readonly claimLimitMs: number
  readonly log: Logger
  /** So many jobs were missing; for whoever counts. */
  readonly onMissing?: ((jobs: number) => void) | undefined
}

const pageSize = 500
/** How often it is asked whether Redis was emptied. */
const epochEveryMs = 500

export class Reconciler implements Service {
  readonly name = 'reconciler'
  private readonly options: ReconcilerOptions
  private readonly ticker: Ticker
  private nextRound = Number.NEGATIVE_INFINITY
  private first = true

  constructor(options: ReconcilerOptions) {
    this.options = options
    this.ticker = new Ticker({
      name: 'reconciler',
      everyMs: Math.min(epochEveryMs, options.everyMs),
      log: options.log,
      run: () => this.run(),
    })
  }

  async start(): Promise<void> {
    await this.ticker.start()
  }

  async stop(): Promise<void> {
    await this.ticker.stop()
  }

  private async run(): Promise<void> {
    const { queue, everyMs, claimLimitMs, log } = this.options
    const emptied = await queue.claimEpoch()
    if (!emptied && performance.now() < this.nextRound) return
    this.nextRound = performance.now() + everyMs
    if (emptied && !this.first) log.warn('the queues were emptied; every job is rung again')
    // At start, and after that, nothing is known of the jobs; otherwise what was queued just now is on its way.
    const olderThanMs = this.first || emptied ? 0 : Math.min(everyMs, claimLimitMs)
    this.first = false
    await this.ringMissing(olderThanMs)
  }

  private async ringMissing(olderThanMs: number): Promise<void> {
    const { database, queue, ring, claimLimitMs, log } = this.options
    for (let after = '0'; ; ) {
      const rows = await readStaleQueued(database, olderThanMs, { after, limit: pageSize })
      const last = rows[rows.length - 1]
      if (!last) return
      after = last.id
      const byJob = new Map(rows.map(row => [jobId(row.id, row.attempt, row.dispatch), row]))
      const missing = await queue.missing(
        [...byJob].map(([id, row]) => ({ queue: row.queue, id })),
        2 * claimLimitMs,
      )
      const lost = missing.flatMap(id => byJob.get(id) ?? [])
      if (lost.length > 0) {
        const rung = await ringAgain(database, lost)
        this.options.onMissing?.(rung.length)
        log.info({ jobs: rung.length }, 'jobs that were missing are rung again')
        await ring(rung)
      }
      if (rows.length < pageSize) return
    }
  }
}
