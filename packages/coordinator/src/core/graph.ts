/**
 * From planned subtasks to the rows of a graph: ids, subtask ids, edges, counts of unmet dependencies, and where each
 * subtask stands at first. Pure but for what it is given.
 */
import { findReferences, type PlannedSubtask, subtaskId } from '@baton/shared'
import type { Edge, NewSubtask } from '../store/submit.js'

export interface RouteKey {
  readonly capability: string
  readonly requires: readonly string[]
  readonly agent: string | null
}

/** An agent on a worker that has a slot for it. */
export interface StartOn {
  readonly workerId: string
  readonly agent: string
}

export interface GraphSetting {
  readonly tenantId: number
  readonly taskPk: string
  readonly taskId: string
  readonly priority: number
  /** The number of its orchestrator. */
  readonly owner: number
  /** Attempts where a subtask does not say. */
  readonly attemptLimit: number
  /** The queue wait of the subtask at that position, and every subtask's deadline, where it does not say. */
  readonly queueWaitMs: (position: number) => number
  readonly deadlineMs: number
  /** The SLA that the task says for its attempts; asked where some start at once. */
  readonly taskSlaMs?: number | null
  /** Whether the task runs: roots are opened. */
  readonly running: boolean
  readonly spawnedBy: string | null
  /** Ordinals and numbers per prefix go on from here. */
  readonly firstOrdinal: number
  readonly numbers: ReadonlyMap<string, number>
  /** Subtasks outside this graph that it may depend on, by name. */
  readonly outside: ReadonlyMap<string, string>
  readonly nextId: () => string
  readonly newUuid: () => string
  /** One per subtask, in order. */
  readonly routeIds: readonly number[]
  /** Where a root of this route goes at once: a queue with room, and maybe on to a worker; `blocked`, or null for `ready`. */
  readonly place: (routeId: number) => { readonly queue: string; readonly on?: StartOn | undefined } | 'blocked' | null
}

export interface GraphRows {
  readonly subtasks: NewSubtask[]
  readonly edges: Edge[]
  readonly active: number
  readonly reviewing: number
  readonly blocked: number
}

/** Every name that a subtask waits for: what it says, and what its input refers to (which may be further upstream). */
export function allDependencies(subtask: PlannedSubtask): ReadonlySet<string> {
  const names = new Set(subtask.dependsOn)
  if (subtask.input?.includes('{{'))
    for (const reference of findReferences(JSON.parse(subtask.input))) if (reference.kind === 'output') names.add(reference.subtask)
  return names
}

export function routeKey({ capability, requires, agent }: PlannedSubtask): RouteKey {
  return { capability, requires, agent }
}

export function buildGraph(planned: readonly PlannedSubtask[], setting: GraphSetting): GraphRows {
  const ids = new Map<string, string>(setting.outside)
  for (const { name } of planned) ids.set(name, setting.nextId())
  const numbers = new Map(setting.numbers)
  const edges: Edge[] = []
  let [active, reviewing, blocked] = [0, 0, 0]
  const subtasks = planned.map((subtask, i): NewSubtask => {
    const id = idOf(ids, subtask.name)
    const dependencies = allDependencies(subtask)
    for (const name of dependencies) edges.push([idOf(ids, name), id, setting.taskPk])
    const prefix = subtask.agent ?? subtask.capability
    const n = (numbers.get(prefix) ?? 0) + 1
    numbers.set(prefix, n)
    const routeId = setting.routeIds[i]
    if (routeId === undefined) throw new RangeError('there has to be a route for every subtask')
    const gate = subtask.requiresApproval ? 'approval' : null
    const start = dependencies.size > 0 || !setting.running ? 'pending' : gate ? 'awaiting_approval' : setting.place(routeId)
    const { queue, on } = typeof start === 'object' && start !== null ? start : nowhere
    const state = queue !== null ? 'queued' : typeof start === 'string' ? start : 'ready'
    if (state === 'ready' || state === 'queued') active++
    else if (state === 'awaiting_approval') reviewing++
    else if (state === 'blocked') blocked++
    return {
      id,
      uuid: flat(setting.newUuid()),
      tenant_id: setting.tenantId,
      task_pk: setting.taskPk,
      ordinal: setting.firstOrdinal + i,
      subtask_id: flat(subtaskId(prefix, setting.taskId, n)),
      name: subtask.name,
      title: subtask.title,
      capability: subtask.capability,
      agent: subtask.agent,
      requires: subtask.requires,
      input: subtask.input,
      sla_ms: subtask.slaMs,
      queue_wait_ms: subtask.queueWaitMs,
      deadline_ms: subtask.deadlineMs,
      lease_ms: subtask.leaseMs,
      backoff_initial_ms: subtask.backoffInitialMs,
      backoff_max_ms: subtask.backoffMaxMs,
      wait_ms: subtask.queueWaitMs ?? setting.queueWaitMs(i),
      whole_ms: subtask.deadlineMs ?? setting.deadlineMs,
      on_failure: subtask.onFailure,
      requires_approval: subtask.requiresApproval,
      isolation: subtask.isolation,
      spawned_by: setting.spawnedBy,
      route_id: routeId,
      priority: setting.priority,
      owner: setting.owner,
      state,
      unmet: dependencies.size,
      gate,
      attempt: queue === null ? 0 : 1,
      queue,
      attempt_limit: subtask.maxAttempts ?? setting.attemptLimit,
      task_sla_ms: setting.taskSlaMs ?? null,
      start_claim: on ? flat(setting.newUuid()) : null,
      start_worker: on?.workerId ?? null,
      start_agent: on?.agent ?? null,
    }
  })
  return { subtasks, edges, active, reviewing, blocked }
}

const nowhere: { queue: null; on?: undefined } = { queue: null }

/**
 * The same text in one piece. What is put together from pieces stays a tree of these until it is read as a whole, and that of
 * a UUID is ten times as large as its text: of 100,000 subtasks, 40 MB. To read it as a number is to read it as a whole.
 */
function flat(text: string): string {
  Number(text)
  return text
}

function idOf(ids: ReadonlyMap<string, string>, name: string): string {
  const id = ids.get(name)
  if (id === undefined) throw new RangeError(`the graph was not validated: ${name} is not part of it`)
  return id
}
