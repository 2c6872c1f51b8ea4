/**
 * Plans what an agent spawned: validated as any graph is, routed, numbered after what the task already has. Spawned
 * subtasks may depend on each other and on their spawner; whatever waits for the spawner waits for them too.
 */
import { randomUUID } from 'node:crypto'
import { type Failure, failure, jsonProblem, type PlannedSubtask, plainValue, type SubtaskRequest } from '@baton/shared'
import { buildGraph, type RouteKey, routeKey } from '../core/graph.js'
import { planExplicitly } from '../plan/explicit.js'
import { validateGraph } from '../plan/validate-graph.js'
import type { Queryable } from '../store/database.js'
import type { IdSource } from '../store/ids.js'
import type { Routes } from '../store/routes.js'
import { readSpawner, readSpawnNames, type Spawner } from '../store/spawn.js'
import type { Edge, NewSubtask } from '../store/submit.js'

interface SpawnPlannerOptions {
  readonly ids: IdSource
  readonly routes: Routes
  readonly pool: string
  readonly attemptLimit: number
  readonly queueWaitMs: number
  readonly deadlineMs: number
  /** The shortest lease that heartbeats can keep. */
  readonly minLeaseMs: number
  readonly fallbackCapability: string
  /** Agents that spawn without end are stopped by these: subtasks of a task, and how many may spawn one another in a row. */
  readonly limits: { readonly subtasks: number; readonly depth: number }
}

export type SpawnPlan =
  | { readonly ok: true; readonly subtasks: NewSubtask[]; readonly edges: Edge[] }
  | { readonly ok: false; readonly failure: Failure }

export interface PreparedSpawn {
  readonly requests: readonly SubtaskRequest[]
  readonly planned: readonly PlannedSubtask[]
  readonly routeIds: readonly number[]
  readonly nextId: () => string
}

export class SpawnPlanner {
  private readonly options: SpawnPlannerOptions

  constructor(options: SpawnPlannerOptions) {
    this.options = options
  }

  /** What has to be there before the transaction begins (in local mode there is one connection): ids and routes. */
  async prepare(requests: readonly SubtaskRequest[]): Promise<PreparedSpawn> {
    const { ids, routes, pool, fallbackCapability } = this.options
    const planned = planExplicitly(
      requests,
      { slaMs: null, maxAttempts: null, onFailure: 'review' },
      { defaultAgent: undefined, fallbackCapability },
    )
    const keys: RouteKey[] = planned.map(routeKey)
    return { requests, planned, routeIds: await routes.intern(keys.map(key => ({ pool, ...key }))), nextId: await ids.draw(planned.length) }
  }

  /** Rows for what `spawnerId` spawned; `tx` holds the task's lock. */
  async plan(tx: Queryable, task: Spawner, spawnerId: string, { requests, planned, routeIds, nextId }: PreparedSpawn): Promise<SpawnPlan> {
    const { subtasks: most, depth: deepest } = this.options.limits
    if (task.total + requests.length > most) return refuse(`the task would have more than ${most} subtasks`)
    const { name: spawner, depth } = await readSpawner(tx, spawnerId, deepest)
    if (depth >= deepest) return refuse(`at most ${deepest} subtasks may spawn one another in a row, and as many did`)
    const prefixes = [...new Set(planned.map(s => s.agent ?? s.capability))]
    const { taken, highest, lastOrdinal } = await readSpawnNames(
      tx,
      task.task_pk,
      planned.map(s => s.name),
      prefixes,
    )
    const { minLeaseMs } = this.options
    const issues = [
      ...planned
        .filter(({ leaseMs }) => leaseMs !== null && leaseMs < minLeaseMs)
        .map(({ name }) => ({ path: `spawned.${name}.lease_seconds`, issue: `must be at least ${minLeaseMs / 1_000}, two heartbeats` })),
      ...validateGraph(requests, { existing: new Set([spawner]), path: 'spawned' }),
      ...taken
        .filter(name => name !== spawner)
        .map(name => ({ path: 'spawned', issue: `${JSON.stringify(name)} is already the name of a subtask of this task` })),
    ]
    if (issues.length > 0)
      return refuse(
        issues
          .slice(0, 20)
          .map(i => `${i.path} ${i.issue}`)
          .join('; '),
      )
    const graph = buildGraph(planned, {
      tenantId: task.tenant_id,
      taskPk: task.task_pk,
      taskId: task.task_id,
      priority: task.priority,
      owner: task.owner,
      attemptLimit: task.retry_attempts ?? this.options.attemptLimit,
      queueWaitMs: () => this.options.queueWaitMs,
      deadlineMs: this.options.deadlineMs,
      running: true,
      spawnedBy: spawnerId,
      firstOrdinal: lastOrdinal + 1,
      numbers: highest,
      outside: new Map([[spawner, spawnerId]]),
      nextId,
      newUuid: randomUUID,
      routeIds,
      place: () => null, // the dispatcher takes them from here
    })
    return { ok: true, subtasks: graph.subtasks, edges: graph.edges }
  }
}

/** Why the inputs of what was spawned cannot be stored: the same rules as for a request. */
export function spawnProblem(requests: readonly SubtaskRequest[]): Failure | undefined {
  for (const [n, { input }] of requests.entries()) {
    const problem = jsonProblem(plainValue(input))
    if (problem) return refusal(`spawned[${n}].input ${problem}`)
  }
  return undefined
}

const refusal = (reason: string): Failure => failure('spawn_invalid', `what was spawned is not acceptable: ${reason}`)

function refuse(reason: string): SpawnPlan {
  return { ok: false, failure: refusal(reason) }
}
