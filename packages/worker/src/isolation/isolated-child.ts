/**
 * One child and its life: starting → idle ⇄ busy → ending → ended.
 *
 * Invariants: I1 one attempt at a time. I2 an attempt that was aborted is settled within the grace: by its agent, or by
 * the end of the child. I3 an attempt whose child ended is settled then, as crashed unless the worker itself ended it.
 */
import { assertNever, type Failure, failure, type Isolation, toFailure } from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { AgentSource } from '../agent.js'
import type { Run } from '../context.js'
import type { RunOutcome } from '../run-agent.js'
import type { ChildLink } from './link.js'
import { type Ask, type FromChild, fromChildSchema } from './messages.js'
import { startProcess } from './process.js'
import { startThread } from './thread.js'

interface IsolatedChildOptions {
  /** What the agent is called in this worker. */
  readonly agent: string
  readonly source: AgentSource
  readonly isolation: Exclude<Isolation, 'inline'>
  readonly log: Logger
  readonly startMs: number
  readonly graceMs: number
  readonly maxHeapMb: number | undefined
  /** Ready for the first attempt. */
  readonly onReady: () => void
  /** Ready for the next attempt. */
  readonly onIdle: () => void
  /** Takes no attempt any more. */
  readonly onLeave: (why: Departure) => void
}

/** Why a child takes no attempt any more. `told`: it was ended in order. */
export type Departure = { readonly kind: 'told' } | { readonly kind: 'unloadable' | 'crashed' | 'overrun'; readonly failure: Failure }

type State =
  | { readonly kind: 'starting'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'idle' }
  | { readonly kind: 'busy'; readonly run: number; readonly request: Run; readonly settle: (outcome: RunOutcome) => void }
  | { readonly kind: 'ending'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'ended' }

/** How long a child that is told to end may take. */
const endMs = 1_000
const lastWordsLength = 1_000

export class IsolatedChild {
  readonly startedAt = new Date()
  /** Resolves when nothing of it is left. */
  readonly ended: Promise<void>
  /** How many attempts it was given. */
  attempts = 0
  private readonly options: IsolatedChildOptions
  private readonly link: ChildLink
  private state: State
  private log: Logger
  private resolveEnded: () => void = () => undefined
  /** What it said of its crash. */
  private crash: Failure | undefined
  private lastWords = ''

  constructor(options: IsolatedChildOptions) {
    this.options = options
    this.log = options.log
    this.ended = new Promise(resolve => {
      this.resolveEnded = resolve
    })
    const { agent, source, isolation, maxHeapMb, startMs } = options
    const start = isolation === 'thread' ? startThread : startProcess
    this.state = { kind: 'starting', timer: setTimeout(() => this.startedTooSlowly(), startMs) }
    this.link = start({
      agent,
      maxHeapMb,
      onMessage: message => this.hear(message),
      onLine: (stream, line) => {
        if (stream === 'stderr') this.lastWords = `${this.lastWords}\n${line}`.slice(-lastWordsLength)
        this.log.info({ stream }, line)
      },
      onEnd: how => this.gone(how),
    })
    this.link.send({ type: 'load', source, as: agent })
  }

  get kind(): State['kind'] {
    return this.state.kind
  }

  get pid(): number | undefined {
    return this.link.pid
  }

  get threadId(): number | undefined {
    return this.link.threadId
  }

