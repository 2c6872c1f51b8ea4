/**
 * Slots of workers in which attempts may be started at once, as the workers themselves say with their claims, reports and
 * heartbeats. An estimate: what was taken of it and not answered yet is left out of what a worker says meanwhile. Where it
 * is wrong the worker says no, and the attempt is given back.
 */
import type { Spare } from '@baton/shared'

/** One agent on one worker. */
export interface SpareSlots {
  readonly workerId: string
  readonly agent: string
  /** The most that its worker ever said. */
  most: number
  /** What may be taken now. */
  free: number
  /** Taken, and not answered. */
  open: number
  /** When the worker was last heard, on the process' own clock in ms. */
  heardAt: number
}

/** So many are looked at for a slot. */
const maxLooks = 4

export class Spares {
  private readonly freshMs: number
  private readonly reachable: () => boolean
  private readonly workers = new Map<string, Map<string, SpareSlots>>()
  private turn = 0

  /** What a worker said counts for so long, and only while workers can be reached at all. */
  constructor(freshMs: number, reachable: () => boolean = () => true) {
    this.freshMs = freshMs
    this.reachable = reachable
  }

  /** What a worker has to spare, by agent: nothing where it does not say. */
  heard(workerId: string, spare: Spare = {}): void {
    const now = performance.now()
    const known = this.workers.get(workerId)
    if (known) for (const slots of known.values()) if (spare[slots.agent] === undefined) slots.free = 0
    for (const agent in spare) {
      const slots = this.of(workerId, agent)
      const told = spare[agent] ?? 0
      slots.most = Math.max(slots.most, told)
      slots.free = Math.max(0, told - slots.open)
      slots.heardAt = now
    }
  }

  of(workerId: string, agent: string): SpareSlots {
    let agents = this.workers.get(workerId)
    if (!agents) {
      agents = new Map()
      this.workers.set(workerId, agents)
    }
    let slots = agents.get(agent)
    if (!slots) {
      slots = { workerId, agent, most: 0, free: 0, open: 0, heardAt: Number.NEGATIVE_INFINITY }
      agents.set(agent, slots)
    }
    return slots
  }

  /** Takes a slot of one of these: of a few, the one with the most. None of an agent that uses `maxBusy` slots of those that it had to spare. */
  take(among: readonly SpareSlots[], maxBusy = Number.POSITIVE_INFINITY): SpareSlots | undefined {
    if (among.length === 0 || !this.reachable()) return undefined
    const oldest = performance.now() - this.freshMs
    let best: SpareSlots | undefined
    for (let i = 0; i < Math.min(maxLooks, among.length); i++) {
      this.turn = (this.turn + 1) % among.length
      const slots = among[this.turn]
      if (slots && slots.free > (best?.free ?? 0) && slots.heardAt >= oldest && slots.most - slots.free < maxBusy) best = slots
    }
    if (!best) return undefined
    best.free--
    best.open++
    return best
  }

  /** Whether its worker was heard lately, and has slots to spare now and then. */
  isFresh({ most, heardAt }: SpareSlots): boolean {
    return most > 0 && this.reachable() && heardAt >= performance.now() - this.freshMs
  }

  /** The worker answered for one that was taken. */
  settled(slots: SpareSlots): void {
    slots.open = Math.max(0, slots.open - 1)
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
}
