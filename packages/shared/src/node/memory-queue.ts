/**
 * The queue of one process. It forgets everything when the process ends, which loses nothing: at start the reconciler
 * rings again for all that Postgres says is queued.
 */
import type { Delivery } from '../protocol.js'
import { type JobConsumption, type NextJob, type OnJob, type QueueConsumer, type Ring, type Slots, type TaskQueue, Turn } from './queue.js'

interface MemoryJob {
  readonly id: string
  readonly delivery: Delivery
}

interface Queue {
  readonly waiting: MemoryJob[]
  /** Ids of the jobs that wait or run. */
  readonly known: Set<string>
  readonly active: Map<string, number>
  readonly consumers: Set<() => void>
}

export class MemoryQueue implements TaskQueue, QueueConsumer {
  private readonly queues = new Map<string, Queue>()
  private readonly consumptions = new Set<JobConsumption>()
  private epochClaimed = false

  async ring(jobs: readonly Ring[]): Promise<void> {
    for (const job of jobs) {
      const queue = this.queue(job.queue)
      if (queue.known.has(job.id)) continue
      queue.known.add(job.id)
      if (job.ahead) queue.waiting.unshift({ id: job.id, delivery: job.delivery })
      else queue.waiting.push({ id: job.id, delivery: job.delivery })
    }
    for (const name of new Set(jobs.map(j => j.queue))) this.wake(this.queue(name))
  }

  async missing(jobs: readonly { queue: string; id: string }[], activeForMs: number): Promise<string[]> {
    const now = performance.now()
    return jobs
      .filter(({ queue: name, id }) => {
        const { known, active } = this.queue(name)
        const since = active.get(id)
        return !known.has(id) || (since !== undefined && now - since >= activeForMs)
      })
      .map(j => j.id)
  }

  async claimEpoch(): Promise<boolean> {
    const first = !this.epochClaimed
    this.epochClaimed = true
    return first
  }

  async check(): Promise<void> {}

  async waiting(queues: readonly string[]): Promise<Map<string, number>> {
    return new Map(queues.map(name => [name, this.queue(name).waiting.length]))
  }

  async consume(name: string, slots: Slots, onJob: OnJob): Promise<JobConsumption> {
    const queue = this.queue(name)
    const running = new Set<Promise<void>>()
    const stopping = new AbortController()
    let parked = false
    const park = () =>
      void slots.whenFree(stopping.signal).then(() => {
        parked = false
        take()
      })
    const take = () => {
      let taken = 0
      while (!stopping.signal.aborted && queue.waiting.length > 0) {
        if (!slots.tryTake()) {
          // Whoever had his turn waits behind those who had none, so that no queue starves another one of slots.
          if (!parked && taken > 0) setImmediate(park)
          else if (!parked) park()
          parked = true
          return
        }
        taken++
        const job = queue.waiting.shift() as MemoryJob // its length was just checked
        hold(work(queue, job.id, async turn => onJob(job.id, job.delivery, turn)))
      }
    }
    /** Keeps a slot for as long as this takes. */
    const hold = (working: Promise<void>) => {
      const run = working
        .catch(() => undefined) // the consumer's own business; the job is finished all the same
        .then(() => {
          running.delete(run)
          slots.give()
          queueMicrotask(take) // after those that the slot woke
        })
      running.add(run)
    }
    queue.consumers.add(take)
    setImmediate(take)
    const consumption: JobConsumption = {
      begin: granted => {
        if (stopping.signal.aborted || !slots.tryHold()) return false
        const turn = new Turn()
        const next = granted(turn)
        queue.known.add(next.id)
        hold(work(queue, next.id, () => next.run(), turn))
        return true
      },
      stop: async () => {
        queue.consumers.delete(take)
        stopping.abort()
        await Promise.all(running)
        this.consumptions.delete(consumption)
      },
    }
    this.consumptions.add(consumption)
    return consumption
  }

  async close(): Promise<void> {
    await Promise.all([...this.consumptions].map(consumption => consumption.stop()))
  }

  private queue(name: string): Queue {
    let queue = this.queues.get(name)
    if (!queue) {
      queue = { waiting: [], known: new Set(), active: new Map(), consumers: new Set() }
      this.queues.set(name, queue)
    }
    return queue
  }

  private wake(queue: Queue): void {
    setImmediate(() => {
      for (const take of queue.consumers) take()
    })
  }
}

/** Works off a job, and whatever its slot goes on with. */
async function work(
  { known, active }: Queue,
  first: string,
  run: (turn: Turn) => Promise<NextJob | undefined>,
  turn = new Turn(),
): Promise<void> {
  let id = first
  try {
    active.set(id, performance.now())
    turn.next()
    for (let next = await run(turn); next; next = await next.run()) {
      turn.next()
      active.delete(id)
      known.delete(id)
      id = next.id
      known.add(id)
      active.set(id, performance.now())
    }
  } finally {
    active.delete(id)
    known.delete(id)
  }
}
