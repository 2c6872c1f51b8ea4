/** Ready subtasks become queued, and what cannot be routed waits. Sweeps skip rows that others hold (`skips`). */
import { orchestratorNumbers, type Rooms, type RouteName, routeId, routeNames } from '../fleet.js'
import { type Effects, type Job, mayStart, Step } from '../step.js'
import { openReview, type Subtask, taskOf, unmet, type World } from '../world.js'

export type Skips = ReadonlySet<number>
const none: Skips = new Set()

/** Takes up to `room` ready rows of each route: priority first, then orchestrators and tasks by turns (D2). */
export function dispatch(before: World, rooms: Rooms, skips: Skips = none) {
  const step = new Step(before)
  const { world } = step
  const jobs: Job[] = []
  for (const route of routeNames) {
    const due = world.subtasks.filter(
      s => s.state === 'ready' && s.route === route && unmet(world, s) === 0 && mayStart(world, taskOf(world, s.task)),
    )
    const picked = inTurns(world, due).slice(0, rooms[route] ?? 0)
    for (const subtask of picked) if (!skips.has(subtask.id)) jobs.push(step.enqueue(subtask))
  }
  step.settle()
  return { world, reply: { jobs: byId(jobs) } }
}

const byId = (jobs: Job[]): Job[] => jobs.sort((a, b) => a.subtask - b.subtask)

/**
 * By priority; within one, the first row of every orchestrator, then the second, and so on. Within an orchestrator, the
 * first row of every task, then the second of every task.
 */
function inTurns(world: World, subtasks: readonly Subtask[]): Subtask[] {
  const priority = (s: Subtask) => taskOf(world, s.task).priority
  const owner = (s: Subtask) => orchestratorNumbers[taskOf(world, s.task).orchestrator] ?? 0
  const turn = (s: Subtask) => subtasks.filter(other => other.task === s.task && other.id < s.id).length
  const byTask = [...subtasks].sort((a, b) => turn(a) - turn(b) || a.task - b.task)
  const places = new Map(byTask.map(s => [s.id, byTask.filter(o => priority(o) === priority(s) && owner(o) === owner(s)).indexOf(s)]))
  const place = ({ id }: Subtask) => places.get(id) ?? 0
  return [...byTask].sort((a, b) => priority(a) - priority(b) || place(a) - place(b) || owner(a) - owner(b))
}

/** Retries whose backoff ended become ready. */
export function promoteRetries(before: World, limit: number, skips: Skips = none) {
  const step = new Step(before)
  const due = step.world.subtasks.filter(s => s.state === 'retrying' && s.over.backoff && !skips.has(s.id)).slice(0, limit)
  for (const subtask of due) step.move(subtask, 'requeue')
  step.settle()
  return { world: step.world, reply: { moved: due.length } }
}

interface Shifted {
  readonly moved: number
  readonly routes: number[]
  readonly tasks: Effects['tasks']
}

function shift(
  before: World,
  due: (s: Subtask) => boolean,
  skips: Skips,
  move: (step: Step, s: Subtask) => void,
): { world: World; reply: Shifted } {
  const step = new Step(before)
  const moved = step.world.subtasks.filter(s => due(s) && !skips.has(s.id))
  for (const subtask of moved) move(step, subtask)
  const { tasks } = step.settle()
  return { world: step.world, reply: { moved: moved.length, routes: [...new Set(moved.map(s => routeId(s.route)))].sort(), tasks } }
}

/** Nobody serves these routes. */
export const blockUnroutable = (before: World, routes: readonly RouteName[], skips: Skips = none) =>
  shift(
    before,
    s => s.state === 'ready' && routes.includes(s.route),
    skips,
    (step, s) => step.move(s, 'block'),
  )

/** A provider came (back); what is in review because it waited too long needs one with room. */
export const unblockRoutable = (
  before: World,
  { provided, roomy }: { provided: readonly RouteName[]; roomy: readonly RouteName[] },
  skips: Skips = none,
) =>
  shift(
    before,
    s => s.state === 'blocked' && provided.includes(s.route) && (roomy.includes(s.route) || !openReview(before, s)),
    skips,
    (step, s) => {
      step.move(s, 'requeue')
      step.closeReviews(s, 'unroutable')
    },
  )

/** Still due, and nobody's fault: the wait that began when it became ready goes on. */
export function giveBack(step: Step, subtask: Subtask): void {
  const { queueWait } = subtask.over
  step.move(subtask, 'requeue')
  subtask.over.queueWait = queueWait
}

/** Queues lost their last consumer: what is in them is taken back, and nothing is charged. */
export const recallQueued = (before: World, queues: readonly string[], skips: Skips = none) =>
  shift(before, s => s.state === 'queued' && s.queue !== null && queues.includes(s.queue), skips, giveBack)