  /** Runs an attempt; the child has to be idle. Never rejects. */
  run(request: Run): Promise<RunOutcome> {
    const { signal, grant, deadline } = request
    const run = ++this.attempts
    this.log = request.log
    return new Promise(resolve => {
      let grace: NodeJS.Timeout | undefined
      const onAbort = () => {
        this.link.send({ type: 'abort', run, reason: toFailure(signal.reason) })
        grace = setTimeout(() => this.overrun(), this.options.graceMs) // I2
      }
      const settle = (outcome: RunOutcome) => {
        clearTimeout(grace)
        signal.removeEventListener('abort', onAbort)
        resolve(outcome)
      }
      this.state = { kind: 'busy', run, request, settle } // I1
      this.link.send({ type: 'run', run, grant, deadlineMs: deadline.getTime() })
      if (signal.aborted) onAbort()
      else signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Tells it to end, and kills it when it does not; one that is not idle is killed at once. */
  end(): void {
    if (this.state.kind === 'idle') {
      this.leave({ kind: 'told' })
      this.link.send({ type: 'end' })
    } else if (this.state.kind === 'starting' || this.state.kind === 'busy') {
      this.leave({ kind: 'told' })
      this.link.kill()
    }
  }

  private hear(raw: unknown): void {
    const parsed = fromChildSchema.safeParse(raw)
    if (parsed.success) {
      this.take(parsed.data)
      return
    }
    const { type, call } = (typeof raw === 'object' && raw !== null ? raw : {}) as { type?: unknown; call?: unknown }
    const problem = parsed.error.issues.map(issue => `${issue.path.join('.')} ${issue.message}`).join('; ')
    // Whoever asked waits for an answer. Anything else is some code's own use of the channel.
    if (type === 'call' && typeof call === 'number')
      this.link.send({ type: 'refusal', call, failure: failure('result_invalid', `this cannot be asked: ${problem}`) })
    else this.log.debug({ problem }, 'a message of an isolated agent was not understood')
  }

  private take(message: FromChild): void {
    switch (message.type) {
      case 'ready':
        if (this.state.kind !== 'starting') break
        clearTimeout(this.state.timer)
        this.state = { kind: 'idle' }
        this.options.onReady()
        break
      case 'unloadable':
        if (this.state.kind !== 'starting') break
        this.leave({ kind: 'unloadable', failure: message.failure })
        this.link.kill()
        break
      case 'crashed':
        this.crash = message.failure
        this.crashed(`crashed: ${message.failure.message}`)
        this.link.kill()
        break
      case 'returned':
        this.settled(message.run, { kind: 'returned', output: message.output })
        break
      case 'failed':
        this.settled(message.run, { kind: 'failed', failure: message.failure })
        break
      case 'progress':
        this.current(message.run)?.port.saveProgress(message.text)
        break
      case 'spawn':
        this.current(message.run)?.port.spawn(message.subtask)
        break
      case 'log':
        this.current(message.run)?.log[message.level](message.fields, message.message)
        break
      case 'call':
        void this.answer(message)
        break
      default:
        assertNever(message)
    }
  }

  private current(run: number): Run | undefined {
    return this.state.kind === 'busy' && this.state.run === run ? this.state.request : undefined
  }

  private async answer({ run, call, ask }: Extract<FromChild, { type: 'call' }>): Promise<void> {
    const request = this.current(run)
    try {
      if (!request) return this.link.send({ type: 'refusal', call, failure: failure('attempt_aborted', 'the attempt has ended') })
      this.link.send({ type: 'answer', call, value: await perform(request, ask) })
    } catch (error) {
      this.link.send({ type: 'refusal', call, failure: toFailure(error) })
    }
  }

  private settled(run: number, outcome: RunOutcome): void {
    if (this.state.kind !== 'busy' || this.state.run !== run) return
    const { settle } = this.state
    this.state = { kind: 'idle' }
    settle(outcome)
    this.options.onIdle()
  }

  private overrun(): void {
    this.log.warn('the agent ignores its abort signal; its child is ended')
    const reason = this.state.kind === 'busy' ? toFailure(this.state.request.signal.reason) : failure('attempt_aborted', 'it was aborted')
    this.leave({ kind: 'overrun', failure: reason })
    this.link.kill()
  }

  private startedTooSlowly(): void {
    const { startMs } = this.options
    this.leave({ kind: 'unloadable', failure: failure('agent_crashed', `${this.name()} was not ready within ${startMs / 1_000} s`) })
    this.link.kill()
  }

  private gone(how: string): void {
    this.crashed(how) // I3
    if (this.state.kind === 'ending') clearTimeout(this.state.timer)
    this.state = { kind: 'ended' }
    this.resolveEnded()
  }

  private crashed(how: string): void {
    const said = this.crash ? '' : this.lastWords.trim()
    const failed = failure('agent_crashed', `${this.name()} ${how}${said ? `: ${said}` : ''}`, this.crash)
    this.leave({ kind: this.state.kind === 'starting' ? 'unloadable' : 'crashed', failure: failed })
  }

  /** From now on only its end is waited for. */
  private leave(why: Departure): void {
    const before = this.state
    if (before.kind === 'ending' || before.kind === 'ended') return
    if (before.kind === 'starting') clearTimeout(before.timer)
    this.state = { kind: 'ending', timer: setTimeout(() => this.link.kill(), endMs) }
    if (before.kind === 'busy')
      before.settle({ kind: 'failed', failure: why.kind === 'told' ? failure('worker_draining', 'the worker stops') : why.failure })
    this.options.onLeave(why)
  }

  private name(): string {
    return `the ${this.options.isolation} of agent ${this.options.agent}`
  }
}

function perform({ port }: Run, ask: Ask): Promise<unknown> {
  switch (ask.kind) {
    case 'text':
      return port.text(ask.what)
    case 'artifact':
      return port.artifact(ask.name, ask.artifact)
    case 'dependencies':
      return port.dependencies(ask.after)
    case 'stream':
      return port.stream(ask.chunk)
    case 'note':
      return port.note(ask.note)
    case 'put':
      return port.putArtifact(ask)
    default:
      return assertNever(ask)
  }
}
