/** One sentence on what a waiting node waits for. Pure: whoever reads it needs no log. */
import type { SubtaskState, TaskStatus } from '@baton/shared'
import { formatDuration } from '@baton/shared'

export interface WaitingSubtask {
  readonly state: SubtaskState
  readonly capability: string
  readonly pinnedAgent: string | null
  readonly requires: readonly string[]
  readonly gate: string | null
  readonly charged: number
  readonly attemptLimit: number
  readonly runAfter: Date | null
  readonly queuedAt: Date | null
  readonly readyAt: Date | null
  readonly agent: string | null
  readonly workerId: string | null
  /** Names of unfinished dependencies; up to four. */
  readonly waitsFor: readonly string[]
  readonly reviewedSince: Date | null
  readonly assignee: string | null
  readonly failureMessage: string | null
  /** What it failed by is its deadline, not its attempts. */
  readonly outOfTime: boolean
  /** In review because it waited longer than this, in ms. */
  readonly waitedOut: number | null
  /** How often it was lost together with its worker. */
  readonly losses: number
  /** A cancel was asked for. */
  readonly cancelling: boolean
}

/** What may hold a task up from outside. */
export interface Surroundings {
  readonly orchestratorStatus: string
  /** Null: not everything is paused. */
  readonly allPaused: { readonly since: Date; readonly by: string | null; readonly reason: string | null } | null
  /** For a planned task that is to start as soon as its orchestrator, which runs so many at once, may run one more. */
  readonly startsInTurn: { readonly atOnce: number | null } | null
}

/** Undefined for what does not wait. */
export function whySubtask(
  subtask: WaitingSubtask,
  { now, taskStatus, ...surroundings }: Surroundings & { readonly now: Date; readonly taskStatus: TaskStatus },
): string | undefined {
  const held = heldUp(taskStatus, surroundings)
  switch (subtask.state) {
    case 'pending':
      if (subtask.waitsFor.length === 0) return held ?? 'its task has not started'
      return `waiting for ${list(subtask.waitsFor)} to finish`
    case 'awaiting_approval':
      return subtask.gate === 'release'
        ? 'waiting to be released (manual execution or a checkpoint)'
        : `waiting for approval${by(subtask.assignee)}${since(subtask.reviewedSince)}`
    case 'ready':
      return held ?? `ready${since(subtask.readyAt)}; waiting for a slot, or for room in the queue of ${needs(subtask)}`
    case 'queued':
      // Whether every slot is taken is not known here: a job that was rung a moment ago is on its way to a free one.
      return held ?? `in the queue of ${needs(subtask)}${since(subtask.queuedAt)}; waiting for a worker to take it`
    case 'retrying': {
      if (held !== undefined) return held
      const inMs = Math.max(0, (subtask.runAfter?.getTime() ?? now.getTime()) - now.getTime())
      const alone = subtask.losses >= 2 ? '; it was lost twice with its worker, and runs alone' : ''
      return `attempt ${subtask.charged + 1} of ${subtask.attemptLimit} starts in ${formatDuration(inMs)}${because(subtask.failureMessage)}${alone}`
    }
    case 'blocked':
      if (subtask.waitedOut !== null)
        return `no worker took it within its queue wait of ${formatDuration(subtask.waitedOut)} (${needs(subtask)}); waiting for one, or for a decision${by(subtask.assignee)}${since(subtask.reviewedSince)}`
      return `no live worker offers ${needs(subtask)}`
    case 'running':
      return subtask.cancelling ? 'waiting for its worker to acknowledge the cancel' : undefined
    case 'needs_review':
      if (subtask.outOfTime) return `its deadline has passed; waiting for a decision${by(subtask.assignee)}${since(subtask.reviewedSince)}`
      return `${subtask.charged} of ${subtask.attemptLimit} attempts are used up${because(subtask.failureMessage)}; waiting for a decision${by(subtask.assignee)}${since(subtask.reviewedSince)}`
    default:
      return undefined
  }
}

/** What a task as a whole waits for. */
export function whyTask(
  status: TaskStatus,
  surroundings: Surroundings,
  first: { name: string; why: string } | undefined,
  taskId: string,
): string | undefined {
  switch (status) {
    case 'planned':
      return surroundings.startsInTurn === null
        ? `planned; start it with POST /execute/${taskId}`
        : inTurn(surroundings.startsInTurn, surroundings)
    case 'paused':
      return `paused; resume it with POST /tasks/${taskId}/resume`
    case 'blocked':
    case 'needs_review':
      return first ? `${first.name}: ${first.why}` : undefined
    case 'running':
      return heldUp(status, surroundings)
    default:
      return undefined
  }
}

function heldUp(taskStatus: TaskStatus, surroundings: Surroundings): string | undefined {
  const { startsInTurn } = surroundings
  if (taskStatus === 'planned') return startsInTurn === null ? 'its task has not started' : inTurn(startsInTurn, surroundings)
  const { allPaused } = surroundings
  return allPaused === null && taskStatus === 'paused' ? 'the task is paused' : heldFromOutside(surroundings)
}

function heldFromOutside({ orchestratorStatus, allPaused }: Surroundings): string | undefined {
  if (allPaused !== null)
    return `everything is paused${since(allPaused.since)}${by(allPaused.by)}${allPaused.reason === null ? '' : ` (${allPaused.reason})`}`
  // What a new orchestrator is: who has never heard of that has to be told what ends it.
  if (orchestratorStatus === 'idle') return 'its orchestrator is idle; it starts nothing until its status is set to running'
  if (orchestratorStatus !== 'running') return `its orchestrator is ${orchestratorStatus}`
  return undefined
}

/** A turn does not come while what runs is held up itself. */
function inTurn({ atOnce }: { readonly atOnce: number | null }, surroundings: Surroundings): string {
  const held = heldFromOutside(surroundings)
  const turn = `waits for its turn${atOnce === null ? '' : `: its orchestrator runs ${atOnce === 1 ? 'one task' : `${atOnce} tasks`} at once`}`
  return held === undefined ? turn : `${turn}; ${held}`
}

function needs({ capability, pinnedAgent, requires }: WaitingSubtask): string {
  const tags = requires.length > 0 ? ` with ${requires.map(quote).join(', ')}` : ''
  return pinnedAgent === null ? `${quote(capability)}${tags}` : `agent ${quote(pinnedAgent)}${tags}`
}

const quote = (name: string): string => `\`${name}\``

function list(names: readonly string[]): string {
  if (names.length > 3) return `${names.slice(0, 3).map(quote).join(', ')} and others`
  if (names.length < 2) return names.map(quote).join('')
  return `${names.slice(0, -1).map(quote).join(', ')} and ${quote(names[names.length - 1] as string)}` // of two or three
}

const by = (assignee: string | null): string => (assignee === null ? '' : ` by ${assignee}`)
const since = (at: Date | null): string => (at === null ? '' : ` since ${at.toISOString().slice(11, 16)}`)
const because = (message: string | null): string =>
  message === null ? '' : ` (${message.length > 200 ? `${message.slice(0, 199)}…` : message})`
