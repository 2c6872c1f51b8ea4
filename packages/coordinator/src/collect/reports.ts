/**
 * Takes reports in. Each item is judged alone first (shape, size, text that can be stored); then results go through one
 * lane and failures through another, each with one statement for what has gathered. A result with artifacts, chunks or
 * spawned subtasks gets a transaction of its own.
 */
import {
  assertNever,
  type Failure,
  failure,
  type HandedOver,
  maxBatchItems,
  type Outcome,
  parseStrictJson,
  type ReportItem,
  type ReportReply,
  reportItemSchema,
  toFailure,
} from '@baton/shared'
import { BatchLane, failpoint, type Logger, maxMessageBytes } from '@baton/shared/node'
import type { Artifacts } from '../artifacts/artifacts.js'
import type { ClaimVerdict } from '../store/claims.js'
import type { CompletedItem, ReportVerdict } from '../store/complete.js'
import type { Database } from '../store/database.js'
import { type BackoffLimits, type FailedItem, failAttempts } from '../store/fail.js'
import type { QueuedRow } from '../store/fragments.js'
import type { Room } from '../store/room.js'
import { type ItemResult, runBatch } from './batches.js'
import type { Briefs } from './briefs.js'
import type { AfterCommit } from './effects.js'
import { completeWithExtras, type ExtrasOutcome } from './extras.js'
import { type Handed, jobOf, judgeResults, type ReportedResult } from './judge-results.js'
import type { CollectObserver } from './observer.js'
import { type SpawnPlanner, spawnProblem } from './spawn.js'

interface ReportsOptions {
  readonly database: Database
  readonly briefs: Pick<Briefs, 'of' | 'completed' | 'follower'>
  readonly after: AfterCommit
  readonly room: () => Room
  /** Whether nothing waits in the queue of a route. */
  readonly idle: (routeId: number) => boolean
  readonly leaseMs: number
  readonly defaultSlaMs: number
  readonly backoff: BackoffLimits
  readonly spawner: SpawnPlanner
  readonly artifacts: Artifacts
  readonly maxWaiting: number
  readonly log: Logger
  readonly observer?: CollectObserver | undefined
}

const maxResultBatchBytes = 4 * 1024 * 1024
/** Room for what a reply says beside grants. */
const replyBytes = maxMessageBytes - 300_000

/** A row that was queued and started at once. */
type Begins = QueuedRow & { readonly task_pk: string; readonly claim_id: string; readonly waited?: number }

interface Answer {
  readonly verdict: ReportVerdict
  /** What was handed over, and its trace. */
  readonly handed?: Handed | undefined
  readonly tp?: string | undefined
}

export class Reports {
  private readonly options: ReportsOptions
  private readonly results: BatchLane<ReportedResult, ItemResult<Answer>>
  /** Of what goes first: beside the others, as it would wait for a large batch of these, and be part of the next. */
  private readonly firstResults: BatchLane<ReportedResult, ItemResult<Answer>>
  private readonly failures: BatchLane<FailedItem, ItemResult<ReportVerdict>>

  constructor(options: ReportsOptions) {
    this.options = options
    const { maxWaiting } = options
    const laneOfResults = () =>
      new BatchLane<ReportedResult, ItemResult<Answer>>({
        maxItems: maxBatchItems,
        maxBytes: maxResultBatchBytes,
        sizeOf: i => i.output.length,
        maxWaiting,
        send: items => this.complete(items),
      })
    this.results = laneOfResults()
    this.firstResults = laneOfResults()
    this.failures = new BatchLane({ maxItems: maxBatchItems, maxWaiting, send: items => this.fail(items) })
  }

