/**
 * The seam for delivery: a job is a doorbell that says "this attempt is ready". Jobs may be lost, and may be delivered
 * twice; Postgres knows better, and the claim decides. Implementations: BullMQ on Redis (fleet), in memory (local mode).
 */
import type { Delivery } from '../protocol.js'

/** A job to be put into a queue. */
export interface Ring {
  readonly queue: string
  /** Unique for good: a queue ignores an id that it has seen. */
  readonly id: string
  readonly delivery: Delivery
  /** Goes before all that wait; default: behind them. */
  readonly ahead?: boolean
}

/** The coordinator's side. */
export interface TaskQueue {
  /** Puts jobs into their queues, a queue's jobs together. */
  ring(jobs: readonly Ring[]): Promise<void>
  /** Of these jobs, the ids of those that are neither waiting nor, as far as this process saw, active for less than `activeForMs`. */
  missing(jobs: readonly { queue: string; id: string }[], activeForMs: number): Promise<string[]>
  /** True once after whatever holds the jobs was emptied (or is used for the first time), for one of all coordinators. */
  claimEpoch(): Promise<boolean>
  /** Jobs that wait, per queue. */
  waiting(queues: readonly string[]): Promise<Map<string, number>>
  close(): Promise<void>
}

export interface Consumption {
  /** Takes no further job; resolves when those taken are finished. */
  stop(): Promise<void>
}

/** The worker's side. */
export interface QueueConsumer {
  /**
   * Takes jobs of a queue, each only when a slot is free, and keeps the slot until `onJob` settled; then the job is
   * finished, whatever became of it. Several queues may share the slots.
   */
  consume(queue: string, slots: Slots, onJob: (id: string, delivery: unknown) => Promise<void>): Promise<Consumption>
  close(): Promise<void>
}

/** Places to run something in; shared by the queues that an agent consumes. */
export class Slots {
  readonly total: number
  private used = 0
  private readonly waiting: (() => void)[] = []

  constructor(total: number) {
    this.total = total
  }

  get active(): number {
    return this.used
  }

  get free(): number {
    return this.total - this.used
  }

  /** Takes a slot if one is free. */
  tryTake(): boolean {
    if (this.used >= this.total) return false
    this.used++
    return true
  }

  give(): void {
    this.used--
    for (const wake of this.waiting.splice(0)) wake()
  }

  /** Resolves when a slot is (or may be) free, or when aborted; takes none. */
  whenFree(signal: AbortSignal): Promise<void> {
    if (this.free > 0 || signal.aborted) return Promise.resolve()
    return new Promise(resolve => {
      const wake = () => {
        signal.removeEventListener('abort', wake)
        resolve()
      }
      signal.addEventListener('abort', wake, { once: true })
      this.waiting.push(wake)
    })
  }
}
