/**
 * What the dispatcher knows of the fleet: live providers, routes, which queue each route resolves to, how much room
 * that queue has. Read from Postgres; in between it counts what this coordinator queues and grants, as an estimate that
 * the next reading replaces.
 */
import { queueName } from '@baton/shared'
import { candidatesFor, eligibleFor, queueLimit, type Resolution, type RouteNeeds, resolveRoute } from '../core/routing.js'
import type { Candidate, Insight, Measure } from '../core/score.js'
import type { Queryable } from '../store/database.js'
import type { Room, RouteRoom } from '../store/room.js'
import type { Route, Routes } from '../store/routes.js'
import { type Provider, readProviders } from '../store/workers.js'
import type { SpareSlots, Spares } from './spares.js'

interface DirectoryOptions {
  readonly db: Queryable
  readonly routes: Routes
  readonly spares: Spares
}

/**
 * So many of a worker's slots wait for queues and coordinators at most when one more is taken for a backlog. Attempts that end
 * quickly are held up by their reports, not by slots: with more of them under way each waits longer, and so does whoever comes
 * in between. What its agents are at does not count.
 */
const maxWaiting = 800
/**
 * With fewer slots a backlog goes by the queue: there each slot finds its next job when it is free, and need not wait until the
 * coordinator has heard of that.
 */
const leastSlots = 100

/** A slot that was taken for one row, and the queue that the row would have gone to. */
export interface TakenSlot {
  readonly queue: string
  readonly slots: SpareSlots
  /** Others wait that it goes before. */
  readonly ahead: boolean
}

export class Directory {
  private readonly options: DirectoryOptions
  private providers: readonly Provider[] = []
  /** Of each route that was asked for since the fleet was last read; null: nobody serves it. */
  private readonly resolutions = new Map<number, Resolution | null>()
  /** Of each route, where its attempts could be started at once. */
  private readonly starters = new Map<number, readonly SpareSlots[]>()
  /** Of each route, how many rows may go past its backlog until more of that was started: at most every other one does. */
  private readonly past = new Map<number, number>()
  private depths = new Map<string, number>()
  /** Routes that have ready rows for which there was no room, or that nobody looked at yet. */
  private readonly backlog = new Set<number>()
  /** The most urgent priority of the ready rows of each route, as it was last read; a lower number is more urgent. */
  private urgency: ReadonlyMap<number, number> = new Map()
  private turns = 0
  /** How agents did so far, by agent and capability. */
  private measures: ReadonlyMap<string, Measure> = new Map()
  private readonly insight: Insight = {
    measureOf: (agent, capability) => this.measures.get(`${agent} ${capability}`),
    queuedFor: (pool, agent) => this.depthOf(queueName(pool, { kind: 'agent', name: agent })),
  }

  constructor(options: DirectoryOptions) {
    this.options = options
  }

  /** Reads the fleet, and the routes that other coordinators added. */
  async refresh(): Promise<void> {
    this.providers = await readProviders(this.options.db)
    await this.options.routes.read()
    this.resolutions.clear()
    this.starters.clear()
    this.options.spares.keep(new Set(this.providers.map(p => p.worker_id)))
  }

  /** The queues that have a live consumer. */
  get servedQueues(): ReadonlySet<string> {
    const queues = new Set<string>()
    for (const { pool, agent, capabilities } of this.providers) {
      queues.add(`${pool}.a.${agent}`)
      for (const capability of capabilities) queues.add(`${pool}.c.${capability}`)
    }
    return queues
  }

  /** Slots of live workers for each capability, and how many were in use when the fleet was last read. */
  capacity(): Map<string, { slots: number; active: number }> {
    const capacity = new Map<string, { slots: number; active: number }>()
    for (const { capabilities, concurrency, active } of this.providers)
      for (const capability of capabilities) {
        const sum = capacity.get(capability) ?? { slots: 0, active: 0 }
        sum.slots += concurrency
        sum.active += active
        capacity.set(capability, sum)
      }
    return capacity
  }

  route(id: number): Route | undefined {
    return this.options.routes.known.get(id)
  }

  resolves(routeId: number): boolean {
    return this.resolve(routeId) !== null
  }

  /** Whether this could be routed to a live agent, also for a route that is not stored yet. */
  couldServe(route: Omit<Route, 'id'>): boolean {
    return resolveRoute(route, this.providers) !== undefined
  }

  /** Whether a live agent of this name offers it. */
  offers(agent: string, capability: string): boolean {
    return this.providers.some(p => p.agent === agent && p.capabilities.includes(capability))
  }

