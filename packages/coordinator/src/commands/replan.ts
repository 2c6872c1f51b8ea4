/**
 * Plans what is not finished of a task anew. The plan is made outside of any transaction (a model may take its time); what it
 * makes of the task is decided under the task's lock, on what is so by then, and applied there.
 *
 * R1 what a person approves is what is applied: a review holds the plan word for word and the digest of the change that it
 *    makes, and where it would make another one by now, nothing is applied
 */
import { createHash, randomUUID } from 'node:crypto'
import {
  BatonError,
  canonicalJson,
  jsonText,
  maxSubtasks,
  type OrchestrateRequest,
  type Plan,
  type PlannedSubtask,
  type PlanView,
  type ReplanRequest,
  type ReplanView,
  type ReviewDecisionName,
  type TaskStatus,
  terminalTaskStatuses,
} from '@baton/shared'
import { allDependencies, buildGraph, routeKey } from '../core/graph.js'
import { criteriaOf, planCapability, questionName, restName } from '../plan/delegation.js'
import { changeOf, hasPassed, type PlanChange, stayingOf } from '../plan/diff.js'
import { type DraftReading, readDraft } from '../plan/model/draft.js'
import { planOfDraft } from '../plan/model/draft-to-plan.js'
import { checkDraft, type DraftLimits } from '../plan/model/guardrails.js'
import type { Knowledge } from '../plan/model/model-planner.js'
import type { Planner } from '../plan/planner.js'
import type { Database, Queryable } from '../store/database.js'
import type { IdSource } from '../store/ids.js'
import { readOrchestrator } from '../store/orchestrators.js'
import { readTask, type TaskRow } from '../store/read-task.js'
import {
  applyReplan,
  decidePlan,
  lockAhead,
  lockForReplan,
  proposePlan,
  type ReplannedTask,
  readProposal,
  readStanding,
  type StandingRow,
} from '../store/replan.js'
import { lockPart } from '../store/rerun.js'
import type { Routes } from '../store/routes.js'
import { readSpawnNames } from '../store/spawn.js'
import type { NewSubtask } from '../store/submit.js'
import type { Caller } from './api.js'
import { checkLeases } from './leases.js'
import { planView } from './plan-view.js'
import { withTaskReferences } from './task-references.js'
import type { Thinker } from './thinker.js'

export interface ReplannerOptions {
  readonly database: Database
  readonly planner: Planner
  readonly thinker?: Pick<Thinker, 'rethink'>
  readonly ids: IdSource
  readonly routes: Routes
  readonly pool: string
  readonly attemptLimit: number
  readonly queueWaitMs: number
  readonly deadlineMs: number
  /** The shortest lease that heartbeats can keep. */
  readonly minLeaseMs: number
  readonly limits: DraftLimits
  /** What agents can be planned with. */
  readonly knowledge: (tenantId: number) => Promise<Knowledge>
  readonly now: () => Date
  /** After a commit: attempts whose workers are to be told, and a task that changed. */
  readonly onReplanned: (taskPk: string, running: readonly { worker_id: string; claim_id: string }[], status: TaskStatus) => void
}

/** What is kept of a new plan until it is applied. */
interface Proposal {
  readonly plan: PlanView
  readonly subtasks: readonly PlannedSubtask[]
  readonly running: 'keep' | 'cancel'
  readonly reason: string | null
}

/** A larger task is planned anew by its parts: with reruns, cancels, and tasks of their own. */
const maxStanding = 10_000
const listed = 1_000

/** Undoes the transaction with what it says. */
class Outdated extends Error {}

export class Replanner {
  private readonly options: ReplannerOptions

  constructor(options: ReplannerOptions) {
    this.options = options
  }

