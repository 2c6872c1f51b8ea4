/** Attempts end: with a result, a failure, a release, or because a clock ran out. One authority rules on what follows. */
import type { Rooms, WorkerName } from '../fleet.js'
import { type Effects, going, Step } from '../step.js'
import { type Attempt, type Draft, hasEnded, type Subtask, statusOf, type World } from '../world.js'
import type { Skips } from './dispatching.js'
import { spawnInto } from './submission.js'

export interface Report {
  readonly subtask: number
  readonly attempt: number
  readonly claim: number
}

export interface Result extends Report {
  readonly output: string
  /** The child that its worker would go on with, under which claim. */
  readonly wish?: Wish | undefined
}

export interface Wish {
  readonly child: number
  readonly claim: number
  /** The coordinator knows another graph than there is. */
  readonly outdated: boolean
}

export interface Failed extends Report {
  readonly outcome: 'failed' | 'released'
  readonly retryable: boolean
}

export type ReportVerdict = 'accepted' | 'duplicate' | 'stale'

/** Infrastructure's ends are free, but not without end. */
export const maxUncharged = 20
/** Losses together with its worker that make a suspect. */
export const suspectLosses = 2

export const isSuspect = ({ losses }: Subtask): boolean => losses >= suspectLosses

/** A report counts while its attempt runs under its claim (I5); a repeat of one that counted is a duplicate (I1). */
function judge(world: World, { subtask: id, attempt, claim }: Report): { verdict: ReportVerdict; subtask?: Subtask } {
  const subtask = world.subtasks.find(s => s.id === id)
  if (subtask?.state === 'running' && subtask.attempt === attempt && subtask.claim?.id === claim) return { verdict: 'accepted', subtask }
  const reported: readonly Attempt['outcome'][] = ['completed', 'failed', 'released']
  const own = world.attempts.find(a => a.subtask === id && a.attempt === attempt && a.claim === claim)
  const known = own !== undefined && reported.includes(own.outcome) && !(own.aborted && world.features.reassignedIsStale)
  return { verdict: known ? 'duplicate' : 'stale' }
}

export function complete(before: World, items: readonly Result[], rooms: Rooms) {
  const step = new Step(before, rooms)
  const refused: number[] = []
  // The first item of each subtask may wish, and the first wish for each child counts.
  const wishes = new Map<number, Wish>()
  const [reported, wished] = [new Set<number>(), new Set<number>()]
  for (const [n, { subtask, wish }] of items.entries()) {
    if (wish) step.world.claims = Math.max(step.world.claims, wish.claim)
    const repeats = reported.has(subtask)
    reported.add(subtask)
    if (repeats || !wish || wished.has(wish.child)) continue
    wished.add(wish.child)
    wishes.set(n, wish)
  }
  const verdicts = items.map((item, n): ReportVerdict => {
    const { verdict, subtask } = judge(step.world, item)
    if (!subtask) return verdict
    if (subtask.cancel === 'requested') {
      refused.push(n) // whoever reported acknowledges by that, and is written down as having failed
      return 'stale'
    }
    step.record(subtask, { outcome: 'completed', charged: true, output: item.output })
    const wish = wishes.get(n)
    if (wish && !wish.outdated) step.wish(subtask, wish)
    step.move(subtask, 'complete')
    step.pass(subtask)
    return verdict
  })
  return {
    world: step.world,
    reply: { verdicts, refused, ...step.settle(), handed: [...step.handed].sort((a, b) => a.subtask - b.subtask) },
  }
}

export interface Spawn {
  readonly drafts: readonly Draft[]
  readonly firstId: number
}

/** A result that spawns: the children are there before anything that waits for the spawner is looked at (I2). */
export function completeAndSpawn(before: World, item: Result, { drafts, firstId }: Spawn, rooms: Rooms) {
  const spawning = new Step(before)
  spawning.world.nextId = Math.max(before.nextId, firstId + drafts.length) // drawn, whatever becomes of them
  spawning.world.spawned += drafts.length
  const judged = judge(spawning.world, item).subtask
  const subtask = judged?.cancel === 'requested' ? undefined : judged
  // Refused as a whole: the report changes nothing.
  if (subtask && spawnInto(spawning, subtask, drafts, firstId) === 'refused') return { world: before, reply: { rejected: true as const } }
  spawning.settle()
  const completed = complete(spawning.world, [item], rooms)
  return { world: completed.world, reply: { rejected: false as const, spawned: subtask ? drafts.length : 0, ...completed.reply } }
}

export function fail(before: World, items: readonly Failed[], rooms: Rooms) {
  const step = new Step(before, rooms)
  const taken = new Set<string>()
  const keyOf = ({ subtask: id, attempt, claim }: Report) => `${id}/${attempt}/${claim}`
  const verdicts = items.map((item): ReportVerdict => {
    if (taken.has(keyOf(item))) return 'duplicate' // also where the end of its task made a cancel of it
    const { verdict, subtask } = judge(step.world, item)
    if (!subtask) return verdict
    const acknowledges = subtask.cancel === 'requested'
    rule(step, subtask, { outcome: item.outcome, retryable: item.retryable, charged: item.outcome === 'failed' })
    if (acknowledges) return 'stale'
    taken.add(keyOf(item))
    return verdict
  })
  return { world: step.world, reply: { verdicts, ...step.settle() } }
}

