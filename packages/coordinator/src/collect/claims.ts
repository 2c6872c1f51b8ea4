/** Answers claims: one lane for what has gathered. */
import { type ClaimItem, maxBatchItems } from '@baton/shared'
import { BatchLane, failpoint, type Logger } from '@baton/shared/node'
import type { ClaimedItem, ClaimVerdict } from '../store/claims.js'
import type { Database } from '../store/database.js'
import { type ItemResult, runBatch } from './batches.js'
import type { Briefs } from './briefs.js'
import { judgeClaims } from './judge-claims.js'
import type { CollectObserver } from './observer.js'

interface ClaimsOptions {
  readonly database: Database
  readonly briefs: Pick<Briefs, 'of'>
  readonly leaseMs: number
  readonly defaultSlaMs: number
  /** How long a suspect waits whose worker runs another one. */
  readonly deferMs: number
  readonly maxWaiting: number
  readonly log: Logger
  /** Claims of these routes left the queue. */
  readonly onClaimed: (routeIds: readonly number[]) => void
  readonly onChange: (taskPks: readonly string[]) => void
  /** Rows went back to ready. */
  readonly onReady: () => void
  readonly observer?: CollectObserver | undefined
}

export class Claims {
  private readonly options: ClaimsOptions
  private readonly lane: BatchLane<ClaimedItem, ItemResult<ClaimVerdict>>

  constructor(options: ClaimsOptions) {
    this.options = options
    this.lane = new BatchLane({ maxItems: maxBatchItems, maxWaiting: options.maxWaiting, send: items => this.grant(items) })
  }

  /** A `ClaimReply` for each, in order, as JSON text. Throws `LaneFullError`, or the database's error when nothing could be committed. */
  async take(workerId: string, items: readonly ClaimItem[]): Promise<string[]> {
    const results = await this.lane.pushAll(
      items.map(i => ({ id: i.subtask, attempt: i.attempt, claim_id: i.claim_id, agent: i.agent, worker_id: workerId })),
    )
    return results.map(result => {
      const { status, grant } = result.ok ? result.value : { status: 'gone', grant: null }
      return grant === null ? `{"status":"${status}"}` : `{"status":"${status}","grant":${grant}}`
    })
  }

  private async grant(items: ClaimedItem[]): Promise<ItemResult<ClaimVerdict>[]> {
    const { log, onClaimed, onChange, onReady } = this.options
    const results = await runBatch(
      items,
      async batch => {
        failpoint('collect.claim-before-commit')
        const granted = await judgeClaims(this.options, batch)
        failpoint('collect.claim-after-commit')
        return granted
      },
      log,
    )
    this.options.observer?.claimed(items, results)
    const verdicts = results.flatMap(r => (r.ok ? [r.value] : []))
    onClaimed(verdicts.flatMap(v => (v.status !== 'gone' && v.route_id !== null ? [v.route_id] : [])))
    onChange([...new Set(verdicts.flatMap(v => (v.task_pk !== null && v.status === 'granted' ? [v.task_pk] : [])))])
    if (verdicts.some(v => v.status === 'held' || v.status === 'not_eligible')) onReady()
    return results
  }
}