  setMeasures(measures: readonly ({ readonly agent: string; readonly capability: string } & Measure)[]): void {
    this.measures = new Map(measures.map(measure => [`${measure.agent} ${measure.capability}`, measure]))
  }

  /** Where work with these needs would go, and how every agent is placed that covers some of them; `declared` may be away. */
  match(
    needs: RouteNeeds & { readonly slaMs: number | null },
    declared: readonly { readonly agent: string; readonly capabilities: readonly string[] }[],
  ): { resolution: Resolution | undefined; candidates: Candidate[] } {
    const live = new Set(this.providers.map(p => p.agent))
    const away = declared.filter(({ agent }) => !live.has(agent)).map(agent => ({ ...agent, pool: needs.pool, concurrency: 0, active: 0 }))
    return {
      resolution: resolveRoute(needs, this.providers, this.insight, needs.slaMs),
      candidates: candidatesFor(needs, [...this.providers, ...away], this.insight),
    }
  }

  /** Jobs that wait in the queues that an agent takes from, as far as this coordinator knows. */
  queuedAt(agent: string, capabilities: readonly string[]): number {
    let count = 0
    for (const pool of new Set(this.providers.filter(p => p.agent === agent).map(p => p.pool))) {
      count += this.insight.queuedFor(pool, agent)
      for (const name of capabilities) count += this.depthOf(queueName(pool, { kind: 'capability', name }))
    }
    return count
  }

  /** Jobs that wait in a queue, as far as this coordinator knows. */
  depthOf(queue: string): number {
    return this.depths.get(queue) ?? 0
  }

  setDepths(depths: readonly { queue: string; depth: number }[]): void {
    this.depths = new Map(depths.map(d => [d.queue, d.depth]))
  }

  /** `urgency`: see there. */
  setBacklog(routeIds: readonly number[], urgency: ReadonlyMap<number, number> = new Map()): void {
    this.backlog.clear()
    for (const id of routeIds) this.backlog.add(id)
    this.urgency = urgency
  }

  /** Ready rows of this route were left behind. */
  addBacklog(routeId: number): void {
    this.backlog.add(routeId)
  }

  get hasBacklog(): boolean {
    return this.backlog.size > 0
  }

  queued(queue: string): void {
    this.depths.set(queue, this.depthOf(queue) + 1)
  }

  claimed(routeId: number): void {
    const queue = this.resolve(routeId)?.queue
    if (queue !== undefined) this.depths.set(queue, Math.max(0, this.depthOf(queue) - 1))
  }

  /** Room for rows that become ready right now: of routes without a backlog, since nothing may overtake. */
  fastRoom(): Room {
    return this.rooms(id => !this.backlog.has(id))
  }

  /** Room for the backlog, each queue's shared out among its routes: the most urgent first, equals by turns. */
  backlogRoom(): Room {
    const left = new Map<string, number>()
    const rooms = this.rooms(id => this.backlog.has(id))
    const first = this.turns++ % Math.max(1, rooms.length)
    const inTurn = [...rooms.slice(first), ...rooms.slice(0, first)]
    const urgencyOf = ({ route_id }: RouteRoom) => this.urgency.get(route_id) ?? 0
    inTurn.sort((a, b) => urgencyOf(a) - urgencyOf(b)) // stable
    return inTurn.flatMap(({ route_id, queue, room }) => {
      const available = Math.min(room, left.get(queue) ?? room)
      left.set(queue, available - Math.ceil(available / 2))
      const share = this.sharers(queue) > 1 ? Math.ceil(available / 2) : available
      return share > 0 ? [{ route_id, queue, room: share }] : []
    })
  }

  /** Whether the queue of a route would take more, and nothing of it waits for that. */
  hasRoom(routeId: number): boolean {
    const resolved = this.resolve(routeId)
    return resolved !== null && !this.backlog.has(routeId) && this.roomOf(resolved) > 0
  }

  /** Whether nothing waits in the queue of a route, as far as this coordinator knows. */
  idle(routeId: number): boolean {
    const resolved = this.resolve(routeId)
    return resolved !== null && this.depthOf(resolved.queue) === 0
  }

  /** The queue wait that a route's agents ask for, in ms: the longest of theirs, where every one of them says. */
  queueWaitOf(route: Omit<Route, 'id'>): number | null {
    const waits = eligibleFor(route, this.providers).map(p => p.queue_wait_ms)
    return waits.length === 0 || waits.includes(null) ? null : Math.max(...waits.map(Number))
  }

