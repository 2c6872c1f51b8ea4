/** Makes subtasks of the steps that were read, with the reviews that are missing. */
import { type OrchestrateRequest, type PlannedSubtask, unsetTimes, withoutReferences } from '@baton/shared'
import { type Assignment, assign, type SubtaskDefaults } from '../explicit.js'
import { titleOf } from './flow.js'
import { createNamer } from './naming.js'
import type { Reading } from './reader.js'
import { type AddedReview, addReviews } from './reviews.js'
import type { Step } from './step.js'
import { capabilities } from './vocabulary.js'

export function planByRules(
  request: OrchestrateRequest,
  reading: Reading,
  defaults: SubtaskDefaults,
  assignment: Assignment,
): { subtasks: PlannedSubtask[]; diagnostics: string[] } {
  if (reading.steps.length === 0)
    return {
      subtasks: [fallback(request, reading, defaults, assignment)],
      diagnostics: ['no rule understood the request; it is planned as one subtask'],
    }
  const isReviewed = !reading.leftOut.has(capabilities.review)
  const reviews = isReviewed ? addReviews(reading.steps) : []
  const placed = placeReviews(reading.steps, reviews)
  const nameFor = createNamer()
  const names = new Map<Step, string>()
  const reviewed = new Map(reviews.map(review => [review.step, review.reviews]))
  for (const step of placed) {
    const of = reviewed.get(step)
    names.set(
      step,
      of
        ? nameFor(
            of
              .map(each => names.get(each) ?? '')
              .slice(0, 1)
              .join(),
            'review',
          )
        : nameFor(step.stems.size === 0 ? `${step.title} ${request.title}` : step.title),
    )
  }
  const nameOf = (step: Step): string => names.get(step) ?? ''
  const subtasks = placed.map(step => ({
    name: nameOf(step),
    title: step.title,
    ...assign(step.capability === null ? {} : { capability: step.capability }, assignment),
    requires: [],
    input: JSON.stringify(inputOf(request, step, reviewed.get(step)?.map(nameOf) ?? reviewedBy(step).map(nameOf))),
    dependsOn: [...step.after].sort((a, b) => a.index - b.index).map(nameOf),
    requiresApproval: step.requiresApproval,
    slaMs: defaults.slaMs,
    ...unsetTimes,
    onFailure: defaults.onFailure,
    maxAttempts: defaults.maxAttempts,
    isolation: null,
  }))
  const diagnostics = isReviewed ? [] : ['no review is planned, because the request says so']
  return { subtasks, diagnostics }
}

/** Each added review stands right after the last step that it reviews. */
function placeReviews(steps: readonly Step[], reviews: readonly AddedReview[]): Step[] {
  const following = new Map<Step, Step[]>()
  for (const { reviews: of, step } of reviews) {
    const last = of.reduce((a, b) => (a.index > b.index ? a : b))
    following.set(last, [...(following.get(last) ?? []), step])
  }
  return steps.flatMap(step => [step, ...(following.get(step) ?? [])])
}

/** A review of the request itself reviews the development that it waits for. */
function reviewedBy(step: Step): Step[] {
  return step.capability === capabilities.review ? [...step.after].filter(earlier => earlier.capability === capabilities.development) : []
}

function inputOf(request: OrchestrateRequest, step: Step, reviews: readonly string[]): Record<string, unknown> {
  const words = {
    brief: step.title,
    task: request.title,
    ...(step.constraints.length > 0 && { constraints: step.constraints }),
    ...(step.acceptance.length > 0 && { acceptance_criteria: step.acceptance }),
  }
  return {
    ...(withoutReferences(words) as typeof words), // of the same shape
    ...(reviews.length > 0 && { reviews, outputs: Object.fromEntries(reviews.slice(0, 20).map(name => [name, `{{${name}.outputs}}`])) }),
  }
}

function fallback(request: OrchestrateRequest, reading: Reading, defaults: SubtaskDefaults, assignment: Assignment): PlannedSubtask {
  const title = titleOf(request.title)
  const input = {
    brief: request.description === undefined ? title : `${title}\n\n${request.description}`,
    ...(reading.constraints.length > 0 && { constraints: reading.constraints }),
    ...(reading.acceptanceCriteria.length > 0 && { acceptance_criteria: reading.acceptanceCriteria }),
  }
  return {
    name: createNamer()(title),
    title,
    ...assign({}, assignment),
    requires: [],
    input: JSON.stringify(withoutReferences(input)),
    dependsOn: [],
    requiresApproval: false,
    slaMs: defaults.slaMs,
    ...unsetTimes,
    onFailure: defaults.onFailure,
    maxAttempts: defaults.maxAttempts,
    isolation: null,
  }
}
