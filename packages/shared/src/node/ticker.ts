/**
 * A loop that is woken by a signal and by a timer: the timer carries correctness, the signal only shortens latency.
 * One run at a time; a signal during a run causes one more run after it.
 */
import type { Clock } from './clock.js'
import { systemClock } from './clock.js'
import type { Logger } from './logger.js'
import type { Service } from './service.js'

interface TickerOptions {
  readonly name: string
  /** The longest pause between two runs. */
  readonly everyMs: number
  readonly log: Logger
  /** Does a bounded piece of work; resolves to true when there is more to do at once. */
  readonly run: (signal: AbortSignal) => Promise<boolean> | Promise<void>
  readonly clock?: Clock
}

/** How long the same failure of a loop is not said again. */
const sayAgainMs = 60_000

export class Ticker implements Service {
  readonly name: string
  private readonly options: TickerOptions
  private readonly clock: Clock
  private state:
    | { kind: 'stopped' }
    | { kind: 'resting'; cancelTimer: () => void }
    | { kind: 'running'; again: boolean; done: Promise<void> } = { kind: 'stopped' }
  private readonly controller = new AbortController()
  /** What runs failed by last, since when that was said, and how often it happened without being said again. */
  private trouble: { readonly reason: string; readonly saidAt: number; unsaid: number } | undefined

  constructor(options: TickerOptions) {
    this.name = options.name
    this.options = options
    this.clock = options.clock ?? systemClock
  }

  async start(): Promise<void> {
    if (this.state.kind === 'stopped' && !this.controller.signal.aborted) this.launch()
  }

  /** Runs soon, however long the timer still has. */
  wake(): void {
    if (this.state.kind === 'running') this.state.again = true
    else if (this.state.kind === 'resting') {
      this.state.cancelTimer()
      this.launch()
    }
  }

  async stop(): Promise<void> {
    this.controller.abort()
    if (this.state.kind === 'resting') {
      this.state.cancelTimer()
      this.state = { kind: 'stopped' }
    } else if (this.state.kind === 'running') await this.state.done
  }

  /** An outage is one message, and one more now and then while it lasts: a log that is full of it shows nothing else. */
  private tell(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    const { trouble, name } = this
    if (trouble?.reason === reason && performance.now() - trouble.saidAt < sayAgainMs) {
      trouble.unsaid++
      return
    }
    this.options.log.error(
      { err: error, loop: name, ...(trouble && { failures_since: trouble.unsaid }) },
      'a run of this loop failed; it goes on',
    )
    this.trouble = { reason, saidAt: performance.now(), unsaid: 0 }
  }

  private launch(): void {
    const running = { kind: 'running' as const, again: false, done: Promise.resolve() }
    this.state = running
    running.done = this.loop(running)
  }

  private async loop(running: { again: boolean }): Promise<void> {
    do {
      running.again = false
      try {
        if ((await this.options.run(this.controller.signal)) === true) running.again = true
        this.trouble = undefined
      } catch (error) {
        if (!this.controller.signal.aborted) this.tell(error)
        running.again = false
      }
    } while (running.again && !this.controller.signal.aborted)
    if (this.controller.signal.aborted) this.state = { kind: 'stopped' }
    else this.state = { kind: 'resting', cancelTimer: this.clock.after(this.options.everyMs, () => this.launch()) }
  }
}
