/**
 * A part of a task runs again: rows of the next generation take the places of the named subtasks and of all that was
 * opened downstream of them. Dependents that are still pending stay, and wait for the successors.
 */
import type { TaskStatus } from '@baton/shared'
import { follow, Step } from '../step.js'
import { endedBadly, type Gate, hasEnded, isTerminal, type Subtask, subtasksOf, type Task, unmet, type World } from '../world.js'

export interface Rerun {
  readonly task: string
  /** Names of subtasks. */
  readonly from: readonly string[]
  readonly firstId: number
}

export type RerunReply =
  | { readonly kind: 'refused' }
  | { readonly kind: 'done'; readonly status: TaskStatus; readonly subtasks: number; readonly running: number[] }

export function rerun(before: World, { task: name, from, firstId }: Rerun): { world: World; reply: RerunReply } {
  const step = new Step(before)
  const { world } = step
  const task = world.tasks.find(t => t.name === name)
  if (!task) throw new RangeError(`there is no task ${name}`)
  const live = subtasksOf(world, task).filter(s => !s.superseded)
  const chosen = live.filter(s => from.includes(s.name))
  const refused = { world: before, reply: { kind: 'refused' } } as const
  const isLeft = hasEnded(task.status) && live.some(s => !isTerminal(s.state))
  if (task.status === 'planned' || isLeft) return refused
  // Asked for once more while it is under way.
  if (chosen.every(s => s.generation > 0 && !isTerminal(s.state) && s.state !== 'needs_review'))
    return { world: before, reply: { kind: 'done', status: task.status, subtasks: 0, running: [] } }
  if (chosen.some(s => s.state === 'pending')) return refused
  const part = partOf(live, chosen, hasEnded(task.status))
  const spawned = spawnedBy(live, part)
  const again = [...part].filter(s => !spawned.has(s)).sort((a, b) => a.id - b.id)
  const gone = new Set([...part, ...spawned])
  // What would wait for something that is neither finished nor runs again cannot be told when it may start.
  if (again.some(s => live.some(d => s.dependsOn.includes(d.id) && !isTerminal(d.state) && !again.includes(d)))) return refused
  const running = [...gone].flatMap(s => s.claim?.id ?? [])
  const successors = new Map(again.map((s, n) => [s.id, firstId + n]))
  const added = again.map(old => successorOf(task, old, successors.get(old.id) ?? 0))
  for (const old of gone) supersede(step, old)
  const current = (id: number) => successors.get(id) ?? successorOfEarlier(world, id)
  for (const s of added) s.dependsOn = s.dependsOn.flatMap(id => current(id) ?? [])
  for (const s of live) if (s.state === 'pending') s.dependsOn = s.dependsOn.flatMap(id => current(id) ?? [])
  world.subtasks.push(...added)
  world.nextId = Math.max(world.nextId, firstId + added.length)
  for (const s of added) if (unmet(world, s) === 0) step.open(s)
  task.sweeping = false
  if (task.status !== 'paused') {
    task.status = 'running'
    task.status = follow(world, task)
  }
  step.settle()
  return { world, reply: { kind: 'done', status: task.status, subtasks: again.length, running: running.sort((a, b) => a - b) } }
}

/** The chosen, what was opened downstream of them, and whatever they would wait for in vain. */
function partOf(live: readonly Subtask[], chosen: readonly Subtask[], ended: boolean): Set<Subtask> {
  const part = new Set([...chosen, ...(ended ? live.filter(endedBadly) : [])])
  for (const s of part) {
    for (const other of live) {
      const downstream = other.dependsOn.includes(s.id) && other.state !== 'pending'
      const upstream = s.dependsOn.includes(other.id) && endedBadly(other)
      if (downstream || upstream) part.add(other) // and is visited in its turn
    }
  }
  return part
}

/** What the part spawned, and what that spawned: it has no successor, for whoever spawned it spawns anew. */
function spawnedBy(live: readonly Subtask[], part: ReadonlySet<Subtask>): Set<Subtask> {
  const spawned = new Set<Subtask>()
  const spawners = new Set([...part].map(s => s.id))
  for (let grown = true; grown; ) {
    grown = false
    for (const s of live)
      if (s.spawnedBy !== null && spawners.has(s.spawnedBy) && !spawned.has(s)) {
        spawned.add(s)
        spawners.add(s.id)
        grown = true
      }
  }
  return spawned
}

function supersede(step: Step, old: Subtask): void {
  if (old.state === 'running') {
    step.record(old, { outcome: 'cancelled', charged: false })
    old.cancel = 'forced'
  }
  if (!isTerminal(old.state)) step.move(old, 'cancel')
  step.closeReviews(old)
  old.superseded = true
}

function successorOf(task: Task, old: Subtask, id: number): Subtask {
  const release = task.mode === 'manual' || task.checkpoints.includes(old.name)
  const gate: Gate | null = old.requiresApproval ? 'approval' : release ? 'release' : null
  return {
    ...old,
    id,
    generation: old.generation + 1,
    dependsOn: [...old.dependsOn],
    state: 'pending',
    gate,
    attempt: 0,
    dispatch: 0,
    charged: 0,
    uncharged: 0,
    attemptLimit: old.definedLimit,
    queue: null,
    claim: null,
    scheduled: false,
    over: { lease: false, sla: false, backoff: false, queueWait: false, deadline: false, grace: false },
    passes: false,
    cancel: null,
  }
}

/** A dependency that was superseded earlier has the successor of its name; one that went with its spawner has none. */
function successorOfEarlier(world: World, id: number): number | undefined {
  const old = world.subtasks.find(s => s.id === id)
  if (!old?.superseded) return id
  return world.subtasks.find(s => s.task === old.task && s.name === old.name && !s.superseded)?.id
}
