/**
 * Holds a history to the invariants of the design, each a function of its own. Pure: what is to be judged is collected
 * before (collect.ts). I9 (webhooks) and I10 (SSE) are not judged here yet: they need the receiver's and the reader's own
 * logs, which come with these.
 */
import { chargedWithinLimit, noLossOfTheLiving, queuedHaveJobs } from './attempts.js'
import type { History, Violation } from './history.js'
import { type Indexed, index } from './index-history.js'
import { everythingEnds, noEarlyStart, onlyLegalSteps, unmetAsCounted } from './progress.js'
import { badInputIsRefused, nothingAcknowledgedIsLost, oneTaskPerId } from './requests.js'
import { bytesAsSent, noSupersededResult, oneAcceptedResult, oneExecutionPerToken } from './results.js'

export const invariants = {
  I1: oneAcceptedResult,
  I2: noEarlyStart,
  I3: everythingEnds,
  I4: nothingAcknowledgedIsLost,
  I5: noSupersededResult,
  I6: chargedWithinLimit,
  I7: onlyLegalSteps,
  I8: oneTaskPerId,
  I11: queuedHaveJobs,
  I12: noLossOfTheLiving,
  I13: unmetAsCounted,
  I14: badInputIsRefused,
  I15: oneExecutionPerToken,
  I16: bytesAsSent,
} as const satisfies Record<string, (history: Indexed) => Violation[]>

/** Every violation, in the order of the invariants. Empty: all of them hold. */
export function check(history: History): Violation[] {
  const indexed = index(history)
  return Object.values(invariants).flatMap(invariant => invariant(indexed))
}
