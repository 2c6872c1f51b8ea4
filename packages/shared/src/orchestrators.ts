/** Orchestrators as people send them: named control contexts that own tasks. Their limits stand in their metadata. */
import { z } from 'zod'
import { maxDurationMs } from './durations.js'
import { plainValue } from './json.js'
import { nameSchema } from './names.js'
import { metadataSchema } from './submission.js'

/** `idle` is what a new one is; only a `running` one dispatches. */
export const orchestratorStatuses = ['idle', 'running', 'paused'] as const
export type OrchestratorStatus = (typeof orchestratorStatuses)[number]

/** Owns every task that names no other; always runs. */
export const defaultOrchestratorId = 'default'

interface LimitDefinition {
  readonly min: number
  readonly max: number
  readonly meaning: string
}

/** The keys of an orchestrator's metadata that Baton itself reads; whole numbers. Times are in milliseconds. */
export const orchestratorLimits = {
  maxConcurrentTasks: { min: 1, max: 1_000_000_000, meaning: 'Tasks that run at once; more wait.' },
  maxTasks: { min: 1, max: 1_000_000_000, meaning: 'Unfinished tasks; more are refused with 429.' },
  timeout: { min: 1, max: maxDurationMs, meaning: 'How long one attempt may take (the SLA) where the subtask does not say.' },
  retryAttempts: { min: 1, max: 100, meaning: 'Executions of a subtask in all, where it does not say.' },
  queueWait: { min: 1, max: maxDurationMs, meaning: 'How long a ready subtask may wait for a worker.' },
  deadline: { min: 1, max: maxDurationMs, meaning: 'How long a subtask may take as a whole.' },
  lease: { min: 200, max: 3_600_000, meaning: 'How long an attempt stays with a worker that is not heard.' },
} as const satisfies Record<string, LimitDefinition>
export type OrchestratorLimit = keyof typeof orchestratorLimits
export type OrchestratorLimits = Readonly<Record<OrchestratorLimit, number | null>>

const limitNames = Object.keys(orchestratorLimits) as OrchestratorLimit[]

/** The limits that metadata hold; null for those that they do not. */
export function limitsOf(metadata: Readonly<Record<string, unknown>>): OrchestratorLimits {
  const limits = limitNames.map(name => [name, typeof metadata[name] === 'number' ? metadata[name] : null])
  return Object.fromEntries(limits) as Record<OrchestratorLimit, number | null> // one entry for each name
}

const orchestratorMetadataSchema = metadataSchema
  .superRefine((value, context) => {
    const metadata = plainValue(value)
    if (metadata === null || typeof metadata !== 'object' || Array.isArray(metadata)) return // said already
    for (const name of limitNames) {
      const limit: unknown = Object.hasOwn(metadata, name) ? (metadata as Record<string, unknown>)[name] : null
      const { min, max } = orchestratorLimits[name]
      if (limit === null || (typeof limit === 'number' && Number.isInteger(limit) && limit >= min && limit <= max)) continue
      context.addIssue({ code: 'custom', path: [name], message: `must be a whole number from ${min} to ${max}, or null for no limit` })
    }
  })
  .meta({
    type: 'object',
    description: `An object of your own; at most 64 KiB and 8 levels. Of its keys Baton reads these: ${limitNames
      .map(name => `\`${name}\`: ${orchestratorLimits[name].meaning}`)
      .join(' ')}`,
  })

const shown = z.string().regex(/\S/, 'must not be empty').max(200, 'must be at most 200 characters')
const description = z.string().max(10_000, 'must be at most 10000 characters')
const agentId = nameSchema.nullable().meta({ description: 'The name of an agent; it need not be registered yet.' })

export const createOrchestratorRequestSchema = z.strictObject({
  id: nameSchema.optional().meta({ description: 'Default: a random one.' }),
  name: shown,
  description: description.optional(),
  agent_id: agentId.optional(),
  default_worker_agent_id: agentId.optional(),
  metadata: orchestratorMetadataSchema.optional(),
})
export type CreateOrchestratorRequest = z.infer<typeof createOrchestratorRequestSchema>

/** What is left out stays; `metadata` are merged key by key, and null deletes a key. */
export const updateOrchestratorRequestSchema = createOrchestratorRequestSchema.omit({ id: true }).partial()
export type UpdateOrchestratorRequest = z.infer<typeof updateOrchestratorRequestSchema>

export const orchestratorSettingsRequestSchema = updateOrchestratorRequestSchema.pick({ default_worker_agent_id: true, metadata: true })
export type OrchestratorSettingsRequest = z.infer<typeof orchestratorSettingsRequestSchema>

export const orchestratorStatusRequestSchema = z.strictObject({
  status: z.enum(orchestratorStatuses),
  reason: z.string().regex(/\S/, 'must not be empty').max(2_000, 'must be at most 2000 characters').optional(),
})
export type OrchestratorStatusRequest = z.infer<typeof orchestratorStatusRequestSchema>
