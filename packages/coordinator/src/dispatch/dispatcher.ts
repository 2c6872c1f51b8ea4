/**
 * Brings ready subtasks to their queues. Claims in Postgres first, then rings; a crash between the two is mended by the
 * reconciler. Keeps queues shallow, so that what is urgent does not wait behind what is not.
 *
 * Where workers have slots to spare, what is claimed starts there at once. While their slots wait for coordinators rather than for
 * agents, nothing is put into the queue: it would fill slots that are kept for whoever comes next, and speed up nothing. While they
 * wait for agents the queue gets what it has room for, so that no slot of any agent stands idle.
 */
import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { failpoint, type Logger, type Service, Ticker } from '@baton/shared/node'
import type { Database } from '../store/database.js'
import {
  blockUnroutable,
  type ClaimedRow,
  claimReady,
  promoteRetries,
  readDemand,
  recallQueued,
  type Shifted,
  type StartSlot,
  unblockRoutable,
  type WantedRows,
} from '../store/dispatch.js'
import type { AttemptTimes, QueuedRow } from '../store/fragments.js'
import type { RouteRoom } from '../store/room.js'
import type { Directory } from './directory.js'
import { Overtaking } from './overtaking.js'
import type { Ringer } from './ringer.js'
import type { SpareSlots } from './spares.js'
import type { StartedRow } from './starts.js'
import { Turns } from './turns.js'

interface DispatcherOptions {
  readonly database: Database
  readonly directory: Directory
  readonly ringer: Ringer
  /** For what starts at once and says nothing of it itself. */
  readonly times: AttemptTimes
  /** These were started in slots of workers that are still to be told. */
  readonly onStarted: (rows: readonly StartedRow[]) => void
  readonly log: Logger
  /** How long a ready subtask waits for a provider before it counts as blocked. */
  readonly blockAfterMs: number
  /** Between two looks at the fleet that nobody asked for. */
  readonly everyMs: number
  /** Tasks changed. */
  readonly onChange: (taskPks: readonly string[]) => void
}

/** Rows of one route that are claimed at once: whoever comes meanwhile waits for these to be rung, and for no more. */
const maxClaimed = 192
/** Between two looks at the whole demand; in between the directory's estimates serve. */
const lookEveryMs = 100
const retriesPerRun = 500
/** After so long, at the latest, a backlog that waits for slots is looked at anew. */
const waitForSlotsMs = 250

export class Dispatcher implements Service {
  readonly name = 'dispatcher'
  private readonly options: DispatcherOptions
  private readonly ticker: Ticker
  private lastLook = Number.NEGATIVE_INFINITY
  private lastFleetLook = Number.NEGATIVE_INFINITY
  private retryTimer: NodeJS.Timeout | undefined
  private slotTimer: NodeJS.Timeout | undefined
  private readonly turns = new Turns()
  private readonly overtaking = new Overtaking()
  /** What was claimed last is rung while more is claimed. */
  private ringing: Promise<void> = Promise.resolve()

  constructor(options: DispatcherOptions) {
    this.options = options
    this.ticker = new Ticker({ name: 'dispatcher', everyMs: options.everyMs, log: options.log, run: () => this.run() })
  }

  async start(): Promise<void> {
    await this.options.directory.refresh()
    await this.ticker.start()
  }

  async stop(): Promise<void> {
    clearTimeout(this.retryTimer)
    clearTimeout(this.slotTimer)
    await this.ticker.stop()
    await this.ringing
  }

  /** There is room again, or rows of these routes became ready. */
  wake(routes: readonly number[] = []): void {
    for (const id of routes) this.options.directory.addBacklog(id)
    if (this.options.directory.hasBacklog) this.ticker.wake()
  }

  /** Workers came or went: look at the fleet and at everything anew. */
  fleetChanged(): void {
    this.lastFleetLook = Number.NEGATIVE_INFINITY
    this.lastLook = Number.NEGATIVE_INFINITY
    this.ticker.wake()
  }

  /** Rows of this or another coordinator are ready, of routes unknown here. */
  readyElsewhere(): void {
    this.lastLook = Number.NEGATIVE_INFINITY
    this.ticker.wake()
  }

  /** Rings for rows that another statement queued on the fast path. */
  async placed(rows: readonly QueuedRow[]): Promise<void> {
    for (const row of rows) this.options.directory.queued(row.queue)
    await this.options.ringer.ring(rows)
  }

  /** Rows that another statement queued and started for the worker that goes on with them: that one brings their jobs. */
  handedOver(rows: readonly QueuedRow[]): Promise<ReadonlyMap<string, string> | undefined> {
    return this.options.ringer.handedOver(rows)
  }

