/**
 * Takes tasks in: plans each, then stores all that have gathered in one statement. Keyed by tenant and `task_id`: a
 * repeat of the same request finds the task, another request under the same id is refused with the fields that differ.
 *
 * Invariant S1: storing and showing repeats each go through a lane with one batch out at a time, and a body asks once for
 * each orchestrator: however much comes at once, it takes a few connections to the database and not all. Whoever repeats
 * because answers are slow would otherwise keep claims and reports from being committed, and make them slower still (I12).
 */
import * as crypto from 'node:crypto'
import { createHash, randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import {
  BatonError,
  canonicalJson,
  defaultOrchestratorId,
  jsonText,
  type OrchestrateRequest,
  type Plan,
  type PlanView,
  plainValue,
  priorities,
  type TaskView,
} from '@baton/shared'
import { BatchLane, failpoint } from '@baton/shared/node'
import type { Span } from '@baton/shared/observe'
import { buildGraph, type RouteKey, routeKey } from '../core/graph.js'
import type { TakenSlot } from '../dispatch/directory.js'
import type { SpareSlots } from '../dispatch/spares.js'
import type { Begun } from '../dispatch/starts.js'
import { delegatedPlan, planCapability } from '../plan/delegation.js'
import type { DraftLimits } from '../plan/model/guardrails.js'
import type { Knowledge } from '../plan/model/model-planner.js'
import type { Planner } from '../plan/planner.js'
import type { Database, Queryable } from '../store/database.js'
import type { AttemptTimes, QueuedRow } from '../store/fragments.js'
import type { IdSource } from '../store/ids.js'
import { lockForSubmission, type OrchestratorKey, type OrchestratorSettings, readOrchestrator } from '../store/orchestrators.js'
import type { StartedClaim } from '../store/return-to-queue.js'
import type { Routes } from '../store/routes.js'
import {
  type Edge,
  type InsertedTasks,
  insertTasks,
  insertTasksIn,
  type NewSubtask,
  type NewTask,
  readDigests,
  type StoredDigest,
} from '../store/submit.js'
import type { Caller, SubmitOptions, SubmitOutcome } from './api.js'
import { checkLeases } from './leases.js'
import { viewOfNew } from './new-task-view.js'
import { planView } from './plan-view.js'
import { withTaskReferences } from './task-references.js'
import type { Thinker } from './thinker.js'

const { hash } = crypto as { hash?: typeof crypto.hash }

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
  /** Where a model is configured: it plans what only the rules understood. */
  readonly thinker?: Pick<Thinker, 'think' | 'consider'>
  /** What a plan of an agent may hold, and can be made of. */
  readonly limits: DraftLimits
  readonly knowledge: (tenantId: number) => Promise<Knowledge>
  readonly now: () => Date
  readonly fleet: {
    offers(agent: string, capability: string): boolean
    couldServe(route: RouteKey & { pool: string }): boolean
    takeRoom(routeId: number): string | null
    takeSlot(routeId: number, task: { priority: number; small: boolean }): TakenSlot | null
    startsAtOnce(routeId: number): boolean
    giveSlotBack(slots: SpareSlots): void
    queueWaitOf(route: RouteKey & { pool: string }): number | null
  }
  /** Whether a task may call back there. Throws `invalid_request`. */
  readonly admitCallback: (caller: Caller, url: string) => Promise<void>
  /** The task as stored, for repeats. */
  readonly read: (caller: Caller, taskId: string) => Promise<SubmitOutcome & { kind: 'existing' }>
  /** For what starts at once and says nothing of it itself. */
  readonly times: AttemptTimes
  /** Of a task with more subtasks nothing starts with its commit: nobody would remember their briefs. */
  readonly maxRemembered: number
  /** After the commit: jobs for rows that went to a queue at once; routes with rows left for the dispatcher; what runs. */
  readonly onStored: (jobs: readonly QueuedRow[], ready: readonly number[], begun: readonly Begun[]) => Promise<void>
  /** Around the planning and storing of a task; none where nothing is traced. */
  readonly trace?: ((taskId: string, parent: string | undefined) => Span) | undefined
  /** A task was stored with this graph; before its jobs are rung. */
  readonly onTask: (stored: Prepared) => void
  /** A statement failed that may have started these. */
  readonly onUncertain: (claims: readonly StartedClaim[]) => void
  /** Starts what waits to start and now may. */
  readonly startWaiting: () => Promise<void>
}

