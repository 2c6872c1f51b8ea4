/**
 * What the model knows of the world: tasks, subtasks, attempts, reviews, workers. It is written from the specification
 * and keeps no number that follows from others: unmet dependencies and a task's counters are counted afresh whenever
 * they are asked for, where the SQL decrements and adds. That is what makes it an oracle.
 */
import {
  type OnFailure,
  type ReviewDecisionName,
  type ReviewKind,
  type ReviewStatus,
  type SubtaskState,
  type TaskStatus,
  terminalSubtaskStates,
  terminalTaskStatuses,
} from '@baton/shared'
import type { Features } from './features.js'
import { type AgentName, type RouteName, type WorkerName, workerNames } from './fleet.js'

export type Gate = 'approval' | 'release'

export interface Task {
  readonly id: number
  /** What the caller calls it. */
  readonly name: string
  readonly orchestrator: string
  /** The smaller, the sooner. */
  readonly priority: number
  status: TaskStatus
  mode: 'auto' | 'manual'
  /** Names of subtasks before which to wait. */
  checkpoints: readonly string[]
  /** It ended, and what is left of it may still have to be cancelled. */
  sweeping: boolean
}

/** The lease of one running attempt. */
export interface Claim {
  readonly id: number
  readonly worker: WorkerName
  readonly agent: AgentName
}

/** Clocks that may have run out. The model has no time: a command says that one of them did. */
export interface Over {
  lease: boolean
  sla: boolean
  backoff: boolean
  queueWait: boolean
  deadline: boolean
  /** Of a cancel that was asked for. */
  grace: boolean
}

export interface Subtask {
  /** Drawn in order of submission; rows are locked, swept and queued in this order. */
  readonly id: number
  readonly task: number
  readonly name: string
  readonly generation: number
  readonly onFailure: OnFailure
  readonly requiresApproval: boolean
  /** Ids; grows when a dependency spawns. */
  dependsOn: number[]
  readonly spawnedBy: number | null
  /** What its definition allows; `attemptLimit` is what people made of it. */
  readonly definedLimit: number
  route: RouteName
  state: SubtaskState
  gate: Gate | null
  /** A fence that only rises. */
  attempt: number
  /** How often a job was rung for it. */
  dispatch: number
  charged: number
  uncharged: number
  /** Attempts that were lost together with their worker. */
  losses: number
  attemptLimit: number
  queue: string | null
  claim: Claim | null
  /** Whether its deadline's clock began. */
  scheduled: boolean
  over: Over
  /** Whether it ended so that its dependents may go on. */
  passes: boolean
  /** A rerun took its place. */
  superseded: boolean
  cancel: 'requested' | 'acknowledged' | 'forced' | null
}

/** One try that has ended. */
export interface Attempt {
  readonly subtask: number
  readonly attempt: number
  readonly claim: number | null
  readonly outcome: 'completed' | 'failed' | 'timed_out' | 'lost' | 'released' | 'cancelled'
  readonly charged: boolean
  readonly output: string | null
  /** It ended without its worker's doing. */
  readonly aborted: boolean
}

export interface Review {
  readonly id: number
  readonly subtask: number
  readonly kind: ReviewKind
  status: ReviewStatus
  decision: ReviewDecisionName | null
  assignee: string | null
  /** Who gets it when it is past its due time. */
  escalateTo: string | null
  /** Past its due time. */
  due: boolean
  /** The alert of that was raised, and nobody is left to ask. */
  told: boolean
}

export interface Worker {
  readonly name: WorkerName
  state: 'ready' | 'draining' | 'stopped' | 'lost'
  /** It was asked to drain. */
  drain: boolean
  /** Not heard of for longer than a lease. */
  silent: boolean
}

/** What a subtask is to be, before it is stored. */
export interface Draft {
  readonly name: string
  readonly dependsOn: readonly string[]
  readonly onFailure: OnFailure
  readonly requiresApproval: boolean
  readonly route: RouteName
  readonly attemptLimit: number | null
}

export interface TaskDraft {
  readonly name: string
  readonly orchestrator: string
  readonly priority: number
  readonly subtasks: readonly Draft[]
}

