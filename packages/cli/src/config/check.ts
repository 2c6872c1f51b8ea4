/** What is wrong with a configuration, in words that name the place and the remedy. All mistakes at once. */
import { type BatonConfig, BatonError, configSchema, type FieldIssue } from '@baton/shared'
import { zodIssues } from './zod-issues.js'

/** The configuration, or `invalid_configuration` whose fields are the mistakes. `name` is the file's. */
export function checkConfig(value: unknown, name: string): BatonConfig {
  const parsed = configSchema.safeParse(value)
  const mistakes = parsed.success ? connectionMistakes(parsed.data) : zodIssues(parsed.error, value)
  if (parsed.success && mistakes.length === 0) return parsed.data
  const [first] = mistakes
  const only =
    first && mistakes.length === 1
      ? `${name}: ${first.path ? `${first.path} ` : ''}${first.issue}`
      : `${name} has ${mistakes.length} mistakes:`
  throw new BatonError('invalid_configuration', only, { fields: mistakes })
}

/** Mistakes that only show when parts are seen together. */
function connectionMistakes(config: BatonConfig): FieldIssue[] {
  const { agents = [], playbooks = [] } = config
  return [
    ...duplicates(agents, 'agents', 'agent names must be unique'),
    ...duplicates(playbooks, 'playbooks', 'playbook names must be unique'),
    ...playbooks.flatMap((playbook, i) => playbookMistakes(playbook.subtasks, `playbooks[${i}].subtasks`)),
  ]
}

function duplicates(items: readonly { name: string }[], path: string, rule: string): FieldIssue[] {
  const first = new Map<string, number>()
  return items.flatMap(({ name }, i) => {
    const earlier = first.get(name)
    if (earlier === undefined) first.set(name, i)
    return earlier === undefined
      ? []
      : [{ path: `${path}[${i}].name`, issue: `${JSON.stringify(name)} is taken by ${path}[${earlier}]; ${rule}` }]
  })
}

interface Step {
  readonly name: string
  readonly depends_on?: readonly string[] | undefined
}

function playbookMistakes(steps: readonly Step[], path: string): FieldIssue[] {
  const names = new Set(steps.map(step => step.name))
  const mistakes = duplicates(steps, path, 'subtask names must be unique within a playbook')
  steps.forEach((step, i) => {
    step.depends_on?.forEach((dependency, n) => {
      const at = `${path}[${i}].depends_on[${n}]`
      if (dependency === step.name) mistakes.push({ path: at, issue: `names the subtask itself; remove it` })
      else if (!names.has(dependency))
        mistakes.push({
          path: at,
          issue: `names ${JSON.stringify(dependency)}, which is no subtask of this playbook; there are ${[...names].join(', ')}`,
        })
    })
  })
  const cycle = mistakes.length === 0 ? cycleOf(steps) : undefined
  if (cycle) mistakes.push({ path, issue: `wait for each other in a circle (${cycle.join(' → ')}); remove one of these dependencies` })
  return mistakes
}

/** Names along one cycle, the first one repeated at the end. */
function cycleOf(steps: readonly Step[]): string[] | undefined {
  const waitsFor = new Map(steps.map(step => [step.name, [...(step.depends_on ?? [])]]))
  // What waits for nothing is taken away until nothing changes; what is left stands on, or behind, a cycle.
  for (let removed = true; removed; ) {
    removed = false
    for (const [name, dependencies] of waitsFor) {
      if (dependencies.some(dependency => waitsFor.has(dependency))) continue
      waitsFor.delete(name)
      removed = true
    }
  }
  const trail: string[] = []
  for (let name = waitsFor.keys().next().value; name !== undefined; name = waitsFor.get(name)?.find(d => waitsFor.has(d))) {
    if (trail.includes(name)) return [...trail.slice(trail.indexOf(name)), name]
    trail.push(name)
  }
  return undefined
}
