/**
 * One command at work: the legal moves of subtasks and tasks, and what follows from them when the command ends.
 *
 * M1 a subtask moves by a transition of `shared/states.ts` only, or `IllegalMove` is thrown (I7). M2 what a finished
 * subtask opens is settled when the whole command has been worked off, as if its items had come at once. M3 a task's
 * status is never set beside the rule: it follows from its subtasks, unless a person set it.
 */
import { activeSubtaskStates, type SubtaskState, subtaskTransitions, type TaskStatus, taskTransitions } from '@baton/shared'
import { isEligible, queueOf, type Rooms, type RouteName, routeId } from './fleet.js'
import {
  type Attempt,
  type Claim,
  copy,
  dependentsOf,
  nameOf,
  openReview,
  type Review,
  type Subtask,
  statusSeen,
  subtasksOf,
  type Task,
  taskOf,
  unmet,
  type World,
} from './world.js'

/** The model asked for a transition that the table does not have. */
export class IllegalMove extends Error {}

type SubtaskMove = keyof typeof subtaskTransitions
type TaskMove = keyof typeof taskTransitions

export interface Job {
  readonly subtask: number
  readonly attempt: number
  readonly dispatch: number
  readonly queue: string
}

/** What whoever commits the command acts on. */
export interface Effects {
  readonly jobs: Job[]
  readonly tasks: { readonly task: number; readonly from: TaskStatus; readonly status: TaskStatus }[]
  /** Routes of rows that became ready and were left for the dispatcher. */
  readonly ready: number[]
}

/** Statuses in which a task's subtasks may start. */
export const going: readonly TaskStatus[] = ['running', 'blocked', 'needs_review']

/** Nothing starts while the task, its orchestrator or everything is held. */
export const mayStart = (world: World, task: Task): boolean =>
  going.includes(statusSeen(world, task)) && world.orchestrators[task.orchestrator] === 'running' && !world.paused

export const allows = (transition: { readonly from: readonly string[] }, state: string): boolean => transition.from.includes(state)

export class Step {
  readonly world: World
  /** As it was when the command came. */
  private readonly before: World
  private readonly rooms: Rooms
  private readonly passed: Subtask[] = []
  private readonly broken = new Set<number>()
  /** Children that the workers of finished subtasks would go on with. */
  private readonly wishes = new Map<number, { readonly after: number; readonly queue: string | null; readonly claim: Claim }>()
  /** What was handed over. */
  readonly handed: (Job & { readonly claim: number })[] = []

  constructor(before: World, rooms: Rooms = {}) {
    this.before = before
    this.world = copy(before)
    this.rooms = rooms
  }

  /** What the command sees of rows that it does not lock. */
  private get seen(): World {
    return this.before.past ?? this.before
  }

  move(subtask: Subtask, transition: SubtaskMove): void {
    const { from, to }: { from: readonly SubtaskState[]; to: SubtaskState } = subtaskTransitions[transition]
    if (!from.includes(subtask.state)) throw new IllegalMove(`${transition} of a subtask that is ${subtask.state}`) // M1
    subtask.state = to
    if (to !== 'running') subtask.claim = null
    // Each clock starts with the state that it is of.
    if (to === 'running') Object.assign(subtask.over, { lease: false, sla: false })
    if (to === 'retrying') subtask.over.backoff = false
    if (to === 'ready') {
      subtask.over.queueWait = false
      subtask.scheduled = true
    }
  }

  moveTask(task: Task, transition: TaskMove): void {
    if (!allows(taskTransitions[transition], task.status)) throw new IllegalMove(`${transition} of a task that is ${task.status}`) // M1
    task.status = taskTransitions[transition].to
  }

  /** A job for its next attempt goes into its route's queue. */
  enqueue(subtask: Subtask): Job {
    this.move(subtask, 'queue')
    return this.book(subtask)
  }

  private book(subtask: Subtask): Job {
    subtask.attempt++
    subtask.dispatch++
    subtask.queue = queueOf(subtask.route)
    subtask.scheduled = true
    return { subtask: subtask.id, attempt: subtask.attempt, dispatch: subtask.dispatch, queue: subtask.queue }
  }

  /** The worker of `finished` would go on with a child of it, in the same queue. */
  wish(finished: Subtask, { child, claim: id }: { readonly child: number; readonly claim: number }): void {
    const { claim, queue } = finished
    if (claim) this.wishes.set(child, { after: finished.id, queue, claim: { ...claim, id } })
  }

  /** What could be queued starts at once, where a claim of it would be granted. */
  private handOver(subtask: Subtask): boolean {
    const wish = this.wishes.get(subtask.id)
    if (!wish || !subtask.dependsOn.includes(wish.after) || wish.queue !== queueOf(subtask.route)) return false
    const { claim } = wish
    if (!mayStart(this.seen, taskOf(this.before, subtask.task)) || !isEligible(claim.worker, claim.agent, subtask.route)) return false
    this.move(subtask, 'hand_over')
    const { subtask: id, attempt, dispatch, queue } = this.book(subtask)
    subtask.claim = claim
    this.world.grants.push({ subtask: id, attempt, claim })
    this.handed.push({ subtask: id, attempt, dispatch, queue, claim: claim.id })
    return true
  }

  /** It ended well enough for its dependents. */
  pass(subtask: Subtask): void {
    subtask.passes = true
    this.passed.push(subtask)
  }

  /** It ended so that its task fails. */
  breakTask(subtask: Subtask): void {
    this.broken.add(subtask.task)
  }

