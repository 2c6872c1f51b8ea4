/**
 * What waited too long without running. The queue wait uses no attempt: where a person is to decide, the subtask stays
 * blocked beside its review until a provider has room. The deadline ends it as `on_failure` says, whatever it waits for.
 */
import type { Rooms } from '../fleet.js'
import { going, Step } from '../step.js'
import { openReview, type Subtask, statusOf, type World } from '../world.js'
import type { Skips } from './dispatching.js'
import { giveUp } from './endings.js'

/** Pause, approval and review stop both clocks. */
export function isOver(world: World, subtask: Subtask): 'deadline' | 'queueWait' | undefined {
  const { state, over } = subtask
  if (openReview(world, subtask) || !going.includes(statusOf(world, subtask))) return undefined
  const waits = state === 'ready' || state === 'queued' || state === 'blocked'
  if (over.deadline && (waits || state === 'retrying')) return 'deadline'
  return over.queueWait && waits ? 'queueWait' : undefined
}

export function expireWaits(before: World, limit: number, rooms: Rooms, skips: Skips = new Set()) {
  const step = new Step(before, rooms)
  const { world } = step
  const due = world.subtasks.filter(s => isOver(world, s)).slice(0, limit)
  const ended = due.filter(s => !skips.has(s.id))
  for (const subtask of ended) {
    if (isOver(before, subtask) === 'queueWait' && subtask.onFailure === 'review') {
      if (subtask.state !== 'blocked') step.move(subtask, 'block')
      step.openReview(subtask, 'unroutable')
      continue
    }
    // The end of an attempt that was queued and never ran; or an end with a number of its own.
    if (subtask.state !== 'queued') subtask.attempt++
    step.record(subtask, { outcome: 'timed_out', charged: false })
    giveUp(step, subtask)
  }
  return { world, reply: { ended: ended.length, ...step.settle() } }
}
