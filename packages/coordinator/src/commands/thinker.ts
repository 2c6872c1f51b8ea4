/**
 * Lets a model plan what only the rules understood, before anything of it is stored: no transaction is open meanwhile, and
 * other submissions do not wait.
 *
 * T1 a request is planned once at a time: its repeats wait for the same plan, at this coordinator and at others
 * T2 what is stored already is not planned again
 * T3 nothing here refuses a submission: without a model's plan it is the rules'
 */
import type { OrchestrateRequest, Plan } from '@baton/shared'
import type { Clock, Logger, Service } from '@baton/shared/node'
import { BatchLane } from '@baton/shared/node'
import type { Knowledge, ModelPlanner, ModelRequest } from '../plan/model/model-planner.js'
import type { Database } from '../store/database.js'
import { claimPlanning, type PlanningKey, releasePlanning } from '../store/plannings.js'
import { readDigests } from '../store/submit.js'

export interface ThinkerOptions {
  readonly database: Database
  readonly model: Pick<ModelPlanner, 'plan'>
  readonly coordinatorId: string
  readonly timeoutMs: number
  readonly knowledge: (tenantId: number) => Promise<Knowledge>
  readonly clock: Clock
  readonly log: Logger
}

/** A plan, and what to call once the submission has ended. */
export interface Thought {
  readonly plan: Plan
  done(): void
}

/** Between two looks whether another coordinator has planned it. */
const lookEveryMs = 250
/** A coordinator that ended while it planned is waited for as long as this; one that lives renews its claim. */
const claimMs = 3_000

export class Thinker implements Service {
  readonly name = 'thinker'
  private readonly options: ThinkerOptions
  private readonly stopping = new AbortController()
  /** By tenant, `task_id` and digest (T1). */
  private readonly thinking = new Map<string, Promise<Plan>>()
  private readonly stored: BatchLane<PlanningKey, boolean>

  constructor(options: ThinkerOptions) {
    this.options = options
    this.stored = new BatchLane({ maxItems: 500, maxWaiting: 20_000, send: keys => this.lookUp(keys) })
  }

  async start(): Promise<void> {}

  /** Whoever waits for a model gets the plan of the rules. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await Promise.allSettled(this.thinking.values())
  }

  /** For a dry run: nothing is stored, so nothing is shared. */
  async consider(tenantId: number, request: OrchestrateRequest, rules: Plan): Promise<Plan> {
    return this.ask(tenantId, request, rules, this.options.timeoutMs)
  }

  /** For a task that is under way: what stays of it, and why the rest is planned anew. */
  async rethink(tenantId: number, request: OrchestrateRequest, rules: Plan, change: NonNullable<ModelRequest['change']>): Promise<Plan> {
    return this.ask(tenantId, request, rules, this.options.timeoutMs, change)
  }

  /** The plan to store. Where the task exists already it is that of the rules, which will not be needed. */
  async think(key: PlanningKey, request: OrchestrateRequest, rules: Plan): Promise<Thought> {
    const id = `${key.tenantId}/${key.taskId}/${key.digest}`
    const known = this.thinking.get(id)
    if (known) return { plan: await known, done: () => undefined }
    const thinking = this.planOnce(key, request, rules).catch((error: unknown): Plan => {
      this.options.log.warn({ err: error, task_id: key.taskId }, 'a plan could not be asked for; the rules planned instead')
      return rules // T3
    })
    this.thinking.set(id, thinking)
    const plan = await thinking
    return {
      plan,
      done: () => {
        this.thinking.delete(id)
        // What is left by a fault runs out by itself.
        if (plan !== rules) void releasePlanning(this.options.database, key, this.options.coordinatorId).catch(() => undefined)
      },
    }
  }

  private async planOnce(key: PlanningKey, request: OrchestrateRequest, rules: Plan): Promise<Plan> {
    const { database, coordinatorId, timeoutMs, clock } = this.options
    const end = clock.monotonicMs() + timeoutMs
    for (;;) {
      if (await this.stored.push(key)) return rules // T2
      if (await claimPlanning(database, key, { coordinatorId, forMs: claimMs })) break
      if (clock.monotonicMs() >= end || this.stopping.signal.aborted)
        return { ...rules, diagnostics: ['another coordinator was still planning this; the rules planned instead', ...rules.diagnostics] }
      await new Promise<void>(resolve => clock.after(lookEveryMs, resolve))
    }
    const ended = this.keepClaim(key)
    return this.ask(key.tenantId, request, rules, end - clock.monotonicMs()).finally(ended)
  }

  /** Renews a claim until what it returns is called; the last renewal lasts for the storing. */
  private keepClaim(key: PlanningKey): () => void {
    const { database, coordinatorId, clock, log } = this.options
    let stop: () => void = () => undefined
    const renewLater = () => {
      stop = clock.after(claimMs / 3, () => {
        claimPlanning(database, key, { coordinatorId, forMs: claimMs }).catch(error =>
          log.warn({ err: error, task_id: key.taskId }, 'a planning could not be kept; a repeat of it may be planned twice'),
        )
        renewLater()
      })
    }
    renewLater()
    return () => stop()
  }

  private async ask(
    tenantId: number,
    request: OrchestrateRequest,
    rules: Plan,
    withinMs: number,
    change?: ModelRequest['change'],
  ): Promise<Plan> {
    const { model, log } = this.options
    const knowledge = await this.options.knowledge(tenantId)
    const plan = await model.plan({ request, rules, knowledge, withinMs, ...(change && { change }) }, this.stopping.signal)
    if (plan.madeBy !== 'model') log.warn({ task_id: request.task_id, why: plan.diagnostics[0] }, 'the rules stand in for the model')
    return plan
  }

  private async lookUp(keys: readonly PlanningKey[]): Promise<boolean[]> {
    const found = await readDigests(
      this.options.database,
      keys.map(({ tenantId, taskId }) => ({ tenant_id: tenantId, task_id: taskId })),
    )
    const known = new Set(found.map(({ tenant_id, task_id }) => `${tenant_id}/${task_id}`))
    return keys.map(({ tenantId, taskId }) => known.has(`${tenantId}/${taskId}`))
  }
}