/** A task as it will be stored. */
export interface Prepared {
  readonly task: NewTask
  readonly subtasks: readonly NewSubtask[]
  readonly edges: readonly Edge[]
  /** The slots that were taken for those that may start at once, in their order. */
  readonly slots: readonly TakenSlot[]
  /** What the plan says beside its subtasks; the plan itself is let go of, for a large one takes much room. */
  readonly plan: PlanView
  /** Where it is traced. */
  readonly traceparent: string | undefined
  /** Whether its orchestrator has to be looked at in the transaction that stores it: it may be full, or be deleted. */
  readonly guarded: boolean
}

type Stored = 'new' | 'existing' | BatonError

class Created {
  readonly kind = 'created'
  private readonly prepared: Prepared
  private readonly now: () => Date

  constructor(prepared: Prepared, now: () => Date) {
    this.prepared = prepared
    this.now = now
  }

  /** Made for whoever looks at it: many who send batches do not. */
  get task(): TaskView {
    return viewOfNew(this.prepared, this.now())
  }
}

/** A request whose task exists: the same, or in conflict with it. */
interface Repeat {
  readonly caller: Caller
  readonly task: NewTask
  readonly unseen: boolean
}

/** How a request is submitted. */
interface How extends Required<SubmitOptions> {
  readonly span: Span | undefined
}

interface Inserted extends InsertedTasks {
  /** By tenant and `task_id`. */
  readonly refused: ReadonlyMap<string, BatonError>
}

/** Of small graphs, this many subtasks share a statement: the first of many tasks run while the others are stored. A larger graph goes alone. */
const subtasksPerBatch = 1_200
/** A task of so many subtasks may go past what waits. */
const smallTask = 100
/** Repeats that are looked up at once, to be shown one after the other. */
const repeatsPerBatch = 50
/** Requests of one body that are planned in one turn of the event loop. */
const requestsPerTurn = 25
/** When to try again where an orchestrator is full. */
const retryFullSeconds = 5

export class Submitter {
  private readonly options: SubmitterOptions
  private readonly lane: BatchLane<Prepared, Stored>
  /** Apart, so that nobody else waits for the lock of an orchestrator. */
  private readonly guardedLane: BatchLane<Prepared, Stored>
  private readonly repeats: BatchLane<Repeat, SubmitOutcome | BatonError>

  constructor(options: SubmitterOptions) {
    this.options = options
    const limits = {
      maxItems: 500,
      maxBytes: subtasksPerBatch,
      sizeOf: (p: Prepared) => p.subtasks.length + p.edges.length / 4,
      maxWaiting: 20_000,
    }
    this.lane = new BatchLane({ ...limits, send: batch => this.store(batch, graphs => this.insert(graphs)) })
    this.guardedLane = new BatchLane({ ...limits, send: batch => this.store(batch, graphs => this.insertGuarded(graphs)) })
    this.repeats = new BatchLane({ maxItems: repeatsPerBatch, maxWaiting: limits.maxWaiting, send: batch => this.answerRepeats(batch) })
  }