export interface World {
  readonly features: Features
  /** Tasks that producers send in the course of the history, some of them again. */
  readonly drafts: readonly TaskDraft[]
  orchestrators: Record<string, 'running' | 'paused' | 'idle'>
  /**
   * What a statement saw that began before others changed it: it locks the rows that it is about, and whatever else it
   * looks at (the task's status, who else runs, what is ready of a route, what is paused) may be one behind. Null but for commands that race.
   */
  readonly past: World | null
  /** Everything of the tenant is paused. */
  paused: boolean
  tasks: Task[]
  subtasks: Subtask[]
  attempts: Attempt[]
  reviews: Review[]
  workers: Worker[]
  /** Attempts that were ever granted: whoever had one may report on it at any time. */
  grants: { readonly subtask: number; readonly attempt: number; readonly claim: Claim }[]
  /** Claims that were made, granted or not; the next one gets the next number. */
  claims: number
  /** Subtasks that were spawned; each gets a name of its own. */
  spawned: number
  nextId: number
}

export function newWorld(features: Features, drafts: readonly TaskDraft[]): World {
  return {
    features,
    drafts,
    orchestrators: { default: 'running', other: 'running' },
    past: null,
    paused: false,
    tasks: [],
    subtasks: [],
    attempts: [],
    reviews: [],
    workers: workerNames.map(name => ({ name, state: 'ready', drain: false, silent: false })),
    grants: [],
    claims: 0,
    spawned: 0,
    nextId: 1,
  }
}

/** A draft to change: what never changes is shared. */
export function copy(world: World): World {
  return {
    ...world,
    orchestrators: { ...world.orchestrators },
    tasks: world.tasks.map(task => ({ ...task })),
    subtasks: world.subtasks.map(s => ({ ...s, dependsOn: [...s.dependsOn], over: { ...s.over } })),
    attempts: [...world.attempts],
    reviews: world.reviews.map(review => ({ ...review })),
    workers: world.workers.map(worker => ({ ...worker })),
    grants: [...world.grants],
  }
}

export function taskOf(world: World, id: number): Task {
  const task = world.tasks.find(t => t.id === id)
  if (!task) throw new RangeError(`there is no task ${id}`)
  return task
}

export function subtaskOf(world: World, id: number): Subtask {
  const subtask = world.subtasks.find(s => s.id === id)
  if (!subtask) throw new RangeError(`there is no subtask ${id}`)
  return subtask
}

/** The status of a task, as a guard sees it. */
export const statusSeen = (world: World, { id, status }: Task): TaskStatus => world.past?.tasks.find(t => t.id === id)?.status ?? status

export const statusOf = (world: World, { task }: Subtask): TaskStatus => statusSeen(world, taskOf(world, task))

export const subtasksOf = (world: World, task: Task): Subtask[] => world.subtasks.filter(s => s.task === task.id)

export const dependentsOf = (world: World, { id }: Pick<Subtask, 'id'>): Subtask[] => world.subtasks.filter(s => s.dependsOn.includes(id))

export const isTerminal = (state: SubtaskState): boolean => (terminalSubtaskStates as readonly SubtaskState[]).includes(state)
export const hasEnded = (status: TaskStatus): boolean => (terminalTaskStatuses as readonly TaskStatus[]).includes(status)

/** Whether it ended for good without letting its dependents go on. */
export const endedBadly = ({ state, passes }: Subtask): boolean => (state === 'cancelled' || state === 'failed') && !passes

/** I13: how many of its dependencies have not ended in a way that lets it go on. */
export const unmet = (world: World, subtask: Subtask): number => subtask.dependsOn.filter(id => !subtaskOf(world, id).passes).length

export const openReview = (world: World, subtask: Subtask): Review | undefined =>
  world.reviews.find(r => r.subtask === subtask.id && r.status === 'open')

/** How a person reads it. */
export function nameOf(world: World, id: number): string {
  const subtask = world.subtasks.find(s => s.id === id)
  if (!subtask) return `#${id}`
  return `${taskOf(world, subtask.task).name}/${subtask.name}${subtask.generation > 0 ? `'${subtask.generation}` : ''}`
}