  /** Throws `task_not_found`, `state_conflict`, `invalid_request`. */
  async replan(caller: Caller, taskId: string, request: ReplanRequest, { dryRun }: { dryRun: boolean }): Promise<ReplanView> {
    const { database } = this.options
    const task = await readTask(database, caller.tenantId, taskId)
    if (!task) throw noTask(taskId)
    refuseEnded(taskId, task.status)
    const proposal = await this.draw(caller, task, request, { looked: dryRun || request.requires_approval === true })
    const prepared = await this.prepare(caller, task, proposal)
    if (dryRun) {
      const change = changeOf(await this.standing(database, task.id, taskId), proposal.subtasks, prepared)
      refuseIssues(change)
      return viewOf(taskId, task.status, proposal, change, { applied: false })
    }
    if (request.requires_approval) {
      const { change, review } = await database.transaction(async tx => {
        const locked = await this.locked(tx, caller, taskId)
        const change = changeOf(await this.standing(tx, locked.id, taskId), proposal.subtasks, prepared)
        refuseIssues(change)
        const digest = digestOf(proposal, change)
        const detail = `${summaryOf(change)}${proposal.reason === null ? '' : `; because: ${proposal.reason}`}`
        const id = await proposePlan(tx, {
          tenantId: caller.tenantId,
          taskPk: locked.id,
          detail,
          digest,
          proposal: JSON.stringify(proposal),
        })
        return { change, review: { id, digest } }
      })
      this.options.onReplanned(task.id, [], task.status)
      return { ...viewOf(taskId, task.status, proposal, change, { applied: false }), review }
    }
    const applied = await database.transaction(tx => this.apply(tx, caller, task, { proposal, prepared }))
    this.options.onReplanned(task.id, applied.running, applied.status)
    return viewOf(taskId, applied.status, proposal, applied.change, { applied: true })
  }

  /** Puts what an agent planned in the place that was kept for it, or what the other planners make of the task. */
  async takeUp(caller: Caller, taskId: string, { agent, output }: { agent: string; output: string | null }): Promise<void> {
    const { database, planner, now, limits, knowledge } = this.options
    const task = await readTask(database, caller.tenantId, taskId)
    if (!task) return
    const asked = requestOf(task)
    const orchestrator = await readOrchestrator(database, caller.tenantId, task.orchestrator_id)
    const defaultAgent = orchestrator?.default_worker_agent_id ?? undefined
    const reading = planner.plan(asked, now(), defaultAgent === undefined ? {} : { defaultAgent })
    const given = criteriaOf(reading)
    const draft: DraftReading = output === null ? { ok: false, issues: [{ path: 'answer', issue: 'there is none' }] } : readDraft(output)
    const rules = {
      capabilities: (await knowledge(caller.tenantId)).capabilities,
      limits,
      givenCriteria: new Set(given.map(({ id }) => id)),
      gated: reading.subtasks.some(s => s.requiresApproval),
      existing: new Set([questionName]),
    }
    const issues = draft.ok ? checkDraft(draft.draft, rules) : draft.issues
    const usable = draft.ok && issues.length === 0 ? draft.draft : undefined
    const defaults = { slaMs: reading.slaMs, maxAttempts: null, onFailure: 'review' as const }
    const plan = usable ? planOfDraft(usable, { request: asked, reading, given, defaults }) : await this.instead(caller, asked, reading)
    const how = usable
      ? `planned by the agent ${agent}`
      : `the agent ${agent} gave no plan that can be used (${issues[0]?.path}: ${issues[0]?.issue.slice(0, 200)})`
    const subtasks = plan.subtasks.map(subtask => (subtask.name === questionName ? { ...subtask, name: `${questionName}-2` } : subtask))
    const told = { running: 'keep' as const, reason: how }
    const proposal = this.proposalOf(task, { ...plan, subtasks, diagnostics: [how, ...plan.diagnostics] }, told)
    const prepared = await this.prepare(caller, task, proposal)
    const applied = await database
      .transaction(tx => this.apply(tx, caller, task, { proposal, prepared, replaces: restName }))
      .catch((error: unknown) => {
        if (error instanceof Outdated) return undefined // another coordinator was first
        throw error
      })
    if (applied) this.options.onReplanned(task.id, applied.running, applied.status)
  }