  /** Results in order; one bad request does not refuse its neighbours. */
  submit(caller: Caller, requests: readonly OrchestrateRequest[], { dryRun, unseen = false }: SubmitOptions): Promise<SubmitOutcome[]> {
    const asked = new Map<string, ReturnType<typeof readOrchestrator>>()
    // Once for all requests that name it.
    const orchestratorOf = (id: string) => {
      const reading = asked.get(id) ?? readOrchestrator(this.options.database, caller.tenantId, id)
      asked.set(id, reading)
      return reading
    }
    return inTurns(requests, request =>
      this.traced(caller, request, span => this.submitOne(caller, request, { dryRun, unseen, orchestratorOf, span })).catch(
        (error: unknown): SubmitOutcome => {
          if (error instanceof BatonError) return { kind: 'refused', error }
          throw error
        },
      ),
    )
  }

  private async traced(caller: Caller, { task_id }: OrchestrateRequest, work: (span: Span | undefined) => Promise<SubmitOutcome>) {
    const span = this.options.trace?.(task_id, caller.traceparent)
    if (!span) return work(undefined)
    try {
      const outcome = await work(span)
      span.end({ attributes: { 'baton.outcome': outcome.kind } })
      return outcome
    } catch (error) {
      span.end({ failure: error instanceof Error ? error.message : String(error) })
      throw error
    }
  }

  private async submitOne(
    caller: Caller,
    request: OrchestrateRequest,
    { orchestratorOf, ...how }: How & { readonly orchestratorOf: (id: string) => ReturnType<typeof readOrchestrator> },
  ): Promise<SubmitOutcome> {
    const { planner, thinker, knowledge, limits, fleet, now } = this.options
    const { dryRun } = how
    if (request.callback_url !== undefined) await this.options.admitCallback(caller, request.callback_url)
    const orchestratorId = request.orchestrator_id ?? defaultOrchestratorId
    const orchestrator = await orchestratorOf(orchestratorId)
    if (!orchestrator) throw noOrchestrator(orchestratorId)
    const plan = planner.plan(request, now(), {
      ...(orchestrator.default_worker_agent_id !== null && { defaultAgent: orchestrator.default_worker_agent_id }),
    })
    const planningAgent = request.subtasks === undefined ? orchestrator.agent_id : null
    if (planningAgent !== null && fleet.offers(planningAgent, planCapability)) {
      const { capabilities } = await knowledge(caller.tenantId)
      return this.take(caller, request, delegatedPlan(request, plan, { agent: planningAgent, capabilities, limits }), orchestrator, how)
    }
    if (!thinker || plan.madeBy !== 'rules') return this.take(caller, request, plan, orchestrator, how)
    if (dryRun) return this.take(caller, request, await thinker.consider(caller.tenantId, request, plan), orchestrator, how)
    const key = { tenantId: caller.tenantId, taskId: request.task_id, digest: digestsOf(request).digest }
    const thought = await thinker.think(key, request, plan)
    return this.take(caller, request, thought.plan, orchestrator, how).finally(() => thought.done())
  }

  /** Stores a request with its plan, unless it is only tried. */
  private async take(
    caller: Caller,
    request: OrchestrateRequest,
    plan: Plan,
    orchestrator: OrchestratorSettings,
    { dryRun, unseen, span }: How,
  ): Promise<SubmitOutcome> {
    const { now } = this.options
    const prepared = await this.prepare(caller, request, plan, orchestrator, { dryRun, traceparent: span?.traceparent })
    if (dryRun) return { kind: 'dry_run', task: viewOfNew(prepared, now()) }
    const stored = await (prepared.guarded ? this.guardedLane : this.lane).push(prepared).catch((error: unknown) => {
      this.giveSlotsBack([prepared])
      throw error
    })
    if (stored instanceof BatonError) throw stored
    if (stored === 'existing') {
      const repeated = await this.repeats.push({ caller, task: prepared.task, unseen })
      if (repeated instanceof BatonError) throw repeated
      return repeated
    }
    if (!prepared.task.waits) return new Created(prepared, now)
    await this.options.startWaiting()
    return { kind: 'created', task: (await this.options.read(caller, request.task_id)).task }
  }