  /** The queue for one row of a route, if there is room; counts it. */
  takeRoom(routeId: number): string | null {
    if (this.backlog.has(routeId)) return null
    const resolved = this.resolve(routeId)
    if (!resolved || this.roomOf(resolved) <= 0) return null
    this.queued(resolved.queue)
    return resolved.queue
  }

  /**
   * A slot in which one row of a route may start at once: where nothing waits in its queue, and nothing of the route waits for
   * room, so that nobody is overtaken. A small task goes past what waits for room while that is started at once itself, unless
   * some of it is more urgent.
   */
  takeSlot(routeId: number, { priority, small }: { readonly priority: number; readonly small: boolean }): TakenSlot | null {
    const resolved = this.resolve(routeId)
    if (!resolved || this.depthOf(resolved.queue) > 0) return null
    const ahead = this.backlog.has(routeId)
    const past = this.past.get(routeId) ?? 0
    if (ahead && (!small || past === 0 || priority > (this.urgency.get(routeId) ?? -1))) return null
    const slots = this.options.spares.take(this.startersOf(routeId, resolved))
    if (!slots) return null
    if (ahead) this.past.set(routeId, past - 1)
    return { queue: resolved.queue, slots, ahead }
  }

  /** Slots for up to `count` rows of a backlog; none where it does not start at once. */
  takeSlots(routeId: number, count: number): SpareSlots[] {
    const resolved = this.resolve(routeId)
    const starters = resolved && this.startsAtOnce(routeId) ? this.startersOf(routeId, resolved) : []
    const taken: SpareSlots[] = []
    while (taken.length < count) {
      const slots = this.options.spares.take(starters, maxWaiting)
      if (!slots) break
      taken.push(slots)
    }
    this.past.set(routeId, taken.length)
    return taken
  }

  /** Whether a backlog of this route is started at once: by workers that say what they have to spare, with many slots between them. */
  startsAtOnce(routeId: number): boolean {
    const resolved = this.resolve(routeId)
    if (!resolved) return false
    let most = 0
    for (const slots of this.startersOf(routeId, resolved)) if (this.options.spares.isFresh(slots)) most += slots.most
    return most >= leastSlots
  }

  /** Whether a backlog waits for slots to start in. */
  get awaitsSlots(): boolean {
    for (const id of this.backlog) if (this.startsAtOnce(id)) return true
    return false
  }

  /**
   * Whether the workers of such a route have their slots wait for queues and coordinators rather than for agents: then those that
   * only a queue can fill (what is kept for it, agents with one slot) would not speed anything up.
   */
  isHeldUp(routeId: number): boolean {
    const resolved = this.resolve(routeId)
    return resolved !== null && this.options.spares.areHeldUp(this.startersOf(routeId, resolved))
  }

  /** It will not start there. */
  giveSlotBack(slots: SpareSlots): void {
    this.options.spares.giveBack(slots)
  }

  private startersOf(routeId: number, { key }: Resolution): readonly SpareSlots[] {
    const known = this.starters.get(routeId)
    if (known) return known
    const route = this.route(routeId)
    const eligible = route ? eligibleFor(route, this.providers) : []
    const starters = eligible
      .filter(p => key.kind === 'capability' || p.agent === key.name)
      .map(p => this.options.spares.of(p.worker_id, p.agent))
    this.starters.set(routeId, starters)
    return starters
  }

  private sharers(queue: string): number {
    let count = 0
    for (const id of this.backlog) if (this.resolve(id)?.queue === queue) count++
    return count
  }

  private rooms(filter: (routeId: number) => boolean): RouteRoom[] {
    const rooms: RouteRoom[] = []
    for (const route_id of this.options.routes.known.keys()) {
      const resolved = filter(route_id) ? this.resolve(route_id) : null
      const room = resolved ? this.roomOf(resolved) : 0
      if (resolved && room > 0) rooms.push({ route_id, queue: resolved.queue, room })
    }
    return rooms
  }

  private resolve(routeId: number): Resolution | null {
    const cached = this.resolutions.get(routeId)
    if (cached !== undefined) return cached
    const route = this.route(routeId)
    if (!route) return null
    const resolved = resolveRoute(route, this.providers, this.insight) ?? null
    this.resolutions.set(routeId, resolved)
    return resolved
  }

  private roomOf(resolved: Resolution): number {
    return queueLimit(resolved) - this.depthOf(resolved.queue)
  }
}
