/**
 * Sends what is due, as many coordinators as there are: each leases deliveries, nobody waits for anybody.
 *
 * Invariants: W1 (I9) a delivery stays due until a receiver took it with 2xx or the time to try is over; who leased it and
 * died is followed by a peer when the lease has run out. W2 its id is the same in every try. W3 a lane has a few places,
 * more when it does well, one after a failure: a receiver that hangs or fails holds up itself only. W4 no secret, no path and no
 * query of a URL is logged. W5 how deliveries went is stored together, by what is in flight; a lane is looked at again when
 * one of its places is free and more of it may wait, and not after each delivery.
 */
import { setMaxListeners } from 'node:events'
import { type BackoffPolicy, backoffMs } from '@baton/shared'
import { BatchLane, failpoint, type Logger, type Service, Ticker } from '@baton/shared/node'
import type { Database } from '../../store/database.js'
import {
  type Claimed,
  claimDeliveries,
  type DeliveryState,
  deliveriesPend,
  type Settled,
  settleDeliveries,
  sweepDeliveries,
  type Try,
} from '../../store/webhook-deliveries.js'
import { Alarm } from '../alarm.js'
import type { AddressGuard } from './address-guard.js'
import { payloadOf } from './payload.js'
import { type Posted, Poster } from './post.js'
import { signedHeaders } from './signature.js'

interface SenderOptions {
  readonly database: Database
  readonly guard: AddressGuard
  readonly version: string
  readonly timeoutMs: number
  /** More than the time limit of a try, with its storing. */
  readonly leaseMs: number
  readonly backoff: { readonly initialMs: number; readonly maxMs: number }
  readonly log: Logger
}

const inFlightAtMost = 400
/** Places of a lane: at first, and when it has done well. */
const firstRoom = 4
const mostRoom = 20
/** Between two looks for what is due again, while anything is pending, and otherwise. */
const lookEveryMs = 1_000
const idleMs = 5_000
const sweepEveryMs = 60_000
const sayAgainMs = 60_000
/** How long ended deliveries are kept as a log. */
const keptMs = 30 * 86_400_000
const sweptAtOnce = 2_000

const settledAtOnce = 200

interface Lane {
  inFlight: number
  /** All places were taken at the last look: there may be more. */
  full: boolean
  /** Doubles with every success, is one after a failure. */
  room: number
}

export class Sender implements Service {
  readonly name = 'webhook sender'
  private readonly options: SenderOptions
  private readonly ticker: Ticker
  private readonly alarm = new Alarm(() => this.ticker.wake())
  private readonly lanes = new Map<string, Lane>()
  private readonly sending = new Set<Promise<void>>()
  private readonly failureSaidAt = new Map<string, number>()
  private readonly stopping = new AbortController()
  private readonly backoff: BackoffPolicy
  private readonly poster: Poster
  private readonly settling: BatchLane<Settled, DeliveryState | undefined>
  /** As many were leased as could be sent: there may be more. */
  private full = false
  private sweepAt = 0

  constructor(options: SenderOptions) {
    this.options = options
    this.backoff = { ...options.backoff, factor: 2, jitter: 0.5 }
    setMaxListeners(inFlightAtMost + 1, this.stopping.signal) // every call listens to it
    this.poster = new Poster(options.guard)
    this.settling = new BatchLane({ maxItems: settledAtOnce, send: items => settleDeliveries(options.database, items) }) // W5
    this.ticker = new Ticker({ name: this.name, everyMs: idleMs, log: options.log, run: () => this.run() })
  }

  start(): Promise<void> {
    return this.ticker.start()
  }

  /** Lets what is being sent go: it is due again when its lease has run out. */
  async stop(): Promise<void> {
    this.alarm.stop()
    this.stopping.abort()
    await this.ticker.stop()
    await Promise.all(this.sending)
    this.poster.close()
  }

  /** There are new deliveries. */
  wake(): void {
    this.ticker.wake()
  }

  private async run(): Promise<boolean> {
    const { database, leaseMs } = this.options
    this.alarm.clear()
    const free = inFlightAtMost - this.sending.size
    if (free <= 0) return false // whoever is done looks again
    const asked = new Map([...this.lanes].map(([name, { inFlight, room }]) => [name, Math.max(0, room - inFlight)])) // W3
    const rooms = [...asked].map(([lane, room]) => ({ lane, room }))
    const claimed = await claimDeliveries(database, { rooms, room: firstRoom, limit: free, leaseMs })
    if (claimed.length > 0) failpoint('notify.before-send')
    for (const delivery of claimed) this.launch(delivery)
    this.full = claimed.length === free
    if (claimed.length > 0 || (await deliveriesPend(database))) this.alarm.within(lookEveryMs)
    await this.sweep()
    return this.moreAtOnce(claimed, asked)
  }

