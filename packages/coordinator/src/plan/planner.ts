/**
 * Turns a request into a plan: the graph of its subtasks, and what was understood beside it. Pure: no I/O, and no clock
 * but the `now` it is given.
 *
 * P1 explicit `subtasks` win; else a playbook that matches; else the rules
 * P2 words are read also where they do not make the graph: a request with subtasks and a description, or a playbook, still
 *    yields objectives, constraints, criteria, dates; a bare title over subtasks is only a name
 * P3 a request with problems is refused with all of them at once
 * P4 the SLA of a subtask is its own, else the task's (`metadata.sla`, "within 2 hours"), else the default
 */
import {
  BatonError,
  type FieldIssue,
  type OnFailure,
  type OrchestrateRequest,
  type Plan,
  type PlannedSubtask,
  type Playbook,
  type VerbRule,
} from '@baton/shared'
import { findingsOfPlan } from './coverage.js'
import { type Assignment, planExplicitly, type SubtaskDefaults } from './explicit.js'
import { createPlaybookShelf, planByPlaybook } from './playbooks.js'
import { createReader, type Reading } from './rules/reader.js'
import { planByRules } from './rules/steps-to-subtasks.js'
import { shippedPlaybooks } from './shipped-playbooks.js'
import { validateGraph } from './validate-graph.js'

export interface PlannerOptions {
  /** The user's playbooks; they come before the shipped ones. */
  readonly playbooks?: readonly Playbook[]
  /** Whether the shipped playbooks are there; default true. */
  readonly shippedPlaybooks?: boolean
  /** The user's verbs; they come before the built-in ones. */
  readonly rules?: readonly VerbRule[]
  /** The capability of words that no rule understands; default `general`. */
  readonly fallbackCapability?: string
  /** What applies where neither a subtask nor the request says anything. */
  readonly defaults?: { readonly slaMs?: number; readonly maxAttempts?: number; readonly onFailure?: OnFailure }
}

export interface PlanOptions {
  /** The agent of subtasks that have neither a capability nor an agent. */
  readonly defaultAgent?: string
}

export interface Planner {
  /** Throws `invalid_request` with `fields` when the request has problems. */
  plan(request: OrchestrateRequest, now: Date, options?: PlanOptions): Plan
}

/**
 * Makes a planner. Throws `invalid_configuration` when a playbook is not a valid graph.
 *
 * ```ts
 * const planner = createPlanner({ fallbackCapability: 'general' })
 * const plan = planner.plan({ task_id: 'feature-1', title: 'Export', description: 'Add PDF export, then deploy it.' }, new Date())
 * // feature-dev, then code-review, then cicd
 * ```
 */
export function createPlanner(options: PlannerOptions = {}): Planner {
  const choosePlaybook = createPlaybookShelf(options.playbooks ?? [], options.shippedPlaybooks === false ? [] : shippedPlaybooks)
  const fallbackCapability = options.fallbackCapability ?? 'general'
  const read = createReader(options.rules ?? [])
  const { slaMs = null, maxAttempts = null, onFailure = 'review' } = options.defaults ?? {}

  return {
    plan(request, now, { defaultAgent } = {}) {
      const reading = read(request, now)
      const defaults = { slaMs: reading.slaMs ?? slaMs, maxAttempts, onFailure } // P4
      const made = makeSubtasks(request, reading, defaults, { defaultAgent, fallbackCapability })
      const fields = [...reading.issues, ...made.issues]
      if (fields.length > 0) throw new BatonError('invalid_request', describe(fields), { fields }) // P3
      const { objectives, constraints, acceptanceCriteria, dueDate } = reading // P2
      // Who gives the subtasks has said what each is for.
      const findings = made.madeBy === 'explicit' ? [] : findingsOfPlan(made.subtasks, acceptanceCriteria)
      const diagnostics = [...made.diagnostics, ...findings, ...reading.diagnostics]
      return {
        objectives,
        constraints,
        acceptanceCriteria,
        slaMs: reading.slaMs,
        dueDate,
        madeBy: made.madeBy,
        subtasks: made.subtasks,
        diagnostics,
      }
    },
  }

  // P1
  function makeSubtasks(request: OrchestrateRequest, reading: Reading, defaults: SubtaskDefaults, assignment: Assignment): Made {
    if (request.subtasks) {
      const issues = validateGraph(request.subtasks)
      return { madeBy: 'explicit', subtasks: planExplicitly(request.subtasks, defaults, assignment), issues, diagnostics: [] }
    }
    const playbook = choosePlaybook(request)
    if (playbook)
      return {
        madeBy: 'playbook',
        ...planByPlaybook(playbook, request, defaults),
        diagnostics: [`planned by the playbook "${playbook.name}"`],
      }
    return { madeBy: 'rules', ...planByRules(request, reading, defaults, assignment), issues: [] }
  }
}

interface Made {
  readonly madeBy: Plan['madeBy']
  readonly subtasks: PlannedSubtask[]
  readonly issues: FieldIssue[]
  readonly diagnostics: readonly string[]
}

function describe(fields: readonly FieldIssue[]): string {
  const [first] = fields
  return fields.length === 1 && first
    ? `${first.path}: ${first.issue}`
    : `the request has ${fields.length} problems; each is named in fields`
}
