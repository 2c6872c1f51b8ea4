/** `{{task.title}}` and the like in an input: what is known before anything runs is put in before anything runs. */
import { findReferences, lookupIn, resolveTemplates, type TemplateSources } from '@baton/shared'

export type ResolvedInput =
  | {
      readonly ok: true
      /** As it was given, byte for byte, where nothing of the task is referred to. */
      readonly input: string
      /** Names of the subtasks whose outputs it refers to. */
      readonly references: readonly string[]
    }
  | { readonly ok: false; readonly issue: string }

/** `input` is JSON text. */
export function resolveTaskReferences(input: string, task: NonNullable<TemplateSources['task']>): ResolvedInput {
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
