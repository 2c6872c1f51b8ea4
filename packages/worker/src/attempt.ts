/**
 * One attempt, from its grant to its report: builds the agent's context, checks input and output, keeps its time limit,
 * and turns whatever happens into an outcome. It never throws.
 */
import {
  type ArtifactRef,
  artifactNameSchema,
  BatonError,
  failure,
  type Grant,
  jsonProblem,
  maxArtifactBytes,
  maxInlineBytes,
  maxSpawnedPerReport,
  type Outcome,
  outputChunkName,
  type SubtaskRequest,
  spawnChunkName,
  subtaskRequestSchema,
  toFailure,
} from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { Agent, AgentContext } from './agent.js'
import { ClaimReader, createDependencies } from './dependencies.js'
import { resolveInput } from './input.js'
import { checkWith } from './standard-schema.js'
import type { Uplink } from './uplink.js'
import { upload } from './upload.js'

interface AttemptOptions {
  readonly agent: Agent
  readonly grant: Grant
  /** The subtask's internal id. */
  readonly subtask: string
  readonly claimId: string
  readonly workerId: string
  readonly uplink: Uplink
  readonly log: Logger
}

const maxProgressBytes = 16_384

export class Attempt {
  readonly subtask: string
  readonly claimId: string
  readonly agentName: string
  private readonly options: AttemptOptions
  private readonly controller = new AbortController()
  private readonly log: Logger
  private readonly artifacts = new Map<string, ArtifactRef>()
  private readonly spawned: SubtaskRequest[] = []
  private unsentProgress: string | undefined
  private released = false

  constructor(options: AttemptOptions) {
    this.options = options
    this.subtask = options.subtask
    this.claimId = options.claimId
    this.agentName = options.agent.name
    const { grant, agent } = options
    this.log = options.log.child({ task_id: grant.task_id, subtask_id: grant.subtask_id, attempt: grant.attempt, agent: agent.name })
  }

  /** Tells the agent to stop; the reason becomes its signal's. */
  abort(reason: BatonError): void {
    this.controller.abort(reason)
  }

  /** Gives the attempt back, uncharged: the worker drains and cannot wait longer. */
  release(): void {
    this.released = true
    this.abort(new BatonError('worker_draining', 'the worker is drained'))
  }

  /** The progress since the last call, as JSON text; kept for the next call when it takes more than `room` bytes. */
  takeProgress(room = Number.POSITIVE_INFINITY): string | undefined {
    const progress = this.unsentProgress
    if (progress === undefined || Buffer.byteLength(JSON.stringify(progress)) > room) return undefined
    this.unsentProgress = undefined
    return progress
  }

  /**
   * Runs the agent. `outcome` is there as soon as the attempt is decided; `settled` when the agent's function has really
   * ended, which an agent that ignores its signal may put off.
   */
  start(): { outcome: Promise<Outcome>; settled: Promise<void> } {
    const { grant } = this.options
    const { signal } = this.controller
    // Released before it began: the agent is left out of it.
    if (signal.aborted) return { outcome: Promise.resolve(this.failed(signal.reason)), settled: Promise.resolve() }
    const timer = setTimeout(
      () => this.abort(new BatonError('attempt_timed_out', `the attempt exceeded its SLA of ${grant.sla_ms} ms`)),
      Math.min(grant.sla_ms, 2 ** 31 - 1),
    )
    const work = this.run()
    const aborted = new Promise<Outcome>(resolve => {
      signal.addEventListener('abort', () => resolve(this.failed(signal.reason)), { once: true })
    })
    const outcome = Promise.race([work, aborted]).finally(() => clearTimeout(timer))
    return { outcome, settled: work.then(() => undefined) }
  }

  private async run(): Promise<Outcome> {
    const { agent, grant, uplink, workerId } = this.options
    const signal = this.controller.signal
    const reader = new ClaimReader({ uplink, workerId, subtask: this.subtask, claimId: this.claimId, signal })
    try {
      const context = this.context(reader)
      let input = await resolveInput(grant, reader, context.dependencies)
      if (agent.input) {
        const checked = await checkWith(agent.input, input)
        if (!checked.ok) throw new BatonError('input_invalid', `the input does not fit agent ${agent.name}: ${checked.problems.join('; ')}`)
        input = checked.value
      }
      let value = await agent.run(input, context)
      if (agent.output) {
        const checked = await checkWith(agent.output, value)
        if (!checked.ok)
          throw new BatonError(
            'output_invalid',
            `what agent ${agent.name} returned does not fit its schema: ${checked.problems.join('; ')}`,
          )
        value = checked.value
      }
      return await this.completed(value)
    } catch (error) {
      return this.failed(signal.aborted ? signal.reason : error)
    }
  }

