/** The contract between Baton and an agent: what an agent declares, and what it is given when it runs. */
import { isAbsolute } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ArtifactRef, Isolation, SubtaskRequest, SubtaskState } from '@baton/shared'
import { BatonError, type Failure, isolations, maxDurationMs, nameSchema, parseDuration } from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { StandardSchemaV1 } from './standard-schema.js'

/** A dependency of the running subtask, with what it made. */
export interface Dependency {
  readonly name: string
  readonly subtaskId: string
  /** `completed`, or `skipped` and `failed` where its `on_failure` let the task go on. */
  readonly state: SubtaskState
  readonly failure: Failure | null
  /** Names of its artifacts. */
  readonly artifacts: readonly string[]
  /** What it returned; null when it was skipped or failed. */
  output(): Promise<unknown>
  /** The bytes of one of its artifacts. Throws `artifact_not_found`. */
  artifact(name: string): Promise<Uint8Array>
}

export interface AgentContext {
  readonly taskId: string
  readonly taskTitle: string
  readonly subtaskId: string
  /** The subtask's name within its task. */
  readonly name: string
  /** Stable across attempts: hand it to whatever has to happen only once. */
  readonly idempotencyKey: string
  /** From 1; rises with every try, also with those that are not charged. */
  readonly attempt: number
  /** Aborted when the attempt was cancelled, replaced or has exceeded its SLA; the reason is a `BatonError`. */
  readonly signal: AbortSignal
  /** When the attempt has to be done: the end of its SLA, or the subtask's deadline where that comes first. */
  readonly deadline: Date
  readonly log: Logger
  /** The task's shared context. */
  readonly context: unknown
  /** What an earlier attempt saved with `progress()`; null on the first. */
  readonly savedProgress: unknown
  /** Saves where the work stands: shown to people, and handed to the next attempt should this one be lost. At most 16 KiB of JSON. */
  progress(value: unknown): void
  /**
   * Tells whoever follows the task what comes out meanwhile: text or other JSON, such as the words of a model as they are
   * made. Kept in order, told at least as long as the attempt lasts, and no part of the result. Resolves when there is room
   * for more; waiting for it is up to you until 1 MiB is under way. At most 64 KiB for one chunk and 16 MiB for an attempt.
   *
   * @example
   * for await (const word of words) await context.stream(word)
   */
  stream(chunk: unknown): Promise<void>
  /**
   * Ephemeral notes that the subtasks of one task leave for each other while they run: where a shared draft stands, what
   * was tried already. They run out, may be lost with Redis, and are no result: what has to last is an output or an artifact.
   *
   * @example
   * await context.notes.set('draft', { section: 3 }, { ttl: '2h' })
   * const draft = await context.notes.get('draft')
   */
  readonly notes: {
    /** At most 64 KiB of JSON, and 1,000 notes for a task. `ttl`: how long it is kept, at most 7d; default 24h. */
    set(name: string, value: unknown, options?: { ttl?: string }): Promise<void>
    /** Undefined: there is none, or it has run out. */
    get(name: string): Promise<unknown>
    delete(name: string): Promise<void>
    /** The names of those that are there, in alphabetical order. */
    list(): Promise<string[]>
  }
  readonly dependencies: {
    /** In the order of the plan. Pages of a long list are read as they are needed. */
    [Symbol.asyncIterator](): AsyncIterator<Dependency>
    /** The dependency of that name. Throws `subtask_not_found`. */
    get(name: string): Promise<Dependency>
  }
  readonly artifacts: {
    /** Stores a named output of up to 16 MiB beside the result. Text is stored as UTF-8. */
    put(name: string, data: string | Uint8Array, options?: { mediaType?: string }): Promise<ArtifactRef>
  }
  /**
   * Adds subtasks to the running task. They are stored together with this attempt's result, and whatever waits for this
   * subtask waits for them too. A failed attempt adds nothing.
   */
  spawn(subtask: SubtaskRequest): void
}

export interface AgentOptions<Input, Output> {
  /** 1 to 64 lower-case letters, digits, `_`, `.` or `-`. */
  readonly name: string
  readonly description?: string
  readonly domain?: string
  /** Default: the agent's name. */
  readonly capabilities?: readonly string[]
  readonly skills?: readonly string[]
  /** How many attempts at once in one worker; default 1. */
  readonly concurrency?: number
  /** How long one attempt may take, such as `10m`; default: what the subtask, its orchestrator or the default (1h) says. */
  readonly sla?: string
  /** How long a subtask may wait for a worker once it is ready, where only this agent can take it; default: 1h, or what the configuration says. */
  readonly queueWait?: string
  /** How long a subtask that this agent takes may take altogether, attempts and backoffs included; default: 24h, or what the configuration says. */
  readonly deadline?: string
  /** How long the worker may be silent before an attempt of this agent's counts as lost; at least two heartbeats. Default: the coordinator's. */
  readonly lease?: string
  /** A zod or other Standard Schema that the input is checked with. */
  readonly input?: StandardSchemaV1<unknown, Input>
  /** A zod or other Standard Schema that the output is checked with. */
  readonly output?: StandardSchemaV1<Output, unknown>
  /**
   * Where attempts run; default `inline`, the worker's own event loop. In a `thread`, a blocked event loop or an uncaught
   * error costs one attempt only; in a `process`, a crash of native code or too little memory too. Both need `module`.
   */
  readonly isolation?: Isolation
  /** The module that exports this agent: `import.meta.url`. Threads and processes load it again, so it should do nothing else. */
  readonly module?: string
  /** Under which name it is exported; default: whichever export is the agent of this name, or is a list that holds it. */
  readonly export?: string
  /** Does the work. What it returns has to be JSON; `undefined` becomes `null`. Throwing fails the attempt. */
  readonly run: (input: Input, context: AgentContext) => Promise<Output> | Output
}

