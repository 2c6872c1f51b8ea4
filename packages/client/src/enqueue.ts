/**
 * Leaves tasks in the queue `baton-tasks` instead of sending them over HTTP: for producers that have Redis at hand and
 * shall not wait for a coordinator. Needs the packages bullmq and ioredis beside this one.
 *
 * What was enqueued is as durable as Redis until a coordinator has taken it in; then it is as durable as Postgres.
 */
import { BatonError, intakeQueue, type OrchestrateRequest } from '@baton/shared'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { problemOfItem } from './problem.js'

export interface EnqueuerOptions {
  /** `redis[s]://…`, the one of the coordinators. */
  readonly redisUrl: string
  /** The coordinators' `BATON_NAMESPACE`; default `baton`. */
  readonly namespace?: string
}

export interface EnqueueOptions {
  /** W3C trace context that the task's spans belong to. */
  readonly traceparent?: string
}

/** What became of a job. */
export type Enqueued =
  /** No coordinator has taken it yet. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'taken'; readonly taskId: string; readonly outcome: 'created' | 'existing' }
  | { readonly kind: 'refused'; readonly error: BatonError }
  /** Its job is not there any more. */
  | { readonly kind: 'forgotten' }

export interface Enqueuer {
  /** Resolves with the job's id when Redis has it. Idempotent by `task_id`: what is enqueued twice is one task. */
  enqueue(task: OrchestrateRequest, options?: EnqueueOptions): Promise<string>
  /** Many at once; ids in order. */
  enqueueMany(tasks: readonly OrchestrateRequest[], options?: EnqueueOptions): Promise<string[]>
  /** What became of a job so far. */
  outcome(jobId: string): Promise<Enqueued>
  close(): Promise<void>
}

const perCall = 500

/**
 * @example
 * const enqueuer = createEnqueuer({ redisUrl: 'redis://127.0.0.1:6379' })
 * await enqueuer.enqueue({ task_id: 'nightly-7', title: 'Nightly review', description: 'Review the branch main.', execute: true })
 * await enqueuer.close()
 *
 * While Redis is away `enqueue` rejects; nothing is kept in this process.
 */
export function createEnqueuer({ redisUrl, namespace = 'baton' }: EnqueuerOptions): Enqueuer {
  const connection = new Redis(redisUrl, {
    maxRetriesPerRequest: 1,
    connectionName: 'baton-producer',
    reconnectOnError: ({ message }) => /\bREADONLY\b/.test(message), // a primary that was demoted: its successor may be reached anew
  })
  connection.on('error', () => undefined) // whoever asks is told
  const queue = new Queue(intakeQueue, { connection, prefix: namespace, skipVersionCheck: true })
  queue.on('error', () => undefined)
  const enqueueMany: Enqueuer['enqueueMany'] = async (tasks, { traceparent } = {}) => {
    const opts = traceparent === undefined ? {} : { telemetry: { metadata: JSON.stringify({ traceparent }) } }
    const ids: string[] = []
    for (let i = 0; i < tasks.length; i += perCall) {
      const added = await queue.addBulk(tasks.slice(i, i + perCall).map(data => ({ name: data.task_id, data, opts })))
      ids.push(...added.map(job => job.id ?? ''))
    }
    return ids
  }
  return {
    enqueueMany,
    enqueue: async (task, options) => (await enqueueMany([task], options))[0] ?? '',
    async outcome(jobId) {
      // Past BullMQ's own reading, which fails for a job whose data is no JSON: such a one was refused, too.
      const [exists, reason, result] = await connection.hmget(queue.toKey(jobId), 'timestamp', 'failedReason', 'returnvalue')
      if (!exists) return { kind: 'forgotten' }
      if (reason) return { kind: 'refused', error: refusalOf(reason) }
      if (!result) return { kind: 'waiting' }
      const { task_id, outcome } = JSON.parse(result) as { task_id: string; outcome: 'created' | 'existing' } // written by a coordinator
      return { kind: 'taken', taskId: task_id, outcome }
    },
    async close() {
      await queue.close()
      connection.disconnect()
    },
  }
}

/** A coordinator writes its problem there as JSON text; BullMQ itself writes sentences. */
function refusalOf(reason: string): BatonError {
  try {
    const error = problemOfItem(JSON.parse(reason), 400)
    if (error) return error
  } catch {
    // a sentence
  }
  return new BatonError('internal', reason)
}