  /** What the next in the chain make of a task whose agent gave no plan. */
  private async instead(caller: Caller, asked: OrchestrateRequest, reading: Plan): Promise<Plan> {
    const { thinker } = this.options
    if (!thinker || reading.madeBy !== 'rules') return reading
    const question = { name: questionName, title: null, capability: planCapability, state: 'failed' }
    return thinker.rethink(caller.tenantId, asked, reading, { standing: [question], reason: null })
  }

  /** Decides a review of kind `plan`. Throws `state_conflict` where it is decided, or no longer about what was shown. */
  async decide(
    caller: Caller,
    review: { readonly id: string; readonly task_id: string },
    told: { readonly decision: ReviewDecisionName; readonly reason: string; readonly digest?: string },
  ): Promise<void> {
    const { database } = this.options
    const { tenantId, actor } = caller
    const deciding = { tenantId, id: review.id, decision: told.decision, reason: told.reason, actor }
    const changedSince = (why: string) =>
      new BatonError('state_conflict', `review ${review.id} ${why}; reject it, and replan task ${review.task_id} anew`)
    if (told.decision === 'reject') {
      const done = await database.transaction(async tx => {
        await this.locked(tx, caller, review.task_id)
        return decidePlan(tx, deciding)
      })
      if (!done) throw new BatonError('state_conflict', `review ${review.id} is no longer open`)
      return
    }
    const task = await readTask(database, tenantId, review.task_id)
    if (!task) throw noTask(review.task_id)
    // Looked at ahead of the transaction: ids and routes are drawn with connections of their own.
    const ahead = await readProposal(database, tenantId, review.id)
    if (!ahead) throw changedSince('holds no plan')
    if (told.digest !== undefined && told.digest !== ahead.digest) throw changedSince('is about another change than the one that was shown')
    const proposal = JSON.parse(ahead.proposal) as Proposal // written by `replan`
    const prepared = await this.prepare(caller, task, proposal)
    const applied = await database
      .transaction(tx => {
        const decided = async () => {
          if (!(await decidePlan(tx, deciding))) throw new BatonError('state_conflict', `review ${review.id} is no longer open`)
        }
        return this.apply(tx, caller, task, { proposal, prepared, digest: ahead.digest, decided })
      })
      .catch((error: unknown) => {
        throw error instanceof Outdated
          ? changedSince('would change something else by now than what was shown, because the task went on')
          : error
      })
    this.options.onReplanned(task.id, applied.running, applied.status)
  }

