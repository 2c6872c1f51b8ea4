/**
 * The configuration file (`baton.config.ts|js|json`): agents without code, playbooks, planner settings. Only its shape;
 * finding and loading the file is the command line's business.
 */
import { z } from 'zod'
import { durationSchema, parseDuration } from './durations.js'
import { nameSchema } from './names.js'
import { isNetwork } from './networks.js'
import { isolations, jsonValueSchema, maxSubtasks, onFailurePolicies, subtaskNameSchema } from './submission.js'

const environmentSchema = z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not a variable name'), z.string())

const agentBase = {
  name: nameSchema,
  description: z.string().max(2_000).optional(),
  domain: z.string().max(128).optional(),
  /** Default: the agent's name. */
  capabilities: z.array(nameSchema).min(1).max(64).optional(),
  skills: z.array(z.string().max(128)).max(128).optional(),
  /** How many attempts at once in one worker; default 1. */
  concurrency: z.int().min(1).max(10_000).optional(),
  /** How long one attempt may take. */
  sla: durationSchema.optional(),
  /** How long a subtask that only this agent can take may wait for it. */
  queue_wait: durationSchema.optional(),
  /** How long a subtask of this agent's may take altogether. */
  deadline: durationSchema.optional(),
  /** How long a worker may be silent before this agent's attempts count as lost. */
  lease: durationSchema.optional(),
}

export const commandAgentSchema = z.strictObject({
  ...agentBase,
  kind: z.literal('command'),
  /** Program and arguments; no shell is involved. Input is JSON on stdin, output is JSON or text on stdout. */
  command: z.array(z.string()).min(1, 'must name a program'),
  env: environmentSchema.optional(),
  cwd: z.string().optional(),
  /** Whether each line of stderr is streamed to whoever follows the task. */
  stream: z.boolean().optional(),
})

export const httpAgentSchema = z.strictObject({
  ...agentBase,
  kind: z.literal('http'),
  /** Receives `POST` with `{input, task_id, subtask_id, attempt}`; answers with the output as JSON or text. */
  url: z.url({ protocol: /^https?$/ }),
  headers: z.record(z.string(), z.string()).optional(),
})

export const moduleAgentSchema = z.strictObject({
  ...agentBase,
  kind: z.literal('module'),
  /** A module that exports an agent made by `defineAgent`: as its default, or in a list under this name; relative to the configuration file. */
  module: z.string().min(1),
  /** Where it runs: in the worker's own event loop (`inline`), in a thread, or in a process of its own; default: what the module says. */
  isolation: z.enum(isolations).optional(),
})

export const agentConfigSchema = z.discriminatedUnion('kind', [commandAgentSchema, httpAgentSchema, moduleAgentSchema])
export type AgentConfig = z.infer<typeof agentConfigSchema>

export const playbookSchema = z.strictObject({
  name: nameSchema,
  description: z.string().max(2_000).optional(),
  /** When it applies: words of title or description (`any`, `all`), and values of metadata. All that are given must hold. */
  match: z
    .strictObject({
      any: z.array(z.string().min(1)).optional(),
      all: z.array(z.string().min(1)).optional(),
      metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
    })
    .refine(
      match => (match.any?.length ?? 0) + (match.all?.length ?? 0) + Object.keys(match.metadata ?? {}).length > 0,
      'must name at least one of `any`, `all`, `metadata`',
    ),
  subtasks: z
    .array(
      z.strictObject({
        name: subtaskNameSchema,
        title: z.string().max(500).optional(),
        capability: nameSchema,
        requires: z.array(nameSchema).optional(),
        depends_on: z.array(subtaskNameSchema).optional(),
        input: jsonValueSchema.optional(),
        sla: durationSchema.optional(),
        requires_approval: z.boolean().optional(),
        on_failure: z.enum(onFailurePolicies).optional(),
        max_attempts: z.int().min(1).max(100).optional(),
      }),
    )
    .min(1),
})
export type Playbook = z.infer<typeof playbookSchema>

/** A rule of the user's own: these verbs mean this capability. */
export const verbRuleSchema = z.strictObject({ verbs: z.array(z.string().min(1)).min(1), capability: nameSchema })
export type VerbRule = z.infer<typeof verbRuleSchema>

