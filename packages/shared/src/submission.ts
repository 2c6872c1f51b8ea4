/** What a producer sends: `POST /orchestrate` and its parts. The single source of validation, types and OpenAPI. */
import { z } from 'zod'
import { secondsSchema } from './durations.js'
import { plainValue, RawJson } from './json.js'
import { nameSchema, taskIdSchema } from './names.js'

export const maxSubtasks = 100_000
export const maxMetadataBytes = 64 * 1024
export const maxMetadataDepth = 8

export const priorities = ['critical', 'high', 'medium', 'low'] as const
export type Priority = (typeof priorities)[number]

export const onFailurePolicies = ['review', 'fail', 'skip', 'continue'] as const
export type OnFailure = (typeof onFailurePolicies)[number]

export const executionModes = ['auto', 'manual'] as const
export type ExecutionMode = (typeof executionModes)[number]

/** Where an agent's code runs, from the weakest to the strongest: in the worker's event loop, a thread, a process of its own. */
export const isolations = ['inline', 'thread', 'process'] as const
export type Isolation = (typeof isolations)[number]

/** Any JSON value; over HTTP it arrives as `RawJson` and is stored as it was sent. */
export const jsonValueSchema = z.unknown().meta({ description: 'Any JSON value; stored byte for byte.' })

/** An object of the caller's own making: at most 64 KiB and 8 levels. */
export const metadataSchema = z
  .custom<RawJson | Record<string, unknown>>()
  .superRefine((value, context) => {
    const problem = metadataProblem(value)
    if (problem) context.addIssue({ code: 'custom', message: problem })
  })
  .meta({ type: 'object', description: 'An object of your own; at most 64 KiB and 8 levels; stored byte for byte.' })

function metadataProblem(value: RawJson | Record<string, unknown>): string | undefined {
  const plain = plainValue(value)
  if (!isPlainObject(plain)) return 'must be an object'
  const text = value instanceof RawJson ? value.text : JSON.stringify(value)
  if (new TextEncoder().encode(text).length > maxMetadataBytes) return 'must be at most 64 KiB' // and is not walked
  return depthOf(plain) > maxMetadataDepth ? `must not nest deeper than ${maxMetadataDepth}` : undefined
}

const text = (max: number) => z.string().min(1, 'must not be empty').max(max, `must be at most ${max} characters`)

/** The name of a subtask within its task; dependencies and templates refer to it. */
export const subtaskNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/, 'must be 1 to 128 letters, digits, `_`, `.` or `-`, beginning with a letter or digit')

/** The pause between attempts: exponential from the first to the longest, half of it random. */
const backoffSchema = z
  .strictObject({ initial_seconds: secondsSchema.optional(), max_seconds: secondsSchema.optional() })
  .refine(b => b.initial_seconds === undefined || b.max_seconds === undefined || b.initial_seconds <= b.max_seconds, {
    path: ['initial_seconds'],
    message: 'must not be more than max_seconds',
  })

export const subtaskRequestSchema = z
  .strictObject({
    name: subtaskNameSchema,
    title: text(500).optional(),
    capability: nameSchema.optional(),
    agent: nameSchema.optional(),
    requires: z.array(nameSchema).max(32).optional(),
    input: jsonValueSchema.optional(),
    depends_on: z.array(subtaskNameSchema).max(maxSubtasks).optional(),
    requires_approval: z.boolean().optional(),
    sla_seconds: secondsSchema.optional().meta({ description: 'How long one attempt may take.' }),
    queue_wait_seconds: secondsSchema
      .optional()
      .meta({ description: 'How long it may wait for a worker from when it is ready; default 1 hour.' }),
    lease_seconds: secondsSchema
      .optional()
      .meta({ description: 'How long its worker may be silent before the attempt counts as lost; at least two heartbeats.' }),
    deadline_seconds: secondsSchema
      .optional()
      .meta({ description: 'How long it may take from when it is first ready to its end, attempts, backoffs and all; default 24 hours.' }),
    backoff: backoffSchema.optional(),
    on_failure: z.enum(onFailurePolicies).optional(),
    max_attempts: z.int().min(1).max(100).optional(),
    isolation: z.enum(isolations).optional(),
  })
  .superRefine((subtask, context) => {
    const { deadline_seconds: whole } = subtask
    if (whole === undefined || !(whole > 0)) return // told of already
    for (const key of ['sla_seconds', 'queue_wait_seconds', 'lease_seconds'] as const)
      if ((subtask[key] ?? 0) > whole)
        context.addIssue({ code: 'custom', path: [key], message: `must not be more than deadline_seconds (${whole})` })
  })
export type SubtaskRequest = z.infer<typeof subtaskRequestSchema>

export const orchestrateRequestSchema = z
  .strictObject({
    task_id: taskIdSchema,
    title: text(500),
    description: text(100_000).optional(),
    priority: z.enum(priorities).optional(),
    metadata: metadataSchema.optional(),
    context: metadataSchema.optional(),
    orchestrator_id: nameSchema.optional(),
    callback_url: z
      .url({ protocol: /^https?$/ })
      .max(2_000)
      .optional(),
    subtasks: z
      .array(subtaskRequestSchema)
      .min(1, 'must hold at least one subtask')
      .max(maxSubtasks, `must hold at most ${maxSubtasks} subtasks`)
      .optional(),
    execute: z.boolean().optional(),
  })
  .refine(request => request.description !== undefined || request.subtasks !== undefined, {
    path: ['description'],
    message: 'is required unless `subtasks` is given',
    when: ({ value }) => isPlainObject(value), // also beside other problems: all are said at once
  })
export type OrchestrateRequest = z.infer<typeof orchestrateRequestSchema>

/** What a subtask needs, to ask who would get it. */
export const matchRequestSchema = z
  .strictObject({
    capability: nameSchema.optional(),
    agent: nameSchema.optional().meta({ description: 'The agent that it is pinned to.' }),
    requires: z.array(nameSchema).max(32).optional(),
    sla_seconds: secondsSchema.optional(),
  })
  .refine(request => request.capability !== undefined || request.agent !== undefined, {
    path: ['capability'],
    message: 'is required unless `agent` is given',
    when: ({ value }) => isPlainObject(value),
  })
export type MatchRequest = z.infer<typeof matchRequestSchema>

export const executeRequestSchema = z.strictObject({
  execution_mode: z
    .enum(executionModes)
    .optional()
    .meta({ description: '`manual`: every subtask that could start waits for its release; `auto` ends that, also of a task that runs.' }),
  checkpoints: z.array(subtaskNameSchema).max(maxSubtasks).optional(),
})
export type ExecuteRequest = z.infer<typeof executeRequestSchema>

/** Keys whose values are kept byte for byte when a request is parsed. */
export const rawRequestKeys: ReadonlySet<string> = new Set(['input', 'metadata', 'context'])

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function depthOf(value: unknown): number {
  if (value === null || typeof value !== 'object') return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}
