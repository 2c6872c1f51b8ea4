/** `{{task.title}}` and the like in an input: what is known before anything runs is put in before anything runs. */
import { BatonError, findReferences, lookupIn, type PlannedSubtask, resolveTemplates, type TemplateSources } from '@baton/shared'

export type ResolvedInput =
  | {
      readonly ok: true
      /** As it was given, byte for byte, where nothing of the task is referred to. */
      readonly input: string
      /** Names of the subtasks whose outputs it refers to. */
      readonly references: readonly string[]
    }
  | { readonly ok: false; readonly issue: string }

type TaskWords = NonNullable<TemplateSources['task']>

/** The subtask with the words of its task in its input. Throws `invalid_request`. */
export function withTaskReferences(subtask: PlannedSubtask, task: TaskWords): PlannedSubtask {
  if (subtask.input === null) return subtask
  const resolved = resolveTaskReferences(subtask.input, task)
  if (!resolved.ok)
    throw new BatonError('invalid_request', `subtask ${subtask.name}: ${resolved.issue}`, {
      fields: [{ path: `subtasks.${subtask.name}.input`, issue: resolved.issue }],
    })
  return { ...subtask, input: resolved.input }
}

/** `input` is JSON text. */
export function resolveTaskReferences(input: string, task: TaskWords): ResolvedInput {
  if (!input.includes('{{')) return { ok: true, input, references: [] }
  const value = JSON.parse(input) as unknown
  const found = findReferences(value)
  const references = [...new Set(found.flatMap(reference => (reference.kind === 'output' ? [reference.subtask] : [])))]
  if (!found.some(reference => reference.kind === 'task')) return { ok: true, input, references }
  const lookup = lookupIn({ task })
  const resolved = resolveTemplates(value, reference => (reference.kind === 'task' ? lookup(reference) : { kind: 'later' }))
  if (!resolved.ok) return { ok: false, issue: resolved.failure.message }
  return { ok: true, input: JSON.stringify(resolved.value), references }
}
