/** How a graph comes to be: submitted, executed, spawned by an agent. */
import { taskTransitions } from '@baton/shared'
import type { Rooms, RouteName } from '../fleet.js'
import { allows, countersOf, follow, type Job, mayStart, Step } from '../step.js'
import { type Draft, dependentsOf, type Gate, type Subtask, subtasksOf, type Task, type TaskDraft, unmet, type World } from '../world.js'

/** Attempts where nothing else says. */
export const defaultAttemptLimit = 3

export interface Submit {
  readonly draft: TaskDraft
  /** Of the task; its subtasks' follow. */
  readonly firstId: number
  /** `execute: true` in the request. */
  readonly execute: boolean
  readonly rooms: Rooms
  /** Routes that no live worker serves. */
  readonly unroutable: readonly RouteName[]
}

interface Origin {
  readonly task: number
  readonly firstId: number
  readonly gateOf: (draft: Draft) => Gate | null
  readonly spawnedBy: number | null
  /** Subtasks outside the drafts that these may depend on. */
  readonly outside: ReadonlyMap<string, number>
}

function addSubtasks(world: World, drafts: readonly Draft[], { task, firstId, gateOf, spawnedBy, outside }: Origin): Subtask[] {
  const ids = new Map(outside)
  drafts.forEach(({ name }, n) => {
    ids.set(name, firstId + n)
  })
  world.nextId = Math.max(world.nextId, firstId + drafts.length)
  const added = drafts.map(
    (draft): Subtask => ({
      id: ids.get(draft.name) ?? 0,
      task,
      name: draft.name,
      generation: 0,
      onFailure: draft.onFailure,
      requiresApproval: draft.requiresApproval,
      dependsOn: draft.dependsOn.map(name => ids.get(name) ?? 0),
      spawnedBy,
      definedLimit: draft.attemptLimit ?? defaultAttemptLimit,
      route: draft.route,
      state: 'pending',
      gate: gateOf(draft),
      attempt: 0,
      dispatch: 0,
      charged: 0,
      uncharged: 0,
      losses: 0,
      attemptLimit: draft.attemptLimit ?? defaultAttemptLimit,
      queue: null,
      claim: null,
      scheduled: false,
      over: { lease: false, sla: false, backoff: false, queueWait: false, deadline: false, grace: false },
      passes: false,
      superseded: false,
      cancel: null,
    }),
  )
  world.subtasks.push(...added)
  return added
}

const approvalGate = (draft: Draft): Gate | null => (draft.requiresApproval ? 'approval' : null)

/** Stores a task once: a second one of the same name changes nothing (I8). */
export function submit(before: World, { draft, firstId, execute, rooms, unroutable }: Submit) {
  const step = new Step(before)
  const { world } = step
  if (world.tasks.some(t => t.name === draft.name)) return { world, reply: { inserted: false, jobs: [] as Job[] } }
  const task: Task = {
    id: firstId,
    name: draft.name,
    orchestrator: draft.orchestrator,
    priority: draft.priority,
    status: 'planned',
    mode: 'auto',
    checkpoints: [],
    sweeping: false,
  }
  world.tasks.push(task)
  const added = addSubtasks(world, draft.subtasks, {
    task: task.id,
    firstId: firstId + 1,
    gateOf: approvalGate,
    spawnedBy: null,
    outside: new Map(),
  })
  const jobs: Job[] = []
  if (execute) {
    step.moveTask(task, 'start')
    const left = new Map(Object.entries(rooms))
    for (const root of added.filter(s => s.dependsOn.length === 0)) {
      if (root.gate === null && !unroutable.includes(root.route) && mayStart(world, task) && (left.get(root.route) ?? 0) > 0) {
        left.set(root.route, (left.get(root.route) ?? 0) - 1)
        jobs.push(step.enqueue(root))
      } else if (step.open(root) === 'ready' && unroutable.includes(root.route)) step.move(root, 'block')
    }
    task.status = follow(world, task)
  }
  step.settle()
  return { world, reply: { inserted: true, jobs } }
}

export interface Execute {
  readonly task: string
  readonly mode: 'auto' | 'manual'
  /** Names of subtasks before which to wait. */
  readonly checkpoints: readonly string[]
  readonly unroutable: readonly RouteName[]
}

/** Starts a planned task; any other is only looked at. */
export function execute(before: World, { task: name, mode, checkpoints, unroutable }: Execute) {
  const step = new Step(before)
  const { world } = step
  const task = world.tasks.find(t => t.name === name)
  if (!task) return { world, reply: null }
  const from = task.status
  if (!allows(taskTransitions.start, from)) return { world, reply: { from, status: from, ready: 0, blocked: 0 } }
  step.moveTask(task, 'start')
  task.mode = mode
  task.checkpoints = checkpoints
  for (const subtask of subtasksOf(world, task).filter(s => s.state === 'pending')) {
    if (mode === 'manual' || checkpoints.includes(subtask.name)) subtask.gate ??= 'release'
    if (unmet(world, subtask) === 0 && step.open(subtask) === 'ready' && unroutable.includes(subtask.route)) step.move(subtask, 'block')
  }
  const { active, blocked } = countersOf(world, task)
  step.settle()
  return { world, reply: { from, status: task.status, ready: active, blocked } }
}

/** Adds subtasks to a running task, in the command of the report that spawned them. */
export function spawnInto(step: Step, spawner: Subtask, drafts: readonly Draft[], firstId: number): 'spawned' | 'refused' {
  const { world } = step
  const task = world.tasks.find(t => t.id === spawner.task)
  if (!task) throw new RangeError('a subtask has a task')
  const taken = new Set(subtasksOf(world, task).flatMap(s => (s.superseded ? [] : [s.name])))
  if (drafts.some(draft => taken.has(draft.name))) return 'refused'
  const manual = world.features.spawnedWaitForRelease && task.mode === 'manual'
  const waiting = dependentsOf(world, spawner)
  const children = addSubtasks(world, drafts, {
    task: task.id,
    firstId,
    gateOf: draft => approvalGate(draft) ?? (manual ? 'release' : null),
    spawnedBy: spawner.id,
    outside: new Map([[spawner.name, spawner.id]]),
  })
  // Whatever waits for the spawner waits for its children too (I2).
  for (const dependent of waiting) dependent.dependsOn.push(...children.map(child => child.id))
  for (const child of children) if (child.dependsOn.length === 0) step.open(child)
  return 'spawned'
}
