/** What a person's decision makes of a subtask. The first decision wins. */
import type { ReviewDecisionName } from '@baton/shared'
import type { Rooms, RouteName } from '../fleet.js'
import { routeId } from '../fleet.js'
import { type Effects, Step } from '../step.js'
import { hasEnded, type Subtask, statusOf, subtaskOf, type World } from '../world.js'

export interface Decide {
  readonly subtask: number
  /** Which of its reviews, from 0. */
  readonly nth: number
  readonly decision: ReviewDecisionName
  /** JSON text, for `supply`. */
  readonly output: string | null
  /** The agent's own route, for `reassign`. */
  readonly route: RouteName | null
  /** What the decider says that they saw. */
  readonly digest: 'right' | 'wrong' | null
  readonly rooms: Rooms
}

export function decide(
  before: World,
  { subtask: id, nth, decision, output, route, digest, rooms }: Decide,
): { world: World; reply: { done: boolean; reopened: number[] } & Effects } {
  const step = new Step(before, rooms)
  const { world } = step
  const review = world.reviews.filter(r => r.subtask === id)[nth]
  const subtask = subtaskOf(world, id)
  if (!review) return { world, reply: { done: false, reopened: [], ...step.settle() } }
  const mistaken = digest === 'wrong'
  const done = review.status === 'open' && !mistaken && !hasEnded(statusOf(world, subtask)) && follows(step, subtask, decision, output)
  if (done) {
    review.status = 'decided'
    review.decision = decision
    if (route !== null) subtask.route = route
  }
  if (done && subtask.state === 'ready') subtask.over.deadline = false // it begins anew
  const reopened = done && subtask.state === 'ready' ? [routeId(subtask.route)] : []
  return { world, reply: { done, reopened, ...step.settle() } }
}

/** Whether the decision fits the state; if so, it is done. */
function follows(step: Step, subtask: Subtask, decision: ReviewDecisionName, output: string | null): boolean {
  const { state } = subtask
  const gated = state === 'awaiting_approval'
  if (!gated && state !== 'needs_review' && state !== 'blocked') return false
  switch (decision) {
    case 'approve':
      if (!gated) return false
      subtask.gate = null
      step.move(subtask, 'approve')
      return true
    case 'retry':
    case 'reassign':
      if (gated) return false
      step.move(subtask, state === 'blocked' ? 'requeue' : 'reopen')
      subtask.attemptLimit = Math.max(subtask.attemptLimit, subtask.charged + 1) // one more
      subtask.gate = null
      return true
    case 'supply':
      subtask.attempt++ // nobody's attempt that may still run is this one
      step.record(subtask, { outcome: 'completed', charged: false, output: output ?? '' })
      step.move(subtask, 'supply')
      subtask.gate = null
      step.pass(subtask)
      return true
    case 'reject':
    case 'fail':
      subtask.gate = null
      if (subtask.onFailure === 'skip') {
        step.move(subtask, 'skip')
        step.pass(subtask)
      } else {
        step.move(subtask, 'fail')
        if (subtask.onFailure === 'continue') step.pass(subtask)
        else step.breakTask(subtask) // `review`: a person has just decided
      }
      return true
  }
}

/** Names who is to decide, and perhaps who after them. */
export function assign(
  before: World,
  { subtask: id, nth, assignee, escalateTo }: { subtask: number; nth: number; assignee: string; escalateTo: string | null },
) {
  const step = new Step(before)
  const review = step.world.reviews.filter(r => r.subtask === id)[nth]
  const done = review?.status === 'open'
  if (review && done) {
    review.assignee = assignee
    review.escalateTo = escalateTo
  }
  return { world: step.world, reply: { done } }
}

/** The due time of a review passes. */
export function fallDue(before: World, { subtask: id, nth }: { subtask: number; nth: number }) {
  const step = new Step(before)
  const review = step.world.reviews.filter(r => r.subtask === id)[nth]
  if (review) review.due = true
  return { world: step.world, reply: null }
}

/** Reviews past their due time: an alert, and where somebody else is named, it becomes theirs, once, with new time. */
export function escalate(before: World, skips: ReadonlySet<number> = new Set()) {
  const step = new Step(before)
  const due = step.world.reviews.filter(r => r.status === 'open' && r.due && !r.told && !skips.has(r.subtask))
  for (const review of due) {
    if (review.escalateTo === null) review.told = true
    else {
      review.assignee = review.escalateTo
      review.escalateTo = null
      review.due = false
    }
  }
  return { world: step.world, reply: { touched: [...new Set(due.map(r => subtaskOf(step.world, r.subtask).task))].sort((a, b) => a - b) } }
}