  openReview(subtask: Subtask, kind: Review['kind']): void {
    if (this.world.reviews.some(r => r.subtask === subtask.id && r.kind === kind && r.status === 'open')) return
    const id = this.world.reviews.length + 1
    this.world.reviews.push({
      id,
      subtask: subtask.id,
      kind,
      status: 'open',
      decision: null,
      assignee: null,
      escalateTo: null,
      due: false,
      told: false,
    })
  }

  closeReviews(subtask: Subtask, kind?: Review['kind']): void {
    for (const review of this.world.reviews)
      if (review.subtask === subtask.id && review.status === 'open' && (kind ?? review.kind) === review.kind) review.status = 'closed'
  }

  /** Its attempt is over. */
  record(subtask: Subtask, end: Pick<Attempt, 'outcome' | 'charged'> & { readonly output?: string; readonly aborted?: boolean }): void {
    this.world.attempts.push({
      subtask: subtask.id,
      attempt: subtask.attempt,
      claim: subtask.claim?.id ?? null,
      outcome: end.outcome,
      charged: end.charged,
      output: end.output ?? null,
      aborted: end.aborted ?? false,
    })
  }

  /** Where a subtask with nothing unmet goes: to its gate, or on. */
  open(subtask: Subtask): 'gated' | 'ready' {
    if (subtask.gate !== null) {
      this.move(subtask, 'gate')
      if (subtask.gate === 'approval') this.openReview(subtask, 'approval')
      return 'gated'
    }
    this.move(subtask, 'unlock')
    return 'ready'
  }

  /** M2, M3: to be called once, at the end of the command. */
  settle(): Effects {
    const opened = this.unlocked()
    const jobs: Job[] = []
    const ready = new Set<number>()
    const turns = new Map<RouteName, number>()
    const free = opened.filter(s => s.gate === null).sort((a, b) => this.priority(a) - this.priority(b) || a.id - b.id)
    for (const subtask of opened.filter(s => s.gate !== null)) this.open(subtask)
    for (const subtask of free) {
      const turn = (turns.get(subtask.route) ?? 0) + 1
      turns.set(subtask.route, turn)
      if (turn <= (this.rooms[subtask.route] ?? 0) && this.fastPath(subtask)) {
        if (!this.handOver(subtask)) jobs.push(this.enqueue(subtask))
      } else {
        this.open(subtask)
        ready.add(routeId(subtask.route))
      }
    }
    return { jobs: jobs.sort((a, b) => a.subtask - b.subtask), tasks: this.rollUp(), ready: [...ready].sort() }
  }

  /** Pending subtasks whose last unmet dependency passed in this command. */
  private unlocked(): Subtask[] {
    const candidates = new Set(this.passed.flatMap(subtask => dependentsOf(this.world, subtask)))
    const opens = (s: Subtask) => s.state === 'pending' && unmet(this.world, s) === 0 && taskOf(this.world, s.task).status !== 'planned'
    return [...candidates].filter(opens).sort((a, b) => a.id - b.id)
  }

  /** Straight into the queue: only where nothing waits for the same route, and the task runs. */
  private fastPath(subtask: Subtask): boolean {
    const task = taskOf(this.before, subtask.task)
    const waiting = this.seen.subtasks.some(s => s.route === subtask.route && s.state === 'ready')
    const held = this.world.features.fastPathAsksOrchestrator ? !mayStart(this.seen, task) : this.seen.paused
    return !waiting && statusSeen(this.before, task) === 'running' && !held
  }

  private priority(subtask: Subtask): number {
    return taskOf(this.world, subtask.task).priority
  }

  private rollUp(): Effects['tasks'] {
    for (const id of this.broken) {
      const task = taskOf(this.world, id)
      if (allows(taskTransitions.fail, task.status)) {
        this.moveTask(task, 'fail')
        task.sweeping = true
      }
    }
    for (const task of this.world.tasks) {
      const status = follow(this.world, task)
      if (status === 'failed' && task.status !== 'failed') task.sweeping = true
      task.status = status
    }
    return this.world.tasks.flatMap(task => {
      const from = this.before.tasks.find(t => t.id === task.id)?.status
      return from !== undefined && from !== task.status ? [{ task: task.id, from, status: task.status }] : []
    })
  }
}

export interface Counters {
  readonly active: number
  readonly reviewing: number
  readonly blocked: number
}

/** Subtasks that can go on by themselves; that a person has to act on; that nobody can take. */
export function countersOf(world: World, task: Task): Counters {
  const own = subtasksOf(world, task).filter(s => !s.superseded)
  const active = own.filter(s => (activeSubtaskStates as readonly SubtaskState[]).includes(s.state)).length
  const blocked = own.filter(s => s.state === 'blocked')
  const unroutable = blocked.filter(s => openReview(world, s)?.kind === 'unroutable').length
  const reviewing = own.filter(s => s.state === 'awaiting_approval' || s.state === 'needs_review').length
  return { active, reviewing: reviewing + unroutable, blocked: blocked.length - unroutable }
}

/** How a task's status follows from its subtasks; the first line that fits. */
export function follow(world: World, task: Task): TaskStatus {
  if (!going.includes(task.status)) return task.status
  const { active, reviewing, blocked } = countersOf(world, task)
  if (active > 0) return 'running'
  if (reviewing > 0) return 'needs_review'
  if (blocked > 0) return 'blocked'
  const own = subtasksOf(world, task).filter(s => !s.superseded)
  const stuck = own.find(s => s.state === 'pending')
  if (stuck) throw new Error(`${nameOf(world, stuck.id)} is pending, and nothing that it could wait for goes on`) // I3
  return own.some(s => !s.passes) ? 'failed' : 'completed'
}
