/**
 * One attempt, from its grant to its report: has the agent run, keeps its time limit and what it made meanwhile, and turns
 * whatever happens into an outcome. It never throws.
 */
import {
  type ArtifactRef,
  BatonError,
  type Failure,
  failure,
  type Grant,
  maxInlineBytes,
  type NoteReply,
  type Outcome,
  outputChunkName,
  type SubtaskRequest,
  spawnChunkName,
  toFailure,
} from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { Agent } from './agent.js'
import type { ArtifactToStore, ClaimPort, Run } from './context.js'
import { ClaimReader } from './dependencies.js'
import type { Lanes } from './lanes.js'
import { OutputStream } from './output-stream.js'
import type { Runner } from './run-agent.js'
import type { Uplink } from './uplink.js'
import { upload } from './upload.js'

interface AttemptOptions {
  readonly agent: Pick<Agent, 'name'>
  readonly runner: Runner
  readonly grant: Grant
  /** The subtask's internal id. */
  readonly subtask: string
  readonly claimId: string
  readonly workerId: string
  readonly uplink: Uplink
  readonly lanes: Pick<Lanes, 'stream'>
  readonly log: Logger
}

export class Attempt implements Run {
  readonly subtask: string
  readonly claimId: string
  readonly agentName: string
  private readonly options: AttemptOptions
  /** Made for whoever looks at its signal: most agents never do. */
  private controller: AbortController | undefined
  private aborted: BatonError | undefined
  private ownLog: Logger | undefined
  private ownPort: ClaimPort | undefined
  private ownDeadline: Date | undefined
  private startedAt = 0
  private decide: ((outcome: Outcome) => void) | undefined
  private ended = false
  private artifacts: Map<string, ArtifactRef> | undefined
  private spawned: SubtaskRequest[] | undefined
  private unsentProgress: string | undefined
  private released = false
  private streamed: OutputStream | undefined

  constructor(options: AttemptOptions) {
    this.options = options
    this.subtask = options.subtask
    this.claimId = options.claimId
    this.agentName = options.agent.name
  }

  /** Whether the agent's function has really ended. */
  get hasEnded(): boolean {
    return this.ended
  }

  /** Tells the agent to stop; the reason becomes its signal's. The first reason stands. */
  abort(reason: BatonError): void {
    if (this.aborted) return
    this.aborted = reason
    this.controller?.abort(reason)
    this.decide?.(this.failed(reason))
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
    // Released before it began: the agent is left out of it.
    if (this.aborted) {
      this.ended = true
      return { outcome: Promise.resolve(this.failed(this.aborted)), settled: Promise.resolve() }
    }
    this.startedAt = Date.now()
    const outcome = new Promise<Outcome>(resolve => {
      const timer = setTimeout(
        () => this.abort(new BatonError('attempt_timed_out', `the attempt exceeded its SLA of ${grant.sla_ms} ms`)),
        Math.min(grant.sla_ms, 2 ** 31 - 1),
      )
      this.decide = decided => {
        clearTimeout(timer)
        resolve(decided)
      }
    })
    const settled = this.run().then(ran => {
      this.ended = true
      this.decide?.(ran)
    })
    return { outcome, settled }
  }

  private async run(): Promise<Outcome> {
    const ended = await this.options.runner.run(this)
    if (this.streamed) await this.streamed.flushed(this.signal) // whoever follows is told of them before the end
    if (ended.kind === 'failed') return this.failedAs(ended.failure)
    try {
      return await this.completed(ended.output)
    } catch (error) {
      return this.failed(this.aborted ?? error)
    }
  }

  /** What lines about it begin with. */
  get named(): { task_id: string; subtask_id: string; attempt: number; agent: string } {
    const { grant, agent } = this.options
    return { task_id: grant.task_id, subtask_id: grant.subtask_id, attempt: grant.attempt, agent: agent.name }
  }

  get grant(): Grant {
    return this.options.grant
  }

  // What only some agents ask for is made when it is asked for.

  get port(): ClaimPort {
    this.ownPort ??= this.createPort()
    return this.ownPort
  }

  get deadline(): Date {
    const { sla_ms, deadline_in_ms } = this.grant
    this.ownDeadline ??= new Date(this.startedAt + Math.min(sla_ms, deadline_in_ms ?? Number.POSITIVE_INFINITY))
    return this.ownDeadline
  }

  get log(): Logger {
    this.ownLog ??= this.options.log.child(this.named)
    return this.ownLog
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController()
      if (this.aborted) this.controller.abort(this.aborted)
    }
    return this.controller.signal
  }

  private async completed(output: string): Promise<Outcome> {
    const inline = Buffer.byteLength(output) <= maxInlineBytes
    if (!inline) await this.upload(outputChunkName, Buffer.from(output))
    const { spawned, artifacts } = this
    const spawn = spawned ? JSON.stringify(spawned) : ''
    const spawnInline = Buffer.byteLength(spawn) <= maxInlineBytes / 2
    if (!spawnInline) await this.upload(spawnChunkName, Buffer.from(spawn))
    return {
      kind: 'completed',
      output: inline ? output : null,
      ...(artifacts && { artifacts: [...artifacts.values()] }),
      ...(spawned && (spawnInline ? { spawn: spawned } : { spawn_chunked: true })),
    }
  }

  private failed(thrown: unknown): Outcome {
    return this.failedAs(toFailure(thrown))
  }

  private failedAs(reason: Failure): Outcome {
    const progress = this.unsentProgress
    const saved = progress === undefined ? {} : { progress }
    if (this.released) return { kind: 'released', failure: failure('worker_draining', 'the worker was drained'), ...saved }
    return { kind: 'failed', failure: reason, ...saved }
  }

  private createPort(): ClaimPort {
    const { uplink, workerId } = this.options
    let made: ClaimReader | undefined
    const reader = () => {
      made ??= new ClaimReader({ uplink, workerId, subtask: this.subtask, claimId: this.claimId, signal: this.signal })
      return made
    }
    return {
      text: what => reader().text(what),
      artifact: (name, artifact) => reader().artifact(name, artifact),
      dependencies: after => reader().dependencies(after),
      saveProgress: text => {
        this.unsentProgress = text
      },
      spawn: subtask => {
        this.spawned ??= []
        this.spawned.push(subtask)
      },
      stream: chunk => this.stream().push(chunk),
      note: ask =>
        uplink.ask<NoteReply>({ type: 'note', worker_id: workerId, subtask: this.subtask, claim_id: this.claimId, ask }, this.signal),
      putArtifact: artifact => this.putArtifact(artifact),
    }
  }

  private stream(): OutputStream {
    const { grant } = this.options
    this.streamed ??= new OutputStream({
      subtask: this.subtask,
      claimId: this.claimId,
      send: this.options.lanes.stream,
      onLost: error =>
        this.options.log.warn(
          { err: error, task_id: grant.task_id, subtask_id: grant.subtask_id },
          'what the agent streams cannot be sent; it goes on without',
        ),
    })
    return this.streamed
  }

  private async putArtifact({ name, mediaType, data }: ArtifactToStore): Promise<ArtifactRef> {
    const artifact = { name, media_type: mediaType, ...(await this.upload(name, data)) }
    this.artifacts ??= new Map()
    this.artifacts.set(name, artifact)
    return artifact
  }

  private upload(name: string, data: Uint8Array): Promise<Pick<ArtifactRef, 'bytes' | 'sha256'>> {
    const { uplink, workerId } = this.options
    return upload(uplink, { subtask: this.subtask, claimId: this.claimId, workerId }, name, data, this.signal)
  }
}