/** Where a child finds an agent. */
export interface AgentSource {
  readonly file: string
  readonly export: string | null
  /** The agent's name in that module. */
  readonly name: string
}

/** An agent that is ready to be hosted. Made by `defineAgent`. */
export interface Agent {
  readonly name: string
  readonly kind: string
  readonly description: string
  readonly domain: string | null
  readonly capabilities: readonly string[]
  readonly skills: readonly string[]
  readonly concurrency: number
  readonly slaMs: number | null
  readonly queueWaitMs: number | null
  readonly deadlineMs: number | null
  readonly leaseMs: number | null
  readonly input: StandardSchemaV1 | null
  readonly output: StandardSchemaV1 | null
  readonly isolation: Isolation
  /** Null: a closure, which runs inline only. */
  readonly source: AgentSource | null
  readonly run: (input: unknown, context: AgentContext) => Promise<unknown>
}

/**
 * Declares an agent.
 *
 * @example
 * const review = defineAgent({
 *   name: 'code-review',
 *   input: z.object({ branch: z.string() }),
 *   async run({ branch }, context) {
 *     context.log.info({ branch }, 'reading the change')
 *     return { verdict: 'ok' }
 *   },
 * })
 *
 * Throws `invalid_configuration` when a name, capability, duration, number or place is not acceptable.
 */
// biome-ignore lint/suspicious/noExplicitAny: without a schema the input is whatever the caller's `run` takes it for
export function defineAgent<Input = any, Output = unknown>(options: AgentOptions<Input, Output>, kind = 'module'): Agent {
  const capabilities = options.capabilities ?? [options.name]
  for (const name of [options.name, ...capabilities])
    if (!nameSchema.safeParse(name).success)
      throw new BatonError(
        'invalid_configuration',
        `agent ${JSON.stringify(options.name)}: ${JSON.stringify(name)} is not a name; use 1 to 64 lower-case letters, digits, \`_\`, \`.\` or \`-\``,
      )
  const concurrency = options.concurrency ?? 1
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 10_000)
    throw new BatonError('invalid_configuration', `agent ${options.name}: concurrency must be a whole number from 1 to 10000`)
  const isolation = options.isolation ?? 'inline'
  if (!isolations.includes(isolation))
    throw new BatonError(
      'invalid_configuration',
      `agent ${options.name}: isolation must be one of ${isolations.join(', ')}, not ${JSON.stringify(isolation)}`,
    )
  return {
    name: options.name,
    kind,
    description: options.description ?? '',
    domain: options.domain ?? null,
    capabilities: [...new Set(capabilities)],
    skills: options.skills ?? [],
    concurrency,
    slaMs: durationOf(options, 'sla'),
    queueWaitMs: durationOf(options, 'queueWait'),
    deadlineMs: durationOf(options, 'deadline'),
    leaseMs: durationOf(options, 'lease'),
    input: options.input ?? null,
    output: options.output ?? null,
    isolation,
    source: sourceOf(options),
    // The schema, checked by the executor before `run`, is what makes an unknown input an `Input`.
    run: async (input, context) => options.run(input as Input, context),
  }
}

interface PlacedAgent {
  readonly name: string
  readonly module?: string
  readonly export?: string | null
}

function sourceOf({ name, module, export: exported = null }: PlacedAgent): AgentSource | null {
  if (module === undefined) return null
  if (module.startsWith('file:')) return { file: fileURLToPath(module), export: exported, name }
  // A relative path would be looked for where the worker was started.
  if (isAbsolute(module)) return { file: module, export: exported, name }
  throw new BatonError(
    'invalid_configuration',
    `agent ${name}: module must be \`import.meta.url\` or an absolute path, not ${JSON.stringify(module)}`,
  )
}

type Durations = 'sla' | 'queueWait' | 'deadline' | 'lease'

function durationOf(options: Pick<AgentOptions<never, unknown>, 'name' | Durations>, key: Durations): number | null {
  const text = options[key]
  if (text === undefined) return null
  const ms = parseDuration(text)
  if (ms === undefined || ms <= 0 || ms > maxDurationMs)
    throw new BatonError(
      'invalid_configuration',
      `agent ${options.name}: ${key} ${JSON.stringify(text)} is not a duration such as \`90s\` or \`10m\`, at most a year`,
    )
  return ms
}
