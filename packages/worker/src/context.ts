/**
 * What an agent is given, made of a grant and a port to its claim. The worker and an isolated child build it alike; only
 * the port differs. What an agent hands over wrongly is refused here, where it calls.
 */
import {
  type ArtifactRef,
  artifactNameSchema,
  BatonError,
  type Grant,
  jsonProblem,
  maxSpawnedPerReport,
  maxStreamChunkBytes,
  maxStreamedBytes,
  type SubtaskRequest,
  subtaskRequestSchema,
} from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { AgentContext } from './agent.js'
import { createDependencies, type DependencyReader } from './dependencies.js'
import { createNotes, type NotePort } from './notes.js'

export interface ArtifactToStore {
  readonly name: string
  readonly mediaType: string
  readonly data: Uint8Array
}

/** Leads to the claim of a running attempt. */
export interface ClaimPort extends DependencyReader, NotePort {
  /** JSON text of at most `maxProgressBytes`. */
  saveProgress(text: string): void
  spawn(subtask: SubtaskRequest): void
  /** A chunk as JSON text. Resolves when there is room for more; never rejects. */
  stream(chunk: string): Promise<void>
  putArtifact(artifact: ArtifactToStore): Promise<ArtifactRef>
}

/** One run of an agent. Some of it may be made when it is asked for: take from it only what is needed. */
export interface Run {
  readonly grant: Grant
  readonly port: ClaimPort
  readonly signal: AbortSignal
  readonly deadline: Date
  readonly log: Logger
}

export const maxProgressBytes = 16_384
/** Chunks that wait although nobody waits for them. */
const maxUnderWayBytes = 1024 * 1024

/** Under a symbol, so that who wraps a context (`Object.create`, `Proxy`) reaches it, and not enumerable: a copy has no part of it. */
const inside = Symbol('inside')

interface Inside {
  readonly run: Run
  spawned: number
  // Made for whoever asks for it: most agents never do.
  stream?: AgentContext['stream']
  notes?: AgentContext['notes']
  dependencies?: AgentContext['dependencies']
  artifacts?: AgentContext['artifacts']
}

class Context implements AgentContext {
  readonly taskId: string
  readonly taskTitle: string
  readonly subtaskId: string
  readonly name: string
  readonly idempotencyKey: string
  readonly attempt: number
  readonly context: unknown
  readonly savedProgress: unknown
  declare readonly [inside]: Inside

  constructor(run: Run) {
    const { grant } = run
    Object.defineProperty(this, inside, { value: { run, spawned: 0 } satisfies Inside })
    this.taskId = grant.task_id
    this.taskTitle = grant.task_title
    this.subtaskId = grant.subtask_id
    this.name = grant.name
    this.idempotencyKey = grant.uuid
    this.attempt = grant.attempt
    this.context = grant.context === null ? {} : (JSON.parse(grant.context) as unknown)
    this.savedProgress = grant.progress === null ? null : (JSON.parse(grant.progress) as unknown)
  }

  get signal(): AbortSignal {
    return this[inside].run.signal
  }

  get deadline(): Date {
    return this[inside].run.deadline
  }

  get log(): Logger {
    return this[inside].run.log
  }

  get stream(): AgentContext['stream'] {
    this[inside].stream ??= streamTo(this[inside].run.port)
    return this[inside].stream
  }

  get notes(): AgentContext['notes'] {
    this[inside].notes ??= createNotes(this[inside].run.port)
    return this[inside].notes
  }

  get dependencies(): AgentContext['dependencies'] {
    this[inside].dependencies ??= createDependencies(this[inside].run.grant, this[inside].run.port)
    return this[inside].dependencies
  }

  get artifacts(): AgentContext['artifacts'] {
    this[inside].artifacts ??= artifactsOf(this[inside].run.port)
    return this[inside].artifacts
  }

  readonly progress = (value: unknown): void => {
    const problem = jsonProblem(value, 8)
    const text = problem ? '' : (JSON.stringify(value) ?? 'null')
    if (problem) throw new BatonError('result_invalid', `progress ${problem}`)
    if (Buffer.byteLength(text) > maxProgressBytes)
      throw new BatonError('result_too_large', `progress may have at most ${maxProgressBytes} bytes of JSON; store more as an artifact`)
    this[inside].run.port.saveProgress(text)
  }

  readonly spawn = (subtask: SubtaskRequest): void => {
    const parsed = subtaskRequestSchema.safeParse(subtask)
    if (!parsed.success)
      throw new BatonError(
        'spawn_invalid',
        `the spawned subtask is not acceptable: ${parsed.error.issues.map(i => `${i.path.join('.')} ${i.message}`).join('; ')}`,
      )
    if (this[inside].spawned >= maxSpawnedPerReport)
      throw new BatonError('spawn_invalid', `an attempt may spawn at most ${maxSpawnedPerReport} subtasks`)
    this[inside].spawned++
    this[inside].run.port.spawn(parsed.data)
  }
}

/**
 * Getters of a context's own, so that a copy (`{ ...context, log }`) has what they give. All contexts share these functions:
 * a literal with getters makes new ones each time, and V8 a hidden class for them, which lives until the next full
 * collection, with all that the getters reach.
 */
const getters = (['signal', 'deadline', 'log', 'stream', 'notes', 'dependencies', 'artifacts'] as const).map(
  name => [name, { ...Object.getOwnPropertyDescriptor(Context.prototype, name), enumerable: true }] as const,
)

export function createContext(run: Run): AgentContext {
  const context = new Context(run)
  for (const [name, getter] of getters) Object.defineProperty(context, name, getter)
  return context
}

const artifactsOf = (port: ClaimPort): AgentContext['artifacts'] => ({
  put: async (name, data, options) => {
    if (!artifactNameSchema.safeParse(name).success)
      throw new BatonError(
        'result_invalid',
        `${JSON.stringify(name)} is not a name for an artifact; use letters, digits, \`_\`, \`.\`, \`-\`, \`/\` and spaces, at most 200`,
      )
    const mediaType = options?.mediaType ?? (typeof data === 'string' ? 'text/plain; charset=utf-8' : 'application/octet-stream')
    return port.putArtifact({ name, mediaType, data: typeof data === 'string' ? Buffer.from(data) : data })
  },
})

/** What is wrong with a chunk is thrown at once, so that who does not wait learns it too; what follows is nobody's fault. */
function streamTo(port: ClaimPort): AgentContext['stream'] {
  let streamed = 0
  let underWay = 0
  return chunk => {
    const problem = jsonProblem(chunk, 8)
    if (problem) throw new BatonError('result_invalid', `the chunk ${problem}`)
    const text = JSON.stringify(chunk) ?? 'null'
    const bytes = Buffer.byteLength(text)
    if (bytes > maxStreamChunkBytes)
      throw new BatonError(
        'result_too_large',
        `a chunk may have at most ${maxStreamChunkBytes} bytes of JSON; stream smaller ones, or store an artifact`,
      )
    if (streamed + bytes > maxStreamedBytes)
      throw new BatonError('result_too_large', `an attempt may stream at most ${maxStreamedBytes} bytes; store the rest as an artifact`)
    if (underWay + bytes > maxUnderWayBytes)
      throw new BatonError('result_too_large', `more than ${maxUnderWayBytes} bytes are streamed and not sent yet; await \`stream\``)
    streamed += bytes
    underWay += bytes
    return port.stream(text).then(() => {
      underWay -= bytes
    })
  }
}
