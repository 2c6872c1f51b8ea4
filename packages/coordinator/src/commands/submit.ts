/**
 * Takes tasks in: plans each, then stores all that have gathered in one statement. Keyed by tenant and `task_id`: a
 * repeat of the same request finds the task, another request under the same id is refused with the fields that differ.
 */
import { createHash, randomUUID } from 'node:crypto'
import {
  BatonError,
  canonicalJson,
  jsonText,
  type OrchestrateRequest,
  type Plan,
  type PlannedSubtask,
  plainValue,
  priorities,
} from '@baton/shared'
import { BatchLane } from '@baton/shared/node'
import { buildGraph, type RouteKey, routeKey } from '../core/graph.js'
import type { Planner } from '../plan/planner.js'
import type { Database } from '../store/database.js'
import type { QueuedRow } from '../store/fragments.js'
import type { IdSource } from '../store/ids.js'
import { type OrchestratorSettings, readOrchestrator } from '../store/orchestrators.js'
import type { Routes } from '../store/routes.js'
import { type Edge, insertTasks, type NewSubtask, type NewTask, readDigests } from '../store/submit.js'
import type { Caller, SubmitOutcome } from './api.js'
import { viewOfNew } from './new-task-view.js'
import { resolveTaskReferences } from './task-references.js'

interface SubmitterOptions {
  readonly database: Database
  readonly planner: Planner
  readonly ids: IdSource
  readonly routes: Routes
  readonly pool: string
  /** Attempts where nothing else says. */
  readonly attemptLimit: number
  /** How long a subtask may wait for a worker, and take altogether, where nothing else says. */
  readonly queueWaitMs: number
  readonly deadlineMs: number
  /** The shortest lease that heartbeats can keep. */
  readonly minLeaseMs: number
  readonly now: () => Date
  readonly fleet: {
    couldServe(route: RouteKey & { pool: string }): boolean
    takeRoom(routeId: number): string | null
    queueWaitOf(route: RouteKey & { pool: string }): number | null
  }
  /** The task as stored, for repeats. */
  readonly read: (caller: Caller, taskId: string) => Promise<SubmitOutcome & { kind: 'existing' }>
  /** After the commit: jobs for rows that went to a queue at once; routes with rows left for the dispatcher. */
  readonly onStored: (jobs: readonly QueuedRow[], ready: readonly number[]) => Promise<void>
}

/** A task as it will be stored. */
interface Prepared {
  readonly task: NewTask
  readonly subtasks: readonly NewSubtask[]
  readonly edges: readonly Edge[]
}

/** Of small graphs, this many subtasks share a statement; a larger graph goes alone. */
const subtasksPerBatch = 4_000

export class Submitter {
  private readonly options: SubmitterOptions
  private readonly lane: BatchLane<Prepared, boolean>

  constructor(options: SubmitterOptions) {
    this.options = options
    this.lane = new BatchLane({
      maxItems: 500,
      maxBytes: subtasksPerBatch,
      sizeOf: p => p.subtasks.length + p.edges.length / 4,
      maxWaiting: 20_000,
      send: batch => this.store(batch),
    })
  }

  /** Results in order; one bad request does not refuse its neighbours. */
  submit(caller: Caller, requests: readonly OrchestrateRequest[], { dryRun }: { dryRun: boolean }): Promise<SubmitOutcome[]> {
    return Promise.all(
      requests.map(request =>
        this.submitOne(caller, request, dryRun).catch((error: unknown): SubmitOutcome => {
          if (error instanceof BatonError) return { kind: 'refused', error }
          throw error
        }),
      ),
    )
  }

