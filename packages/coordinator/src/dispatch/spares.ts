/**
 * Slots of workers in which attempts may be started at once, as the workers themselves say with their claims, reports and
 * heartbeats. An estimate: what was taken of it and not answered yet is left out of what a worker says meanwhile. Where it
 * is wrong the worker says no, and the attempt is given back.
 *
 * Invariant: P1 a worker that owes an answer for a while is sent no more: it may be frozen, and what it was sent is held up
 * until its lease tells.
 */
import type { Busy, Spare } from '@baton/shared'

/** What is known of a worker. */
interface Standing {
  /** Slots in use, and how many of these wait for a queue or a coordinator instead of their agents. */
  used: number
  waiting: number
  /** When it last said so, on the process' own clock in ms. */
  toldAt: number
  /** Requests that it has not answered, and since when nothing came of them. */
  asked: number
  silentSince: number
}

/** One agent on one worker. */
export interface SpareSlots {
  readonly workerId: string
  readonly agent: string
  readonly standing: Standing
  /** The most that its worker ever said. */
  most: number
  /** What may be taken now. */
  free: number
  /** Taken, and not answered. */
  open: number
  /** When the worker was last heard, on the process' own clock in ms. */
  heardAt: number
}

/** So many are looked at for a slot before all are. */
const maxLooks = 4
/** Workers whose attempts end all the time say something this often. */
const momentsMs = 200
/** So long a worker may owe an answer (P1). */
const patienceMs = 250

export class Spares {
  private readonly freshMs: number
  private readonly reachable: () => boolean
  private readonly workers = new Map<string, { readonly standing: Standing; readonly agents: Map<string, SpareSlots> }>()
  private turn = 0

  /** What a worker said counts for so long, and only while workers can be reached at all. */
  constructor(freshMs: number, reachable: () => boolean = () => true) {
    this.freshMs = freshMs
    this.reachable = reachable
  }

  /** What a worker has to spare, by agent: nothing where it does not say. */
  heard(workerId: string, spare: Spare = {}, busy: Busy = { slots: 0, waiting: 0 }): void {
    const now = performance.now()
    const { agents, standing } = this.worker(workerId)
    for (const agent in spare) this.of(workerId, agent)
    let open = 0
    for (const slots of agents.values()) {
      open += slots.open
      const told = spare[slots.agent]
      if (told === undefined) slots.free = 0
      else {
        slots.most = Math.max(slots.most, told)
        slots.free = Math.max(0, told - slots.open)
        slots.heardAt = now
      }
    }
    standing.used = busy.slots + open
    standing.waiting = busy.waiting + open
    standing.toldAt = now
  }

  of(workerId: string, agent: string): SpareSlots {
    const { agents, standing } = this.worker(workerId)
    let slots = agents.get(agent)
    if (!slots) {
      slots = { workerId, agent, standing, most: 0, free: 0, open: 0, heardAt: Number.NEGATIVE_INFINITY }
      agents.set(agent, slots)
    }
    return slots
  }

  /**
   * Takes a slot of one of these: of a few, the one with the most; of all, where these have none. None of a worker of which
   * `maxWaiting` slots wait for queues or coordinators.
   */
  take(among: readonly SpareSlots[], maxWaiting = Number.POSITIVE_INFINITY): SpareSlots | undefined {
    if (among.length === 0 || !this.reachable()) return undefined
    const now = performance.now()
    let best: SpareSlots | undefined
    for (let i = 0; i < among.length && (i < maxLooks || !best); i++) {
      this.turn = (this.turn + 1) % among.length
      const slots = among[this.turn]
      if (slots && slots.free > (best?.free ?? 0) && slots.standing.waiting < maxWaiting && this.listens(slots, now)) best = slots
    }
    if (!best) return undefined
    best.free--
    this.count(best, 1)
    return best
  }

  private listens({ heardAt, standing: { asked, silentSince } }: SpareSlots, now: number): boolean {
    return heardAt >= now - this.freshMs && (asked === 0 || now - silentSince < patienceMs)
  }

  /**
   * Whether the workers of these have their slots wait for queues and coordinators rather than for agents. A worker whose attempts
   * end all the time says so all the time; what another one said last is no longer true.
   */
  areHeldUp(among: readonly SpareSlots[]): boolean {
    const lately = performance.now() - momentsMs
    let used = 0
    let waiting = 0
    for (const standing of new Set(among.map(slots => slots.standing))) {
      used += standing.used
      if (standing.toldAt >= lately) waiting += standing.waiting
    }
    return used > 0 && 2 * waiting >= used
  }

  /** Whether its worker was heard lately, and has slots to spare now and then. */
  isFresh({ most, heardAt }: SpareSlots): boolean {
    return most > 0 && this.reachable() && heardAt >= performance.now() - this.freshMs
  }

  /** A worker is sent what was taken. */
  asked(workerId: string): void {
    const { standing } = this.worker(workerId)
    if (standing.asked === 0) standing.silentSince = performance.now()
    standing.asked++
  }

  /** It answered, or nobody waits for that any more. */
  answered(workerId: string): void {
    const { standing } = this.worker(workerId)
    standing.asked = Math.max(0, standing.asked - 1)
    standing.silentSince = performance.now()
  }

  /** The worker answered for one that was taken. */
  settled(slots: SpareSlots): void {
    this.count(slots, -1)
  }

  /** One that was taken will not be asked for. */
  giveBack(slots: SpareSlots): void {
    this.settled(slots)
    slots.free++
  }

  /** Forgets all other workers. */
  keep(workerIds: ReadonlySet<string>): void {
    for (const id of this.workers.keys()) if (!workerIds.has(id)) this.workers.delete(id)
  }

  private count(slots: SpareSlots, by: 1 | -1): void {
    const { standing } = slots
    slots.open = Math.max(0, slots.open + by)
    standing.used = Math.max(0, standing.used + by)
    standing.waiting = Math.max(0, standing.waiting + by)
  }

  private worker(workerId: string) {
    let worker = this.workers.get(workerId)
    if (!worker) {
      worker = { standing: { used: 0, waiting: 0, toldAt: Number.NEGATIVE_INFINITY, asked: 0, silentSince: 0 }, agents: new Map() }
      this.workers.set(workerId, worker)
    }
    return worker
  }
}