  private async run(): Promise<boolean> {
    const { database, directory, times, everyMs } = this.options
    const now = performance.now()
    if (now - this.lastFleetLook >= everyMs) {
      this.lastFleetLook = now
      await directory.refresh()
    }
    if (now - this.lastLook >= lookEveryMs) {
      this.lastLook = now
      await this.ringing // depths of queues are about to be read
      await this.look()
    }
    const rooms = directory.backlogRoom().map(each => ({ ...each, room: Math.min(each.room, maxClaimed) }))
    const slots = new Map<string, SpareSlots>()
    const wanted = rooms.flatMap(room => this.wanted(room, slots))
    if (wanted.length === 0) return false
    const { jobs, started, cut } = await claimReady(database, wanted, times).catch((error: unknown) => {
      for (const each of slots.values()) directory.giveSlotBack(each)
      throw error // what it may have started all the same, its worker never has: that is found out
    })
    const rows = [...jobs, ...started]
    if (rows.length > 0) failpoint('dispatch.after-claim')
    const depths = new Map(rows.map(({ queue }) => [queue, directory.depthOf(queue)]))
    for (const row of jobs) directory.queued(row.queue)
    const begun = started.flatMap((row): (ClaimedRow & StartedRow)[] => {
      const own = slots.get(row.claim_id)
      return own && slots.delete(row.claim_id) ? [{ ...row, slots: own }] : []
    })
    for (const each of slots.values()) directory.giveSlotBack(each)
    let more = rows.length > 0 || cut.length > 0
    for (const { route_id, room, after = [] } of wanted) {
      const found = rows.filter(r => r.route_id === route_id)
      const full = found.length >= room
      this.turns.looked(
        route_id,
        cut.filter(c => c.route_id === route_id),
        { full, rows: found },
      )
      if (full) continue
      // A route that gave less than it had room for has nothing left, or nothing behind what is held up.
      this.lastLook = Number.NEGATIVE_INFINITY
      if (after.some(({ wraps }) => !wraps)) more = true
    }
    const before = this.ringing
    this.ringing = this.place([...jobs, ...begun], depths)
    if (!more) await this.ringing
    await before
    return more
  }

  /** What to claim of a route's backlog: as much as there are slots for, or else what the queue has room for. Takes the slots. */
  private wanted(room: RouteRoom, slots: Map<string, SpareSlots>): WantedRows[] {
    const { directory } = this.options
    const { route_id } = room
    const taken = directory.takeSlots(route_id, room.room)
    const count = taken.length > 0 ? taken.length : this.roomInQueue(room)
    if (count <= 0) return []
    const own = taken.map((each): StartSlot => {
      const claim_id = randomUUID()
      slots.set(claim_id, each)
      return { claim_id, worker_id: each.workerId, agent: each.agent }
    })
    const after = this.turns.after(route_id)
    return [{ ...room, room: count, after, last_owner: this.turns.lastOwner(route_id), slots: own }]
  }

  /** How many rows of a route for which there is no slot may go to its queue: none while its workers wait for coordinators rather than for agents. */
  private roomInQueue({ route_id, room }: RouteRoom): number {
    const { directory } = this.options
    if (!directory.startsAtOnce(route_id) || !directory.isHeldUp(route_id)) return room
    this.slotTimer ??= setTimeout(() => {
      this.slotTimer = undefined
      this.ticker.wake()
    }, waitForSlotsMs)
    return 0
  }

  /** Rings and starts what was claimed, when the next claim is on its way. `depths`: of the queues, without these. */
  private async place(rows: readonly (ClaimedRow | (ClaimedRow & StartedRow))[], depths: ReadonlyMap<string, number>): Promise<void> {
    await setImmediate()
    const placed = this.overtaking.order(rows, queue => depths.get(queue) ?? 0)
    const started = placed.flatMap(row => ('slots' in row ? [row] : []))
    if (started.length > 0) this.options.onStarted([...started.filter(row => row.ahead), ...started.filter(row => !row.ahead)])
    await this.options.ringer.ring(placed.filter(row => !('slots' in row)))
  }

  /** The whole demand, and what has to move before anything can be claimed. */
  private async look(): Promise<void> {
    const { database, directory } = this.options
    let demand = await readDemand(database)
    if (demand.retry_in_ms !== null && demand.retry_in_ms <= 0) {
      await promoteRetries(database, retriesPerRun)
      demand = await readDemand(database)
    }
    this.wakeIn(demand.retry_in_ms)
    const ready = demand.ready.map(({ route_id }) => route_id)
    if (ready.some(id => !directory.route(id))) await directory.refresh()
    const served = directory.servedQueues
    this.overtaking.keep(served)
    const orphaned = demand.depths.map(d => d.queue).filter(queue => !served.has(queue))
    if (orphaned.length > 0) this.changed(await recallQueued(database, orphaned))
    const routable = demand.blocked.filter(id => directory.resolves(id))
    if (routable.length > 0)
      this.changed(await unblockRoutable(database, { provided: routable, roomy: routable.filter(id => directory.hasRoom(id)) }))
    const unroutable = ready.filter(id => !directory.resolves(id))
    if (unroutable.length > 0) await this.block(unroutable)
    directory.setDepths(demand.depths.filter(d => !orphaned.includes(d.queue)))
    directory.setBacklog(
      [...new Set([...ready, ...routable])].filter(id => directory.resolves(id)),
      new Map(demand.ready.map(({ route_id, priority }) => [route_id, priority])),
    )
  }

  private async block(routes: readonly number[]): Promise<void> {
    const { database, directory, log, blockAfterMs } = this.options
    const shifted = await blockUnroutable(database, routes, blockAfterMs)
    this.changed(shifted)
    for (const id of shifted.routes) {
      const route = directory.route(id)
      log.warn(
        { capability: route?.capability, requires: route?.requires, agent: route?.agent, subtasks: shifted.moved },
        'no live worker can take this work; it is blocked until one comes',
      )
    }
  }

  private changed(shifted: Shifted): void {
    this.options.onChange(shifted.touched)
  }

  private wakeIn(ms: number | null): void {
    clearTimeout(this.retryTimer)
    if (ms === null || ms > this.options.everyMs) return
    this.retryTimer = setTimeout(
      () => {
        this.lastLook = Number.NEGATIVE_INFINITY
        this.ticker.wake()
      },
      Math.max(0, Math.ceil(ms)),
    )
  }
}
