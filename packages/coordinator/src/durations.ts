/**
 * Every duration of a coordinator that no setting gives, in one place, so that a test can have all of them smaller by the
 * same factor. Lease and heartbeat are settings; what a request or the configuration says is taken as it is.
 */

export interface Durations {
  /** Between attempts: exponential from `initialMs` up to `maxMs`, half of it random. */
  readonly backoff: { readonly initialMs: number; readonly maxMs: number }
  /** How long one attempt may take. */
  readonly slaMs: number
  /** How long a subtask may wait for a worker, from when it is ready. */
  readonly queueWaitMs: number
  /** How long a subtask may take altogether, from when it is first ready. */
  readonly deadlineMs: number
  /** How long an agent may take to heed a cancel before it is forced. */
  readonly cancelGraceMs: number
  /** How long a review may stay open before it is alerted and escalated. */
  readonly reviewDueMs: number
  /** How long a ready subtask waits for a provider before it counts as blocked. */
  readonly blockAfterMs: number
  /** For how long a row may be queued without a job: the queues are compared with Postgres twice in it. */
  readonly reconcileMs: number
  /** How long a worker may take from fetching a job to a granted claim, at least; a longer lease counts instead. */
  readonly claimLimitMs: number
  /** Between two looks of the dispatcher that nobody asked for. */
  readonly dispatchMs: number
  /** Between two looks for what is late, at most; a fourth of the lease where that is less. */
  readonly watchMs: number
  /** Between two tries to reach a queue that is away. */
  readonly ringAgainMs: number
  /** How long a task is kept after it ended. */
  readonly retentionMs: number
  /** Between two looks for what is to be deleted. */
  readonly retainMs: number
  /** Between two rounds through the directory of artifacts. */
  readonly sweepArtifactsMs: number
  /** How long a file that nothing refers to is left alone, since its upload may still be under way. */
  readonly artifactGraceMs: number
  /** How long a model that failed several times in a row is left alone. */
  readonly modelRestMs: number
  /** Between two measurements of how agents do. */
  readonly measureMs: number
  /** Between two looks for plans that agents have made. */
  readonly delegateMs: number
  /** Between two looks for new events that nobody told of, while somebody follows them. */
  readonly lookForEventsMs: number
  /** How long a receiver of a webhook may take to answer. */
  readonly webhookTimeoutMs: number
  /** How long whoever sends a delivery has it to itself. */
  readonly webhookLeaseMs: number
  /** Between two tries to deliver: exponential, half of it random. */
  readonly webhookBackoff: { readonly initialMs: number; readonly maxMs: number }
  /** How long a delivery is tried. */
  readonly webhookGiveUpMs: number
}

/** `scale` multiplies all of them; 1 outside tests. */
export function durationsAt(scale: number): Durations {
  const scaled = (ms: number) => Math.max(1, Math.round(ms * scale))
  return {
    backoff: { initialMs: scaled(1_000), maxMs: scaled(60_000) },
    slaMs: scaled(3_600_000),
    queueWaitMs: scaled(3_600_000),
    deadlineMs: scaled(24 * 3_600_000),
    cancelGraceMs: scaled(10_000),
    reviewDueMs: scaled(24 * 3_600_000),
    blockAfterMs: scaled(30_000),
    reconcileMs: scaled(5_000),
    claimLimitMs: scaled(1_000),
    dispatchMs: scaled(2_000),
    watchMs: scaled(2_000),
    ringAgainMs: scaled(500),
    retentionMs: scaled(30 * 24 * 3_600_000),
    retainMs: scaled(60_000),
    sweepArtifactsMs: scaled(3_600_000),
    artifactGraceMs: scaled(3_600_000),
    modelRestMs: scaled(30_000),
    measureMs: scaled(10_000),
    delegateMs: scaled(500),
    lookForEventsMs: scaled(100),
    webhookTimeoutMs: scaled(10_000),
    webhookLeaseMs: scaled(30_000),
    webhookBackoff: { initialMs: scaled(5_000), maxMs: scaled(3_600_000) },
    webhookGiveUpMs: scaled(24 * 3_600_000),
  }
}
