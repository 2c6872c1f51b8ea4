/**
 * Deletes tasks some time after they ended, in small pieces that leave room for the work of the day: after each it rests for
 * as long as the piece took.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type Logger, type Service, Ticker } from '@baton/shared/node'
import type { Database } from '../store/database.js'
import { buryTasks, forgetOldEvents, purgePiece } from '../store/retention.js'

interface RetentionOptions {
  readonly database: Database
  /** How long a task is kept after it ended. */
  readonly keptMs: number
  /** How long webhooks are told of an event at most: events of no task are kept for that long at least. */
  readonly toldMs: number
  /** Between two looks when there was nothing left to do. */
  readonly everyMs: number
  readonly log: Logger
}

const tasksPerRun = 500
const rowsPerPiece = 1_000

export class Retention implements Service {
  readonly name = 'retention'
  private readonly options: RetentionOptions
  private readonly ticker: Ticker

  constructor(options: RetentionOptions) {
    this.options = options
    this.ticker = new Ticker({ name: 'retention', everyMs: options.everyMs, log: options.log, run: signal => this.run(signal) })
  }

  start(): Promise<void> {
    return this.ticker.start()
  }

  stop(): Promise<void> {
    return this.ticker.stop()
  }

  /** True: there may be more. */
  private async run(signal: AbortSignal): Promise<boolean> {
    const begun = performance.now()
    const more = await this.piece()
    if (more) await delay(performance.now() - begun, undefined, { signal }).catch(() => undefined)
    return more
  }

  private async piece(): Promise<boolean> {
    const { database, keptMs, toldMs, log } = this.options
    if (await purgePiece(database, rowsPerPiece)) return true
    const buried = await buryTasks(database, keptMs, tasksPerRun)
    if (buried > 0) log.info({ tasks: buried }, 'tasks that ended long ago were deleted')
    const forgotten = await forgetOldEvents(database, Math.max(keptMs, toldMs), rowsPerPiece)
    return buried > 0 || forgotten === rowsPerPiece
  }
}
