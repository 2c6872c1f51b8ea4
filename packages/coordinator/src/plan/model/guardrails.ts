/**
 * What a draft has to keep, whatever the model was told by the words that it read:
 *
 * M1 capabilities are known ones; dependencies exist and make no cycle
 * M2 at most so many subtasks, levels, and subtasks on one level; every text is bounded
 * M3 no addresses, no credentials
 * M4 every subtask says when it is done, and serves criteria that exist
 * M5 where the request asks for an approval, the plan has one
 */
import type { FieldIssue } from '@baton/shared'
import { orderGraph } from '../cycles.js'
import { validateGraph } from '../validate-graph.js'
import type { Draft, DraftSubtask } from './draft.js'
import { forbiddenIn } from './forbidden-text.js'

export interface DraftLimits {
  readonly subtasks: number
  /** How many subtasks may follow one another. */
  readonly depth: number
  /** How many may stand beside each other. */
  readonly width: number
}

export interface DraftRules {
  readonly capabilities: ReadonlySet<string>
  readonly limits: DraftLimits
  /** Ids of criteria that the request itself states. */
  readonly givenCriteria: ReadonlySet<string>
  /** Whether the request asks for an approval. */
  readonly gated: boolean
  /** Names that are taken, and may be depended on, when a plan is changed. */
  readonly existing?: ReadonlySet<string>
}

const longest = { text: 2_000, list: 100, id: 32 } as const
const maxIssues = 20

/** All that is wrong with a draft, up to a bound; empty when it may be used. */
export function checkDraft(draft: Draft, rules: DraftRules): FieldIssue[] {
  const { subtasks } = draft
  const { limits } = rules
  // M2, before anything looks at each of a million.
  if (subtasks.length === 0) return [{ path: 'subtasks', issue: 'must hold at least one subtask' }]
  if (subtasks.length > limits.subtasks)
    return [
      { path: 'subtasks', issue: `must hold at most ${limits.subtasks} subtasks, and holds ${subtasks.length}; plan in larger steps` },
    ]
  const issues: FieldIssue[] = [...checkTexts(draft), ...checkSubtasks(draft, rules), ...checkGraph(subtasks, rules)]
  if (rules.gated && !subtasks.some(s => s.requires_approval))
    issues.push({ path: 'subtasks', issue: 'the task asks for an approval; set requires_approval where it is needed' }) // M5
  return issues.slice(0, maxIssues)
}

function checkTexts({ objectives, constraints, acceptance_criteria: criteria, subtasks }: Draft): FieldIssue[] {
  const issues: FieldIssue[] = []
  const check = (path: string, text: string): void => {
    if (text.length > longest.text) issues.push({ path, issue: `must be at most ${longest.text} characters` })
    else if (!text.isWellFormed()) issues.push({ path, issue: 'is not text' })
    const problem = forbiddenIn(text.slice(0, longest.text)) // M3
    if (problem) issues.push({ path, issue: problem })
  }
  const checkList = (path: string, list: readonly string[]): void => {
    if (list.length > longest.list) issues.push({ path, issue: `must hold at most ${longest.list} entries` })
    else for (const [n, text] of list.entries()) check(`${path}[${n}]`, text)
  }
  checkList('objectives', objectives)
  checkList('constraints', constraints)
  checkList(
    'acceptance_criteria',
    criteria.map(({ text }) => text),
  )
  for (const [n, subtask] of subtasks.entries()) {
    check(`subtasks[${n}].title`, subtask.title)
    check(`subtasks[${n}].purpose`, subtask.purpose)
    check(`subtasks[${n}].done_when`, subtask.done_when)
    checkList(`subtasks[${n}].prerequisites`, subtask.prerequisites)
  }
  return issues
}

function checkSubtasks({ acceptance_criteria: criteria, subtasks }: Draft, { capabilities, givenCriteria }: DraftRules): FieldIssue[] {
  const issues: FieldIssue[] = []
  const ids = new Set(givenCriteria)
  for (const [n, { id }] of criteria.entries()) {
    if (id.length === 0 || id.length > longest.id)
      issues.push({ path: `acceptance_criteria[${n}].id`, issue: `must be 1 to ${longest.id} characters` })
    ids.add(id)
  }
  for (const [n, subtask] of subtasks.entries()) {
    const problem = (field: string, issue: string) => issues.push({ path: `subtasks[${n}].${field}`, issue })
    if (!/^[a-z0-9][a-z0-9_.-]{0,63}$/.test(subtask.name))
      problem('name', 'must be 1 to 64 lower-case letters, digits, `_`, `.` or `-`, beginning with a letter or digit')
    if (!capabilities.has(subtask.capability)) problem('capability', 'is not one of the capabilities that were given') // M1
    if (!/\S/.test(subtask.purpose)) problem('purpose', 'must not be empty')
    if (!/\S/.test(subtask.done_when)) problem('done_when', 'must say when the subtask is done') // M4
    for (const id of subtask.serves)
      if (!ids.has(id)) problem('serves', `there is no acceptance criterion ${JSON.stringify(id.slice(0, longest.id))}`)
  }
  return issues
}

function checkGraph(subtasks: readonly DraftSubtask[], { limits, existing }: DraftRules): FieldIssue[] {
  const nodes = subtasks.map(({ name, depends_on }) => ({ name, depends_on })) // capabilities are told of already
  const issues = validateGraph(nodes, existing ? { existing } : {})
  if (issues.length > 0) return issues
  const levels = levelsOf(subtasks)
  if (levels.length > limits.depth)
    issues.push({ path: 'subtasks', issue: `at most ${limits.depth} may follow one another, and ${levels.length} do` })
  const widest = Math.max(...levels)
  if (widest > limits.width)
    issues.push({
      path: 'subtasks',
      issue: `at most ${limits.width} may stand beside each other, and ${widest} do; put some one after the other`,
    })
  return issues
}

/** How many subtasks of a valid graph stand on each level, counted from what depends on nothing. */
function levelsOf(subtasks: readonly DraftSubtask[]): number[] {
  const positions = new Map(subtasks.map(({ name }, n) => [name, n]))
  const dependencies = subtasks.map(({ depends_on }) => depends_on.flatMap(name => positions.get(name) ?? []))
  const level: number[] = []
  const counts: number[] = []
  for (const n of orderGraph(dependencies).order) {
    const own = 1 + Math.max(-1, ...(dependencies[n] ?? []).map(d => level[d] ?? 0))
    level[n] = own
    counts[own] = (counts[own] ?? 0) + 1
  }
  return counts
}
