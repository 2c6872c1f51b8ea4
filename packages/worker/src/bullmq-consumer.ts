/**
 * The worker's side of the delivery queues, on BullMQ: a job is fetched only for a free slot, also where several queues
 * share an agent's slots. BullMQ's own loop keeps a queue's concurrency to itself; hence this one, over its public parts.
 *
 * Invariants: Q1 whoever swallowed a queue's marker (its wake-up) without having a slot, or stops, gives it back, so that
 * another worker's free slot is woken. Q2 a job that was fetched is worked off or handed back, also when its consumer
 * stops at that moment.
 */

import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { BatonError } from '@baton/shared'
import {
  atMost,
  hopelessRedisError,
  type JobConsumption,
  JobWork,
  type Logger,
  maskSecrets,
  type NextJob,
  type OnJob,
  type QueueConsumer,
  type QueueHand,
  rarely,
  redisConnection,
  refusingRedisError,
  type Slots,
  type TakenJob,
  Turn,
} from '@baton/shared/node'
import { type MinimalJob, type RedisQueueBackend, Worker, type WorkerOptions } from 'bullmq'
import { Redis } from 'ioredis'

interface BullmqConsumerOptions {
  readonly url: string
  readonly namespace: string
  readonly log: Logger
  readonly signal?: AbortSignal
}

/** How long one wait for a wake-up lasts, in seconds; a look at the queue follows each. */
const waitSeconds = 5
/** A Redis that owes an answer for this long is taken for lost, and connected to anew. */
const silentMs = 10_000
const pauseAfterErrorMs = 500
/** Between two lines about the same trouble, at least. */
const repeatMs = 3_000
/** What the driver says of requests whose connection broke. */
const cutOff = /connection (?:is )?close/i
/** How long what is granted waits for Redis to take its job. */
const enterMs = 1_000
/** How long a consumption that stops waits for a Redis that is away. */
const farewellMs = 2_000
/** How long a connection that is closed waits for the server to close it, too. */
const partMs = 100
/** Jobs that are asked for at once, at most. */
const maxTaken = 100
/** Connects, waiting with a log line now and then until Redis is there. */
export async function openBullmqConsumer(options: BullmqConsumerOptions): Promise<QueueConsumer> {
  const settings = redisConnection(options.url, 'baton-worker')
  const connection = new Redis({
    ...settings,
    maxRetriesPerRequest: null,
    socketTimeout: silentMs,
    // The driver's own timer for a connection that it is told twice to close keeps the process for as long.
    disconnectTimeout: partMs,
  })
  const where = maskSecrets(options.url)
  connection.on(
    'error',
    rarely(repeatMs, (error: Error) => options.log.warn({ url: where, reason: error.message }, 'waiting for Redis')),
  )
  const opened = new AbortController()
  const refused = new Promise<never>((_, reject) => {
    connection.on('error', error => {
      if (hopelessRedisError.test(error.message)) reject(error)
    })
    const giveUp = () => reject(new BatonError('unreachable', 'stopped while waiting for Redis'))
    if (options.signal?.aborted) giveUp()
    options.signal?.addEventListener('abort', giveUp, { once: true, signal: opened.signal })
  })
  refused.catch(() => undefined) // in case that it comes too late to be waited for
  try {
    await Promise.race([connection.select(settings.db), refused]) // the driver goes on with database 0 where there is no other
  } catch (error) {
    connection.disconnect()
    // Without the driver's error as cause: that holds the password.
    if (error instanceof Error && hopelessRedisError.test(error.message))
      throw new BatonError('invalid_configuration', `REDIS_URL ${where}: ${error.message}`)
    throw error
  } finally {
    opened.abort()
  }
  return new BullmqConsumer(connection, options)
}

