/**
 * The children that run the attempts of one isolated agent.
 *
 * One attempt per child at a time: that is what confines a blocked event loop, a crash or a kill to the attempt that
 * caused it. So there are at most as many children as attempts may run at once. They are started when an attempt needs
 * one, kept warm and used again, the latest first, and ended after a while without work.
 *
 * Invariants: P1 at most `concurrency` children take attempts; those that end do not count. P2 nothing is started but for
 * an attempt that waits (or by `start`); after deaths in a row it waits longer each time. P3 an attempt always ends: with
 * its outcome, with the end of its child, by its signal, or by `stop`. P4 after `stop` nothing is left.
 */
import { BatonError, backoffMs, type Failure, failure, type Isolation, toFailure } from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { AgentSource } from '../agent.js'
import type { Run } from '../context.js'
import type { Runner, RunOutcome } from '../run-agent.js'
import { type Departure, IsolatedChild } from './isolated-child.js'

export interface IsolatedPoolOptions {
  /** What the agent is called in this worker. */
  readonly agent: string
  readonly source: AgentSource
  readonly isolation: Exclude<Isolation, 'inline'>
  readonly concurrency: number
  readonly log: Logger
  /** How long an attempt may go on after its abort before its child is ended; default 2 s. */
  readonly graceMs?: number
  /** How long a child without work is kept; default 60 s. */
  readonly idleMs?: number
  /** How long a child may take to load its module; default 30 s. */
  readonly startMs?: number
  /** How much the heap of a child may hold; default: Node's own limit. */
  readonly maxHeapMb?: number
}

/** A child, as whoever owns the pool sees it. */
export interface ChildView {
  /** From 1, in the order of their starts. */
  readonly id: number
  readonly isolation: Exclude<Isolation, 'inline'>
  /** Of a thread, the worker's own. */
  readonly pid: number | undefined
  readonly threadId: number | undefined
  /** `ending`: takes no attempt any more, and is not gone yet. */
  readonly state: 'starting' | 'idle' | 'busy' | 'ending'
  readonly attempts: number
  readonly startedAt: Date
}

export type PoolEvent =
  | { readonly kind: 'started' | 'ready'; readonly child: ChildView }
  | { readonly kind: 'terminated'; readonly child: ChildView; readonly why: Departure }

interface Waiter {
  readonly begin: (child: IsolatedChild) => void
  readonly refuse: (failure: Failure) => void
}

const restartBackoff = { initialMs: 100, factor: 2, maxMs: 5_000, jitter: 0.5 }
/** How long `stop` waits for children that were killed. */
const stopMs = 2_000

export class IsolatedPool implements Runner {
  private readonly options: Required<Omit<IsolatedPoolOptions, 'maxHeapMb'>> & Pick<IsolatedPoolOptions, 'maxHeapMb'>
  private state: { kind: 'running' } | { kind: 'stopping'; done: Promise<void> } = { kind: 'running' }
  private readonly all = new Map<IsolatedChild, number>()
  /** The latest last, each with the timer that ends it. */
  private readonly idle = new Map<IsolatedChild, NodeJS.Timeout>()
  private readonly waiting: Waiter[] = []
  private readonly listeners = new Set<(event: PoolEvent) => void>()
  private lastId = 0
  /** Children that died by themselves since an attempt was last settled by its agent. */
  private deaths = 0
  private restart: NodeJS.Timeout | undefined

  constructor(options: IsolatedPoolOptions) {
    this.options = { graceMs: 2_000, idleMs: 60_000, startMs: 30_000, ...options }
  }

  /** Those that are not gone yet. */
  get children(): readonly ChildView[] {
    return [...this.all.keys()].flatMap(child => this.viewOf(child) ?? [])
  }

