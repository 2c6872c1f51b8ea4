/**
 * Starts tasks that wait until their orchestrator may run one more. Nothing of this is on the way of other tasks: while
 * none waits, it is one look every two seconds.
 */
import { type Logger, type Service, Ticker } from '@baton/shared/node'
import { startWaiting, tasksWait } from '../store/admission.js'
import type { Database } from '../store/database.js'

interface StarterOptions {
  readonly database: Database
  readonly log: Logger
  /** Whether a live worker serves a route. */
  readonly resolves: (routeId: number) => boolean
  /** These tasks were started. */
  readonly onStarted: (taskPks: readonly string[]) => void
}

const everyMs = 2_000
/** Tasks that one transaction starts. */
const perRun = 100

export class Starter implements Service {
  readonly name = 'starter'
  private readonly options: StarterOptions
  private readonly ticker: Ticker
  private waiting = false
  private running: Promise<boolean> | undefined
  private next: Promise<boolean> | undefined

  constructor(options: StarterOptions) {
    this.options = options
    this.ticker = new Ticker({ name: 'starter', everyMs, log: options.log, run: () => this.look() })
  }

  start(): Promise<void> {
    return this.ticker.start()
  }

  stop(): Promise<void> {
    return this.ticker.stop()
  }

  /** A task ended, or paused, or limits changed: there may be room. */
  roomMade(): void {
    if (this.waiting) this.ticker.wake()
  }

  /** Looks at limits that changed, whether or not anything was known to wait. */
  wake(): void {
    this.ticker.wake()
  }

  /** Starts what may start, by a look that begins after this call; callers that come together share one. */
  async now(): Promise<void> {
    this.waiting = true
    if (await this.share()) this.ticker.wake()
  }

  private async look(): Promise<boolean> {
    this.waiting = await tasksWait(this.options.database)
    return this.waiting ? this.share() : false
  }

  private share(): Promise<boolean> {
    if (this.running) {
      this.next ??= this.running
        .catch(() => false)
        .then(() => {
          this.next = undefined
          return this.share()
        })
      return this.next
    }
    this.running = this.startSome().finally(() => {
      this.running = undefined
    })
    return this.running
  }

  /** Answers whether there may be more to start at once. */
  private async startSome(): Promise<boolean> {
    const { database, resolves, onStarted } = this.options
    const started = await startWaiting(database, { limit: perRun, resolves })
    if (started.length > 0) onStarted(started.map(task => task.id))
    return started.length === perRun
  }
}
