/** What people tell one subtask to do: cancel, retry, reassign. What is in review is decided instead. */
import { type SubtaskState, subtaskTransitions } from '@baton/shared'
import type { Rooms, RouteName } from '../fleet.js'
import { allows, type Effects, Step } from '../step.js'
import { dependentsOf, hasEnded, isTerminal, openReview, type Subtask, statusOf, subtaskOf, type World } from '../world.js'
import { askToStop } from './control.js'
import { endAsCancelled } from './endings.js'

interface Cancelled extends Effects {
  readonly running: { readonly worker: string; readonly claim: number }[]
  /** Null: it was finished, or asked to stop, already. */
  readonly state: SubtaskState | null
}

/**
 * What runs is asked to stop, anything else ends at once. Its dependents, and theirs, cannot run any more and are
 * cancelled with it, unless its `on_failure` lets them go on.
 */
export function cancelSubtask(before: World, id: number, rooms: Rooms): { world: World; reply: Cancelled } {
  const step = new Step(before, rooms)
  const { world } = step
  const chosen = subtaskOf(world, id)
  const over = chosen.superseded || isTerminal(chosen.state) || chosen.cancel === 'requested' || hasEnded(statusOf(world, chosen))
  if (over) return { world, reply: { running: [], state: null, ...step.settle() } }
  const passesOn = chosen.onFailure === 'skip' || chosen.onFailure === 'continue'
  const downstream = passesOn ? [] : everythingAfter(world, chosen).filter(s => !isTerminal(s.state))
  const running = chosen.claim ? [{ worker: chosen.claim.worker, claim: chosen.claim.id }] : []
  if (chosen.state === 'running') askToStop(chosen)
  else endAsCancelled(step, chosen)
  for (const subtask of downstream) step.move(subtask, 'cancel')
  for (const subtask of [chosen, ...downstream]) step.closeReviews(subtask)
  return { world, reply: { running, state: chosen.state, ...step.settle() } }
}

function everythingAfter(world: World, subtask: Subtask): Subtask[] {
  const found = new Set<Subtask>()
  const visit = (s: Subtask) => {
    for (const next of dependentsOf(world, s).filter(d => !d.superseded && !found.has(d))) {
      found.add(next)
      visit(next)
    }
  }
  visit(subtask)
  return [...found]
}

/** Ready at once, what waits for its backoff or for a provider. */
export function retrySubtask(before: World, id: number) {
  const step = new Step(before)
  const subtask = subtaskOf(step.world, id)
  const waits = subtask.state === 'retrying' || subtask.state === 'blocked'
  const moved = waits && !hasEnded(statusOf(step.world, subtask))
  if (moved) {
    decided(step, subtask)
    step.move(subtask, 'requeue')
    step.closeReviews(subtask)
  }
  step.settle()
  return { world: step.world, reply: { moved } }
}

/** It is another agent's from now on; an attempt that runs ends uncharged. */
export function reassignSubtask(before: World, id: number, route: RouteName) {
  const step = new Step(before)
  const { world } = step
  const subtask = subtaskOf(world, id)
  const fixed = isTerminal(subtask.state) || subtask.state === 'needs_review' || subtask.cancel === 'requested'
  if (fixed || hasEnded(statusOf(world, subtask))) return { world, reply: { running: [], state: null } }
  const running = subtask.claim ? [{ worker: subtask.claim.worker, claim: subtask.claim.id }] : []
  subtask.route = route
  if (subtask.state === 'running') {
    step.record(subtask, { outcome: 'released', charged: false, aborted: true })
    subtask.uncharged++
  }
  decided(step, subtask)
  if (allows(subtaskTransitions.requeue, subtask.state)) step.move(subtask, 'requeue')
  step.closeReviews(subtask, 'unroutable')
  step.settle()
  return { world, reply: { running, state: subtask.state } }
}

/** A person's decision begins the deadline anew. */
function decided(step: Step, subtask: Subtask): void {
  if (step.world.features.verbsRestartDeadline && openReview(step.world, subtask)) subtask.over.deadline = false
}
