/** The input that an agent gets: as it was sent, with its references replaced by what the dependencies made. */
import { BatonError, findReferences, lookupIn, resolveTemplates } from '@baton/shared'
import type { AgentContext } from './agent.js'
import type { Run } from './context.js'

/** Throws `input_invalid` when the input refers to something that is not there. */
export async function resolveInput(run: Pick<Run, 'grant' | 'port'>, context: Pick<AgentContext, 'dependencies'>): Promise<unknown> {
  const { grant } = run
  // A subtask without an input gets an empty one: agents need not tell the two apart.
  if (grant.input_chars === null) return {}
  const input = JSON.parse(grant.input ?? (await run.port.text({ kind: 'input' }))) as unknown
  const references = findReferences(input)
  if (references.length === 0) return input
  const outputs = new Map<string, unknown>()
  for (const name of new Set(references.flatMap(r => (r.kind === 'output' ? [r.subtask] : [])))) {
    const dependency = await context.dependencies.get(name)
    if (dependency.state === 'completed') outputs.set(name, await dependency.output())
  }
  const shared = grant.context === null ? {} : (JSON.parse(grant.context) as unknown)
  const resolved = resolveTemplates(
    input,
    lookupIn({ task: { task_id: grant.task_id, title: grant.task_title, context: shared }, outputs }),
  )
  if (!resolved.ok) throw new BatonError('input_invalid', resolved.failure.message)
  return resolved.value
}