interface Expiry {
  readonly ended: { readonly subtask: number; readonly worker: WorkerName; readonly claim: number }[]
}

/**
 * `lost`: the lease ran out. `late`: the SLA did, and the lease did not, so that somebody is to blame. `overdue`: the
 * deadline of the whole subtask did. `unheeded`: a cancel was not acknowledged within its grace.
 */
export type ExpiryKind = 'lost' | 'late' | 'overdue' | 'unheeded'

export function isDue(world: World, which: ExpiryKind, subtask: Subtask): boolean {
  const { over, cancel, state } = subtask
  if (state !== 'running') return false
  switch (which) {
    case 'lost':
      return over.lease
    case 'late':
      return over.sla && !over.lease
    case 'overdue':
      return over.deadline && going.includes(statusOf(world, subtask))
    case 'unheeded':
      return over.grace && cancel === 'requested'
  }
}

/** Ends up to `limit` attempts: suspects last, so that the neighbours that were lost with them can be told apart. */
export function expire(
  before: World,
  which: ExpiryKind,
  limit: number,
  rooms: Rooms,
  skips: Skips = new Set(),
): { world: World; reply: Expiry & Effects } {
  const step = new Step(before, rooms)
  const { world } = step
  const due = world.subtasks
    .filter(s => isDue(world, which, s) && !skips.has(s.id))
    .sort((a, b) => Number(isSuspect(a)) - Number(isSuspect(b)) || a.id - b.id)
    .slice(0, limit)
  const ended = due.flatMap(({ id, claim }) => (claim ? [{ subtask: id, worker: claim.worker, claim: claim.id }] : []))
  const poisoned = new Set(before.subtasks.filter(isSuspect).flatMap(s => s.claim?.worker ?? []))
  for (const subtask of due) {
    const innocent = !isSuspect(subtask) && subtask.claim !== null && poisoned.has(subtask.claim.worker)
    const ends = {
      lost: { outcome: 'lost', retryable: true, charged: !innocent },
      late: { outcome: 'timed_out', retryable: true, charged: true },
      overdue: { outcome: 'timed_out', retryable: false, charged: true },
      unheeded: { outcome: 'cancelled', retryable: false, charged: false },
    } as const
    rule(step, subtask, ends[which])
  }
  return { world, reply: { ended: ended.sort((a, b) => a.subtask - b.subtask), ...step.settle() } }
}

/** Somebody asked for its end, or its task ended. */
const isBeingCancelled = (world: World, subtask: Subtask): boolean => subtask.cancel === 'requested' || hasEnded(statusOf(world, subtask))

interface End {
  readonly outcome: 'failed' | 'released' | 'lost' | 'timed_out' | 'cancelled'
  readonly retryable: boolean
  readonly charged: boolean
}

/** Again, or what `on_failure` says (I6). */
function rule(step: Step, subtask: Subtask, { outcome, retryable, charged }: End): void {
  if (isBeingCancelled(step.world, subtask)) {
    endCancelled(step, subtask, outcome)
    return
  }
  const free = !charged && subtask.uncharged < maxUncharged
  step.record(subtask, { outcome, charged: !free })
  if (free) {
    subtask.uncharged++
    step.move(subtask, 'requeue')
    return
  }
  subtask.charged++
  if (outcome === 'lost') subtask.losses++
  if (!retryable || subtask.charged >= subtask.attemptLimit) giveUp(step, subtask)
  else step.move(subtask, outcome === 'lost' ? 'requeue' : 'retry') // lost with its worker: at once
}

/** Whatever the end is, it is that of a cancel: acknowledged by a report, or forced. */
function endCancelled(step: Step, subtask: Subtask, outcome: End['outcome']): void {
  step.record(subtask, { outcome: 'cancelled', charged: false })
  if (outcome === 'lost') subtask.losses++
  subtask.cancel = outcome === 'failed' || outcome === 'released' ? 'acknowledged' : 'forced'
  if (hasEnded(statusOf(step.world, subtask))) step.move(subtask, 'cancel')
  else endAsCancelled(step, subtask)
}

/** A cancelled subtask lets its dependents go on only where its `on_failure` says so. */
export function endAsCancelled(step: Step, subtask: Subtask): void {
  if (subtask.onFailure === 'skip') step.move(subtask, 'skip')
  else if (subtask.onFailure === 'continue') step.move(subtask, 'fail')
  else {
    step.move(subtask, 'cancel')
    return
  }
  step.pass(subtask)
}

/** What `on_failure` says. */
export function giveUp(step: Step, subtask: Subtask): void {
  switch (subtask.onFailure) {
    case 'review':
      step.move(subtask, 'exhaust')
      step.openReview(subtask, 'exhausted')
      return
    case 'fail':
      step.move(subtask, 'fail')
      step.breakTask(subtask)
      return
    case 'skip':
      step.move(subtask, 'skip')
      step.pass(subtask)
      return
    case 'continue':
      step.move(subtask, 'fail')
      step.pass(subtask)
  }
}
