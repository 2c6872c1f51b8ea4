/**
 * The invariants of the design, asked of the rows alone: what the model says is not consulted, so that a mistake that the
 * model and the SQL share is found too.
 */
import { isLegalSubtaskStep, isLegalTaskStep, type SubtaskState, type TaskStatus } from '@baton/shared'
import type { AttemptRow, Observed, SubtaskRow } from './observe.js'
import type { Job } from './step.js'

/** What the history told outsiders so far. */
export class Told {
  private readonly jobs = new Set<string>()
  private readonly tokens = new Map<string, string>()

  rung({ subtask, attempt, dispatch }: Job): void {
    this.jobs.add(`${subtask}-${attempt}-${dispatch}`)
  }

  wasRung({ id, attempt, dispatch }: SubtaskRow): boolean {
    return this.jobs.has(`${id}-${attempt}-${dispatch}`)
  }

  /** I15: a token is of one attempt, an attempt of one token. Answers with what breaks that. */
  granted({ subtask, attempt, claim }: { subtask: number; attempt: number; claim: number }): string[] {
    const [token, execution] = [`token c${claim}`, `attempt ${attempt} of ${subtask}`]
    const [before, beside] = [this.tokens.get(token) ?? execution, this.tokens.get(execution) ?? token]
    this.tokens.set(token, execution)
    this.tokens.set(execution, token)
    return before === execution && beside === token ? [] : [`I15: ${token} for ${execution}, after ${before} and ${beside}`]
  }
}

const passes = ({ state, onFailure }: SubtaskRow): boolean =>
  state === 'completed' || state === 'skipped' || (state === 'failed' && onFailure === 'continue')

function grouped<T>(rows: readonly T[], keyOf: (row: T) => number): Map<number, T[]> {
  const groups = new Map<number, T[]>()
  for (const row of rows) groups.set(keyOf(row), [...(groups.get(keyOf(row)) ?? []), row])
  return groups
}

/** What is broken, as sentences; `name` says which subtask. */
export function brokenInvariants(observed: Observed, told: Told, name: (id: number) => string): string[] {
  const { tasks, subtasks, edges, attempts, reviews } = observed
  const broken: string[] = []
  const [attemptsOf, reviewsOf] = [grouped(attempts, a => a.subtask), grouped(reviews, r => r.subtask)]
  const rowOf = new Map(subtasks.map(s => [s.id, s]))
  const dependenciesOf = grouped(edges, ([, to]) => to)
  for (const s of subtasks) {
    const say = (what: string) => broken.push(`${what}: ${name(s.id)} is ${s.state}`)
    const own: readonly AttemptRow[] = attemptsOf.get(s.id) ?? []
    const results = own.filter(a => a.outcome === 'completed')
    if (results.length !== (s.state === 'completed' ? 1 : 0)) say(`I1: ${results.length} accepted results`)
    if (results.some(a => a.attempt !== s.attempt || a.output === null)) say('I5: its result is not of its last attempt')
    if (own.some(a => a.attempt > s.attempt)) say('I5: an attempt ended that was never begun')
    const unfinished = (dependenciesOf.get(s.id) ?? []).filter(([from]) => !passes(rowOf.get(from) ?? s)).length
    if (unfinished !== s.unmet) say(`I13: unmet is ${s.unmet}, and ${unfinished} dependencies are unfinished`)
    // What ended without ever having been opened did not start.
    const started =
      own.some(a => a.claim !== null) ||
      !(s.state === 'pending' || s.state === 'cancelled' || s.state === 'skipped' || s.state === 'failed')
    if (unfinished > 0 && started) say(`I2: ${unfinished} dependencies are unfinished`)
    const charged = own.filter(a => a.charged && a.outcome !== 'completed').length
    if (charged !== s.charged || charged > s.limit) say(`I6: ${charged} charged attempts, ${s.charged} counted, limit ${s.limit}`)
    const exhausted = (reviewsOf.get(s.id) ?? []).filter(r => r.kind === 'exhausted')
    const grantedMore = exhausted.filter(r => r.decision === 'retry' || r.decision === 'reassign').length
    if (exhausted.length > grantedMore + 1) say('I6: more reviews than limits')
    if ((s.state === 'needs_review') !== exhausted.some(r => r.status === 'open')) say('I6: an open review goes with needs_review')
    if (s.state === 'queued' && !told.wasRung(s)) say(`I11: no job was rung for attempt ${s.attempt}, dispatch ${s.dispatch}`)
  }
  for (const task of tasks) {
    const live = subtasks.filter(s => s.task === task.id && !s.superseded)
    const count = (...list: string[]) => live.filter(s => list.includes(s.state)).length
    const reviewed = live.filter(s => s.state === 'blocked' && reviewsOf.get(s.id)?.some(r => r.status === 'open')).length
    const active = count('ready', 'queued', 'running', 'retrying')
    const counted = [active, count('awaiting_approval', 'needs_review') + reviewed, count('blocked') - reviewed]
    const kept = [task.active, task.reviewing, task.blocked]
    const say = (what: string) => broken.push(`${what}: task ${task.id} is ${task.status}`)
    if (!task.sweeping && String(counted) !== String(kept)) say(`its counters are ${kept}, and its subtasks make ${counted}`)
    const left = count('pending') + counted.reduce((a, b) => a + b, 0)
    const ended = task.status === 'completed' || task.status === 'failed' || task.status === 'cancelled'
    if (ended && !task.sweeping && left > 0) say('I3: it ended and has live subtasks')
    if (task.status === 'completed' && live.some(s => !passes(s))) say('I3: it completed without all of its subtasks')
    if (!ended && task.status !== 'planned' && task.status !== 'paused' && left === count('pending'))
      say('I3: nothing can ever happen to it')
  }
  return broken
}

/** I7: each row went one legal step, or none, in one command. */
export function illegalSteps(before: Observed, after: Observed, name: (id: number) => string): string[] {
  const states = new Map(before.subtasks.map(s => [s.id, s.state]))
  const statuses = new Map(before.tasks.map(t => [t.id, t.status]))
  return [
    ...after.subtasks.flatMap(s => {
      const from = states.get(s.id)
      // A root that nobody serves is opened and blocked at once.
      const legal = from === undefined || from === s.state || isLegal(from, s.state) || (from === 'pending' && s.state === 'blocked')
      return legal ? [] : [`I7: ${name(s.id)} went from ${from} to ${s.state}`]
    }),
    ...after.tasks.flatMap(t => {
      const from = statuses.get(t.id)
      const legal = from === undefined || from === t.status || isLegalTaskStep(from as TaskStatus, t.status as TaskStatus) // by the tables' CHECK
      return legal || viaRunning(from, t.status) ? [] : [`I7: task ${t.id} went from ${from} to ${t.status}`]
    }),
  ]
}

const isLegal = (from: string, to: string): boolean => isLegalSubtaskStep(from as SubtaskState, to as SubtaskState) // by the tables' CHECK

/** A task that was resumed or runs again is at once what its subtasks make of it. */
const viaRunning = (from: string, to: string): boolean =>
  isLegalTaskStep(from as TaskStatus, 'running') && isLegalTaskStep('running', to as TaskStatus) // as above