  /** A `ReportReply` for each, in order, as JSON text. Throws `LaneFullError`, or the database's error when nothing could be committed. */
  async take(items: readonly unknown[], first = false): Promise<string[]> {
    const answers = new Array<Answer | Rejected>(items.length)
    // What is nearly every report shares one promise.
    const plain: { readonly n: number; readonly result: ReportedResult }[] = []
    const others: Promise<void>[] = []
    for (const [n, item] of items.entries()) {
      const { report, problem } = judge(item)
      const result = report && plainResult(report)
      if (!report) answers[n] = rejected(problem)
      else if (result) plain.push({ n, result })
      else
        others.push(
          this.takeOne(report).then(answer => {
            answers[n] = answer
          }),
        )
    }
    const lane = first ? this.firstResults : this.results
    const [results] = await Promise.all([lane.pushAll(plain.map(({ result }) => result)), ...others])
    for (const [i, result] of results.entries()) {
      const n = plain[i]?.n
      if (n !== undefined) answers[n] = result.ok ? result.value : notStored(result.reason)
    }
    let room = replyBytes
    return answers.map(answer => {
      if (!('verdict' in answer)) return JSON.stringify(answer)
      const { verdict, handed, tp } = answer
      if (!handed) return `{"status":"${verdict}"}`
      const bytes = handed.grant === null ? 0 : Buffer.byteLength(handed.grant)
      const fits = bytes <= room
      if (fits) room -= bytes
      return `{"status":"${verdict}","next":${nextText(handed, tp, fits)}}`
    })
  }

  /** What was started with another statement was claimed with it. */
  begun(rows: readonly Begins[]): void {
    const verdicts = rows.map(({ route_id, task_pk, waited = 0 }): ItemResult<ClaimVerdict> => {
      return { ok: true, value: { status: 'granted', grant: null, route_id, task_pk, waited } }
    })
    this.options.observer?.claimed(rows, verdicts)
  }

  private async takeOne(report: ReportItem): Promise<Answer | Rejected> {
    const { outcome } = report
    switch (outcome.kind) {
      case 'completed':
        return this.completed(report, outcome)
      case 'failed':
        return answerOf(await this.failures.push(failedItem(report, outcome)))
      case 'released':
        return answerOf(await this.failures.push(failedItem(report, outcome)))
      default:
        return assertNever(outcome)
    }
  }

  private async completed(report: ReportItem, outcome: Extract<Outcome, { kind: 'completed' }>): Promise<Answer | Rejected> {
    const item = completedItem(report, outcome.output)
    const began = Date.now()
    const { database, after, room, spawner, artifacts, log } = this.options
    const [result] = await runBatch<CompletedItem, ExtrasOutcome>(
      [item],
      async () => {
        failpoint('collect.before-commit')
        const stored = await completeWithExtras({ database, room: room(), spawner, artifacts }, item, outcome)
        failpoint('collect.after-commit')
        return [stored]
      },
      log,
    )
    if (!result?.ok) return rejected(failure('result_invalid', `the result could not be stored: ${result?.reason}`))
    if (result.value.kind === 'rejected') return rejected(result.value.failure)
    const { settled, spawned } = result.value
    this.options.observer?.completed([item], settled.verdicts, began)
    await after.apply(settled)
    for (const _ of settled.refused) this.acknowledge(item)
    if (spawned > 0) after.ready()
    return { verdict: settled.verdicts[0] ?? 'stale' }
  }

  private async complete(items: ReportedResult[]): Promise<ItemResult<Answer>[]> {
    return runBatch(items, batch => this.judge(batch), this.options.log)
  }

  private async judge(items: readonly ReportedResult[]): Promise<Answer[]> {
    const { after, observer } = this.options
    const began = Date.now()
    const { verdicts, refused, handed } = await judgeResults({ ...this.options, onSettled: effects => after.apply(effects) }, items)
    observer?.completed(items, verdicts, began)
    for (const n of refused) this.acknowledge(items[n])
    if (handed.size === 0) return verdicts.map(verdict => ({ verdict }))
    const fresh = [...handed.values()].filter(job => !job.again)
    this.begun(fresh)
    const traces = await after.handedOver(fresh)
    return verdicts.map((verdict, n) => {
      const job = handed.get(n)
      return { verdict, handed: job, tp: job && traces?.get(jobOf(job)) }
    })
  }

  /** A result that came after a cancel was asked for is dropped; that it came shows that the agent has ended. */
  private acknowledge(item: CompletedItem | undefined): void {
    if (!item) return
    const { id, attempt, claim_id } = item
    const cancelled = failure('attempt_aborted', 'the subtask was cancelled; its result came too late')
    this.failures
      .push({ id, attempt, claim_id, outcome: 'failed', failure: JSON.stringify(cancelled), retryable: false, charged: false, saved: null })
      .catch(error => this.options.log.warn({ err: error, subtask: id }, 'a cancel could not be acknowledged; it will be forced'))
  }

