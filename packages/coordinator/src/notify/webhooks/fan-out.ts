/**
 * Makes deliveries of committed events, as many coordinators as there are, one at a time.
 *
 * Invariants: O1 (I9) the cursor moves past an event in the transaction that made its deliveries. O2 while nobody listens
 * no event is looked at: a slow timer asks whether somebody does, and whoever makes somebody listen says so here first.
 */
import { type Logger, type Service, Ticker } from '@baton/shared/node'
import type { Database } from '../../store/database.js'
import { fanOutEvents, lookForEvents } from '../../store/webhook-deliveries.js'
import { skipEvents, webhooksListen } from '../../store/webhooks.js'
import { Alarm } from '../alarm.js'

interface FanOutOptions {
  readonly database: Database
  /** Between two looks that nobody asked for, while somebody listens. */
  readonly everyMs: number
  /** How long a delivery is tried. */
  readonly giveUpMs: number
  readonly log: Logger
  readonly onMade: () => void
}

const pageSize = 2_000
const restMs = 10
const heldBackMs = 20
const askEveryMs = 5_000
/** While nobody listens the cursor still moves now and then: retention keeps what it has not passed. */
const skipEveryMs = 60_000

export class FanOut implements Service {
  readonly name = 'webhook fan-out'
  private readonly options: FanOutOptions
  private readonly ticker: Ticker
  private readonly alarm = new Alarm(() => this.ticker.wake())
  private listening = false
  private askAt = 0
  private skipAt = 0

  constructor(options: FanOutOptions) {
    this.options = options
    this.ticker = new Ticker({ name: this.name, everyMs: askEveryMs, log: options.log, run: () => this.run() })
  }

  start(): Promise<void> {
    return this.ticker.start()
  }

  async stop(): Promise<void> {
    this.alarm.stop()
    await this.ticker.stop()
  }

  /** There may be events. */
  wake(): void {
    if (this.listening) this.alarm.within(restMs)
  }

  /** Somebody is about to listen. To be awaited before they are stored: what happened before is then left out. */
  async expect(): Promise<void> {
    if (!this.listening) {
      await skipEvents(this.options.database)
      this.listening = true
    }
    this.askAt = performance.now() + askEveryMs
    this.alarm.within(restMs)
  }

  private async run(): Promise<boolean> {
    const { database, everyMs, giveUpMs, onMade } = this.options
    this.alarm.clear()
    const now = performance.now()
    if (now >= this.askAt) {
      this.askAt = now + askEveryMs
      this.listening = await webhooksListen(database)
      if (!this.listening && now >= this.skipAt) {
        this.skipAt = now + skipEveryMs
        await skipEvents(database)
      }
    }
    if (!this.listening) return false // O2
    const { some, heldBack } = await lookForEvents(database)
    this.alarm.within(heldBack ? heldBackMs : everyMs)
    if (!some) return false
    const { read, made } = await fanOutEvents(database, pageSize, giveUpMs) // O1
    if (made > 0) onMade()
    return read === pageSize
  }
}
