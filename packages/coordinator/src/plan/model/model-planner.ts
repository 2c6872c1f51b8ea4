/**
 * Plans in words with a model. The plan that the rules made stands ready all along: whatever goes wrong, it is the answer,
 * and says why.
 *
 * Invariants: an answer that breaks a guardrail goes back with what is wrong, at most twice; everything together, waiting for
 * a turn included, takes no longer than the time limit; what the plan says of how it was made holds none of the model's words
 * but names and criteria.
 */
import type { FieldIssue, OrchestrateRequest, Plan } from '@baton/shared'
import { criteriaOf } from '../delegation.js'
import type { SubtaskDefaults } from '../explicit.js'
import { readDraft } from './draft.js'
import { planOfDraft } from './draft-to-plan.js'
import { checkDraft, type DraftLimits } from './guardrails.js'
import { type Assignment, correction, firstMessages, type KnownAgent, type Message, type StandingSubtask } from './prompt.js'

/** What there is to plan with. */
export interface Knowledge {
  readonly agents: readonly KnownAgent[]
  readonly capabilities: ReadonlySet<string>
}

export interface ModelPlannerOptions {
  /** Its name, for diagnostics. */
  readonly model: string
  /** Asks the model; rejects with a sentence for people, and when the signal says so. */
  readonly ask: (messages: readonly Message[], signal: AbortSignal) => Promise<string>
  readonly timeoutMs: number
  readonly limits: DraftLimits
  readonly defaults: SubtaskDefaults
}

export interface ModelRequest {
  readonly request: OrchestrateRequest
  /** What the rules make of it. */
  readonly rules: Plan
  readonly knowledge: Knowledge
  /** What is left of the time limit; default all of it. */
  readonly withinMs?: number
  /** When a plan is changed: what stays, and why it is planned anew. */
  readonly change?: { readonly standing: readonly StandingSubtask[]; readonly reason: string | null }
}

export const maxCorrections = 2

export class ModelPlanner {
  private readonly options: ModelPlannerOptions

  constructor(options: ModelPlannerOptions) {
    this.options = options
  }

  /** The model's plan, else that of the rules with the reason. Never rejects. */
  async plan(asked: ModelRequest, stopped?: AbortSignal): Promise<Plan> {
    const { timeoutMs } = this.options
    const limit = AbortSignal.timeout(Math.max(0, Math.round(asked.withinMs ?? timeoutMs)))
    const signal = stopped ? AbortSignal.any([limit, stopped]) : limit
    try {
      return await this.draw(asked, signal)
    } catch (error) {
      const why = limit.aborted
        ? `did not answer within ${timeoutMs / 1_000} s`
        : stopped?.aborted
          ? 'was not waited for, because the coordinator stops'
          : error instanceof Error
            ? error.message
            : String(error)
      return standIn(asked.rules, `the model ${this.options.model} ${why}`)
    }
  }

  private async draw(asked: ModelRequest, signal: AbortSignal): Promise<Plan> {
    const { ask, limits, model, defaults } = this.options
    const { request, rules, knowledge, change } = asked
    if (knowledge.capabilities.size === 0) return standIn(rules, 'no capability is known that a model could plan with')
    const given = criteriaOf(rules)
    const gated = rules.subtasks.some(s => s.requiresApproval)
    const assignment: Assignment = {
      request,
      ...knowledge,
      limits,
      criteria: given,
      constraints: rules.constraints,
      gated,
      ...(change && { standing: change.standing, ...(change.reason !== null && { reason: change.reason }) }),
    }
    const checks = {
      capabilities: knowledge.capabilities,
      limits,
      givenCriteria: new Set(given.map(({ id }) => id)),
      gated,
      ...(change && { existing: new Set(change.standing.map(({ name }) => name)) }),
    }
    const messages = firstMessages(assignment)
    let issues: readonly FieldIssue[] = []
    for (let round = 0; round <= maxCorrections; round++) {
      const answer = await orAborted(ask(messages, signal), signal)
      const reading = readDraft(answer)
      issues = reading.ok ? checkDraft(reading.draft, checks) : reading.issues
      if (reading.ok && issues.length === 0) {
        const plan = planOfDraft(reading.draft, {
          request,
          reading: rules,
          given,
          defaults: { ...defaults, slaMs: rules.slaMs ?? defaults.slaMs },
        })
        const rounds = round === 0 ? '' : `, after ${round === 1 ? 'one correction' : `${round} corrections`}`
        return { ...plan, diagnostics: [`planned by the model ${model}${rounds}`, ...plan.diagnostics] }
      }
      messages.push(...correction(answer, issues))
    }
    return standIn(rules, `the model ${model} gave no plan that can be used (${summary(issues)})`)
  }
}

/** The plan of the rules, with the reason why it is theirs. */
function standIn(rules: Plan, why: string): Plan {
  return { ...rules, diagnostics: [`${why}; the rules planned instead`, ...rules.diagnostics] }
}

/** The first problem and how many there are; the issues are ours, the model's own words are not among them. */
function summary(issues: readonly FieldIssue[]): string {
  const [first] = issues
  if (!first) return 'it was empty'
  const more = issues.length - 1
  return `${first.path}: ${first.issue.slice(0, 200)}${more > 0 ? `; and ${more} more` : ''}`
}

/** Also where what was asked does not heed the signal. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
