/** What can be seen of the world, in the same words from the model and from the tables, one line for each row. */

import type { SubtaskState, TaskStatus } from '@baton/shared'
import type { Queryable } from '../../packages/coordinator/src/store/database.js'
import { routeId } from './fleet.js'
import { countersOf } from './step.js'
import { claimNumber } from './store.js'
import { hasEnded, isTerminal, nameOf, subtasksOf, unmet, type World } from './world.js'

export interface TaskRow {
  readonly id: number
  readonly status: TaskStatus
  readonly mode: string
  readonly total: number
  readonly active: number
  readonly reviewing: number
  readonly blocked: number
  readonly sweeping: boolean
}

export interface SubtaskRow {
  readonly id: number
  readonly task: number
  readonly state: SubtaskState
  readonly unmet: number
  readonly gate: string | null
  readonly attempt: number
  readonly dispatch: number
  readonly charged: number
  readonly uncharged: number
  readonly losses: number
  readonly limit: number
  readonly route: number
  readonly onFailure: string
  readonly superseded: boolean
  readonly cancel: string | null
  /** Of a row that is queued. */
  readonly queue: string | null
  /** Of a row that runs. */
  readonly claim: number | null
  readonly worker: string | null
  readonly agent: string | null
}

export interface AttemptRow {
  readonly subtask: number
  readonly attempt: number
  readonly claim: number | null
  readonly outcome: string
  readonly charged: boolean
  readonly output: string | null
}

export interface ReviewRow {
  readonly subtask: number
  readonly kind: string
  readonly status: string
  readonly decision: string | null
  readonly assignee: string | null
  readonly escalateTo: string | null
  readonly told: boolean
}

export interface Observed {
  readonly tasks: readonly TaskRow[]
  readonly subtasks: readonly SubtaskRow[]
  readonly edges: readonly (readonly [from: number, to: number])[]
  readonly attempts: readonly AttemptRow[]
  /** Those of a subtask in order of their making. */
  readonly reviews: readonly ReviewRow[]
  /** What is paused at present: `task 1`, `orchestrator other`, `tenant `. */
  readonly pauses: readonly string[]
  readonly workers: readonly { readonly name: string; readonly state: string; readonly drain: boolean }[]
}

/** A pause is open exactly as long as its thing is paused; deadlines leave it out. */
function pausesOf(world: World): string[] {
  return [
    ...world.tasks.filter(t => t.status === 'paused').map(t => `task ${t.id}`),
    ...Object.entries(world.orchestrators).flatMap(([id, status]) => (status === 'running' ? [] : [`orchestrator ${id}`])),
    ...(world.paused ? ['tenant '] : []),
  ]
}

export function observeModel(world: World): Observed {
  return {
    tasks: world.tasks.map(task => ({
      id: task.id,
      status: task.status,
      mode: task.mode,
      total: subtasksOf(world, task).filter(s => !s.superseded).length,
      ...countersOf(world, task),
      sweeping: task.sweeping,
    })),
    subtasks: world.subtasks.map(s => ({
      id: s.id,
      task: s.task,
      state: s.state,
      unmet: unmet(world, s),
      gate: s.gate,
      attempt: s.attempt,
      dispatch: s.dispatch,
      charged: s.charged,
      uncharged: s.uncharged,
      losses: s.losses,
      limit: s.attemptLimit,
      route: routeId(s.route),
      onFailure: s.onFailure,
      superseded: s.superseded,
      cancel: s.cancel,
      queue: s.state === 'queued' ? s.queue : null,
      claim: s.claim?.id ?? null,
      worker: s.claim?.worker ?? null,
      agent: s.claim?.agent ?? null,
    })),
    edges: world.subtasks.flatMap(s => s.dependsOn.map((from): [number, number] => [from, s.id])),
    attempts: world.attempts,
    reviews: world.reviews,
    pauses: pausesOf(world),
    workers: world.workers,
  }
}

const text = `
select
  (select coalesce(json_agg(json_build_object('id', id, 'status', status, 'mode', execution_mode, 'total', total, 'active', active, 'reviewing', reviewing, 'blocked', blocked, 'sweeping', unswept)), '[]') from tasks) as tasks,
  (select coalesce(json_agg(json_build_object('id', s.id, 'task', s.task_pk, 'state', s.state, 'unmet', s.unmet, 'gate', s.gate, 'attempt', s.attempt, 'dispatch', s.dispatch, 'charged', s.charged,
    'uncharged', s.uncharged, 'losses', s.losses, 'limit', s.attempt_limit, 'route', s.route_id, 'onFailure', d.on_failure, 'superseded', d.superseded <> 0, 'cancel', s.cancelled_how,
    'queue', case when s.state = 'queued' then s.queue end, 'claim', case when s.state = 'running' then s.claim_id end,
    'worker', case when s.state = 'running' then s.worker_id end, 'agent', case when s.state = 'running' then s.agent end)), '[]') from subtask_states s join subtasks d on d.id = s.id) as subtasks,
  (select coalesce(json_agg(json_build_array(from_id, to_id)), '[]') from dependencies) as edges,
  (select coalesce(json_agg(json_build_object('subtask', subtask_pk, 'attempt', attempt, 'claim', claim_id, 'outcome', outcome, 'charged', charged, 'output', output)), '[]') from attempts) as attempts,
  (select coalesce(json_agg(json_build_object('subtask', subtask_pk, 'kind', kind, 'status', status, 'decision', decision, 'assignee', assignee, 'escalateTo', escalate_to, 'told', alerted_at is not null) order by id), '[]') from reviews) as reviews,
  (select coalesce(json_agg(json_build_object('name', id, 'state', state, 'drain', drain_requested)), '[]') from workers) as workers,
  (select coalesce(json_agg(scope || ' ' || ref), '[]') from pauses where to_at = 'infinity') as pauses`

