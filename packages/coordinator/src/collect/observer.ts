/** What collect tells whoever counts: after the commit, in so many words. Implementations neither throw nor wait. */
import type { ClaimedItem, ClaimVerdict } from '../store/claims.js'
import type { CompletedItem, ReportVerdict } from '../store/complete.js'
import type { FailedItem } from '../store/fail.js'
import type { ItemResult } from './batches.js'

export interface CollectObserver {
  claimed(items: readonly Pick<ClaimedItem, 'claim_id' | 'attempt'>[], results: readonly ItemResult<ClaimVerdict>[]): void
  /** `began`: when the batch was sent, in milliseconds since 1970. */
  completed(items: readonly CompletedItem[], verdicts: readonly ReportVerdict[], began: number): void
  failed(items: readonly FailedItem[], verdicts: readonly ReportVerdict[], began: number): void
  heartbeats(items: number): void
}
