/** Help for whatever is left, until every task has ended (I3): nothing is random any more, and nothing fails. */
import { type Command, Dice } from './command.js'
import { claimKind } from './commands/claim.js'
import { timeKind } from './commands/clocks.js'
import { releaseKind, resumeEverythingKind, resumeKind, startOrchestratorKind, sweepKind } from './commands/control.js'
import { dispatchKind, promoteKind, unblockKind } from './commands/dispatching.js'
import { executeKind } from './commands/execute.js'
import { completeKind, failKind } from './commands/reports.js'
import { decideKind } from './commands/reviews.js'
import { mayStart } from './step.js'
import { hasEnded, subtasksOf, type World } from './world.js'

/** Faces for which no choice is a rare one and every queue has room. */
const forward = () => new Dice(new Array<number>(64).fill(2))

/** The next command that helps; undefined when all tasks have ended. */
export function epilogue(world: World): Command | undefined {
  const open = world.tasks.filter(t => !hasEnded(t.status) || t.sweeping)
  if (open.length === 0) return undefined
  const any = (...states: string[]) => open.some(t => subtasksOf(world, t).some(s => states.includes(s.state)))
  const stopped = open.some(t => world.orchestrators[t.orchestrator] !== 'running')
  const held = open.some(t => t.status === 'paused')
  const kind = world.paused
    ? resumeEverythingKind
    : stopped
      ? startOrchestratorKind
      : world.subtasks.some(s => s.cancel === 'requested')
        ? failKind // any report acknowledges
        : open.some(t => t.sweeping)
          ? sweepKind
          : open.some(t => t.status === 'planned')
            ? executeKind
            : held
              ? resumeKind
              : any('running')
                ? completeKind
                : any('queued')
                  ? claimKind
                  : open.some(t => mayStart(world, t)) && any('ready')
                    ? dispatchKind
                    : any('retrying')
                      ? world.subtasks.some(s => s.state === 'retrying' && s.over.backoff)
                        ? promoteKind
                        : timeKind
                      : any('blocked')
                        ? unblockKind
                        : world.reviews.some(r => r.status === 'open')
                          ? decideKind
                          : releaseKind
  const command = kind.choose(world, forward())
  if (!command) throw new Error(`I3: ${open.map(t => `${t.name} is ${t.status}`).join(', ')}, and ${kind.name} does not help`)
  return command
}
