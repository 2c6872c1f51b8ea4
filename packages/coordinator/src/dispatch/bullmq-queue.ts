/**
 * The coordinator's side of the delivery queues, on BullMQ. One connection for all queues.
 *
 * A job's own state, retries and stalled checks are never the truth: `attempts: 1`, and what is finished is removed.
 * During an outage of Redis `ring` fails at once (nothing is buffered); the reconciler rings again later.
 */

import { BatonError, epochKey } from '@baton/shared'
import {
  hopelessRedisError,
  JobAdder,
  type Logger,
  maskSecrets,
  type Ring,
  rarely,
  redisConnection,
  type TaskQueue,
} from '@baton/shared/node'
import { type JobState, Queue } from 'bullmq'
import { Redis } from 'ioredis'

interface BullmqQueueOptions {
  readonly url: string
  /** Prefix of every key. */
  readonly namespace: string
  readonly log: Logger
  /** Gives up waiting for the first connection. */
  readonly signal?: AbortSignal
}

/** A Redis that owes an answer for this long is taken for lost, and connected to anew. */
const silentMs = 5_000
/** Between two lines about an outage, at least. */
const repeatMs = 3_000

/** Connects, waiting with a log line now and then until Redis is there. */
export async function openBullmqQueue(options: BullmqQueueOptions): Promise<TaskQueue> {
  const settings = redisConnection(options.url, 'baton-coordinator')
  const connection = new Redis({
    ...settings,
    maxRetriesPerRequest: 0,
    socketTimeout: silentMs,
    enableOfflineQueue: false,
    lazyConnect: true,
  })
  let lastError: Error | undefined
  connection.on('error', error => {
    lastError = error
  })
  const where = maskSecrets(options.url)
  connection.connect().catch(() => undefined) // the retry strategy goes on
  for (let waited = 0; ; waited++) {
    try {
      await connection.select(settings.db) // the driver itself goes on with database 0 where there is no other
      // The driver goes on in database 0 when the one of the URL does not exist.
      if (lastError && hopelessRedisError.test(lastError.message)) throw lastError
      break
    } catch (error) {
      const reason = lastError ?? error
      const message = reason instanceof Error ? reason.message : String(reason)
      const hopeless = hopelessRedisError.test(message)
      if (hopeless || options.signal?.aborted) {
        connection.disconnect()
        // Without the driver's error as cause: that holds the password.
        throw hopeless
          ? new BatonError('invalid_configuration', `REDIS_URL ${where}: ${message}`)
          : new BatonError('unreachable', 'stopped while waiting for Redis')
      }
      if (waited % 15 === 2) options.log.warn({ url: where, reason: message }, 'waiting for Redis')
      await new Promise(resolve => setTimeout(resolve, 200))
    }
  }
  tellOfOutages(connection, options.log)
  return new BullmqQueue(connection, options)
}

/** One that refuses to write is connected to anew again and again: that is told now and then. */
function tellOfOutages(connection: Redis, log: Logger): void {
  let away = false
  const tell = rarely(repeatMs, () => {
    away = true
    log.warn('Redis is away; reconnecting')
  })
  connection.on('close', () => {
    if (!away) tell()
  })
  connection.on('ready', () => {
    if (away) log.info('Redis is back')
    away = false
  })
}

class BullmqQueue implements TaskQueue {
  private readonly connection: Redis
  private readonly options: BullmqQueueOptions
  private readonly adder: JobAdder
  private readonly queues = new Map<string, Queue>()
  /** When a job was first seen active, by this process's own clock: the time that the job carries is its worker's. */
  private readonly activeSince = new Map<string, number>()

  constructor(connection: Redis, options: BullmqQueueOptions) {
    this.connection = connection
    this.options = options
    this.adder = new JobAdder(connection, options.namespace)
  }

  async ring(jobs: readonly Ring[]): Promise<void> {
    for (const { queue } of jobs) this.queue(queue) // so that BullMQ notes what it notes of a queue
    await Promise.all(jobs.map(job => this.adder.add(job)))
  }

  async missing(jobs: readonly { queue: string; id: string }[], activeForMs: number): Promise<string[]> {
    const there = await Promise.all(jobs.map(({ queue, id }) => this.isThere(queue, id, activeForMs)))
    const forgetBefore = performance.now() - 10 * activeForMs
    for (const [id, since] of this.activeSince) if (since < forgetBefore) this.activeSince.delete(id)
    return jobs.filter((_, i) => !there[i]).map(j => j.id)
  }

  async claimEpoch(): Promise<boolean> {
    return (await this.connection.set(epochKey(this.options.namespace), '1', 'NX')) === 'OK'
  }

  async check(): Promise<void> {
    await this.connection.del(`${epochKey(this.options.namespace)}-none`) // a command that writes, of a key that nobody has
  }

  async waiting(queues: readonly string[]): Promise<Map<string, number>> {
    const counts = await Promise.all(queues.map(name => this.queue(name).getWaitingCount()))
    return new Map(queues.map((name, i) => [name, counts[i] ?? 0]))
  }

  async close(): Promise<void> {
    await Promise.all([...this.queues.values()].map(queue => queue.close().catch(() => undefined)))
    this.connection.removeAllListeners('close')
    this.connection.disconnect()
  }

  private async isThere(name: string, id: string, activeForMs: number): Promise<boolean> {
    const queue = this.queue(name)
    const state: JobState | 'unknown' = await queue.getJobState(id)
    if (state !== 'active') {
      this.activeSince.delete(id)
      return state === 'waiting' || state === 'prioritized' || state === 'delayed'
    }
    const now = performance.now()
    const since = this.activeSince.get(id) ?? now
    this.activeSince.set(id, since)
    return now - since < activeForMs
  }

  private queue(name: string): Queue {
    let queue = this.queues.get(name)
    if (!queue) {
      queue = new Queue(name, {
        connection: this.connection,
        prefix: this.options.namespace,
        skipVersionCheck: true,
        skipWaitingForReady: true,
      })
      queue.on('error', error => this.options.log.debug({ reason: error.message, queue: name }, 'BullMQ reports an error'))
      this.queues.set(name, queue)
    }
    return queue
  }
}