class BullmqConsumer implements QueueConsumer {
  private readonly connection: Redis
  private readonly options: BullmqConsumerOptions
  /** Of all queues together: a turn's requests share commands. */
  private readonly jobs: JobWork
  private readonly consumptions = new Set<QueueLoop>()
  /** Connections that BullMQ makes to wait on. */
  private readonly copies: Redis[] = []
  private readonly onRefused = rarely(repeatMs, (reason: string) =>
    this.options.log.warn({ url: maskSecrets(this.options.url), reason }, 'Redis refuses what is asked of it; it is asked again'),
  )

  constructor(connection: Redis, options: BullmqConsumerOptions) {
    this.connection = connection
    this.options = options
    this.jobs = new JobWork(connection, options.namespace)
    const duplicate = connection.duplicate.bind(connection)
    connection.duplicate = override => {
      const copy = duplicate(override)
      this.copies.push(copy)
      return copy
    }
  }

  async consume(queue: string, slots: Slots, onJob: OnJob): Promise<JobConsumption> {
    const loop = new QueueLoop({
      queue,
      slots,
      onJob,
      jobs: this.jobs,
      connection: this.connection,
      namespace: this.options.namespace,
      log: this.options.log,
      onRefused: this.onRefused,
    })
    this.consumptions.add(loop)
    loop.start()
    return {
      begin: granted => loop.begin(granted),
      stop: async () => {
        await loop.stop()
        this.consumptions.delete(loop)
      },
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.consumptions].map(loop => loop.stop()))
    this.connection.disconnect()
    // While a server is silent BullMQ may connect anew what it has just closed (its watchdog of the wait for a job), and the
    // process would never end.
    for (const copy of this.copies) {
      copy.connect = () => Promise.reject(new Error('the consumer is closed'))
      copy.on('error', () => undefined) // of what is being cut off
      copy.disconnect()
    }
  }
}

interface LoopOptions {
  readonly queue: string
  readonly slots: Slots
  readonly onJob: OnJob
  readonly jobs: JobWork
  readonly connection: Redis
  readonly namespace: string
  readonly log: Logger
  /** Redis is there, and refuses. */
  readonly onRefused: (reason: string) => void
}

/** A job that was taken: what of BullMQ's record of it is needed here. */
interface Taken {
  readonly id: string
  readonly delivery: unknown
}

/** What BullMQ's scripts answer: a job, or how many milliseconds a rate limit still holds, or when a delayed job is due. */
type BullmqReply = [record?: { readonly data: string } | null, id?: string, limitMs?: number, dueAt?: number]

/** What BullMQ's own script reads of a job that it is to finish, beside its id. */
const plainJob = { opts: { attempts: 1 } } as MinimalJob // the rest of it is not read

/**
 * A BullMQ worker without its own loop and without its `Job`, which costs more than Redis does: it takes, holds locks,
 * finishes, by scripts of ours (job-scripts.ts) and, where a queue has what these do not know, by BullMQ's own.
 */
class Fetcher extends Worker {
  private readonly jobs: JobWork
  private readonly hand: QueueHand
  /** Jobs that BullMQ's own script is to finish. */
  private readonly foreign = new Set<string>()
  /** In how many milliseconds a rate limit ends, and a delayed job is due, as BullMQ's script last said. */
  private limitedMs = 0
  private dueInMs = Number.POSITIVE_INFINITY

  constructor(queue: string, { jobs, ...options }: WorkerOptions & { readonly jobs: JobWork; readonly lockDuration: number }) {
    super(queue, null, options)
    this.jobs = jobs
    this.hand = { queue, token: this.id, lockMs: options.lockDuration }
  }

  /** Renews the locks of the jobs taken, and fails those of dead workers so that they do not pile up. */
  begin(): void {
    this.lockManager.start()
    void this.startStalledCheckTimer()
  }

  /** Up to `count` jobs, by one command. */
  async take(count: number): Promise<Taken[]> {
    const { jobs, asks } = await this.jobs.take(this.hand, count)
    const taken = jobs.map(job => this.held(job))
    try {
      while (asks && taken.length < count) {
        const next = await this.takeOther()
        if (!next) break
        taken.push(next)
      }
    } catch (error) {
      if (taken.length === 0) throw error // else what was taken is worked off: nobody else would
    }
    return taken
  }

