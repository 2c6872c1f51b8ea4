/** Stores a task as a submission does, without a coordinator. */
import { randomUUID } from 'node:crypto'
import type { SubtaskRequest } from '@baton/shared'
import { buildGraph, type GraphRows, type GraphSetting, routeKey } from '../../packages/coordinator/src/core/graph.js'
import { createPlanner } from '../../packages/coordinator/src/plan/planner.js'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import type { AttemptTimes } from '../../packages/coordinator/src/store/fragments.js'
import { Routes } from '../../packages/coordinator/src/store/routes.js'
import { type InsertedTasks, insertTasks, type NewTask } from '../../packages/coordinator/src/store/submit.js'

interface Storing {
  readonly times: AttemptTimes
  /** Where its roots go. */
  readonly place: GraphSetting['place']
  readonly title?: string
  readonly context?: string
  readonly slaMs?: number | null
}

interface StoredGraph {
  readonly task: NewTask
  readonly graph: GraphRows
  readonly routeIds: readonly number[]
  readonly started: InsertedTasks['started']
}

let nextId = 1

export async function storeGraph(
  database: Database,
  subtasks: readonly SubtaskRequest[],
  { times, place, title = 'A task', context = '{}', slaMs = null }: Storing,
): Promise<StoredGraph> {
  const plan = createPlanner().plan({ task_id: 't', title, subtasks: [...subtasks] }, new Date())
  const routeIds = await new Routes(database).intern(plan.subtasks.map(s => ({ pool: 'shared', ...routeKey(s) })))
  const taskPk = String(nextId++)
  const graph = buildGraph(plan.subtasks, {
    ...{ tenantId: 1, taskPk, taskId: `t${taskPk}`, priority: 2, owner: 1, attemptLimit: 3, deadlineMs: 86_400_000, running: true },
    ...{ spawnedBy: null, firstOrdinal: 1, numbers: new Map(), outside: new Map(), newUuid: randomUUID, routeIds, taskSlaMs: slaMs, place },
    queueWaitMs: () => 3_600_000,
    nextId: () => String(nextId++),
  })
  const { active, reviewing, blocked } = graph
  const task: NewTask = {
    ...{ id: taskPk, tenant_id: 1, task_id: `t${taskPk}`, orchestrator_id: 'default', title, description: null, status: 'running' },
    ...{ priority: 2, metadata: '{}', context, digest: 'd', field_digests: '{}', callback_url: null, plan: '{}', sla_ms: slaMs },
    ...{ due_at: null, total: subtasks.length, active, reviewing, blocked, waits: false },
  }
  const { started } = await insertTasks(database, { tasks: [task], subtasks: graph.subtasks, edges: graph.edges }, times)
  return { task, graph, routeIds, started }
}