  /** The new plan: the subtasks that are given, else what the planners make of the words; `looked`: a person sees it first. */
  private async draw(caller: Caller, task: TaskRow, request: ReplanRequest, { looked }: { looked: boolean }): Promise<Proposal> {
    const { planner, thinker, now, database } = this.options
    const running = request.running ?? 'keep'
    const description = request.description ?? task.description ?? undefined
    const asked = requestOf(task, description)
    const orchestrator = await readOrchestrator(database, caller.tenantId, task.orchestrator_id)
    const defaultAgent = orchestrator?.default_worker_agent_id ?? undefined
    const options = defaultAgent === undefined ? {} : { defaultAgent }
    if (request.subtasks) {
      // As they were asked for, before they are rounded.
      checkLeases(
        request.subtasks.map(({ lease_seconds: lease }) => (lease === undefined ? null : lease * 1_000)),
        this.options.minLeaseMs,
      )
      // As a graph it is judged together with what stays: it may depend on that, and refer to it.
      const given = request.subtasks
      const plan = planner.plan({ ...asked, subtasks: given.map(({ depends_on: _, input: __, ...alone }) => alone) }, now(), options)
      const subtasks = plan.subtasks.map((planned, n) => {
        const { input, depends_on: dependsOn = [] } = given[n] ?? {}
        return { ...planned, input: input === undefined ? null : jsonText(input), dependsOn }
      })
      // Who gives subtasks changes the work, and not what it is for.
      const { plan: understood, ...rest } = this.proposalOf(task, { ...plan, subtasks }, { running, reason: request.reason ?? null })
      const { objectives, constraints, acceptance_criteria } = JSON.parse(task.plan) as PlanView // written by submit.ts, and here
      return { plan: { ...understood, objectives, constraints, acceptance_criteria }, ...rest }
    }
    if (description === undefined)
      throw new BatonError('invalid_request', `task ${task.task_id} was given as subtasks, and has no words to plan from`, {
        fields: [{ path: 'description', issue: 'is required, or `subtasks`, for a task that has no description' }],
      })
    const plan = planner.plan(asked, now(), options)
    if (!thinker || plan.madeBy !== 'rules') return this.proposalOf(task, plan, { running, reason: request.reason ?? null })
    const staying = stayingOf(await this.standing(database, task.id, task.task_id), running)
    const change = {
      standing: staying.map(({ name, title, capability, state }) => ({ name, title, capability, state })),
      reason: request.reason ?? null,
    }
    const rethought = await thinker.rethink(caller.tenantId, asked, plan, change)
    if (rethought.madeBy !== 'model' && !looked)
      throw new BatonError(
        'unavailable',
        `${rethought.diagnostics[0]}; theirs is not put in the place of a plan unseen: ask again, look at it with dry_run or requires_approval, or send subtasks`,
      )
    return this.proposalOf(task, rethought, { running, reason: request.reason ?? null })
  }

  private proposalOf(task: TaskRow, plan: Plan, rest: Pick<Proposal, 'running' | 'reason'>): Proposal {
    const of = { task_id: task.task_id, title: task.title, description: task.description ?? undefined }
    const parts = { metadata: JSON.parse(task.metadata) as unknown, context: JSON.parse(task.context) as unknown }
    const subtasks = plan.subtasks.map(subtask => withTaskReferences(subtask, { ...of, ...parts }))
    return { plan: planView(plan), subtasks, ...rest }
  }

  /** What has to be there before the transaction begins (in local mode there is one connection). */
  private async prepare(caller: Caller, task: TaskRow, { subtasks, running }: Proposal): Promise<Prepared> {
    const { database, ids, routes, pool, attemptLimit, queueWaitMs, deadlineMs } = this.options
    const orchestrator = await readOrchestrator(database, caller.tenantId, task.orchestrator_id)
    const draw = await ids.draw(subtasks.length)
    const routeIds = await routes.intern(subtasks.map(subtask => ({ pool, ...routeKey(subtask) })))
    return {
      running,
      attemptLimit: orchestrator?.retry_attempts ?? attemptLimit,
      queueWaitMs: Number(orchestrator?.queue_wait_ms ?? queueWaitMs),
      deadlineMs: Number(orchestrator?.deadline_ms ?? deadlineMs),
      routeOf: new Map(subtasks.map(({ name }, n) => [name, routeIds[n] ?? 0])),
      ids: subtasks.map(draw),
    }
  }

  private async apply(
    tx: Queryable,
    caller: Caller,
    { id, task_id: taskId }: Pick<TaskRow, 'id' | 'task_id'>,
    { proposal, prepared, digest, replaces, decided }: Applying,
  ) {
    await lockAhead(tx, id, maxStanding)
    const task = await this.locked(tx, caller, taskId)
    await decided?.()
    const { change, standing } = await this.settle(tx, task, taskId, proposal, prepared)
    if (replaces !== undefined && !change.removed.includes(replaces) && !change.changed.some(({ name }) => name === replaces))
      throw new Outdated()
    refuseIssues(change)
    if (digest !== undefined && digestOf(proposal, change) !== digest) throw new Outdated() // R1
    const staying = standing.filter(({ id }) => !change.superseded.includes(id))
    const { subtasks, edges } = await this.rows(tx, caller, { task, taskId, staying, change, prepared })
    const told = {
      reason: proposal.reason ?? 'it was planned anew',
      by: caller.actor,
      made_by: proposal.plan.made_by,
      added: change.added.length,
      removed: change.removed.length,
      changed: change.changed.length,
      kept: change.kept.length,
    }
    const replanned = await applyReplan(tx, {
      taskPk: task.id,
      superseded: change.superseded,
      subtasks,
      edges,
      plan: JSON.stringify(proposal.plan),
      told: JSON.stringify(told),
    })
    return { ...replanned, change }
  }

