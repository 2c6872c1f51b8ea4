/**
 * Where the model and the SQL under test stand towards each other. Each switch is a sentence of the specification that
 * the SQL does not follow (yet): the model knows both ways, and follows the SQL where `built` says so.
 */
export interface Features {
  /** The fast path leaves alone what belongs to an orchestrator that does not run. */
  readonly fastPathAsksOrchestrator: boolean
  /** What is spawned into a task in manual mode waits for its release too. */
  readonly spawnedWaitForRelease: boolean
  /** The report of an attempt that was reassigned while it ran is stale: nothing of it was ever accepted. */
  readonly reassignedIsStale: boolean
  /** Retrying or reassigning what is in review is a person's decision: the deadline's clock begins anew. */
  readonly verbsRestartDeadline: boolean
}

/** All of the specification. */
export const specified: Features = {
  fastPathAsksOrchestrator: true,
  spawnedWaitForRelease: true,
  reassignedIsStale: true,
  verbsRestartDeadline: true,
}

/** What the SQL of this version does. */
export const built: Features = {
  fastPathAsksOrchestrator: false,
  spawnedWaitForRelease: false,
  reassignedIsStale: false,
  verbsRestartDeadline: false,
}