  private async prepare(
    caller: Caller,
    request: OrchestrateRequest,
    plan: Plan,
    orchestrator: OrchestratorSettings,
    { dryRun, traceparent }: { dryRun: boolean; traceparent: string | undefined },
  ): Promise<Prepared> {
    const { ids, routes, pool, attemptLimit, minLeaseMs, fleet, maxRemembered } = this.options
    checkLeases(
      plan.subtasks.map(subtask => subtask.leaseMs),
      minLeaseMs,
    )
    const words = {
      task_id: request.task_id,
      title: request.title,
      description: request.description,
      metadata: plainValue(request.metadata ?? {}),
      context: plainValue(request.context ?? {}),
    }
    const planned = plan.subtasks.map(subtask => withTaskReferences(subtask, words))
    const keys = planned.map(subtask => ({ pool, ...routeKey(subtask) }))
    const routeIds = dryRun ? planned.map(() => 0) : await routes.intern(keys)
    const unserved = new Set(routeIds.filter((_, i) => keys[i] && !fleet.couldServe(keys[i])))
    const draw = dryRun ? counter() : await ids.draw(planned.length + 1)
    const id = draw()
    const waits = request.execute === true && !dryRun && orchestrator.max_concurrent_tasks !== null
    const execute = request.execute === true && !dryRun && !waits
    const remembered = planned.length <= maxRemembered
    // What nobody remembers the dispatcher starts, in turns; asked once for each route.
    const dispatched = new Set(remembered ? [] : [...new Set(routeIds)].filter(routeId => fleet.startsAtOnce(routeId)))
    const slots: TakenSlot[] = []
    const priority = priorities.indexOf(request.priority ?? 'medium')
    const small = planned.length <= smallTask
    const graph = buildGraph(planned, {
      tenantId: caller.tenantId,
      taskPk: id,
      taskId: request.task_id,
      priority,
      owner: orchestrator.number,
      attemptLimit: orchestrator.retry_attempts ?? attemptLimit,
      queueWaitMs: i => (keys[i] && fleet.queueWaitOf(keys[i])) ?? optionalMs(orchestrator.queue_wait_ms) ?? this.options.queueWaitMs,
      deadlineMs: optionalMs(orchestrator.deadline_ms) ?? this.options.deadlineMs,
      taskSlaMs: plan.slaMs,
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
        if (orchestrator.status !== 'running' || orchestrator.all_paused) return null
        if (dispatched.has(routeId)) return null
        const taken = remembered ? fleet.takeSlot(routeId, { priority, small }) : null
        if (taken) {
          slots.push(taken)
          return { queue: taken.queue, on: taken.slots }
        }
        const queue = fleet.takeRoom(routeId)
        return queue === null ? null : { queue }
      },
    })
    const { digest, fields } = digestsOf(request)
    const shown = planView(plan)
    const task: NewTask = {
      id,
      tenant_id: caller.tenantId,
      task_id: request.task_id,
      orchestrator_id: orchestrator.id,
      title: request.title,
      description: request.description ?? null,
      status: !execute ? 'planned' : graph.active > 0 ? 'running' : graph.reviewing > 0 ? 'needs_review' : 'blocked',
      priority,
      metadata: jsonText(request.metadata ?? {}),
      context: jsonText(request.context ?? {}),
      digest,
      field_digests: JSON.stringify(fields),
      callback_url: request.callback_url ?? null,
      plan: JSON.stringify({
        ...(traceparent !== undefined && { traceparent }), // first: store/traces.ts looks for it there
        ...shown,
      }),
      sla_ms: plan.slaMs,
      due_at: plan.dueDate,
      total: planned.length,
      active: graph.active,
      reviewing: graph.reviewing,
      blocked: graph.blocked,
      waits,
    }
    const guarded = orchestrator.max_tasks !== null || orchestrator.id !== defaultOrchestratorId
    return { task, subtasks: graph.subtasks, edges: graph.edges, slots, plan: shown, traceparent, guarded }
  }

  /** Stores a batch; answers for each whether it was new, or why not. */
  private async store(batch: Prepared[], insert: (graphs: readonly Prepared[]) => Promise<Inserted>): Promise<Stored[]> {
    const { onStored, onTask } = this.options
    // Two submissions of one task in one batch: the first is stored, the second will find it.
    const firsts = new Map<string, Prepared>()
    for (const prepared of batch) {
      const key = taskKey(prepared.task)
      if (!firsts.has(key)) firsts.set(key, prepared)
    }
    const graphs = [...firsts.values()]
    failpoint('submit.before-commit')
    const {
      ids: inserted,
      started,
      refused,
    } = await insert(graphs).catch((error: unknown) => {
      this.options.onUncertain(
        graphs.flatMap(({ subtasks }) =>
          subtasks.flatMap(({ id, start_claim }) => (start_claim === null ? [] : [{ id, claim_id: start_claim }])),
        ),
      )
      throw error
    })
    failpoint('submit.after-graph')
    this.giveSlotsBack(batch.filter(({ task }) => !inserted.has(task.id)))
    const stored = graphs.filter(g => inserted.has(g.task.id))
    for (const graph of stored) onTask(graph)
    const jobs: QueuedRow[] = []
    const begun: Begun[] = []
    const ready = new Set<number>()
    for (const { subtasks, slots: taken } of stored) {
      let next = 0
      for (const subtask of subtasks) {
        const { id, state, queue, route_id } = subtask
        const own = subtask.start_claim === null ? undefined : taken[next++]
        const times = own && started.get(id)
        if (own && times) begun.push({ subtask, slots: own.slots, ahead: own.ahead, times })
        else if (state === 'queued' && queue !== null) jobs.push({ id, attempt: 1, dispatch: 1, queue, route_id })
        else if (state === 'ready') ready.add(route_id)
        if (own && !times) this.options.fleet.giveSlotBack(own.slots)
      }
    }
    await onStored(jobs, [...ready], begun)
    failpoint('submit.after-commit')
    return batch.map(({ task }) => (inserted.has(task.id) ? 'new' : (refused.get(taskKey(task)) ?? 'existing')))
  }

  private giveSlotsBack(graphs: readonly Prepared[]): void {
    for (const { slots } of graphs) for (const each of slots) this.options.fleet.giveSlotBack(each.slots)
  }

  private async insert(graphs: readonly Prepared[]): Promise<Inserted> {
    const { database, times } = this.options
    const { ids, started } = await insertTasks(database, together(graphs), times)
    return { ids, started, refused: new Map() }
  }

  /** Under the locks of their orchestrators: up to `maxTasks` of each, and none of one that was deleted. */
  private insertGuarded(graphs: readonly Prepared[]): Promise<Inserted> {
    const insert = async (tx: Queryable): Promise<Inserted> => {
      const refused = new Map<string, BatonError>()
      const keys = new Map<string, OrchestratorKey>(
        graphs.map(({ task }) => [orchestratorKey(task), { tenantId: task.tenant_id, id: task.orchestrator_id }]),
      )
      const room = await lockForSubmission(tx, [...keys.values()])
      // A repeat finds its task, however full its orchestrator is.
      const asked = graphs.map(({ task: { tenant_id, task_id } }) => ({ tenant_id, task_id }))
      const known = new Set((await readDigests(tx, asked)).map(taskKey))
      const taken = graphs.filter(({ task }) => {
        if (known.has(taskKey(task))) return false
        const left = room.get(orchestratorKey(task))
        if (left !== undefined && left > 0) {
          room.set(orchestratorKey(task), left - 1)
          return true
        }
        refused.set(taskKey(task), left === undefined ? noOrchestrator(task.orchestrator_id) : full(task))
        return false
      })
      if (taken.length === 0) return { ids: new Set(), started: new Map(), refused }
      const { ids, started } = await insertTasksIn(tx, together(taken), this.options.times)
      return { ids, started, refused }
    }
    return this.options.database.transaction(insert)
  }

  /** One after the other (S1). */
  private async answerRepeats(batch: readonly Repeat[]): Promise<(SubmitOutcome | BatonError)[]> {
    const digests = await readDigests(
      this.options.database,
      batch.map(({ task: { tenant_id, task_id } }) => ({ tenant_id, task_id })),
    )
    const byKey = new Map(digests.map(digest => [taskKey(digest), digest]))
    const answers: (SubmitOutcome | BatonError)[] = []
    for (const repeat of batch)
      answers.push(
        await this.existing(repeat, byKey.get(taskKey(repeat.task))).catch((error: unknown) => {
          if (error instanceof BatonError) return error
          throw error
        }),
      )
    return answers
  }

  private async existing({ caller, task, unseen }: Repeat, stored: StoredDigest | undefined): Promise<SubmitOutcome> {
    if (!stored) throw new BatonError('unavailable', `task ${task.task_id} could not be stored; try again`)
    const gone = stored.status === null ? `ended as ${stored.tombstone_status} and was deleted by retention` : undefined
    if (stored.digest !== task.digest && gone !== undefined)
      throw new BatonError('task_conflict', `task ${task.task_id} had another body, ${gone}; choose another task_id`)
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
    if (gone !== undefined) throw new BatonError('state_conflict', `task ${task.task_id} ${gone}; choose another task_id`)
    return unseen ? { kind: 'known' } : this.options.read(caller, task.task_id)
  }
}

