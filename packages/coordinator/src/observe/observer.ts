/**
 * Counts what the coordinator does. It is told by the other duties, which know nothing of metrics; main.ts connects them.
 *
 * How long an attempt ran is known here from its grant to its report: a worker stays with one coordinator, so both pass
 * through the same one unless it moves in between, and such an attempt is left out of the histogram.
 */
import { errorCodes, type Failure } from '@baton/shared'
import { BoundedLabel, Metrics } from '@baton/shared/observe'
import type { CollectObserver } from '../collect/observer.js'
import type { EndedTask } from '../store/standing.js'
import type { Sweep } from '../watch/watcher.js'
import type { FailedAttempt } from './chronicle.js'
import { coordinatorMetrics } from './table.js'
import type { TaskTraces } from './task-traces.js'

export type CoordinatorMetrics = Metrics<typeof coordinatorMetrics>

interface Run {
  readonly capability: string
  readonly since: number
}

/** Grants that are remembered; of more the run time is not known (M1). */
const maxRuns = 100_000
const unknown = 'unknown'
const knownCodes: ReadonlySet<string> = new Set(errorCodes)
/** How much the latest run counts in the mean of its capability. */
const weight = 0.05

const sweptCodes: Record<Sweep, string> = {
  lost: 'worker_lost',
  late: 'attempt_timed_out',
  overdue: 'deadline_exceeded',
  unheeded: 'attempt_aborted',
}

interface ObserverOptions {
  readonly version: string
  readonly mode: string
  readonly capabilityOf: (routeId: number) => string | undefined
  readonly traces: Pick<TaskTraces, 'aggregate'> | undefined
  /** An attempt ended without a result, not for a person's sake. */
  readonly onFailed: (attempt: FailedAttempt) => void
}

export class Observer implements CollectObserver {
  readonly metrics: CoordinatorMetrics
  readonly capabilities = new BoundedLabel()
  private readonly runs = new Map<string, Run>()
  private readonly means = new Map<string, number>()

  private readonly options: ObserverOptions

  constructor(options: ObserverOptions) {
    this.options = options
    const { version, mode } = options
    this.metrics = new Metrics(coordinatorMetrics)
    this.metrics.set('orchestrator_info', { version, mode }, 1)
    this.metrics.add('orchestrator_lease_losses_total', {}, 0)
  }

  /** Mean seconds of a run of this capability; 1 while none has ended. */
  meanRun(capability: string): number {
    return this.means.get(capability) ?? 1
  }

  claimed: CollectObserver['claimed'] = (items, results) => {
    const { metrics } = this
    metrics.observe('orchestrator_batch_items', { kind: 'claims' }, items.length)
    const since = performance.now()
    const statuses = new Tally<string>()
    for (const [i, result] of results.entries()) {
      statuses.add(result.ok ? result.value.status : 'gone')
      const item = items[i]
      if (!item || !result.ok || result.value.waited === null || this.runs.has(item.claim_id)) continue
      const { route_id, waited } = result.value
      const capability = this.capabilities.of((route_id !== null && this.options.capabilityOf(route_id)) || unknown)
      metrics.observe('orchestrator_queue_wait_seconds', { capability }, Math.max(0, waited))
      if (item.attempt > 1) metrics.add('orchestrator_retries_total', { capability })
      if (this.runs.size < maxRuns) this.runs.set(item.claim_id, { capability, since })
    }
    for (const [status, count] of statuses) metrics.add('orchestrator_claims_total', { status }, count)
  }

  completed: CollectObserver['completed'] = (items, verdicts, began) => {
    this.metrics.observe('orchestrator_batch_items', { kind: 'results' }, items.length)
    const said = new Tally<(typeof verdicts)[number]>()
    const accepted = new Tally<string>()
    for (const [i, verdict] of verdicts.entries()) {
      said.add(verdict)
      this.trace(items[i], verdict, began, items.length)
      const capability = this.ended(items[i]?.claim_id, 'completed')
      if (verdict === 'accepted') accepted.add(capability)
    }
    for (const [verdict, count] of said) this.metrics.add('orchestrator_reports_total', { verdict }, count)
    for (const [capability, count] of accepted) this.metrics.add('orchestrator_subtasks_completed_total', { capability }, count)
  }