  private async submitOne(caller: Caller, request: OrchestrateRequest, dryRun: boolean): Promise<SubmitOutcome> {
    const { database, planner, now } = this.options
    const orchestratorId = request.orchestrator_id ?? 'default'
    const orchestrator = await readOrchestrator(database, caller.tenantId, orchestratorId)
    if (!orchestrator)
      throw new BatonError('orchestrator_not_found', `there is no orchestrator ${orchestratorId}`, {
        fields: [{ path: 'orchestrator_id', issue: `there is no orchestrator ${JSON.stringify(orchestratorId)}` }],
      })
    const plan = planner.plan(request, now(), {
      ...(orchestrator.default_worker_agent_id !== null && { defaultAgent: orchestrator.default_worker_agent_id }),
    })
    const prepared = await this.prepare(caller, request, plan, orchestrator, dryRun)
    if (dryRun) return { kind: 'dry_run', task: viewOfNew(prepared.task, prepared.subtasks, prepared.edges, plan, now()) }
    if (await this.lane.push(prepared))
      return { kind: 'created', task: viewOfNew(prepared.task, prepared.subtasks, prepared.edges, plan, now()) }
    return this.existing(caller, prepared.task)
  }

  private async prepare(
    caller: Caller,
    request: OrchestrateRequest,
    plan: Plan,
    orchestrator: OrchestratorSettings,
    dryRun: boolean,
  ): Promise<Prepared> {
    const { ids, routes, pool, attemptLimit, fleet } = this.options
    this.checkLeases(plan)
    const planned = plan.subtasks.map(subtask => withTaskReferences(subtask, request))
    const keys = planned.map(subtask => ({ pool, ...routeKey(subtask) }))
    const routeIds = dryRun ? planned.map(() => 0) : await routes.intern(keys)
    const unserved = new Set(routeIds.filter((_, i) => keys[i] && !fleet.couldServe(keys[i])))
    const draw = dryRun ? counter() : await ids.draw(planned.length + 1)
    const id = draw()
    const execute = request.execute === true && !dryRun
    const graph = buildGraph(planned, {
      tenantId: caller.tenantId,
      taskPk: id,
      taskId: request.task_id,
      priority: priorities.indexOf(request.priority ?? 'medium'),
      attemptLimit: orchestrator.retry_attempts ?? attemptLimit,
      queueWaitMs: i => (keys[i] && fleet.queueWaitOf(keys[i])) ?? optionalMs(orchestrator.queue_wait_ms) ?? this.options.queueWaitMs,
      deadlineMs: optionalMs(orchestrator.deadline_ms) ?? this.options.deadlineMs,
      running: execute,
      spawnedBy: null,
      firstOrdinal: 1,
      numbers: new Map(),
      outside: new Map(),
      nextId: draw,
      newUuid: randomUUID,
      routeIds,
      place: routeId => {
        if (unserved.has(routeId)) return 'blocked'
        const queue = orchestrator.status === 'running' ? fleet.takeRoom(routeId) : null
        return queue === null ? null : { queue }
      },
    })
    const { digest, fields } = digestsOf(request)
    const task: NewTask = {
      id,
      tenant_id: caller.tenantId,
      task_id: request.task_id,
      orchestrator_id: orchestrator.id,
      title: request.title,
      description: request.description ?? null,
      status: !execute ? 'planned' : graph.active > 0 ? 'running' : graph.reviewing > 0 ? 'needs_review' : 'blocked',
      priority: priorities.indexOf(request.priority ?? 'medium'),
      metadata: jsonText(request.metadata ?? {}),
      context: jsonText(request.context ?? {}),
      digest,
      field_digests: JSON.stringify(fields),
      callback_url: request.callback_url ?? null,
      plan: JSON.stringify({
        made_by: plan.madeBy,
        objectives: plan.objectives,
        constraints: plan.constraints,
        acceptance_criteria: plan.acceptanceCriteria,
        diagnostics: plan.diagnostics,
      }),
      sla_ms: plan.slaMs,
      due_at: plan.dueDate,
      total: planned.length,
      active: graph.active,
      reviewing: graph.reviewing,
      blocked: graph.blocked,
      made_by: plan.madeBy,
    }
    return { task, subtasks: graph.subtasks, edges: graph.edges }
  }

