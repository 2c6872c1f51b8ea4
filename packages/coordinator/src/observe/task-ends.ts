/**
 * How long tasks took: read some time after they ended, many at once, so that nothing waits for it. What a crash or an
 * outage loses is not counted.
 */
import { type Logger, type Service, Ticker } from '@baton/shared/node'
import type { Queryable } from '../store/database.js'
import { type EndedTask, readTaskEnds } from '../store/standing.js'

const everyMs = 1_000
const perRead = 2_000
/** More than these at once are not counted (M1). */
const maxWaiting = 100_000

interface TaskEndsOptions {
  readonly database: Queryable
  readonly log: Logger
  readonly onEnd: (task: EndedTask) => void
}

export class TaskEnds implements Service {
  readonly name = 'task-ends'
  private readonly options: TaskEndsOptions
  private readonly ticker: Ticker
  private waiting: string[] = []

  constructor(options: TaskEndsOptions) {
    this.options = options
    this.ticker = new Ticker({ name: this.name, everyMs, log: options.log, run: () => this.read() })
  }

  start(): Promise<void> {
    return this.ticker.start()
  }

  stop(): Promise<void> {
    return this.ticker.stop()
  }

  ended(id: string): void {
    if (this.waiting.length < maxWaiting) this.waiting.push(id)
  }

  private async read(): Promise<boolean> {
    if (this.waiting.length === 0) return false
    const ids = this.waiting.splice(0, perRead)
    for (const task of await readTaskEnds(this.options.database, ids)) this.options.onEnd(task)
    return this.waiting.length > 0
  }
}
