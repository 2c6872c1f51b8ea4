/**
 * Watches what is late: leases that ran out, attempts over their SLA, waits and deadlines that are over, cancels that were
 * not heeded, reviews that fell due, workers that fell silent. Every sweep skips what another coordinator holds, and every
 * transition is guarded, so that any number of watchers may run.
 *
 * Invariants: W1 nothing that depends on what workers say is swept unless they could be heard for a whole lease (calm.ts).
 * W2 a sweep ends what was due at the time of the look, however late the database works it off.
 */
import { protocolVersion, type Subjects } from '@baton/shared'
import { type Bus, type Clock, failpoint, type Logger, type Service, Ticker } from '@baton/shared/node'
import { cancelUnfinished } from '../store/cancel.js'
import { sweepChunks } from '../store/chunks.js'
import type { Database } from '../store/database.js'
import { readDue } from '../store/due.js'
import { type BackoffLimits, expireAttempts } from '../store/fail.js'
import type { EffectsRow, QueuedRow } from '../store/fragments.js'
import { expireWaits } from '../store/overdue.js'
import { returnUnanswered, returnUnbegun, type StartedClaim } from '../store/return-to-queue.js'
import type { Room } from '../store/room.js'
import { closeMootReviews, escalateReviews, warnOfDelays } from '../store/warnings.js'
import { forgetWorkers, loseWorkers } from '../store/workers.js'
import { Calm } from './calm.js'

interface WatcherOptions {
  readonly database: Database
  readonly bus: Bus
  readonly subjects: Subjects
  readonly clock: Clock
  readonly leaseMs: number
  readonly heartbeatMs: number
  /** The longest pause between two looks. */
  readonly everyMs: number
  /** Local mode: workers live in this process. */
  readonly ownWorkers: boolean
  /** How long an agent may take to heed a cancel before it is forced. */
  readonly cancelGraceMs: number
  readonly backoff: BackoffLimits
  readonly room: () => Room
  /** Puts the jobs of rows that are queued into their queues. */
  readonly ring: (rows: readonly QueuedRow[]) => Promise<void>
  /** What this coordinator started so long ago on workers that did not answer, once. */
  readonly unanswered: (olderThanMs: number) => readonly StartedClaim[]
  readonly log: Logger
  readonly after: { apply(effects: EffectsRow): Promise<void>; changed(taskPks: readonly string[]): void; ready(): void }
  /** A sweep ended these attempts; for whoever counts. */
  readonly onSwept?: ((why: Sweep, ended: readonly { id: string; claim_id: string }[]) => void) | undefined
  /** So many waits were longer than they may be. */
  readonly onOverrun?: ((subtasks: number) => void) | undefined
  /** Workers were lost. */
  readonly onFleetChange: () => void
}

const sweepLimit = 500
/** After this share of a lease two heartbeats would have told of an attempt. */
const tellingShare = 0.8
/** How many times longer than it took the look at all live rows rests. */
const restShare = 20
/** So late may the end of a wait or a deadline be found, however many live rows there are. */
const maxLongLookMs = 5_000
const lines = {
  late: 'attempts exceeded their SLA',
  lost: 'attempts were lost with their workers',
  overdue: 'subtasks exceeded their deadline',
  unheeded: 'cancels were not heeded and are forced',
} as const
const housekeepingMs = 600_000

export type Sweep = keyof typeof lines

export class Watcher implements Service {
  readonly name = 'watcher'
  private readonly options: WatcherOptions
  private readonly everyMs: number
  private readonly ticker: Ticker
  private readonly calm: Calm
  private stopListening: () => void = () => undefined
  private lastHousekeeping = Number.NEGATIVE_INFINITY
  private nextLongLook = Number.NEGATIVE_INFINITY

  constructor(options: WatcherOptions) {
    this.options = options
    this.everyMs = Math.max(50, Math.min(options.everyMs, options.leaseMs / 4))
    this.calm = new Calm({ ...options, fromStart: options.ownWorkers })
    this.ticker = new Ticker({ name: 'watcher', everyMs: this.everyMs, log: options.log, run: () => this.run() })
  }

  async start(): Promise<void> {
    this.stopListening = this.options.bus.onConnection(() => this.calm.disturb())
    await this.ticker.start()
  }

  async stop(): Promise<void> {
    this.stopListening()
    await this.ticker.stop()
  }

  /** Workers could not be heard by this coordinator until now. */
  deaf(): void {
    this.calm.disturb()
  }

  /** Something is to be swept now. */
  wake(): void {
    this.ticker.wake()
  }

