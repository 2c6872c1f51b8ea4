/** What collect tells whoever counts: after the commit, in so many words. Implementations neither throw nor wait. */
import type { ClaimedItem, ClaimVerdict } from '../store/claims.js'
import type { CompletedItem, ReportVerdict } from '../store/complete.js'
import type { FailedItem } from '../store/fail.js'
import type { ItemResult } from './batches.js'

export interface CollectObserver {
  claimed(items: readonly ClaimedItem[], results: readonly ItemResult<ClaimVerdict>[]): void
  completed(items: readonly CompletedItem[], verdicts: readonly ReportVerdict[]): void
  failed(items: readonly FailedItem[], verdicts: readonly ReportVerdict[]): void
  heartbeats(items: number): void
}
