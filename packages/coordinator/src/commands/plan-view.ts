import type { Plan, PlanView } from '@baton/shared'

/** What a plan says beside its subtasks, as it is stored and shown. */
export function planView(plan: Plan): PlanView {
  return {
    made_by: plan.madeBy,
    objectives: [...plan.objectives],
    constraints: [...plan.constraints],
    acceptance_criteria: [...plan.acceptanceCriteria],
    diagnostics: [...plan.diagnostics],
  }
}
