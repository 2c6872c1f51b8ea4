/**
 * All commands that histories are made of. To add one: its rule in rules/, from the specification; its command in a file
 * here, which chooses, applies the rule and runs the store's function; a line in this list.
 */
import type { CommandKind } from '../command.js'
import { claimKind } from './claim.js'
import {
  drainKind,
  expireDeadlinesKind,
  expireLeasesKind,
  expireSlasKind,
  expireWaitsKind,
  forceCancelsKind,
  heartbeatKind,
  loseKind,
  registerKind,
  silenceKind,
  suspectKind,
  timeKind,
  wearKind,
} from './clocks.js'
import {
  cancelKind,
  pauseEverythingKind,
  pauseKind,
  releaseKind,
  resumeEverythingKind,
  resumeKind,
  startOrchestratorKind,
  stopOrchestratorKind,
  sweepKind,
} from './control.js'
import { blockKind, dispatchKind, promoteKind, recallKind, unblockKind } from './dispatching.js'
import { executeKind } from './execute.js'
import { completeKind, failKind, spawnKind } from './reports.js'
import { rerunKind } from './rerun.js'
import { assignKind, decideKind, escalateKind, reviewDueKind } from './reviews.js'
import { submitKind } from './submit.js'
import { cancelSubtaskKind, reassignSubtaskKind, retrySubtaskKind } from './subtask-verbs.js'

export const commandKinds: readonly CommandKind[] = [
  submitKind,
  executeKind,
  dispatchKind,
  claimKind,
  completeKind,
  failKind,
  spawnKind,
  timeKind,
  expireLeasesKind,
  expireSlasKind,
  expireDeadlinesKind,
  expireWaitsKind,
  forceCancelsKind,
  promoteKind,
  blockKind,
  unblockKind,
  recallKind,
  decideKind,
  assignKind,
  reviewDueKind,
  escalateKind,
  releaseKind,
  cancelSubtaskKind,
  retrySubtaskKind,
  reassignSubtaskKind,
  rerunKind,
  cancelKind,
  sweepKind,
  pauseKind,
  resumeKind,
  stopOrchestratorKind,
  startOrchestratorKind,
  pauseEverythingKind,
  resumeEverythingKind,
  heartbeatKind,
  silenceKind,
  loseKind,
  registerKind,
  drainKind,
  wearKind,
  suspectKind,
]