  private async fail(items: FailedItem[]): Promise<ItemResult<ReportVerdict>[]> {
    const { database, after, room, backoff, log } = this.options
    const began = Date.now()
    return runBatch(
      items,
      async batch => {
        failpoint('collect.before-commit')
        const settled = await failAttempts(database, batch, room(), backoff)
        failpoint('collect.after-commit')
        this.options.observer?.failed(batch, settled.verdicts, began)
        await after.apply(settled)
        after.ready() // retries and requeues: the dispatcher looks when they are due
        return settled.verdicts
      },
      log,
    )
  }
}

/** A result that travelled whole and brings nothing beside its output; undefined: it does. */
function plainResult(report: ReportItem): ReportedResult | undefined {
  const { outcome, next } = report
  if (outcome.kind !== 'completed' || outcome.output === null || outcome.artifacts || outcome.spawn || outcome.spawn_chunked)
    return undefined
  const { subtask: id, attempt, claim_id, tp } = report
  return { id, attempt, claim_id, tp, output: outcome.output, next }
}

function completedItem({ subtask: id, attempt, claim_id, tp }: ReportItem, output: string | null): CompletedItem {
  return { id, attempt, claim_id, output, tp }
}

type Judged = { report: ReportItem; problem?: never } | { report?: never; problem: Failure }

/** What an item says, or why it cannot be taken; never throws, so that its batch-mates are safe. */
function judge(item: unknown): Judged {
  try {
    const parsed = reportItemSchema.safeParse(item)
    if (!parsed.success) {
      const issues = parsed.error.issues.slice(0, 5).map(i => `${i.path.join('.')}: ${i.message}`)
      return { problem: failure('result_invalid', `the report is not acceptable: ${issues.join('; ')}`) }
    }
    const problem = problemOf(parsed.data.outcome)
    return problem ? { problem } : { report: parsed.data }
  } catch (error) {
    const reason = error instanceof RangeError ? 'it nests too deep' : error instanceof Error ? error.message : String(error) // the stack is exhausted
    return { problem: failure('result_invalid', `the report cannot be read: ${reason}`) }
  }
}

/** Why an outcome cannot be stored as it is. */
function problemOf(outcome: Outcome): Failure | undefined {
  if (outcome.kind !== 'completed') return undefined
  const spawned = outcome.spawn && spawnProblem(outcome.spawn)
  if (spawned) return spawned
  try {
    if (outcome.output !== null) parseStrictJson(outcome.output)
    return undefined
  } catch (error) {
    return failure('result_invalid', `the output cannot be stored: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function failedItem(report: ReportItem, outcome: Extract<Outcome, { kind: 'failed' | 'released' }>): FailedItem {
  const clean = toStorable(outcome.failure)
  return {
    id: report.subtask,
    attempt: report.attempt,
    claim_id: report.claim_id,
    outcome: outcome.kind,
    failure: JSON.stringify(clean),
    retryable: outcome.kind === 'released' || clean.retryable,
    charged: outcome.kind === 'failed',
    saved: outcome.progress !== undefined && isStorableJson(outcome.progress) ? outcome.progress : null,
    ...(report.tp !== undefined && { tp: report.tp }),
  }
}

/** Progress that cannot be stored is not worth failing the report for. */
function isStorableJson(text: string): boolean {
  try {
    parseStrictJson(text)
    return true
  } catch {
    return false
  }
}

/** An agent's own words may hold what no database stores. */
function toStorable(cause: Failure, depth = 0): Failure {
  const { message } = toFailure(new Error(cause.message))
  return {
    code: cause.code,
    message,
    retryable: cause.retryable,
    ...(cause.cause && depth < 5 && { cause: toStorable(cause.cause, depth + 1) }),
  }
}

/** A `HandedOver`. */
function nextText(handed: Handed, tp: string | undefined, withGrant: boolean): string {
  const { id, attempt, grant } = handed
  const next: Omit<HandedOver, 'grant'> = { subtask: id, attempt, job: jobOf(handed), tp }
  const text = JSON.stringify(next)
  return withGrant && grant !== null ? `${text.slice(0, -1)},"grant":${grant}}` : text
}

function answerOf(result: ItemResult<ReportVerdict>): Answer | Rejected {
  return result.ok ? { verdict: result.value } : notStored(result.reason)
}

type Rejected = Extract<ReportReply, { status: 'rejected' }>

const notStored = (reason: string): Rejected => rejected(failure('result_invalid', `the report could not be stored: ${reason}`))

function rejected(cause: Failure): Rejected {
  return { status: 'rejected', failure: cause }
}
