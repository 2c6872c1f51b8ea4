/**
 * Answers claims: one lane, one statement for what has gathered; a second one for what is not known here, or was not granted
 * by the first, and has to be judged.
 */
import { type ClaimItem, maxBatchItems } from '@baton/shared'
import { BatchLane, failpoint, type Logger } from '@baton/shared/node'
import { type ClaimedItem, type ClaimVerdict, grantClaims } from '../store/claims.js'
import type { Database } from '../store/database.js'
import { type KnownClaim, startKnown } from '../store/start-known.js'
import { type ItemResult, runBatch } from './batches.js'
import type { Brief, Briefs } from './briefs.js'
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
    const results = await Promise.all(
      items.map(i => this.lane.push({ id: i.subtask, attempt: i.attempt, claim_id: i.claim_id, agent: i.agent, worker_id: workerId })),
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
        const granted = await this.judge(batch)
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

  private async judge(items: readonly ClaimedItem[]): Promise<ClaimVerdict[]> {
    const { database, briefs, leaseMs, defaultSlaMs, deferMs } = this.options
    const verdicts = new Array<ClaimVerdict>(items.length)
    const known: { n: number; claim: KnownClaim; brief: Brief }[] = []
    const seen = new Set<string>()
    const left: number[] = []
    for (const [n, item] of items.entries()) {
      const brief = seen.has(item.id) ? undefined : briefs.of(item.id)
      if (brief)
        known.push({
          n,
          claim: { ...item, after: brief.after, sla_ms: brief.sla_ms, lease_ms: brief.lease_ms, deadline_ms: brief.deadline_ms },
          brief,
        })
      else left.push(n)
      seen.add(item.id)
    }
    if (known.length > 0) {
      const claims = known.map(({ claim }) => claim)
      const started = await startKnown(database, claims, { leaseMs, defaultSlaMs })
      for (const [i, { n, brief }] of known.entries()) {
        const row = started[i]
        if (row)
          verdicts[n] = { status: 'granted', grant: brief.grant(row), route_id: row.route_id, task_pk: row.task_pk, waited: row.waited }
        else left.push(n)
      }
    }
    if (left.length > 0) {
      left.sort((a, b) => a - b)
      const judged = await grantClaims(
        database,
        left.map(n => items[n] as ClaimedItem), // an index into them
        { leaseMs, defaultSlaMs, deferMs },
      )
      for (const [i, n] of left.entries()) verdicts[n] = judged[i] as ClaimVerdict // one per item
    }
    return verdicts
  }
}