/** What has just ended may still be reported on. */
const shortestRetentionMs = 60_000
/** A model that plans what comes in words, at a server that speaks OpenAI's protocol. */
export const plannerModelSchema = z
  .strictObject({
    /** Where the server is, up to and with its version: `http://127.0.0.1:11434/v1`. */
    base_url: z.url({ protocol: /^https?$/ }),
    model: z.string().min(1).max(200),
    /** The environment variable that holds the key. */
    api_key_env: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not a variable name')
      .optional(),
    /** The key itself; better in the environment. */
    api_key: z.string().min(1).optional(),
    /** How long a submission waits for a plan, corrections and all; default 20s. */
    timeout: durationSchema.optional(),
    /** How many plans are asked for at once; default 4. */
    concurrency: z.int().min(1).max(1_000).optional(),
    /** How long an answer may be; default 8192. */
    max_output_tokens: z.int().min(256).max(1_000_000).optional(),
    /** Left to the server where it is not given. */
    temperature: z.number().min(0).max(2).optional(),
    /** `false` for a server that takes no JSON Schema for its answer; default true. */
    structured_output: z.boolean().optional(),
    /** What a plan of the model's may hold. */
    limits: z
      .strictObject({
        /** Subtasks in all; default 50. */
        subtasks: z.int().min(1).max(1_000).optional(),
        /** Subtasks that follow one another; default 20. */
        depth: z.int().min(1).max(1_000).optional(),
        /** Subtasks beside each other; default 25. */
        width: z.int().min(1).max(1_000).optional(),
      })
      .optional(),
  })
  .refine(model => model.api_key === undefined || model.api_key_env === undefined, 'must name one of `api_key` and `api_key_env`')
export type PlannerModelConfig = z.infer<typeof plannerModelSchema>

export const configSchema = z.strictObject({
  $schema: z.string().optional(),
  agents: z.array(agentConfigSchema).optional(),
  playbooks: z.array(playbookSchema).optional(),
  rules: z.array(verbRuleSchema).optional(),
  planner: z
    .strictObject({
      /** `false` leaves out the playbooks that Baton ships; default true. */
      shipped_playbooks: z.boolean().optional(),
      /** The capability of words that no rule understands; default `general`. */
      fallback_capability: nameSchema.optional(),
      model: plannerModelSchema.optional(),
    })
    .optional(),
  defaults: z
    .strictObject({
      /** How long one attempt may take where nothing else says; default 1h. */
      sla: durationSchema.optional(),
      /** How long a subtask may wait for a worker from when it is ready; default 1h. */
      queue_wait: durationSchema.optional(),
      /** How long a subtask may take from when it is first ready to its end; default 24h. */
      deadline: durationSchema.optional(),
      /** The pause between attempts, exponential from the first to the longest; default 1s to 1m. */
      backoff: z.strictObject({ initial: durationSchema.optional(), max: durationSchema.optional() }).optional(),
      max_attempts: z.int().min(1).max(100).optional(),
      on_failure: z.enum(onFailurePolicies).optional(),
    })
    .optional(),
  /** What agents that spawn may make of a task. */
  limits: z
    .strictObject({
      /** Subtasks in all; default 100000. */
      subtasks: z.int().min(1).max(maxSubtasks).optional(),
      /** How many may spawn one another in a row; default 100. */
      spawn_depth: z.int().min(0).max(10_000).optional(),
    })
    .optional(),
  webhooks: z
    .strictObject({
      /** Networks that webhooks may reach though they are not public, such as `10.1.0.0/16`; `BATON_WEBHOOK_NETWORKS` wins. */
      allow_networks: z.array(z.string().refine(isNetwork, 'must be a network such as 10.1.0.0/16, or an address')).max(100).optional(),
    })
    .optional(),
  reviews: z
    .strictObject({
      /** Who gets a review that nobody was named for. */
      assignee: z.string().min(1).max(200).optional(),
      /** How long a review may stay open before it is alerted and escalated; default 24h. */
      due: durationSchema.optional(),
      /** Who gets it then, for as long again. */
      escalate_to: z.string().min(1).max(200).optional(),
    })
    .optional(),
  retention: z
    .strictObject({
      /** How long a task is kept after it ended; default 30d. `never`: nothing is deleted. */
      tasks: z
        .union([
          durationSchema.refine(text => (parseDuration(text) ?? 0) >= shortestRetentionMs, 'must be at least 1m'),
          z.literal('never'),
        ])
        .optional(),
    })
    .optional(),
})
export type BatonConfig = z.infer<typeof configSchema>

/** Types a configuration written in TypeScript. Returns its argument. */
export function defineConfig(config: BatonConfig): BatonConfig {
  return config
}