  /** Finishes a job, and takes the next one with the same request to Redis when `andTake`. */
  async finish(id: string, andTake: boolean): Promise<Taken | undefined> {
    this.lockManager.untrackJob(id)
    try {
      if (this.foreign.has(id)) {
        const next = await this.finishOther(id, andTake)
        this.foreign.delete(id) // not before: what was cut off is asked for again
        return next
      }
      const { jobs, asks } = await this.jobs.finish(this.hand, id, andTake)
      const [next] = jobs
      if (next) return this.held(next)
      return asks ? await this.takeOther() : undefined
    } finally {
      this.lockManager.untrackJob(id) // a slow Redis may have answered only now that it was taken
    }
  }

  /** Puts a job into the queue and takes it at once. Answers whether it may run: a queue that is paused or full takes none. */
  async enter({ id, delivery }: Pick<NextJob, 'id' | 'delivery'>): Promise<boolean> {
    const entered = await this.jobs.enter(this.hand, { id, delivery })
    if (entered) this.lockManager.trackJob(id, this.hand.token, Date.now())
    return entered
  }

  /** Gives a job back to the queue, for another worker. */
  async giveBack({ id }: Taken): Promise<void> {
    this.lockManager.untrackJob(id)
    this.foreign.delete(id)
    await this.backend.moveJobFromActiveToWait(id, this.hand.token)
  }

  /** Waits until the queue may have something. Answers whether somebody said so. */
  async waitForWakeUp(signal: AbortSignal): Promise<boolean> {
    const { limitedMs, dueInMs } = this
    this.limitedMs = 0
    this.dueInMs = Number.POSITIVE_INFINITY
    if (limitedMs === 0) return Boolean(await this.backend.waitForJob(Math.min(waitSeconds, Math.max(1, dueInMs / 1_000))))
    await pause(Math.min(limitedMs, waitSeconds * 1_000), signal)
    return false
  }

  private held({ id, data, foreign }: TakenJob): Taken {
    if (foreign) this.foreign.add(id)
    this.lockManager.trackJob(id, this.hand.token, Date.now())
    return { id, delivery: parsed(data) }
  }

  private async takeOther(): Promise<Taken | undefined> {
    return this.taken(await this.backend.moveToActive(this.hand.token))
  }

  private async finishOther(id: string, andTake: boolean): Promise<Taken | undefined> {
    const backend = this.backend as unknown as RedisQueueBackend // a worker on Redis has no other
    return this.taken(
      await backend.moveToFinished(id, backend.moveToCompletedArgs({ ...plainJob, id }, 'null', true, this.hand.token, andTake)),
    )
  }

  /** From BullMQ's `[record, id, rate limit, next delayed]`. */
  private taken(reply: unknown): Taken | undefined {
    const [record, id, limitMs = 0, dueAt = 0] = (reply ?? []) as BullmqReply
    if (record && id) return this.held({ id, data: record.data, foreign: true })
    if (limitMs > 0) this.limitedMs = limitMs
    else if (dueAt > 0) this.dueInMs = Math.max(0, dueAt - Date.now())
    return undefined
  }
}

/** Whoever puts other things into the queue is told so by the one who works them off. */
function parsed(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch {
    return data
  }
}

class QueueLoop {
  private readonly options: LoopOptions
  private readonly fetcher: Fetcher
  private readonly stopping = new AbortController()
  /** Slots at work, until Redis was told of the end of their last job. */
  private readonly running = new Set<Promise<unknown>>()
  /** Jobs that have not ended. */
  private unended = 0
  private onEnded: (() => void) | undefined
  private loop: Promise<void> = Promise.resolve()
  private stopped: Promise<void> | undefined

