/**
 * What a worker and an isolated child say to each other, by structured clone. The child runs code of others, so each of
 * its words is checked here; the worker's word is trusted. Errors travel as failures, what agents
 * return as JSON text.
 */
import {
  artifactNameSchema,
  type Failure,
  failureSchema,
  type Grant,
  maxArtifactBytes,
  maxStreamChunkBytes,
  noteAskSchema,
  subtaskRequestSchema,
} from '@baton/shared'
import { z } from 'zod'
import type { AgentSource } from '../agent.js'
import { maxProgressBytes } from '../context.js'

export type ToChild =
  /** The first word. `as`: the agent's name in this worker. */
  | { readonly type: 'load'; readonly source: AgentSource; readonly as: string }
  | { readonly type: 'run'; readonly run: number; readonly grant: Grant; readonly deadlineMs: number }
  | { readonly type: 'abort'; readonly run: number; readonly reason: Failure }
  /** How a call ended. */
  | { readonly type: 'answer'; readonly call: number; readonly value: unknown }
  | { readonly type: 'refusal'; readonly call: number; readonly failure: Failure }
  | { readonly type: 'end' }

const run = z.number().int()

/** What a child asks its worker for, on behalf of a running attempt. */
const askSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('text'),
    what: z.discriminatedUnion('kind', [z.object({ kind: z.literal('input') }), z.object({ kind: z.literal('output'), name: z.string() })]),
  }),
  z.object({ kind: z.literal('artifact'), name: z.string(), artifact: z.string() }),
  z.object({ kind: z.literal('dependencies'), after: z.number().int() }),
  z.object({ kind: z.literal('stream'), chunk: z.string().max(maxStreamChunkBytes) }),
  z.object({ kind: z.literal('note'), note: noteAskSchema }),
  z.object({ kind: z.literal('put'), name: artifactNameSchema, mediaType: z.string().max(200), data: z.instanceof(Uint8Array) }),
])
export type Ask = z.infer<typeof askSchema>

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

export const fromChildSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  z.object({ type: z.literal('unloadable'), failure: failureSchema }),
  /** An error that nobody caught; the child's last word. */
  z.object({ type: z.literal('crashed'), failure: failureSchema }),
  z.object({ type: z.literal('returned'), run, output: z.string().max(maxArtifactBytes) }),
  z.object({ type: z.literal('failed'), run, failure: failureSchema }),
  z.object({ type: z.literal('progress'), run, text: z.string().max(maxProgressBytes) }),
  z.object({ type: z.literal('spawn'), run, subtask: subtaskRequestSchema }),
  z.object({
    type: z.literal('log'),
    run,
    level: z.enum(logLevels),
    fields: z.record(z.string(), z.unknown()),
    message: z.string().optional(),
  }),
  z.object({ type: z.literal('call'), run, call: z.number().int(), ask: askSchema }),
])
export type FromChild = z.infer<typeof fromChildSchema>
