/** Which model plans, of what the configuration and the environment say together; the configuration comes first. */
import { BatonError, type PlannerModelConfig, parseDuration } from '@baton/shared'
import { type ModelEnvironment, namedVariable } from '@baton/shared/node'
import type { DraftLimits } from '../plan/model/guardrails.js'
import type { ModelSettings } from './chat.js'

export interface MindSettings {
  readonly chat: ModelSettings
  readonly timeoutMs: number
  readonly concurrency: number
  readonly limits: DraftLimits
}

const defaultTimeoutMs = 20_000
export const defaultDraftLimits: DraftLimits = { subtasks: 50, depth: 20, width: 25 }

/** Undefined: no model is configured. Throws `invalid_configuration` where a part is missing. */
export function mindSettings(config: PlannerModelConfig | undefined, environment: ModelEnvironment = {}): MindSettings | undefined {
  const baseUrl = config?.base_url ?? environment.baseUrl
  const model = config?.model ?? environment.model
  if (baseUrl === undefined || model === undefined) return undefined
  const apiKey = config?.api_key ?? keyNamed(config?.api_key_env) ?? environment.apiKey
  return {
    chat: {
      baseUrl,
      model,
      maxOutputTokens: config?.max_output_tokens ?? 8_192,
      structuredOutput: config?.structured_output ?? true,
      ...(apiKey !== undefined && { apiKey }),
      ...(config?.temperature !== undefined && { temperature: config.temperature }),
    },
    timeoutMs: (config?.timeout === undefined ? undefined : parseDuration(config.timeout)) ?? defaultTimeoutMs,
    concurrency: config?.concurrency ?? 4,
    limits: { ...defaultDraftLimits, ...given(config?.limits) },
  }
}

/** Without what is not said. */
function given(limits: Partial<Record<keyof DraftLimits, number | undefined>> = {}): Partial<DraftLimits> {
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
}

function keyNamed(name: string | undefined): string | undefined {
  if (name === undefined) return undefined
  const key = namedVariable(name)
  if (key !== undefined) return key
  throw new BatonError('invalid_configuration', `planner.model.api_key_env names ${name}, which is not set`, {
    fields: [{ path: 'planner.model.api_key_env', issue: `the environment variable ${name} is not set` }],
  })
}
