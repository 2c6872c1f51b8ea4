/**
 * Holds the queues to what Postgres says: whatever is queued there and has no job is rung again, with the next dispatch
 * number (I11). Finds what a crash between claim and ring left; and, told by a key that is missing, at once everything
 * that Redis lost when it was emptied.
 *
 * Invariants: R1 nothing is queued without a job for longer than a period: two looks in each, and what was queued less
 * than two fifths of one ago counts as on its way. R2 what has been looked at once is looked at once in a period, since
 * each row costs Redis a call: every other look is at what was queued lately only. R3 jobs that this coordinator keeps
 * back, because the queue took none, are not rung a second time as soon as it does. R4 that the queues were emptied is told
 * to one coordinator once, and kept in mind until everything was looked at.
 */
import { jobId } from '@baton/shared'
import { type Logger, rarely, type Service, type TaskQueue, Ticker } from '@baton/shared/node'
import type { Database } from '../store/database.js'
import { readStaleQueued, ringAgain } from '../store/dispatch.js'
import type { QueuedRow } from '../store/fragments.js'

interface ReconcilerOptions {
  readonly database: Database
  readonly queue: TaskQueue
  readonly ring: (rows: readonly QueuedRow[]) => Promise<void>
  /** Whether jobs are kept back until the queue takes them. */
  readonly holding: () => boolean
  /** The period. */
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
/** R1: with the half between two looks, this leaves a tenth of a period for a look itself. */
const graceShare = 0.4
/** Kept jobs come within a tick or two; those that do not come for this many keep nobody else's from being rung. */
const patience = 4
/** How long the same outage is not told again. */
const sayAgainMs = 60_000

export class Reconciler implements Service {
  readonly name = 'reconciler'
  private readonly options: ReconcilerOptions
  private readonly ticker: Ticker
  private readonly tickMs: number
  /** When the last look began that came to its end, and the last one at everything. */
  private looked = Number.NEGATIVE_INFINITY
  private lookedAtAll = Number.NEGATIVE_INFINITY
  /** R4 */
  private emptied = false
  /** For how many ticks the queue has been there, and jobs were kept back all the same. */
  private held = 0
  private readonly onAway = rarely(sayAgainMs, (error: unknown) =>
    this.options.log.warn(
      { reason: error instanceof Error ? error.message : String(error) },
      'the queues cannot be looked at; jobs that are missing are rung again later',
    ),
  )

  constructor(options: ReconcilerOptions) {
    this.options = options
    this.tickMs = Math.min(epochEveryMs, options.everyMs / 2)
    this.ticker = new Ticker({ name: 'reconciler', everyMs: this.tickMs, log: options.log, run: () => this.runOrWait() })
  }

  async start(): Promise<void> {
    await this.ticker.start()
  }

  async stop(): Promise<void> {
    await this.ticker.stop()
  }

  /** A queue that is away, or refuses, is no failure of this loop. */
  private async runOrWait(): Promise<void> {
    try {
      await this.run()
    } catch (error) {
      if (
        await this.options.queue.check().then(
          () => true,
          () => false,
        )
      )
        throw error
      this.onAway(error)
    }
  }

  private async run(): Promise<void> {
    const { queue, everyMs, claimLimitMs, holding, log } = this.options
    const now = performance.now()
    const first = this.looked === Number.NEGATIVE_INFINITY
    if (await queue.claimEpoch()) this.emptied = true // rejects while the queue is away
    this.held = holding() ? this.held + 1 : 0
    if (this.held > 0 && this.held <= patience) return // R3
    const { emptied } = this
    // A tick that comes a little early is not put off to the next one.
    const due = (since: number, ms: number) => now - since > ms - this.tickMs / 2
    const all = emptied || due(this.lookedAtAll, everyMs)
    if (!all && !due(this.looked, everyMs / 2)) return
    if (emptied && !first) log.warn('the queues were emptied; every job is rung again')
    // At start, and after that, nothing is known of the jobs; otherwise what was queued just now is on its way.
    const olderThanMs = first || emptied ? 0 : Math.min(graceShare * everyMs, claimLimitMs)
    // R2, and half a period more, for what committed late.
    const youngerThanMs = all ? null : olderThanMs + (now - this.looked) + everyMs / 2
    await this.ringMissing(olderThanMs, youngerThanMs)
    this.looked = now
    if (all) this.lookedAtAll = now
    if (emptied) this.emptied = false
  }

  private async ringMissing(olderThanMs: number, youngerThanMs: number | null): Promise<void> {
    const { database, queue, ring, claimLimitMs, log } = this.options
    for (let after = '0'; ; ) {
      const rows = await readStaleQueued(database, { olderThanMs, youngerThanMs }, { after, limit: pageSize })
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
        const rung = await ringAgain(database, lost) // fewer, where some went on meanwhile
        if (rung.length > 0) {
          this.options.onMissing?.(rung.length)
          log.info({ jobs: rung.length }, 'jobs that were missing are rung again')
          await ring(rung)
        }
      }
      if (rows.length < pageSize) return
    }
  }
}
