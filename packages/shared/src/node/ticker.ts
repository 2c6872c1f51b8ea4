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

export class Ticker implements Service {
  readonly name: string
  private readonly options: TickerOptions
  private readonly clock: Clock
  private state:
    | { kind: 'stopped' }
    | { kind: 'resting'; cancelTimer: () => void }
    | { kind: 'running'; again: boolean; done: Promise<void> } = { kind: 'stopped' }
  private readonly controller = new AbortController()

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
      } catch (error) {
        if (!this.controller.signal.aborted)
          this.options.log.error({ err: error, loop: this.name }, 'a run of this loop failed; it goes on')
        running.again = false
      }
    } while (running.again && !this.controller.signal.aborted)
    if (this.controller.signal.aborted) this.state = { kind: 'stopped' }
    else this.state = { kind: 'resting', cancelTimer: this.clock.after(this.options.everyMs, () => this.launch()) }
  }
}
