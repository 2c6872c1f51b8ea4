/**
 * The queue on which producers leave tasks, on BullMQ. Any coordinator takes a job; one that dies with a job in hand loses
 * its lock, and another one takes the job.
 *
 * Invariants: N1 a job is finished only when its task is committed, or refused for good. N2 the data is read as the text
 * that the producer wrote: BullMQ's own parser would take what ours refuses, and break on what ours can name.
 */
import { BatonError, intakeQueue } from '@baton/shared'
import { atMost, type Consumption, type Logger, redisConnection } from '@baton/shared/node'
import { DelayedError, type Job, type JobJson, UnrecoverableError, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import type { TakenIn } from './take-in.js'

export interface BullmqIntakeOptions {
  readonly url: string
  /** Prefix of every key. */
  readonly namespace: string
  /** How long a coordinator that is not heard keeps a job. */
  readonly lockMs: number
  readonly log: Logger
}

/** Takes a job's text; resolves to what became of it, throws for a fault of ours. */
export type TakeIn = (text: string, traceparent: string | undefined) => Promise<TakenIn>

export interface Intake {
  /** Takes jobs from now on. */
  consume(take: TakeIn): Consumption
}

/** Jobs that are taken in at the same time: they share statements. */
const concurrency = 100
/** Kept for whoever looks, unless the job itself says otherwise. */
const keptTaken = { age: 3_600, count: 1_000 }
const keptRefused = { age: 7 * 24 * 3_600, count: 10_000 }
const retryMs = 500
/** How long a stop waits for a Redis that is away; what was in hand then, another coordinator takes. */
const farewellMs = 5_000

/** Hands over the data as text (N2). */
class TextWorker extends Worker<string, unknown> {
  protected override createJob(json: JobJson, id: string): Job<string, unknown> {
    const job = super.createJob({ ...json, data: '{}' }, id)
    job.data = json.data
    return job
  }
}

export function bullmqIntake({ url, namespace, lockMs, log }: BullmqIntakeOptions): Intake {
  return {
    consume(take) {
      const connection = new Redis({
        ...redisConnection(url, 'baton-intake'),
        maxRetriesPerRequest: null,
      })
      connection.on('error', error => log.debug({ reason: error.message }, 'the intake queue is away'))
      const work = async (job: Job<string>, token: string | undefined) => {
        const taken = await take(job.data, traceparentOf(job)).catch((error: unknown) => {
          log.error({ err: error, job: job.id }, 'a task of the intake queue could not be taken in')
          throw refusal(JSON.stringify({ code: 'internal', detail: 'Something went wrong inside Baton; its log says what' }))
        })
        switch (taken.kind) {
          case 'taken':
            log.info({ task_id: taken.taskId, job: job.id, outcome: taken.outcome }, 'a task came by the intake queue')
            return { task_id: taken.taskId, status: taken.status, outcome: taken.outcome }
          case 'refused':
            log.info({ task_id: taken.taskId, job: job.id, reason: taken.reason }, 'a task of the intake queue was refused')
            throw refusal(taken.reason)
          case 'later':
            await job.moveToDelayed(Date.now() + taken.afterMs, token)
            throw new DelayedError()
          default:
            throw new BatonError('internal', `unexpected ${JSON.stringify(taken satisfies never)}`)
        }
      }
      const worker = new TextWorker(intakeQueue, work, {
        connection,
        prefix: namespace,
        concurrency,
        skipVersionCheck: true,
        lockDuration: lockMs,
        stalledInterval: lockMs,
        maxStalledCount: 1_000, // a coordinator that dies is no fault of the job
        runRetryDelay: retryMs,
        removeOnComplete: keptTaken,
        removeOnFail: keptRefused,
      })
      worker.on('error', error => log.debug({ reason: error.message, queue: intakeQueue }, 'BullMQ reports an error'))
      return {
        stop: async () => {
          await atMost(farewellMs, worker.close())
          connection.disconnect()
        },
      }
    },
  }
}

/** What BullMQ's own telemetry, or the enqueuer of ours, says the job belongs to. */
function traceparentOf({ opts }: Job<string>): string | undefined {
  try {
    const carrier = JSON.parse(opts.telemetry?.metadata ?? '{}') as { traceparent?: unknown } | null
    return typeof carrier?.traceparent === 'string' ? carrier.traceparent : undefined
  } catch {
    return undefined // of another kind
  }
}

/** The reason alone: the place in our code where it was thrown tells a producer nothing. */
function refusal(reason: string): UnrecoverableError {
  const error = new UnrecoverableError(reason)
  error.stack = ''
  return error
}
