/**
 * A plan that begins with asking for one: where an orchestrator's own agent plans, a task in words is stored as the question
 * and a place for the answer. The question is a subtask like any other, pinned to the agent; what takes the place is planned
 * once it has ended (commands/delegate.ts), by the agent's draft, or without one by the other planners.
 */
import { type OrchestrateRequest, type Plan, type PlannedSubtask, unsetTimes, withoutReferences } from '@baton/shared'
import type { Criterion } from './coverage.js'
import type { DraftLimits } from './model/guardrails.js'

/** What an agent offers that plans. */
export const planCapability = 'plan'
/** What nobody offers: it waits to be replaced. */
export const restCapability = 'baton.rest'
export const questionName = 'plan'
export const restName = 'rest'

export interface Delegation {
  readonly agent: string
  readonly capabilities: ReadonlySet<string>
  readonly limits: DraftLimits
}

/** The criteria of a reading, under the ids by which a draft refers to them. */
export function criteriaOf(reading: Pick<Plan, 'acceptanceCriteria'>): Criterion[] {
  return reading.acceptanceCriteria.map((text, n) => ({ id: `C${n + 1}`, text }))
}

/** `reading` is what the other planners make of the request. */
export function delegatedPlan(request: OrchestrateRequest, reading: Plan, { agent, capabilities, limits }: Delegation): Plan {
  const question = {
    task: { title: request.title, description: request.description ?? '' },
    capabilities: [...capabilities].sort(),
    criteria: criteriaOf(reading),
    constraints: reading.constraints,
    limits: { subtasks: limits.subtasks, in_a_row: limits.depth, side_by_side: limits.width },
    approval: reading.subtasks.some(s => s.requiresApproval),
  }
  const common = { requires: [], requiresApproval: false, slaMs: reading.slaMs, ...unsetTimes, maxAttempts: null, isolation: null }
  const subtasks: PlannedSubtask[] = [
    {
      name: questionName,
      title: 'Plan the task',
      capability: planCapability,
      agent,
      input: JSON.stringify(withoutReferences(question)),
      dependsOn: [],
      onFailure: 'continue', // the others plan then
      ...common,
    },
    {
      name: restName,
      title: 'What is planned then',
      capability: restCapability,
      agent: null,
      input: null,
      dependsOn: [questionName],
      onFailure: 'review',
      ...common,
    },
  ]
  return {
    ...reading,
    madeBy: 'rules',
    subtasks,
    diagnostics: [`the agent ${agent} is asked for the plan when the task starts`, ...reading.diagnostics],
  }
}
