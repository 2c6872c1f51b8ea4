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
  /** Rejects, with the reason, while nothing can be put in. */
  check(): Promise<void>
  /** Jobs that wait, per queue. */
  waiting(queues: readonly string[]): Promise<Map<string, number>>
  close(): Promise<void>
}

/** What the end of a job may bring: another job for the same slot, which goes into the queue and out of it at once. */
export interface NextJob {
  readonly id: string
  readonly delivery: Delivery
  /** Works it off, as `OnJob` does. */
  run(): Promise<NextJob | undefined>
  /** The queue gives out nothing at present: the job will not be run. */
  giveBack(): Promise<void>
}

/** Works off a job; resolves when it may be finished, and with what the slot goes on with. `turn`: that of its slot. */
export type OnJob = (id: string, delivery: unknown, turn: Turn) => Promise<NextJob | undefined>

/** So many jobs of one queue a slot works off before others have their turn, and for so long. */
const jobsOfTurn = 20
const turnMs = 500

/** What a slot works off of one queue before it is given back, so that an agent's other queues come to it, too. */
export class Turn {
  private readonly began = performance.now()
  private jobs = 0

  /** A job begins. */
  next(): void {
    this.jobs++
  }

  /** The slot should be given back after the job at hand. */
  get isOver(): boolean {
    return this.jobs >= jobsOfTurn || performance.now() - this.began >= turnMs
  }
}

export interface Consumption {
  /** Takes no further job; resolves when those taken are finished. */
  stop(): Promise<void>
}

export interface JobConsumption extends Consumption {
  /** Takes a slot, and goes on in it with what is granted already, as with what follows a job. Answers whether there was a slot. */
  begin(granted: (turn: Turn) => NextJob): boolean
}

/** The worker's side. */
export interface QueueConsumer {
  /**
   * Takes jobs of a queue, each only when a slot is free, and keeps the slot until `onJob` settled; then the job is
   * finished, whatever became of it, and its slot goes on with the next one where there is one. Several queues may share
   * the slots. `onJob` says by `slots.passed()` when the claim of a job that was taken was answered.
   */
  consume(queue: string, slots: Slots, onJob: OnJob): Promise<JobConsumption>
  close(): Promise<void>
}

/**
 * Lets in so many jobs that wait for their claims to be answered. A job that was fetched and cannot begin is better left in
 * its queue: there another worker may take it, and what is urgent may overtake it.
 */
export class Door {
  private readonly limit: number
  private inside = 0
  private readonly waiting: (() => void)[] = []

  constructor(limit: number) {
    this.limit = limit
  }

  get isOpen(): boolean {
    return this.inside < this.limit
  }

  tryEnter(): boolean {
    if (!this.isOpen) return false
    this.inside++
    return true
  }

  leave(): void {
    this.inside--
    for (const wake of this.waiting.splice(0)) wake()
  }

  /** Calls `wake` once, when somebody leaves. */
  whenLeft(wake: () => void): void {
    this.waiting.push(wake)
  }
}

/** Places to run something in; shared by the queues that an agent consumes. A job that takes one enters the door, too. */
export class Slots {
  readonly total: number
  private readonly door: Door
  private used = 0
  private readonly waiting: (() => void)[] = []

  /** Without a door of the worker's, jobs come in for as long as there are slots. */
  constructor(total: number, door = new Door(Number.POSITIVE_INFINITY)) {
    this.total = total
    this.door = door
  }

  get active(): number {
    return this.used
  }

  get free(): number {
    return this.total - this.used
  }

  /** Takes a slot for a job if one is free and the door is open. */
  tryTake(): boolean {
    if (this.used >= this.total || !this.door.tryEnter()) return false
    this.used++
    return true
  }

  /** Takes a slot for what needs no claim any more. */
  tryHold(): boolean {
    if (this.used >= this.total) return false
    this.used++
    return true
  }

  /** The job's claim was answered, or it will not be asked for: once for each job. */
  passed(): void {
    this.door.leave()
  }

  /** Whether another job may come into a slot that is held. */
  tryAgain(): boolean {
    return this.door.tryEnter()
  }

  give(): void {
    this.used--
    for (const wake of this.waiting.splice(0)) wake()
  }

  /** Gives a slot back for which there was no job. */
  giveUnused(): void {
    this.passed()
    this.give()
  }

  /** Resolves when a slot is (or may be) free for a job, or when aborted; takes none. */
  whenFree(signal: AbortSignal): Promise<void> {
    if ((this.free > 0 && this.door.isOpen) || signal.aborted) return Promise.resolve()
    return new Promise(resolve => {
      const wake = () => {
        signal.removeEventListener('abort', wake)
        resolve()
      }
      signal.addEventListener('abort', wake, { once: true })
      if (this.free > 0) this.door.whenLeft(wake)
      else this.waiting.push(wake)
    })
  }
}