  private async completed(value: unknown): Promise<Outcome> {
    const problem = jsonProblem(value)
    if (problem) throw new BatonError('result_invalid', `the result ${problem}`)
    const output = JSON.stringify(value) ?? 'null'
    const bytes = Buffer.byteLength(output)
    if (bytes > maxArtifactBytes)
      throw new BatonError(
        'result_too_large',
        `the result has ${bytes} bytes; at most ${maxArtifactBytes} can be stored. Store it as artifacts, or elsewhere, and return references`,
      )
    const inline = bytes <= maxInlineBytes
    if (!inline) await this.upload(outputChunkName, Buffer.from(output))
    const spawn = JSON.stringify(this.spawned)
    const spawnInline = Buffer.byteLength(spawn) <= maxInlineBytes / 2
    if (!spawnInline) await this.upload(spawnChunkName, Buffer.from(spawn))
    return {
      kind: 'completed',
      output: inline ? output : null,
      ...(this.artifacts.size > 0 && { artifacts: [...this.artifacts.values()] }),
      ...(this.spawned.length > 0 && (spawnInline ? { spawn: this.spawned } : { spawn_chunked: true })),
    }
  }

  private failed(thrown: unknown): Outcome {
    const progress = this.unsentProgress
    const saved = progress === undefined ? {} : { progress }
    if (this.released) return { kind: 'released', failure: failure('worker_draining', 'the worker was drained'), ...saved }
    return { kind: 'failed', failure: toFailure(thrown), ...saved }
  }

  private context(reader: ClaimReader): AgentContext {
    const { grant } = this.options
    return {
      taskId: grant.task_id,
      taskTitle: grant.task_title,
      subtaskId: grant.subtask_id,
      name: grant.name,
      idempotencyKey: grant.uuid,
      attempt: grant.attempt,
      signal: this.controller.signal,
      deadline: new Date(Date.now() + grant.sla_ms),
      log: this.log,
      context: grant.context === null ? {} : (JSON.parse(grant.context) as unknown),
      savedProgress: grant.progress === null ? null : (JSON.parse(grant.progress) as unknown),
      progress: value => {
        const problem = jsonProblem(value, 8)
        const text = problem ? '' : (JSON.stringify(value) ?? 'null')
        if (problem) throw new BatonError('result_invalid', `progress ${problem}`)
        if (Buffer.byteLength(text) > maxProgressBytes)
          throw new BatonError('result_too_large', `progress may have at most ${maxProgressBytes} bytes of JSON; store more as an artifact`)
        this.unsentProgress = text
      },
      dependencies: createDependencies(grant, reader),
      artifacts: { put: (name, data, options) => this.putArtifact(name, data, options?.mediaType) },
      spawn: subtask => {
        const parsed = subtaskRequestSchema.safeParse(subtask)
        if (!parsed.success)
          throw new BatonError(
            'spawn_invalid',
            `the spawned subtask is not acceptable: ${parsed.error.issues.map(i => `${i.path.join('.')} ${i.message}`).join('; ')}`,
          )
        if (this.spawned.length >= maxSpawnedPerReport)
          throw new BatonError('spawn_invalid', `an attempt may spawn at most ${maxSpawnedPerReport} subtasks`)
        this.spawned.push(parsed.data)
      },
    }
  }

  private async putArtifact(name: string, data: string | Uint8Array, mediaType?: string): Promise<ArtifactRef> {
    if (!artifactNameSchema.safeParse(name).success)
      throw new BatonError(
        'result_invalid',
        `${JSON.stringify(name)} is not a name for an artifact; use letters, digits, \`_\`, \`.\`, \`-\`, \`/\` and spaces, at most 200`,
      )
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    const stored = await this.upload(name, bytes)
    const artifact = {
      name,
      media_type: mediaType ?? (typeof data === 'string' ? 'text/plain; charset=utf-8' : 'application/octet-stream'),
      ...stored,
    }
    this.artifacts.set(name, artifact)
    return artifact
  }

  private upload(name: string, data: Uint8Array): Promise<Pick<ArtifactRef, 'bytes' | 'sha256'>> {
    const { uplink, workerId } = this.options
    return upload(uplink, { subtask: this.subtask, claimId: this.claimId, workerId }, name, data, this.controller.signal)
  }
}