  constructor(options: LoopOptions) {
    this.options = options
    this.fetcher = new Fetcher(options.queue, {
      jobs: options.jobs,
      connection: options.connection,
      prefix: options.namespace,
      autorun: false,
      maxStalledCount: 0,
      skipVersionCheck: true,
      lockDuration: 60_000,
      stalledInterval: 60_000,
    })
    setMaxListeners(0, this.stopping.signal) // as many as there are jobs to be finished when Redis is back
    this.fetcher.on('error', error => this.failed('BullMQ reports an error', error))
  }

  start(): void {
    this.fetcher.begin()
    this.loop = this.fetch()
  }

  stop(): Promise<void> {
    this.stopped ??= this.end()
    return this.stopped
  }

  /** Takes a slot for what is granted already. */
  begin(granted: (turn: Turn) => NextJob): boolean {
    if (this.isStopping || !this.options.slots.tryHold()) return false
    const turn = new Turn()
    const next = granted(turn)
    this.keep(this.work(turn, () => this.enterAndRun(next, turn)))
    return true
  }

  /** Waits for jobs as long as they take, and for Redis only so long: it may be away. */
  private async end(): Promise<void> {
    this.stopping.abort()
    const parted = atMost(farewellMs, this.part())
    if (this.unended > 0)
      await new Promise<void>(resolve => {
        this.onEnded = resolve
      })
    await parted
    await atMost(farewellMs, Promise.all(this.running))
    await this.fetcher.close(true)
  }

  /** Fetches no more, and leaves the queue's marker to others. */
  private async part(): Promise<void> {
    try {
      await this.fetcher.backend.disconnectBlocking() // cuts the wait for a wake-up short
      await this.loop
      await this.giveMarker() // Q1
    } catch (error) {
      this.failed('a queue was not left in order', error)
    }
  }

  private get isStopping(): boolean {
    return this.stopping.signal.aborted
  }

  private async fetch(): Promise<void> {
    const { slots } = this.options
    let asked = 1
    while (!this.isStopping) {
      try {
        await slots.whenFree(this.stopping.signal)
        if (this.isStopping) return
        const held = takeUpTo(slots, asked)
        if (held === 0) continue
        const taken = await this.fetchSome(held)
        // As many as there were of late: an idle queue is asked for one, a busy one for all that a batch brought.
        if (taken === held) asked = Math.min(2 * held, maxTaken)
        else {
          asked = Math.max(1, taken)
          if (!this.isStopping) await this.waitForWakeUp()
        }
      } catch (error) {
        if (this.isStopping) return
        this.failed('fetching failed; trying again', error)
        await this.pause()
      }
    }
  }

  /** Fills slots that were taken with the next jobs; gives back those for which there is none. Says how many there were. */
  private async fetchSome(held: number): Promise<number> {
    let jobs: Taken[] = []
    try {
      jobs = await this.fetcher.take(held)
    } finally {
      for (let n = jobs.length; n < held; n++) this.options.slots.giveUnused()
    }
    for (const job of jobs) {
      const turn = new Turn()
      this.keep(this.work(turn, () => this.workOff(job, turn)))
    }
    return jobs.length
  }

  private keep(work: Promise<unknown>): void {
    this.running.add(work)
    void work.finally(() => this.running.delete(work))
  }

  /** Works off what a slot was taken for and, while the slot is its own, whatever the queue hands over when a job is finished. */
  private async work(turn: Turn, first: () => Promise<string | undefined>): Promise<void> {
    const { slots } = this.options
    try {
      let last = await first()
      while (last !== undefined) {
        const job: Taken | undefined = await this.finishAndTake(last, !turn.isOver)
        last = job && (await this.workOff(job, turn))
      }
    } catch (error) {
      // The attempt itself was reported; what failed is telling the queue. A second delivery will be answered `gone`.
      this.failed('a job could not be finished', error)
    } finally {
      slots.give()
    }
  }

  /** Finishes a job, and puts the one that follows it through the queue. Answers whether that one may run. */
  private goOn(job: string, next: NextJob): Promise<boolean> {
    this.keep(this.finish(job, false).catch(error => this.failed('a job could not be finished', error, job)))
    return this.enter(next)
  }