  failed: CollectObserver['failed'] = (items, verdicts, began) => {
    this.metrics.observe('orchestrator_batch_items', { kind: 'failures' }, items.length)
    for (const [i, verdict] of verdicts.entries()) {
      const item = items[i]
      if (!item) continue
      this.metrics.add('orchestrator_reports_total', { verdict })
      this.trace(item, verdict, began, items.length)
      const capability = this.ended(item.claim_id, item.outcome)
      // Given back by a worker that drains: no failure.
      if (verdict !== 'accepted' || item.outcome !== 'failed') continue
      const { code, message } = JSON.parse(item.failure) as Failure // written by collect
      // Agents choose codes of their own.
      const label = knownCodes.has(code) ? code : BoundedLabel.rest
      this.metrics.add('orchestrator_subtask_failures_total', { capability, code: label })
      this.options.onFailed({ id: item.id, attempt: item.attempt, code, reason: message })
    }
  }

  heartbeats: CollectObserver['heartbeats'] = items => {
    this.metrics.observe('orchestrator_batch_items', { kind: 'heartbeats' }, items)
  }

  readonly swept = (why: Sweep, ended: readonly { id: string; claim_id: string }[]): void => {
    if (why === 'lost') this.metrics.add('orchestrator_lease_losses_total', {}, ended.length)
    const code = sweptCodes[why]
    for (const { id, claim_id } of ended) {
      const capability = this.ended(claim_id, why === 'lost' ? 'lost' : why === 'unheeded' ? 'cancelled' : 'timed_out')
      if (why === 'unheeded') continue
      this.metrics.add('orchestrator_subtask_failures_total', { capability, code })
      this.options.onFailed({ id, code })
    }
  }

  /** Waits that were longer than they may be. */
  readonly overrun = (count: number): void => {
    this.metrics.add('orchestrator_subtask_failures_total', { capability: unknown, code: 'queue_wait_exceeded' }, count)
  }

  readonly taskEnded = ({ status, seconds }: EndedTask): void => {
    this.metrics.observe('orchestrator_latency_seconds', { status }, Math.max(0, seconds))
  }

  readonly submitted = (outcome: 'created' | 'existing' | 'refused'): void => {
    this.metrics.add('orchestrator_tasks_submitted_total', { outcome })
  }

  readonly missing = (jobs: number): void => {
    this.metrics.add('orchestrator_jobs_missing_total', {}, jobs)
  }

  readonly answered = (request: { method: string; route: string; status: number; seconds: number }): void => {
    const { method, route, status, seconds } = request
    this.metrics.observe('orchestrator_http_request_seconds', { method, route, status: `${Math.floor(status / 100)}xx` }, seconds)
  }

  private trace(item: { tp?: string | undefined } | undefined, verdict: string, began: number, batch: number): void {
    if (item?.tp !== undefined) this.options.traces?.aggregate(item.tp, began, { 'baton.verdict': verdict, 'baton.batch_items': batch })
  }

  /** The end of a run that this coordinator granted; its capability, or `unknown`. */
  private ended(claim: string | undefined, outcome: string): string {
    const run = claim === undefined ? undefined : this.runs.get(claim)
    if (!run || claim === undefined) return unknown
    this.runs.delete(claim)
    const seconds = (performance.now() - run.since) / 1_000
    this.metrics.observe('orchestrator_run_seconds', { capability: run.capability, outcome }, seconds)
    const mean = this.means.get(run.capability)
    this.means.set(run.capability, mean === undefined ? seconds : mean + weight * (seconds - mean))
    return run.capability
  }
}

/** How often each of a batch occurs: the few kinds are counted once, and not each item. */
class Tally<K> extends Map<K, number> {
  add(kind: K): void {
    this.set(kind, (this.get(kind) ?? 0) + 1)
  }
}
