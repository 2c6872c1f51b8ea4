/** What people tell tasks and workers to do. */
import { taskTransitions } from '@baton/shared'
import type { WorkerName } from '../fleet.js'
import { allows, Step } from '../step.js'
import { hasEnded, isTerminal, type Over, type Subtask, statusOf, subtasksOf, type World } from '../world.js'
import type { Skips } from './dispatching.js'

/** Cancels, pauses or resumes a task, where its status lets it. */
export function control(before: World, verb: 'cancel' | 'pause' | 'resume', taskName: string) {
  const step = new Step(before)
  const task = step.world.tasks.find(t => t.name === taskName)
  if (!task) return { world: step.world, reply: null }
  const from = task.status
  if (allows(taskTransitions[verb], from)) {
    step.moveTask(task, verb)
    if (verb === 'cancel') task.sweeping = true
  }
  step.settle() // a resumed task is what its subtasks make of it
  return { world: step.world, reply: { before: from, status: task.status } }
}

/** Cancels what is left of tasks that ended; what runs is asked to stop. Where nothing is left, the task is done with. */
export function sweep(before: World, skips: Skips = new Set()) {
  const step = new Step(before)
  const { world } = step
  const isLeft = (s: Subtask) => !s.superseded && !isTerminal(s.state)
  const swept = new Set(world.tasks.filter(t => t.sweeping).map(t => t.id))
  const due = world.subtasks.filter(s => swept.has(s.task) && isLeft(s) && s.cancel !== 'requested' && !skips.has(s.id))
  const running = due.flatMap(({ claim }) => (claim ? [{ worker: claim.worker, claim: claim.id }] : []))
  for (const subtask of due) {
    if (subtask.state === 'running') askToStop(subtask)
    else step.move(subtask, 'cancel')
    step.closeReviews(subtask)
  }
  for (const task of world.tasks) if (!subtasksOf(world, task).some(isLeft)) task.sweeping = false
  step.settle()
  return { world, reply: { running: running.sort((a, b) => a.claim - b.claim) } }
}

export function askToStop(subtask: Subtask): void {
  subtask.cancel = 'requested'
  subtask.over.grace = false
}

/** Opens the gate of manual execution or of a checkpoint, also in advance. */
export function release(before: World, taskName: string, name: string) {
  const step = new Step(before)
  const task = step.world.tasks.find(t => t.name === taskName)
  // A person names it, and means the one that is in force.
  const subtask = step.world.subtasks.find(s => s.task === task?.id && s.name === name && !s.superseded)
  if (!subtask || !task) return { world: step.world, reply: null }
  const { state: from, gate } = subtask
  if (gate === 'release' && !hasEnded(statusOf(step.world, subtask)) && (from === 'pending' || from === 'awaiting_approval')) {
    subtask.gate = null
    if (from === 'awaiting_approval') step.move(subtask, 'approve')
  }
  step.settle()
  return { world: step.world, reply: { before: from, state: subtask.state, gate: isTerminal(from) ? null : gate } }
}

export function drain(before: World, name: WorkerName) {
  const step = new Step(before)
  const worker = step.world.workers.find(w => w.name === name)
  if (!worker) throw new RangeError(`there is no worker ${name}`)
  if (worker.state === 'ready') {
    worker.state = 'draining'
    worker.drain = true
  }
  return { world: step.world, reply: { state: worker.state } }
}

/** Declares workers lost that have been silent for longer than a lease; their attempts are their leases' affair. */
export function loseWorkers(before: World) {
  const step = new Step(before)
  const gone = step.world.workers.filter(w => w.silent && (w.state === 'ready' || w.state === 'draining'))
  for (const worker of gone) worker.state = 'lost'
  return { world: step.world, reply: { lost: gone.map(w => w.name) } }
}

/** A registration takes a worker in again, whatever it was. */
export function register(before: World, name: WorkerName) {
  const step = new Step(before)
  const worker = step.world.workers.find(w => w.name === name)
  if (!worker) throw new RangeError(`there is no worker ${name}`)
  worker.state = 'ready'
  worker.silent = false
  return { world: step.world, reply: null }
}

export function setOrchestrator(before: World, id: string, status: 'running' | 'paused' | 'idle') {
  const step = new Step(before)
  const was = step.world.orchestrators[id]
  step.world.orchestrators[id] = status
  return { world: step.world, reply: { before: was, status } }
}

/** Pauses everything, or lets it go on. */
export function controlSystem(before: World, which: 'pause' | 'resume') {
  const step = new Step(before)
  step.world.paused = which === 'pause'
  return { world: step.world, reply: { before: before.paused, paused: step.world.paused } }
}

/** A clock ran out: nothing happens before a sweep looks. */
export function timePasses(before: World, id: number, clock: keyof Over) {
  const step = new Step(before)
  const subtask = step.world.subtasks.find(s => s.id === id)
  if (subtask) subtask.over[clock] = true
  return { world: step.world, reply: null }
}

export function silence(before: World, name: WorkerName) {
  const step = new Step(before)
  const worker = step.world.workers.find(w => w.name === name)
  if (worker) worker.silent = true
  return { world: step.world, reply: null }
}

/** It was lost so often with its worker. */
export function makeSuspect(before: World, id: number) {
  const step = new Step(before)
  const subtask = step.world.subtasks.find(s => s.id === id)
  if (subtask) subtask.losses = 2
  return { world: step.world, reply: null }
}

/** It ended so often through no fault of its own. */
export function wearOut(before: World, id: number, uncharged: number) {
  const step = new Step(before)
  const subtask = step.world.subtasks.find(s => s.id === id)
  if (subtask) subtask.uncharged = uncharged
  return { world: step.world, reply: null }
}