  private async run(): Promise<boolean> {
    const { database, leaseMs, cancelGraceMs } = this.options
    // Workers speak through the bus: while it is silent, their silence means nothing.
    if (!(await this.options.bus.answers(Math.min(1_000, this.options.heartbeatMs)))) this.calm.disturb()
    const calm = this.calm.look(this.everyMs)
    try {
      const asked = this.options.clock.monotonicMs()
      const due = await readDue(database, { leaseMs, graceMs: cancelGraceMs })
      // While the database stood still, heartbeats could not be stored either.
      const stalled = this.options.clock.monotonicMs() - asked > this.options.heartbeatMs
      if (stalled) this.calm.disturb()
      this.calm.compare(new Date(due.at).getTime())
      const untroubled = calm && !stalled && this.calm.isCalm
      let more = false
      if (due.unswept) more = (await this.cancelRest()) || more
      if (due.unheeded) more = (await this.sweep('unheeded', due.grace_ago)) || more
      if (due.reviews) await this.escalate(due.at)
      if (due.timed) await warnOfDelays(database, due.at, sweepLimit)
      const silent = this.options.unanswered(tellingShare * leaseMs)
      if (!untroubled) return more // W1
      if (silent.length > 0) await this.returned(await returnUnanswered(database, silent, leaseMs))
      if (due.late) more = (await this.sweep('late', due.at)) || more
      if (due.lost) more = (await this.returnUnbegun(due.at)) || (await this.sweep('lost', due.at)) || more
      if (due.silent) await this.loseWorkers(due.at)
      more = (await this.endWaits(due.at)) || more
      await this.housekeeping()
      return more
    } catch (error) {
      this.calm.disturb()
      throw error
    }
  }

  /** What its worker never had is not lost: it goes back to its queue, before the sweep comes. */
  private async returnUnbegun(at: string): Promise<boolean> {
    const { database, leaseMs, heartbeatMs } = this.options
    const rows = await returnUnbegun(database, { at, leaseMs, heartbeatMs, limit: sweepLimit })
    await this.returned(rows)
    return rows.length === sweepLimit
  }

  private async returned(rows: readonly QueuedRow[]): Promise<void> {
    const { ring, log } = this.options
    if (rows.length === 0) return
    log.warn({ attempts: rows.length }, 'attempts never reached the workers that they were started on, and are queued again')
    await ring(rows)
  }

  /** Ends what is due (W2); answers whether there may be more. */
  private async sweep(which: keyof typeof lines, at: string): Promise<boolean> {
    const { database, room, backoff, after, log, leaseMs } = this.options
    const swept = await expireAttempts(database, which, { at, leaseMs, limit: sweepLimit }, room(), backoff)
    if (swept.ended.length === 0) return false
    failpoint('watch.mid-sweep')
    this.options.onSwept?.(which, swept.ended)
    log.warn({ attempts: swept.ended.length, workers: [...new Set(swept.ended.map(e => e.worker_id))] }, lines[which])
    await after.apply(swept)
    after.ready()
    this.tellWorkers(swept.ended)
    return swept.ended.length === sweepLimit
  }

  /**
   * Queue waits and deadlines are many and long, and no index is kept for them: each look reads all live rows, so looks
   * follow each other the more slowly the longer one takes. Reviews of plans whose tasks ended are found in passing.
   */
  private async endWaits(at: string): Promise<boolean> {
    const { database, clock, room, after, log } = this.options
    const started = clock.monotonicMs()
    if (started < this.nextLongLook) return false
    const waits = await expireWaits(database, at, sweepLimit, room())
    const moot = await closeMootReviews(database, sweepLimit)
    if (moot.length > 0) after.changed(moot)
    const took = clock.monotonicMs() - started
    const overdue = await this.sweep('overdue', at)
    const more = overdue || waits.ended === sweepLimit
    if (!more) this.nextLongLook = started + Math.min(maxLongLookMs, Math.max(this.everyMs, took * restShare))
    if (waits.ended > 0) {
      this.options.onOverrun?.(waits.ended)
      log.warn({ subtasks: waits.ended }, 'subtasks waited longer than they may')
      await after.apply(waits)
      after.ready()
    }
    return more
  }

  private async escalate(at: string): Promise<void> {
    this.options.after.changed(await escalateReviews(this.options.database, at, sweepLimit))
  }

  private async loseWorkers(at: string): Promise<void> {
    const gone = await loseWorkers(this.options.database, this.options.leaseMs, at)
    for (const id of gone) this.options.log.warn({ worker_id: id }, 'a worker stopped reporting')
    if (gone.length > 0) this.options.onFleetChange()
  }

  /** Cancels what is left of tasks that ended. */
  private async cancelRest(): Promise<boolean> {
    const { running, touched, more } = await cancelUnfinished(this.options.database, sweepLimit)
    this.tellWorkers(running)
    this.options.after.changed(touched)
    return more
  }

  /** A word only makes it faster: the next heartbeat says the same. */
  private tellWorkers(ended: readonly { worker_id: string; claim_id: string }[]): void {
    const { bus, subjects } = this.options
    for (const workerId of new Set(ended.map(e => e.worker_id))) {
      const claims = ended.filter(e => e.worker_id === workerId).map(e => e.claim_id)
      bus.publish(subjects.worker(workerId), JSON.stringify({ v: protocolVersion, type: 'abort', claim_ids: claims }))
    }
  }

  private async housekeeping(): Promise<void> {
    const now = this.options.clock.monotonicMs()
    if (now - this.lastHousekeeping < housekeepingMs) return
    this.lastHousekeeping = now
    await sweepChunks(this.options.database)
    await forgetWorkers(this.options.database)
  }
}
