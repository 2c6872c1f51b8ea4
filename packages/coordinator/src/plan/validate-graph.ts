/**
 * Says everything that is wrong with a graph of subtasks, whoever made it: a producer's request, a playbook, a model, an
 * agent that spawns. Pure; it returns problems and throws nothing.
 *
 * G1 names are unique, in the graph and against what it is added to
 * G2 every dependency exists, none is the subtask itself, none stands twice
 * G3 there is no cycle
 * G4 an output that an input refers to belongs to a (transitive) dependency, so it exists when the subtask starts
 *
 * There is no limit of depth: nothing here or later recurses along the graph, and a chain of 100,000 steps is work like
 * any other. The count is limited (100,000).
 */
import { type FieldIssue, findReferences, maxSubtasks, namePattern, type Plan, plainValue } from '@baton/shared'
import { orderGraph } from './cycles.js'
import { dependsOn, type Question } from './reachability.js'

/** A node as far as the graph is concerned; `SubtaskRequest` fits. */
export interface GraphNode {
  readonly name: string
  readonly capability?: string | undefined
  readonly agent?: string | undefined
  readonly requires?: readonly string[] | undefined
  readonly depends_on?: readonly string[] | undefined
  readonly input?: unknown
}

export interface ValidateOptions {
  /**
   * Names of the graph that these nodes are added to: they are taken, and may be depended on. For spawned subtasks,
   * leave out those that wait for the spawner.
   */
  readonly existing?: ReadonlySet<string>
  /** Where the nodes stand in the request, for the paths of problems; default `subtasks`. */
  readonly path?: string
}

/** More problems than this are counted, not listed. */
const maxIssues = 1_000
/** A longer cycle is shown by its ends. */
const shownOfCycle = 8

/** All problems of a graph; empty when it is valid. */
export function validateGraph(nodes: readonly GraphNode[], options: ValidateOptions = {}): FieldIssue[] {
  const path = options.path ?? 'subtasks'
  if (nodes.length > maxSubtasks) return [{ path, issue: `must hold at most ${maxSubtasks} subtasks, and holds ${nodes.length}` }]
  const issues = new IssueList(path)
  const positions = indexNames(nodes, options.existing, issues)
  for (const [n, node] of nodes.entries()) checkNames(node, n, issues)
  const { dependencies, names } = resolveDependencies(nodes, positions, options.existing, issues)
  const { order, cycles } = orderGraph(dependencies)
  for (const cycle of cycles)
    issues.add(
      cycle[0] ?? 0,
      'depends_on',
      `is part of a cycle: ${cyclePath(cycle.map(n => names[n] ?? ''))}; remove one of these dependencies`,
    )
  if (cycles.length === 0) checkReferences(nodes, positions, options.existing, dependencies, order, issues)
  return issues.list()
}

/** All problems of a plan; the same checks, on the planner's own form. */
export function validatePlan(plan: Pick<Plan, 'subtasks'>, options: ValidateOptions = {}): FieldIssue[] {
  const nodes = plan.subtasks.map(subtask => ({
    name: subtask.name,
    capability: subtask.capability,
    agent: subtask.agent ?? undefined,
    requires: subtask.requires,
    depends_on: subtask.dependsOn,
    input: subtask.input?.includes('{{') ? JSON.parse(subtask.input) : undefined,
  }))
  return validateGraph(nodes, options)
}

function indexNames(nodes: readonly GraphNode[], existing: ReadonlySet<string> | undefined, issues: IssueList): Map<string, number> {
  const positions = new Map<string, number>()
  nodes.forEach(({ name }, n) => {
    const first = positions.get(name)
    if (first !== undefined)
      issues.add(n, 'name', `${quoted(name)} is also the name of ${issues.path}[${first}]; names are unique within a task`) // G1
    else if (existing?.has(name)) issues.add(n, 'name', `${quoted(name)} is already the name of a subtask of this task; choose another`)
    else positions.set(name, n)
  })
  return positions
}

function checkNames(node: GraphNode, n: number, issues: IssueList): void {
  const allowed = 'must be 1 to 64 lower-case letters, digits, `_`, `.` or `-`, beginning with a letter or digit'
  for (const field of ['capability', 'agent'] as const) {
    const value = node[field]
    if (value !== undefined && !namePattern.test(value)) issues.add(n, field, allowed)
  }
  node.requires?.forEach((tag, r) => {
    if (!namePattern.test(tag)) issues.add(n, `requires[${r}]`, allowed)
  })
}

