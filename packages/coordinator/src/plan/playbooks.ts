/**
 * Playbooks: graphs prepared for a kind of request. Owns which one applies and how it becomes subtasks.
 *
 * B1 every condition that a playbook names must hold: one of `any`, all of `all`, each value of `metadata`
 * B2 the user's playbooks come before the shipped ones, however specific those are
 * B3 among the user's, the most specific wins: more metadata conditions, then more words in `all`, then the longer
 *    matched phrase of `any`; between equals, the one that stands first
 * B4 `task.*` in an input is resolved at planning; outputs of other subtasks stay, for the worker
 */
import {
  BatonError,
  type FieldIssue,
  jsonText,
  type Lookup,
  lookupIn,
  type OrchestrateRequest,
  type PlannedSubtask,
  type Playbook,
  parseDuration,
  plainValue,
  resolveTemplates,
  unsetTimes,
  withoutReferences,
} from '@baton/shared'
import type { SubtaskDefaults } from './explicit.js'
import { validateGraph } from './validate-graph.js'

/** Chooses among playbooks. Throws `invalid_configuration` when one of them is not a valid graph. */
export function createPlaybookShelf(
  own: readonly Playbook[],
  shipped: readonly Playbook[],
): (request: OrchestrateRequest) => Playbook | undefined {
  const fields = own.flatMap((playbook, p) => validateGraph(playbook.subtasks, { path: `playbooks[${p}].subtasks` }))
  if (fields.length > 0)
    throw new BatonError('invalid_configuration', `the playbooks have ${fields.length === 1 ? 'a problem' : `${fields.length} problems`}`, {
      fields,
    })
  return request => mostSpecific(own, request) ?? mostSpecific(shipped, request) // B2
}

function mostSpecific(playbooks: readonly Playbook[], request: OrchestrateRequest): Playbook | undefined {
  const metadata = plainValue(request.metadata ?? {}) as Record<string, unknown> // an object by its schema
  const words = asWords(`${request.title} \n ${request.description ?? ''}`)
  let best: { playbook: Playbook; rank: readonly number[] } | undefined
  for (const playbook of playbooks) {
    const rank = specificity(playbook.match, metadata, words)
    if (rank && (!best || isHigher(rank, best.rank))) best = { playbook, rank } // B3
  }
  return best?.playbook
}

/** How closely a match fits, or undefined when it does not. */
function specificity(match: Playbook['match'], metadata: Record<string, unknown>, words: string): readonly number[] | undefined {
  const wanted = Object.entries(match.metadata ?? {})
  if (!wanted.every(([key, value]) => Object.hasOwn(metadata, key) && metadata[key] === value)) return undefined
  const all = match.all ?? []
  if (!all.every(phrase => words.includes(asWords(phrase)))) return undefined
  const any = (match.any ?? []).map(asWords).filter(phrase => words.includes(phrase))
  if (match.any && match.any.length > 0 && any.length === 0) return undefined // B1
  return [wanted.length, all.length, Math.max(0, ...any.map(phrase => phrase.length))]
}

function isHigher(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, n) => value !== b[n])
  return at !== -1 && (a[at] ?? 0) > (b[at] ?? 0)
}

/** Lower-case words with one space around each, so that `includes` finds whole words and phrases. */
function asWords(text: string): string {
  return ` ${
    text
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu)
      ?.join(' ') ?? ''
  } `
}

/** The subtasks of a playbook for one request, and what the request lacks for it. */
export function planByPlaybook(
  playbook: Playbook,
  request: OrchestrateRequest,
  defaults: SubtaskDefaults,
): { subtasks: PlannedSubtask[]; issues: FieldIssue[] } {
  const lookup = taskLookup(request)
  const issues: FieldIssue[] = []
  const subtasks = playbook.subtasks.map(subtask => {
    const input =
      subtask.input === undefined
        ? { brief: subtask.title ?? '{{task.title}}', task: '{{task.title}}', description: '{{task.description}}' }
        : plainValue(subtask.input)
    const resolved = resolveTemplates(input, lookup(issues))
    return {
      name: subtask.name,
      title: subtask.title ?? null,
      capability: subtask.capability,
      agent: null,
      requires: subtask.requires ?? [],
      input: jsonText(resolved.ok ? resolved.value : input),
      dependsOn: subtask.depends_on ?? [],
      requiresApproval: subtask.requires_approval ?? false,
      slaMs: (subtask.sla === undefined ? undefined : parseDuration(subtask.sla)) ?? defaults.slaMs,
      ...unsetTimes,
      onFailure: subtask.on_failure ?? defaults.onFailure,
      maxAttempts: subtask.max_attempts ?? defaults.maxAttempts,
      isolation: null,
    }
  })
  const once = issues.filter(({ path }, n) => issues.findIndex(issue => issue.path === path) === n)
  return { subtasks, issues: once.map(({ path, issue }) => ({ path, issue: `${issue}; the playbook "${playbook.name}" needs it` })) }
}

/** Resolves the task's own fields and notes what is missing; a description is optional, so its absence is empty text. */
function taskLookup(request: OrchestrateRequest): (issues: FieldIssue[]) => Lookup {
  const task = {
    task_id: request.task_id,
    title: request.title,
    description: request.description ?? '',
    metadata: request.metadata ?? {},
    context: request.context ?? {},
  }
  const lookup = lookupIn({ task })
  return issues => reference => {
    if (reference.kind === 'output') return { kind: 'later' } // B4
    const found = lookup(reference)
    if (found.kind === 'missing') issues.push({ path: [reference.field, ...reference.path].join('.'), issue: found.issue })
    return found.kind === 'value' ? { kind: 'value', value: withoutReferences(found.value) } : found
  }
}
