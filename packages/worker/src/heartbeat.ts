/**
 * Tells a coordinator that the worker lives and which claims it holds; learns which it no longer holds.
 *
 * Invariants: H1 a heartbeat always fits into one message; progress that has no room waits for the next one. H2 a claim is
 * listed from when it is asked for: it may be granted and its answer lost, and its lease must not run out while it is
 * repeated. One that a report names is listed when its answer has come: until then nobody knows of which subtask it is, and
 * the report is repeated sooner than a lease runs out.
 */
import { type HeartbeatReply, maxBatchBytes, type RegisterReply, type WorkerInfo } from '@baton/shared'
import { type Logger, Ticker } from '@baton/shared/node'
import { type Executor, lostClaim } from './executor.js'
import type { Standing } from './lanes.js'
import type { Uplink } from './uplink.js'

interface HeartbeatOptions {
  readonly worker: () => WorkerInfo
  readonly uplink: Uplink
  readonly executor: Executor
  /** Default: it says nothing of its slots. */
  readonly standing?: () => Standing
  readonly log: Logger
  readonly onDrain: () => void
}

export class Heartbeat {
  private readonly options: HeartbeatOptions
  private readonly stopping = new AbortController()
  private ticker: Ticker | undefined
  private state: 'starting' | 'ready' | 'draining' | 'stopped' = 'starting'
  /** Those who wait for the next answer. */
  private waiting: (() => void)[] = []
  private lastTick = performance.now()
  private answeredAt = Number.NEGATIVE_INFINITY
  private everyMs = 0

  constructor(options: HeartbeatOptions) {
    this.options = options
  }

  /** Whether a coordinator answered lately: it missed one beat at most. */
  get isHeard(): boolean {
    return performance.now() - this.answeredAt < 2.5 * this.everyMs
  }

  /** Registers, waiting for a coordinator as long as it takes, and begins to beat. */
  async start(signal: AbortSignal): Promise<RegisterReply> {
    const reply = await this.register(signal)
    this.lastTick = performance.now()
    this.answeredAt = performance.now()
    this.everyMs = reply.heartbeat_ms
    this.ticker = new Ticker({
      name: 'heartbeat',
      everyMs: reply.heartbeat_ms,
      log: this.options.log,
      run: () => this.beat(reply.heartbeat_ms),
    })
    await this.ticker.start()
    return reply
  }

  /** Registers anew: the worker's agents changed. */
  async register(signal: AbortSignal = this.stopping.signal): Promise<RegisterReply> {
    const { uplink, worker } = this.options
    const reply = await uplink.ask<RegisterReply>(
      { type: 'register', worker: { ...worker(), state: this.state === 'starting' ? 'starting' : 'ready' } },
      signal,
    )
    uplink.stickTo(reply.coordinator, reply.lease_ms)
    return reply
  }

  /** The worker takes work from now on; resolves when a coordinator knows. */
  async ready(): Promise<void> {
    if (this.state !== 'starting') return
    this.state = 'ready'
    await this.known()
  }

  /** Resolves when a coordinator knows the present state. */
  private async known(): Promise<void> {
    // The answer to a beat that was under way may be to the state before.
    for (const _ of ['under way', 'next']) await this.nextAnswer()
  }

  private nextAnswer(): Promise<void> {
    if (this.stopping.signal.aborted) return Promise.resolve()
    const answered = new Promise<void>(resolve => {
      this.waiting.push(resolve)
    })
    this.ticker?.wake()
    return answered
  }

  /** The worker takes no more work; resolves when a coordinator knows, or when the worker has stopped. */
  async drain(): Promise<void> {
    this.state = 'draining'
    await this.known()
  }

  /** Says goodbye, for at most a second. A beat that is under way is not waited for: it asks until somebody answers. */
  async stop(): Promise<void> {
    this.state = 'stopped'
    this.stopping.abort()
    await this.ticker?.stop()
    for (const answered of this.waiting.splice(0)) answered()
    const farewell = AbortSignal.timeout(1_000)
    await this.send(farewell, 0).catch(() => undefined)
  }

  private async beat(everyMs: number): Promise<void> {
    try {
      await this.beatOnce(everyMs)
    } catch (error) {
      if (!this.stopping.signal.aborted) throw error
    }
  }

  private async beatOnce(everyMs: number): Promise<void> {
    const now = performance.now()
    const lagMs = Math.max(0, now - this.lastTick - everyMs)
    this.lastTick = now
    const running = new Set(this.options.executor.active.keys())
    const reply = await this.send(this.stopping.signal, lagMs)
    this.lastTick = performance.now()
    this.answeredAt = performance.now()
    for (const answered of this.waiting.splice(0)) answered()
    if (!reply.known && (this.state === 'ready' || this.state === 'starting')) await this.register()
    // Of a claim that was still asked for, this only says that it had not been granted yet.
    for (const claimId of reply.abort) if (running.has(claimId)) this.options.executor.abort(claimId, lostClaim())
    if (reply.drain && (this.state === 'ready' || this.state === 'starting')) this.options.onDrain()
  }

  private async send(signal: AbortSignal, lagMs: number): Promise<HeartbeatReply> {
    const { uplink, executor, worker } = this.options
    const load: Record<string, number> = {}
    let room = maxBatchBytes
    const active = [...executor.active.values()].map(attempt => {
      load[attempt.agentName] = (load[attempt.agentName] ?? 0) + 1
      const progress = attempt.takeProgress(room) // H1
      if (progress !== undefined) room -= Buffer.byteLength(JSON.stringify(progress))
      return { subtask: attempt.subtask, claim_id: attempt.claimId, ...(progress !== undefined && { progress }) }
    })
    const claiming = [...executor.claiming].map(([claim_id, subtask]) => ({ subtask, claim_id })) // H2
    return uplink.ask<HeartbeatReply>(
      {
        type: 'heartbeat',
        worker_id: worker().id,
        state: this.state,
        active: [...active, ...claiming],
        load,
        loop_lag_ms: Math.round(lagMs),
        ...this.options.standing?.(),
      },
      signal,
    )
  }
}