type Raw<T extends { claim: number | null }> = Omit<T, 'claim'> & { claim: string | null }
const numbered = <T extends { claim: number | null }>(rows: readonly Raw<T>[]): T[] =>
  rows.map(row => ({ ...row, claim: row.claim === null ? null : claimNumber(row.claim) }) as unknown as T) // all else is as it was

export async function observeTables(db: Pick<Queryable, 'query'>): Promise<Observed> {
  const { rows } = await db.query<Omit<Observed, 'subtasks' | 'attempts'> & { subtasks: Raw<SubtaskRow>[]; attempts: Raw<AttemptRow>[] }>({
    name: 'observe',
    text,
  })
  const row = rows[0]
  if (!row) throw new Error('a select without `from` has one row')
  return { ...row, subtasks: numbered<SubtaskRow>(row.subtasks), attempts: numbered<AttemptRow>(row.attempts) }
}

/** Sorted, so that equal worlds have equal lines. */
export function linesOf(observed: Observed, world: World): string[] {
  const name = (id: number) => nameOf(world, id)
  const task = (id: number) => world.tasks.find(t => t.id === id)?.name ?? `#${id}`
  const nth = new Map<number, number>()
  const reviews = observed.reviews.map(({ subtask, kind, status, decision, assignee, escalateTo, told }) => {
    nth.set(subtask, (nth.get(subtask) ?? 0) + 1)
    const whose = `${assignee === null ? '' : `, of ${assignee}`}${escalateTo === null ? '' : `, then of ${escalateTo}`}${told ? ', overdue' : ''}`
    return `${name(subtask)}: review ${nth.get(subtask)}, ${kind}, ${status}${decision === null ? '' : `, ${decision}`}${whose}`
  })
  return [
    ...observed.tasks.map(t => {
      // What ended is swept in its time, and its counters are nobody's business before.
      const counters = hasEnded(t.status) ? '' : `, active ${t.active}, reviewing ${t.reviewing}, blocked ${t.blocked}`
      return `${task(t.id)}: ${t.status}, ${t.mode}, ${t.total} subtasks${counters}`
    }),
    ...observed.subtasks.map(s =>
      [
        `${name(s.id)}: ${s.state}`,
        s.superseded ? 'superseded' : [],
        s.cancel === null ? [] : `cancel ${s.cancel}`,
        `attempt ${s.attempt} of ${s.limit}`,
        `dispatch ${s.dispatch}`,
        `charged ${s.charged}`,
        `uncharged ${s.uncharged}`,
        `losses ${s.losses}`,
        `unmet ${s.unmet}`,
        s.gate === null || isTerminal(s.state) ? [] : `gate ${s.gate}`,
        `route ${s.route}`,
        s.queue === null ? [] : `in ${s.queue}`,
        s.claim === null ? [] : `c${s.claim} of ${s.agent}@${s.worker}`,
      ]
        .flat()
        .join(', '),
    ),
    ...observed.edges.map(([from, to]) => `${name(to)}: waits for ${name(from)}`),
    ...observed.attempts.map(
      a =>
        `${name(a.subtask)}: attempt ${a.attempt} ${a.outcome}${a.claim === null ? '' : ` under c${a.claim}`}${a.charged ? ', charged' : ''}${a.output === null ? '' : `, ${a.output}`}`,
    ),
    ...reviews,
    ...observed.pauses.map(thing => `paused: ${thing}`),
    ...observed.workers.map(w => `worker ${w.name}: ${w.state}${w.drain ? ', asked to drain' : ''}`),
  ].sort()
}

/** What the model and the tables say differently; empty when they agree. */
export function differences(world: World, observed: Observed): string[] {
  const [model, tables] = [linesOf(observeModel(world), world), linesOf(observed, world)]
  const [inModel, inTables] = [new Set(model), new Set(tables)]
  // The model takes a task for unswept for as long as it may be.
  const unswept = observed.tasks.filter(t => t.sweeping && !world.tasks.some(m => m.id === t.id && m.sweeping))
  return [
    ...model.filter(line => !inTables.has(line)).map(line => `  model   ${line}`),
    ...tables.filter(line => !inModel.has(line)).map(line => `  tables  ${line}`),
    ...unswept.map(t => `  tables  task ${t.id} is still marked to be swept`),
  ].sort((a, b) => (a.slice(10) < b.slice(10) ? -1 : 1))
}