  /** Tells of children that start, are ready and end. Returns what takes the listener away. */
  subscribe(listener: (event: PoolEvent) => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  /** Starts one child, to know that the agent can be loaded. Throws `invalid_configuration` when it cannot. Idempotent. */
  async start(): Promise<void> {
    const problem = await new Promise<Failure | undefined>(resolve => {
      this.waiting.push({ begin: () => resolve(undefined), refuse: resolve })
      this.pump()
    })
    if (problem === undefined) return
    const { agent, isolation } = this.options
    throw new BatonError('invalid_configuration', `agent ${agent} cannot run in a ${isolation}: ${problem.message}`)
  }

  /** Runs an attempt in a child of its own. Never rejects. */
  run(run: Run): Promise<RunOutcome> {
    const { signal } = run
    return new Promise(resolve => {
      const refuse = (reason: Failure) => {
        signal.removeEventListener('abort', giveUp)
        resolve({ kind: 'failed', failure: reason })
      }
      const giveUp = () => {
        const at = this.waiting.indexOf(waiter)
        if (at >= 0) this.waiting.splice(at, 1)
        refuse(toFailure(signal.reason))
      }
      const begin = (child: IsolatedChild) => {
        signal.removeEventListener('abort', giveUp)
        this.take(child)
        resolve(child.run(run))
      }
      const waiter = { begin, refuse }
      if (signal.aborted) return giveUp()
      signal.addEventListener('abort', giveUp, { once: true })
      this.waiting.push(waiter)
      this.pump()
    })
  }

  /** Ends all children, whatever they do; resolves when they are gone. Idempotent, and bounded by two seconds. */
  stop(): Promise<void> {
    if (this.state.kind === 'running') {
      // A turn later, so that what ends the children finds a pool that starts no others.
      this.state = { kind: 'stopping', done: Promise.resolve().then(() => this.endAll()) }
      this.pump()
    }
    return this.state.done
  }

  private async endAll(): Promise<void> {
    clearTimeout(this.restart)
    const gone = Promise.all([...this.all.keys()].map(child => child.ended))
    for (const child of this.all.keys()) child.end()
    let timer: NodeJS.Timeout | undefined
    const overrun = new Promise<'overrun'>(resolve => {
      timer = setTimeout(() => resolve('overrun'), stopMs)
    })
    const how = await Promise.race([gone, overrun])
    clearTimeout(timer)
    if (how === 'overrun') this.options.log.error({ agent: this.options.agent }, 'children of an isolated agent do not end')
  }

  /** Gives waiting attempts the children that are idle, and starts what is missing. */
  private pump(): void {
    if (this.state.kind !== 'running') {
      for (const waiter of this.waiting.splice(0)) waiter.refuse(failure('worker_draining', 'the worker stops'))
      return
    }
    for (;;) {
      const child = [...this.idle.keys()].at(-1)
      const waiter = child && this.waiting.shift()
      if (!waiter) break
      waiter.begin(child)
    }
    const kinds = [...this.all.keys()].map(child => child.kind)
    const starting = kinds.filter(kind => kind === 'starting').length
    const present = kinds.filter(kind => kind !== 'ending' && kind !== 'ended').length
    const missing = Math.min(this.waiting.length - starting, this.options.concurrency - present) // P1
    if (missing <= 0 || this.restart) return
    for (let n = 0; n < missing; n++) this.startChild() // P2
  }

  private startChild(): void {
    const { agent, source, isolation, graceMs, startMs, maxHeapMb } = this.options
    const id = ++this.lastId
    const log = this.options.log.child({ agent, isolation, child: id })
    const child: IsolatedChild = new IsolatedChild({
      agent,
      source,
      isolation,
      log,
      graceMs,
      startMs,
      maxHeapMb,
      onReady: () => {
        this.tell('ready', child)
        this.rest(child)
      },
      onIdle: () => {
        this.deaths = 0
        this.rest(child)
      },
      onLeave: why => this.left(child, why),
    })
    this.all.set(child, id)
    void child.ended.then(() => this.all.delete(child))
    log.debug({ pid: child.pid, thread_id: child.threadId }, 'an isolated child was started')
    this.tell('started', child)
  }

  private rest(child: IsolatedChild): void {
    this.idle.set(
      child,
      setTimeout(() => child.end(), this.options.idleMs),
    )
    this.pump()
  }

  private take(child: IsolatedChild): void {
    clearTimeout(this.idle.get(child))
    this.idle.delete(child)
  }

  private left(child: IsolatedChild, why: Departure): void {
    this.take(child)
    if (why.kind === 'crashed' || why.kind === 'unloadable') {
      this.options.log.warn({ agent: this.options.agent, code: why.failure.code, reason: why.failure.message }, 'an isolated child ended')
      this.deaths++
      this.holdBack()
    }
    if (why.kind === 'unloadable') this.waiting.shift()?.refuse(why.failure)
    const view = this.viewOf(child)
    if (view) for (const listener of this.listeners) listener({ kind: 'terminated', child: view, why })
    this.pump()
  }

  /** P2: the first death is made good at once. */
  private holdBack(): void {
    if (this.deaths < 2 || this.state.kind !== 'running') return
    clearTimeout(this.restart)
    this.restart = setTimeout(
      () => {
        this.restart = undefined
        this.pump()
      },
      backoffMs(restartBackoff, this.deaths - 1, Math.random()),
    )
  }

  private tell(kind: 'started' | 'ready', child: IsolatedChild): void {
    const view = this.viewOf(child)
    if (view) for (const listener of this.listeners) listener({ kind, child: view })
  }

  private viewOf(child: IsolatedChild): ChildView | undefined {
    const { kind, pid, threadId, attempts, startedAt } = child
    const id = this.all.get(child)
    if (kind === 'ended' || id === undefined) return undefined
    return { id, isolation: this.options.isolation, pid, threadId, state: kind, attempts, startedAt }
  }
}
