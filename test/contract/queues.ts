/** The implementations of the queue seam, each with queues of its own for whoever asks. */
import {
  type Consumption,
  MemoryQueue,
  type OnJob,
  type QueueConsumer,
  type Ring,
  type Slots,
  silentLogger,
  type TaskQueue,
} from '@baton/shared/node'
import { openBullmqQueue } from '../../packages/coordinator/src/dispatch/bullmq-queue.js'
import { openBullmqConsumer } from '../../packages/worker/src/bullmq-consumer.js'
import { cleanUp, eventually, freshNamespace, servers } from '../harness/index.js'

/** One namespace: a coordinator's side, and as many workers' sides as are wanted. All are closed when the test ends. */
export interface QueuePlace {
  readonly queue: TaskQueue
  consumer(): Promise<QueueConsumer>
}

export interface QueueKind {
  readonly name: string
  open(): Promise<QueuePlace>
}

const log = silentLogger()
const connectMs = 10_000

export async function openBullmq(url: string, namespace: string): Promise<QueuePlace> {
  const signal = AbortSignal.timeout(connectMs)
  return {
    queue: closing(await openBullmqQueue({ url, namespace, log, signal })),
    consumer: async () => closing(await openBullmqConsumer({ url, namespace, log, signal })),
  }
}

export const queueKinds: readonly QueueKind[] = [
  {
    name: 'MemoryQueue',
    open: async () => {
      const queue = closing(new MemoryQueue())
      return { queue, consumer: async () => queue }
    },
  },
  { name: 'BullMQ', open: async () => openBullmq((await servers()).redisUrl, await freshNamespace()) },
]

function closing<T extends { close(): Promise<void> }>(side: T): T {
  cleanUp(() => side.close())
  return side
}

/** Jobs with ids of their own: `a-1`, `a-2` … */
export function jobs(queue: string, count: number, prefix = queue): Ring[] {
  return Array.from({ length: count }, (_, i) => ({ queue, id: `${prefix}-${i + 1}`, delivery: { v: 1, s: String(i + 1), a: 1 } }))
}

/** A worker whose jobs run until they are let go, and which remembers what it was given. */
export class Bench {
  /** Ids in the order in which they began. */
  readonly begun: string[] = []
  readonly ended: string[] = []
  /** The most that ever ran at once. */
  peak = 0
  private readonly running = new Map<string, () => void>()
  private open = false

  readonly work: OnJob = async id => {
    this.begun.push(id)
    if (!this.open) {
      const gate = new Promise<void>(resolve => this.running.set(id, resolve))
      this.peak = Math.max(this.peak, this.running.size)
      await gate
      this.running.delete(id)
    }
    this.ended.push(id)
    return undefined
  }

  get active(): readonly string[] {
    return [...this.running.keys()]
  }

  /** Lets one job go, the oldest where none is named. */
  finish(id = this.active[0]): void {
    if (id !== undefined) this.running.get(id)?.()
  }

  /** Lets all go, and whatever comes. */
  finishAll(): void {
    this.open = true
    for (const id of this.active) this.finish(id)
  }
}

export const untilBegun = (bench: Bench, count: number) => eventually(() => bench.begun.length >= count, { everyMs: 2 })

export async function consume(consumer: QueueConsumer, queue: string, slots: Slots, bench: Bench): Promise<Consumption> {
  // The test ends with all jobs let go, so that whatever closes the consumer has nothing to wait for.
  cleanUp(() => bench.finishAll())
  return consumer.consume(queue, slots, bench.work)
}