  private checkLeases(plan: Plan): void {
    const { minLeaseMs } = this.options
    const fields = plan.subtasks.flatMap(({ leaseMs }, i) =>
      leaseMs !== null && leaseMs < minLeaseMs
        ? [{ path: `subtasks[${i}].lease_seconds`, issue: `must be at least ${minLeaseMs / 1_000}, two heartbeats` }]
        : [],
    )
    if (fields.length > 0) throw new BatonError('invalid_request', 'a lease is shorter than heartbeats could keep it', { fields })
  }

  /** Stores a batch; answers for each whether it was new. */
  private async store(batch: Prepared[]): Promise<boolean[]> {
    const { database, onStored } = this.options
    // Two submissions of one task in one batch: the first is stored, the second will find it.
    const firsts = new Map<string, Prepared>()
    for (const prepared of batch) {
      const key = `${prepared.task.tenant_id}/${prepared.task.task_id}`
      if (!firsts.has(key)) firsts.set(key, prepared)
    }
    const graphs = [...firsts.values()]
    const inserted = await insertTasks(database, {
      tasks: graphs.map(g => g.task),
      subtasks: graphs.flatMap(g => g.subtasks),
      edges: graphs.flatMap(g => g.edges),
    })
    const stored = graphs.filter(g => inserted.has(g.task.id))
    const jobs: QueuedRow[] = []
    const ready = new Set<number>()
    for (const { subtasks } of stored)
      for (const { id, state, queue, route_id } of subtasks) {
        if (state === 'queued' && queue !== null) jobs.push({ id, attempt: 1, dispatch: 1, queue, route_id })
        else if (state === 'ready') ready.add(route_id)
      }
    await onStored(jobs, [...ready])
    return batch.map(p => inserted.has(p.task.id))
  }

  private async existing(caller: Caller, task: NewTask): Promise<SubmitOutcome> {
    const [stored] = await readDigests(this.options.database, [{ tenant_id: task.tenant_id, task_id: task.task_id }])
    if (!stored) throw new BatonError('unavailable', `task ${task.task_id} could not be stored; try again`)
    if (stored.digest !== task.digest) {
      const before = JSON.parse(stored.field_digests) as Record<string, string>
      const now = JSON.parse(task.field_digests) as Record<string, string>
      const differing = [...new Set([...Object.keys(before), ...Object.keys(now)])].filter(field => before[field] !== now[field])
      throw new BatonError(
        'task_conflict',
        `task ${task.task_id} exists with another body; choose another task_id, or send the same body again`,
        {
          fields: differing.map(path => ({
            path,
            issue:
              before[path] === undefined
                ? 'was not sent before'
                : now[path] === undefined
                  ? 'was sent before'
                  : 'differs from what was sent before',
          })),
        },
      )
    }
    if (stored.status === null)
      throw new BatonError(
        'state_conflict',
        `task ${task.task_id} ended as ${stored.tombstone_status} and was deleted by retention; choose another task_id`,
      )
    return this.options.read(caller, task.task_id)
  }
}

function withTaskReferences(subtask: PlannedSubtask, request: OrchestrateRequest): PlannedSubtask {
  if (subtask.input === null) return subtask
  const task = {
    task_id: request.task_id,
    title: request.title,
    description: request.description,
    metadata: plainValue(request.metadata ?? {}),
    context: plainValue(request.context ?? {}),
  }
  const resolved = resolveTaskReferences(subtask.input, task)
  if (!resolved.ok)
    throw new BatonError('invalid_request', `subtask ${subtask.name}: ${resolved.issue}`, {
      fields: [{ path: `subtasks.${subtask.name}.input`, issue: resolved.issue }],
    })
  return { ...subtask, input: resolved.input }
}

function digestsOf(request: OrchestrateRequest): { digest: string; fields: Record<string, string> } {
  const fields: Record<string, string> = {}
  for (const [key, value] of Object.entries(request))
    if (key !== 'execute' && value !== undefined) fields[key] = sha256(canonicalJson(value))
  return { digest: sha256(canonicalJson(fields)), fields }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

const optionalMs = (text: string | null): number | undefined => (text === null ? undefined : Number(text))

function counter(): () => string {
  let n = 0
  return () => String(++n)
}
