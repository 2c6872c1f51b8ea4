/**
 * Reads a submission: its shape by the shared schema, its graph by the planner's own check, all problems at once.
 *
 * Subtasks are checked one by one, and no further once enough is wrong: a body of 32 MiB can hold millions of mistakes,
 * and must still get its answer within two seconds (I14).
 */
import { type FieldIssue, maxSubtasks, type OrchestrateRequest, orchestrateRequestSchema, subtaskRequestSchema } from '@baton/shared'
import { type GraphNode, validateGraph } from '../plan/validate-graph.js'
import { type Checked, check, maxListedIssues } from './validate.js'

export function checkOrchestrateRequest(value: unknown): Checked<OrchestrateRequest> {
  const subtasks = isObject(value) ? value.subtasks : undefined
  if (!Array.isArray(subtasks) || subtasks.length === 0) return check(orchestrateRequestSchema, value)
  const head = checkHead(value, [exampleSubtask])
  const issues = issuesOf(head)
  if (subtasks.length > maxSubtasks)
    return refuse([
      ...issues,
      { path: 'subtasks', issue: `must hold at most ${maxSubtasks} subtasks, and holds ${subtasks.length}; split the task` },
    ])
  const checked: OrchestrateRequest['subtasks'] = []
  for (const [n, subtask] of subtasks.entries()) {
    if (issues.length >= maxListedIssues) return refuse(issues)
    const result = checkSubtask(subtask, `subtasks[${n}]`)
    if (result.ok) checked.push(result.value)
    else for (const issue of result.issues) issues.push(issue) // may be more than a call takes arguments
  }
  issues.push(...validateGraph(subtasks.map(toNode)))
  return head.ok && issues.length === 0 ? { ok: true, value: { ...head.value, subtasks: checked } } : refuse(issues)
}

/** Stands for the subtasks while everything around them is checked. */
const exampleSubtask = { name: 'example' }

function checkHead(value: unknown, subtasks: unknown[]): Checked<OrchestrateRequest> {
  return check(orchestrateRequestSchema, { ...(value as object), subtasks }) // the caller has found a list in it
}

function checkSubtask(subtask: unknown, path: string): Checked<NonNullable<OrchestrateRequest['subtasks']>[number]> {
  const endless = isObject(subtask) ? Object.entries(subtask).filter(([, v]) => Array.isArray(v) && v.length > maxSubtasks) : []
  if (endless.length > 0)
    return refuse(endless.map(([key]) => ({ path: `${path}.${key}`, issue: `must hold at most ${maxSubtasks} items` })))
  return check(subtaskRequestSchema, subtask, path)
}

/** What of a subtask can be looked at as a node, also when other parts of it are wrong. */
function toNode(subtask: unknown, n: number): GraphNode {
  if (!isObject(subtask) || typeof subtask.name !== 'string') return { name: `\u0000${n}` } // no name that a dependency could have
  const { name, depends_on: dependencies, input } = subtask
  return { name, depends_on: isStrings(dependencies) ? dependencies : undefined, input }
}

const refuse = (issues: FieldIssue[]): { ok: false; issues: FieldIssue[] } => ({ ok: false, issues })
const issuesOf = (result: Checked<unknown>): FieldIssue[] => (result.ok ? [] : [...result.issues])

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}