  /** Notes which lanes may have more, by what was asked for: places may have become free since, and then it is looked again. */
  private moreAtOnce(claimed: readonly Claimed[], asked: ReadonlyMap<string, number>): boolean {
    const got = new Map<string, number>()
    for (const { lane } of claimed) got.set(lane, (got.get(lane) ?? 0) + 1)
    let atOnce = false
    for (const [name, lane] of this.lanes) {
      lane.full = (got.get(name) ?? 0) >= (asked.get(name) ?? firstRoom)
      if (lane.full && lane.inFlight < lane.room) atOnce = true
    }
    return atOnce && this.sending.size < inFlightAtMost
  }

  private launch(delivery: Claimed): void {
    const lane = this.lanes.get(delivery.lane) ?? { inFlight: 0, full: false, room: firstRoom }
    this.lanes.set(delivery.lane, lane)
    lane.inFlight++
    const sent: Promise<void> = this.deliver(delivery, lane)
      .catch(error => {
        if (!this.stopping.signal.aborted)
          this.options.log.warn(
            { err: error, webhook_id: delivery.webhook_id },
            'how a delivery went could not be stored; it is tried again',
          )
      })
      .finally(() => {
        this.sending.delete(sent)
        if (this.full) this.ticker.wake()
      })
    this.sending.add(sent)
  }

  private async deliver(delivery: Claimed, lane: Lane): Promise<void> {
    const { log } = this.options
    const at = new Date()
    const begun = performance.now()
    const answer = await this.send(delivery, at)
    const delivered = 'status' in answer && answer.status >= 200 && answer.status < 300
    // Its place is free for the next one: storing takes none of the receiver's time.
    lane.inFlight--
    lane.room = delivered ? Math.min(mostRoom, 2 * lane.room) : 1
    if (lane.full) this.ticker.wake() // W5
    if (this.stopping.signal.aborted && 'error' in answer) return // nothing is known
    const tried: Try = {
      at: at.toISOString(),
      ms: Math.round(performance.now() - begun),
      status: 'status' in answer ? answer.status : null,
      error: delivered ? null : 'status' in answer ? wordsOf(answer) : answer.error,
    }
    const againMs = Math.round(backoffMs(this.backoff, delivery.attempts, Math.random()))
    const state = await this.settling.push({ pk: delivery.pk, attempts: delivery.attempts, delivered, againMs, tried })
    const line = {
      webhook_id: delivery.webhook_id,
      event: delivery.event_name,
      task_id: delivery.event?.task_id ?? undefined,
      attempt: delivery.attempts,
      status: tried.status,
    }
    if (delivered) log.debug(line, 'a webhook was delivered')
    else
      log[state === 'given_up' || this.isWorthSaying(delivery.webhook_id) ? 'info' : 'debug'](
        { ...line, reason: tried.error, state },
        state === 'given_up' ? 'a delivery of a webhook was given up' : 'a webhook was not delivered',
      ) // W4
  }

  /** A receiver that fails is told of once a minute; the log of deliveries has every try. */
  private isWorthSaying(webhookId: string): boolean {
    const now = performance.now()
    for (const [id, at] of this.failureSaidAt) if (now - at >= sayAgainMs) this.failureSaidAt.delete(id)
    if (this.failureSaidAt.has(webhookId)) return false
    this.failureSaidAt.set(webhookId, now)
    return true
  }

  private async send(delivery: Claimed, at: Date): Promise<Posted | { readonly error: string }> {
    const { timeoutMs, version } = this.options
    if (delivery.url === null) return { error: 'the task has no callback_url any more' }
    try {
      const body = payloadOf(delivery)
      const message = {
        id: `${delivery.webhook_id}_${delivery.delivery_xid}_${delivery.delivery_seq}`,
        timestamp: Math.floor(at.getTime() / 1_000),
        body,
      } // W2
      const secrets = delivery.previous_secret === null ? [delivery.secret] : [delivery.secret, delivery.previous_secret]
      const headers = { 'content-type': 'application/json', 'user-agent': `Baton/${version}`, ...signedHeaders(message, secrets) }
      return await this.poster.post({ url: delivery.url, headers, body, timeoutMs, signal: this.stopping.signal })
    } catch (error) {
      return { error: error instanceof Error ? error.message.slice(0, 300) : String(error) }
    }
  }

  private async sweep(): Promise<void> {
    const now = performance.now()
    if (now < this.sweepAt) return
    const swept = await sweepDeliveries(this.options.database, keptMs, sweptAtOnce)
    this.sweepAt = swept < sweptAtOnce ? now + sweepEveryMs : now
    for (const [name, lane] of this.lanes) if (lane.inFlight === 0) this.lanes.delete(name)
  }
}

function wordsOf({ status, text }: Posted): string {
  if (status >= 300 && status < 400) return `answered ${status}; redirects are not followed`
  return `answered ${status}${text === '' ? '' : `: ${text}`}`
}