  /** Decides and locks until what is locked is what is decided: what runs may finish in between. */
  private async settle(tx: Queryable, task: ReplannedTask, taskId: string, proposal: Proposal, prepared: Prepared) {
    for (let before = ''; ; ) {
      const standing = await this.standing(tx, task.id, taskId)
      const change = changeOf(standing, proposal.subtasks, prepared)
      const now = JSON.stringify([change.superseded, change.kept])
      if (now === before) return { standing, change }
      before = now
      await lockPart(
        tx,
        standing.map(({ id }) => id),
      )
    }
  }

  private async rows(
    tx: Queryable,
    caller: Caller,
    {
      task,
      taskId,
      staying,
      change,
      prepared,
    }: { task: ReplannedTask; taskId: string; staying: readonly StandingRow[]; change: PlanChange; prepared: Prepared },
  ) {
    const { fresh } = change
    const prefixes = [...new Set(fresh.map(s => s.agent ?? s.capability))]
    const { highest, lastOrdinal } = await readSpawnNames(tx, task.id, [], prefixes)
    const { attemptLimit, queueWaitMs, deadlineMs, routeOf } = prepared
    const ids = prepared.ids.values() // anew for every try of the transaction
    const graph = buildGraph(fresh, {
      tenantId: caller.tenantId,
      taskPk: task.id,
      taskId,
      priority: task.priority,
      owner: task.owner,
      attemptLimit,
      queueWaitMs: () => queueWaitMs,
      deadlineMs,
      running: false, // opened below, by what has passed already
      spawnedBy: null,
      firstOrdinal: lastOrdinal + 1,
      numbers: highest,
      outside: new Map(staying.map(({ name, id }) => [name, id])),
      nextId: () => ids.next().value ?? '',
      newUuid: randomUUID,
      routeIds: fresh.map(({ name }) => routeOf.get(name) ?? 0),
      place: () => null,
    })
    const passed = new Set(staying.filter(hasPassed).map(({ name }) => name))
    const subtasks = graph.subtasks.map((row, n): NewSubtask => {
      const waits = [...allDependencies(fresh[n] as PlannedSubtask)] // a row for each
      const unmet = waits.filter(name => !passed.has(name)).length
      if (task.status === 'planned') return { ...row, unmet }
      const gate = row.gate ?? (task.execution_mode === 'manual' || task.checkpoints.includes(row.name) ? 'release' : null)
      return { ...row, unmet, gate, state: unmet > 0 ? 'pending' : gate !== null ? 'awaiting_approval' : 'ready' }
    })
    return { subtasks, edges: graph.edges }
  }

  private async locked(tx: Queryable, caller: Caller, taskId: string): Promise<ReplannedTask> {
    const task = await lockForReplan(tx, caller.tenantId, taskId)
    if (!task) throw noTask(taskId)
    refuseEnded(taskId, task.status)
    return task
  }

  private async standing(db: Queryable, taskPk: string, taskId: string): Promise<StandingRow[]> {
    const rows = await readStanding(db, taskPk, maxStanding + 1)
    if (rows.length <= maxStanding) return rows
    throw new BatonError(
      'state_conflict',
      `task ${taskId} has more than ${maxStanding} subtasks, too many to plan anew; cancel or rerun parts of it`,
    )
  }
}

interface Applying {
  readonly proposal: Proposal
  readonly prepared: Prepared
  /** Of the change that was shown. */
  readonly digest?: string
  /** What has to be there still. */
  readonly replaces?: string
  /** Once the task is locked. Throws where it must not be applied. */
  readonly decided?: () => Promise<void>
}

