/**
 * Says in the log what became of tasks, and which attempts failed, by the names that people know; and tells how long
 * tasks took. The names are read some time afterwards, many at once, so that nothing waits for it. What a crash or an
 * outage loses here is still in the events.
 */
import { type Logger, type Service, Ticker } from '@baton/shared/node'
import type { Queryable } from '../store/database.js'
import { type EndedTask, readSubtaskNames, readTaskEnds } from '../store/standing.js'

export interface FailedAttempt {
  /** The subtask's internal id. */
  readonly id: string
  /** Where it is known. */
  readonly attempt?: number
  readonly code: string
  readonly reason?: string
}

interface ChronicleOptions {
  readonly database: Queryable
  readonly log: Logger
  readonly onEnd: (task: EndedTask) => void
}

const everyMs = 1_000
const perRead = 2_000
/** More than these at once are left out (M1). */
const maxWaiting = 100_000
/** Of failures so many are told one by one in each reading, the others by their number. */
const toldFailures = 100

export class Chronicle implements Service {
  readonly name = 'chronicle'
  private readonly options: ChronicleOptions
  private readonly ticker: Ticker
  private ended: string[] = []
  private failed: FailedAttempt[] = []
  private untold = 0

  constructor(options: ChronicleOptions) {
    this.options = options
    this.ticker = new Ticker({ name: this.name, everyMs, log: options.log, run: () => this.read() })
  }

  start(): Promise<void> {
    return this.ticker.start()
  }

  stop(): Promise<void> {
    return this.ticker.stop()
  }

  taskEnded(id: string): void {
    if (this.ended.length < maxWaiting) this.ended.push(id)
  }

  attemptFailed(attempt: FailedAttempt): void {
    if (this.failed.length < toldFailures) this.failed.push(attempt)
    else this.untold++
  }

  private async read(): Promise<boolean> {
    if (this.failed.length > 0) await this.tellFailures()
    if (this.ended.length > 0) await this.tellEnds()
    return this.ended.length > 0
  }

  private async tellEnds(): Promise<void> {
    const { database, log, onEnd } = this.options
    for (const task of await readTaskEnds(database, this.ended.splice(0, perRead))) {
      onEnd(task)
      log.info({ task_id: task.task_id, status: task.status, seconds: task.seconds }, 'task ended')
    }
  }

  private async tellFailures(): Promise<void> {
    const { database, log } = this.options
    const failed = this.failed
    const untold = this.untold
    this.failed = []
    this.untold = 0
    const names = new Map((await readSubtaskNames(database, [...new Set(failed.map(({ id }) => id))])).map(row => [row.id, row]))
    for (const { id, ...rest } of failed) {
      const { task_id, subtask_id } = names.get(id) ?? {}
      log.warn({ task_id, subtask_id, ...rest }, 'an attempt failed')
    }
    if (untold > 0) log.warn({ attempts: untold }, 'further attempts failed')
  }
}
