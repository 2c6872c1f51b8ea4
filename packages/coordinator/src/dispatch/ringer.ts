/**
 * Puts jobs into the queues for rows that were committed as `queued`. When the queue is away the jobs are kept and tried
 * again (a job id is taken once only, so a repeat does no harm); what a crash loses, the reconciler rings again.
 */
import { jobId, protocolVersion } from '@baton/shared'
import { failpoint, failpointAfter, type Logger, type Ring, type Service, type TaskQueue, Ticker } from '@baton/shared/node'
import type { Span } from '@baton/shared/observe'
import type { QueuedRow } from '../store/fragments.js'

const maxKept = 50_000

/** Why a queue does not take jobs: Redis has no memory left, or is away. */
export type HeldReason = 'out_of_memory' | 'unreachable'

interface RingerOptions {
  readonly queue: TaskQueue
  /** Between two tries to reach a queue that is away. */
  readonly retryMs: number
  readonly log: Logger
  /** The spans of these jobs, by their ids; none where nothing is traced. Never rejects. */
  readonly trace?: ((rows: readonly QueuedRow[]) => Promise<ReadonlyMap<string, Span>>) | undefined
  /** The coordinator that knows a subtask's task well, where that is known. */
  readonly knows?: ((subtask: string) => string | undefined) | undefined
  /** So many jobs were put into queues; for whoever counts. */
  readonly onRung?: ((jobs: number) => void) | undefined
}

export class Ringer implements Service {
  readonly name = 'ringer'
  private readonly queue: TaskQueue
  private readonly log: Logger
  private readonly onRung: RingerOptions['onRung']
  private readonly trace: RingerOptions['trace']
  private readonly knows: RingerOptions['knows']
  private readonly retry: Ticker
  private kept: Ring[] = []
  private reason: HeldReason | undefined

  constructor({ queue, retryMs, log, onRung, trace, knows }: RingerOptions) {
    this.queue = queue
    this.log = log
    this.onRung = onRung
    this.trace = trace
    this.knows = knows
    this.retry = new Ticker({ name: 'ringer', everyMs: retryMs, log, run: () => this.tryAgain() })
  }

  /** Jobs that are kept back, and why. */
  get held(): { readonly jobs: number; readonly reason: HeldReason | undefined } {
    return { jobs: this.kept.length, reason: this.reason }
  }

  async start(): Promise<void> {
    await this.retry.start()
  }

  async stop(): Promise<void> {
    await this.retry.stop()
  }

  /** Rows that are `ahead` go before whatever waits in their queue; each before those that were rung before it. */
  async ring(rows: readonly (QueuedRow & { readonly ahead?: boolean })[]): Promise<void> {
    if (rows.length === 0) return
    const spans = this.trace && (await this.trace(rows))
    const rings = rows.map(row => {
      const id = jobId(row.id, row.attempt, row.dispatch)
      const tp = spans?.get(id)?.traceparent
      const c = this.knows?.(row.id)
      return {
        queue: row.queue,
        id,
        ...(row.ahead && { ahead: true }),
        delivery: {
          v: protocolVersion,
          s: row.id,
          a: row.attempt,
          ...(tp !== undefined && { tp }),
          ...(c !== undefined && { c }),
          ...(row.ahead && { f: true }),
        },
      }
    })
    try {
      if (rings.length > 1) await failpointAfter('dispatch.mid-enqueue', () => this.queue.ring(rings.slice(0, rings.length / 2)))
      await this.queue.ring(rings)
      this.onRung?.(rings.length)
      if (spans) for (const span of spans.values()) span.end()
      failpoint('dispatch.after-enqueue')
    } catch (error) {
      const reason = heldReason(error)
      if (spans) for (const span of spans.values()) span.end({ failure: reason })
      if (reason !== this.reason)
        this.log.warn({ err: error, jobs: rings.length, reason }, 'the queue does not take jobs; they are kept and tried again')
      this.reason = reason
      // Beyond the bound the reconciler finds them.
      this.kept.push(...rings.slice(0, maxKept - this.kept.length))
    }
  }

  /** Rows whose jobs their worker brings itself; resolves with the trace contexts of those that are traced, by the ids of their jobs. */
  async handedOver(rows: readonly QueuedRow[]): Promise<ReadonlyMap<string, string> | undefined> {
    if (rows.length === 0) return undefined
    this.onRung?.(rows.length)
    return this.traces(rows)
  }

  /** The trace contexts of those that are traced, by the ids of their jobs. */
  async traces(rows: readonly QueuedRow[]): Promise<ReadonlyMap<string, string> | undefined> {
    const spans = this.trace && (await this.trace(rows))
    if (!spans || spans.size === 0) return undefined
    const traceparents = new Map<string, string>()
    for (const [id, span] of spans) {
      span.end()
      if (span.traceparent !== undefined) traceparents.set(id, span.traceparent)
    }
    return traceparents
  }

  private async tryAgain(): Promise<void> {
    if (this.kept.length === 0) return
    const batch = this.kept.slice(0, 1_000)
    try {
      await this.queue.ring(batch)
      this.onRung?.(batch.length)
    } catch (error) {
      this.reason = heldReason(error)
      return
    }
    this.kept = this.kept.slice(batch.length)
    if (this.kept.length > 0) return this.retry.wake()
    this.reason = undefined
    this.log.info('the queue takes jobs again')
  }
}

function heldReason(error: unknown): HeldReason {
  return error instanceof Error && /\bOOM\b/.test(error.message) ? 'out_of_memory' : 'unreachable'
}
