/**
 * Takes up the plans that orchestrators' own agents have made: an answer is a draft, and is held to the same guardrails as a
 * model's. It takes the place that was kept for it; where it cannot be used, the other planners' plan does. Any number of
 * coordinators may do this: the place is taken under the task's lock, once.
 */

import { type Logger, type Service, Ticker } from '@baton/shared/node'
import { restCapability } from '../plan/delegation.js'
import type { Database } from '../store/database.js'
import { type AnsweredRow, readAnswered } from '../store/delegated.js'
import type { Routes } from '../store/routes.js'
import type { Caller } from './api.js'
import type { Replanner } from './replan.js'

interface DelegateOptions {
  readonly database: Database
  readonly routes: Routes
  readonly replanner: Pick<Replanner, 'takeUp'>
  readonly everyMs: number
  readonly log: Logger
}

const tasksPerRun = 20

export class Delegate implements Service {
  readonly name = 'delegate'
  private readonly options: DelegateOptions
  private readonly ticker: Ticker

  constructor(options: DelegateOptions) {
    this.options = options
    this.ticker = new Ticker({ name: 'delegate', everyMs: options.everyMs, log: options.log, run: () => this.run() })
  }

  start(): Promise<void> {
    return this.ticker.start()
  }

  stop(): Promise<void> {
    return this.ticker.stop()
  }

  private async run(): Promise<boolean> {
    const { database, routes, log } = this.options
    const waiting = [...routes.known.values()].filter(({ capability }) => capability === restCapability).map(({ id }) => id)
    if (waiting.length === 0) return false // no plan was ever asked of an agent
    const answered = await readAnswered(database, waiting, tasksPerRun)
    for (const one of answered)
      await this.takeUp(one).catch(error =>
        log.warn({ err: error, task_id: one.task_id }, 'the plan of an agent could not be taken up yet'),
      )
    return false
  }

  private async takeUp({ tenant_id, task_id, agent, output }: AnsweredRow): Promise<void> {
    const caller: Caller = { tenantId: tenant_id, actor: `agent:${agent}` }
    await this.options.replanner.takeUp(caller, task_id, { agent: agent ?? '', output })
  }
}