function together(graphs: readonly Prepared[]) {
  return { tasks: graphs.map(g => g.task), subtasks: graphs.flatMap(g => g.subtasks), edges: graphs.flatMap(g => g.edges) }
}

/**
 * Starts the work for some items in each turn of the event loop. What the first ones wait for goes on while the next are
 * started, and whoever else has something to say, a worker with its reports, is heard in between.
 */
async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const started: Promise<R>[] = []
  for (const [n, item] of items.entries()) {
    if (n > 0 && n % requestsPerTurn === 0) await setImmediate()
    const working = work(item)
    working.catch(() => undefined) // awaited below, maybe after it failed
    started.push(working)
  }
  return Promise.all(started)
}

const taskKey = (task: { tenant_id: number; task_id: string }): string => `${task.tenant_id}/${task.task_id}`
const orchestratorKey = (task: NewTask): string => `${task.tenant_id}/${task.orchestrator_id}`

function noOrchestrator(id: string): BatonError {
  return new BatonError('orchestrator_not_found', `there is no orchestrator ${id}`, {
    fields: [{ path: 'orchestrator_id', issue: `there is no orchestrator ${JSON.stringify(id)}` }],
  })
}

function full({ orchestrator_id: id }: NewTask): BatonError {
  return new BatonError(
    'task_limit_reached',
    `orchestrator ${id} has all the unfinished tasks that its maxTasks allows; submit it again when one has ended, or raise the limit with PATCH /orchestrators/${id}/settings`,
    {
      fields: [
        { path: 'orchestrator_id', issue: `names ${JSON.stringify(id)}, which has all the unfinished tasks that its maxTasks allows` },
      ],
      extra: { orchestrator_id: id, retry_after_seconds: retryFullSeconds },
    },
  )
}

function digestsOf(request: OrchestrateRequest): { digest: string; fields: Record<string, string> } {
  const fields: Record<string, string> = {}
  for (const [key, value] of Object.entries(request))
    if (key !== 'execute' && value !== undefined) fields[key] = sha256(canonicalJson(value))
  return { digest: sha256(canonicalJson(fields)), fields }
}

function sha256(text: string): string {
  // In one call where Node has it (from 20.12 on): a hash object for each field of each request costs more than its hash.
  return hash === undefined ? createHash('sha256').update(text).digest('base64url') : hash('sha256', text, 'base64url')
}

const optionalMs = (text: string | null): number | undefined => (text === null ? undefined : Number(text))

function counter(): () => string {
  let n = 0
  return () => String(++n)
}
