/** Makes a plan of a draft that keeps the guardrails. What the request itself says stands beside what the model adds. */
import { type OrchestrateRequest, type Plan, type PlannedSubtask, unsetTimes, withoutReferences } from '@baton/shared'
import { type Criterion, findingsOf } from '../coverage.js'
import type { SubtaskDefaults } from '../explicit.js'
import type { Draft, DraftSubtask } from './draft.js'

const longestTitle = 500

export interface DraftContext {
  readonly request: Pick<OrchestrateRequest, 'title'>
  /** What the rules made of the request: their constraints, criteria and dates stay. */
  readonly reading: Plan
  /** Of the reading, with ids. */
  readonly given: readonly Criterion[]
  readonly defaults: SubtaskDefaults
}

export function planOfDraft(draft: Draft, { request, reading, given, defaults }: DraftContext): Plan {
  const criteria = allCriteria(draft, given)
  const gatedCapabilities = new Set(reading.subtasks.flatMap(s => (s.requiresApproval ? s.capability : [])))
  const ungated = draft.subtasks.filter(s => !s.requires_approval && gatedCapabilities.has(s.capability))
  return {
    objectives: draft.objectives.length > 0 ? draft.objectives : reading.objectives,
    constraints: merged(reading.constraints, draft.constraints),
    acceptanceCriteria: criteria.map(({ text }) => text),
    slaMs: reading.slaMs,
    dueDate: reading.dueDate,
    madeBy: 'model',
    subtasks: draft.subtasks.map(subtask =>
      // A gate that the request asks for is kept, whatever the model made of it.
      toSubtask(subtask, { request, criteria, defaults, gated: subtask.requires_approval || gatedCapabilities.has(subtask.capability) }),
    ),
    diagnostics: [
      ...ungated.map(({ name }) => `an approval before ${name} was added, because the request asks for one`),
      ...findingsOf(draft.subtasks, criteria),
      ...reading.diagnostics.filter(text => text.startsWith('metadata.')),
    ],
  }
}

interface SubtaskSetting {
  readonly request: Pick<OrchestrateRequest, 'title'>
  readonly criteria: readonly Criterion[]
  readonly defaults: SubtaskDefaults
  readonly gated: boolean
}

function toSubtask(subtask: DraftSubtask, { request, criteria, defaults, gated }: SubtaskSetting): PlannedSubtask {
  const served = criteria.filter(({ id }) => subtask.serves.includes(id)).map(({ text }) => text)
  const words = {
    brief: subtask.purpose,
    task: request.title,
    done_when: subtask.done_when,
    ...(subtask.prerequisites.length > 0 && { prerequisites: subtask.prerequisites }),
    ...(served.length > 0 && { acceptance_criteria: served }),
  }
  const input = {
    ...(withoutReferences(words) as typeof words), // of the same shape
    ...(subtask.depends_on.length > 0 && {
      outputs: Object.fromEntries(subtask.depends_on.slice(0, 20).map(name => [name, `{{${name}.outputs}}`])),
    }),
  }
  return {
    name: subtask.name,
    title: (subtask.title.trim() || subtask.name).slice(0, longestTitle).toWellFormed(),
    capability: subtask.capability,
    agent: null,
    requires: [],
    input: JSON.stringify(input),
    dependsOn: subtask.depends_on,
    requiresApproval: gated,
    slaMs: defaults.slaMs,
    ...unsetTimes,
    onFailure: defaults.onFailure,
    maxAttempts: defaults.maxAttempts,
    isolation: null,
  }
}

/** Those of the request first, word for word; what the model says under their ids is not heard. */
function allCriteria(draft: Draft, given: readonly Criterion[]): Criterion[] {
  const all = new Map(given.map(criterion => [criterion.id, criterion]))
  for (const criterion of draft.acceptance_criteria) if (!all.has(criterion.id)) all.set(criterion.id, criterion)
  return [...all.values()]
}

function merged(first: readonly string[], more: readonly string[]): string[] {
  const known = new Set(first.map(text => text.trim().toLowerCase()))
  return [...first, ...more.filter(text => /\S/.test(text) && !known.has(text.trim().toLowerCase()))]
}
