/**
 * The worker's side of the delivery queues, on BullMQ: a job is fetched only for a free slot, also where several queues
 * share an agent's slots. BullMQ's own loop keeps a queue's concurrency to itself; hence this one, over its public parts.
 *
 * Invariant Q1: whoever swallowed a queue's marker (its wake-up) without having a slot gives it back, so that another
 * worker's free slot is woken.
 */

import { BatonError } from '@baton/shared'
import { type Consumption, type Logger, maskSecrets, type QueueConsumer, redisEndpoint, type Slots } from '@baton/shared/node'
import { type Job, Worker } from 'bullmq'
import { Redis } from 'ioredis'

interface BullmqConsumerOptions {
  readonly url: string
  readonly namespace: string
  readonly log: Logger
  readonly signal?: AbortSignal
}

/** What waiting does not mend. */
const hopeless = /WRONGPASS|NOAUTH|invalid username-password|ERR DB index/i
/** How long one wait for a wake-up lasts, in seconds; a look at the queue follows each. */
const waitSeconds = 5
const pauseAfterErrorMs = 500
/** Jobs that a slot takes from one queue before the agent's other queues get their turn. */
const jobsPerTurn = 20

type OnJob = (id: string, delivery: unknown) => Promise<void>

/** Connects, waiting with a log line now and then until Redis is there. */
export async function openBullmqConsumer(options: BullmqConsumerOptions): Promise<QueueConsumer> {
  const connection = new Redis({
    ...redisEndpoint(options.url),
    maxRetriesPerRequest: null,
    retryStrategy: tries => Math.min(1_000, 50 * tries),
    connectionName: 'baton-worker',
  })
  const where = maskSecrets(options.url)
  let lastLog = 0
  const onError = (error: Error) => {
    if (performance.now() - lastLog < 3_000 && lastLog > 0) return
    lastLog = performance.now()
    options.log.warn({ url: where, reason: error.message }, 'waiting for Redis')
  }
  connection.on('error', onError)
  const refused = new Promise<never>((_, reject) => {
    connection.on('error', error => {
      if (hopeless.test(error.message)) reject(error)
    })
    options.signal?.addEventListener('abort', () => reject(new BatonError('unreachable', 'stopped while waiting for Redis')), {
      once: true,
    })
  })
  try {
    await Promise.race([connection.ping(), refused])
  } catch (error) {
    connection.disconnect()
    // A refusal arrives as an event, or as the answer to the first command.
    if (error instanceof Error && hopeless.test(error.message))
      throw new BatonError('invalid_configuration', `REDIS_URL ${where}: ${error.message}`, { cause: error })
    throw error
  }
  refused.catch(() => undefined) // no longer waited for
  return new BullmqConsumer(connection, options)
}

class BullmqConsumer implements QueueConsumer {
  private readonly connection: Redis
  private readonly options: BullmqConsumerOptions
  private readonly consumptions = new Set<QueueLoop>()

  constructor(connection: Redis, options: BullmqConsumerOptions) {
    this.connection = connection
    this.options = options
  }

  async consume(queue: string, slots: Slots, onJob: OnJob): Promise<Consumption> {
    const loop = new QueueLoop({
      queue,
      slots,
      onJob,
      connection: this.connection,
      namespace: this.options.namespace,
      log: this.options.log,
    })
    this.consumptions.add(loop)
    loop.start()
    return {
      stop: async () => {
        await loop.stop()
        this.consumptions.delete(loop)
      },
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.consumptions].map(loop => loop.stop()))
    this.connection.disconnect()
  }
}

interface LoopOptions {
  readonly queue: string
  readonly slots: Slots
  readonly onJob: OnJob
  readonly connection: Redis
  readonly namespace: string
  readonly log: Logger
}

/** A BullMQ worker without its own loop: it fetches, holds locks, finishes. */
class Fetcher extends Worker {
  /** Renews the locks of the jobs taken, and fails those of dead workers so that they do not pile up. */
  begin(): void {
    this.lockManager.start()
    void this.startStalledCheckTimer()
  }
}

class QueueLoop {
  private readonly options: LoopOptions
  private readonly fetcher: Fetcher
  private readonly stopping = new AbortController()
  private readonly running = new Set<Promise<void>>()
  private loop: Promise<void> = Promise.resolve()
  private tokens = 0

  constructor(options: LoopOptions) {
    this.options = options
    this.fetcher = new Fetcher(options.queue, async job => this.run(job), {
      connection: options.connection,
      prefix: options.namespace,
      autorun: false,
      maxStalledCount: 0,
      skipVersionCheck: true,
      lockDuration: 60_000,
      stalledInterval: 60_000,
      runRetryDelay: pauseAfterErrorMs,
    })
    this.fetcher.on('error', error => options.log.debug({ err: error, queue: options.queue }, 'BullMQ reports an error'))
  }

  start(): void {
    this.fetcher.begin()
    this.loop = this.fetch()
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    await Promise.all(this.running)
    // Closing cuts the blocking wait short.
    await this.fetcher.close(true)
    await this.loop
  }

  private get stopped(): boolean {
    return this.stopping.signal.aborted
  }

  private async fetch(): Promise<void> {
    const { slots, log, queue } = this.options
    while (!this.stopped) {
      try {
        await slots.whenFree(this.stopping.signal)
        if (this.stopped) return
        if (!slots.tryTake()) continue
        const job = await this.next()
        if (job) this.launch(job)
        else if (!this.stopped) await this.waitForWakeUp()
      } catch (error) {
        if (this.stopped) return
        log.debug({ err: error, queue }, 'fetching failed; trying again')
        await this.pause()
      }
    }
  }

  /** The next job for a slot that was taken; gives the slot back when there is none. */
  private async next(): Promise<Job | undefined> {
    let job: Job | undefined
    try {
      job = await this.fetcher.getNextJob(`${this.fetcher.id}:${this.tokens++}`, { block: false })
      return job
    } finally {
      if (!job) this.options.slots.give()
    }
  }

  /** Runs a job and, while the slot is its own, whatever the queue hands over when the job is finished. */
  private launch(first: Job): void {
    const work = (async () => {
      let job: Job | undefined = first
      try {
        for (let n = 1; job; n++)
          job = (await this.fetcher.processJob(job, job.token ?? '', () => !this.stopped && n < jobsPerTurn)) ?? undefined
      } catch (error) {
        // The attempt itself was reported; what failed is telling the queue. A second delivery will be answered `gone`.
        this.options.log.debug({ err: error, queue: this.options.queue }, 'a job could not be finished')
      } finally {
        this.options.slots.give()
      }
    })()
    this.running.add(work)
    void work.finally(() => this.running.delete(work))
  }

  private async run(job: Job): Promise<null> {
    try {
      await this.options.onJob(job.id ?? '', job.data)
    } catch (error) {
      this.options.log.error({ err: error, queue: this.options.queue, job: job.id }, 'a delivery could not be worked off')
    }
    return null // the job is finished whatever became of the attempt: the coordinator alone retries
  }

  private async waitForWakeUp(): Promise<void> {
    const woken = await this.fetcher.backend.waitForJob(waitSeconds)
    if (woken && this.options.slots.free === 0) await this.options.connection.zadd(this.fetcher.backend.keys.marker ?? '', 0, '0') // Q1
  }

  private pause(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, pauseAfterErrorMs)
      this.stopping.signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer)
          resolve()
        },
        { once: true },
      )
    })
  }
}