  /** Puts what is granted through the queue. Answers whether it may run; else it was given back. */
  private async enter(next: NextJob): Promise<boolean> {
    let refused = false
    const entered = this.fetcher.enter(next).then(
      taken => {
        refused = !taken
      },
      error => this.failed('a job was not put into its queue', error, next.id),
    )
    // It is granted already: while Redis is away it runs without its job.
    await atMost(enterMs, entered)
    if (refused) await next.giveBack()
    return !refused
  }

  private async finishAndTake(job: string, mayTake: boolean): Promise<Taken | undefined> {
    const { slots } = this.options
    const andTake = mayTake && slots.tryAgain()
    let next: Taken | undefined
    try {
      next = await this.finish(job, andTake)
    } finally {
      if (andTake && !next) slots.passed()
    }
    return next
  }

  private async finish(job: string, andTake: boolean): Promise<Taken | undefined> {
    for (;;) {
      try {
        return await this.fetcher.finish(job, andTake && !this.isStopping)
      } catch (error) {
        if (this.isStopping || !(error instanceof Error && isPassing(error))) throw error
        this.failed('a job is not finished yet', error, job)
        await this.pause() // whether it ran is unknown; what is finished already is not finished again
      }
    }
  }

  /** Works off a job, and what it brings. Answers with the id of the one that is left to be finished. */
  private async workOff(job: Taken, turn: Turn): Promise<string | undefined> {
    const { slots, onJob } = this.options
    if (!this.isStopping) return this.run(job.id, () => onJob(job.id, job.delivery, turn), turn)
    slots.passed()
    await this.fetcher.giveBack(job) // Q2
    return undefined
  }

  /** The same for what was granted before it had a job. */
  private async enterAndRun(next: NextJob, turn: Turn): Promise<string | undefined> {
    this.unended++
    try {
      return (await this.enter(next)) ? await this.run(next.id, () => next.run(), turn) : undefined
    } finally {
      this.ended()
    }
  }

  /** A job is finished whatever became of the attempt, as the coordinator alone retries. */
  private async run(id: string, first: () => Promise<NextJob | undefined>, turn: Turn): Promise<string | undefined> {
    const { log, queue } = this.options
    this.unended++
    let last = id
    try {
      turn.next()
      for (let next = await first(); next; next = await next.run()) {
        turn.next()
        if (!(await this.goOn(last, next))) return undefined
        last = next.id
      }
    } catch (error) {
      log.error({ err: error, queue, job: last }, 'a delivery could not be worked off')
    } finally {
      this.ended()
    }
    return last
  }

  private ended(): void {
    this.unended--
    if (this.unended === 0) this.onEnded?.()
  }

  private async waitForWakeUp(): Promise<void> {
    const woken = await this.fetcher.waitForWakeUp(this.stopping.signal)
    if (woken && this.options.slots.free === 0) await this.giveMarker() // Q1
  }

  private async giveMarker(): Promise<void> {
    await this.options.connection.zadd(this.fetcher.backend.keys.marker ?? '', 0, '0')
  }

  /** What is asked again, or found by others, is of interest only while Redis is there and refuses. */
  private failed(what: string, error: unknown, job?: string): void {
    const { log, queue, onRefused } = this.options
    if (error instanceof Error && refusingRedisError.test(error.message)) onRefused(error.message)
    log.debug({ err: error, queue, job }, what)
  }

  private pause(): Promise<void> {
    return pause(pauseAfterErrorMs, this.stopping.signal)
  }
}

const isPassing = ({ message }: Error): boolean => cutOff.test(message) || refusingRedisError.test(message)

/** Leaves no listener behind: an outage takes many of these (I12). */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined)
}

function takeUpTo(slots: Slots, count: number): number {
  let taken = 0
  while (taken < count && slots.tryTake()) taken++
  return taken
}
