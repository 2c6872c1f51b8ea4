/** Exponential backoff with jitter, shared by the coordinator's retries and every client that repeats a request. */

export interface BackoffPolicy {
  /** Before the first repeat. */
  readonly initialMs: number
  readonly factor: number
  readonly maxMs: number
  /** The share of the delay that is random, 0 to 1. */
  readonly jitter: number
}

export const defaultRetryBackoff: BackoffPolicy = { initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 }

/** The delay before repeat number `n` (from 1). `random` is in [0, 1). */
export function backoffMs(policy: BackoffPolicy, n: number, random: number): number {
  const full = Math.min(policy.maxMs, policy.initialMs * policy.factor ** (n - 1))
  return Math.round(full * (1 - policy.jitter) + full * policy.jitter * random)
}