/** What has to be there before a transaction begins. */
interface Prepared {
  readonly running: 'keep' | 'cancel'
  readonly attemptLimit: number
  readonly queueWaitMs: number
  readonly deadlineMs: number
  readonly routeOf: ReadonlyMap<string, number>
  readonly ids: readonly string[]
}

/** The request that a task was, in other words where there are any. */
function requestOf(task: TaskRow, description: string | undefined = task.description ?? undefined): OrchestrateRequest {
  return {
    task_id: task.task_id,
    title: task.title,
    ...(description !== undefined && { description }),
    metadata: JSON.parse(task.metadata) as Record<string, unknown>, // an object by its schema
    context: JSON.parse(task.context) as Record<string, unknown>,
  }
}

const noTask = (taskId: string): BatonError => new BatonError('task_not_found', `there is no task ${taskId}`)

function refuseEnded(taskId: string, status: TaskStatus): void {
  if (!(terminalTaskStatuses as readonly TaskStatus[]).includes(status)) return
  throw new BatonError(
    'state_conflict',
    `task ${taskId} is ${status}, and nothing of it is left to plan; run parts of it again with POST /tasks/${taskId}/rerun`,
    {
      extra: { task_status: status },
    },
  )
}

function refuseIssues({ issues, kept, fresh }: PlanChange): void {
  const fields =
    kept.length + fresh.length > maxSubtasks
      ? [...issues, { path: 'subtasks', issue: `the task would have more than ${maxSubtasks}` }]
      : issues
  if (fields.length === 0) return
  throw new BatonError('invalid_request', `the new plan does not fit what stays of the task: ${fields[0]?.path} ${fields[0]?.issue}`, {
    fields: fields.slice(0, listed),
  })
}

/** Of the plan word for word, and of what it changes. */
function digestOf(proposal: Proposal, { added, removed, changed, superseded }: PlanChange): string {
  const exactly = { proposal: JSON.parse(JSON.stringify(proposal)) as unknown, added, removed, changed, superseded }
  return createHash('sha256').update(canonicalJson(exactly)).digest('hex')
}

function summaryOf({ added, removed, changed, kept }: PlanChange): string {
  const some = (names: readonly string[]) =>
    names.length > 10 ? `${names.slice(0, 10).join(', ')} and ${names.length - 10} more` : names.join(', ')
  const parts = [
    added.length > 0 && `adds ${some(added)}`,
    removed.length > 0 && `removes ${some(removed)}`,
    changed.length > 0 && `changes ${some(changed.map(({ name, fields }) => `${name} (${fields.join(', ')})`))}`,
    kept.length > 0 && `keeps ${some(kept)}`,
  ].filter(part => part !== false)
  return `a new plan ${parts.join('; ')}`
}

function viewOf(
  taskId: string,
  status: TaskStatus,
  { plan }: Proposal,
  { added, removed, changed, kept, fresh, unmoved }: PlanChange,
  { applied }: { applied: boolean },
): ReplanView {
  const comes = new Map(fresh.map(subtask => [subtask.name, subtask]))
  return {
    task_id: taskId,
    status,
    applied,
    plan: {
      ...plan,
      diagnostics:
        unmoved.length > 0
          ? [...plan.diagnostics, `${unmoved.slice(0, 20).join(', ')}: finished or under way, and left as it is`]
          : plan.diagnostics,
    },
    diff: {
      added: added.slice(0, listed).map(name => {
        const subtask = comes.get(name)
        return { name, title: subtask?.title ?? null, capability: subtask?.capability ?? '', depends_on: [...(subtask?.dependsOn ?? [])] }
      }),
      removed: removed.slice(0, listed),
      changed: changed.slice(0, listed).map(({ name, fields }) => ({ name, fields: [...fields] })),
      kept: kept.slice(0, listed),
    },
  }
}