/** Dependencies as positions; existing subtasks that are depended on become nodes without dependencies at the end. */
function resolveDependencies(
  nodes: readonly GraphNode[],
  positions: Map<string, number>,
  existing: ReadonlySet<string> | undefined,
  issues: IssueList,
) {
  const names = nodes.map(node => node.name)
  const dependencies: number[][] = []
  const outside: number[][] = []
  for (const [n, node] of nodes.entries()) {
    const own: number[] = []
    const seen = new Set<string>()
    for (const [d, name] of node.depends_on?.entries() ?? []) {
      const problem = (issue: string) => issues.add(n, `depends_on[${d}]`, issue)
      if (seen.has(name)) {
        problem(`${quoted(name)} stands twice; name each dependency once`) // G2
        continue
      }
      seen.add(name)
      if (name === node.name) {
        problem(`${quoted(name)} cannot depend on itself`)
        continue
      }
      let position = positions.get(name)
      if (position === undefined) {
        if (!existing?.has(name)) {
          problem(`there is no subtask ${quoted(name)}${nearest(name, positions)}`)
          continue
        }
        position = nodes.length + outside.length
        positions.set(name, position)
        names.push(name)
        outside.push([])
      }
      own.push(position)
    }
    dependencies.push(own)
  }
  return { dependencies: [...dependencies, ...outside], names }
}

function checkReferences(
  nodes: readonly GraphNode[],
  positions: ReadonlyMap<string, number>,
  existing: ReadonlySet<string> | undefined,
  dependencies: readonly (readonly number[])[],
  order: readonly number[],
  issues: IssueList,
): void {
  const questions: (Question & { readonly source: string; readonly name: string })[] = []
  nodes.forEach((node, n) => {
    if (node.input === undefined) return
    for (const reference of findReferences(plainValue(node.input))) {
      if (reference.kind === 'task') continue
      const { subtask: name, source } = reference
      const target = positions.get(name)
      if (target !== undefined) questions.push({ node: n, target, source, name })
      else if (existing?.has(name))
        issues.add(n, 'input', `{{${source}}}: add ${quoted(name)} to depends_on, so that its outputs exist when this subtask starts`)
      else issues.add(n, 'input', `{{${source}}}: there is no subtask ${quoted(name)}${nearest(name, positions)}`)
    }
  })
  const answers = dependsOn(questions, dependencies, order)
  questions.forEach(({ node, target, source, name }, q) => {
    if (answers[q]) return
    const issue =
      node === target
        ? 'a subtask cannot refer to its own outputs'
        : `add ${quoted(name)} to depends_on, so that its outputs exist when this subtask starts`
    issues.add(node, 'input', `{{${source}}}: ${issue}`) // G4
  })
}

function cyclePath(names: readonly string[]): string {
  const closed = [...names, names[0] ?? '']
  if (closed.length <= shownOfCycle + 1) return closed.join(' → ')
  const half = shownOfCycle / 2
  return [...closed.slice(0, half), `… ${names.length - shownOfCycle + 1} more …`, ...closed.slice(-half)].join(' → ')
}

const quoted = (name: string): string => JSON.stringify(name.length > 128 ? `${name.slice(0, 128)}…` : name)

/** The likeliest slip: another case, or `_` for `-`. */
function nearest(name: string, positions: ReadonlyMap<string, number>): string {
  if (positions.size > 1_000) return ''
  const folded = fold(name)
  for (const candidate of positions.keys()) if (fold(candidate) === folded) return `; did you mean ${quoted(candidate)}?`
  return ''
}

const fold = (name: string): string => name.toLowerCase().replace(/[_.-]/g, '')

class IssueList {
  readonly path: string
  private readonly issues: FieldIssue[] = []
  private left = 0

  constructor(path: string) {
    this.path = path
  }

  add(n: number, field: string, issue: string): void {
    if (this.issues.length < maxIssues) this.issues.push({ path: `${this.path}[${n}].${field}`, issue })
    else this.left++
  }

  list(): FieldIssue[] {
    return this.left === 0 ? this.issues : [...this.issues, { path: this.path, issue: `${this.left} more problems are not listed` }]
  }
}
